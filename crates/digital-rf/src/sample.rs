//! Types of samples, and their conversion to complex floats.

use std::fmt;

use bytemuck::Pod;
use num_complex::Complex;

use crate::hdf5::{ByteOrder, Element, ElementType, Number, Scalar};

/// What a channel stores for each sample of a sub-channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SampleType {
    /// The number, or each part of a complex number.
    pub number: Number,
    /// Whether there is an imaginary part, which follows the real one.
    pub complex: bool,
}

impl SampleType {
    /// Bytes of a sample of one sub-channel.
    pub const fn size(self) -> usize {
        self.number.scalar.size() * if self.complex { 2 } else { 1 }
    }

    /// What HDF5 calls it.
    pub(crate) fn element(self) -> ElementType {
        if self.complex {
            ElementType::Complex(self.number)
        } else {
            ElementType::Number(self.number)
        }
    }

    pub(crate) fn from_element(element: &ElementType) -> Option<Self> {
        match element {
            ElementType::Number(number) => Some(Self { number: *number, complex: false }),
            ElementType::Complex(number) => Some(Self { number: *number, complex: true }),
            _ => None,
        }
    }

    /// The sample that stands for "never written", as stored: the smallest signed integer, zero
    /// for unsigned ones, not a number for floats; in both parts of a complex sample.
    pub fn fill(self) -> Vec<u8> {
        let mut part = match self.number.scalar {
            Scalar::I8 => i8::MIN.to_le_bytes().to_vec(),
            Scalar::I16 => i16::MIN.to_le_bytes().to_vec(),
            Scalar::I32 => i32::MIN.to_le_bytes().to_vec(),
            Scalar::I64 => i64::MIN.to_le_bytes().to_vec(),
            Scalar::F32 => f32::NAN.to_le_bytes().to_vec(),
            Scalar::F64 => f64::NAN.to_le_bytes().to_vec(),
            unsigned => vec![0; unsigned.size()],
        };
        if self.number.order == ByteOrder::Big {
            part.reverse();
        }
        if self.complex { part.repeat(2) } else { part }
    }
}

impl fmt::Display for SampleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.complex { "complex " } else { "" }, self.number)
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else shall implement `Sample`")]
    pub trait Sealed {}
    impl<T: crate::hdf5::Element> Sealed for T {}
    impl<T: crate::hdf5::Element> Sealed for num_complex::Complex<T> {}
}

/// A sample that can be written: any of the ten numbers of [`Scalar`], or a complex number of two
/// of them.
pub trait Sample: Pod + sealed::Sealed {
    /// What it is stored as.
    const TYPE: SampleType;
}

macro_rules! sample {
    ($($type:ty),*) => {$(
        impl Sample for $type {
            const TYPE: SampleType = SampleType {
                number: Number::little(<$type as Element>::SCALAR),
                complex: false,
            };
        }
        impl Sample for Complex<$type> {
            const TYPE: SampleType = SampleType {
                number: Number::little(<$type as Element>::SCALAR),
                complex: true,
            };
        }
    )*};
}

sample!(i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

/// Converts rows of stored samples of one sub-channel to complex floats.
///
/// | argument | shape                        |                                          |
/// | -------- | ---------------------------- | ---------------------------------------- |
/// | `bytes`  | `[out.len() * row_bytes]`    | as stored                                |
/// | `offset` | `< row_bytes`                | where the sub-channel begins in its row  |
/// | `out`    | `[n]`, overwritten           |                                          |
///
/// Numbers are cast, so integers of more than 24 bits (`f32`) or 53 bits (`f64`) are rounded. The
/// imaginary part of real samples is zero.
pub(crate) type Convert<F> = fn(&[u8], SampleType, usize, usize, &mut [Complex<F>]);

/// Takes parts out of rows by a function of their `N` bytes.
#[inline(always)]
fn each_row<const N: usize, F: Default>(
    bytes: &[u8],
    complex: bool,
    (row_bytes, offset): (usize, usize),
    out: &mut [Complex<F>],
    part: impl Fn([u8; N]) -> F,
) {
    let at = |row: &[u8], at: usize| {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&row[at..at + N]);
        part(bytes)
    };
    // With one sub-channel the length of a row is known at compile time, which lets the compiler
    // use wide instructions.
    match (complex, row_bytes == N, row_bytes == 2 * N) {
        (true, _, true) => {
            for (z, row) in out.iter_mut().zip(bytes.as_chunks::<N>().0.as_chunks::<2>().0) {
                *z = Complex::new(part(row[0]), part(row[1]));
            }
        }
        (false, true, _) => {
            for (z, row) in out.iter_mut().zip(bytes.as_chunks::<N>().0) {
                *z = Complex::new(part(*row), F::default());
            }
        }
        (true, ..) => {
            for (z, row) in out.iter_mut().zip(bytes.chunks_exact(row_bytes)) {
                *z = Complex::new(at(row, offset), at(row, offset + N));
            }
        }
        (false, ..) => {
            for (z, row) in out.iter_mut().zip(bytes.chunks_exact(row_bytes)) {
                *z = Complex::new(at(row, offset), F::default());
            }
        }
    }
}

macro_rules! convert {
    ($name:ident, $float:ty) => {
        pub(crate) fn $name(
            bytes: &[u8],
            sample_type: SampleType,
            row_bytes: usize,
            offset: usize,
            out: &mut [Complex<$float>],
        ) {
            macro_rules! cast {
                ($scalar:ty) => {
                    match sample_type.number.order {
                        ByteOrder::Little => {
                            each_row(bytes, sample_type.complex, (row_bytes, offset), out, |b| {
                                <$scalar>::from_le_bytes(b) as $float
                            })
                        }
                        ByteOrder::Big => {
                            each_row(bytes, sample_type.complex, (row_bytes, offset), out, |b| {
                                <$scalar>::from_be_bytes(b) as $float
                            })
                        }
                    }
                };
            }
            match sample_type.number.scalar {
                Scalar::I8 => cast!(i8),
                Scalar::I16 => cast!(i16),
                Scalar::I32 => cast!(i32),
                Scalar::I64 => cast!(i64),
                Scalar::U8 => cast!(u8),
                Scalar::U16 => cast!(u16),
                Scalar::U32 => cast!(u32),
                Scalar::U64 => cast!(u64),
                Scalar::F32 => cast!(f32),
                Scalar::F64 => cast!(f64),
            }
        }
    };
}

convert!(to_complex32, f32);
convert!(to_complex64, f64);
