//! Values as bytes. Long arrays are copied once on their way, into memory that others read and out
//! of memory that others may write.

use std::any::Any;
use std::cell::{OnceCell, RefCell};
use std::io;

use bytemuck::Pod;
use postcard::{de_flavors, ser_flavors};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::CodecError;

/// What is at least this long is copied by itself.
const LONG: usize = 64 << 10;
/// How much is taken at once of what is not, out of memory that can only be copied.
const WINDOW: usize = 32 << 10;

/// Memory that takes encoded values which hold long arrays.
pub trait CopyTo {
    /// Puts some short bytes and some more at the end.
    ///
    /// # Errors
    ///
    /// When there is no memory; the value is not encoded then.
    fn put(&mut self, short: &[u8], more: &[u8]) -> io::Result<()>;
}

/// Memory that encoded values are copied out of, as somebody else may be writing to it.
pub trait CopyFrom {
    /// How many bytes there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `bytes` with those from `offset` on; there are as many.
    fn read(&self, offset: usize, bytes: &mut [u8]);
}

/// Writes to the end of memory that is there already, so that nothing is allocated for a value as
/// long as the last one; from the first long array on, elsewhere.
struct Onto<'a, 'b> {
    short: &'a mut Vec<u8>,
    long: Option<&'a mut (dyn CopyTo + 'b)>,
    is_long: bool,
}

impl ser_flavors::Flavor for Onto<'_, '_> {
    /// Whether it is elsewhere.
    type Output = bool;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.short.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        match &mut self.long {
            Some(long) if bytes.len() >= LONG => {
                let put = long.put(self.short, bytes);
                put.map_err(|_| postcard::Error::SerializeBufferFull)?;
                self.is_long = true;
                self.short.clear();
            }
            _ => self.short.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<bool> {
        if let Some(long) = self.long
            && self.is_long
        {
            long.put(self.short, &[]).map_err(|_| postcard::Error::SerializeBufferFull)?;
            self.short.clear();
        }
        Ok(self.is_long)
    }
}

pub(crate) fn encode<V: Serialize + ?Sized>(
    action: &'static str,
    task: &'static str,
    value: &V,
) -> Result<Vec<u8>, CodecError> {
    let mut bytes = Vec::new();
    encode_into(action, task, value, &mut bytes, None).map(|_| bytes)
}

/// Encodes into `bytes`, whatever was in them, or into `long` if there are long arrays and it is
/// given; whether it is there.
pub(crate) fn encode_into<'b, V: Serialize + ?Sized>(
    action: &'static str,
    task: &'static str,
    value: &V,
    bytes: &mut Vec<u8>,
    long: Option<&mut (dyn CopyTo + 'b)>,
) -> Result<bool, CodecError> {
    bytes.clear();
    let onto = Onto { short: bytes, long, is_long: false };
    postcard::serialize_with_flavor(value, onto).map_err(|e| CodecError::Postcard {
        action,
        task,
        source: Box::new(e),
    })
}

pub(crate) fn decode<V: DeserializeOwned>(
    action: &'static str,
    what: &'static str,
    task: &'static str,
    bytes: &[u8],
) -> Result<V, CodecError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok((_, left)) => Err(CodecError::TrailingBytes { task, what, n_left: left.len() }),
        Err(e) => Err(CodecError::Postcard { action, task, source: Box::new(e) }),
    }
}

pub(crate) fn decode_from<V: DeserializeOwned>(
    action: &'static str,
    what: &'static str,
    task: &'static str,
    from: &dyn CopyFrom,
) -> Result<V, CodecError> {
    let whole = OnceCell::new();
    let flavor = Copies { from, whole: &whole, end: 0, window: Vec::new(), at: 0, one: Vec::new() };
    let mut deserializer = postcard::Deserializer::from_flavor(flavor);
    let value = V::deserialize(&mut deserializer);
    match value.and_then(|value| Ok((value, deserializer.finalize()?))) {
        Ok((value, 0)) => Ok(value),
        Ok((_, n_left)) => Err(CodecError::TrailingBytes { task, what, n_left }),
        Err(e) => Err(CodecError::Postcard { action, task, source: Box::new(e) }),
    }
}

/// Reads out of memory that can only be copied: by pieces, but long arrays right into their place.
struct Copies<'de> {
    from: &'de dyn CopyFrom,
    /// A copy of all, for values that borrow from it while they are decoded.
    whole: &'de OnceCell<Vec<u8>>,
    /// The piece at hand, up to where in the bytes it goes, and what of it was taken.
    window: Vec<u8>,
    end: usize,
    at: usize,
    /// What is longer than a piece.
    one: Vec<u8>,
}

impl Copies<'_> {
    fn n_left(&self) -> usize {
        self.from.len() - self.end + self.window.len() - self.at
    }

    fn check(&self, n: usize) -> postcard::Result<()> {
        if n > self.n_left() { Err(postcard::Error::DeserializeUnexpectedEnd) } else { Ok(()) }
    }

    /// Takes the next bytes, which are there.
    fn take(&mut self, bytes: &mut [u8]) {
        let n = bytes.len().min(self.window.len() - self.at);
        let (first, rest) = bytes.split_at_mut(n);
        first.copy_from_slice(&self.window[self.at..self.at + n]);
        self.at += n;
        if !rest.is_empty() {
            self.from.read(self.end, rest);
            self.end += rest.len();
        }
    }

    /// Has at least so many bytes at hand, which are there and no more than a piece.
    fn refill(&mut self, n: usize) {
        if self.window.len() - self.at >= n {
            return;
        }
        self.window.drain(..self.at);
        self.at = 0;
        let begin = self.window.len();
        let more = (WINDOW - begin).min(self.from.len() - self.end);
        self.window.resize(begin + more, 0);
        self.from.read(self.end, &mut self.window[begin..]);
        self.end += more;
    }
}

impl<'de> de_flavors::Flavor<'de> for Copies<'de> {
    /// How many bytes were left.
    type Remainder = usize;
    type Source = ();

    fn pop(&mut self) -> postcard::Result<u8> {
        if let Some(&byte) = self.window.get(self.at) {
            self.at += 1;
            return Ok(byte);
        }
        self.check(1)?;
        self.refill(1);
        let byte = self.window[self.at];
        self.at += 1;
        Ok(byte)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.n_left())
    }

    fn try_take_n(&mut self, n: usize) -> postcard::Result<&'de [u8]> {
        self.check(n)?;
        let whole = self.whole.get_or_init(|| {
            let mut whole = vec![0; self.from.len()];
            self.from.read(0, &mut whole);
            whole
        });
        let begin = self.from.len() - self.n_left();
        self.end = begin + n;
        (self.at, self.window) = (0, Vec::new());
        Ok(&whole[begin..begin + n])
    }

    fn try_take_n_temp<'a>(&'a mut self, n: usize) -> postcard::Result<&'a [u8]>
    where
        'de: 'a,
    {
        if n <= self.window.len() - self.at {
            self.at += n;
            return Ok(&self.window[self.at - n..self.at]);
        }
        self.check(n)?;
        if n <= WINDOW {
            self.refill(n);
            self.at += n;
            return Ok(&self.window[self.at - n..self.at]);
        }
        if land(n, |bytes| self.take(bytes)) {
            return Ok(&[]);
        }
        let mut one = std::mem::take(&mut self.one);
        one.resize(n, 0);
        self.take(&mut one);
        self.one = one;
        Ok(&self.one)
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.n_left())
    }
}

/// Where an array wants its bytes, so that they need not lie anywhere else before.
enum Landing {
    Unwanted,
    Wanted(fn(usize) -> Option<Box<dyn Ground>>),
    Landed(Box<dyn Ground>),
}

/// Numbers that are being filled in.
trait Ground {
    fn bytes(&mut self) -> &mut [u8];
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<T: Pod> Ground for Vec<T> {
    fn bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(self)
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

thread_local! {
    /// Of the array that is being decoded on this thread. A deserializer has no other way to ask.
    static LANDING: RefCell<Landing> = const { RefCell::new(Landing::Unwanted) };
}

/// Asks for the bytes of an array while `decode` goes on.
pub(crate) fn landing<T: Pod, R>(decode: impl FnOnce() -> R) -> R {
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            LANDING.set(Landing::Unwanted);
        }
    }
    fn ground<T: Pod>(n_bytes: usize) -> Option<Box<dyn Ground>> {
        let is_whole = n_bytes.is_multiple_of(size_of::<T>());
        is_whole.then(|| Box::new(vec![T::zeroed(); n_bytes / size_of::<T>()]) as Box<dyn Ground>)
    }
    LANDING.set(Landing::Wanted(ground::<T>));
    let _end = End;
    decode()
}

/// Fills what the array at hand has asked for; false if it has not, or if it cannot be so long.
fn land(n_bytes: usize, fill: impl FnOnce(&mut [u8])) -> bool {
    let Landing::Wanted(ground) = LANDING.replace(Landing::Unwanted) else { return false };
    let Some(mut ground) = ground(n_bytes) else { return false };
    fill(ground.bytes());
    LANDING.set(Landing::Landed(ground));
    true
}

/// What has landed.
pub(crate) fn landed<T: Pod>() -> Option<Vec<T>> {
    match LANDING.replace(Landing::Unwanted) {
        Landing::Landed(ground) => ground.into_any().downcast().ok().map(|numbers| *numbers),
        Landing::Wanted(_) | Landing::Unwanted => None,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::Array;

    /// Bytes elsewhere, each of which is counted when it is read or written.
    #[derive(Default)]
    struct Far {
        bytes: Vec<u8>,
        n_read: std::cell::Cell<usize>,
    }

    impl CopyTo for Far {
        fn put(&mut self, short: &[u8], more: &[u8]) -> io::Result<()> {
            self.bytes.extend_from_slice(short);
            self.bytes.extend_from_slice(more);
            Ok(())
        }
    }

    impl CopyFrom for Far {
        fn len(&self) -> usize {
            self.bytes.len()
        }

        fn read(&self, offset: usize, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.bytes[offset..offset + bytes.len()]);
            self.n_read.set(self.n_read.get() + bytes.len());
        }
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Mixed {
        name: String,
        long: Array<f64>,
        plain: Vec<u64>,
        odd: Array<[u8; 3]>,
        end: Option<char>,
    }

    fn mixed(n: usize) -> Mixed {
        Mixed {
            name: "n".repeat(n / 3),
            long: Array((0..n).map(|i| i as f64).collect()),
            plain: (0..n as u64).map(|i| i << (i % 60)).collect(),
            odd: Array((0..n).map(|i| [i as u8; 3]).collect()),
            end: Some('e'),
        }
    }

    #[test]
    fn values_are_the_same_bytes_here_and_elsewhere() {
        for n in [0, 1, 1000, 5000, 9000, 30_000, 300_000] {
            let value = vec![mixed(n), mixed(n + 1)];
            let bytes = encode("encode", "task", &value).unwrap();
            let (mut short, mut far) = (vec![7; 3], Far::default());
            let is_long =
                encode_into("encode", "task", &value, &mut short, Some(&mut far)).unwrap();
            assert_eq!(is_long, n >= 9000, "{n} numbers of 8 bytes");
            assert!(if is_long { short.is_empty() && far.bytes == bytes } else { short == bytes });
            far.bytes = bytes;
            let back: Vec<Mixed> = decode_from("decode", "values", "task", &far).unwrap();
            assert!(back == value, "{n}");
            assert_eq!(far.n_read.get(), far.bytes.len(), "every byte is read once");
        }
    }

    /// Whatever is cut off or changed, it is an error or another value, and never a panic.
    #[test]
    fn what_is_broken_is_an_error() {
        let value = mixed(9000);
        let mut far = Far { bytes: encode("encode", "task", &value).unwrap(), ..Far::default() };
        let decoded = |far: &Far| decode_from::<Mixed>("decode", "values", "task", far);
        far.bytes.push(0);
        let error = decoded(&far).unwrap_err();
        assert!(matches!(error, CodecError::TrailingBytes { n_left: 1, .. }), "{error}");
        for n in [0, 1, 2999, 3003, 70_000, 75_005, 100_000] {
            let cut = Far { bytes: far.bytes[..n].to_vec(), ..Far::default() };
            assert!(decoded(&cut).is_err(), "{n} bytes");
        }
        for at in 0..3100 {
            let mut other = Far { bytes: far.bytes.clone(), ..Far::default() };
            other.bytes[at] ^= 0xff;
            let _any = decoded(&other);
        }
        // A length that is no number of numbers, of an array that is long enough to land.
        let bytes = encode("encode", "task", &Array(vec![1_u8; 100_001])).unwrap();
        let far = Far { bytes, ..Far::default() };
        assert!(decode_from::<Array<u16>>("decode", "values", "task", &far).is_err());
        let whole: Array<u8> = decode_from("decode", "values", "task", &far).unwrap();
        assert_eq!(whole.len(), 100_001);
    }

    /// Some types ask for what they can borrow while they are decoded.
    #[test]
    fn values_that_borrow_get_a_copy() {
        #[derive(Debug, PartialEq, Serialize)]
        struct Borrowing(String);
        impl<'de> Deserialize<'de> for Borrowing {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                <&str>::deserialize(d).map(|text| Self(text.to_owned()))
            }
        }
        let value: Vec<_> = (0..500).map(|i| (i, Borrowing("x".repeat(i)), i)).collect();
        let bytes = encode("encode", "task", &value).unwrap();
        let far = Far { bytes, ..Far::default() };
        let back: Vec<(usize, Borrowing, usize)> =
            decode_from("decode", "values", "task", &far).unwrap();
        assert_eq!(back, value);
    }
}
