//! Finds the commit as which a patch has landed: it has the same subject, or
//! makes the same change.

use std::collections::BTreeSet;

use crate::format_patch::patch_ids;
use kdk_core::failure::Failure;
use kdk_core::git::Git;

const TRIED: &str = "find a patch in a history";

/// The number of first parents to search: most of a year of FreeBSD.
const FAR: usize = 10_000;
/// The number of commits to the patch's files whose subjects are compared.
const SUBJECTS: &str = "--max-count=2000";
/// The number of commits to these files whose changes are compared.
const CHANGES: &str = "--max-count=200";

/// The patch to find.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The patch's subject.
    pub subject: &'a str,
    /// The diff of the patch.
    pub diff: &'a [u8],
    /// The files that it changes. Only commits to them are searched.
    pub files: &'a BTreeSet<String>,
}

/// A commit that is the patch, or may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The id of the commit.
    pub commit: String,
    /// Whether it makes the same change and was not reverted.
    pub certain: bool,
}

/// Returns the last commit up to `tip` that has the patch's subject, else the
/// last that makes its change. Does not search a partial clone, which would
/// fetch.
pub fn find(git: &Git, tip: &str, wanted: Wanted<'_>) -> Result<Option<Found>, Failure> {
    if is_partial(git)? {
        return Ok(None);
    }
    let far = format!("{tip}~{FAR}");
    let args = ["rev-parse", "--verify", "--quiet", &far];
    let start = git.run(TRIED, &args)?;
    let range = match start.ok {
        true => format!("{}..{tip}", start.text()),
        false => tip.to_owned(),
    };
    let log = |range: &str, more: &[&str]| {
        let mut args = vec!["--literal-pathspecs", "log", "--no-merges"];
        args.extend(["--no-show-signature", "--no-color"]);
        args.extend(more);
        args.extend([range, "--"]);
        args.extend(wanted.files.iter().map(String::as_str));
        Ok::<_, Failure>(git.must(TRIED, &args, b"")?.stdout)
    };
    let changes =
        |range: &str, count: &str| patch_ids(&log(range, &[&[count], &DIFF[..]].concat())?);
    let Some((own, _)) = patch_ids(wanted.diff)?.into_iter().next() else {
        return Ok(None);
    };
    let subjects = log(&range, &[SUBJECTS, "--format=%H %s"])?;
    let subjects = String::from_utf8_lossy(&subjects).into_owned();
    let subjects: Vec<(&str, &str)> = subjects
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let named = subjects
        .iter()
        .find(|(_, subject)| *subject == wanted.subject)
        .map(|(commit, _)| (*commit).to_owned());
    let (commit, same) = match named {
        Some(commit) => {
            let of_it = changes(&commit, "--max-count=1")?;
            let same = of_it.iter().any(|(id, of)| *id == own && *of == commit);
            (commit, same)
        }
        None => {
            let all = changes(&range, CHANGES)?;
            let Some((_, commit)) = all.into_iter().find(|(id, _)| *id == own) else {
                return Ok(None);
            };
            (commit, true)
        }
    };
    Ok(Some(Found {
        certain: same && !is_reverted(&subjects, &commit),
        commit,
    }))
}

const DIFF: [&str; 6] = [
    "-p",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--full-index",
    "--format=commit %H",
];

/// Returns whether the subject of a commit after `commit` says that it reverts
/// it.
fn is_reverted(subjects: &[(&str, &str)], commit: &str) -> bool {
    let Some(at) = subjects.iter().position(|(of, _)| *of == commit) else {
        return false;
    };
    let revert = format!("Revert \"{}\"", subjects[at].1);
    subjects[..at].iter().any(|(_, subject)| *subject == revert)
}

fn is_partial(git: &Git) -> Result<bool, Failure> {
    let pattern = "^(extensions\\.partialclone|remote\\..*\\.promisor)$";
    Ok(git.run(TRIED, &["config", "--get-regexp", pattern])?.ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fixtures::{commit, git as run, tree, write};

    #[test]
    fn a_patch_is_found_by_its_subject_or_its_change() {
        let dir = tempfile::tempdir().unwrap();
        let src = tree(dir.path(), "src", 1_501_000);
        let file = src.join("sys/kern/a.c");
        write(&file, "one\n2\nthree\n");
        let first = commit(&src, "kern: Count");
        let diff = run(&src, &["diff", "--no-color", "HEAD^", "HEAD"]) + "\n";
        write(&src.join("sys/kern/b.c"), "c\n");
        commit(&src, "kern: Elsewhere");
        let git = Git::new(src.join(".git"));
        let find = |subject: &str, diff: &str, files: &[&str]| {
            let wanted = Wanted {
                subject,
                diff: diff.as_bytes(),
                files: &files.iter().map(|file| (*file).to_owned()).collect(),
            };
            find(&git, "HEAD", wanted).unwrap()
        };
        let (a, other) = (["sys/kern/a.c"], diff.replace("+2", "+zwei"));
        let found = |certain| {
            let commit = first.clone();
            Some(Found { commit, certain })
        };
        assert_eq!(find("kern: Count", &diff, &a), found(true));
        assert_eq!(find("kern: Count", &other, &a), found(false));
        assert_eq!(find("kern: Other", &diff, &a), found(true));
        assert_eq!(find("kern: Other", &other, &a), None);
        // A commit that touches none of the files is not it.
        assert_eq!(find("kern: Elsewhere", &other, &a), None);
        write(&file, "one\ntwo\nthree\n");
        commit(&src, "Revert \"kern: Count\"");
        assert_eq!(find("kern: Count", &diff, &a), found(false));
        assert_eq!(find("kern: Other", &diff, &a), found(false));
        run(&src, &["config", "remote.origin.promisor", "true"]);
        assert_eq!(find("kern: Count", &diff, &a), None);
    }
}
