//! Write heavy scientific work once, run it in parallel anywhere, see where the time goes.

#![forbid(unsafe_code)]
