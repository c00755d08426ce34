//! `cargo xtask bench sendfile`: what SF_KQUEUE is good for, and what it costs
//! those who do not use it. The guest's suite `bench` measures; here stands
//! which machine it does that on, and what is made of it.

mod charts;
mod figures;
mod goals;
mod notes;
mod profile;
mod table;

use notes::{Calls, Case};

use super::bed::{Bed, Noted};
use super::goal::Goal;
use super::results::{Out, publish, unread};
use crate::cmd::args::GuestArgs;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::logs;
use kdk_guest::request::{GuestRequest, KernelChoice};
use kdk_series::load;
use kdk_series::manifest::Class;

/// The suite, and the test of it that measures calls without the flag.
const SUITE: &str = "bench/*";
const CALLS: &str = "bench/calls";
/// What `--quick` is content with.
const QUICK: [&str; 3] = ["bench/free-64", "bench/rated-64", CALLS];

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which configurations, tests of the suite `bench` [default: all]
    #[arg(value_name = "GLOB", conflicts_with = "quick")]
    tests: Vec<String>,
    /// The patched kernel's machine.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Only 64 sockets on one worker, readers unthrottled and rate-limited
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    out: Out,
}

/// Measures and prints.
pub fn run(cx: &Context, args: &Args, name: &str) -> Result<(), Failure> {
    let logs = logs::folder(cx)?;
    let out = args.out.folder(cx, &logs)?;
    let patched = GuestRequest {
        kernel: KernelChoice::Bench,
        ..args.guest.request()
    };
    let bed = Bed::prepared(cx, &patched, name, &logs)?;
    let about = format!("{}; medians of 3 rounds", bed.about());
    let noted = bed.measured(&args.patterns())?;
    let (cases, with) = (cases(&noted)?, calls(&noted)?);
    let plain = Bed::prepared(cx, &unpatched(&patched, name)?, name, &logs)?;
    let without = calls(&plain.measured(&[CALLS.into()])?)?;

    let mut lines = vec![about.clone(), String::new()];
    lines.extend(
        cases
            .iter()
            .map(|case| format!("{}: {}", case.name, case.setup)),
    );
    lines.push(String::new());
    lines.extend(table::cases(&cases, bed.clock));
    lines.push(String::new());
    lines.push(format!(
        "sendfile(2) without a flag, {} a call (median); without: {}",
        bed.clock.unit(),
        plain.kernel()
    ));
    lines.extend(table::calls_of_both(&with, &without, bed.clock));
    lines.push(String::new());
    let mut goals = goals::of_cases(&cases);
    goals.extend(goals::of_calls(CALLS, &with, &without));
    lines.extend(goals.iter().map(Goal::to_string));
    let unmeasured = noted.unmeasured();
    lines.extend(unmeasured.clone());
    lines.extend(why(&bed, &missed_tests(&goals))?);
    let plot = charts::sheet(&cases, bed.clock, about);
    publish(&out, "bench-sendfile", &lines, &plot)?;
    match unmeasured.first() {
        None => Ok(()),
        Some(first) => Err(noted.failure(first)),
    }
}

impl Args {
    /// Patterns of the tests.
    fn patterns(&self) -> Vec<String> {
        match (self.quick, self.tests.as_slice()) {
            (true, _) => QUICK.map(str::to_owned).to_vec(),
            (false, []) => vec![SUITE.into()],
            (false, tests) => [tests, &[CALLS.into()]].concat(),
        }
    }
}

/// A kernel without the series, but for what lets it boot in the same way.
fn unpatched(patched: &GuestRequest, name: &str) -> Result<GuestRequest, Failure> {
    let series = load::must(name)?;
    let patches = series.manifest.patches.iter();
    let exclude = patches
        .filter(|patch| patch.class != Class::Enabling)
        .map(|patch| patch.id.clone())
        .collect();
    Ok(GuestRequest {
        exclude,
        ..patched.clone()
    })
}

/// What the tests of configurations have noted.
fn cases(noted: &Noted) -> Result<Vec<Case>, Failure> {
    noted
        .passed()
        .filter(|(name, _)| *name != CALLS)
        .map(|(name, detail)| notes::case(name, detail).map_err(|why| unread(name, &why)))
        .collect()
}

/// What the test of calls without the flag has noted.
fn calls(noted: &Noted) -> Result<Vec<Calls>, Failure> {
    let detail = noted.passed().find(|(name, _)| *name == CALLS);
    let detail = detail.map(|(_, detail)| detail).unwrap_or_default();
    notes::calls(detail).map_err(|why| unread(CALLS, &why))
}

/// The tests of goals that were missed, each once.
fn missed_tests(goals: &[Goal]) -> Vec<String> {
    let mut tests: Vec<String> = Vec::new();
    for goal in goals.iter().filter(|goal| !goal.reached) {
        if !tests.contains(&goal.test) {
            tests.push(goal.test.clone());
        }
    }
    tests
}

/// The profiles of tests whose goals were missed.
fn why(bed: &Bed<'_>, tests: &[String]) -> Result<Vec<String>, Failure> {
    if tests.is_empty() {
        return Ok(Vec::new());
    }
    let Some((samples, program)) = profile::take(bed, tests)? else {
        return Ok(vec!["no profile: only QEMU's machines can be asked".into()]);
    };
    let mut lines = Vec::new();
    for what in profile::kinds(&samples) {
        let count = samples.iter().filter(|(of, _)| *of == what).count();
        lines.push(String::new());
        lines.push(format!(
            "profile of {}, {}: {count} samples",
            what.0,
            what.1.name()
        ));
        lines.extend(profile::lines(&samples, &what, &program));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_asked_why_only_once() {
        let goal = |test: &str, reached| Goal {
            what: String::new(),
            seen: 1.0,
            need: String::new(),
            reached,
            test: test.into(),
        };
        let goals = [
            goal("a/a", false),
            goal("a/b", true),
            goal("a/a", false),
            goal("a/c", false),
        ];
        assert_eq!(missed_tests(&goals), ["a/a", "a/c"]);
    }
}
