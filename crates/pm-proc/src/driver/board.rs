//! Chunks that go to whichever worker comes first, by the board of the pool.

use pm_api::backend::{Take, Ticket, by_reference, catch_panic};

use super::{Course, Driver};
use crate::posted::{NotHere, Posted};
use crate::seat::{Flight, Seat};
use crate::wire::{Order, frame};

impl Course<'_> {
    /// Puts chunks on the board; false if all go to workers one by one, because there is one that
    /// has to build its model first. Chunks are begun in their order either way, since one may be
    /// what another waits for.
    pub(super) fn fill_board(&mut self) -> bool {
        let ready = |seat: &Seat| seat.retired || (seat.has_model && seat.killed.is_none());
        if !self.by_board || !self.seats.iter().all(ready) {
            self.recall();
            return false;
        }
        let Some(rank) = self.seats.iter().position(|seat| !seat.retired) else { return false };
        while self.nothing_more.is_none()
            && self.driver.posted.has_room(self.seats.len())
            && !self.is_full()
        {
            match self.job.queue.try_take(rank, true) {
                Take::Chunk(ticket) => {
                    if let Err(ticket) = self.post(ticket) {
                        // Where it has no place others will not have one.
                        self.by_board = false;
                        self.job.queue.put_back(ticket);
                        self.recall();
                        return false;
                    }
                }
                Take::Later(at) => {
                    self.later = self.later.into_iter().chain(at).min();
                    self.nothing_more = Some(false);
                }
                Take::Done => self.nothing_more = Some(true),
            }
        }
        true
    }

    /// Posts a chunk, unless it does not fit there or cannot be encoded.
    fn post(&mut self, ticket: Ticket) -> Result<(), Ticket> {
        let (indices, attempt) = (ticket.indices(), ticket.attempt());
        let Driver { params, posted, .. } = &mut *self.driver;
        let run = &self.job.run;
        let (encoded, arrays) = by_reference(|| {
            catch_panic(|| run.encode_params_to(indices.clone(), params, &mut NotHere))
        });
        if !matches!(encoded, Ok(Ok(false))) || !arrays.is_empty() {
            return Err(ticket);
        }
        let (start, end) = (indices.start, indices.end);
        let order = Order::Chunk { start, end, attempt, limit_ns: None, n_seen: 0 };
        let order = frame(&order, params);
        if !Posted::fits(&order) {
            return Err(ticket);
        }
        posted.post(&order, ticket);
        self.n_flying += 1;
        Ok(())
    }

    /// Takes from the board what nobody has begun.
    pub(super) fn recall(&mut self) {
        if self.driver.posted.len() > 0 {
            for ticket in self.driver.posted.withdraw() {
                self.n_flying -= 1;
                self.job.queue.put_back(ticket);
            }
        }
    }

    /// Lets a worker take chunks from the board, if it does not and there are some.
    pub(super) fn lead_to_board(&mut self, rank: usize) {
        let seat = &mut self.seats[rank];
        if seat.retired || seat.at_board || !seat.flights.is_empty() {
            return;
        }
        if self.driver.posted.has_offers() {
            (seat.at_board, seat.idle, seat.done) = (true, false, false);
            let order = frame(&Order::Board { n_seen: seat.n_seen }, &[]);
            if let Err(error) = self.driver.pool.send(rank, &order, &[]) {
                // Its end comes as an event.
                self.why[rank] = Some(format!("its worker takes no orders: {error}"));
                let _gone = self.driver.pool.kill(rank);
            }
        } else if let Some(done) = self.nothing_more {
            self.rest(rank, done);
        }
    }

    /// Takes out what a worker has answered for.
    pub(super) fn landed(&mut self, rank: usize, number: u64) -> Option<Flight> {
        if number == 0 {
            return self.land(rank);
        }
        let ticket = self.driver.posted.land(number)?;
        Some(self.off_board(rank, ticket))
    }

    /// What a worker took from the board, as if it had been given it.
    fn off_board(&mut self, rank: usize, ticket: Ticket) -> Flight {
        self.n_flying -= 1;
        self.job.queue.pass(&ticket, rank);
        Flight { ticket, building: false, _params: None }
    }

    /// Takes out what a worker is at that is lost.
    pub(super) fn salvage(&mut self, rank: usize) -> Option<Flight> {
        self.seats[rank].at_board = false;
        if let Some(flight) = self.land(rank) {
            return Some(flight);
        }
        let ticket = self.driver.posted.take_from(rank)?;
        Some(self.off_board(rank, ticket))
    }
}
