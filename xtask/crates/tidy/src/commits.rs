//! Commits that `git log --oneline` shows in full, on a line without merges.

use xshell::{Shell, cmd};

use crate::repo::Commit;
use crate::subject::too_long;
use crate::{Finding, Repo};

/// The last commit before the rule. The history up to it has merges and
/// subjects of 150 characters, and published history is not rewritten.
const BEFORE_THE_RULE: &str = "eb1099e";

/// How many commits are checked. Older ones were checked when they were new.
const CHECKED: &str = "50";

/// Characters of a subject.
const LIMIT: usize = 72;

/// Returns the last commits since the rule. In a shallow clone the commits
/// that it lacks are not checked; if it lacks [`BEFORE_THE_RULE`], none is.
pub(crate) fn since_the_rule(shell: &Shell) -> Result<Vec<Commit>, xshell::Error> {
    let range = format!("{BEFORE_THE_RULE}..HEAD");
    let known = cmd!(shell, "git cat-file -e {BEFORE_THE_RULE}")
        .quiet()
        .ignore_stdout()
        .ignore_stderr()
        .run();
    if known.is_err() {
        return Ok(Vec::new());
    }
    let log = cmd!(
        shell,
        "git log -n {CHECKED} --format=%h%x00%p%x00%s {range}"
    )
    .quiet()
    .read()?;
    Ok(log.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Commit> {
    let mut fields = line.split('\0');
    Some(Commit {
        id: fields.next()?.to_owned(),
        parents: fields.next()?.split_whitespace().count(),
        subject: fields.next()?.to_owned(),
    })
}

/// Finds merges and subjects that are too long.
pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for commit in &repo.commits {
        let file = format!("commit {}", commit.id);
        if commit.parents > 1 {
            found.push(Finding::new(&file, 1, "a merge", "rebase instead"));
        }
        if let Some(what) = too_long(&commit.subject, LIMIT) {
            found.push(Finding::new(&file, 1, what, "reword it"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_and_long_subjects_are_found() {
        let long = "x".repeat(73);
        let table = [
            ("a1\0b1\0tidy: Add a check".to_owned(), vec![]),
            (format!("a1\0b1\0{}", &long[1..]), vec![]),
            (
                format!("a1\0b1\0{long}"),
                vec!["commit a1:1: a subject of 73 characters, the limit is 72: reword it"],
            ),
            (
                "a1\0b1 c1\0Merge x".to_owned(),
                vec!["commit a1:1: a merge: rebase instead"],
            ),
            ("a1\0\0the first commit".to_owned(), vec![]),
        ];
        for (line, want) in table {
            let repo = Repo {
                commits: parse(&line).into_iter().collect(),
                ..Repo::default()
            };
            let found: Vec<String> = check(&repo).iter().map(ToString::to_string).collect();
            assert_eq!(found, want, "{line}");
        }
    }
}
