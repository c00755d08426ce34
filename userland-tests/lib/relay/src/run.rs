//! One test's run on its way to the host.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::{self, Display, Write};
use kdk_harness::Text;

/// How many lines that do not belong are shown to the host.
const SHOWN: usize = 20;

/// Relays the lines of one `run` as they arrive. The result is delayed until
/// the process has exited, because a suite can report `ok` and then crash.
///
/// Whatever comes in, what goes out is `# start`, one KTAP document with one
/// result, `# done 1`. Lines that do not belong go out as diagnostics, and the
/// result is an error then.
#[derive(Clone, Debug)]
pub struct RunRelay {
    name: String,
    came: usize,
    went: usize,
    result: Option<String>,
    done: bool,
    stray: usize,
    wrong: Option<String>,
}

impl RunRelay {
    /// The run of the test called `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_string(),
            came: 0,
            went: 0,
            result: None,
            done: false,
            stray: 0,
            wrong: None,
        }
    }

    fn head(&self, nth: usize) -> Option<String> {
        match nth {
            0 => Some(format!("# start {}", self.name)),
            1 => Some("KTAP version 1".to_string()),
            2 => Some("1..1".to_string()),
            _ => None,
        }
    }

    /// Takes a line.
    ///
    /// # Errors
    /// `out` does not take what it made of it.
    pub fn line(&mut self, line: &str, out: &mut dyn Write) -> fmt::Result {
        if let Some(head) = self.head(self.came) {
            if line != head {
                return self.stray(line, out);
            }
            self.came += 1;
            return self.go_to(self.came, out);
        }
        if self.done {
            return self.stray(line, out);
        }
        if line == "# done 1" {
            self.done = true;
            return Ok(());
        }
        if self.result.is_none() && is_result(line, &self.name) {
            self.result = Some(line.to_string());
            return Ok(());
        }
        if belongs(line) {
            return writeln!(out, "{line}");
        }
        self.stray(line, out)
    }

    /// Writes the head of the document up to its `until`th line.
    fn go_to(&mut self, until: usize, out: &mut dyn Write) -> fmt::Result {
        while let Some(head) = self.head(self.went).filter(|_| self.went < until) {
            writeln!(out, "{head}")?;
            self.went += 1;
        }
        Ok(())
    }

    fn stray(&mut self, line: &str, out: &mut dyn Write) -> fmt::Result {
        self.stray += 1;
        self.go_to(3, out)?;
        let shown = clean(line);
        if self.stray <= SHOWN {
            writeln!(out, "# stray line: {shown}")?;
        }
        if self.wrong.is_none() {
            self.wrong = Some(format!("it wrote a line that does not belong: {shown}"));
        }
        Ok(())
    }

    /// Ends the run. `trouble` is what went wrong with the place itself, if
    /// something did: how it crashed, why it could not be started.
    ///
    /// # Errors
    /// `out` does not take it.
    pub fn finish(mut self, trouble: Option<&dyn Display>, out: &mut dyn Write) -> fmt::Result {
        self.go_to(3, out)?;
        if self.stray > SHOWN {
            writeln!(out, "# {} stray lines more", self.stray - SHOWN)?;
        }
        let trouble = trouble.map(|trouble| trouble.to_string());
        let missing = match (&self.result, self.done) {
            (None, _) => Some("it ended without a result".to_string()),
            (_, false) => Some("it ended before `# done 1`".to_string()),
            _ => None,
        };
        match trouble.or(self.wrong).or(missing) {
            None => writeln!(out, "{}", self.result.unwrap_or_default())?,
            Some(why) => {
                if let Some(result) = self.result {
                    writeln!(out, "# it had said: {result}")?;
                }
                let why = Text::<200>::of(clean(&why));
                writeln!(out, "not ok 1 {} # ERROR {why}", self.name)?;
            }
        }
        writeln!(out, "# done 1")
    }
}

/// `ok 1 NAME` or `not ok 1 NAME`, and perhaps a directive.
fn is_result(line: &str, name: &str) -> bool {
    let rest = line.strip_prefix("not ").unwrap_or(line);
    let rest = rest
        .strip_prefix("ok 1 ")
        .and_then(|r| r.strip_prefix(name));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" # "))
}

/// Diagnostics and nested documents, but nothing that the protocol means
/// something else by.
fn belongs(line: &str) -> bool {
    let nested = line.starts_with(' ') && !line.trim_ascii().is_empty();
    let taken = [
        "# start ",
        "# done",
        "# bye",
        "# error ",
        "# test ",
        "# end list",
        "# kdk-hello",
    ];
    let diagnostic = line.starts_with("# ") && !taken.iter().any(|start| line.starts_with(start));
    (nested || diagnostic) && !line.contains(char::is_control)
}

/// A line without what a terminal or a reader could trip over.
pub fn clean(line: &str) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    line.chars().take(200).map(clean).collect()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn relayed(lines: &[&str], trouble: Option<&str>) -> String {
        let mut out = String::new();
        let mut relay = RunRelay::new("a/b");
        for line in lines {
            relay.line(line, &mut out).unwrap();
        }
        let trouble = trouble.as_ref().map(|trouble| trouble as &dyn Display);
        relay.finish(trouble, &mut out).unwrap();
        out
    }

    fn good(result: &str) -> Vec<&str> {
        Vec::from(["# start a/b", "KTAP version 1", "1..1", result, "# done 1"])
    }

    /// What must go out: the head, then `tail`.
    fn whole(tail: &str) -> String {
        format!("# start a/b\nKTAP version 1\n1..1\n{tail}\n# done 1\n")
    }

    #[test]
    fn a_good_run_passes_unchanged() {
        for result in [
            "ok 1 a/b",
            "not ok 1 a/b",
            "ok 1 a/b # SKIP why",
            "not ok 1 a/b # TIMEOUT 5 ms",
        ] {
            assert_eq!(relayed(&good(result), None), whole(result));
        }
        let nested = [
            "# start a/b",
            "KTAP version 1",
            "1..1",
            "# panic: boom",
            "  1..1",
            "  ok 1 x",
            "not ok 1 a/b",
            "# done 1",
        ];
        assert_eq!(
            relayed(&nested, None),
            whole("# panic: boom\n  1..1\n  ok 1 x\nnot ok 1 a/b")
        );
    }

    #[test]
    fn lines_go_out_when_they_come_but_the_result_waits() {
        let mut out = String::new();
        let mut relay = RunRelay::new("a/b");
        relay.line("# start a/b", &mut out).unwrap();
        assert_eq!(out, "# start a/b\n");
        for line in ["KTAP version 1", "1..1", "ok 1 a/b", "# done 1"] {
            relay.line(line, &mut out).unwrap();
        }
        assert_eq!(out, "# start a/b\nKTAP version 1\n1..1\n");
    }

    #[test]
    fn bad_runs_are_errors() {
        let start = "# start a/b";
        for (lines, trouble, tail) in [
            (
                &[][..],
                None,
                "not ok 1 a/b # ERROR it ended without a result",
            ),
            (
                &[],
                Some("execve: ENOENT"),
                "not ok 1 a/b # ERROR execve: ENOENT",
            ),
            (&[start], Some("killed"), "not ok 1 a/b # ERROR killed"),
            (
                &good("ok 1 a/b"),
                Some("killed"),
                "# it had said: ok 1 a/b\nnot ok 1 a/b # ERROR killed",
            ),
            (
                &good("ok 1 a/b")[..4],
                None,
                "# it had said: ok 1 a/b\nnot ok 1 a/b # ERROR it ended before `# done 1`",
            ),
            (
                &["\u{1b}[2Jhello"],
                None,
                "# stray line: ?[2Jhello\n\
                 not ok 1 a/b # ERROR it wrote a line that does not belong: ?[2Jhello",
            ),
            (
                &good("ok 1 other/b"),
                None,
                "# stray line: ok 1 other/b\n\
                 not ok 1 a/b # ERROR it wrote a line that does not belong: ok 1 other/b",
            ),
            (
                &good("ok 1 a/bc"),
                None,
                "# stray line: ok 1 a/bc\n\
                 not ok 1 a/b # ERROR it wrote a line that does not belong: ok 1 a/bc",
            ),
        ] {
            assert_eq!(relayed(lines, trouble), whole(tail), "{lines:?}");
        }
    }

    #[test]
    fn a_second_result_and_what_follows_the_end_are_errors() {
        for extra in ["not ok 1 a/b", "# done 1", "# bye", "# start a/b"] {
            let mut lines = good("ok 1 a/b");
            lines.push(extra);
            let out = relayed(&lines, None);
            assert!(out.contains("not ok 1 a/b # ERROR it wrote"), "{out}");
        }
    }

    #[test]
    fn a_flood_of_garbage_is_cut() {
        let lines = ["x"; 1000];
        let out = relayed(&lines, None);
        assert!(out.lines().count() < SHOWN + 10);
        assert!(out.contains("# 980 stray lines more"));
    }

    proptest! {
        #[test]
        fn what_goes_out_is_always_one_document(
            lines in proptest::collection::vec(
                prop_oneof![
                    Just("# start a/b".to_string()),
                    Just("KTAP version 1".to_string()),
                    Just("1..1".to_string()),
                    Just("ok 1 a/b".to_string()),
                    Just("not ok 1 a/b".to_string()),
                    Just("# done 1".to_string()),
                    ".{0,20}",
                ],
                0..12,
            ),
            crashed in any::<bool>(),
        ) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let out = relayed(&lines, crashed.then_some("crashed"));
            let count = |wanted: &dyn Fn(&str) -> bool| out.lines().filter(|l| wanted(l)).count();
            prop_assert_eq!(count(&|line| line == "# start a/b"), 1);
            prop_assert_eq!(count(&|line| line == "KTAP version 1"), 1);
            prop_assert_eq!(count(&|line| line.starts_with("ok ") || line.starts_with("not ok ")), 1);
            prop_assert!(out.starts_with("# start a/b\nKTAP version 1\n1..1\n"));
            prop_assert!(out.ends_with("\n# done 1\n"));
            prop_assert_eq!(count(&|line| line.starts_with("# done")), 1);
            if crashed {
                prop_assert!(out.contains("not ok 1 a/b # ERROR crashed"));
            }
        }
    }
}
