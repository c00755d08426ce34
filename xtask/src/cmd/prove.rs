//! `cargo xtask prove`.

use super::args::{MOST_JOBS, MOST_ROUNDS, each_once, need_executor, one_of};
use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::{Class, Failure};
use kdk_core::workspace::workspace;
use kdk_doctor::Need;
use kdk_executor::{Executor, ExecutorChoice};
use kdk_guest::remote::Remote;
use kdk_guest::request::{GuestRequest, TestRequest};
use kdk_prove::runner::Runner;
use kdk_prove::{mutants, mutation, prefixes, prove, trees};
use kdk_series::applied;
use kdk_vm::MAX_CPUS;
use kdk_vm::accel::AccelChoice;

/// Prove that each patch is needed: its tests fail without it and pass with it.
///
/// For each patch, kdk builds one kernel with the series and one without the
/// patch, and runs the patch's tests on both. It stores the results beside the
/// series, and repeats a proof only if its inputs have changed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Patches to prove, or mutants to run [default: all]
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// The base, and so the series [default: as for `patches`]
    #[arg(long, value_name = "NAME")]
    base: Option<String>,
    /// Test every prefix of the series, from no patch to all
    #[arg(long, alias = "each-step", conflicts_with = "ids")]
    each_prefix: bool,
    /// Check that the tests kill the series' mutants
    #[arg(long, conflicts_with = "each_prefix")]
    mutants: bool,
    /// Repeat results whose inputs are unchanged
    #[arg(long, alias = "again")]
    force: bool,
    /// Number of guests that run at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MOST_JOBS))]
    jobs: u16,
    /// Build and test the kernels here, one by one, or as job arrays of Slurm
    #[arg(long, value_name = "E", default_value = "local", value_parser = one_of::<ExecutorChoice>(&ExecutorChoice::NAMES))]
    executor: ExecutorChoice,
    /// Run each test N times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_ROUNDS))]
    repeat: u32,
    /// The accelerator of QEMU
    #[arg(long, value_name = "A", default_value = "auto", value_parser = one_of::<AccelChoice>(&AccelChoice::NAMES))]
    accel: AccelChoice,
    /// Run the tests on N virtual CPUs; a list, or repeated, for each number [default: as the manifest or each test declares]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CPUS)))]
    cpus: Vec<u32>,
    /// Confine the builds of the kernels with bubblewrap (docs/ci.md)
    #[arg(long)]
    sandbox: bool,
    /// Show the guest's console and results
    #[arg(short, long)]
    verbose: bool,
    /// Install missing packages without asking
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let which = Which {
        series: args.base.clone(),
    };
    let series = which.load(cx)?;
    kdk_doctor::need(cx, Need::FreeBsd, args.yes)?;
    need_executor(cx, args.executor, args.yes)?;
    let executor = match args.executor {
        ExecutorChoice::Local => None,
        choice => Some(Executor::open(cx, choice, 1)?),
    };
    let remote = executor.as_ref().map(|executor| Remote::new(cx, executor));
    // The base is unlocked again: each kernel locks it for itself.
    let (trees, cases) = {
        let applied = applied::apply_series(&cx.cache, &series, &|text| cx.terminal.line(&text))?;
        let cases = match args.mutants {
            true => {
                let suites = workspace().join("userland-tests/suites");
                let all = mutants::all(&suites, series.name())?;
                mutation::cases(&applied, mutants::chosen(all, &args.ids)?)?
            }
            false => Vec::new(),
        };
        let mut trees = trees::trees(&applied)?;
        trees.cpus = each_once(&args.cpus);
        (trees, cases)
    };
    let request = GuestRequest {
        base: Some(series.name().to_owned()),
        accel: args.accel,
        sandbox: args.sandbox,
        ..GuestRequest::default()
    };
    let tests = TestRequest {
        cpus: trees.cpus.clone(),
        jobs: args.jobs,
        repeat: args.repeat,
        verbose: args.verbose,
        ..TestRequest::default()
    };
    let runner = Runner {
        cx,
        base: series.name(),
        request: &request,
        tests: &tests,
        results: &series.dir,
        trees: &trees,
        remote: remote.as_ref(),
    };
    let result = if args.mutants {
        mutation::run_mutants(&runner, &series, &trees, &cases, args.force)
    } else if args.each_prefix {
        prefixes::each_prefix(&runner, &series, &trees, args.force)
    } else {
        prove(&runner, &series, &trees, &args.ids, args.force)
    };
    // What a stopped command has not stored is read by the next one.
    let is_stored = match &result {
        Ok(()) => true,
        Err(failure) => failure.class() == Class::Tests,
    };
    if let (Some(remote), true) = (&remote, is_stored) {
        remote.forget_all();
    }
    result
}
