//! `cargo xtask doctor`: what the host lacks, and the command that mends it.

use crate::context::Context;
use crate::doctor::packages::{self, System};
use crate::doctor::{self, Finding, Need};
use crate::failure::Failure;

/// Look at what the host lacks, and mend it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run the mending command
    #[arg(long)]
    fix: bool,
    /// Do not ask first
    #[arg(short, long)]
    yes: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let system = System::detect();
    let mut findings = doctor::examine(cx, Need::FreeBsd, system);
    if args.fix && packages::command(&findings, system).is_some() {
        doctor::fix(cx, &findings, system, args.yes)?;
        findings = doctor::examine(cx, Need::FreeBsd, system);
    }
    print(&findings, system, args.json)?;
    let bad = findings
        .iter()
        .filter(|finding| finding.state.is_bad())
        .count();
    if bad == 0 {
        return Ok(());
    }
    Err(Failure::plain(
        crate::failure::Class::Infra,
        format!("the host lacks {bad} of {} things", findings.len()),
    )
    .help("run `cargo xtask doctor --fix`"))
}

fn print(findings: &[Finding], system: System, json: bool) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string_pretty(findings)
            .map_err(|error| Failure::infra("write the report", error.to_string()))?;
        println!("{text}");
    } else {
        let command = packages::command(findings, system);
        println!("{}", doctor::text(findings, command.as_deref()));
    }
    Ok(())
}
