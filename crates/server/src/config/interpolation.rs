//! `${NAME}` and `${NAME:-default}` in texts of the configuration file.
//!
//! It runs on parsed scalars, one pass: what a variable holds can neither change the structure of the file nor name
//! further variables.

use std::collections::BTreeMap;

use super::fault::Problem;

const MALFORMED: &str = "has a `${` that is neither `${NAME}` nor `${NAME:-default}`; a literal dollar sign is `$$`";
const NESTED: &str = "has a `${` inside a default, which cannot be nested";

/// `text` with its variables filled in, or all that is wrong with them. An empty variable counts as not set.
pub(super) fn interpolate(text: &str, environment: &BTreeMap<String, String>) -> Result<String, Vec<Problem>> {
    let mut filled = String::with_capacity(text.len());
    let mut problems = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        filled.push_str(before);
        rest = match expression(after) {
            Dollar::Literal(rest) => {
                filled.push('$');
                rest
            }
            Dollar::Variable { inside, rest } => {
                match resolve(inside, environment) {
                    Ok(value) => filled.push_str(value),
                    Err(problem) => problems.push(problem),
                }
                rest
            }
            Dollar::Unclosed => return Err(vec![Problem::Rule(MALFORMED)]),
        };
    }
    filled.push_str(rest);
    if problems.is_empty() { Ok(filled) } else { Err(problems) }
}

/// What follows a dollar sign.
enum Dollar<'a> {
    Literal(&'a str),
    Variable { inside: &'a str, rest: &'a str },
    Unclosed,
}

fn expression(after: &str) -> Dollar<'_> {
    if let Some(rest) = after.strip_prefix('$') {
        return Dollar::Literal(rest);
    }
    let Some(open) = after.strip_prefix('{') else {
        return Dollar::Literal(after);
    };
    open.split_once('}').map_or(Dollar::Unclosed, |(inside, rest)| Dollar::Variable { inside, rest })
}

fn resolve<'a>(inside: &'a str, environment: &'a BTreeMap<String, String>) -> Result<&'a str, Problem> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_variable_name(name) {
        return Err(Problem::Rule(MALFORMED));
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(Problem::Rule(NESTED));
    }
    let value = environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
    value.or(default).ok_or_else(|| Problem::UndefinedVariable(name.to_owned()))
}

fn is_variable_name(name: &str) -> bool {
    let is_letter = |character: char| character.is_ascii_alphabetic() || character == '_';
    name.starts_with(is_letter) && name.chars().all(|character| is_letter(character) || character.is_ascii_digit())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        let pairs = [("HOST", "db.internal"), ("EMPTY", ""), ("SLY", "${HOST}: [x]")];
        let environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        interpolate(text, &environment).map_err(|problems| {
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })
    }

    #[test]
    fn variables_are_filled_in_wherever_they_stand() {
        assert_eq!(filled("http://${HOST}:${PORT:-80}/").unwrap(), "http://db.internal:80/");
        assert_eq!(filled("${EMPTY:-none}${MISSING:-}").unwrap(), "none");
    }

    #[test]
    fn a_dollar_sign_is_kept_where_it_opens_no_variable() {
        assert_eq!(filled("a$b $$ $${HOST} 5$").unwrap(), "a$b $ ${HOST} 5$");
    }

    #[test]
    fn the_value_of_a_variable_is_not_interpolated_again() {
        assert_eq!(filled("${SLY}").unwrap(), "${HOST}: [x]");
    }

    #[test]
    fn every_missing_variable_is_named() {
        let faults = filled("${MISSING} ${EMPTY}").unwrap_err();
        assert_eq!(
            faults,
            "the environment variable MISSING is not set or empty; write ${MISSING:-default} if it may be missing\n\
             the environment variable EMPTY is not set or empty; write ${EMPTY:-default} if it may be missing"
        );
    }

    #[test]
    fn malformed_expressions_are_refused_without_being_quoted() {
        for text in ["${HOST", "${}", "${1A}", "${HOST-x}", "${HOST:?hunter2}", "${my name:-x}"] {
            assert_eq!(filled(text).unwrap_err(), MALFORMED, "{text}");
        }
        assert_eq!(filled("${A:-${HOST}}").unwrap_err(), NESTED);
    }
}
