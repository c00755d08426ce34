//! Writes the lines of the protocol: KTAP 1 as the Linux kernel documents it
//! (Documentation/dev-tools/ktap.rst), with kdk's `# start` and `# done`.

use crate::text::{Clean, Text};
use core::fmt::{self, Display, Write};

/// The longest reason on a result line, in bytes.
const WHY: usize = 160;

/// The fields of a result line.
pub struct ResultLine<'a> {
    /// Whether the line says `ok`.
    pub ok: bool,
    /// The number of the test, from 1.
    pub number: usize,
    /// The name of the test.
    pub name: &'a str,
    /// The directive (`SKIP`, `XFAIL`, `ERROR`) and its reason.
    pub directive: Option<(&'static str, &'a dyn Display)>,
}

/// Writes `# start NAME`. From now on the host assigns a crash to this test.
pub fn write_start(out: &mut dyn Write, name: &str) -> fmt::Result {
    writeln!(out, "# start {name}")
}

/// Writes the version line and the plan.
pub fn write_plan(out: &mut dyn Write, tests: usize) -> fmt::Result {
    writeln!(out, "KTAP version 1\n1..{tests}")
}

/// Writes `# done N`.
pub fn write_done(out: &mut dyn Write, tests: usize) -> fmt::Result {
    writeln!(out, "# done {tests}")
}

/// Writes a diagnostic, `# LABEL: TEXT`. Further lines of the text are
/// indented, so that none looks like a line of the protocol.
///
/// # Errors
/// Fails when `out` fails.
pub fn write_diagnostic(out: &mut dyn Write, label: &str, text: &dyn Display) -> fmt::Result {
    write!(out, "# {label}: ")?;
    write!(Clean::new(out, "\n#   "), "{text}")?;
    writeln!(out)
}

/// Writes a result line, with a reason that fits on it.
pub fn write_result(out: &mut dyn Write, line: &ResultLine<'_>) -> fmt::Result {
    let verdict = if line.ok { "ok" } else { "not ok" };
    write!(out, "{verdict} {} {}", line.number, line.name)?;
    if let Some((directive, why)) = line.directive {
        write!(out, " # {directive} ")?;
        write!(Clean::new(out, " "), "{}", Text::<WHY>::of(why))?;
    }
    writeln!(out)
}

/// Writes `# error COMMAND: reason`, the answer to a command that cannot be
/// executed.
///
/// # Errors
/// Fails when `out` fails.
pub fn write_error(out: &mut dyn Write, command: &str, reason: &dyn Display) -> fmt::Result {
    write!(out, "# error ")?;
    write!(Clean::new(out, " "), "{}", Text::<80>::of(command))?;
    write!(out, ": ")?;
    write!(Clean::new(out, " "), "{}", Text::<WHY>::of(reason))?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;

    fn written(write: impl Fn(&mut dyn Write) -> fmt::Result) -> String {
        let mut out = String::new();
        assert!(write(&mut out).is_ok());
        out
    }

    #[test]
    fn a_diagnostic_cannot_forge_a_line() {
        for (text, lines) in [
            ("boom", "# panic: boom\n"),
            ("", "# panic: \n"),
            (
                "a\nok 1 a/b\n# done 1\n",
                "# panic: a\n#   ok 1 a/b\n#   # done 1\n",
            ),
            ("\r\n\r\nok 1 a/b", "# panic: \n#   ok 1 a/b\n"),
            ("\0\u{1b}[31m", "# panic: ??[31m\n"),
        ] {
            assert_eq!(written(|out| write_diagnostic(out, "panic", &text)), lines);
        }
    }

    #[test]
    fn a_reason_cannot_forge_a_line() {
        let why = "a\nok 2 a/c";
        let line = ResultLine {
            ok: false,
            number: 1,
            name: "a/b",
            directive: Some(("XFAIL", &why)),
        };
        assert_eq!(
            written(|out| write_result(out, &line)),
            "not ok 1 a/b # XFAIL a ok 2 a/c\n"
        );
        let long = "y".repeat(1000);
        let line = ResultLine {
            directive: Some(("SKIP", &long)),
            ok: true,
            ..line
        };
        let text = written(|out| write_result(out, &line));
        assert!(text.starts_with("ok 1 a/b # SKIP yyy") && text.ends_with("yyy...\n"));
        assert!(text.len() < 200);
    }

    #[test]
    fn an_error_names_the_command_on_one_line() {
        assert_eq!(
            written(|out| write_error(out, "dance\n# bye", &"not a\ncommand")),
            "# error dance # bye: not a command\n"
        );
        let long = "z".repeat(1000);
        assert!(written(|out| write_error(out, &long, &long)).len() < 300);
    }
}
