//! In the place of `times`, in a build without it.

use std::convert::Infallible;
use std::ffi::OsString;

/// There is none.
#[derive(Debug)]
pub(crate) struct SharedTimes(Infallible);

impl SharedTimes {
    pub(crate) fn begin() -> Option<Self> {
        None
    }

    pub(crate) fn env(&self) -> (OsString, OsString) {
        match self.0 {}
    }

    pub(crate) fn of_lost(&self, _: u32, _: &str) -> Option<Vec<u8>> {
        match self.0 {}
    }
}

pub(crate) fn label(_: usize, _: usize) {}

pub(crate) fn exits_apart(_: bool) {}

pub(crate) fn greeting() -> Vec<u8> {
    Vec::new()
}

pub(crate) fn share(_: &[u8]) {}
