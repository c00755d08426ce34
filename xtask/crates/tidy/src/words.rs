//! Words that `docs/glossary.md` replaces by the term of the field.
//!
//! Text and identifiers are treated alike: `is_held`, `IsHeld` and "is held"
//! are the same two words.

use crate::{Finding, Repo, Source};

/// The file with the table, and its section.
const GLOSSARY: &str = "docs/glossary.md";
const SECTION: &str = "## Words to avoid";

/// Files whose words are not ours: licenses, other tools' output, captured
/// consoles, recorded results, changes that quote FreeBSD's own lines.
const NOT_OURS: [&str; 6] = ["lock", "svg", "txt", "diff", "json", "LICENSE"];

/// A word that is right where it stands.
struct Exception {
    word: &'static str,
    /// The beginning of the file's path.
    path: &'static str,
    /// What the line has to contain, in any case.
    line: &'static str,
    /// Why the word is right there; for readers of this table.
    #[allow(dead_code)]
    reason: &'static str,
}

/// The exceptions. Each has a reason; prefer another word to a new line here.
const EXCEPTIONS: [Exception; 8] = [
    Exception {
        word: "desk",
        path: "xtask/crates/series/src/operation.rs",
        line: "desk",
        reason: "a state file of the first version has this key",
    },
    Exception {
        word: "held",
        path: "",
        line: "lock",
        reason: "witness(4) says `locks are held`",
    },
    Exception {
        word: "held",
        path: "",
        line: "mutex",
        reason: "mutex(9) says `the mutex is held`",
    },
    Exception {
        word: "held",
        path: "kmod/src/kpi/",
        line: "held",
        reason: "the wrappers report locks that a thread holds",
    },
    Exception {
        word: "held",
        path: "kmod/src/tests/",
        line: "held",
        reason: "the tests of those wrappers",
    },
    Exception {
        word: "trial",
        path: "xtask/tests/faults/main.rs",
        line: "libtest_mimic",
        reason: "libtest_mimic has a type `Trial`",
    },
    Exception {
        word: "trial",
        path: "xtask/crates/ci/tests/pipelines.rs",
        line: "libtest_mimic",
        reason: "libtest_mimic has a type `Trial`",
    },
    Exception {
        word: "trial",
        path: "xtask/tests/slurm/main.rs",
        line: "libtest_mimic",
        reason: "libtest_mimic has a type `Trial`",
    },
];

/// A row of the table: words in a row, in lower case, and what to write.
#[derive(Debug, PartialEq, Eq)]
struct Avoided {
    words: Vec<String>,
    write: String,
}

/// Finds words to avoid.
pub fn check(repo: &Repo) -> Vec<Finding> {
    let Some(glossary) = repo.text(GLOSSARY) else {
        return vec![Finding::new(
            GLOSSARY,
            1,
            "the file is missing",
            format!("add it, with the section `{SECTION}`"),
        )];
    };
    let avoided = table(glossary);
    if avoided.is_empty() {
        return vec![Finding::new(
            GLOSSARY,
            1,
            format!("no table in the section `{SECTION}`"),
            "add it: | avoid | write |, the avoided words in backticks",
        )];
    }
    repo.sources
        .iter()
        .filter(|source| source.path != GLOSSARY && source.path != SELF)
        .filter(|source| !source.is(&NOT_OURS) && !NOT_OURS.contains(&source.name()))
        .flat_map(|source| in_file(source, &avoided))
        .collect()
}

/// This file names words to avoid.
const SELF: &str = "xtask/crates/tidy/src/words.rs";

/// Reads the table of the glossary.
fn table(glossary: &str) -> Vec<Avoided> {
    let section = glossary
        .lines()
        .skip_while(|line| line.trim() != SECTION)
        .skip(1)
        .take_while(|line| !line.starts_with("## "));
    let mut avoided = Vec::new();
    for row in section.filter(|line| line.starts_with('|')) {
        let mut cells = row.trim_matches('|').split('|');
        let (Some(avoid), Some(write)) = (cells.next(), cells.next()) else {
            continue;
        };
        for quoted in avoid.split('`').skip(1).step_by(2) {
            avoided.push(Avoided {
                words: words(quoted).into_iter().map(|(_, word)| word).collect(),
                write: write.trim().to_owned(),
            });
        }
    }
    avoided
}

fn in_file(source: &Source, avoided: &[Avoided]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (at, line) in ours(source) {
        let words = words(line);
        for avoid in avoided {
            let used = words.windows(avoid.words.len().max(1)).any(|window| {
                let same = window.iter().zip(&avoid.words).all(|((_, a), b)| a == b);
                same && in_a_row(line, window)
            });
            let word = avoid.words.join(" ");
            if used && !is_excepted(&word, &source.path, line) {
                let remedy = match avoid.write.as_str() {
                    "" => "use another word; see docs/glossary.md".to_owned(),
                    write => format!("write {write}"),
                };
                found.push(Finding::new(
                    &source.path,
                    at,
                    format!("the word `{word}`"),
                    remedy,
                ));
            }
        }
    }
    found
}

/// Returns the lines that are this project's own. In a patch those are the
/// message's: what follows quotes FreeBSD.
fn ours(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let is_patch = source.is(&["patch"]);
    source
        .lines()
        .take_while(move |(_, line)| !is_patch || !line.starts_with("diff "))
}

fn is_excepted(word: &str, path: &str, line: &str) -> bool {
    let line = line.to_lowercase();
    EXCEPTIONS.iter().any(|exception| {
        exception.word == word && path.starts_with(exception.path) && line.contains(exception.line)
    })
}

/// Splits a line into words in lower case, each with its place. An identifier
/// consists of several: `held_locks`, `HeldLocks`, `HELD_LOCKS`.
fn words(line: &str) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut before = ' ';
    let mut chars = line.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c.is_alphabetic() {
            let next_is_lower = chars.peek().is_some_and(|(_, next)| next.is_lowercase());
            let begins = !before.is_alphabetic()
                || (c.is_uppercase() && (before.is_lowercase() || next_is_lower));
            match words.last_mut() {
                Some((_, word)) if !begins => word.extend(c.to_lowercase()),
                _ => words.push((at, c.to_lowercase().collect())),
            }
        }
        before = c;
    }
    words
}

/// Reports whether nothing but one space, hyphen or underscore is between the
/// words.
fn in_a_row(line: &str, words: &[(usize, String)]) -> bool {
    words.windows(2).all(|pair| {
        let end = pair[0].0 + pair[0].1.len();
        let between = line.get(end..pair[1].0).unwrap_or("?");
        matches!(between, "" | " " | "-" | "_")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# Glossary\n\n## Words to avoid\n\n| avoid | write |\n|---|---|\n\
        | `told`, `tells` | reported |\n| `give up` | abort |\n\n## Other\n| `fine` | x |\n";

    fn found(path: &str, text: &str) -> Vec<String> {
        let repo = Repo::of(&[("docs/glossary.md", TABLE), (path, text)]);
        check(&repo).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_line_is_split_into_words() {
        let table: [(&str, &[&str]); 4] = [
            ("it is held.", &["it", "is", "held"]),
            (
                "held_locks(HELD_LOCKS)",
                &["held", "locks", "held", "locks"],
            ),
            ("HeldLocks isHeld", &["held", "locks", "is", "held"]),
            ("XMLReader x86_64", &["xml", "reader", "x"]),
        ];
        for (line, want) in table {
            let got: Vec<String> = words(line).into_iter().map(|(_, word)| word).collect();
            assert_eq!(got, want, "{line}");
        }
    }

    #[test]
    fn whole_words_are_found_in_any_case_and_in_identifiers() {
        let table = [
            ("a.rs", "// The kernel told us.", 1),
            ("a.rs", "fn is_told() {}", 1),
            ("a.rs", "struct IsTold;", 1),
            ("a.rs", "const TOLD: u8 = 1;", 1),
            ("a.rs", "stolid, untold", 0),
            ("a.md", "To give up is to give-up, fn give_up, GiveUp", 1),
            ("a.md", "give it up", 0),
            ("a.md", "give, up", 0),
            ("a.md", "fine", 0),
            ("a.patch", "told\n---\ntold\ndiff --git a b\n+told\n", 2),
            ("LICENSE", "told", 0),
            ("x.lock", "told", 0),
        ];
        for (path, text, want) in table {
            let found = found(path, text);
            assert_eq!(found.len(), want, "{path} {text}: {found:?}");
        }
    }

    #[test]
    fn the_finding_says_what_to_write() {
        assert_eq!(
            found("a.md", "x\nHe tells you.\n"),
            ["a.md:2: the word `tells`: write reported"]
        );
    }

    #[test]
    fn a_glossary_without_the_table_is_found() {
        let without = check(&Repo::of(&[("docs/glossary.md", "# Glossary\n")]));
        assert_eq!(without.len(), 1);
        assert_eq!(check(&Repo::of(&[])).len(), 1);
    }
}
