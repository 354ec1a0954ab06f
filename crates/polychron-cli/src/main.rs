//! The `polychron` command.

#![forbid(unsafe_code)]

fn main() {}
