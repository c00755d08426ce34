//! The subjects of patches, which FreeBSD commit lists show.

use crate::subject::too_long;
use crate::{Finding, Repo};

/// Characters of a patch's subject, without `[PATCH]`.
const LIMIT: usize = 67;

/// Finds patches whose subject is too long.
pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in repo.with_extension(&["patch"]) {
        let Some((line, subject)) = subject(&source.text) else {
            continue;
        };
        if let Some(what) = too_long(&subject, LIMIT) {
            found.push(Finding::new(&source.path, line, what, "shorten it"));
        }
    }
    found
}

/// Returns the subject and the number of its line. A diff without a mail's
/// header has none.
fn subject(mail: &str) -> Option<(usize, String)> {
    let header = mail
        .lines()
        .zip(1..)
        .take_while(|(line, _)| !line.is_empty());
    let mut lines = header.skip_while(|(line, _)| !line.starts_with("Subject:"));
    let (first, at) = lines.next()?;
    let mut subject = first.trim_start_matches("Subject:").trim().to_owned();
    for (line, _) in lines.take_while(|(line, _)| line.starts_with([' ', '\t'])) {
        subject.push(' ');
        subject.push_str(line.trim());
    }
    if subject.starts_with('[')
        && let Some((_, rest)) = subject.split_once(']')
    {
        subject = rest.trim().to_owned();
    }
    Some((at, subject))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_unfolded() {
        let table = [
            ("From x\nSubject: [PATCH] a: b\n\nbody\n", Some((2, "a: b"))),
            (
                "Subject: [PATCH v2 1/3] a:\n b\nX: y\n\n",
                Some((1, "a: b")),
            ),
            ("Subject: a: b\n\n", Some((1, "a: b"))),
            ("diff --git a/x b/x\n\nSubject: no header\n", None),
        ];
        for (mail, want) in table {
            let got = subject(mail);
            let got = got.as_ref().map(|(at, text)| (*at, text.as_str()));
            assert_eq!(got, want, "{mail}");
        }
    }

    #[test]
    fn a_long_subject_is_found() {
        let mail = |n| format!("Subject: [PATCH] {}\n\n", "x".repeat(n));
        let repo = Repo::of(&[("a.patch", &mail(67)), ("b.patch", &mail(68))]);
        let found = check(&repo);
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "b.patch:1: a subject of 68 characters, the limit is 67: shorten it"
        );
    }
}
