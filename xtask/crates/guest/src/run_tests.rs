//! The tests of a guest that is ready: saved once, loaded for each, on several
//! machines side by side if wanted. Every verb that runs tests does it here.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::Duration;

use kdk_vm::console::log::Cap;
use kdk_vm::plan::{Isolation, Selection};
use kdk_vm::progress::Progress;
use kdk_vm::run::{Guests, LogDir, Options, Report, run_all};
use kdk_vm::session::Limits;

use crate::build::Builder;
use crate::build::state::{self, State};
use crate::guest::{self, Guest};
use crate::symbolize::Explainer;
use kdk_core::context::Context;
use kdk_core::event::{Event, Phase, Sink, milliseconds};
use kdk_core::failure::Failure;
use kdk_report::recorder::Recorder;

/// Which tests, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct Tests {
    /// Run the tests that match; may be repeated [default: all but the faults]
    #[arg(long, value_name = "GLOB")]
    pub tests: Vec<String>,
    /// Which tests share a kernel: test (none do), suite, or none (all do)
    #[arg(long, value_name = "I", default_value = "test")]
    pub isolation: IsolationWish,
    /// Guests side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: u16,
    /// Run each test so often, and say how often it failed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// Run the tests in an order that the seed decides
    #[arg(long)]
    pub shuffle: bool,
    /// What is random about the run comes from this [default: another each time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Boot every guest, instead of loading one that was saved
    #[arg(long)]
    pub cold: bool,
    /// Seconds each test may take, instead of its own limit
    #[arg(long, value_name = "S")]
    pub timeout: Option<u64>,
    /// Show the guest's console and results
    #[arg(short, long)]
    pub verbose: bool,
}

/// Which tests share a kernel, as the user says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum IsolationWish {
    /// None do.
    Test,
    /// Those of one suite.
    Suite,
    /// All do.
    None,
}

impl Default for Tests {
    /// As the command line has it when nothing is said.
    fn default() -> Self {
        Self {
            tests: Vec::new(),
            isolation: IsolationWish::Test,
            jobs: 1,
            repeat: 1,
            shuffle: false,
            seed: None,
            cold: false,
            timeout: None,
            verbose: false,
        }
    }
}

impl From<IsolationWish> for Isolation {
    fn from(wish: IsolationWish) -> Self {
        match wish {
            IsolationWish::Test => Self::Test,
            IsolationWish::Suite => Self::Suite,
            IsolationWish::None => Self::None,
        }
    }
}

impl Tests {
    /// The seed of this run: the user's, or one nobody has chosen.
    pub fn seed(&self) -> u64 {
        // The standard library's hash keys are the system's random numbers.
        self.seed
            .unwrap_or_else(|| RandomState::new().hash_one(std::process::id()) >> 32)
    }

    /// Which tests share a kernel of `guest`: with a fresh one for each test,
    /// a machine that cannot be saved would boot for each.
    pub fn isolation_on(&self, guest: &Guest) -> Isolation {
        match self.isolation {
            IsolationWish::Test if guest.pool.qemu().is_none() => Isolation::Suite,
            choice => choice.into(),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            test: self.timeout.map(Duration::from_secs),
            ..Limits::default()
        }
    }

    /// For the runner.
    fn options(&self, place: &Place<'_>, durations: BTreeMap<String, u64>) -> Options {
        Options {
            selection: Selection {
                patterns: self.tests.clone(),
                repeat: usize::try_from(self.repeat).unwrap_or(usize::MAX),
                shuffle: self.shuffle,
                seed: self.seed(),
            },
            limits: self.limits(),
            logs: Some(LogDir {
                path: place.logs.to_owned(),
                cap: Cap::default(),
            }),
            isolation: self.isolation_on(place.guest),
            jobs: self.jobs.into(),
            durations,
            ..Options::default()
        }
    }
}

/// A guest, and where what its tests leave goes.
pub struct Place<'a> {
    /// The guest.
    pub guest: &'a Guest,
    /// Explains its crashes.
    pub crashes: &'a Explainer<'a>,
    /// The folder of the run's logs.
    pub logs: &'a Path,
}

/// Saves the guest where it can be saved, and runs tests on it. `durations`
/// are those of earlier runs, milliseconds.
///
/// # Errors
/// The wishes contradict each other, the guest did not come up, or the host
/// failed. What goes wrong later is in the report.
pub fn tested(
    cx: &Context,
    recorder: &Recorder<'_>,
    place: &Place<'_>,
    wanted: &Tests,
    durations: BTreeMap<String, u64>,
) -> Result<Report, Failure> {
    let state = save(cx, recorder, place, wanted)?;
    let mut report = run(cx, recorder, place, state.as_ref(), wanted, durations)?;
    recorder.stamp(&mut report.outcomes);
    place.crashes.explain(&mut report);
    Ok(report)
}

/// The guest, saved at the first moment of its user space; none if each is to
/// boot, because the user wants that or the machine cannot be saved.
pub fn save(
    cx: &Context,
    recorder: &Recorder<'_>,
    place: &Place<'_>,
    wanted: &Tests,
) -> Result<Option<State>, Failure> {
    let (guest, crashes) = (place.guest, place.crashes);
    let Some(pool) = guest.pool.qemu() else {
        let text = "bhyve cannot save a machine: the tests of a suite share a kernel";
        guest::say(recorder, Phase::Boot, text.into());
        return Ok(None);
    };
    if wanted.cold {
        return Ok(None);
    }
    let boot = state::Boot {
        base: &guest.run.base,
        pool,
        parts: &guest.parts,
        limits: wanted.limits(),
        sink: &|progress| show(recorder, crashes, wanted, progress),
        explain: &|error| crashes.explain_error(error),
    };
    let builder = Builder::new(cx, recorder, place.logs);
    let state = recorder.phase(Phase::Boot, || state::obtain(&builder, &boot))?;
    Ok(Some(state))
}

/// Runs tests on a guest, on its saved state if there is one.
pub fn run(
    cx: &Context,
    recorder: &Recorder<'_>,
    place: &Place<'_>,
    state: Option<&State>,
    wanted: &Tests,
    durations: BTreeMap<String, u64>,
) -> Result<Report, Failure> {
    if wanted.jobs > 1 && wanted.isolation == IsolationWish::None {
        return Err(Failure::usage(
            "run guests side by side",
            "with --isolation none all tests share one",
        )
        .help("leave --jobs out, or use --isolation test or suite"));
    }
    let options = wanted.options(place, durations);
    let guests = match state {
        Some(state) => Guests::Load(state, &state.saved),
        None => Guests::Boot(&*place.guest.pool),
    };
    recorder.phase(Phase::Tests, || {
        let sink = |progress: Progress<'_>| show(recorder, place.crashes, wanted, progress);
        let report = run_all(guests, &options, &cx.interrupt, &sink);
        let how = describe(&report, state.is_some());
        Ok((report, false, how))
    })
}

/// `113 fresh kernels, each up in 63 ms`, or how long the boots took.
fn describe(report: &Report, loaded: bool) -> String {
    let mut boots = report.boots.clone();
    boots.sort_unstable();
    let median = boots.get(boots.len() / 2).copied().unwrap_or(0);
    let how = if loaded { "loaded" } else { "booted" };
    match boots.len() {
        1 => format!("{how} in {median} ms"),
        many => format!("{many} fresh kernels, each {how} in {median} ms"),
    }
}

fn show(recorder: &Recorder<'_>, crashes: &Explainer<'_>, wanted: &Tests, progress: Progress<'_>) {
    let line = |phase, text: String| guest::say(recorder, phase, text);
    match progress {
        Progress::Console(text) if wanted.verbose => line(Phase::Boot, format!("console| {text}")),
        Progress::Result(text) if wanted.verbose => line(Phase::Boot, format!("result | {text}")),
        Progress::Up(hello, after) => {
            let (ms, uname) = (milliseconds(after), hello.uname.clone());
            recorder.emit(Event::Up { ms, uname });
        }
        Progress::Finished(outcome) => recorder.emit(Event::Test(crashes.explained(outcome))),
        Progress::Revised(outcome) => recorder.emit(Event::Revised(crashes.explained(outcome))),
        Progress::Note(text) => line(Phase::Tests, text.to_owned()),
        Progress::Starting(number) if number > 1 && wanted.verbose => {
            line(Phase::Boot, format!("machine {number}"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_the_users_or_another_each_time() {
        let tests = |seed| Tests {
            seed,
            ..Tests::default()
        };
        assert_eq!(tests(Some(7)).seed(), 7);
        let seeds: std::collections::BTreeSet<u64> = (0..8).map(|_| tests(None).seed()).collect();
        assert!(seeds.len() > 1);
    }

    #[test]
    fn how_the_guests_came_up() {
        let report = |boots: &[u64]| Report {
            boots: boots.to_vec(),
            ..Report::default()
        };
        assert_eq!(describe(&report(&[80]), false), "booted in 80 ms");
        assert_eq!(
            describe(&report(&[80, 60, 70]), true),
            "3 fresh kernels, each loaded in 70 ms"
        );
    }
}
