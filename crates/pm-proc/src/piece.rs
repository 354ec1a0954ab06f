//! Encoded values in arenas: written right there, and read from there.

use std::io;

use pm_api::backend::{CopyFrom, CopyTo};
use worker_process::{Arena, Draft, Lent, View};

/// What is encoded to a piece of an arena that becomes as long as it needs to.
pub(crate) struct Piece<'a> {
    arena: &'a Arena,
    draft: Option<Draft>,
    len: usize,
}

impl<'a> Piece<'a> {
    pub(crate) fn new(arena: &'a Arena) -> Self {
        Self { arena, draft: None, len: 0 }
    }

    /// What was put there; if nothing was, `bytes` are.
    pub(crate) fn lend(mut self, bytes: &[u8]) -> io::Result<Lent> {
        self.put(bytes, &[])?;
        let Some(mut draft) = self.draft else { return Ok(self.arena.draft(0)?.lend()) };
        draft.truncate(self.len);
        Ok(draft.lend())
    }

    /// A draft that has room for so many bytes, with what there is.
    fn with_room(&mut self, len: usize) -> io::Result<&mut Draft> {
        // Some more, for what is short and follows a long array.
        let ample = len.saturating_add(256);
        let draft = match self.draft.take() {
            None => self.arena.draft(ample)?,
            Some(mut draft) => {
                if draft.len() < len && !draft.grow(ample) {
                    // Twice as long, so that many arrays are not copied over and over.
                    let mut longer = self.arena.draft(ample.saturating_mul(2))?;
                    longer[..self.len].copy_from_slice(&draft[..self.len]);
                    longer
                } else {
                    draft
                }
            }
        };
        Ok(self.draft.insert(draft))
    }
}

impl CopyTo for Piece<'_> {
    fn put(&mut self, short: &[u8], more: &[u8]) -> io::Result<()> {
        let begin = self.len;
        let (middle, end) = (begin + short.len(), begin + short.len() + more.len());
        if end > begin {
            let draft = self.with_room(end)?;
            draft[begin..middle].copy_from_slice(short);
            draft[middle..end].copy_from_slice(more);
            self.len = end;
        }
        Ok(())
    }
}

/// Bytes in the arena of the other side.
pub(crate) struct Seen<'a>(pub(crate) &'a View);

impl CopyFrom for Seen<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn read(&self, offset: usize, bytes: &mut [u8]) {
        self.0.read(offset, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether or not there is room behind what is there.
    #[test]
    fn a_piece_holds_all_that_was_put_there() {
        for is_crowded in [false, true] {
            let arena = Arena::new();
            let mut piece = Piece::new(&arena);
            let mut expected = Vec::new();
            let mut neighbours = Vec::new();
            for i in 0..30_u8 {
                let (short, long) = (vec![i; usize::from(i)], vec![100 + i; 3000 * usize::from(i)]);
                piece.put(&short, &long).unwrap();
                expected.extend(short.into_iter().chain(long));
                if is_crowded {
                    neighbours.push(arena.draft(1).unwrap());
                }
            }
            let lent = piece.lend(b"end").unwrap();
            expected.extend(b"end");
            assert!(lent[..] == expected);
            assert_eq!(arena.in_use(), expected.len().next_multiple_of(64) + 64 * neighbours.len());
        }
        let arena = Arena::new();
        assert_eq!(Piece::new(&arena).lend(&[]).unwrap().len(), 0);
    }
}
