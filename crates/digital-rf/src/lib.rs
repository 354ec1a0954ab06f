//! Reading and writing of the Digital RF and Digital Metadata layouts.

#![forbid(unsafe_code)]
