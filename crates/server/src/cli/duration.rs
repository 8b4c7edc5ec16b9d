//! Durations as people type them.

use std::time::Duration;

/// Longest duration that is taken, in seconds: ten years.
const LONGEST: u64 = 3650 * 24 * 3600;

/// A whole number and a unit: `45s`, `30m`, `12h`, `30d`, `8w`.
pub(super) fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "a duration is a whole number and a unit (s, m, h, d, w), such as 30d";
    let number = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match text.strip_prefix(number) {
        Some("s") => 1,
        Some("m") => 60,
        Some("h") => 3600,
        Some("d") => 24 * 3600,
        Some("w") => 7 * 24 * 3600,
        _ => return Err(FORM),
    };
    // `parse` alone would take a plus sign.
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FORM);
    }
    let number: u64 = number.parse().map_err(|_| FORM)?;
    let seconds = number.checked_mul(unit).filter(|seconds| (1..=LONGEST).contains(seconds));
    seconds.map(Duration::from_secs).ok_or("a duration is at least 1s and at most 3650d")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let seconds = |text| parse_duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("45s"), Ok(45));
        assert_eq!(seconds("30m"), Ok(1800));
        assert_eq!(seconds("12h"), Ok(43_200));
        assert_eq!(seconds("30d"), Ok(2_592_000));
        assert_eq!(seconds("8w"), Ok(4_838_400));
    }

    #[test]
    fn other_durations_are_refused() {
        for text in [
            "",
            "d",
            "30",
            "+3d",
            "-3d",
            "3.5h",
            "30D",
            "30dd",
            "3 d",
            "٣d",
            "0s",
            "3651d",
            "99999999999999999999w",
            "9999999999999999999w",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert!(parse_duration("30").unwrap_err().contains("such as 30d"));
    }
}
