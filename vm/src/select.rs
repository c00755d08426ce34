//! Selects the tests of a run.

use kdk_harness::Pattern;
use miette::Diagnostic;

use crate::protocol::TestEntry;

/// The patterns do not select tests of this guest.
#[derive(Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum SelectError {
    /// A pattern that matches nothing.
    #[error("no test matches {pattern:?} (the guest has {of} tests)")]
    #[diagnostic(help("{hint}"))]
    NoMatch {
        /// The pattern as the user wrote it.
        pattern: String,
        /// The number of tests.
        of: usize,
        /// A suggestion for the user.
        hint: String,
    },
    /// A pattern with characters that no test's name has.
    #[error("{0:?} is neither a test's name nor a glob")]
    #[diagnostic(help(
        "write a name as suite/case, with lower case letters, digits and `-`, or a glob with * and ?"
    ))]
    BadPattern(String),
    /// The patterns with `!` exclude all tests.
    #[error("no test is left: the patterns with ! exclude all others")]
    #[diagnostic(help("remove a pattern with !"))]
    NothingLeft,
    /// No test runs by default, and none is named.
    #[error("none of the guest's {of} tests runs by default")]
    #[diagnostic(help("name tests with --tests"))]
    NoDefaults {
        /// The number of tests.
        of: usize,
    },
}

/// Returns the selected tests in the guest's order, each once. Without patterns
/// these are the default tests.
///
/// A pattern is a name, a glob (`*`, `?`) over whole names, or a suite's name
/// alone; with `!` before it, it excludes tests. A test that does not run by
/// default is selected only by a pattern that spells out its suite, so that `*`
/// does not select a crash.
pub fn select(tests: &[TestEntry], patterns: &[String]) -> Result<Vec<TestEntry>, SelectError> {
    let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
    for text in patterns {
        let (list, pattern) = match text.strip_prefix('!') {
            Some(pattern) => (&mut unwanted, compile(pattern)?),
            None => (&mut wanted, compile(text)?),
        };
        if !tests.iter().any(|test| selects(&pattern, test)) {
            return Err(SelectError::NoMatch {
                pattern: text.clone(),
                of: tests.len(),
                hint: hint(text, tests),
            });
        }
        list.push(pattern);
    }
    let is_picked = |test: &TestEntry| match wanted.as_slice() {
        [] => test.default,
        patterns => patterns.iter().any(|pattern| selects(pattern, test)),
    };
    let is_left = |test: &TestEntry| !unwanted.iter().any(|pattern| selects(pattern, test));
    let picked: Vec<TestEntry> = tests
        .iter()
        .filter(|test| is_picked(test))
        .cloned()
        .collect();
    if picked.is_empty() {
        return Err(SelectError::NoDefaults { of: tests.len() });
    }
    let left: Vec<TestEntry> = picked.into_iter().filter(is_left).collect();
    if left.is_empty() {
        return Err(SelectError::NothingLeft);
    }
    Ok(left)
}

fn selects(pattern: &Pattern, test: &TestEntry) -> bool {
    pattern.selects(&test.name, test.default)
}

/// Fails if one of `patterns` can select no test of any guest.
///
/// # Errors
/// [`SelectError::BadPattern`].
pub fn check_patterns(patterns: &[String]) -> Result<(), SelectError> {
    patterns
        .iter()
        .try_for_each(|text| compile(text.strip_prefix('!').unwrap_or(text)).map(drop))
}

/// Returns whether `pattern` matches the test `name`.
pub fn stands_for(pattern: &str, name: &str) -> Result<bool, SelectError> {
    Ok(compile(pattern)?.matches(name))
}

/// Returns the compiled pattern. A suite's name alone selects all of its tests.
fn compile(text: &str) -> Result<Pattern, SelectError> {
    let suite = !text.is_empty() && !text.contains(['/', '*', '?']);
    let glob = format!("{text}/*");
    Pattern::new(if suite { &glob } else { text })
        .map_err(|_| SelectError::BadPattern(text.to_owned()))
}

/// Returns the most similar name, or else the suites.
fn hint(pattern: &str, tests: &[TestEntry]) -> String {
    let nearest = tests
        .iter()
        .map(|test| (strsim::jaro_winkler(pattern, &test.name), &test.name))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((_, name)) = nearest {
        return format!("did you mean {name}?");
    }
    let mut suites: Vec<&str> = tests.iter().map(TestEntry::suite).collect();
    suites.sort_unstable();
    suites.dedup();
    format!("its suites are: {}", suites.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::protocol::Expect;
    use crate::verdict::Where;

    fn tests() -> Vec<TestEntry> {
        [
            ("malloc/zero", true),
            ("malloc/flags", true),
            ("mutex/lock", true),
            ("fault/panic", false),
            ("fault/triple", false),
        ]
        .map(|(name, default)| TestEntry {
            name: name.into(),
            where_: Where::Kernel,
            limit: Duration::from_secs(5),
            expect: Expect::Pass,
            default,
            cpus: vec![1],
            mem_mib: 0,
        })
        .to_vec()
    }

    fn names(patterns: &[&str]) -> Result<Vec<String>, String> {
        let patterns: Vec<String> = patterns.iter().map(|p| (*p).to_owned()).collect();
        select(&tests(), &patterns)
            .map(|tests| tests.into_iter().map(|t| t.name).collect())
            .map_err(|e| {
                let help = e.help().map(|h| h.to_string()).unwrap_or_default();
                format!("{e}; {help}")
            })
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_an_error_not_a_green_run() {
        assert_eq!(
            names(&["malloc/*", "socket/*"]).unwrap_err(),
            "no test matches \"socket/*\" (the guest has 5 tests); \
             its suites are: fault, malloc, mutex"
        );
        assert_eq!(
            names(&["malloc/zeor"]).unwrap_err(),
            "no test matches \"malloc/zeor\" (the guest has 5 tests); \
             did you mean malloc/zero?"
        );
        for bad in ["", "Malloc/*", "a b"] {
            assert!(names(&[bad]).unwrap_err().contains("neither"), "{bad:?}");
        }
    }

    #[test]
    fn a_guest_without_tests_is_an_error() {
        assert_eq!(select(&[], &[]), Err(SelectError::NoDefaults { of: 0 }));
    }

    #[test]
    fn a_star_does_not_ask_for_fault_tests() {
        let all = ["malloc/zero", "malloc/flags", "mutex/lock"];
        assert_eq!(names(&[]).unwrap(), all);
        assert_eq!(names(&["*"]).unwrap(), all);
        assert_eq!(names(&["*/*"]).unwrap(), all);
        assert!(names(&["fau*/panic"]).is_err());
        assert_eq!(names(&["fault/panic"]).unwrap(), ["fault/panic"]);
        assert_eq!(names(&["fault"]).unwrap(), ["fault/panic", "fault/triple"]);
        assert_eq!(names(&["fault/t*"]).unwrap(), ["fault/triple"]);
    }

    #[test]
    fn patterns_stand_for_tests() {
        for (pattern, want) in [
            ("fault", true),
            ("fault/p*", true),
            ("f*", true),
            ("fault/pan", false),
        ] {
            assert_eq!(stands_for(pattern, "fault/panic"), Ok(want), "{pattern}");
        }
        assert!(stands_for("a b", "fault/panic").is_err());
    }

    #[test]
    fn an_exclamation_mark_takes_tests_away() {
        assert_eq!(names(&["!mutex"]).unwrap(), ["malloc/zero", "malloc/flags"]);
        assert_eq!(
            names(&["m*/*", "!malloc/z*"]).unwrap(),
            ["malloc/flags", "mutex/lock"]
        );
        assert_eq!(
            names(&["!m*/*"]).unwrap_err(),
            "no test is left: the patterns with ! exclude all others; \
             remove a pattern with !"
        );
        assert!(
            names(&["!socket/*"])
                .unwrap_err()
                .starts_with("no test matches \"!socket/*\"")
        );
    }

    #[test]
    fn overlapping_patterns_run_a_test_once_in_the_guests_order() {
        assert_eq!(
            names(&["mutex/lock", "m*/*", "malloc"]).unwrap(),
            ["malloc/zero", "malloc/flags", "mutex/lock"]
        );
    }
}
