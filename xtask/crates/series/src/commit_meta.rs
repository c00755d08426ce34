//! The author and message of a commit, which a patch keeps while its content
//! changes.

use crate::mail;
use kdk_core::failure::Failure;
use kdk_core::git::{Author, Git};

/// The author and message of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitMeta {
    /// The author, with the author date.
    pub author: Author,
    /// The subject and body, in the form that `git mailinfo` returns.
    pub message: String,
}

/// Reads the author and message of `commit`.
pub fn read(git: &Git, commit: &str) -> Result<CommitMeta, Failure> {
    // git folds a subject of several lines into one, as a mail does.
    let args = [
        "log",
        "-1",
        "--encoding=UTF-8",
        "--format=%an%x00%ae%x00%aD%x00%s%x00%b",
        commit,
    ];
    let ran = git.must("read a commit", &args, b"")?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let mut parts = text.splitn(5, '\0').map(|part| part.trim().to_owned());
    let mut next = || parts.next().unwrap_or_default();
    let author = Author {
        name: next(),
        email: next(),
        date: next(),
    };
    let (subject, body) = (next(), next());
    Ok(CommitMeta {
        author,
        message: mail::message(&subject, &body),
    })
}

/// Commits `tree` on top of `parent`, with the author and message of `meta`.
pub fn commit(git: &Git, tree: &str, parent: &str, meta: &CommitMeta) -> Result<String, Failure> {
    let git = git.clone().author(&meta.author);
    let args = ["commit-tree", tree, "-p", parent, "-F", "-"];
    let ran = git.must("commit a patch", &args, meta.message.as_bytes())?;
    Ok(ran.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::apply::{Change, chain};
    use crate::base::fixtures::kdk_repo;
    use crate::base::repo::tree_of;
    use crate::format_patch;

    #[test]
    fn a_commit_with_the_same_meta_equals_that_of_its_mail() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = kdk_repo(dir.path());
        let meta = CommitMeta {
            author: Author {
                name: "Jürgen".into(),
                email: "j@example.org".into(),
                date: "Wed, 25 Nov 2026 10:00:00 +0100".into(),
            },
            message: "kern: Count\n\nOne.\n\nTwo.\n".into(),
        };
        let diff =
            "--- a/sys/kern/a.c\n+++ b/sys/kern/a.c\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n";
        let change = |diff: Vec<u8>| Change {
            id: "count".into(),
            diff,
        };
        let plain = chain(&git, &head, &[change(diff.into())]).unwrap();
        let made = commit(&git, &tree_of(&git, &plain[0]).unwrap(), &head, &meta).unwrap();
        assert_eq!(read(&git, &made).unwrap(), meta);
        let mail = format_patch::format_patch(&git, &made).unwrap();
        assert_eq!(chain(&git, &head, &[change(mail)]).unwrap(), [made]);
    }
}
