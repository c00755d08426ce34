//! From a line of the host's to the text that answers it.

use crate::ktap::write_error;
use crate::{Command, Listing, Pattern, Place, Platform, Refusal, Registry, Run, Text, parse};
use core::fmt::{self, Write};

/// The answer to one line, pulled chunk by chunk so that everything known
/// before a test runs can leave the guest before it runs.
#[derive(Clone, Debug)]
pub struct Answer<'a>(Kind<'a>);

#[derive(Clone, Debug)]
enum Kind<'a> {
    List(Listing<'a>),
    Run(Run<'a>),
    Error {
        command: Text<80>,
        reason: Text<160>,
    },
    End,
    Over,
}

impl<'a> Answer<'a> {
    /// The answer to `line`, whatever it is. Nothing runs yet.
    #[must_use]
    pub fn to(registry: &Registry<'a>, place: Place, line: &str) -> Self {
        let refused = |reason: &dyn fmt::Display| Kind::Error {
            command: Text::of(line.trim_ascii()),
            reason: Text::of(reason),
        };
        Self(match parse(line) {
            Err(bad) => refused(&bad),
            Ok(Command::End) => Kind::End,
            Ok(Command::Quiesce | Command::Resume(_)) => {
                refused(&"only init quiesces and resumes the machine")
            }
            Ok(Command::List) => match Listing::new(registry, place) {
                Ok(listing) => Kind::List(listing),
                Err(refusal) => refused(&refusal),
            },
            Ok(Command::Run(pattern)) => match chosen(registry, pattern) {
                Ok(run) => Kind::Run(run),
                Err(refusal) => refused(&refusal),
            },
        })
    }

    /// Writes the next chunk, running a test where one is due; `false` when
    /// the answer is complete and nothing was written.
    ///
    /// # Errors
    /// `out` does not take it.
    pub fn next_chunk(
        &mut self,
        platform: &mut dyn Platform,
        out: &mut dyn Write,
    ) -> Result<bool, fmt::Error> {
        let more = match &mut self.0 {
            Kind::List(listing) => return listing.next_chunk(out),
            Kind::Run(run) => return run.next_chunk(platform, out),
            Kind::Error { command, reason } => {
                write_error(out, command.as_str(), reason)?;
                true
            }
            Kind::End => {
                writeln!(out, "# bye")?;
                true
            }
            Kind::Over => false,
        };
        self.0 = Kind::Over;
        Ok(more)
    }
}

fn chosen<'a>(registry: &Registry<'a>, pattern: &str) -> Result<Run<'a>, Refusal> {
    Run::new(registry, Pattern::new(pattern)?)
}
