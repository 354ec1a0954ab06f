//! The chunks on the board of a pool, as the driver knows them.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use pm_api::backend::{CopyTo, Ticket};
use worker_process::Board;

/// Chunks on the board for each worker: as many as keep it busy while the driver is woken.
const EACH: usize = 16;
/// Chunks on the board at most; fewer than there are places, as some may be at work for long.
const MOST: usize = 48;

/// The board, and what was posted there and is not done.
#[derive(Debug)]
pub(crate) struct Posted {
    board: Board,
    last: u64,
    /// By number.
    chunks: VecDeque<(u64, Ticket)>,
}

impl Posted {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { board: Board::create()?, last: 0, chunks: VecDeque::new() })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.board.fd()
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    /// Whether one more for so many workers is of use, and has a place.
    pub(crate) fn has_room(&self, n_workers: usize) -> bool {
        let oldest = self.chunks.front().map_or(self.last + 1, |(number, _)| *number);
        self.chunks.len() < MOST.min(EACH * n_workers) && self.last + 1 - oldest < Board::PLACES
    }

    /// Whether an order fits.
    pub(crate) fn fits(order: &[u8]) -> bool {
        order.len() <= Board::MOST
    }

    /// Posts an order, which fits, where there is room.
    pub(crate) fn post(&mut self, order: &[u8], ticket: Ticket) {
        self.last += 1;
        self.board.post(self.last, order);
        self.chunks.push_back((self.last, ticket));
    }

    /// Takes out what a worker has answered for.
    pub(crate) fn land(&mut self, number: u64) -> Option<Ticket> {
        let at = self.chunks.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.chunks.remove(at).map(|(_, ticket)| ticket)
    }

    fn at_work(&self, rank: usize) -> Option<u64> {
        let has = |number: u64| self.board.taker(number).is_some_and(|by| usize::from(by) == rank);
        self.chunks.iter().map(|(number, _)| *number).find(|number| has(*number))
    }

    /// Whether a worker is at one.
    pub(crate) fn is_at_work(&self, rank: usize) -> bool {
        self.at_work(rank).is_some()
    }

    /// Takes out the one that a worker is at.
    pub(crate) fn take_from(&mut self, rank: usize) -> Option<Ticket> {
        self.at_work(rank).and_then(|number| self.land(number))
    }

    /// Whether there is something that no worker has begun.
    pub(crate) fn has_offers(&self) -> bool {
        self.chunks.iter().rev().any(|(number, _)| self.board.is_offered(*number))
    }

    /// Takes out all that no worker has begun.
    pub(crate) fn withdraw(&mut self) -> Vec<Ticket> {
        let (mut withdrawn, mut rest) = (Vec::new(), VecDeque::new());
        for (number, ticket) in self.chunks.drain(..) {
            if self.board.withdraw(number) {
                withdrawn.push(ticket);
            } else {
                rest.push_back((number, ticket));
            }
        }
        self.chunks = rest;
        withdrawn
    }
}

/// Takes no long arrays.
pub(crate) struct NotHere;

impl CopyTo for NotHere {
    fn put(&mut self, _: &[u8], _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}
