//! Secrets that a message quotes: as they are, or as URLs, JSON and base64 write them.

use crate::secret::{MASK, SecretValue};

/// Secrets shorter than this are not looked for: they would hit by chance.
const SHORTEST: usize = 4;

/// Stands for a whole text that holds a secret in another form than its own.
const WITHHELD: &str = "********* (not kept, since it quotes a secret)";

/// The secrets of one service, to be taken out of messages about it.
pub(crate) struct QuotedSecrets<'a>(Vec<&'a SecretValue>);

impl<'a> QuotedSecrets<'a> {
    /// Longest first: one that is part of another would leave the rest of it.
    pub(crate) fn of(secrets: &'a [SecretValue]) -> Self {
        let mut secrets: Vec<_> = secrets.iter().filter(|secret| secret.len() >= SHORTEST).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// The text with a mask in place of each secret.
    pub(crate) fn masked(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for secret in &self.0 {
            // REVEAL: to find the value in a message and mask it there.
            masked = masked.replace(secret.reveal(), MASK);
        }
        let is_hidden_in = |bytes: &[u8]| self.0.iter().any(|secret| contains(bytes, secret));
        if readings(&masked).iter().any(|reading| is_hidden_in(reading)) { WITHHELD.to_owned() } else { masked }
    }
}

fn contains(bytes: &[u8], secret: &SecretValue) -> bool {
    // REVEAL: as above, in the bytes that a message stands for.
    let wanted = secret.reveal().as_bytes();
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// What a text means where it is taken for percent-encoded, escaped with backslashes, or base64.
fn readings(text: &str) -> Vec<Vec<u8>> {
    let mut readings = Vec::new();
    if text.contains('%') {
        let decoded = percent_decoded(text);
        readings.push(decoded.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect());
        readings.push(decoded);
        // A plus sign that is one is written `%2B`, so that the others are spaces.
        readings.push(percent_decoded(&text.replace('+', " ")));
    }
    if text.contains('\\') {
        readings.push(unescaped(text));
    }
    let is_digit = |character: char| base64_digit(character).is_some();
    for run in text.split(|character| !is_digit(character)).filter(|run| run.len() > SHORTEST) {
        readings.extend((0..4).filter_map(|start| run.get(start..)).map(base64_decoded));
    }
    readings
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let byte = (*first == b'%').then(|| hex_byte(tail.get(..2)?)).flatten();
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    decoded
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Escapes as in JSON, and in Python's and Go's quoted texts.
fn unescaped(text: &str) -> Vec<u8> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            decoded.push(character);
            continue;
        }
        match rest.next() {
            Some('n') => decoded.push('\n'),
            Some('r') => decoded.push('\r'),
            Some('t') => decoded.push('\t'),
            Some(kind @ ('u' | 'x')) => {
                let length = if kind == 'u' { 4 } else { 2 };
                let code = rest.as_str().get(..length).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                decoded.extend(code.and_then(char::from_u32));
                rest = rest.as_str().get(length..).unwrap_or_default().chars();
            }
            other => decoded.extend(other),
        }
    }
    decoded.into_bytes()
}

fn base64_decoded(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().filter_map(base64_digit).collect();
    let decode = |chunk: &[u32]| {
        let word = chunk.iter().fold(0, |word, digit| word << 6 | digit) << (6 * (4 - chunk.len()));
        word.to_be_bytes().into_iter().skip(1).take(chunk.len() * 6 / 8)
    };
    digits.chunks(4).flat_map(decode).collect()
}

/// Of the standard and of the URL-safe alphabet.
fn base64_digit(character: char) -> Option<u32> {
    let code = u32::from(character);
    match character {
        'A'..='Z' => Some(code - u32::from('A')),
        'a'..='z' => Some(code - u32::from('a') + 26),
        '0'..='9' => Some(code - u32::from('0') + 52),
        '+' | '-' => Some(62),
        '/' | '_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn masked(text: &str) -> String {
        let secrets = ["p@ss w\u{f6}rd\"/+1", "pass", "abc"].map(|secret| SecretValue::new(secret.to_owned()));
        QuotedSecrets::of(&secrets).masked(text)
    }

    #[rstest]
    #[case("no p@ss w\u{f6}rd\"/+1 here", "no ********* here")]
    #[case("pass and abc", "********* and abc")]
    #[case("100% of /usr/lib\\x are fine, aGVsbG8gd29ybGQ=", "100% of /usr/lib\\x are fine, aGVsbG8gd29ybGQ=")]
    fn a_secret_is_masked_and_the_rest_stays(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(masked(text), expected);
    }

    #[rstest]
    #[case("mysql://u:p%40ss%20w%C3%B6rd%22%2F%2B1@h")]
    #[case("mysql://u:p%40ss%20w%c3%b6rd%22/+1@h")]
    #[case("?pw=p%40ss+w%C3%B6rd%22%2F%2B1")]
    #[case(r#"{"pw": "p@ss wörd\"/+1"}"#)]
    #[case(r#"{"pw": "p@ss w\u00f6rd\"\/+1"}"#)]
    #[case(r"'p@ss w\xf6rd\x22/+1'")]
    #[case("cEBzcyB3w7ZyZCIvKzE=")]
    #[case("Basic dTpwQHNzIHfDtnJkIi8rMQ==")]
    #[case("token=dTpwYXNzOng")]
    fn a_text_that_holds_a_secret_in_another_form_is_withheld(#[case] text: &str) {
        assert_eq!(masked(text), WITHHELD);
    }
}
