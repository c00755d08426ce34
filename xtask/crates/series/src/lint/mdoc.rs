//! Checks manual pages with `mandoc -T lint`.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::lint::finding::{Check, Severity};
use crate::lint::remark::{At, Remark};
use crate::lint::touched::Touched;
use crate::manifest::Class;
use kdk_core::failure::Failure;
use kdk_doctor::packages;

/// Returns whether a file is a manual page, by its name: `foo.4`.
pub fn is_page(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name.rsplit_once('.'), Some((stem, section))
        if !stem.is_empty() && section.len() == 1 && section.chars().all(|c| ('1'..='9').contains(&c)))
}

/// Checks that a feature is documented.
pub fn remarks(class: Class, touched: &[Touched]) -> Vec<Remark> {
    if class != Class::Feature || touched.iter().any(|file| is_page(&file.path)) {
        return Vec::new();
    }
    vec![Remark::warning(
        Check::Mdoc,
        At::Patch,
        "a feature without a manual page",
        "document it in share/man, or waive `mdoc` if users do not see it",
    )]
}

/// A message of mandoc about a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The severity of the message.
    pub severity: Severity,
    /// The line of the page, from 1.
    pub line: usize,
    /// The text of the message.
    pub text: String,
}

/// Returns whether mandoc is installed.
pub fn has_mandoc() -> bool {
    kdk_doctor::checks::find("mandoc").is_some()
}

/// Returns the remark for a missing mandoc.
pub fn no_mandoc(page: &str) -> Remark {
    Remark::error(
        Check::Mdoc,
        At::Patch,
        format!("{page} was not checked: mandoc is not installed"),
        kdk_doctor::fix_command(&packages::MANDOC),
    )
}

/// Checks the page `text`.
pub fn check(text: &[u8]) -> Result<Vec<Complaint>, Failure> {
    const TRIED: &str = "check a manual page";
    let failed = |error| Failure::infra(TRIED, "mandoc cannot be run").source(error);
    let mut child = Command::new("mandoc")
        .args(["-T", "lint", "-W", "warning"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Some(mut stdin) = stdin {
                // A mandoc that stops early reports the reason itself.
                let _ = stdin.write_all(text);
            }
        });
        child.wait_with_output()
    });
    let output = output.map_err(failed)?;
    let said = [output.stdout, output.stderr].concat();
    Ok(complaints(&String::from_utf8_lossy(&said)))
}

/// Parses `mandoc: <stdin>:LINE:COLUMN: LEVEL: what`.
fn complaints(output: &str) -> Vec<Complaint> {
    let levels = [
        (": WARNING: ", Severity::Warning),
        (": ERROR: ", Severity::Error),
        (": UNSUPP: ", Severity::Error),
        (": BADARG: ", Severity::Error),
        (": SYSERR: ", Severity::Error),
    ];
    let read = |line: &str| {
        let (word, severity) = levels.into_iter().find(|(word, _)| line.contains(word))?;
        let (place, text) = line.split_once(word)?;
        let line = place.split(':').find_map(|part| part.parse().ok());
        Some(Complaint {
            severity,
            line: line.unwrap_or(1),
            text: text.to_owned(),
        })
    };
    output.lines().filter_map(read).collect()
}

/// Returns the complaints `after` the patch that were not there `before`.
pub fn introduced(before: &[Complaint], after: Vec<Complaint>) -> Vec<Complaint> {
    let mut old: Vec<&str> = before.iter().map(|one| one.text.as_str()).collect();
    let mut is_new = |one: &Complaint| match old.iter().position(|text| *text == one.text) {
        Some(at) => {
            old.remove(at);
            false
        }
        None => true,
    };
    after.into_iter().filter(|one| is_new(one)).collect()
}

/// Returns a complaint about `page` as a remark.
pub fn remark(page: &str, complaint: Complaint) -> Remark {
    let word = complaint.severity.name().to_uppercase();
    Remark {
        check: Check::Mdoc,
        severity: complaint.severity,
        text: format!(
            "{page}:{} {word} {} (mandoc)",
            complaint.line, complaint.text
        ),
        help: "see mdoc(7) and style.mdoc(5)".into(),
        at: At::Patch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_by_their_names() {
        for (path, want) in [
            ("share/man/man4/xen.4", true),
            ("share/man/man9/a.b.9", true),
            ("sys/kern/a.c", false),
            ("lib/libx.so.12", false),
            (".4", false),
            ("a.0", false),
            ("x", false),
        ] {
            assert_eq!(is_page(path), want, "{path}");
        }
    }

    #[test]
    fn features_have_pages() {
        let file = |path: &str| Touched {
            path: path.into(),
            lines: 1,
        };
        let (code, page) = (file("sys/kern/a.c"), file("share/man/man4/a.4"));
        for (class, touched, want) in [
            (Class::Feature, vec![code.clone()], 1),
            (Class::Feature, vec![code.clone(), page], 0),
            (Class::Fix, vec![code], 0),
        ] {
            assert_eq!(remarks(class, &touched).len(), want);
        }
    }

    #[test]
    fn mandoc_says_what_is_wrong_with_a_page() {
        let good = ".Dd November 25, 2026\n.Dt X 4\n.Os\n.Sh NAME\n.Nm x\n.Nd a driver\n.Sh DESCRIPTION\nText.\n";
        assert_eq!(check(good.as_bytes()).unwrap(), []);
        let bad = format!("{good}.Xx\n.Bl -tag\n.El\n");
        let found = check(bad.as_bytes()).unwrap();
        let lines: Vec<(Severity, usize)> =
            found.iter().map(|one| (one.severity, one.line)).collect();
        assert!(lines.contains(&(Severity::Error, 9)), "{found:?}");
        assert!(lines.contains(&(Severity::Warning, 10)), "{found:?}");
    }

    #[test]
    fn a_patch_answers_for_what_it_brings() {
        let one = |line, text: &str| Complaint {
            severity: Severity::Warning,
            line,
            text: text.into(),
        };
        let before = [one(1, "a"), one(2, "b")];
        let after = vec![one(1, "a"), one(2, "a"), one(5, "b"), one(6, "c")];
        assert_eq!(introduced(&before, after), [one(2, "a"), one(6, "c")]);
        let remark = remark("share/man/man4/x.4", one(6, "c"));
        assert_eq!(remark.text, "share/man/man4/x.4:6 WARNING c (mandoc)");
    }
}
