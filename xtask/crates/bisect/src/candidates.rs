//! The commits of a range: the first-parent line from the good commit to the
//! bad one. A merge is one commit of it, whatever it merged.
//!
//! The user's revisions are resolved once, to commit ids. What a branch points
//! at later, and what the checkout has in its work tree, does not matter.

use kdk_core::failure::Failure;
use kdk_core::git::Git;

const TRIED: &str = "list the commits between good and bad";

/// A commit of the range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The commit id.
    pub commit: String,
    /// The first line of its message.
    pub subject: String,
    /// Whether it is a merge.
    pub is_merge: bool,
}

/// A range of commits, with both endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    /// The commits, from the good one to the bad one.
    pub commits: Vec<Candidate>,
}

impl Candidates {
    /// Returns the good endpoint.
    pub fn good(&self) -> &str {
        &self.commits[0].commit
    }

    /// Returns the bad endpoint.
    pub fn bad(&self) -> &str {
        &self.commits[self.commits.len() - 1].commit
    }
}

/// Resolves a revision that the user wrote to a commit id.
///
/// # Errors
/// There is no such commit.
pub fn resolve(git: &Git, option: &str, revision: &str) -> Result<String, Failure> {
    let tried = format!("use {option} {revision}");
    if let Some(commit) = git.commit_id(&tried, revision)? {
        return Ok(commit);
    }
    let what = match is_shallow(git)? {
        true => "the repository does not have this commit: it is a shallow clone",
        false => "the repository has no such commit",
    };
    Err(Failure::usage(tried, what).help(match is_shallow(git)? {
        true => "fetch its history first: git fetch --unshallow",
        false => "name a commit, a tag or a branch of the base's repository",
    }))
}

/// Lists the commits from `good` to `bad`, which are commit ids.
///
/// # Errors
/// They are no range: the good commit is not an ancestor of the bad one on its
/// first-parent line, or both are the same.
pub fn list(git: &Git, good: &str, bad: &str) -> Result<Candidates, Failure> {
    if good == bad {
        let what = format!("both are the commit {good:.12}");
        return Err(
            Failure::usage(TRIED, what).help("name a good commit that is older than the bad one")
        );
    }
    let ran = git.run(TRIED, &["merge-base", "--is-ancestor", good, bad])?;
    if !ran.ok {
        return Err(unrelated(git, good, bad)?);
    }
    let range = format!("{good}..{bad}");
    let args = [
        "log",
        "-z",
        "--first-parent",
        "--reverse",
        "--encoding=UTF-8",
        "--format=%H %P%x00%s",
        &range,
    ];
    let log = git.must(TRIED, &args, b"")?.stdout;
    let line = parse(&String::from_utf8_lossy(&log));
    let first = line.first().map(|(_, parents)| parents.first().cloned());
    if first.flatten().as_deref() != Some(good) {
        return Err(on_a_side_branch(git, good, bad)?);
    }
    let mut commits = vec![one(git, good)?];
    commits.extend(line.into_iter().map(|(candidate, _)| candidate));
    Ok(Candidates { commits })
}

/// Returns the commit with this id.
///
/// # Errors
/// git cannot read it.
pub fn one(git: &Git, commit: &str) -> Result<Candidate, Failure> {
    Ok(Candidate {
        commit: commit.to_owned(),
        subject: git.text(TRIED, &["log", "-1", "--format=%s", commit])?,
        is_merge: false,
    })
}

/// Parses `COMMIT PARENT..`, NUL, subject, NUL for each commit.
fn parse(log: &str) -> Vec<(Candidate, Vec<String>)> {
    let mut parts = log.split('\0');
    let mut commits = Vec::new();
    while let (Some(ids), Some(subject)) = (parts.next(), parts.next()) {
        let mut ids = ids.split_whitespace().map(str::to_owned);
        let Some(commit) = ids.next() else {
            continue;
        };
        let parents: Vec<String> = ids.collect();
        let candidate = Candidate {
            commit,
            subject: subject.to_owned(),
            is_merge: parents.len() > 1,
        };
        commits.push((candidate, parents));
    }
    commits
}

/// Returns the failure of a good commit that is no ancestor of the bad one.
fn unrelated(git: &Git, good: &str, bad: &str) -> Result<Failure, Failure> {
    let what = format!("the good commit {good:.12} is not an ancestor of the bad one {bad:.12}");
    let failure = Failure::usage(TRIED, what);
    if is_shallow(git)? {
        return Ok(failure.help(
            "the repository is a shallow clone, which lacks the commits between: git fetch --unshallow",
        ));
    }
    let forward = git.run(TRIED, &["merge-base", "--is-ancestor", bad, good])?;
    if forward.ok {
        return Ok(failure.help(
            "the bad commit is an ancestor of the good one: to find the commit that fixed a test, exchange the \
             two and swap what the test checks",
        ));
    }
    let count = git.text(TRIED, &["rev-list", "--count", bad])?;
    if count == "1" {
        return Ok(failure.help(
            "the history of the bad commit is squashed to this one commit: bisect in a clone with the whole history",
        ));
    }
    let base = git.run(TRIED, &["merge-base", good, bad])?;
    Ok(match base.ok {
        true => failure.help(format!(
            "test their common ancestor first, and use it as the good commit if it passes: {}",
            base.text()
        )),
        false => failure.help("the two have no common history"),
    })
}

/// Returns the failure of a good commit that only a merge brought in.
fn on_a_side_branch(git: &Git, good: &str, bad: &str) -> Result<Failure, Failure> {
    // The first-parent commit that the side branch left from.
    let range = format!("{good}..{bad}");
    let line = git.text(TRIED, &["rev-list", "--first-parent", "--reverse", &range])?;
    let first = line.lines().next().unwrap_or(bad);
    let below = git.commit_id(TRIED, &format!("{first}^1"))?;
    let what = format!(
        "the good commit {good:.12} is on a branch that was merged into the line of {bad:.12}, not on that line"
    );
    let failure = Failure::usage(TRIED, what);
    Ok(failure.help(match below {
        Some(below) => {
            format!("use the commit that the branch left the line at, if it passes: {below}")
        }
        None => "name a good commit of the first-parent line".into(),
    }))
}

fn is_shallow(git: &Git) -> Result<bool, Failure> {
    Ok(git.text(TRIED, &["rev-parse", "--is-shallow-repository"])? == "true")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kdk_series::base::fixtures;

    use super::*;

    /// Returns a repository with `commits` commits, and their ids.
    fn line(dir: &Path, commits: usize) -> (Git, Vec<String>) {
        let tree = fixtures::tree(dir, "src", 1_501_000);
        let mut ids = vec![fixtures::git(&tree, &["rev-parse", "HEAD"])];
        for number in 1..commits {
            fixtures::write(&tree.join("sys/kern/b.c"), &format!("{number}\n"));
            ids.push(fixtures::commit(&tree, &format!("kern: Change {number}")));
        }
        (Git::new(tree.join(".git")), ids)
    }

    fn help(failure: &Failure) -> String {
        let help = failure.advice().unwrap_or("none");
        format!("{}\nhelp: {help}", failure.in_one_line())
    }

    #[test]
    fn commits_are_listed_from_good_to_bad() {
        let dir = tempfile::tempdir().unwrap();
        let (git, ids) = line(dir.path(), 4);
        let found = list(&git, &ids[0], &ids[3]).unwrap();
        let commits: Vec<&String> = found.commits.iter().map(|one| &one.commit).collect();
        assert_eq!(commits, ids.iter().collect::<Vec<_>>());
        assert_eq!((found.good(), found.bad()), (&*ids[0], &*ids[3]));
        assert_eq!(found.commits[2].subject, "kern: Change 2");
        // A branch that moves afterwards changes nothing.
        let id = resolve(&git, "--bad", "HEAD~1").unwrap();
        assert_eq!(id, ids[2]);
    }

    #[test]
    fn a_merge_is_one_commit() {
        let dir = tempfile::tempdir().unwrap();
        let (git, ids) = line(dir.path(), 3);
        let src = dir.path().join("src");
        let run = |args: &[&str]| fixtures::git(&src, args);
        run(&["checkout", "-q", "-b", "side", &ids[0]]);
        fixtures::write(&src.join("sys/kern/side.c"), "s\n");
        let side = fixtures::commit(&src, "side: One");
        run(&["checkout", "-q", "main"]);
        run(&["merge", "-q", "--no-ff", "-m", "Merge side", "side"]);
        let merge = run(&["rev-parse", "HEAD"]);
        let found = list(&git, &ids[0], &merge).unwrap();
        let merges: Vec<bool> = found.commits.iter().map(|one| one.is_merge).collect();
        assert_eq!(merges, [false, false, false, true]);
        // Only the merge brought the side branch in.
        let failure = list(&git, &side, &merge).unwrap_err();
        let text = help(&failure);
        assert!(text.contains("was merged into the line"), "{text}");
        assert!(text.contains(&ids[0]), "{text}");
    }

    #[test]
    fn what_is_no_range_is_one_clear_error() {
        let dir = tempfile::tempdir().unwrap();
        let (git, ids) = line(dir.path(), 3);
        let src = dir.path().join("src");
        fixtures::git(&src, &["checkout", "-q", "-b", "other", &ids[1]]);
        fixtures::write(&src.join("sys/kern/a.c"), "other\n");
        let other = fixtures::commit(&src, "other");
        let single = Git::new({
            let dir = tempfile::tempdir_in(dir.path()).unwrap().keep();
            fixtures::tree(&dir, "squashed", 1_501_001).join(".git")
        });
        let shallow = dir.path().join("shallow");
        let from = format!("file://{}", src.display());
        let to = shallow.to_string_lossy();
        fixtures::git(
            dir.path(),
            &[
                "clone", "-q", "--depth", "1", "--branch", "main", &from, &to,
            ],
        );
        let shallow = Git::new(shallow.join(".git"));
        let squashed = resolve(&single, "--bad", "HEAD").unwrap();
        let texts = [
            list(&git, &ids[1], &ids[1]).unwrap_err(),
            list(&git, &ids[2], &ids[0]).unwrap_err(),
            list(&git, &other, &ids[2]).unwrap_err(),
            list(&single, &"1".repeat(40), &squashed).unwrap_err(),
            list(&shallow, &ids[0], &ids[2]).unwrap_err(),
            resolve(&shallow, "--good", &ids[0]).unwrap_err(),
            resolve(&git, "--good", "no-such-tag").unwrap_err(),
            resolve(&git, "--good", "--exec=x").unwrap_err(),
        ];
        assert!(texts.iter().all(|failure| failure.exit_code() == 2));
        let mut text: String = texts.iter().map(|failure| help(failure) + "\n\n").collect();
        for (name, id) in [
            ("GOOD", &ids[0]),
            ("MIDDLE", &ids[1]),
            ("BAD", &ids[2]),
            ("OTHER", &other),
        ] {
            text = text.replace(&**id, name).replace(&id[..12], name);
        }
        insta::assert_snapshot!(text.replace(&squashed[..12], "SQUASHED"));
    }
}
