//! The run of a user's own program on its way to the host.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::{self, Display, Write};
use kdk_harness::Text;

use crate::run::clean;

/// The number of output lines that the host sees. A test's detail is read by a
/// person.
const SHOWN: usize = 1000;

/// The exit status by which a program says that it cannot test this kernel, as
/// for git-bisect(1).
const SKIP: i32 = 125;

/// Turns the output and the exit status of a program that knows nothing of KTAP
/// into one KTAP document: exit status 0 is a success, 125 a skipped test, and
/// any other one a failure.
#[derive(Clone, Debug)]
pub struct ProgramRelay {
    name: String,
    lines: usize,
}

impl ProgramRelay {
    /// Begins the document of the test `name`.
    ///
    /// # Errors
    /// `out` does not take it.
    pub fn start(name: &str, out: &mut dyn Write) -> Result<Self, fmt::Error> {
        write!(out, "# start {name}\nKTAP version 1\n1..1\n")?;
        Ok(Self {
            name: name.to_string(),
            lines: 0,
        })
    }

    /// Passes a line of output on. Its prefix keeps it apart from every line
    /// that the protocol gives a meaning.
    ///
    /// # Errors
    /// `out` does not take it.
    pub fn line(&mut self, line: &str, out: &mut dyn Write) -> fmt::Result {
        self.lines += 1;
        match self.lines <= SHOWN {
            true => writeln!(out, "# | {}", clean(line)),
            false => Ok(()),
        }
    }

    /// Ends the document with the exit status, or with the reason why there is
    /// none.
    ///
    /// # Errors
    /// `out` does not take it.
    pub fn finish(self, status: Result<i32, &dyn Display>, out: &mut dyn Write) -> fmt::Result {
        if self.lines > SHOWN {
            writeln!(out, "# {} more lines", self.lines - SHOWN)?;
        }
        let name = &self.name;
        match status {
            Ok(0) => writeln!(out, "ok 1 {name}")?,
            Ok(SKIP) => writeln!(out, "ok 1 {name} # SKIP it exited with {SKIP}")?,
            Ok(status) => writeln!(out, "# it exited with {status}\nnot ok 1 {name}")?,
            Err(why) => {
                let why = Text::<200>::of(clean(&format!("{why}")));
                writeln!(out, "not ok 1 {name} # ERROR {why}")?;
            }
        }
        writeln!(out, "# done 1")
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn relayed(lines: &[&str], status: Result<i32, &dyn Display>) -> String {
        let mut out = String::new();
        let mut relay = ProgramRelay::start("user/a", &mut out).unwrap();
        for line in lines {
            relay.line(line, &mut out).unwrap();
        }
        relay.finish(status, &mut out).unwrap();
        out
    }

    #[test]
    fn the_exit_status_is_the_result() {
        for (status, result) in [
            (Ok(0), "ok 1 user/a"),
            (Ok(125), "ok 1 user/a # SKIP it exited with 125"),
            (Ok(1), "# it exited with 1\nnot ok 1 user/a"),
            (
                Err(&"killed by SIGSEGV" as &dyn Display),
                "not ok 1 user/a # ERROR killed by SIGSEGV",
            ),
        ] {
            assert_eq!(
                relayed(&[], status),
                format!("# start user/a\nKTAP version 1\n1..1\n{result}\n# done 1\n")
            );
        }
    }

    #[test]
    fn output_is_never_taken_for_the_protocol() {
        let hostile = ["# done 1", "ok 1 user/a", "\u{1b}[2J", "", "# start x"];
        let out = relayed(&hostile, Ok(1));
        let lines: Vec<&str> = out.lines().skip(3).take(5).collect();
        assert_eq!(
            lines,
            [
                "# | # done 1",
                "# | ok 1 user/a",
                "# | ?[2J",
                "# | ",
                "# | # start x"
            ]
        );
        assert!(out.ends_with("not ok 1 user/a\n# done 1\n"), "{out}");
    }

    #[test]
    fn a_flood_of_output_is_cut() {
        let out = relayed(&["x"; 1500], Ok(0));
        assert_eq!(out.matches("# | x\n").count(), SHOWN);
        assert!(out.contains("# 500 more lines\nok 1 "), "{out}");
    }
}
