//! `cargo xtask prove`: whether each patch is needed.

use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::workspace::workspace;
use kdk_doctor::Need;
use kdk_guest::guest::Wanted;
use kdk_guest::run_tests::Tests;
use kdk_prove::trial::Prover;
use kdk_prove::{hunt, mutants, prove, steps, trees};
use kdk_series::applied;

/// Whether each patch is needed: its tests fail without it, and pass with it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Patches to prove, or mutants to play [default: all]
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// The base, and so the series [default: as for `patches`]
    #[arg(long, value_name = "NAME")]
    base: Option<String>,
    /// Test the first patches alone, from none to all, instead
    #[arg(long, conflicts_with = "ids")]
    each_step: bool,
    /// Whether the tests notice the mistakes of the series' mutants, instead
    #[arg(long, conflicts_with = "each_step")]
    mutants: bool,
    /// Run what was proven and has not changed too
    #[arg(long)]
    again: bool,
    /// Guests side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Run each test so often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// auto, kvm, hvf, nvmm or tcg
    #[arg(long, value_name = "A", default_value = "auto")]
    accel: kdk_vm::accel::AccelChoice,
    /// Virtual CPUs
    #[arg(long, value_name = "N", default_value_t = 1)]
    cpus: u32,
    /// Show the guest's console and results
    #[arg(short, long)]
    verbose: bool,
    /// Install what is missing without asking
    #[arg(short, long)]
    yes: bool,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let which = Which {
        series: args.base.clone(),
    };
    let series = which.load(cx)?;
    kdk_doctor::need(cx, Need::FreeBsd, args.yes)?;
    // The base is let go again: every kernel takes it for itself.
    let (trees, quarry) = {
        let applied = applied::apply_series(&cx.home, &series, &|text| cx.terminal.line(&text))?;
        let quarry = match args.mutants {
            true => {
                let suites = workspace().join("userland-tests/suites");
                let all = mutants::all(&suites, series.name())?;
                hunt::quarry(&applied, mutants::chosen(all, &args.ids)?)?
            }
            false => Vec::new(),
        };
        (trees::trees(&applied)?, quarry)
    };
    let wanted = Wanted {
        base: Some(series.name().to_owned()),
        accel: args.accel,
        cpus: args.cpus,
        ..Wanted::default()
    };
    let tests = Tests {
        jobs: args.jobs,
        repeat: args.repeat,
        verbose: args.verbose,
        ..Tests::default()
    };
    let prover = Prover {
        cx,
        base: series.name(),
        wanted: &wanted,
        tests: &tests,
    };
    if args.mutants {
        hunt::hunt(&prover, &series, &trees, &quarry, args.again)
    } else if args.each_step {
        steps::each_step(&prover, &series, &trees, args.again)
    } else {
        prove(&prover, &series, &trees, &args.ids, args.again)
    }
}
