//! From the output of a task to named columns, by serde.

use std::fmt;

use serde::ser::{self, Impossible, Serialize, Serializer};

use crate::Value;

/// The columns of an output below a name, as it has them below none: `name` for a single value,
/// `name.field` and `name_0` for others.
///
/// # Errors
///
/// What cannot be in a table: bytes, variants that hold something, numbers above 2^63 - 1.
pub fn columns_of<T: Serialize + ?Sized>(
    name: &str,
    output: &T,
) -> Result<Vec<(String, Value)>, Unfit> {
    let mut columns = Vec::new();
    output.serialize(Flat { columns: &mut columns, name: name.to_owned() })?;
    Ok(columns)
}

/// The columns of an output, in their order: the fields of a struct by their names (`flow.max` for a
/// struct in a struct), the entries of a map by their keys, `result_0`, `result_1` for a tuple or an
/// array, and `result` for a single value. What is `None` is left out.
pub(crate) fn columns<T: Serialize + ?Sized>(output: &T) -> Result<Vec<(String, Value)>, Unfit> {
    columns_of("", output)
}

/// What cannot be in a table.
#[derive(Debug)]
pub struct Unfit(String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl ser::Error for Unfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

fn unfit<T>(what: &str) -> Result<T, Unfit> {
    Err(Unfit(format!("{what} cannot be in a table")))
}

struct Flat<'a> {
    columns: &'a mut Vec<(String, Value)>,
    name: String,
}

impl Flat<'_> {
    fn push(self, value: Value) -> Result<(), Unfit> {
        let name = if self.name.is_empty() { "result".to_owned() } else { self.name };
        self.columns.push((name, value));
        Ok(())
    }
}

macro_rules! scalars {
    ($($method:ident($type:ty) => $value:expr),* $(,)?) => {
        $(fn $method(self, value: $type) -> Result<(), Unfit> {
            let make: fn($type) -> Value = $value;
            self.push(make(value))
        })*
    };
}

impl<'a> Serializer for Flat<'a> {
    type Ok = ();
    type Error = Unfit;
    type SerializeSeq = Several<'a>;
    type SerializeTuple = Several<'a>;
    type SerializeTupleStruct = Several<'a>;
    type SerializeTupleVariant = Impossible<(), Unfit>;
    type SerializeMap = Several<'a>;
    type SerializeStruct = Several<'a>;
    type SerializeStructVariant = Impossible<(), Unfit>;

    scalars! {
        serialize_bool(bool) => Value::Bool,
        serialize_i8(i8) => |v| Value::Int(v.into()),
        serialize_i16(i16) => |v| Value::Int(v.into()),
        serialize_i32(i32) => |v| Value::Int(v.into()),
        serialize_i64(i64) => Value::Int,
        serialize_u8(u8) => |v| Value::Int(v.into()),
        serialize_u16(u16) => |v| Value::Int(v.into()),
        serialize_u32(u32) => |v| Value::Int(v.into()),
        serialize_f32(f32) => |v| Value::Float(v.into()),
        serialize_f64(f64) => Value::Float,
        serialize_char(char) => |v| Value::Text(v.into()),
        serialize_str(&str) => |v| Value::Text(v.into()),
    }

    fn serialize_u64(self, value: u64) -> Result<(), Unfit> {
        match i64::try_from(value) {
            Ok(value) => self.push(Value::Int(value)),
            Err(_) => unfit(&format!("{value}, which is more than 2^63 - 1,")),
        }
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Unfit> {
        unfit("a run of bytes")
    }

    fn serialize_none(self) -> Result<(), Unfit> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unfit> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unfit> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unfit> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unfit> {
        self.push(Value::Text(variant.to_owned()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: &T,
    ) -> Result<(), Unfit> {
        unfit(&format!("variant {variant}, which holds something,"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Several<'a>, Unfit> {
        Ok(Several { flat: self, n: 0, key: None })
    }

    fn serialize_tuple(self, _: usize) -> Result<Several<'a>, Unfit> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Several<'a>, Unfit> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unfit> {
        unfit(&format!("variant {variant}, which holds something,"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Several<'a>, Unfit> {
        self.serialize_seq(None)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Several<'a>, Unfit> {
        self.serialize_seq(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unfit> {
        unfit(&format!("variant {variant}, which holds something,"))
    }
}

/// What holds several columns.
pub(crate) struct Several<'a> {
    flat: Flat<'a>,
    n: usize,
    key: Option<String>,
}

impl Several<'_> {
    fn named<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Unfit> {
        let above = &self.flat.name;
        let name = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        value.serialize(Flat { columns: &mut *self.flat.columns, name })
    }

    fn numbered<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        let above = if self.flat.name.is_empty() { "result" } else { &self.flat.name };
        let name = format!("{above}_{}", self.n);
        self.n += 1;
        value.serialize(Flat { columns: &mut *self.flat.columns, name })
    }
}

macro_rules! numbered {
    ($($trait:ident::$method:ident),*) => {
        $(impl ser::$trait for Several<'_> {
            type Ok = ();
            type Error = Unfit;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
                self.numbered(value)
            }

            fn end(self) -> Result<(), Unfit> {
                Ok(())
            }
        })*
    };
}

numbered!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field
);

impl ser::SerializeMap for Several<'_> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unfit> {
        let key = columns(key)?;
        match &key[..] {
            [(_, key)] => self.key = Some(key.to_string()),
            _ => return unfit("a key of several values"),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unfit> {
        let key = self.key.take().unwrap_or_default();
        self.named(&key, value)
    }

    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}

impl ser::SerializeStruct for Several<'_> {
    type Ok = ();
    type Error = Unfit;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Unfit> {
        self.named(key, value)
    }

    fn end(self) -> Result<(), Unfit> {
        Ok(())
    }
}
