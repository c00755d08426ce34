//! `cargo xtask bench`: the arguments of the benchmarks.

use std::path::PathBuf;

use clap::Subcommand;
use kdk_bench::comparison::{self, Study, StudyRequest};
use kdk_bench::executor::ExecutorRequest;
use kdk_bench::{CostRequest, bisect, executor, flowtable, isolation, ixgbe, overhead, sendfile};

use crate::cmd::args::{GuestArgs, MachineArgs, need_executor, one_of};
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_doctor::Need;
use kdk_executor::ExecutorChoice;
use kdk_guest::guest;

/// Measure kdk itself, and the changes that patch series make.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare vm-test with a bare boot and a bare make
    Overhead(CostArgs),
    /// Measure the cost of a fresh kernel for every test
    Isolation(CostArgs),
    /// Measure how fast a series is replayed on the commits of a bisection
    Bisect(BisectArgs),
    /// Measure what an executor gains, and what a task costs beyond its work
    Executor(ExecutorArgs),
    /// Do the simulated work of one task
    #[command(hide = true)]
    SimulatedWork(WorkArgs),
    /// Compare SF_KQUEUE with SF_SYNC and write(2) on the patched kernel
    Sendfile(SendfileArgs),
    /// Compare the flowtable's expiry with the tree's and with FreeBSD 10.0's
    Flowtable(StudyArgs),
    /// Compare the ixgbe driver's receive path with and without its patches, and with a stalled ring
    Ixgbe(StudyArgs),
}

#[derive(Debug, clap::Args)]
struct CostArgs {
    #[command(flatten)]
    machine: MachineArgs,
    /// The number of measurements of each variant
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,
    /// Measure one round only
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
}

#[derive(Debug, clap::Args)]
struct BisectArgs {
    /// The base, and so the series [default: the base added last]
    #[arg(long, value_name = "NAME")]
    base: Option<String>,
    /// Measure a tenth of the commits only
    #[arg(long)]
    quick: bool,
}

#[derive(Debug, clap::Args)]
struct ExecutorArgs {
    /// The executor to compare with one process at a time
    #[arg(long, value_name = "E", default_value = "local", value_parser = one_of::<ExecutorChoice>(&ExecutorChoice::NAMES))]
    executor: ExecutorChoice,
    /// The number of tasks
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    tasks: u16,
    /// The number of tasks that run side by side: processes, or processors of the cluster
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    jobs: u16,
    /// The simulated work of each task, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 3000)]
    work: u64,
}

#[derive(Debug, clap::Args)]
struct WorkArgs {
    /// The time to wait
    #[arg(value_name = "MS")]
    ms: u64,
    /// The file for the result
    #[arg(value_name = "RESULT")]
    result: PathBuf,
}

#[derive(Debug, clap::Args)]
struct SendfileArgs {
    /// The configurations, tests of the suite `bench` [default: all]
    #[arg(value_name = "GLOB", conflicts_with = "quick")]
    tests: Vec<String>,
    #[command(flatten)]
    study: StudyArgs,
}

#[derive(Debug, clap::Args)]
struct StudyArgs {
    #[command(flatten)]
    machine: MachineArgs,
    /// Measure a few configurations only
    #[arg(long)]
    quick: bool,
    /// The folder for the table and the plot [default: that of the run]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::Overhead(args) => overhead::run(cx, &args.request(cx)?),
        Command::Isolation(args) => isolation::run(cx, &args.request(cx)?),
        Command::Bisect(args) => {
            let base = guest::base_name(cx, args.base.as_deref())?;
            bisect::run(cx, &base, args.quick)
        }
        Command::Executor(args) => {
            need_executor(cx, args.executor, false)?;
            executor::run(
                cx,
                &ExecutorRequest {
                    executor: args.executor,
                    tasks: args.tasks,
                    width: args.jobs,
                    ms: args.work,
                },
            )
        }
        Command::SimulatedWork(args) => executor::work(args.ms, &args.result),
        Command::Sendfile(args) => args.study.run(cx, &sendfile::STUDY, &args.tests),
        Command::Flowtable(args) => args.run(cx, &flowtable::STUDY, &[]),
        Command::Ixgbe(args) => args.run(cx, &ixgbe::STUDY, &[]),
    }
}

impl CostArgs {
    fn request(&self, cx: &Context) -> Result<CostRequest, Failure> {
        Ok(CostRequest {
            guest: self.machine.request(),
            base: base(cx, &self.machine.guest, None)?,
            rounds: if self.quick { 1 } else { self.rounds.into() },
        })
    }
}

impl StudyArgs {
    fn run(&self, cx: &Context, study: &Study, tests: &[String]) -> Result<(), Failure> {
        let request = StudyRequest {
            guest: self.machine.request(),
            base: base(cx, &self.machine.guest, study.base)?,
            tests: tests.to_vec(),
            quick: self.quick,
            out: self.out.clone(),
        };
        comparison::run(cx, study, &request).map(drop)
    }
}

/// Returns the name of the base, after a check that the host can build it.
fn base(cx: &Context, guest: &GuestArgs, default: Option<&str>) -> Result<String, Failure> {
    let name = guest::base_name(cx, guest.base.as_deref().or(default))?;
    kdk_doctor::need(cx, Need::guest(&name), false)?;
    Ok(name)
}
