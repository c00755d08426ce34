//! Standard error and standard output that are closed, full, or not read.

use std::fs;
use std::process::Command;

use kdk_vm::verdict::Verdict::{Fail, Pass};

use crate::fault::{Fault, FaultResult, Stop, Want, daily, ends};
use crate::sandbox::{Sandbox, io_error};

/// Returns all faults of this kind.
pub fn faults() -> Vec<Fault> {
    // Standard error is for the shell that runs kdk; kdk's own goes elsewhere.
    let redirected = |name: &str, want: Want, test: &'static str, to: &'static str| {
        daily(name, want, move |sandbox| under_shell(sandbox, test, to))
    };
    const GOOD: &str = "harness/panics-nest";
    const BAD: &str = "fault/rust-panic";
    let (passes, fails) = (
        || ends(0, "").with(&[(GOOD, Pass)]),
        || ends(1, "").with(&[(BAD, Fail)]),
    );
    vec![
        redirected("stderr is closed", passes(), GOOD, "2>&-"),
        redirected("stderr is full", passes(), GOOD, "2>/dev/full"),
        redirected(
            "stderr is full, and a test fails",
            fails(),
            BAD,
            "2>/dev/full",
        ),
        redirected(
            "the reader of stderr is gone",
            fails(),
            BAD,
            "2>&1 >/dev/null | head -1 >/dev/null",
        ),
        printed(
            "the reader of stdout is gone",
            0,
            "patches list --series releng-15.1",
            "| true",
        ),
        printed(
            "stdout is full",
            5,
            "patches list --series releng-15.1",
            "> /dev/full",
        ),
        printed("help without a reader", 0, "--help", "| true"),
    ]
}

/// Runs a test with a redirection of the shell.
fn under_shell(sandbox: &Sandbox, test: &str, to: &str) -> Result<FaultResult, Stop> {
    let script = format!("set -o pipefail; \"$@\" {to}");
    sandbox.inject(sandbox.vm_test_under(&["bash", "-c", &script, "bash"], "tcg", &[test]))
}

/// Returns the fault of a command that prints a result which cannot be written.
fn printed(name: &str, code: i32, args: &'static str, to: &'static str) -> Fault {
    daily(name, ends(code, "").without_report(), move |sandbox| {
        let status = sandbox.path("status");
        let script = format!("{{ \"$@\"; echo $? > {status:?}; }} {to}; exit $(cat {status:?})");
        let args: Vec<&str> = args.split(' ').collect();
        let command: Command = sandbox.xtask_under(&["bash", "-c", &script, "bash"], &args);
        let result = sandbox.inject(command)?;
        fs::remove_file(&status).map_err(io_error("remove", &status))?;
        Ok(result)
    })
}
