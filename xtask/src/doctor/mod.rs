//! What the host needs, what it has, and the command that mends the rest.

pub mod checks;
pub mod packages;

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::context::Context;
use crate::failure::Failure;
use crate::guest::DEMO;
use checks::{Check, State};
use packages::System;

/// For which work a check matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The demo guest: QEMU, a linker, a Rust for bare metal.
    Demo,
    /// The kit's own tests: that, makefs and firmware.
    Tests,
    /// A FreeBSD kernel: that, and all its build needs.
    FreeBsd,
}

impl Need {
    /// What a guest of the base `name` needs.
    pub fn guest(name: &str) -> Self {
        if name == DEMO {
            Self::Demo
        } else {
            Self::FreeBsd
        }
    }
}

/// One line of the doctor's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked for.
    pub what: &'static str,
    /// What was found.
    #[serde(flatten)]
    pub state: State,
    /// Packages that mend it on this system.
    pub packages: Vec<&'static str>,
}

/// Looks at everything that `need` calls for.
pub fn examine(cx: &Context, need: Need, system: System) -> Vec<Finding> {
    checks::ALL
        .iter()
        .filter(|check| check.need <= need)
        .map(|check| finding(cx, check, system))
        .collect()
}

fn finding(cx: &Context, check: &Check, system: System) -> Finding {
    Finding {
        what: check.what,
        state: (check.probe)(cx),
        packages: check.packages.of(system).to_vec(),
    }
}

/// The report for people.
pub fn text(findings: &[Finding], command: Option<&str>) -> String {
    let mut lines: Vec<String> = findings
        .iter()
        .map(|finding| {
            format!(
                "{:<8} {:<28} {}",
                finding.state.word(),
                finding.what,
                finding.state.detail()
            )
        })
        .collect();
    match command {
        Some(command) => {
            lines.push(String::new());
            lines.push("to mend it (`cargo xtask doctor --fix` runs this):".into());
            lines.push(format!("  {command}"));
        }
        None if findings.iter().any(|finding| finding.state.is_bad()) => {
            lines.push(String::new());
            lines.push("no package mends what is left: see the lines above".into());
        }
        None => {}
    }
    lines.join("\n")
}

/// Makes sure that `need` is met: mends what is missing with `yes`, else
/// fails with the command that would.
pub fn need(cx: &Context, need: Need, yes: bool) -> Result<(), Failure> {
    let system = System::detect();
    let findings = examine(cx, need, system);
    let blocking = |findings: &[Finding]| findings.iter().any(|finding| finding.state.is_bad());
    if !blocking(&findings) {
        return Ok(());
    }
    if yes {
        fix(cx, &findings, system, true)?;
        let after = examine(cx, need, system);
        if !blocking(&after) {
            return Ok(());
        }
        return Err(unmet(&after, system));
    }
    Err(unmet(&findings, system))
}

fn unmet(findings: &[Finding], system: System) -> Failure {
    let bad: Vec<String> = findings
        .iter()
        .filter(|finding| finding.state.is_bad())
        .map(|finding| format!("{} ({})", finding.what, finding.state.detail()))
        .collect();
    let failure = Failure::infra("begin", format!("the host lacks {}", bad.join(", ")));
    match packages::command(findings, system) {
        Some(command) => failure.help(format!(
            "run `{command}`, or let `cargo xtask doctor --fix` do it"
        )),
        None => failure.help("run `cargo xtask doctor` for the details"),
    }
}

/// Runs the mending command; asks first unless `yes`.
pub fn fix(cx: &Context, findings: &[Finding], system: System, yes: bool) -> Result<(), Failure> {
    let Some(command) = packages::command(findings, system) else {
        return Ok(());
    };
    cx.terminal.line(&format!("running: {command}"));
    if !yes && !confirmed()? {
        return Err(Failure::usage("mend the host", "you said no")
            .help(format!("run it yourself: {command}")));
    }
    let status = duct::cmd("sh", ["-c", &command])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout_to_stderr()
        .unchecked()
        .run()
        .map_err(|error| {
            Failure::infra("mend the host", "the shell cannot be started").source(error)
        })?
        .status;
    if status.success() {
        return Ok(());
    }
    Err(
        Failure::infra("mend the host", format!("the command ended with {status}")).help(format!(
            "run it by hand and look at its messages: {command}"
        )),
    )
}

fn confirmed() -> Result<bool, Failure> {
    if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
        return Ok(true);
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(
            Failure::usage("mend the host", "there is no terminal to ask on")
                .help("say `-y` to go on without asking"),
        );
    }
    eprint!("go on? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    stdin
        .read_line(&mut answer)
        .map_err(|error| Failure::infra("ask", "the terminal is gone").source(error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Finding> {
        vec![
            Finding {
                what: "QEMU",
                state: State::Missing("qemu-system-x86_64 is not in PATH".into()),
                packages: packages::QEMU.of(System::Debian).to_vec(),
            },
            Finding {
                what: "makefs",
                state: State::Found("/usr/sbin/makefs".into()),
                packages: vec!["makefs"],
            },
            Finding {
                what: "no libelf-dev",
                state: State::Trap("libelf-dev shadows the tree's gelf.h".into(), "libelf-dev"),
                packages: vec![],
            },
        ]
    }

    #[test]
    fn the_report_ends_with_the_command() {
        let findings = sample();
        let command = packages::command(&findings, System::Debian);
        insta::assert_snapshot!(text(&findings, command.as_deref()));
    }

    #[test]
    fn an_unmet_need_is_the_hosts_fault_and_names_the_command() {
        let failure = unmet(&sample(), System::Debian);
        assert_eq!(failure.exit_code(), 5);
        insta::assert_snapshot!(crate::failure::rendered(&failure));
    }
}
