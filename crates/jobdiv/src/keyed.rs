use crate::job::at_least_one;
use crate::{Job, JobError};

/// Finds the job that has the task named `key`, from the key and `n_jobs` alone.
///
/// For tasks that have names rather than numbers: a task keeps its job when others are added or
/// removed, on every machine and in every version of this crate. The price is that the loads are
/// only about equal. The key is hashed with 64-bit FNV-1a (Fowler, Noll and Vo), mixed by the
/// 64-bit finalizer of MurmurHash3 (Appleby), and scaled to `0..n_jobs`.
///
/// ```
/// use jobdiv::key_owner;
///
/// let owner = key_owner(b"2021-04-12/rx0.h5", 4)?;
/// assert_eq!(owner, key_owner(b"2021-04-12/rx0.h5", 4)?);
/// assert!(owner.owns_key(b"2021-04-12/rx0.h5"));
/// # Ok::<(), jobdiv::JobError>(())
/// ```
///
/// # Errors
///
/// [`JobError::NoJobs`] when `n_jobs` is zero.
pub fn key_owner(key: &[u8], n_jobs: usize) -> Result<Job, JobError> {
    at_least_one(n_jobs)?;
    Ok(Job::of_valid(key_idx(key, n_jobs), n_jobs))
}

impl Job {
    /// Says whether the task named `key` is this job's; see [`key_owner`].
    #[must_use]
    pub fn owns_key(self, key: &[u8]) -> bool {
        key_idx(key, self.n_jobs()) == self.idx()
    }
}

fn key_idx(key: &[u8], n_jobs: usize) -> usize {
    // hash / 2^64 is in [0, 1), so the product's upper half is below n_jobs and fits.
    let scaled = u128::from(mix(fnv1a(key))) * (n_jobs as u128);
    (scaled >> 64) as usize
}

fn fnv1a(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Spreads every bit over all of them: the upper bits of FNV-1a alone vary little between keys
/// that differ in their last byte, and it is the upper bits that choose the job.
fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::{fnv1a, mix};

    /// The test vectors that come with the definition of FNV-1a.
    #[test]
    fn fnv1a_gives_the_published_values() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    /// The finalizer of MurmurHash3 keeps zero and takes one to a known value.
    #[test]
    fn mix_is_the_finalizer_of_murmurhash3() {
        assert_eq!(mix(0), 0);
        assert_eq!(mix(1), 0xb456_bcfc_34c2_cb2c);
    }
}
