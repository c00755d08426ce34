//! Applies patches without a checkout, one commit for each.

use std::fs;
use std::path::Path;

use crate::base::repo;
use crate::diff;
use crate::mail;
use kdk_core::cache_dir::write_atomically;
use kdk_core::failure::Failure;
use kdk_core::git::{Git, Ran};

/// A patch to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The id of the patch, for messages.
    pub id: String,
    /// A mail as `git format-patch` writes it, with author and message; or a
    /// bare diff.
    pub diff: Vec<u8>,
}

impl Change {
    /// Returns a change whose paths are safe to use.
    ///
    /// # Errors
    /// The diff has a path that no file of a tree can have.
    pub fn new(id: String, diff: Vec<u8>) -> Result<Self, Failure> {
        match diff::bad_path(&diff) {
            None => Ok(Self { id, diff }),
            Some(what) => Err(Failure::usage(format!("use the patch `{id}`"), what)
                .help("a patch names files by their paths from the top of the tree, as git does")),
        }
    }
}

/// Commits `changes` on top of `base`, one commit for each, and returns the
/// last commit. Results are cached: the same change on the same commit is the
/// same commit. `git` is kdk's repository.
pub fn commit(git: &Git, base: &str, changes: &[Change]) -> Result<String, Failure> {
    let keys = keys(base, changes);
    let (mut done, mut commit) = (0, base.to_owned());
    for (n, key) in keys.iter().enumerate().rev() {
        if let Some(found) = repo::pinned(git, &reference(key))? {
            (done, commit) = (n + 1, found);
            break;
        }
    }
    if done == changes.len() {
        return Ok(commit);
    }
    let git = index_of(git, &commit)?;
    for (change, key) in changes.iter().zip(&keys).skip(done) {
        commit = commit_one(&git, &commit, change)?;
        repo::pin(&git, &reference(key), &commit)?;
    }
    Ok(commit)
}

/// Does what [`commit`] does, and returns all commits in order.
pub fn chain(git: &Git, base: &str, changes: &[Change]) -> Result<Vec<String>, Failure> {
    let last = commit(git, base, changes)?;
    let range = format!("{base}..{last}");
    let args = ["rev-list", "--first-parent", "--reverse", &range];
    let list = git.text("list the series' commits", &args)?;
    Ok(list.lines().map(str::to_owned).collect())
}

/// Applies one change to the index, which has `parent`, and commits it.
fn commit_one(git: &Git, parent: &str, change: &Change) -> Result<String, Failure> {
    let parts = mail::parts(&change.id, &change.diff)?;
    apply(git, &change.id, &parts.diff)?;
    let git = git.clone().author(parts.author.as_ref());
    repo::commit_index(&git, parent, &parts.message)
}

/// Returns git with an index that has `commit`. Reading a tree of FreeBSD's
/// size takes longer than anything else here, so the index of the last start
/// commit is cached, and a copy of it is changed.
pub fn index_of(git: &Git, commit: &str) -> Result<Git, Failure> {
    const TRIED: &str = "read the base's tree";
    let place = |name: &str| git.git_dir().join(name);
    let (kept, stamp, copy) = (
        place("base.index"),
        place("base.index.of"),
        place("changes.index"),
    );
    for lock in ["base.index.lock", "changes.index.lock"] {
        let _ = fs::remove_file(place(lock));
    }
    let of = |index: &Path| git.clone().index(index).setting("index.skipHash=true");
    if !fs::read_to_string(&stamp).is_ok_and(|known| known == commit) {
        let _ = fs::remove_file(&stamp);
        let _ = fs::remove_file(&kept);
        of(&kept).text(TRIED, &["read-tree", commit])?;
        write_atomically(&stamp, commit.as_bytes())
            .map_err(|error| Failure::io(TRIED, &stamp, error))?;
    }
    fs::copy(&kept, &copy).map_err(|error| Failure::io(TRIED, &copy, error))?;
    Ok(of(&copy))
}

fn reference(key: &str) -> String {
    format!("refs/kdk/patched/{key}")
}

/// Returns a key for each change, which covers everything below it.
fn keys(base: &str, changes: &[Change]) -> Vec<String> {
    // Increment this when the same patch becomes another commit.
    const FORM: &str = "2";
    let mut under = blake3::hash(format!("{FORM} {base}").as_bytes());
    let mut keys = Vec::new();
    for change in changes {
        let mut hasher = blake3::Hasher::new();
        hasher.update(under.as_bytes());
        hasher.update(blake3::hash(change.id.as_bytes()).as_bytes());
        hasher.update(&change.diff);
        under = hasher.finalize();
        keys.push(under.to_hex().to_string());
    }
    keys
}

/// Applies one change to the index, with fuzz 0, or not at all.
pub fn apply(git: &Git, id: &str, diff: &[u8]) -> Result<(), Failure> {
    let args = ["apply", "--cached", "--whitespace=nowarn", "-"];
    let ran = git.run_with("apply the patches", &args, diff)?;
    if ran.ok {
        return Ok(());
    }
    let text = String::from_utf8_lossy(diff);
    let tried = format!("apply the patch `{id}`");
    Err(Failure::usage(tried, reject(&ran, &text)).help(
        "the patch was made for another tree: rebase it (`cargo xtask patches rebase`), test on another \
            base (`cargo xtask base list`), or test without patches (`--no-patches`)",
    ))
}

/// A place where a change does not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The file of the tree; empty if git names none.
    pub file: String,
    /// The line that git tried, from 1; 0 if it names none.
    pub line: u64,
    /// The hunk, if git names one.
    pub hunk: Option<Hunk>,
    /// git's message.
    said: String,
}

/// A hunk of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Its number in the file's part of the patch, from 1.
    pub number: usize,
    /// The number of hunks there.
    pub of: usize,
    /// The header line.
    pub header: String,
    /// The number of the header line in the patch, from 0.
    pub at: usize,
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, line, .. } = self;
        match &self.hunk {
            Some(hunk) => {
                let Hunk {
                    number, of, header, ..
                } = hunk;
                write!(f, "{file}: hunk {number} of {of} does not apply: {header}")
            }
            None if *line > 0 => write!(f, "{file}: the hunk at line {line} does not apply"),
            None => f.write_str(&self.said),
        }
    }
}

/// Returns the places where `change` does not apply to the tree of `commit`:
/// the first one of each file, where git stops.
pub fn rejects(git: &Git, commit: &str, change: &Change) -> Result<Vec<Reject>, Failure> {
    let git = index_of(git, commit)?;
    let args = ["apply", "--cached", "--check", "--whitespace=nowarn", "-"];
    let ran = git.run_with("find where a patch does not apply", &args, &change.diff)?;
    Ok(refused(&ran, &String::from_utf8_lossy(&change.diff)))
}

/// Returns whether the tree of `commit` has `change` already: whether its
/// reverse applies.
pub fn is_there(git: &Git, commit: &str, change: &Change) -> Result<bool, Failure> {
    let git = index_of(git, commit)?;
    let args = ["apply", "--cached", "--check", "--reverse", "-"];
    let ran = git.run_with("find a patch in a tree", &args, &change.diff)?;
    Ok(ran.ok)
}

/// Returns the first file and hunk of `patch` that git rejected, and the
/// reason.
pub fn reject(ran: &Ran, patch: &str) -> String {
    match refused(ran, patch).first() {
        Some(reject) => reject.to_string(),
        None => ran.summary(),
    }
}

/// Returns the files and hunks that git rejected, with the reasons.
fn refused(ran: &Ran, patch: &str) -> Vec<Reject> {
    let mut found: Vec<Reject> = Vec::new();
    for line in ran.stderr.lines() {
        let Some(error) = line.strip_prefix("error: ") else {
            continue;
        };
        // `git apply -v` prints the lines first.
        if error.starts_with("while searching for:") {
            continue;
        }
        let place = error.strip_prefix("patch failed: ");
        let place = place.and_then(|place| place.rsplit_once(':'));
        let (file, line) = match place {
            Some((file, line)) => (file, line.parse().unwrap_or(0)),
            // "FILE: patch does not apply" repeats the line before it.
            None => (error.rsplit_once(": ").map_or("", |(file, _)| file), 0),
        };
        if line == 0 && found.iter().any(|reject| reject.file == file) {
            continue;
        }
        found.push(Reject {
            file: file.to_owned(),
            line,
            hunk: place.and_then(|_| hunk(patch, file, line)),
            said: error.to_owned(),
        });
    }
    found
}

/// Returns the hunk of `file` that begins at its old line `line`.
fn hunk(patch: &str, file: &str, line: u64) -> Option<Hunk> {
    let mut current = "";
    let mut headers = Vec::new();
    for (at, text) in patch.lines().enumerate() {
        if let Some(name) = text.strip_prefix("+++ ").or(text.strip_prefix("--- ")) {
            let name = name.split('\t').next().unwrap_or(name);
            if name != "/dev/null" {
                current = name.split_once('/').map_or(name, |(_, name)| name);
            }
        } else if text.starts_with("@@ -") && current == file {
            headers.push((at, text));
        }
    }
    let begins = |header: &str| {
        let old = header.strip_prefix("@@ -")?.split([',', ' ']).next()?;
        old.parse::<u64>().ok()
    };
    let n = headers
        .iter()
        .position(|(_, header)| begins(header) == Some(line))?;
    let (at, header) = headers[n];
    Some(Hunk {
        number: n + 1,
        of: headers.len(),
        header: header.to_owned(),
        at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: &str = "\
A message.
---
 sys/kern/a.c | 2 +-
diff --git a/sys/kern/a.c b/sys/kern/a.c
--- a/sys/kern/a.c
+++ b/sys/kern/a.c
@@ -1,3 +1,3 @@
-x
+y
@@ -10,3 +10,3 @@ f(void)
-x
+y
diff --git a/sys/kern/b.c b/sys/kern/b.c
new file mode 100644
--- /dev/null
+++ b/sys/kern/b.c
@@ -0,0 +1 @@
+x
";

    #[test]
    fn rejected_hunks_are_named() {
        for (stderr, want) in [
            (
                "error: patch failed: sys/kern/a.c:10\nerror: sys/kern/a.c: patch does not apply\n",
                "sys/kern/a.c: hunk 2 of 2 does not apply: @@ -10,3 +10,3 @@ f(void)",
            ),
            (
                "Checking patch x...\nerror: while searching for:\nx\n\nerror: patch failed: sys/kern/a.c:1\n",
                "sys/kern/a.c: hunk 1 of 2 does not apply: @@ -1,3 +1,3 @@",
            ),
            (
                "error: patch failed: sys/kern/a.c:1\n",
                "sys/kern/a.c: hunk 1 of 2 does not apply: @@ -1,3 +1,3 @@",
            ),
            (
                "error: patch failed: sys/kern/z.c:7\n",
                "sys/kern/z.c: the hunk at line 7 does not apply",
            ),
            (
                "error: sys/kern/b.c: already exists in index\n",
                "sys/kern/b.c: already exists in index",
            ),
            (
                "error: No valid patches in input (allow with \"--allow-empty\")\n",
                "No valid patches in input (allow with \"--allow-empty\")",
            ),
        ] {
            let ran = Ran {
                ok: false,
                stdout: Vec::new(),
                stderr: stderr.into(),
            };
            assert_eq!(reject(&ran, PATCH), want);
        }
    }

    #[test]
    fn a_key_covers_everything_under_it() {
        let of = |base: &str, id: &str, first: &str| {
            let change = |id: &str, diff: &str| Change {
                id: id.into(),
                diff: diff.into(),
            };
            keys(base, &[change(id, first), change("second", "b")])
        };
        let one = of("base", "m", "a");
        assert_eq!(one, of("base", "m", "a"));
        for other in [
            of("other", "m", "a"),
            of("base", "n", "a"),
            of("base", "m", "x"),
        ] {
            assert_ne!(one[0], other[0]);
            assert_ne!(one[1], other[1]);
        }
    }

    fn change(id: &str, from: &str, to: &str) -> Change {
        let diff = format!(
            "--- a/sys/kern/a.c\n+++ b/sys/kern/a.c\n@@ -1,3 +1,3 @@\n one\n-{from}\n+{to}\n three\n"
        );
        Change {
            id: id.into(),
            diff: diff.into_bytes(),
        }
    }

    #[test]
    fn the_same_changes_are_the_same_commit() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = crate::base::fixtures::kdk_repo(dir.path());
        let once = commit(&git, &head, &[change("a", "two", "2")]).unwrap();
        let again = commit(&git, &head, &[change("a", "two", "2")]).unwrap();
        assert_eq!(once, again);
        // The second patch is applied on top of the first one.
        let both = [change("a", "two", "2"), change("b", "2", "zwei")];
        let two = commit(&git, &head, &both).unwrap();
        let parent = git.text("x", &["rev-parse", &format!("{two}^")]).unwrap();
        assert_eq!(parent, once);
        let text = git
            .text("x", &["show", &format!("{two}:sys/kern/a.c")])
            .unwrap();
        assert_eq!(text, "one\nzwei\nthree");
        assert_eq!(commit(&git, &head, &[]).unwrap(), head);
        // What was applied is not left in the index that is kept.
        let other = commit(&git, &head, &[change("c", "two", "drei")]).unwrap();
        let text = git
            .text("x", &["show", &format!("{other}:sys/kern/a.c")])
            .unwrap();
        assert_eq!(text, "one\ndrei\nthree");
    }

    #[test]
    fn a_mail_is_committed_with_its_author_and_message() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = crate::base::fixtures::kdk_repo(dir.path());
        let diff = String::from_utf8(change("a", "two", "2").diff).unwrap();
        let mail = format!(
            "From {:040} Mon Sep 17 00:00:00 2001\nFrom: A <a@example.org>\nDate: Wed, 25 Nov 2026 \
             10:00:00 +0100\nSubject: [PATCH] kern: Count\n\nBody.\n---\n\n{diff}",
            0
        );
        let id = "a".into();
        let changes = [
            Change {
                id,
                diff: mail.into(),
            },
            change("b", "2", "zwei"),
        ];
        let chain = chain(&git, &head, &changes).unwrap();
        assert_eq!(chain.len(), 2);
        let format = "--format=%an <%ae> %aI %cn%n%B";
        let text = |n: usize| git.text("x", &["log", "-1", format, &chain[n]]).unwrap();
        assert_eq!(
            text(0),
            "A <a@example.org> 2026-11-25T10:00:00+01:00 fbsd-kdk\nkern: Count\n\nBody."
        );
        assert!(text(1).ends_with("fbsd-kdk\nb"), "{}", text(1));
    }

    #[test]
    fn a_patch_that_does_not_fit_is_named_with_its_file_and_hunk() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = crate::base::fixtures::kdk_repo(dir.path());
        let failure = commit(&git, &head, &[change("sendfile-eagain", "deux", "2")]).unwrap_err();
        insta::assert_snapshot!(kdk_core::failure::rendered(&failure));
    }
}
