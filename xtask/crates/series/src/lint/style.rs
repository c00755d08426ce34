//! Runs FreeBSD's own style checker, tools/build/checkstyle9.pl of the base.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::lint::finding::{Check, Finding, Severity};
use crate::lint::remark::{At, Remark};
use kdk_core::failure::Failure;
use kdk_doctor::packages;

/// Its path in the tree.
pub const SCRIPT: &str = "tools/build/checkstyle9.pl";

/// Runs `script` on the patch file `patch`.
///
/// # Errors
/// perl cannot be run, or the script itself fails.
pub fn run(script: &Path, patch: &Path) -> Result<Vec<Remark>, Failure> {
    const TRIED: &str = "check the style of a patch";
    let output = Command::new("perl")
        .arg(script)
        .args(arguments(patch))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::infra(TRIED, "perl cannot be run").source(error))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    // The exit code 1 stands for errors in the patch.
    if !matches!(output.status.code(), Some(0 | 1)) {
        let said = stderr.lines().next().unwrap_or_default().to_owned();
        return Err(Failure::infra(
            TRIED,
            format!("{SCRIPT} ended with {}: {said}", output.status),
        ));
    }
    Ok(remarks(&String::from_utf8_lossy(&output.stdout)))
}

/// Returns the arguments. The terse form does not print the file of the tree.
fn arguments(patch: &Path) -> Vec<std::ffi::OsString> {
    [
        "--patch",
        "--emacs",
        "--no-signoff",
        "--no-summary",
        "--color=never",
    ]
    .into_iter()
    .map(Into::into)
    .chain([patch.as_os_str().to_owned()])
    .collect()
}

/// Returns the finding for a missing perl.
pub fn no_perl() -> Finding {
    Finding {
        check: Check::Style,
        patch: None,
        severity: Severity::Error,
        text: "the style was not checked: perl is not installed".into(),
        help: kdk_doctor::fix_command(&packages::PERL),
        spot: None,
    }
}

/// Parses the checker's output: `PATCH:LINE: ERROR: what`, then `#LINE: FILE:
/// path:line:`.
fn remarks(output: &str) -> Vec<Remark> {
    let lines: Vec<&str> = output.lines().collect();
    let mut found = Vec::new();
    for (n, line) in lines.iter().enumerate() {
        let Some((severity, place, text)) = report(line) else {
            continue;
        };
        let in_tree = lines.get(n + 1).and_then(|next| next.split_once(" FILE: "));
        let place_in_tree = in_tree.map(|(_, place)| place.trim_end_matches(':'));
        let what = format!("{} {text} (checkstyle9)", severity.name().to_uppercase());
        let text = match place_in_tree {
            Some(place) => format!("{place} {what}"),
            None => what,
        };
        found.push(Remark {
            check: Check::Style,
            severity,
            text,
            help: "see style(9); waive `style` if the file has another style".into(),
            at: At::Line(place.saturating_sub(1)),
        });
    }
    found
}

fn report(line: &str) -> Option<(Severity, usize, &str)> {
    for (word, severity) in [
        (": ERROR: ", Severity::Error),
        (": WARNING: ", Severity::Warning),
    ] {
        let Some((place, text)) = line.split_once(word) else {
            continue;
        };
        let (_, number) = place.rsplit_once(':')?;
        return Some((severity, number.parse().ok()?, text));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_checker_says() {
        let output = "\n\x1b[35mWARNING:\x1b[0m This code is highly experimental\n\n\
            /tmp/x:12: ERROR: trailing whitespace\n#12: FILE: sys/kern/f.c:30:\n+a $\n\n\
            /tmp/x:14: WARNING: line over 80 characters\n#14: FILE: sys/kern/f.c:32:\n+aa\n\n\
            /tmp/x:3: ERROR: Doubly-encoded UTF-8\n\nmore\n";
        let found: Vec<(Severity, String, At)> = remarks(output)
            .into_iter()
            .map(|remark| (remark.severity, remark.text, remark.at))
            .collect();
        let want = [
            (
                Severity::Error,
                "sys/kern/f.c:30 ERROR trailing whitespace (checkstyle9)".into(),
                At::Line(11),
            ),
            (
                Severity::Warning,
                "sys/kern/f.c:32 WARNING line over 80 characters (checkstyle9)".into(),
                At::Line(13),
            ),
            (
                Severity::Error,
                "ERROR Doubly-encoded UTF-8 (checkstyle9)".into(),
                At::Line(2),
            ),
        ];
        assert_eq!(found, want);
    }

    #[test]
    fn a_checker_that_dies_is_no_verdict() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("checkstyle9.pl");
        let patch = dir.path().join("a.patch");
        std::fs::write(&patch, "x\n").unwrap();
        std::fs::write(&script, "die \"no such option\\n\";\n").unwrap();
        let line = run(&script, &patch).unwrap_err().in_one_line();
        assert!(line.contains("checkstyle9.pl ended with"), "{line}");
        assert!(line.ends_with("no such option"), "{line}");
        std::fs::write(&script, "print \"$ARGV[-1]:1: ERROR: bad\\n\"; exit 1;\n").unwrap();
        let found = run(&script, &patch).unwrap();
        assert_eq!(found[0].text, "ERROR bad (checkstyle9)");
    }
}
