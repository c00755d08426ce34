//! Selects tests by name.

use crate::{Refusal, Test};
use arrayvec::ArrayString;

/// The longest pattern, in bytes.
pub const MAX_PATTERN: usize = 128;

/// A test's name or a glob: `*` matches any number of characters, including the
/// slash, and `?` matches one. Host and guests share this type, so that a
/// pattern means the same to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern(ArrayString<MAX_PATTERN>);

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Fails when it is empty, longer than [`MAX_PATTERN`], or has a character
    /// that neither a name nor a glob has.
    pub fn new(pattern: &str) -> Result<Self, Refusal> {
        let fits = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'/' | b'*' | b'?');
        if pattern.is_empty() || !pattern.bytes().all(fits) {
            return Err(Refusal::BadPattern);
        }
        ArrayString::from(pattern)
            .map(Self)
            .map_err(|_| Refusal::BadPattern)
    }

    /// Returns the pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the pattern matches `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(self.0.as_bytes(), name.as_bytes())
    }

    /// Returns whether the pattern selects the test of this name. A test that
    /// does not run by default is selected only by its full name, or by a glob
    /// with its suite (`fault/*`), not by `*`.
    #[must_use]
    pub fn selects(&self, name: &str, default: bool) -> bool {
        self.matches(name) && (default || self.names_suite())
    }

    /// Returns whether the pattern [`selects`](Self::selects) a registered
    /// test.
    #[must_use]
    pub fn selects_test(&self, test: &Test) -> bool {
        self.selects(test.name, test.default)
    }

    fn names_suite(&self) -> bool {
        self.0
            .split_once('/')
            .is_some_and(|(suite, _)| !suite.contains(['*', '?']))
    }
}

/// Returns whether `pattern` matches `text`, without an allocator and without
/// recursion: on a mismatch the last `*` takes one more character.
fn matches(mut pattern: &[u8], mut name: &[u8]) -> bool {
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        (pattern, name) = match (pattern.split_first(), name.split_first()) {
            (Some((b'*', after)), _) => {
                retry = Some((after, name));
                (after, name)
            }
            (Some((p, after)), Some((c, rest))) if *p == b'?' || p == c => (after, rest),
            (None, None) => return true,
            _ => match retry.and_then(|(after, from)| Some((after, from.get(1..)?))) {
                Some(again) => {
                    retry = Some(again);
                    again
                }
                None => return false,
            },
        };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn bad_patterns_are_refused() {
        let long = "a".repeat(MAX_PATTERN + 1);
        for bad in ["", "a b", "A", "a\n", "[a]", "{a,b}", "!a", "é", &long] {
            assert_eq!(Pattern::new(bad), Err(Refusal::BadPattern), "{bad:?}");
        }
        let longest = &long[1..];
        assert_eq!(Pattern::new(longest).unwrap().as_str(), longest);
    }

    #[test]
    fn patterns_match() {
        for (pattern, name, matches) in [
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("a", "a/b", false),
            ("*", "a/b", true),
            ("a/*", "a/b", true),
            ("a/*", "ab/b", false),
            ("a*b", "a/b", true),
            ("?/?", "a/b", true),
            ("a?b", "a/b", true),
            ("a/?", "a/bc", false),
            ("*x*y*", "a/1x2y3", true),
            ("*x*y*", "a/y-x", false),
            ("**", "a/b", true),
            ("a/***c", "a/bbc", true),
            ("a/**c", "a/bbcd", false),
            ("*", "", true),
            ("?", "", false),
            ("a*", "", false),
            ("*a", "aba", true),
            ("*ab*ab", "abxab", true),
            ("*ab*ab", "xab", false),
            ("a*?", "a", false),
            ("a*?", "ab", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).unwrap().matches(name),
                matches,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn tests_off_by_default_must_be_meant() {
        for (pattern, selected) in [
            ("fault/panic", true),
            ("fault/*", true),
            ("fault/p?nic", true),
            ("*", false),
            ("*/panic", false),
            ("f*/panic", false),
            ("faul?/panic", false),
            ("other/*", false),
        ] {
            let pattern = Pattern::new(pattern).unwrap();
            assert_eq!(
                pattern.selects("fault/panic", false),
                selected,
                "{pattern:?}"
            );
            let by_default = pattern.matches("fault/panic");
            assert_eq!(
                pattern.selects("fault/panic", true),
                by_default,
                "{pattern:?}"
            );
        }
    }
}
