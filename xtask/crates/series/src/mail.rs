//! Reads a patch file: a mail as `git format-patch` writes it, parsed by `git
//! mailinfo` as in `git am`.

use std::fs;

use kdk_core::failure::Failure;
use kdk_core::git::{Author, Git};

/// A patch file, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The author, with the date.
    pub author: Author,
    /// The first line of the message.
    pub subject: String,
    /// The rest of the message, without empty lines around it.
    pub body: String,
    /// From the first `---` or `diff` line on.
    pub diff: Vec<u8>,
}

impl Mail {
    /// Returns the commit message.
    pub fn message(&self) -> String {
        message(&self.subject, &self.body)
    }
}

/// Returns the commit message of a subject and a body.
pub fn message(subject: &str, body: &str) -> String {
    match body {
        "" => format!("{subject}\n"),
        body => format!("{subject}\n\n{body}\n"),
    }
}

/// A patch file as it will be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedPatch {
    /// The diff to apply.
    pub diff: Vec<u8>,
    /// The author; `None` for a bare diff.
    pub author: Option<Author>,
    /// The commit message; of a bare diff the patch's id.
    pub message: String,
}

/// Parses the patch `id`, a mail or a bare diff.
pub fn parts(id: &str, text: &[u8]) -> Result<ParsedPatch, Failure> {
    if !is_mail(text) {
        return Ok(ParsedPatch {
            diff: text.to_owned(),
            author: None,
            message: id.to_owned(),
        });
    }
    let mail = read(id, text)?;
    Ok(ParsedPatch {
        message: mail.message(),
        author: Some(mail.author),
        diff: mail.diff,
    })
}

/// Returns whether a patch file is a mail, and not a bare diff.
pub fn is_mail(text: &[u8]) -> bool {
    text.starts_with(b"From ")
}

/// Parses the patch `id`, which is a mail.
///
/// # Errors
/// The mail has no author, date, subject or diff; or git cannot be run.
pub fn read(id: &str, text: &[u8]) -> Result<Mail, Failure> {
    let tried = format!("read the patch `{id}`");
    let dir =
        tempfile::tempdir().map_err(|error| Failure::io(&tried, &std::env::temp_dir(), error))?;
    let (message, diff) = (dir.path().join("message"), dir.path().join("diff"));
    let args = ["mailinfo".as_ref(), message.as_os_str(), diff.as_os_str()];
    let bad = |what: String| {
        Failure::usage(&tried, what).help(
            "a patch file must have the format of `git format-patch`; `cargo xtask patches edit` writes it",
        )
    };
    let ran = Git::nowhere().run_with(&tried, &args, text)?;
    if !ran.ok {
        return Err(bad(format!("git says: {}", ran.summary())));
    }
    let read =
        |path: &std::path::Path| fs::read(path).map_err(|error| Failure::io(&tried, path, error));
    let (head, body, diff) = (ran.text(), read(&message)?, read(&diff)?);
    let field = |name: &str| {
        let value = head.lines().find_map(|line| line.strip_prefix(name));
        value
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .ok_or_else(|| bad(format!("it has no `{}`", name.trim_end())))
    };
    if diff.is_empty() {
        return Err(bad("it changes nothing".into()));
    }
    Ok(Mail {
        author: Author {
            name: field("Author: ")?,
            email: field("Email: ")?,
            date: field("Date: ")?,
        },
        subject: field("Subject: ")?,
        body: String::from_utf8_lossy(&body).trim().to_owned(),
        diff,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &str = "\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: =?UTF-8?q?J=C3=BCrgen?= <j@example.org>
Date: Wed, 25 Nov 2026 10:00:00 +0100
Subject: [PATCH] kern: Read all of a very long line that a mail has to fold
 somewhere

A body.

PR:\t1
---

diff --git a/x b/x
--- a/x
+++ b/x
@@ -1 +1 @@
-a
+b
";

    #[test]
    fn a_mail_is_read_as_git_am_reads_it() {
        let mail = read("x", MAIL.as_bytes()).unwrap();
        assert_eq!(mail.author.name, "Jürgen");
        assert_eq!(mail.author.email, "j@example.org");
        assert_eq!(mail.author.date, "Wed, 25 Nov 2026 10:00:00 +0100");
        assert_eq!(
            mail.message(),
            "kern: Read all of a very long line that a mail has to fold somewhere\n\nA body.\n\nPR:\t1\n"
        );
        assert!(mail.diff.starts_with(b"---\n\ndiff --git"));
    }

    #[test]
    fn what_is_no_mail_is_refused_with_the_reason() {
        let without = |what: &str| {
            let lines = MAIL.lines().filter(|line| !line.starts_with(what));
            lines.map(|line| format!("{line}\n")).collect::<String>()
        };
        let cut = MAIL.split_once("---\n\n").unwrap().0.to_owned();
        for (text, want) in [
            (without("Date:"), "it has no `Date:`"),
            (without("From:"), "it has no `Author:`"),
            (
                without("Subject:").replace(" somewhere\n", ""),
                "it has no `Subject:`",
            ),
            (cut, "it changes nothing"),
            (String::new(), "git says: "),
        ] {
            let failure = read("x", text.as_bytes()).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            let line = failure.in_one_line();
            assert!(line.contains(want), "{want}: {line}");
        }
    }
}
