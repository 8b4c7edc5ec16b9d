//! JSON Pointers (RFC 6901): how the path of a field is kept, and how it is shown.

use serde_json::Value;

/// The pointer of a member or element below `parent`.
pub(crate) fn below(parent: &str, segment: &str) -> String {
    let mut pointer = String::with_capacity(parent.len() + segment.len() + 1);
    pointer.push_str(parent);
    pointer.push('/');
    pointer.push_str(&segment.replace('~', "~0").replace('/', "~1"));
    pointer
}

/// The segments of a pointer, unescaped.
pub(crate) fn segments(pointer: &str) -> impl Iterator<Item = String> + '_ {
    pointer.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~"))
}

/// Says whether one pointer is the other or lies above it.
pub(crate) fn is_at_or_above(upper: &str, lower: &str) -> bool {
    lower.strip_prefix(upper).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A pointer as people read it: `/config/servers/0/apiKey` becomes `config.servers[0].apiKey`.
pub(crate) fn shown(pointer: &str) -> String {
    let mut path = String::with_capacity(pointer.len());
    for segment in segments(pointer) {
        if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push('[');
            path.push_str(&segment);
            path.push(']');
            continue;
        }
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(&segment);
    }
    path
}

/// Replaces what a pointer names; says whether there was something.
pub(crate) fn replace(document: &mut Value, pointer: &str, value: Value) -> bool {
    let Some(place) = document.pointer_mut(pointer) else { return false };
    *place = value;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_and_tildes_in_keys_survive() {
        let pointer = below("/config", "a/b~c");

        assert_eq!(pointer, "/config/a~1b~0c");
        assert_eq!(segments(&pointer).collect::<Vec<_>>(), ["config", "a/b~c"]);
    }

    #[test]
    fn a_pointer_is_shown_with_dots_and_brackets() {
        assert_eq!(shown("/config/servers/0/apiKey"), "config.servers[0].apiKey");
    }

    #[test]
    fn a_sibling_with_a_longer_name_is_not_below() {
        assert!(is_at_or_above("/config/auth", "/config/auth/password"));
        assert!(is_at_or_above("/config/auth", "/config/auth"));
        assert!(!is_at_or_above("/config/auth", "/config/authType"));
    }
}
