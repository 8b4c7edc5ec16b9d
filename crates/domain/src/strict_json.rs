//! JSON as bodies that carry secrets may have it: no duplicate keys, no NUL, bounded depth, no number that would
//! come back as another.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// How deep objects and arrays may nest.
pub const MAX_DEPTH: usize = 64;

/// Above this, a double no longer tells neighbouring integers apart (2^53).
const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;

/// What is wrong with a text that should be JSON; names a line, a column or a key, never a value.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct JsonError(String);

/// Parses a JSON text strictly.
pub fn parse_json(text: &[u8]) -> Result<Value, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict { depth: 0 }.deserialize(&mut deserializer).map_err(|error| without_value(&error))?;
    deserializer.end().map_err(|error| without_value(&error))?;
    Ok(value)
}

/// The messages of serde may quote values; those of syntax errors and of ours do not.
fn without_value(error: &serde_json::Error) -> JsonError {
    JsonError(error.to_string())
}

struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format_args!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn without_nul<E: serde::de::Error>(text: String) -> Result<String, E> {
    if text.contains('\0') { Err(E::custom("a text holds the character NUL")) } else { Ok(text) }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        if value.abs() >= LARGEST_EXACT {
            return Err(E::custom("a number is too large to be kept exactly; send it as a text"));
        }
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        without_nul(value).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(self.deeper()?)? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            let key = without_nul(key)?;
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key `{key}` occurs twice")));
            }
            object.insert(key, members.next_value_seed(self.deeper()?)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::duplicate_key(r#"{"a":1,"a":2}"#, "the key `a` occurs twice")]
    #[case::nul(r#"{"a":"x\u0000"}"#, "NUL")]
    #[case::nul_in_a_key(r#"{"a\u0000":1}"#, "NUL")]
    #[case::lone_surrogate(r#"{"a":"\ud800"}"#, "hex escape")]
    #[case::huge_integer("[12345678901234567890123]", "too large")]
    #[case::trailing("{} x", "trailing")]
    #[case::empty("", "EOF")]
    fn what_could_be_read_in_two_ways_is_refused(#[case] text: &str, #[case] reason: &str) {
        let error = parse_json(text.as_bytes()).unwrap_err().to_string();

        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));

        assert!(parse_json(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(parse_json(nested(MAX_DEPTH + 1).as_bytes()).is_err());
    }

    #[test]
    fn what_is_fine_comes_back_as_it_was() {
        let text = r#"{"b":[1,-2,0.5,true,null],"a":"ä\n😀"}"#;

        assert_eq!(parse_json(text.as_bytes()).unwrap().to_string(), r#"{"b":[1,-2,0.5,true,null],"a":"ä\n😀"}"#);
    }
}
