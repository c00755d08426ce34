//! `cargo xtask ci`: the arguments of its commands.

mod collect;
mod comment;
mod job;
mod lint;
mod plan;
mod report;
mod run;

use clap::Subcommand;

use kdk_core::context::Context;
use kdk_core::failure::Failure;

/// Run what each revision of a series needs, and report it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run what has no valid result: lint, prefixes, proofs, suites
    Run(run::Args),
    /// Write the jobs for GitHub, GitLab, Jenkins or Slurm
    Plan(plan::Args),
    /// Merge the results of shards into one report
    Collect(collect::Args),
    /// Write the result of a revision as a comment for its review
    Comment(comment::Args),
    /// Report how a series developed over its revisions
    Report(report::Args),
    /// Report everything that is wrong in ci/matrix.yaml
    Lint,
    /// Run the jobs of a task file, which `ci run` writes
    #[command(hide = true)]
    Job(job::Args),
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::Run(args) => run::run(args, cx),
        Command::Plan(args) => plan::run(args, cx),
        Command::Collect(args) => collect::run(args, cx),
        Command::Comment(args) => comment::run(args, cx),
        Command::Report(args) => report::run(args, cx),
        Command::Lint => lint::run(cx),
        Command::Job(args) => job::run(args, cx),
    }
}
