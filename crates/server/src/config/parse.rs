//! From a value of the file, the environment or the command line to a Rust type.
//!
//! Values from the environment and the command line, and interpolated ones, are text; so every parser takes text too.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::Value;
use strongroom_domain::SecretValue;

use super::fault::Problem;
use super::suggestion::closest;

/// A parsed value, or what is wrong with it.
pub(super) type Parsed<T> = Result<T, Problem>;

/// An integer within `range`, which must lie within `T`.
pub(super) fn integer<T: TryFrom<u64>>(value: &Value, range: RangeInclusive<u64>) -> Parsed<T> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_u64(),
    };
    let in_range = number.filter(|number| range.contains(number));
    in_range.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
        let wanted = format!("an integer from {} to {}", range.start(), range.end());
        let got = if number.is_some() { "one outside this range" } else { describe(value) };
        Problem::WrongValue { wanted, got }
    })
}

/// A whole number of seconds within `range`.
pub(super) fn seconds(value: &Value, range: RangeInclusive<u64>) -> Parsed<Duration> {
    integer(value, range).map(Duration::from_secs)
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Parsed<bool> {
    let parsed = match value {
        Value::String(text) => text.trim().to_ascii_lowercase().parse().ok(),
        other => other.as_bool(),
    };
    parsed.ok_or_else(|| wrong("true or false", value))
}

/// Text on one line that is never shown, with any spaces it has.
pub(super) fn secret(value: &Value) -> Parsed<SecretValue> {
    text(value).map(|secret| SecretValue::new(secret.to_owned()))
}

/// Text on one line.
pub(super) fn text(value: &Value) -> Parsed<&str> {
    let Value::String(text) = value else {
        return Err(wrong("text (put it in quotes)", value));
    };
    if text.chars().any(char::is_control) {
        return Err(Problem::Rule("must not contain line breaks or other control characters"));
    }
    Ok(text)
}

/// A list of texts: a YAML list, or one text with commas between, with or without brackets around.
pub(super) fn list(value: &Value) -> Parsed<Vec<&str>> {
    match value {
        Value::Array(items) => items.iter().map(|item| non_empty(text(item)?)).collect(),
        Value::String(_) => split(text(value)?),
        other => Err(wrong("a list of texts, or one text with commas between", other)),
    }
}

fn split(text: &str) -> Parsed<Vec<&str>> {
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(trimmed);
    if inner.trim().is_empty() {
        return Ok(Vec::new());
    }
    inner.split(',').map(non_empty).collect()
}

fn non_empty(item: &str) -> Parsed<&str> {
    let item = item.trim();
    if item.is_empty() {
        return Err(Problem::Rule("must not have an empty entry"));
    }
    Ok(item)
}

/// One of a few words, in any case.
pub(super) fn choice<T: Copy>(value: &Value, allowed: &[(&'static str, T)]) -> Parsed<T> {
    let word = text(value)?.trim().to_ascii_lowercase();
    let words = || allowed.iter().map(|(word, _)| *word);
    let found = allowed.iter().find(|(allowed, _)| *allowed == word);
    found
        .map(|(_, parsed)| *parsed)
        .ok_or_else(|| Problem::NotOneOf { allowed: words().collect(), suggestion: closest(&word, words()) })
}

/// That `value` is not what was `wanted`.
pub(super) fn wrong(wanted: &str, value: &Value) -> Problem {
    Problem::WrongValue { wanted: wanted.to_owned(), got: describe(value) }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() != 0.0) => {
            "a number with a fraction"
        }
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_integer_may_be_written_as_text() {
        assert_eq!(integer::<u16>(&json!(" 8585 "), 0..=65_535).unwrap(), 8585);
    }

    #[test]
    fn an_integer_names_its_range_and_never_the_value() {
        let problem = |value| integer::<u16>(&value, 1..=65_535).unwrap_err().to_string();
        assert_eq!(problem(json!("hunter2")), "must be an integer from 1 to 65535, got text");
        assert_eq!(problem(json!(70_000)), "must be an integer from 1 to 65535, got one outside this range");
        assert_eq!(problem(json!(-1)), "must be an integer from 1 to 65535, got a number");
        assert_eq!(problem(json!(80.5)), "must be an integer from 1 to 65535, got a number with a fraction");
        assert_eq!(problem(json!({})), "must be an integer from 1 to 65535, got a mapping");
    }

    #[test]
    fn only_true_and_false_are_booleans() {
        assert!(boolean(&json!("True")).unwrap());
        assert!(!boolean(&json!(false)).unwrap());
        assert_eq!(boolean(&json!(1)).unwrap_err().to_string(), "must be true or false, got a number");
    }

    #[test]
    fn a_list_may_be_one_text_with_commas() {
        assert_eq!(list(&json!("a, b")).unwrap(), ["a", "b"]);
        assert_eq!(list(&json!("[a,b]")).unwrap(), ["a", "b"]);
        assert_eq!(list(&json!(["a,b"])).unwrap(), ["a,b"]);
        assert_eq!(list(&json!("[]")).unwrap(), Vec::<&str>::new());
        assert_eq!(list(&json!("a,,b")).unwrap_err().to_string(), "must not have an empty entry");
    }

    #[test]
    fn a_word_close_to_an_allowed_one_is_suggested() {
        let problem = choice(&json!("alway"), &[("normal", 1), ("always", 2)]).unwrap_err();
        assert_eq!(problem.to_string(), "must be one of `normal`, `always`; did you mean `always`?");
    }
}
