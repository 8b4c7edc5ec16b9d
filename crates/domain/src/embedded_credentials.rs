//! Credentials inside a text that is no secret as a whole: `https://user:pass@host`, `…?password=x`, `…;Pwd=x`.

use std::ops::Range;

use crate::free_map::SecretWords;
use crate::secret::{MASK, is_mask};

/// A text with credentials in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EmbeddedCredentials {
    /// The text with each credential masked.
    pub(crate) shown: String,
    /// Whether a credential in it is a mask already, so that the text means "keep".
    pub(crate) has_mask: bool,
    /// Whether some credentials in it are masks and others are not, so that it cannot be told what is meant.
    pub(crate) is_mixed: bool,
}

impl EmbeddedCredentials {
    /// Finds credentials in a text, or nothing where there are none.
    pub(crate) fn find(text: &str, words: &SecretWords) -> Option<Self> {
        let mut spans = user_info(text);
        spans.extend(parameters(text, words));
        spans.retain(|span| !span.is_empty());
        spans.sort_by_key(|span| span.start);
        spans.dedup_by(|later, earlier| later.start < earlier.end);
        if spans.is_empty() {
            return None;
        }
        let mut shown = String::with_capacity(text.len());
        let masks = spans.iter().filter(|span| text.get((*span).clone()).is_some_and(is_mask)).count();
        let is_mixed = (1..spans.len()).contains(&masks);
        let mut end = 0;
        for span in spans {
            shown.push_str(text.get(end..span.start).unwrap_or_default());
            shown.push_str(MASK);
            end = span.end;
        }
        shown.push_str(text.get(end..).unwrap_or_default());
        Some(Self { shown, has_mask: masks > 0, is_mixed })
    }
}

/// User and password of each `scheme://user:password@host` in the text. A user alone counts for HTTP, where it is
/// often a token, and not elsewhere, where it may be a container (`abfss://container@account`).
fn user_info(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    for (mark, _) in text.match_indices("://") {
        let start = mark + 3;
        let rest = text.get(start..).unwrap_or_default();
        let Some(length) = user_info_length(rest) else { continue };
        let user_info = rest.get(..length).unwrap_or_default();
        let is_http = text.get(..mark).is_some_and(|head| head.ends_with("http") || head.ends_with("https"));
        match user_info.split_once(':') {
            Some((user, _)) => {
                spans.push(start..start + user.len());
                spans.push(start + user.len() + 1..start + length);
            }
            None if is_http || is_mask(user_info) => spans.push(start..start + length),
            None => {}
        }
    }
    spans
}

/// How long the part before `@` is. A password with a raw slash makes the URL malformed and still counts.
fn user_info_length(rest: &str) -> Option<usize> {
    let end_of_text = rest.find([' ', '\n', '\t', '"', '\'', '<', '>']).unwrap_or(rest.len());
    let end_of_authority = rest.find(['/', '?', '#']).unwrap_or(end_of_text).min(end_of_text);
    let authority = rest.get(..end_of_authority)?;
    if let Some(at) = authority.rfind('@') {
        return Some(at);
    }
    let after_colon = authority.split_once(':')?.1;
    let is_port = after_colon.bytes().all(|byte| byte.is_ascii_digit());
    if is_port { None } else { rest.get(..end_of_text)?.rfind('@') }
}

/// The values of parameters with a secret-looking name, after `?`, `&`, `;` or at the start of the text.
fn parameters(text: &str, words: &SecretWords) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut start = 0;
    for part in text.split_inclusive(['?', '&', ';']) {
        let content = part.strip_suffix(['?', '&', ';']).unwrap_or(part);
        if let Some((name, value)) = content.split_once('=') {
            let is_name = !name.trim().is_empty()
                && name.trim().chars().all(|character| character.is_alphanumeric() || " _.-".contains(character));
            if is_name && words.look_secret(name) {
                let value_start = start + name.len() + 1;
                spans.push(value_start..value_start + value.len());
            }
        }
        start += part.len();
    }
    spans
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn shown(text: &str) -> Option<String> {
        EmbeddedCredentials::find(text, &SecretWords::default()).map(|found| found.shown)
    }

    #[rstest]
    #[case("https://me:pw@host:80/x", "https://*********:*********@host:80/x")]
    #[case("https://ghp_123@host", "https://*********@host")]
    #[case("mongodb://u:p@h1,h2/db", "mongodb://*********:*********@h1,h2/db")]
    #[case("postgres://u:p/w@h/db", "postgres://*********:*********@h/db")]
    #[case("postgres://u:p@ss@h/db", "postgres://*********:*********@h/db")]
    #[case("jdbc:sqlserver://h;user=sa;password=x;a=b", "jdbc:sqlserver://h;user=sa;password=*********;a=b")]
    #[case("Server=h; Pwd=x", "Server=h; Pwd=*********")]
    #[case("https://h/p?token=x&y=1", "https://h/p?token=*********&y=1")]
    fn credentials_are_masked_and_nothing_else(#[case] text: &str, #[case] masked: &str) {
        assert_eq!(shown(text).as_deref(), Some(masked));
    }

    #[rstest]
    #[case("https://host:8080/path@x")]
    #[case("abfss://container@account.dfs.core.windows.net/")]
    #[case("host:3306")]
    #[case("^information_schema$")]
    #[case("someone@example.com")]
    #[case("select 1 where a = 'b'")]
    fn texts_without_credentials_are_left_alone(#[case] text: &str) {
        assert_eq!(shown(text), None);
    }

    #[test]
    fn a_masked_text_is_known_as_such() {
        let masked = EmbeddedCredentials::find("https://*********:*********@host", &SecretWords::default()).unwrap();

        assert!(masked.has_mask && !masked.is_mixed);
    }

    #[test]
    fn a_text_with_some_credentials_masked_is_told_apart() {
        let mixed = EmbeddedCredentials::find("https://me:*********@host", &SecretWords::default()).unwrap();

        assert!(mixed.is_mixed);
    }
}
