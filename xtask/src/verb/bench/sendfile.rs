//! `cargo xtask bench sendfile`: what SF_KQUEUE is good for, and what it costs
//! those who do not use it. The guest's suite `bench` measures; here stands
//! which machine it does that on, and what is made of it.

mod bed;
mod figures;
mod goals;
mod notes;
mod plot;
mod profile;
mod table;

use std::path::PathBuf;

use bed::Bed;
use goals::Goal;
use notes::{Calls, Case, Method};

use crate::context::Context;
use crate::failure::Failure;
use crate::guest::{self, Wanted};
use crate::home::write_atomically;

/// The suite, and the test of it that measures calls without the flag.
const SUITE: &str = "bench/*";
const CALLS: &str = "bench/calls";
/// What `--quick` is content with.
const QUICK: [&str; 2] = ["bench/free-64", "bench/rated-64"];

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The patched kernel's machine.
    #[command(flatten)]
    pub wanted: Wanted,
    /// Only 64 sockets on one worker, readers unthrottled and rate-limited
    #[arg(long)]
    quick: bool,
    /// Where the table and the plot go [default: the run's folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Measures and prints.
pub fn run(cx: &Context, args: &Args, name: &str) -> Result<(), Failure> {
    let logs = guest::run_folder(cx)?;
    let out = args.out.clone().unwrap_or_else(|| logs.clone());
    cx.home.create(&out)?;
    let bed = Bed::patched(cx, &args.wanted, name, &logs)?;
    let mut patterns: Vec<String> = match args.quick {
        true => QUICK.map(str::to_owned).to_vec(),
        false => vec![SUITE.into(), format!("!{CALLS}")],
    };
    let cases = cases(&bed, &patterns)?;
    patterns = vec![CALLS.into()];
    let with = calls(&bed, &patterns)?;
    let plain = Bed::unpatched(cx, &args.wanted, name, &logs)?;
    let without = calls(&plain, &patterns)?;

    let mut lines = vec![bed.about(), String::new()];
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
    for missed in missed_tests(&goals) {
        lines.push(String::new());
        lines.extend(why(&bed, missed)?);
    }
    for line in &lines {
        println!("{line}");
    }
    let text = out.join("bench-sendfile.txt");
    write_atomically(&text, (lines.join("\n") + "\n").as_bytes())
        .map_err(|error| Failure::io("write the table", &text, error))?;
    let charts = plot::charts(&cases, bed.clock);
    for path in plot::write(&charts, &bed.about(), &out)?
        .iter()
        .chain([&text])
    {
        println!("{}", path.display());
    }
    Ok(())
}

fn cases(bed: &Bed<'_>, patterns: &[String]) -> Result<Vec<Case>, Failure> {
    let read = |(name, detail): &(String, String)| {
        notes::case(name, detail).map_err(|why| unread(name, why))
    };
    bed.measured(patterns)?.iter().map(read).collect()
}

fn calls(bed: &Bed<'_>, patterns: &[String]) -> Result<Vec<Calls>, Failure> {
    match bed.measured(patterns)?.as_slice() {
        [(name, detail)] => notes::calls(detail).map_err(|why| unread(name, why)),
        other => Err(unread(
            CALLS,
            format!("{} tests have this name", other.len()),
        )),
    }
}

fn unread(test: &str, why: String) -> Failure {
    Failure::tests(format!("{test}: {why}"))
        .help("what the guest has said is in result.N.log of the run's folder")
}

/// The tests of goals that were missed, each once.
fn missed_tests(goals: &[Goal]) -> Vec<&str> {
    let mut tests: Vec<&str> = Vec::new();
    for goal in goals.iter().filter(|goal| !goal.reached) {
        if !tests.contains(&goal.test.as_str()) {
            tests.push(&goal.test);
        }
    }
    tests
}

/// The profile of a test whose goal was missed.
fn why(bed: &Bed<'_>, test: &str) -> Result<Vec<String>, Failure> {
    let Some((samples, program)) = bed.profile(test)? else {
        return Ok(vec![format!(
            "{test}: no profile: only QEMU's machines can be asked"
        )]);
    };
    let mut lines = Vec::new();
    for method in Method::ALL {
        let count = samples.iter().filter(|(of, _)| *of == Some(method)).count();
        lines.push(format!(
            "{test}, {}: profile of {count} samples",
            method.name()
        ));
        lines.extend(profile::lines(&samples, method, &program));
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
