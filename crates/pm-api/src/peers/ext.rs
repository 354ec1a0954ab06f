//! Collectives over numbers and values, the same on every backend.

use std::error::Error;

use bytemuck::Pod;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ops::fold_bytes;
use super::{FixedTree, Fold, Op, Peers, PeersError};

/// What stands for the length of a value that its member cannot send.
const NO_VALUE: u64 = u64::MAX;

/// Collectives over numbers ("plain old data", which travel as their bytes and are received in
/// place) and over values of any type that serde knows (the methods named `_value`).
///
/// What [`Peers`] says of collectives holds for these: all members call the same ones in the same
/// order, and what does not fit is an error on every rank.
///
/// Two kinds of reduction are to be told apart:
///
/// - [`all_reduce`](Self::all_reduce), [`reduce`](Self::reduce) and
///   [`all_reduce_value`](Self::all_reduce_value) combine what the *ranks* have, element by element
///   and in the order of the ranks: `(a[0] op a[1]) op a[2] ..`. The bits are the same on every
///   backend, every time. With another number of ranks there are other things to combine.
/// - [`all_reduce_indexed`](Self::all_reduce_indexed), [`all_reduce_rows`](Self::all_reduce_rows)
///   and [`all_reduce_indexed_by`](Self::all_reduce_indexed_by) combine elements that are *divided*
///   among the ranks, by a tree over their indices ([`FixedTree`]). The bits are the same for every
///   number of ranks and every division, and those of
///   [`reduce_in_index_order`](crate::reduce_in_index_order) over all elements in one place.
///
/// ```
/// use pm_api::{PeersExt as _, SerialPeers, Sum};
///
/// let peers = SerialPeers::new();
/// let mut counts = [1_u64, 2, 3];
/// peers.all_reduce(&mut counts, Sum)?;
/// assert_eq!(counts, [1, 2, 3]); // what all ranks have together; here there is one
/// assert_eq!(peers.all_gather_value(&"zero".to_owned())?, ["zero"]);
/// # Ok::<(), pm_api::PeersError>(())
/// ```
pub trait PeersExt: Peers {
    /// Overwrites everybody's `data` with that of `root`.
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    #[doc(alias = "sync_array_with_peers")]
    fn broadcast<T: Pod>(&self, root: usize, data: &mut [T]) -> Result<(), PeersError> {
        self.broadcast_bytes(root, bytemuck::cast_slice_mut(data))
    }

    /// Gives everybody the value of `root`; what others give is not looked at, and may be `None`.
    ///
    /// # Errors
    ///
    /// [`PeersError`]; [`PeersError::NoValue`] on every rank if the root gave none.
    #[doc(alias = "sync_pyobject_with_peers")]
    fn broadcast_value<V: Serialize + DeserializeOwned>(
        &self,
        root: usize,
        value: Option<V>,
    ) -> Result<V, PeersError> {
        let rank = self.rank();
        let mut own = Ok(Vec::new());
        let mut len = [0];
        if rank == root {
            own = encode(rank, value.as_ref());
            len = [length(&own)];
        }
        self.broadcast(root, &mut len)?;
        if len == [NO_VALUE] {
            own?;
            return Err(PeersError::NoValue { rank: root });
        }
        let mut bytes = own?;
        bytes.resize(usize_of(len[0]), 0);
        self.broadcast_bytes(root, &mut bytes)?;
        match value {
            Some(value) if rank == root => Ok(value),
            _ => decode(root, &bytes),
        }
    }

    /// Puts everybody's `part` one after the other by rank, at the root; `None` elsewhere. Parts
    /// may be of different lengths, and empty.
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    fn gather<T: Pod>(&self, root: usize, part: &[T]) -> Result<Option<Vec<T>>, PeersError> {
        let is_root = self.rank() == root;
        let n = if is_root { self.size() } else { 0 };
        let mut lens = vec![0_u64; n];
        self.gather_into(root, &[part.len() as u64], &mut lens, &vec![1; n])?;
        let counts: Vec<usize> = lens.into_iter().map(usize_of).collect();
        let mut whole = vec![T::zeroed(); counts.iter().sum()];
        self.gather_into(root, part, &mut whole, &counts)?;
        Ok(is_root.then_some(whole))
    }

    /// Puts everybody's `part` one after the other by rank into the root's `whole`. `counts` are
    /// the lengths of the parts; these and `whole` are not looked at elsewhere.
    ///
    /// # Errors
    ///
    /// [`PeersError`]; on every rank if the parts do not have the lengths that the root says, or
    /// these together not that of `whole`.
    #[doc(alias = "gather_arrays_to_root")]
    fn gather_into<T: Pod>(
        &self,
        root: usize,
        part: &[T],
        whole: &mut [T],
        counts: &[usize],
    ) -> Result<(), PeersError> {
        let whole = bytemuck::cast_slice_mut(whole);
        let part = bytemuck::cast_slice(part);
        in_bytes::<T, _>(counts, |counts| self.gather_bytes(root, part, whole, counts))
    }

    /// Gives the root everybody's value, by rank; `None` elsewhere.
    ///
    /// # Errors
    ///
    /// [`PeersError`]; [`PeersError::NoValue`] on every other rank if one could not be encoded.
    fn gather_value<V: Serialize + DeserializeOwned>(
        &self,
        root: usize,
        value: &V,
    ) -> Result<Option<Vec<V>>, PeersError> {
        let own = encode(self.rank(), Some(value));
        // Everybody gets the lengths, so that everybody knows if there is a value missing.
        let (own, counts) = self.agree(own)?;
        let is_root = self.rank() == root;
        let mut whole = vec![0; if is_root { counts.iter().sum() } else { 0 }];
        self.gather_bytes(root, &own, &mut whole, &counts)?;
        if is_root { decode_all(&whole, &counts).map(Some) } else { Ok(None) }
    }

    /// Puts everybody's `part` one after the other by rank, for everybody. Parts may be of
    /// different lengths, and empty.
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    fn all_gather<T: Pod>(&self, part: &[T]) -> Result<Vec<T>, PeersError> {
        let counts = self.lengths(part.len() as u64)?;
        let counts: Vec<usize> = counts.into_iter().map(usize_of).collect();
        let mut whole = vec![T::zeroed(); counts.iter().sum()];
        let bytes = bytemuck::cast_slice_mut(&mut whole);
        let part = bytemuck::cast_slice(part);
        in_bytes::<T, _>(&counts, |counts| self.all_gather_bytes(part, bytes, counts))?;
        Ok(whole)
    }

    /// Gives everybody everybody's value, by rank.
    ///
    /// # Errors
    ///
    /// [`PeersError`]; [`PeersError::NoValue`] on every other rank if one could not be encoded.
    #[doc(alias = "combine_data_with_peers")]
    fn all_gather_value<V: Serialize + DeserializeOwned>(
        &self,
        value: &V,
    ) -> Result<Vec<V>, PeersError> {
        let (own, counts) = self.agree(encode(self.rank(), Some(value)))?;
        let mut whole = vec![0; counts.iter().sum()];
        self.all_gather_bytes(&own, &mut whole, &counts)?;
        decode_all(&whole, &counts)
    }

    /// Gives everybody its piece of the root's `whole`, which is cut into pieces of `counts`
    /// elements by rank; both are not looked at elsewhere.
    ///
    /// # Errors
    ///
    /// [`PeersError`]; on every rank if `counts` are not one per rank and `whole` together.
    fn scatter<T: Pod>(
        &self,
        root: usize,
        whole: &[T],
        counts: &[usize],
    ) -> Result<Vec<T>, PeersError> {
        let lens: Vec<u64> = counts.iter().map(|n| *n as u64).collect();
        let mut len = [0_u64];
        self.scatter_into(root, &lens, &vec![1; lens.len()], &mut len)?;
        let mut part = vec![T::zeroed(); usize_of(len[0])];
        self.scatter_into(root, whole, counts, &mut part)?;
        Ok(part)
    }

    /// As [`scatter`](Self::scatter), into a `part` whose length its owner knows.
    ///
    /// # Errors
    ///
    /// [`PeersError`]; on every rank if the lengths do not fit.
    fn scatter_into<T: Pod>(
        &self,
        root: usize,
        whole: &[T],
        counts: &[usize],
        part: &mut [T],
    ) -> Result<(), PeersError> {
        let part = bytemuck::cast_slice_mut(part);
        let whole = bytemuck::cast_slice(whole);
        in_bytes::<T, _>(counts, |counts| self.scatter_bytes(root, whole, counts, part))
    }

    /// Gives everybody its one of the root's values; what others give is not looked at.
    ///
    /// # Errors
    ///
    /// [`PeersError`]; on every rank if the root has not one value per rank.
    fn scatter_value<V: Serialize + DeserializeOwned>(
        &self,
        root: usize,
        values: Option<&[V]>,
    ) -> Result<V, PeersError> {
        let (rank, n) = (self.rank(), self.size());
        let mut own: Result<Vec<Vec<u8>>, PeersError> = Ok(Vec::new());
        let mut lens = Vec::new();
        if rank == root {
            own = match values {
                Some(values) => values.iter().map(|value| encode(rank, Some(value))).collect(),
                None => Err(PeersError::NoValue { rank }),
            };
            lens = match &own {
                Ok(pieces) => pieces.iter().map(|piece| piece.len() as u64).collect(),
                Err(_) => vec![NO_VALUE; n],
            };
        }
        let mut len = [0_u64];
        self.scatter_into(root, &lens, &vec![1; lens.len()], &mut len)?;
        if len == [NO_VALUE] {
            own?;
            return Err(PeersError::NoValue { rank: root });
        }
        let pieces = own?;
        let counts: Vec<usize> = pieces.iter().map(Vec::len).collect();
        let mut part = vec![0; usize_of(len[0])];
        self.scatter_bytes(root, &pieces.concat(), &counts, &mut part)?;
        decode(root, &part)
    }

    /// Overwrites the root's `data` with what all have together, element by element and in the
    /// order of the ranks; others keep theirs.
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    fn reduce<T: Pod, O: Op<T>>(
        &self,
        root: usize,
        data: &mut [T],
        op: O,
    ) -> Result<(), PeersError> {
        let apply = |a: &mut [u8], b: &[u8]| fold_bytes::<T>(a, b, |a, b| op.apply(a, b));
        let fold = Fold::new(size_of::<T>(), O::NATIVE, &apply);
        self.reduce_bytes(root, bytemuck::cast_slice_mut(data), &fold)
    }

    /// Overwrites everybody's `data` with what all have together, element by element and in the
    /// order of the ranks.
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    #[doc(alias = "sum_values_and_sync")]
    fn all_reduce<T: Pod, O: Op<T>>(&self, data: &mut [T], op: O) -> Result<(), PeersError> {
        let apply = |a: &mut [u8], b: &[u8]| fold_bytes::<T>(a, b, |a, b| op.apply(a, b));
        let fold = Fold::new(size_of::<T>(), O::NATIVE, &apply);
        self.all_reduce_bytes(bytemuck::cast_slice_mut(data), &fold)
    }

    /// As [`all_reduce`](Self::all_reduce), from one buffer into another of the same length, which
    /// may hold anything before.
    ///
    /// # Errors
    ///
    /// [`PeersError`]; [`PeersError::Length`] on every rank if the lengths of `data` differ.
    ///
    /// # Panics
    ///
    /// If the two buffers are of different lengths.
    fn all_reduce_into<T: Pod, O: Op<T>>(
        &self,
        data: &[T],
        result: &mut [T],
        op: O,
    ) -> Result<(), PeersError> {
        result.copy_from_slice(data);
        self.all_reduce(result, op)
    }

    /// As [`all_reduce`](Self::all_reduce), by an operation of your own, which need not commute:
    /// it is called as `op(what lower ranks have, what the next rank has)`, on several ranks and
    /// threads at a time.
    ///
    /// # Errors
    ///
    /// [`PeersError`]; [`PeersError::Panicked`] on every rank if `op` panics on one.
    fn all_reduce_by<T: Pod>(
        &self,
        data: &mut [T],
        op: impl Fn(T, T) -> T + Sync,
    ) -> Result<(), PeersError> {
        let apply = |a: &mut [u8], b: &[u8]| fold_bytes::<T>(a, b, &op);
        let fold = Fold::new(size_of::<T>(), None, &apply);
        self.all_reduce_bytes(bytemuck::cast_slice_mut(data), &fold)
    }

    /// Combines everybody's value in the order of the ranks, for everybody.
    ///
    /// # Errors
    ///
    /// As [`all_gather_value`](Self::all_gather_value).
    fn all_reduce_value<V: Serialize + DeserializeOwned>(
        &self,
        value: &V,
        op: impl FnMut(V, V) -> V,
    ) -> Result<V, PeersError> {
        let all = self.all_gather_value(value)?.into_iter();
        Ok(all.reduce(op).expect("a group has a member"))
    }

    /// Combines elements that are divided among the ranks, each having the neighbours that follow
    /// those of the rank before, by the tree over their indices: the same bits for every number of
    /// ranks and every division. Of none it is [`Op::IDENTITY`].
    ///
    /// Costs a few numbers per rank in traffic, however many elements there are.
    ///
    /// # Errors
    ///
    /// [`PeersError`].
    fn all_reduce_indexed<T: Pod, O: Op<T>>(&self, local: &[T], op: O) -> Result<T, PeersError> {
        let rows = self.all_reduce_rows(local, 1, op)?;
        Ok(rows[0])
    }

    /// As [`all_reduce_indexed`](Self::all_reduce_indexed) for elements that are rows of `width`
    /// numbers, combined column by column.
    ///
    /// # Errors
    ///
    /// [`PeersError`]; on every rank if `local` is not whole rows on one, or widths differ.
    fn all_reduce_rows<T: Pod, O: Op<T>>(
        &self,
        local: &[T],
        width: usize,
        op: O,
    ) -> Result<Vec<T>, PeersError> {
        let rank = self.rank();
        // A rank whose rows are not whole cannot just stay away, so it says so.
        let whole_rows = width > 0 && local.len().is_multiple_of(width);
        let n_rows = if whole_rows { (local.len() / width) as u64 } else { NO_VALUE };
        let all = self.all_gather(&[n_rows, width as u64, local.len() as u64])?;
        for (other, said) in all.chunks_exact(3).enumerate() {
            if said[0] == NO_VALUE || said[1] != all[1] {
                let kind = super::CallKind::AllReduce;
                let (n_bytes, expected) = (usize_of(said[2]), usize_of(all[1]));
                return Err(PeersError::Length { rank: other, kind, n_bytes, expected });
            }
        }
        let start =
            |rank: usize| all.chunks_exact(3).take(rank).map(|said| usize_of(said[0])).sum();
        let merge = |mut a: Vec<T>, b: Vec<T>| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = op.apply(*a, b));
            a
        };
        let mut tree = FixedTree::starting_at(start(rank));
        if width == 1 {
            // Without a vector per number.
            let mut numbers = FixedTree::starting_at(start(rank));
            local.iter().for_each(|x| numbers.push(*x, |a, b| op.apply(a, b)));
            tree.append(numbers.into_nodes().into_iter().map(|(n, x)| (n, vec![x])), merge);
        } else {
            local.chunks_exact(width).for_each(|row| tree.push(row.to_vec(), merge));
        }
        let (lens, rows): (Vec<u64>, Vec<Vec<T>>) =
            tree.into_nodes().into_iter().map(|(n, row)| (n as u64, row)).unzip();
        let lens = self.all_gather(&lens)?;
        let rows = self.all_gather(&rows.concat())?;
        let mut all = FixedTree::starting_at(0);
        let nodes = lens.into_iter().map(usize_of).zip(rows.chunks_exact(width).map(<[T]>::to_vec));
        all.append(nodes, merge);
        Ok(all.finish(merge).unwrap_or_else(|| vec![O::IDENTITY; width]))
    }

    /// As [`all_reduce_indexed`](Self::all_reduce_indexed) for values of any type and an operation
    /// of your own, which need not commute; `None` of none.
    ///
    /// # Errors
    ///
    /// As [`all_gather_value`](Self::all_gather_value).
    fn all_reduce_indexed_by<V: Serialize + DeserializeOwned>(
        &self,
        local: impl IntoIterator<Item = V>,
        mut op: impl FnMut(V, V) -> V,
    ) -> Result<Option<V>, PeersError> {
        let local: Vec<V> = local.into_iter().collect();
        let lens = self.lengths(local.len() as u64)?;
        let start = lens[..self.rank()].iter().map(|n| usize_of(*n)).sum();
        let mut tree = FixedTree::starting_at(start);
        local.into_iter().for_each(|value| tree.push(value, &mut op));
        let mut all = FixedTree::starting_at(0);
        for nodes in self.all_gather_value(&tree.into_nodes())? {
            all.append(nodes, &mut op);
        }
        Ok(all.finish(op))
    }

    /// Everybody's length, by rank.
    #[doc(hidden)]
    fn lengths(&self, own: u64) -> Result<Vec<u64>, PeersError> {
        let n = self.size();
        let mut lens = vec![0_u64; n];
        let counts = vec![size_of::<u64>(); n];
        self.all_gather_bytes(&own.to_ne_bytes(), bytemuck::cast_slice_mut(&mut lens), &counts)?;
        Ok(lens)
    }

    /// Everybody's length, by rank, unless somebody has no value.
    #[doc(hidden)]
    fn agree(&self, own: Result<Vec<u8>, PeersError>) -> Result<(Vec<u8>, Vec<usize>), PeersError> {
        let lens = self.lengths(length(&own))?;
        let own = own?;
        match lens.iter().position(|len| *len == NO_VALUE) {
            Some(rank) => Err(PeersError::NoValue { rank }),
            None => Ok((own, lens.into_iter().map(usize_of).collect())),
        }
    }
}

impl<P: Peers + ?Sized> PeersExt for P {}

/// Gives `use_them` the lengths in bytes; without asking for memory where there are few, since that
/// would be a good part of what a short collective costs.
fn in_bytes<T: Pod, R>(counts: &[usize], use_them: impl FnOnce(&[usize]) -> R) -> R {
    const { assert!(size_of::<T>() > 0, "an array of nothing has no bytes") };
    // One that is too large does not fit anything, which is found out by all together.
    let in_bytes = |n: &usize| n.saturating_mul(size_of::<T>());
    let mut few = [0; 32];
    match few.get_mut(..counts.len()) {
        Some(few) => {
            few.iter_mut().zip(counts).for_each(|(few, n)| *few = in_bytes(n));
            use_them(few)
        }
        None => use_them(&counts.iter().map(in_bytes).collect::<Vec<_>>()),
    }
}

/// Lengths are sent as 64 bits; each was one of a buffer in somebody's memory.
fn usize_of(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

fn length(encoded: &Result<Vec<u8>, PeersError>) -> u64 {
    encoded.as_ref().map_or(NO_VALUE, |bytes| bytes.len() as u64)
}

fn encode<V: Serialize>(rank: usize, value: Option<&V>) -> Result<Vec<u8>, PeersError> {
    let value = value.ok_or(PeersError::NoValue { rank })?;
    postcard::to_stdvec(value).map_err(|e| PeersError::Encode { rank, source: Box::new(e) })
}

fn decode<V: DeserializeOwned>(rank: usize, bytes: &[u8]) -> Result<V, PeersError> {
    let source: Box<dyn Error + Send + Sync> = match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => return Ok(value),
        Ok((_, left)) => format!("{} bytes too many", left.len()).into(),
        Err(e) => Box::new(e),
    };
    Err(PeersError::Decode { rank, source })
}

fn decode_all<V: DeserializeOwned>(whole: &[u8], counts: &[usize]) -> Result<Vec<V>, PeersError> {
    let mut left = whole;
    counts
        .iter()
        .enumerate()
        .map(|(rank, n)| {
            let (own, rest) = left.split_at(*n);
            left = rest;
            decode(rank, own)
        })
        .collect()
}
