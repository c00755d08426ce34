//! Answers a line of the host.

use crate::ktap::write_error;
use crate::{Command, Listing, Pattern, Platform, Refusal, Registry, Run, Text, Where, parse};
use core::fmt::{self, Write};

/// The answer to one line. It is read chunk by chunk, so that everything before
/// a test leaves the guest before the test runs.
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
    /// Returns the answer to `line`. No test runs yet.
    #[must_use]
    pub fn to(registry: &Registry<'a>, place: Where, line: &str) -> Self {
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

    /// Writes the next chunk, after running a test if one is next. Returns
    /// `false` when the answer is complete and nothing was written.
    ///
    /// # Errors
    /// Fails when `out` fails.
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
