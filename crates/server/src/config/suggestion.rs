//! "Did you mean": the known word that is closest to a mistyped one.

/// How alike two words must be, from 0 (nothing in common) to 1; `prot` and `port` have 0.75.
const ALIKE: f64 = 0.65;

/// The candidate closest to `word`, if one is close; case, `_` and `-` do not count.
pub(super) fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = plain(word);
    let scored = candidates.map(|candidate| (likeness(&word, &plain(candidate)), candidate));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0));
    best.filter(|(score, _)| *score >= ALIKE).map(|(_, candidate)| candidate)
}

fn likeness(left: &str, right: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(left, right)
}

fn plain(word: &str) -> String {
    // A mistyped word is short; comparing a long one would cost its square.
    let letters = word.chars().take(64).filter(|character| !matches!(character, '_' | '-'));
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_letters_and_other_cases_are_recognised() {
        let known = ["host", "port", "maxBodyBytes"];
        assert_eq!(closest("prot", known.into_iter()), Some("port"));
        assert_eq!(closest("MAX_BODY_BYTES", known.into_iter()), Some("maxBodyBytes"));
    }

    #[test]
    fn a_word_unlike_all_others_gets_no_suggestion() {
        assert_eq!(closest("elasticsearch", ["host", "port"].into_iter()), None);
    }
}
