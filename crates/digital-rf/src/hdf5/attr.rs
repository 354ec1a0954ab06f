//! Attribute values.

use std::fmt;

/// The value of an attribute.
///
/// Writing makes an attribute of exactly the type that the variant names. Reading gives the stored
/// width back for single numbers; arrays come back in the widest type of their kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AttrValue {
    /// A signed integer of 1 byte.
    I8(i8),
    /// A signed integer of 2 bytes.
    I16(i16),
    /// A signed integer of 4 bytes.
    I32(i32),
    /// A signed integer of 8 bytes.
    I64(i64),
    /// An unsigned integer of 1 byte.
    U8(u8),
    /// An unsigned integer of 2 bytes.
    U16(u16),
    /// An unsigned integer of 4 bytes.
    U32(u32),
    /// An unsigned integer of 8 bytes.
    U64(u64),
    /// A float of 4 bytes.
    F32(f32),
    /// A float of 8 bytes.
    F64(f64),
    /// A bool, as h5py stores it: the enumeration FALSE, TRUE.
    Bool(bool),
    /// Text of any length in UTF-8, as h5py stores a `str`.
    Str(String),
    /// Text in a slot of exactly its length and a closing zero byte, as C programs store it.
    Ascii(String),
    /// Text in a slot of exactly its length, as h5py stores a `numpy.bytes_`. Read as
    /// [`AttrValue::Ascii`].
    AsciiPadded(String),
    /// Signed integers of 8 bytes, one dimension.
    I64s(Vec<i64>),
    /// Unsigned integers of 8 bytes, one dimension.
    U64s(Vec<u64>),
    /// Floats of 8 bytes, one dimension.
    F64s(Vec<f64>),
    /// Texts in UTF-8, one dimension.
    Strs(Vec<String>),
}

impl AttrValue {
    /// The value as a signed integer: any integer or bool that fits, alone or as the only element.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::U64(x) => i64::try_from(*x).ok(),
            Self::I64s(xs) if xs.len() == 1 => Some(xs[0]),
            Self::U64s(xs) if xs.len() == 1 => i64::try_from(xs[0]).ok(),
            Self::I8(x) => Some(i64::from(*x)),
            Self::I16(x) => Some(i64::from(*x)),
            Self::I32(x) => Some(i64::from(*x)),
            Self::I64(x) => Some(*x),
            Self::U8(x) => Some(i64::from(*x)),
            Self::U16(x) => Some(i64::from(*x)),
            Self::U32(x) => Some(i64::from(*x)),
            Self::Bool(x) => Some(i64::from(*x)),
            _ => None,
        }
    }

    /// The value as an unsigned integer: any integer or bool that fits, alone or as the only
    /// element.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::U64(x) => Some(*x),
            Self::U64s(xs) if xs.len() == 1 => Some(xs[0]),
            other => other.as_i64().and_then(|x| u64::try_from(x).ok()),
        }
    }

    /// The value as a float: any number, alone or as the only element. Integers of more than 53
    /// bits are rounded.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::F32(x) => Some(f64::from(*x)),
            Self::F64(x) => Some(*x),
            Self::F64s(xs) if xs.len() == 1 => Some(xs[0]),
            other => other.as_i64().map(|x| x as f64).or(other.as_u64().map(|x| x as f64)),
        }
    }

    /// The value as a truth: a bool, or an integer that is not zero.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(x) => Some(*x),
            other => other.as_i64().map(|x| x != 0).or(other.as_u64().map(|x| x != 0)),
        }
    }

    /// The value as text, alone or as the only element.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(s) | Self::Ascii(s) | Self::AsciiPadded(s) => Some(s),
            Self::Strs(all) if all.len() == 1 => Some(&all[0]),
            _ => None,
        }
    }

    /// The value as texts.
    pub fn as_strs(&self) -> Option<Vec<&str>> {
        match self {
            Self::Strs(all) => Some(all.iter().map(String::as_str).collect()),
            other => other.as_str().map(|s| vec![s]),
        }
    }

    /// The value as floats.
    pub fn as_f64s(&self) -> Option<Vec<f64>> {
        match self {
            Self::F64s(xs) => Some(xs.clone()),
            Self::I64s(xs) => Some(xs.iter().map(|&x| x as f64).collect()),
            Self::U64s(xs) => Some(xs.iter().map(|&x| x as f64).collect()),
            other => other.as_f64().map(|x| vec![x]),
        }
    }
}

/// Text for people: numbers and text as they are, arrays in brackets.
impl fmt::Display for AttrValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I8(x) => write!(f, "{x}"),
            Self::I16(x) => write!(f, "{x}"),
            Self::I32(x) => write!(f, "{x}"),
            Self::I64(x) => write!(f, "{x}"),
            Self::U8(x) => write!(f, "{x}"),
            Self::U16(x) => write!(f, "{x}"),
            Self::U32(x) => write!(f, "{x}"),
            Self::U64(x) => write!(f, "{x}"),
            Self::F32(x) => write!(f, "{x}"),
            Self::F64(x) => write!(f, "{x}"),
            Self::Bool(x) => write!(f, "{x}"),
            Self::Str(s) | Self::Ascii(s) | Self::AsciiPadded(s) => f.write_str(s),
            Self::I64s(xs) => write!(f, "{xs:?}"),
            Self::U64s(xs) => write!(f, "{xs:?}"),
            Self::F64s(xs) => write!(f, "{xs:?}"),
            Self::Strs(all) => write!(f, "{all:?}"),
        }
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident),* $(,)?) => {$(
        impl From<$type> for AttrValue {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from! {
    i8 => I8, i16 => I16, i32 => I32, i64 => I64, u8 => U8, u16 => U16, u32 => U32, u64 => U64,
    f32 => F32, f64 => F64, bool => Bool, &str => Str, String => Str,
    Vec<i64> => I64s, Vec<u64> => U64s, Vec<f64> => F64s, Vec<String> => Strs,
}
