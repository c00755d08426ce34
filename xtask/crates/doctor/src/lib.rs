//! What the host needs, what it has, and the command that installs the rest.

pub mod accel;
mod bhyve;
pub mod bubblewrap;
pub mod checks;
pub mod disk_space;
pub mod hypervisor;
pub mod packages;
pub mod pipelines;
pub mod tools;

use std::str::FromStr;

use serde::Serialize;

use checks::State;
use kdk_core::DEMO;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use packages::{Host, Remedy};

/// The purpose that a check is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// FreeBSD trees: git.
    Trees,
    /// The demo guest: QEMU, a linker, a Rust for bare metal.
    Demo,
    /// The tests of kdk itself: what the demo guest needs, makefs, firmware and
    /// linters.
    Tests,
    /// A FreeBSD kernel: the same without linters, and the dependencies of its
    /// build.
    FreeBsd,
    /// `patches lint`: the checkers of style and manual pages.
    Lint,
    /// `--executor slurm`: the programs that submit jobs to a Slurm cluster.
    Slurm,
    /// The test of `--executor slurm`: the daemons of a cluster on this host.
    SlurmTest,
}

impl Need {
    /// The names that the command line accepts.
    pub const NAMES: [&str; 7] = [
        "trees",
        "demo",
        "tests",
        "freebsd",
        "lint",
        "slurm",
        "slurm-test",
    ];

    /// Returns whether most users do without it: what it lacks is no fault of
    /// the host.
    fn is_optional(self) -> bool {
        self.fix() != Self::FIX
    }

    /// The command that installs what is not optional.
    const FIX: &str = "cargo xtask doctor --fix";

    /// Returns the command that installs what it needs.
    fn fix(self) -> &'static str {
        match self {
            Self::Slurm => "cargo xtask doctor --for slurm --fix",
            Self::SlurmTest => "cargo xtask doctor --for slurm-test --fix",
            _ => Self::FIX,
        }
    }

    /// Returns what a guest of the base `name` needs.
    pub fn guest(name: &str) -> Self {
        if name == DEMO {
            Self::Demo
        } else {
            Self::FreeBsd
        }
    }
}

impl FromStr for Need {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = [
            Self::Trees,
            Self::Demo,
            Self::Tests,
            Self::FreeBsd,
            Self::Lint,
            Self::Slurm,
            Self::SlurmTest,
        ];
        let found = Self::NAMES
            .iter()
            .zip(named)
            .find(|(name, _)| **name == text);
        match found {
            Some((_, need)) => Ok(need),
            None => Err(format!("{text:?} is none of {}", Self::NAMES.join(", "))),
        }
    }
}

/// One line of the doctor's report.
#[derive(Debug, Clone, Serialize)]
pub struct HostFinding {
    /// The name of the check.
    pub what: &'static str,
    /// The result of the check.
    #[serde(flatten)]
    pub state: State,
    /// The remedy for a failed check.
    #[serde(skip)]
    pub remedy: &'static Remedy,
}

/// Runs the checks that `need` requires, or all checks without one. Without one,
/// what is missing for an optional purpose is only a note.
pub fn examine(cx: &Context, need: Option<Need>) -> Vec<HostFinding> {
    checks::for_host()
        .filter(|check| need.is_none_or(|need| check.needs.contains(&need)))
        .map(|check| HostFinding {
            what: check.what,
            state: match (check.probe)(cx) {
                State::Missing(what)
                    if need.is_none()
                        && !check.needs.is_empty()
                        && check.needs.iter().all(|need| need.is_optional()) =>
                {
                    State::Note(what)
                }
                state => state,
            },
            remedy: &check.remedy,
        })
        .collect()
}

/// Renders the report as text.
pub fn text(findings: &[HostFinding], host: &Host) -> String {
    let mut lines: Vec<String> = findings
        .iter()
        .map(|HostFinding { what, state, .. }| {
            format!("{:<8} {what:<26} {}", state.word(), state.detail())
        })
        .collect();
    let manual = findings
        .iter()
        .filter_map(|finding| packages::manual_remedy(finding, host));
    lines.extend(manual.map(|text| format!("\n{text}")));
    match packages::command(findings, host) {
        Some(command) => {
            lines.push("\nto fix this, run (or add `--fix`):".into());
            lines.push(format!("  {command}"));
        }
        None if are_bad(findings) => {
            lines.push("\nno command can fix the rest: see the lines above".into());
        }
        None => {}
    }
    lines.join("\n")
}

/// Returns the command that installs `remedy` on this host.
pub fn fix_command(remedy: &'static Remedy) -> String {
    let finding = HostFinding {
        what: "",
        state: State::Missing(String::new()),
        remedy,
    };
    match packages::command(&[finding], &Host::detect()) {
        Some(command) => format!("run `{command}`, or `cargo xtask doctor --fix`"),
        None => "install it manually: kdk knows no package of it for this system".into(),
    }
}

fn are_bad(findings: &[HostFinding]) -> bool {
    findings.iter().any(|finding| finding.state.is_bad())
}

/// Checks the dependencies for `need`. Installs missing ones with `yes`, else
/// fails with the command that installs them.
pub fn need(cx: &Context, need: Need, yes: bool) -> Result<(), Failure> {
    let findings = examine(cx, Some(need));
    if !are_bad(&findings) {
        return Ok(());
    }
    if checks::GUESTS.contains(&need) {
        checks::is_qemu_installable()?;
    }
    let host = Host::detect();
    if !yes {
        return Err(unmet(&findings, &host, need));
    }
    fix(cx, &findings, &host, true)?;
    let findings = examine(cx, Some(need));
    if are_bad(&findings) {
        return Err(unmet(&findings, &host, need));
    }
    Ok(())
}

fn unmet(findings: &[HostFinding], host: &Host, need: Need) -> Failure {
    let bad: Vec<String> = findings
        .iter()
        .filter(|finding| finding.state.is_bad())
        .map(|finding| format!("{} ({})", finding.what, finding.state.detail()))
        .collect();
    let failure = Failure::infra("start", format!("the host lacks {}", bad.join(", ")));
    match packages::command(findings, host) {
        Some(command) => failure.help(format!("run `{command}`, or `{}`", need.fix())),
        None => failure.help("run `cargo xtask doctor` for the details"),
    }
}

/// Runs the command that installs missing dependencies. Asks first unless
/// `yes`.
pub fn fix(cx: &Context, findings: &[HostFinding], host: &Host, yes: bool) -> Result<(), Failure> {
    let Some(command) = packages::command(findings, host) else {
        return Ok(());
    };
    cx.terminal.line(&format!("running: {command}"));
    if !yes && !cx.terminal.confirm("install the missing dependencies")? {
        return Err(
            Failure::usage("install the missing dependencies", "you answered no")
                .help(format!("run it yourself: {command}")),
        );
    }
    // Its output is not a result of this command.
    let status = packages::shell(&command)
        .stdout(std::io::stderr())
        .status()
        .map_err(|error| {
            Failure::infra(
                "install the missing dependencies",
                "the shell cannot be started",
            )
            .source(error)
        })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::infra(
        "install the missing dependencies",
        format!("the command ended with {status}"),
    )
    .help(format!("run it yourself to see its messages: {command}")))
}

#[cfg(test)]
mod tests {
    use super::packages::System;
    use super::packages::tests::host;
    use super::*;

    /// Returns findings for all checks: those in `bad` have the given state,
    /// the others are found.
    fn findings(bad: &[(&str, State)]) -> Vec<HostFinding> {
        let state = |what: &str| {
            let found = bad.iter().find(|(name, _)| *name == what);
            found.map_or_else(|| State::Found("there".into()), |(_, state)| state.clone())
        };
        let finding = |check: &'static checks::Check| HostFinding {
            what: check.what,
            state: state(check.what),
            remedy: &check.remedy,
        };
        checks::ALL.iter().map(finding).collect()
    }

    fn some_missing() -> Vec<HostFinding> {
        findings(&[
            (
                "QEMU, 7.0 or later",
                State::TooOld("qemu-system-x86_64 6.2.0; 7.0 is needed".into()),
            ),
            ("makefs", State::Missing("makefs is not in PATH".into())),
            (
                "no libelf-dev",
                State::Conflict("/usr/include/gelf.h shadows the tree's own".into()),
            ),
            (
                "memory",
                State::Note("1.0 GiB available; 3.0 GiB are advised".into()),
            ),
        ])
    }

    #[test]
    fn reports_on_every_system() {
        insta::assert_snapshot!("all_there", text(&findings(&[]), &host(System::Debian)));
        for system in [
            System::Debian,
            System::Ubuntu,
            System::Fedora,
            System::FreeBsd,
            System::MacOs,
            System::Other,
        ] {
            let name = format!("some_missing_{system:?}").to_lowercase();
            insta::assert_snapshot!(name, text(&some_missing(), &host(system)));
        }
    }

    #[test]
    fn names_of_needs() {
        for name in Need::NAMES {
            assert!(name.parse::<Need>().is_ok(), "{name}");
        }
        assert!("all".parse::<Need>().is_err());
    }

    #[test]
    fn problems_that_no_command_fixes_are_reported() {
        let full = [(
            "disk space",
            State::Missing("1.0 GiB free; 3.0 GiB are needed".into()),
        )];
        let text = text(&findings(&full), &host(System::Debian));
        assert!(
            text.ends_with("no command can fix the rest: see the lines above"),
            "{text}"
        );
    }

    #[test]
    fn an_unmet_need_is_an_infra_failure_with_the_command() {
        let failure = unmet(&some_missing(), &host(System::Debian), Need::FreeBsd);
        assert_eq!(failure.exit_code(), 5);
        insta::assert_snapshot!(kdk_core::failure::rendered(&failure));
    }
}
