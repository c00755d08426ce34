//! Checks the names of tests, `suite/case`.

/// The longest name, in bytes.
pub const MAX_NAME: usize = 64;

/// Returns whether `name` is a `suite/case`: lower-case letters, digits and
/// `-`, one slash with something on both sides, [`MAX_NAME`] bytes at most.
/// Such a name contains no `#` of KTAP, no blank and no glob character.
#[must_use]
pub const fn is_valid_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.len() > MAX_NAME {
        return false;
    }
    let mut slash = None;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => {}
            b'/' if slash.is_none() => slash = Some(at),
            _ => return false,
        }
        at += 1;
    }
    matches!(slash, Some(at) if at > 0 && at + 1 < bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let too_long = "a/0123456789012345678901234567890123456789012345678901234567890123";
        let longest = &too_long[..MAX_NAME];
        for bad in [
            "", "/", "a", "a/", "/b", "a/b/c", "A/b", "a/b c", "a/b#c", "a/b\n", "a/b_c", "a/*",
            "a/é", too_long,
        ] {
            assert!(!is_valid_name(bad), "{bad:?}");
        }
        for good in ["a/b", "kpi/mutex-excludes", "0/-", longest] {
            assert!(is_valid_name(good), "{good:?}");
        }
    }
}
