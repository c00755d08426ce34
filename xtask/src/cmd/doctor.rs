//! `cargo xtask doctor`: checks the host, and prints the command that installs
//! what is missing.

use serde::Serialize;

use super::args::one_of;
use kdk_core::context::Context;
use kdk_core::failure::{Class, Failure};
use kdk_doctor::packages::{self, Host};
use kdk_doctor::{HostFinding, Need};

/// The arguments of `cargo xtask doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Check only what this purpose needs; `slurm` and `slurm-test` are installed only so
    #[arg(long = "for", value_name = "PURPOSE", value_parser = one_of::<Need>(&Need::NAMES))]
    need: Option<Need>,
    /// Install the missing dependencies
    #[arg(long)]
    fix: bool,
    /// Do not ask first
    #[arg(short, long)]
    yes: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let host = Host::detect();
    let mut findings = kdk_doctor::examine(cx, args.need);
    if args.fix && packages::command(&findings, &host).is_some() {
        kdk_doctor::fix(cx, &findings, &host, args.yes)?;
        findings = kdk_doctor::examine(cx, args.need);
    }
    print(cx, &findings, &host, args.json)?;
    let bad = findings
        .iter()
        .filter(|finding| finding.state.is_bad())
        .count();
    if bad == 0 {
        return Ok(());
    }
    let failure = Failure::plain(
        Class::Infra,
        format!("{bad} of {} checks failed", findings.len()),
    );
    Err(match packages::command(&findings, &host) {
        Some(_) => failure.help("run the same command with --fix"),
        None => failure,
    })
}

/// The report as JSON.
#[derive(Serialize)]
struct Report<'a> {
    checks: &'a [HostFinding],
    /// The command that installs the missing dependencies.
    fix: Option<String>,
}

fn print(cx: &Context, findings: &[HostFinding], host: &Host, json: bool) -> Result<(), Failure> {
    if !json {
        cx.terminal.print(kdk_doctor::text(findings, host));
        return Ok(());
    }
    let report = Report {
        checks: findings,
        fix: packages::command(findings, host),
    };
    let text = serde_json::to_string_pretty(&report)
        .map_err(|error| Failure::infra("write the report", error.to_string()))?;
    cx.terminal.print(&text);
    Ok(())
}
