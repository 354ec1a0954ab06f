//! Arrays that all workers read and nobody copies.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytemuck::Pod;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Array;

/// Shorter ones travel with what they are part of, in bytes.
const LEAST: usize = 16 << 10;

/// An array of plain numbers that all workers read in place, in any number of runs.
///
/// It may be all or a part of arguments and parameters. Workers in this process read the caller's
/// memory; worker processes read memory that is shared with them, into which the array is copied
/// when the first run has it; from then on a run costs the same whatever its length is. A backend
/// that can share no memory with its workers sends the numbers with every run, as it does those of
/// an [`Array`]; the same goes for what a task returns.
///
/// Clones are the same array. While there is one in the process that made it, workers keep what
/// they have of it; afterwards they let it go when they begin another run, or with their manager.
/// An array that worker processes have read is in memory twice: here, and shared.
///
/// ```
/// use pm_api::{RunOptions, Scatter as _, SerialManager, Shared, TaskError};
///
/// fn build(table: &Shared<f64>) -> Result<Shared<f64>, TaskError> {
///     Ok(table.clone())
/// }
///
/// fn execute(table: &mut Shared<f64>, at: &[usize]) -> Result<Vec<f64>, TaskError> {
///     Ok(at.iter().map(|&at| table[at]).collect())
/// }
///
/// pm_api::task!(LOOK_UP: build = build, execute = execute);
///
/// let (manager, options) = (SerialManager::new(), RunOptions::default());
/// let table = Shared::new(vec![1.0, 4.0, 9.0]);
/// for at in 0..3 {
///     let run = manager.scatter_fn(build, table.clone(), execute, vec![at], &options)?;
///     assert_eq!(run.gather()?.into_complete()?, [table[at]]);
/// }
/// # Ok::<(), pm_api::PmError>(())
/// ```
#[doc(alias = "broadcast variable")]
#[doc(alias = "object reference")]
#[doc(alias = "memmap")]
pub struct Shared<T> {
    array: SharedArray,
    of: PhantomData<fn() -> T>,
}

impl<T: Pod + Send + Sync> Shared<T> {
    /// An array of these numbers; a `Vec` is not copied here.
    #[must_use]
    pub fn new(numbers: impl Into<Vec<T>>) -> Self {
        const { assert!(size_of::<T>() > 0, "an array of nothing has no bytes") };
        Self { array: SharedArray::new(Own(numbers.into())), of: PhantomData }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self { array: self.array.clone(), of: PhantomData }
    }
}

impl<T: Pod> Deref for Shared<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // It was made of such numbers, or looked at when it was decoded.
        bytemuck::cast_slice(self.array.bytes())
    }
}

impl<T: Pod + Send + Sync> From<Vec<T>> for Shared<T> {
    fn from(numbers: Vec<T>) -> Self {
        Self::new(numbers)
    }
}

/// Whether they hold the same numbers.
impl<T: Pod + PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Pod> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({} numbers)", self.len())
    }
}

/// Bytes that do not change any more, wherever they are.
pub trait SharedBytes: Send + Sync {
    /// All of them; the same memory at every call.
    fn bytes(&self) -> &[u8];
}

struct Own<T>(Vec<T>);

impl<T: Pod + Send + Sync> SharedBytes for Own<T> {
    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// A [`Shared`] array with its type taken away, for backends. Clones are the same array.
#[derive(Clone)]
pub struct SharedArray(Arc<Inner>);

struct Inner {
    id: u64,
    values: Box<dyn SharedBytes>,
    /// What a backend has made of it.
    memory: OnceLock<Arc<dyn Any + Send + Sync>>,
    making: Mutex<()>,
}

/// An array that may be gone.
#[derive(Debug, Clone)]
pub struct WeakArray(Weak<Inner>);

impl WeakArray {
    /// Whether nobody has the array any more.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl SharedArray {
    /// An array of these bytes.
    #[must_use]
    pub fn new(values: impl SharedBytes + 'static) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (memory, making) = (OnceLock::new(), Mutex::default());
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Inner { id, values: Box::new(values), memory, making }))
    }

    /// Its number, which no other has in this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.values.bytes()
    }

    /// What does not keep it.
    #[must_use]
    pub fn downgrade(&self) -> WeakArray {
        WeakArray(Arc::downgrade(&self.0))
    }

    /// The memory that a backend shares with its workers, made at the first call and gone with the
    /// array.
    ///
    /// # Errors
    ///
    /// What `make` gives; the next call tries again.
    pub fn memory<M: Any + Send + Sync, E>(
        &self,
        make: impl Fn(&[u8]) -> Result<M, E>,
    ) -> Result<Arc<M>, E> {
        let _one = lock(&self.0.making);
        if let Some(memory) = self.0.memory.get()
            && let Ok(memory) = Arc::clone(memory).downcast()
        {
            return Ok(memory);
        }
        let memory = Arc::new(make(self.bytes())?);
        // Where another backend has put its own, this one is made for every run.
        let _ = self.0.memory.set(Arc::<M>::clone(&memory));
        Ok(memory)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "array {} of {} bytes", self.id, self.values.bytes().len())
    }
}

impl fmt::Debug for SharedArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// The arrays in what is being encoded on this thread, where numbers stand for them. A
    /// serializer has no other way to tell.
    static REFERRED: RefCell<Option<Vec<SharedArray>>> = const { RefCell::new(None) };
}

/// Lets `encode` put numbers in the place of long arrays, and gives these arrays, each once. Who
/// decodes it has to have them by [`keep_shared`].
pub fn by_reference<R>(encode: impl FnOnce() -> R) -> (R, Vec<SharedArray>) {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            REFERRED.set(None);
        }
    }
    REFERRED.set(Some(Vec::new()));
    let end = End;
    let result = encode();
    let arrays = REFERRED.take().unwrap_or_default();
    drop(end);
    (result, arrays)
}

/// Whether a number may stand for an array; who encodes hears of it then.
fn refer(array: &SharedArray) -> bool {
    REFERRED.with_borrow_mut(|referred| match referred {
        Some(arrays) if array.bytes().len() >= LEAST => {
            if arrays.iter().all(|other| other.id() != array.id()) {
                arrays.push(array.clone());
            }
            true
        }
        _ => false,
    })
}

/// What a worker process was given by the one process that it works for, by the numbers there.
static KEPT: Mutex<Option<HashMap<u64, SharedArray>>> = Mutex::new(None);

/// Lets what is decoded in this process from now on find the array which has number `id` where it
/// was encoded.
pub fn keep_shared(id: u64, array: SharedArray) {
    lock(&KEPT).get_or_insert_default().insert(id, array);
}

/// Undoes [`keep_shared`]. Who has the array keeps it.
pub fn forget_shared(id: u64) {
    let forgotten = lock(&KEPT).as_mut().and_then(|kept| kept.remove(&id));
    // Not while others wait for the lock.
    drop(forgotten);
}

struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Number and bytes of the array, or else the bytes.
impl<T: Pod> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (array, bytes) = (&self.array, self.array.bytes());
        if refer(array) {
            (Some((array.id(), bytes.len() as u64)), Raw(&[])).serialize(serializer)
        } else {
            (None::<(u64, u64)>, Raw(bytes)).serialize(serializer)
        }
    }
}

impl<'de, T: Pod + Send + Sync> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (reference, numbers) = <(Option<(u64, u64)>, Array<T>)>::deserialize(deserializer)?;
        let Some((id, len)) = reference else { return Ok(Self::new(numbers.0)) };
        let kept = lock(&KEPT).as_ref().and_then(|kept| kept.get(&id).cloned());
        let array =
            kept.ok_or_else(|| Error::custom(format!("shared array {id} is not in this process")))?;
        let found = array.bytes();
        if found.len() as u64 != len || bytemuck::try_cast_slice::<u8, T>(found).is_err() {
            let (n, size) = (found.len(), size_of::<T>());
            let wrong = format!("shared array {id} has {n} bytes, not {len} by {size} each");
            return Err(Error::custom(wrong));
        }
        Ok(Self { array, of: PhantomData })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize) -> Vec<f64> {
        (0..n).map(|i| (i as f64).sqrt()).collect()
    }

    #[test]
    fn without_a_backend_that_shares_it_travels_as_its_numbers() {
        for n in [0, 1, 1000, 100_000] {
            let shared = Shared::new(numbers(n));
            let bytes = postcard::to_stdvec(&shared).unwrap();
            assert!(bytes.len() >= 8 * n);
            let back: Shared<f64> = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(back, shared);
        }
        // 12 bytes are no numbers of 8.
        let odd = postcard::to_stdvec(&Shared::new(vec![1_u32, 2, 3])).unwrap();
        assert!(postcard::from_bytes::<Shared<f64>>(&odd).is_err());
    }

    #[test]
    fn a_number_stands_for_a_long_array_where_that_is_asked_for() {
        let (long, short) = (Shared::new(numbers(9000)), Shared::new(numbers(3)));
        let value = (long.clone(), short.clone(), long.clone());
        let (bytes, arrays) = by_reference(|| postcard::to_stdvec(&value).unwrap());
        assert!(bytes.len() < 100, "{}", bytes.len());
        let [array] = &arrays[..] else { panic!("one array, once: {arrays:?}") };
        let decode = || postcard::from_bytes::<(Shared<f64>, Shared<f64>, Shared<f64>)>(&bytes);
        assert!(decode().is_err(), "it is not here yet");
        keep_shared(array.id(), array.clone());
        let back = decode().unwrap();
        assert_eq!((back.0.as_ptr(), back.2.as_ptr()), (long.as_ptr(), long.as_ptr()));
        assert_eq!(back.1, short);
        assert!(
            postcard::from_bytes::<(Shared<[u8; 7]>, Shared<f64>, Shared<f64>)>(&bytes).is_err()
        );
        forget_shared(array.id());
        assert!(decode().is_err(), "nor any more");
        assert_eq!(back.0, long, "who has it keeps it");
        // Later encodings are those of others.
        assert!(postcard::to_stdvec(&long).unwrap().len() > 8 * 9000);
    }

    #[test]
    fn memory_is_made_once_and_goes_with_the_array() {
        let shared = Shared::new(numbers(10));
        let weak = shared.array.downgrade();
        let made = |_: &[u8]| Ok::<_, ()>(String::from("memory"));
        assert!(shared.array.memory(|_| Err::<String, _>("none")).is_err());
        let memory = shared.clone().array.memory(made).unwrap();
        assert!(Arc::ptr_eq(&memory, &shared.array.memory(made).unwrap()));
        assert!(!weak.is_gone());
        drop(shared);
        assert!(weak.is_gone() && Arc::strong_count(&memory) == 1);
    }
}
