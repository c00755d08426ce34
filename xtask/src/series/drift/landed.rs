//! Which commit of a history is a patch of ours: it has the same subject, or
//! makes the same change.

use std::collections::BTreeSet;

use crate::base::git::Git;
use crate::failure::Failure;

const TRIED: &str = "look for a patch in a history";

/// First parents that are gone back. Most of a year of FreeBSD.
const FAR: usize = 10_000;
/// Commits to the patch's files whose subjects are compared.
const SUBJECTS: &str = "--max-count=2000";
/// Commits to them whose changes are compared.
const CHANGES: &str = "--max-count=200";

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The patch's subject.
    pub subject: &'a str,
    /// Its diff.
    pub diff: &'a [u8],
    /// The files it changes; only commits to them are looked at.
    pub files: &'a BTreeSet<String>,
}

/// The last commit up to `tip` that is the patch. A clone that would have to
/// fetch for the answer is not asked.
pub fn find(git: &Git, tip: &str, wanted: Wanted<'_>) -> Result<Option<String>, Failure> {
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
    let log = |more: &[&str]| {
        let mut args = vec!["--literal-pathspecs", "log", "--no-merges"];
        args.extend(["--no-show-signature", "--no-color"]);
        args.extend(more);
        args.extend([range.as_str(), "--"]);
        args.extend(wanted.files.iter().map(String::as_str));
        Ok::<_, Failure>(git.must(TRIED, &args, b"")?.stdout)
    };
    let subjects = log(&[SUBJECTS, "--format=%H %s"])?;
    let subjects = String::from_utf8_lossy(&subjects).into_owned();
    let same = |line: &str| {
        let (hash, subject) = line.split_once(' ')?;
        (subject == wanted.subject).then(|| hash.to_owned())
    };
    if let Some(hash) = subjects.lines().find_map(same) {
        return Ok(Some(hash));
    }
    let Some((own, _)) = ids(wanted.diff)?.into_iter().next() else {
        return Ok(None);
    };
    let changes = log(&[
        CHANGES,
        "-p",
        "--no-ext-diff",
        "--no-textconv",
        "--no-renames",
        "--full-index",
        "--format=commit %H",
    ])?;
    let theirs = ids(&changes)?;
    let same = theirs.into_iter().find(|(id, _)| *id == own);
    Ok(same.map(|(_, hash)| hash))
}

/// For each commit's diff in `text` its patch id and the commit.
fn ids(text: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let list = Git::nowhere().must(TRIED, &["patch-id", "--stable"], text)?;
    let pair = |line: &str| {
        let (id, hash) = line.split_once(' ')?;
        Some((id.to_owned(), hash.to_owned()))
    };
    Ok(list.text().lines().filter_map(pair).collect())
}

fn is_partial(git: &Git) -> Result<bool, Failure> {
    let pattern = "^(extensions\\.partialclone|remote\\..*\\.promisor)$";
    Ok(git.run(TRIED, &["config", "--get-regexp", pattern])?.ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::testing::{commit, git as run, tree, write};

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
        assert_eq!(find("kern: Count", &other, &a), Some(first.clone()));
        assert_eq!(find("kern: Other", &diff, &a), Some(first));
        assert_eq!(find("kern: Other", &other, &a), None);
        // A commit that touches none of the files is not it.
        assert_eq!(find("kern: Elsewhere", &other, &a), None);
        run(&src, &["config", "remote.origin.promisor", "true"]);
        assert_eq!(find("kern: Count", &diff, &a), None);
    }
}
