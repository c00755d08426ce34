//! Runs the tests that a pattern selects.

use crate::ktap::{
    ResultLine, write_diagnostic, write_done, write_plan, write_result, write_start,
};
use crate::registry::Ordered;
use crate::{Counters, CountersFull, Ended, Pattern, Platform, Refusal, Registry};
use crate::{Stop, Test, Text};
use core::fmt::{self, Write};

/// The longest chunk of [`Run::next_chunk`], in bytes.
pub const MAX_CHUNK: usize = 4096;

/// A run of the tests that a pattern selects, by name.
///
/// Each call of [`next_chunk`](Self::next_chunk) writes what is known. Its last
/// line is the `# start` of the test that the next call runs.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    tests: Ordered<'a>,
    pattern: Pattern,
    planned: usize,
    done: usize,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Planned,
    Started(&'static Test),
    Over,
}

impl<'a> Run<'a> {
    /// Returns a run of the tests that `pattern` selects.
    ///
    /// # Errors
    /// Fails when no test is selected, or a name is registered twice.
    pub fn new(registry: &Registry<'a>, pattern: Pattern) -> Result<Self, Refusal> {
        registry.check()?;
        match registry.count(&pattern) {
            0 => Err(Refusal::NoMatch),
            planned => Ok(Self {
                tests: registry.ordered(),
                pattern,
                planned,
                done: 0,
                state: State::Planned,
            }),
        }
    }

    /// Runs the test that was announced last, if any, and writes its result and
    /// the announcement of the next. Returns `false` when the run is over and
    /// nothing was written.
    ///
    /// # Errors
    /// Fails when `out` fails. The announced test has run then, and its result
    /// is lost.
    pub fn next_chunk(
        &mut self,
        platform: &mut dyn Platform,
        out: &mut dyn Write,
    ) -> Result<bool, fmt::Error> {
        let started = match self.state {
            State::Over => return Ok(false),
            State::Planned => None,
            State::Started(test) => Some(test),
        };
        let pattern = self.pattern;
        let next = self.tests.find(|test| pattern.selects_test(test));
        self.state = next.map_or(State::Over, State::Started);
        if let Some(test) = started {
            self.done += 1;
            run_one(platform, out, self.done, test)?;
        }
        match next {
            Some(test) => write_start(out, test.name)?,
            None => write_done(out, self.done)?,
        }
        if started.is_none() {
            write_plan(out, self.planned)?;
        }
        // The test may end the kernel, so ask before it runs.
        if let Some(why) = next.and_then(Test::known_crash) {
            write_diagnostic(out, "may end the kernel", &why)?;
        }
        Ok(true)
    }
}

/// The findings about a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Skipped(&'static str),
    Failed,
    Error,
}

/// Runs `test`, writes its diagnostics and its result.
fn run_one(
    platform: &mut dyn Platform,
    out: &mut dyn Write,
    number: usize,
    test: &'static Test,
) -> fmt::Result {
    let mut before = Counters::new();
    platform.counters(test, &mut before);
    let ended = platform.run_isolated(test);
    let mut after = Counters::new();
    let checked = read_settled(platform, test, &before, &mut after);

    platform.write_notes(out)?;
    write_ending(out, &ended)?;
    for leak in after.grown_since(&before) {
        write_diagnostic(out, "leak", &leak)?;
    }
    let leaked = after.grown_since(&before).next().is_some();
    let mut outcome = judge(&ended, leaked);
    let mut error = Text::<160>::new();
    if let Err(full) = checked {
        outcome = Outcome::Error;
        error = Text::of(full);
    } else if let Ended::Died(how) = &ended {
        error = Text::of(how);
    }
    write_verdict(out, number, test, outcome, &error)
}

/// Reads the counters into `after` until they are no higher than `before`, or
/// the platform reports that the growth is final.
fn read_settled(
    platform: &mut dyn Platform,
    test: &'static Test,
    before: &Counters,
    after: &mut Counters,
) -> Result<(), CountersFull> {
    before.check()?;
    let mut attempt = 0;
    loop {
        after.clear();
        platform.counters(test, after);
        after.check()?;
        if after.grown_since(before).next().is_none() || !platform.settle(attempt) {
            return Ok(());
        }
        attempt = attempt.saturating_add(1);
    }
}

/// Writes a diagnostic about how the test ended, if it needs one.
fn write_ending(out: &mut dyn Write, ended: &Ended) -> fmt::Result {
    match ended {
        Ended::Returned(Ok(()) | Err(Stop::Skip(_))) => Ok(()),
        Ended::Returned(Err(Stop::Fail(why))) => {
            write_diagnostic(out, "failed", &Text::<512>::of(why))
        }
        Ended::Panicked(message) => write_diagnostic(out, "panic", message),
        Ended::Died(how) => write_diagnostic(out, "died", how),
    }
}

/// Returns whether the test passed. A test that leaks has not passed. Leaks of
/// a test that was aborted are not reported on their own.
const fn judge(ended: &Ended, leaked: bool) -> Outcome {
    match ended {
        Ended::Returned(Ok(()) | Err(Stop::Skip(_))) if leaked => Outcome::Failed,
        Ended::Returned(Ok(())) => Outcome::Passed,
        Ended::Returned(Err(Stop::Skip(why))) => Outcome::Skipped(why),
        Ended::Returned(Err(Stop::Fail(_))) | Ended::Panicked(_) => Outcome::Failed,
        Ended::Died(_) => Outcome::Error,
    }
}

/// Returns the result line. An expected failure includes failures and leaks,
/// but not a death, which may damage the guest.
fn write_verdict(
    out: &mut dyn Write,
    number: usize,
    test: &Test,
    outcome: Outcome,
    error: &dyn fmt::Display,
) -> fmt::Result {
    let known = test.known_defect();
    let (ok, directive): (bool, Option<(&'static str, &dyn fmt::Display)>) =
        match (&outcome, &known) {
            (Outcome::Passed, None) => (true, None),
            (Outcome::Passed, Some(why)) => (true, Some(("XFAIL", why))),
            (Outcome::Skipped(why), _) => (true, Some(("SKIP", why))),
            (Outcome::Failed, None) => (false, None),
            (Outcome::Failed, Some(why)) => (false, Some(("XFAIL", why))),
            (Outcome::Error, _) => (false, Some(("ERROR", error))),
        };
    write_result(
        out,
        &ResultLine {
            ok,
            number,
            name: test.name,
            directive,
        },
    )
}

#[cfg(test)]
mod tests;
