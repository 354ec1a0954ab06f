//! Element types: what one cell of a dataset holds.

use std::fmt;

use bytemuck::Pod;

/// A machine number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// Signed, 1 byte.
    I8,
    /// Signed, 2 bytes.
    I16,
    /// Signed, 4 bytes.
    I32,
    /// Signed, 8 bytes.
    I64,
    /// Unsigned, 1 byte.
    U8,
    /// Unsigned, 2 bytes.
    U16,
    /// Unsigned, 4 bytes.
    U32,
    /// Unsigned, 8 bytes.
    U64,
    /// IEEE 754, 4 bytes.
    F32,
    /// IEEE 754, 8 bytes.
    F64,
}

impl Scalar {
    /// Size in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::I64 | Self::U64 | Self::F64 => 8,
        }
    }

    /// Whether it is a floating-point number.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64)
    }

    /// Whether it is a signed integer.
    pub const fn is_signed_integer(self) -> bool {
        matches!(self, Self::I8 | Self::I16 | Self::I32 | Self::I64)
    }

    /// Its name as numpy gives it: `int16`, `float32`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The order of the bytes of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// A number as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Number {
    /// Width and kind.
    pub scalar: Scalar,
    /// Byte order; of no meaning for one byte.
    pub order: ByteOrder,
}

impl Number {
    /// The number in little-endian order.
    pub const fn little(scalar: Scalar) -> Self {
        Self { scalar, order: ByteOrder::Little }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.order {
            ByteOrder::Big if self.scalar.size() > 1 => write!(f, "big-endian {}", self.scalar),
            _ => write!(f, "{}", self.scalar),
        }
    }
}

/// One member of a [`ElementType::Record`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The member's name.
    pub name: String,
    /// Where it starts in the record, in bytes.
    pub offset: usize,
    /// What it holds.
    pub element: ElementType,
}

/// What one cell of a dataset holds, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElementType {
    /// A number.
    Number(Number),
    /// A pair of equal numbers named `r` and `i`: the complex number of h5py and Digital RF.
    Complex(Number),
    /// The enumeration FALSE, TRUE over one byte, which h5py takes for a bool.
    Bool,
    /// Text in a fixed number of bytes, padded with zeros.
    FixedString {
        /// Bytes per element.
        len: usize,
    },
    /// Text of any length, kept elsewhere in the file.
    String,
    /// A compound of named members.
    Record {
        /// Bytes per element.
        size: usize,
        /// The members.
        fields: Vec<Field>,
    },
    /// A type that this crate does not decode.
    Other {
        /// Bytes per element.
        size: usize,
        /// What it is.
        description: String,
    },
}

impl ElementType {
    /// Bytes per element as stored; for [`ElementType::String`], of the reference to the text.
    pub fn size(&self) -> usize {
        match self {
            Self::Number(number) => number.scalar.size(),
            Self::Complex(number) => 2 * number.scalar.size(),
            Self::Bool => 1,
            Self::FixedString { len } => *len,
            Self::String => 16,
            Self::Record { size, .. } | Self::Other { size, .. } => *size,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Complex(number) => write!(f, "complex {number}"),
            Self::Bool => f.write_str("bool"),
            Self::FixedString { len } => write!(f, "text of {len} bytes"),
            Self::String => f.write_str("text"),
            Self::Record { fields, .. } => {
                f.write_str("record of")?;
                fields.iter().try_for_each(|field| write!(f, " {}: {},", field.name, field.element))
            }
            Self::Other { description, .. } => f.write_str(description),
        }
    }
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else shall implement `Element`")]
    pub trait Sealed {}
}

/// A number that datasets are read into and written from.
///
/// Implemented for the ten types of [`Scalar`], and for nothing else.
pub trait Element: Pod + sealed::Sealed + fmt::Debug {
    /// Which number it is.
    const SCALAR: Scalar;

    /// The same number with its bytes reversed.
    #[doc(hidden)]
    #[must_use]
    fn swap_bytes(self) -> Self;
}

macro_rules! element {
    ($($type:ty => $scalar:ident, $swap:expr;)*) => {$(
        impl sealed::Sealed for $type {}
        impl Element for $type {
            const SCALAR: Scalar = Scalar::$scalar;
            fn swap_bytes(self) -> Self {
                let swap: fn($type) -> $type = $swap;
                swap(self)
            }
        }
    )*};
}

element! {
    i8 => I8, |x| x;
    i16 => I16, i16::swap_bytes;
    i32 => I32, i32::swap_bytes;
    i64 => I64, i64::swap_bytes;
    u8 => U8, |x| x;
    u16 => U16, u16::swap_bytes;
    u32 => U32, u32::swap_bytes;
    u64 => U64, u64::swap_bytes;
    f32 => F32, |x| f32::from_bits(x.to_bits().swap_bytes());
    f64 => F64, |x| f64::from_bits(x.to_bits().swap_bytes());
}
