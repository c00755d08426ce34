//! What the host may ask.

use core::fmt;

/// A command of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Name the tests.
    List,
    /// Run the tests of this name or glob (not checked yet).
    Run(&'a str),
    /// End the machine.
    End,
}

/// A line that is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadCommand {
    /// Another word than `list`, `run` and `end`, or none.
    Unknown,
    /// `run` without a name, or with more than one.
    RunWhat,
    /// Something after a command that takes nothing.
    Extra,
}

impl fmt::Display for BadCommand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Unknown => "not a command; there are list, run NAME|GLOB and end",
            Self::RunWhat => "run takes one test's name or one glob",
            Self::Extra => "this command takes no argument",
        })
    }
}

impl core::error::Error for BadCommand {}

/// Reads a line from the host, with or without its end of line.
///
/// # Errors
/// The line is no command.
pub fn parse(line: &str) -> Result<Command<'_>, BadCommand> {
    let mut words = line.split_ascii_whitespace();
    let (command, argument, more) = (words.next(), words.next(), words.next());
    match (command, argument, more) {
        (Some("run"), Some(pattern), None) => Ok(Command::Run(pattern)),
        (Some("run"), ..) => Err(BadCommand::RunWhat),
        (Some("list"), None, _) => Ok(Command::List),
        (Some("end"), None, _) => Ok(Command::End),
        (Some("list" | "end"), ..) => Err(BadCommand::Extra),
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
            ("run", Err(BadCommand::RunWhat)),
            ("run a/b c/d", Err(BadCommand::RunWhat)),
            ("list all", Err(BadCommand::Extra)),
            ("end now", Err(BadCommand::Extra)),
            ("list\n", Ok(Command::List)),
            ("  run\ta/b \r\n", Ok(Command::Run("a/b"))),
            ("run fault/*", Ok(Command::Run("fault/*"))),
            ("end\r\n", Ok(Command::End)),
        ] {
            assert_eq!(parse(line), command, "{line:?}");
        }
    }
}
