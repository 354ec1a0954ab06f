//! Arrays of numbers that travel as bytes.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec;

/// A `Vec` of plain numbers that is sent in one piece, and not number by number.
///
/// As an argument, parameter or output of a task it costs a copy where `Vec<f64>` costs about ten
/// times that. It is its bytes as they lie in memory, so it is for those who share a machine type,
/// as the workers of a run do; not for files.
///
/// ```
/// use pm_api::Array;
///
/// let spectrum = Array(vec![0.5_f64, 1.5]);
/// assert_eq!(spectrum.iter().sum::<f64>(), 2.0);
/// let numbers: Vec<f64> = spectrum.0;
/// # let _ = numbers;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Array<T>(pub Vec<T>);

impl<T> Deref for Array<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T> DerefMut for Array<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T> From<Vec<T>> for Array<T> {
    fn from(numbers: Vec<T>) -> Self {
        Self(numbers)
    }
}

impl<T: Pod> Serialize for Array<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const { assert!(size_of::<T>() > 0, "an array of nothing has no bytes") };
        serializer.serialize_bytes(bytemuck::cast_slice(&self.0))
    }
}

impl<'de, T: Pod> Deserialize<'de> for Array<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const { assert!(size_of::<T>() > 0, "an array of nothing has no bytes") };
        codec::landing::<T, _>(|| deserializer.deserialize_byte_buf(Bytes(PhantomData)))
    }
}

struct Bytes<T>(PhantomData<T>);

impl<'de, T: Pod> Visitor<'de> for Bytes<T> {
    type Value = Array<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bytes of numbers of {} bytes each", size_of::<T>())
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Array<T>, E> {
        if let Some(numbers) = codec::landed() {
            return Ok(Array(numbers));
        }
        from_bytes(bytes).map(Array).ok_or_else(|| E::invalid_length(bytes.len(), &self))
    }

    // Formats of text have no bytes and write them as numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Array<T>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = seq.next_element::<u8>()? {
            bytes.push(byte);
        }
        self.visit_bytes(&bytes)
    }
}

/// The numbers that these bytes are, whatever their alignment; `None` if there is a rest.
pub(crate) fn from_bytes<T: Pod>(bytes: &[u8]) -> Option<Vec<T>> {
    let size = const {
        assert!(size_of::<T>() > 0, "an array of nothing has no bytes");
        size_of::<T>()
    };
    if !bytes.len().is_multiple_of(size) {
        return None;
    }
    let mut numbers = vec![T::zeroed(); bytes.len() / size];
    bytemuck::cast_slice_mut(&mut numbers).copy_from_slice(bytes);
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_to_the_bit_and_rests_are_refused() {
        let bits = [0x7ff8_0000_0000_1234, 1 << 63, 0x7ff0_0000_0000_0000, 3];
        let array = Array(bits.map(f64::from_bits).to_vec());
        let mut bytes = postcard::to_stdvec(&array).unwrap();
        assert_eq!(bytes.len(), 1 + 4 * 8, "a length, and the numbers as they are");
        let back: Array<f64> = postcard::from_bytes(&bytes).unwrap();
        assert!(back.iter().map(|x| x.to_bits()).eq(bits));
        // 31 bytes are no numbers of 8 bytes.
        bytes[0] = 31;
        assert!(postcard::from_bytes::<Array<f64>>(&bytes[..32]).is_err());
        let empty: Array<u16> = postcard::from_bytes(&[0]).unwrap();
        assert_eq!(empty, Array(vec![]));
    }
}
