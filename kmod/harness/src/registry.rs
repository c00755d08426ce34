//! The registry of a guest's tests.

use crate::{Pattern, Test};
use core::fmt;

/// The reason why a command about tests cannot be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The pattern is neither a name nor a glob.
    BadPattern,
    /// No registered test is selected.
    NoMatch,
    /// Two registered tests have this name.
    Duplicate(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPattern => out.write_str(
                "neither a test's name (suite/case: a-z, 0-9, '-') nor a glob of one ('*', '?')",
            ),
            Self::NoMatch => out.write_str("no test matches; `list` names those there are"),
            Self::Duplicate(name) => write!(
                out,
                "two tests are registered as {name}; give one of them another name"
            ),
        }
    }
}

impl core::error::Error for Refusal {}

/// The registered tests, in the linker's order.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'a> {
    tests: &'a [&'static Test],
}

impl<'a> Registry<'a> {
    /// Returns the registry over a linker set.
    #[must_use]
    pub const fn new(tests: &'a [&'static Test]) -> Self {
        Self { tests }
    }

    /// Returns the tests, sorted by name.
    #[must_use]
    pub const fn ordered(&self) -> Ordered<'a> {
        Ordered {
            tests: self.tests,
            last: None,
        }
    }

    /// Returns the test of exactly this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'static Test> {
        self.tests.iter().copied().find(|test| test.name == name)
    }

    /// Checks that no name is registered twice.
    ///
    /// # Errors
    /// Fails with the first such name.
    pub fn check(&self) -> Result<(), Refusal> {
        let twice = |test: &Test| self.tests.iter().filter(|t| t.name == test.name).count() > 1;
        match self.tests.iter().find(|test| twice(test)) {
            Some(test) => Err(Refusal::Duplicate(test.name)),
            None => Ok(()),
        }
    }

    /// Returns the number of tests that `pattern` selects.
    #[must_use]
    pub fn count(&self, pattern: &Pattern) -> usize {
        self.tests
            .iter()
            .filter(|test| pattern.selects_test(test))
            .count()
    }
}

/// An iterator over the tests of a registry by name. Each step searches all
/// tests for the next name, which needs no allocator and is fast enough for
/// hundreds of tests.
#[derive(Clone, Copy, Debug)]
pub struct Ordered<'a> {
    tests: &'a [&'static Test],
    last: Option<&'static str>,
}

impl Iterator for Ordered<'_> {
    type Item = &'static Test;

    fn next(&mut self) -> Option<&'static Test> {
        let next = self
            .tests
            .iter()
            .copied()
            .filter(|test| self.last.is_none_or(|last| test.name > last))
            .min_by_key(|test| test.name)?;
        self.last = Some(next.name);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    static B: Test = Test::new("a/b", || Ok(()));
    static C: Test = Test::new("a/c", || Ok(()));
    static C_AGAIN: Test = Test::new("a/c", || Ok(()));
    static A: Test = Test::new("b/a", || Ok(()));

    #[test]
    fn two_of_one_name_are_refused() {
        let refusal = Registry::new(&[&C, &B, &C_AGAIN]).check();
        assert_eq!(refusal, Err(Refusal::Duplicate("a/c")));
        assert!(refusal.unwrap_err().to_string().contains("a/c"));
        assert_eq!(Registry::new(&[&C, &B]).check(), Ok(()));
        assert_eq!(Registry::new(&[]).check(), Ok(()));
    }

    #[test]
    fn tests_come_by_name() {
        let tests = [&A, &C, &B];
        let registry = Registry::new(&tests);
        let names: Vec<_> = registry.ordered().map(|test| test.name).collect();
        assert_eq!(names, ["a/b", "a/c", "b/a"]);
        assert_eq!(Registry::new(&[]).ordered().count(), 0);
    }

    #[test]
    fn tests_are_found() {
        let tests = [&A, &C, &B];
        let registry = Registry::new(&tests);
        assert!(registry.get("a/*").is_none());
        assert!(registry.get("a").is_none());
        assert_eq!(registry.get("a/c").map(|test| test.name), Some("a/c"));
        for (pattern, count) in [("a/*", 2), ("*", 3), ("b/a", 1), ("c/*", 0)] {
            assert_eq!(registry.count(&Pattern::new(pattern).unwrap()), count);
        }
    }
}
