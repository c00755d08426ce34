//! Parses the commands of the host.

use core::fmt;

/// A command of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// List the tests.
    List,
    /// Run the tests of this name or glob (not checked yet).
    Run(&'a str),
    /// Stop all activity, before the machine is saved.
    Quiesce,
    /// Set the clock and the seed, before the first test. A guest that was
    /// restored from a saved state has the clock and the random numbers of that
    /// state.
    Resume(Resume),
    /// End the machine.
    End,
}

/// The arguments of `resume`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The time, in seconds since 1970 (UTC).
    pub seconds: u64,
    /// The nanoseconds of the time.
    pub nanoseconds: u32,
    /// The seed of the guest's random numbers, and of tests that make random
    /// choices.
    pub seed: u64,
}

impl fmt::Display for Resume {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seconds,
            nanoseconds,
            seed,
        } = self;
        write!(
            out,
            "resume time={seconds}.{nanoseconds:09} seed={seed:016x}"
        )
    }
}

impl Resume {
    fn parse(time: &str, seed: &str) -> Option<Self> {
        let (seconds, nanoseconds) = time.strip_prefix("time=")?.split_once('.')?;
        if nanoseconds.len() != 9 || !nanoseconds.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self {
            seconds: seconds.parse().ok()?,
            nanoseconds: nanoseconds.parse().ok()?,
            seed: u64::from_str_radix(seed.strip_prefix("seed=")?, 16).ok()?,
        })
    }
}

/// The reason why a line is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadCommand {
    /// The line does not begin with `list`, `run`, `quiesce`, `resume` or
    /// `end`.
    Unknown,
    /// The command `run` has no name, or more than one.
    RunArgument,
    /// The command `resume` has no valid time and seed.
    ResumeArguments,
    /// The command takes no argument and has one.
    ExtraArgument,
}

impl fmt::Display for BadCommand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Unknown => "not a command; use list, run NAME|GLOB, quiesce, resume or end",
            Self::RunArgument => "run takes one test's name or one glob",
            Self::ResumeArguments => "resume takes time=SECONDS.NANOSECONDS and seed=HEX",
            Self::ExtraArgument => "this command takes no argument",
        })
    }
}

impl core::error::Error for BadCommand {}

/// Parses a line from the host, with or without its end of line.
///
/// # Errors
/// Fails when the line is not a command.
pub fn parse(line: &str) -> Result<Command<'_>, BadCommand> {
    let mut words = line.split_ascii_whitespace();
    let (command, argument, more) = (words.next(), words.next(), words.next());
    match (command, argument, more) {
        (Some("run"), Some(pattern), None) => Ok(Command::Run(pattern)),
        (Some("run"), ..) => Err(BadCommand::RunArgument),
        (Some("resume"), Some(time), Some(seed)) => match (Resume::parse(time, seed), words.next())
        {
            (Some(resume), None) => Ok(Command::Resume(resume)),
            _ => Err(BadCommand::ResumeArguments),
        },
        (Some("resume"), ..) => Err(BadCommand::ResumeArguments),
        (Some("list"), None, _) => Ok(Command::List),
        (Some("quiesce"), None, _) => Ok(Command::Quiesce),
        (Some("end"), None, _) => Ok(Command::End),
        (Some("list" | "quiesce" | "end"), ..) => Err(BadCommand::ExtraArgument),
        _ => Err(BadCommand::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        for (line, command) in [
            ("", Err(BadCommand::Unknown)),
            ("\n", Err(BadCommand::Unknown)),
            ("LIST", Err(BadCommand::Unknown)),
            ("runx a/b", Err(BadCommand::Unknown)),
            ("sh", Err(BadCommand::Unknown)),
            ("\0", Err(BadCommand::Unknown)),
            ("run", Err(BadCommand::RunArgument)),
            ("run a/b c/d", Err(BadCommand::RunArgument)),
            ("list all", Err(BadCommand::ExtraArgument)),
            ("end now", Err(BadCommand::ExtraArgument)),
            ("resume", Err(BadCommand::ResumeArguments)),
            ("resume time=5 seed=1", Err(BadCommand::ResumeArguments)),
            ("resume time=5.1 seed=1", Err(BadCommand::ResumeArguments)),
            (
                "resume time=5.+00000001 seed=1",
                Err(BadCommand::ResumeArguments),
            ),
            (
                "resume time=5.000000001 seed=x",
                Err(BadCommand::ResumeArguments),
            ),
            (
                "resume time=5.000000001 seed=1 x",
                Err(BadCommand::ResumeArguments),
            ),
            (
                "resume seed=1 time=5.000000001",
                Err(BadCommand::ResumeArguments),
            ),
            ("list\n", Ok(Command::List)),
            ("quiesce\n", Ok(Command::Quiesce)),
            ("  run\ta/b \r\n", Ok(Command::Run("a/b"))),
            ("run fault/*", Ok(Command::Run("fault/*"))),
            ("end\r\n", Ok(Command::End)),
        ] {
            assert_eq!(parse(line), command, "{line:?}");
        }
    }

    #[test]
    fn a_resume_is_read_as_it_is_written() {
        let resume = Resume {
            seconds: 1_795_546_553,
            nanoseconds: 7,
            seed: u64::MAX - 1,
        };
        let text = crate::Text::<80>::of(resume);
        assert_eq!(parse(text.as_str()), Ok(Command::Resume(resume)));
    }
}
