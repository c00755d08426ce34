//! Files that one person can read in one sitting.

use crate::{Finding, Repo, Source};

/// Lines of Rust in a file, without its `mod tests`.
const RUST: usize = 700;

/// Lines of Rust in a file that consists of tests: independent cases are read
/// one by one, and a second file of fixtures would be no easier to read.
const TESTS: usize = 1000;

/// Lines of C in a file. C is allowed more, because a static function or a
/// static table is visible in one file only, and style(9) needs more lines.
const C: usize = 1000;

/// Finds files that are too long.
pub fn check(repo: &Repo) -> Vec<Finding> {
    repo.sources.iter().filter_map(too_long).collect()
}

fn too_long(source: &Source) -> Option<Finding> {
    let (lines, limit) = if source.is(&["rs"]) && consists_of_tests(&source.path) {
        (source.text.lines().count(), TESTS)
    } else if source.is(&["rs"]) {
        (without_tests(&source.text), RUST)
    } else if source.is(&["c", "h"]) {
        (source.text.lines().count(), C)
    } else {
        return None;
    };
    (lines > limit).then(|| {
        Finding::new(
            &source.path,
            limit + 1,
            format!("{lines} lines, the limit is {limit}"),
            "split the file by subject",
        )
    })
}

fn consists_of_tests(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Counts the lines up to `#[cfg(test)] mod tests {`, which ends a file.
fn without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && pair[1] == "mod tests {")
        .unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_a_file_do_not_count() {
        let code = |n: usize| "fn f() {}\n".repeat(n);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", code(500));
        let table = [
            ("a.rs", code(700), false),
            ("a.rs", code(701), true),
            ("a.rs", code(700) + &tests, false),
            ("a.rs", code(701) + &tests, true),
            (
                "a.rs",
                code(300) + "#[cfg(test)]\nmod tests;\n" + &code(500),
                true,
            ),
            ("a/tests.rs", code(1000), false),
            ("tests/a.rs", code(701), true),
            ("x/tests/a.rs", code(1000), false),
            ("x/tests/a.rs", code(1001), true),
            ("a.c", code(1000), false),
            ("a.h", code(1001), true),
            ("a.md", code(5000), false),
        ];
        for (path, text, long) in table {
            let found = check(&Repo::of(&[(path, &text)]));
            assert_eq!(found.len(), usize::from(long), "{path}: {found:?}");
        }
    }

    #[test]
    fn the_finding_names_the_first_line_that_is_too_many() {
        let found = check(&Repo::of(&[("a.rs", &"\n".repeat(702))]));
        assert_eq!(
            found[0].to_string(),
            "a.rs:701: 702 lines, the limit is 700: split the file by subject"
        );
    }
}
