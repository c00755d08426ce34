//! Terminal output: a progress bar on a terminal, plain lines elsewhere.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use kdk_vm::verdict::{Outcome, Summary, Verdict};

use crate::event::{Event, Phase, PhaseResult, Sink};
use crate::failure::Failure;
use crate::printer::Printer;

/// The most bytes of one line that are printed.
const LONGEST_LINE: usize = 4000;

/// Prints the events and the results of a command. Events are printed by
/// another thread, so that a reader that does not read stops no run. Dropping
/// the terminal waits until all is printed.
pub struct Terminal {
    bar: ProgressBar,
    printer: Printer,
    live: bool,
    seen: Mutex<Progress>,
    /// The first error of standard output.
    lost: Mutex<Option<std::io::Error>>,
}

/// The progress of a phase that plain output has printed.
#[derive(Debug, Default)]
struct Progress {
    phase: Option<Phase>,
    printed: u64,
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Terminal {
    /// Returns the terminal of this process. Progress goes to standard error,
    /// results to standard output.
    pub fn new() -> Self {
        let live = std::io::stderr().is_terminal();
        let bar = ProgressBar::new_spinner();
        if !live {
            bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        }
        Self {
            printer: Printer::new(bar.clone(), live),
            bar,
            live,
            seen: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    /// Prints a line on standard error, above the progress bar if there is one.
    pub fn line(&self, text: &str) {
        self.printer.text(cut_lines(text).into_owned());
    }

    /// Prints lines of a result on standard output.
    pub fn print(&self, text: impl Display) {
        self.printer.flush();
        let write = || writeln!(std::io::stdout(), "{text}");
        let written = match self.live {
            true => self.bar.suspend(write),
            false => write(),
        };
        if let Err(error) = written {
            self.lost().get_or_insert(error);
        }
    }

    /// Fails if a result could not be printed. A reader that has read enough is
    /// no failure.
    ///
    /// # Errors
    /// The error of standard output.
    pub fn check_printed(&self) -> Result<(), Failure> {
        match self.lost().take() {
            Some(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::infra("print the result", "standard output failed").source(error))
            }
            _ => Ok(()),
        }
    }

    fn lost(&self) -> std::sync::MutexGuard<'_, Option<std::io::Error>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the user whether to continue; `CI=true` answers yes. `tried`
    /// completes "could not ...".
    ///
    /// # Errors
    /// Fails where there is no terminal to ask on.
    pub fn confirm(&self, tried: &str) -> Result<bool, Failure> {
        if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
            return Ok(true);
        }
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Err(Failure::usage(tried, "there is no terminal to ask on")
                .help("use `-y` to continue without a question"));
        }
        self.printer.flush();
        let mut stderr = std::io::stderr();
        let _ = write!(stderr, "continue? [y/N] ").and_then(|()| stderr.flush());
        let mut answer = String::new();
        stdin
            .read_line(&mut answer)
            .map_err(|error| Failure::infra(tried, "the terminal is gone").source(error))?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    fn progress(&self, phase: Phase, done: u64, total: u64, unit: &str) {
        if self.live {
            let message = format!("{phase} {unit}");
            self.printer.bar(Box::new(move |bar| {
                bar.set_style(style(total));
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(message);
            }));
            return;
        }
        let mut seen = self
            .seen
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.phase != Some(phase) {
            *seen = Progress {
                phase: Some(phase),
                printed: 0,
            };
        }
        // Prints one line for every 100 units, to keep logs short.
        if done >= seen.printed + 100 {
            seen.printed = done;
            drop(seen);
            let of = if total > 0 {
                format!("/{total}")
            } else {
                String::new()
            };
            self.line(&format!("{phase:>9}  {done}{of} {unit}"));
        }
    }
}

fn style(total: u64) -> ProgressStyle {
    let template = if total > 0 {
        "{msg} {wide_bar} {pos}/{len} {elapsed}"
    } else {
        "{msg} {spinner} {pos} {elapsed}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Sink for Terminal {
    fn emit(&self, event: Event) {
        match event {
            Event::Start { phase } => {
                self.printer.bar(Box::new(move |bar| {
                    bar.set_style(style(0));
                    bar.set_message(phase.name());
                }));
            }
            Event::Line { phase, text } => self.line(&format!("{phase:>9}  {text}")),
            Event::Progress {
                phase,
                done,
                total,
                unit,
            } => self.progress(phase, done, total, unit),
            Event::End {
                phase,
                result,
                ms,
                cached,
                why,
            } => {
                self.printer.bar(Box::new(ProgressBar::reset));
                self.line(&phase_end(phase, &result, ms, cached, &why));
            }
            Event::Up { ms, uname } => {
                self.line(&format!("{:>9}  up after {ms} ms: {uname}", Phase::Boot));
            }
            Event::Test(outcome) | Event::Revised(outcome) => self.line(&test_line(&outcome)),
        }
    }
}

/// Returns `text` with the ends of very long lines cut off: an error may quote
/// its input.
pub fn cut_lines(text: &str) -> Cow<'_, str> {
    if text.lines().all(|line| line.len() <= LONGEST_LINE) {
        return text.into();
    }
    let mut cut = String::new();
    for (n, line) in text.lines().enumerate() {
        let kept = line.get(..line.floor_char_boundary(LONGEST_LINE));
        let kept = kept.unwrap_or_default();
        if n > 0 {
            cut.push('\n');
        }
        cut.push_str(kept);
        if kept.len() < line.len() {
            let more = line.len() - kept.len();
            // Writing to a string does not fail.
            let _ = write!(cut, " [{more} more bytes]");
        }
    }
    cut.into()
}

/// Returns the line for a finished phase.
pub fn phase_end(phase: Phase, result: &PhaseResult, ms: u64, cached: bool, why: &str) -> String {
    let how = match result {
        PhaseResult::Done if cached => "cached",
        PhaseResult::Done => "done",
        PhaseResult::Failed(_) => "FAILED",
    };
    let why = if why.is_empty() {
        String::new()
    } else {
        format!("  ({why})")
    };
    format!("{phase:>9}  {how:<6} {:>9}{why}", seconds(ms))
}

/// Returns the line for a finished test, with its detail below it unless it
/// passed.
pub fn test_line(outcome: &Outcome) -> String {
    let mut text = format!(
        "{:>9}  {:<7} {:>9}  {}",
        "test",
        outcome.verdict.word(),
        seconds(outcome.ms),
        outcome.label()
    );
    let quiet = matches!(outcome.verdict, Verdict::Pass | Verdict::Xfail);
    if !quiet {
        // Only the report files have the registers.
        let detail = outcome.detail.lines().map(str::to_owned);
        let again =
            (!outcome.reproduce.is_empty()).then(|| format!("again: {}", outcome.reproduce));
        for line in detail.chain(outcome.trace().iter().cloned()).chain(again) {
            text.push_str("\n             ");
            text.push_str(&line);
        }
    }
    text
}

/// Returns the counts of tests by verdict, as one line.
pub fn summary_line(summary: Summary) -> String {
    let mut parts = Vec::new();
    for verdict in Verdict::ALL {
        let count = summary.get(verdict);
        if count > 0 {
            parts.push(format!("{count} {}", verdict.word()));
        }
    }
    if parts.is_empty() {
        parts.push("no test ran".into());
    }
    parts.join(", ")
}

/// Formats milliseconds as seconds.
pub fn seconds(ms: u64) -> String {
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_cut_between_characters() {
        let short = "a\nb\n";
        assert_eq!(cut_lines(short), short);
        let long = format!("a\nxx{}\nb", "é".repeat(LONGEST_LINE));
        let cut = cut_lines(&long);
        let lines: Vec<&str> = cut.lines().collect();
        assert_eq!((lines[0], lines[2]), ("a", "b"));
        assert!(lines[1].ends_with("éé [4002 more bytes]"), "{}", lines[1]);
    }
}
