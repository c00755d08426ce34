//! `cargo xtask bench overhead`: the cost of `vm-test` beyond the bare boot, the
//! tests and the bare make. All tests share one kernel, and it boots, as the
//! bare variant does.

use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use kdk_vm::run::{Options, list_all};

use super::{CostRequest, median, not_good, seconds, time_goal};
use kdk_core::DEMO;
use kdk_core::clock;
use kdk_core::context::Context;
use kdk_core::event::milliseconds;
use kdk_core::failure::Failure;
use kdk_core::logs;
use kdk_doctor::tools;
use kdk_guest::build::kernel::Generation;
use kdk_guest::build::{Builder, make_py};
use kdk_guest::guest::{self, Guest};
use kdk_report::recorder::Recorder;
use kdk_series::base::{record, repo, worktree};

/// The file that is changed to measure an incremental run.
const CHANGED: &str = "sys/kern/kern_sendfile.c";
/// The time of `vm-test` beyond the bare boot and its tests, in milliseconds.
const UNCHANGED_MS: u64 = 1000;
/// The same beyond the bare make too, for a changed file.
const CHANGED_MS: u64 = 1500;

/// One `vm-test`: its wall time and that of its tests in milliseconds, and its
/// peak memory in KiB.
struct TestRun {
    wall: u64,
    tests: u64,
    peak: u64,
}

/// Measures, and prints the results.
///
/// # Errors
/// The host failed, the guest does not come up, or a test did not pass.
pub fn run(cx: &Context, request: &CostRequest) -> Result<(), Failure> {
    let recorder = Recorder::new(&cx.terminal);
    let logs = logs::folder(cx)?;
    let guest = guest::prepare(cx, &recorder, &request.guest, &request.base, &logs)?;
    request.print_heading(cx);
    unchanged(cx, request, &guest)?;
    if request.base != DEMO {
        changed(cx, request, &guest, &logs)?;
    }
    Ok(())
}

/// Measures runs for which nothing has to be built.
fn unchanged(cx: &Context, request: &CostRequest, guest: &Guest) -> Result<(), Failure> {
    let (mut bare, mut over, mut peak) = (Vec::new(), Vec::new(), 0);
    for _ in 0..request.rounds {
        let boot = to_user_space(cx, guest)?;
        let run = vm_test(request, &[])?;
        bare.push(boot);
        over.push(run.wall.saturating_sub(boot + run.tests));
        peak = run.peak.max(peak);
    }
    let (bare, over) = (seconds(median(&mut bare)), median(&mut over));
    let over = time_goal(over, UNCHANGED_MS);
    cx.terminal.print(format!(
        "nothing changed: bare boot to user space and end {bare}\n\
         nothing changed: vm-test beyond bare boot and tests {over}\n\
         peak memory of xtask {} MiB (goal 150)",
        peak >> 10
    ));
    Ok(())
}

/// Measures runs that build a changed file of the kernel.
fn changed(cx: &Context, request: &CostRequest, guest: &Guest, logs: &Path) -> Result<(), Failure> {
    let name = &request.base;
    let record = record::find(&cx.cache, name)?;
    let tree = worktree::path(&cx.cache, name);
    let file = tree.join(CHANGED);
    // From the commit: the file itself has the last round's change.
    let spec = format!("{}:{CHANGED}", record.commit);
    let text = repo::git(&cx.cache, name).text("read a file of the base", &["show", &spec])? + "\n";
    let (mut bare, mut over) = (Vec::new(), Vec::new());
    for round in 0..request.rounds {
        let mark = format!("/* bench {} {round} */", clock::now());
        let diff = logs.join("bench.diff");
        std::fs::write(&diff, append_diff(CHANGED, &text, &mark))
            .map_err(|error| Failure::io("write a patch", &diff, error))?;
        let boot = to_user_space(cx, guest)?;
        let run = vm_test(request, &["--patch".into(), diff.into()])?;
        // Then a bare make of a change of the same kind, in the same tree.
        std::fs::write(&file, format!("{text}/* bare make {round} */\n"))
            .map_err(|error| Failure::io("change a file", &file, error))?;
        let make = bare_make(cx, request, &record, &tree, logs)?;
        bare.push(make);
        over.push(run.wall.saturating_sub(boot + run.tests + make));
    }
    let (bare, over) = (seconds(median(&mut bare)), median(&mut over));
    let over = time_goal(over, CHANGED_MS);
    cx.terminal.print(format!(
        "one C file changed: bare incremental make {bare}\n\
         one C file changed: vm-test beyond make, boot and tests {over}"
    ));
    Ok(())
}

/// Returns a diff that appends a line to a file.
fn append_diff(path: &str, text: &str, line: &str) -> String {
    let count = text.lines().count();
    let last = text.lines().last().unwrap_or_default();
    format!("--- a/{path}\n+++ b/{path}\n@@ -{count},1 +{count},2 @@\n {last}\n+{line}\n")
}

/// Returns the time from QEMU's start over user space to its end.
fn to_user_space(cx: &Context, guest: &Guest) -> Result<u64, Failure> {
    let begun = Instant::now();
    list_all(&*guest.pool, &Options::default(), &cx.interrupt, &|_| {})?;
    Ok(milliseconds(begun.elapsed()))
}

/// Runs the make command that a developer would type, and returns its time.
fn bare_make(
    cx: &Context,
    request: &CostRequest,
    record: &record::Record,
    tree: &Path,
    logs: &Path,
) -> Result<u64, Failure> {
    let recorder = Recorder::new(&cx.terminal);
    let builder = Builder::new(cx, &recorder, logs).confined(request.guest.sandbox)?;
    let definition = record.definition()?;
    let source = guest::source_at(
        &cx.cache,
        &definition,
        tree,
        &record.commit,
        record.osreldate,
    );
    if source.generation != Generation::MakePy {
        return Err(Failure::usage(
            "measure a bare make",
            "this base is too old to be built with one command",
        ));
    }
    let args: Vec<OsString> = make_py::kernel_arguments(&source, builder.jobs, true);
    let job = make_py::make(
        &builder,
        &source,
        &tools::llvm()?,
        "build the kernel",
        "bench",
        &args,
    );
    let begun = Instant::now();
    job.run(&cx.interrupt, &mut |_| {})?;
    Ok(milliseconds(begun.elapsed()))
}

/// Runs this program's `vm-test` as a user does.
fn vm_test(request: &CostRequest, more: &[OsString]) -> Result<TestRun, Failure> {
    let failed = |error: std::io::Error| Failure::infra("run vm-test", error.to_string());
    let folder = tempfile::tempdir().map_err(failed)?;
    let json = folder.path().join("report.json");
    let own = std::env::current_exe().map_err(failed)?;
    let mut args: Vec<OsString> = request.vm_test().into_iter().map(Into::into).collect();
    args.extend(["--isolation", "none", "--cold"].map(OsString::from));
    args.extend(["--json".into(), json.clone().into()]);
    args.extend_from_slice(more);
    let begun = Instant::now();
    let handle = duct::cmd(own, args)
        .stdin_null()
        .stdout_null()
        .stderr_null()
        .unchecked()
        .start()
        .map_err(failed)?;
    let pid = handle.pids().first().copied();
    let mut peak = 0;
    while handle
        .wait_timeout(std::time::Duration::from_millis(50))
        .map_err(failed)?
        .is_none()
    {
        peak = pid.and_then(peak_kib).unwrap_or(0).max(peak);
    }
    let wall = milliseconds(begun.elapsed());
    Ok(TestRun {
        wall,
        tests: tests_ms(&json)?,
        peak,
    })
}

/// Returns the peak memory of a live process in KiB (VmHWM of proc(5)).
fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Returns the time of the tests in a report file.
fn tests_ms(json: &Path) -> Result<u64, Failure> {
    let text = std::fs::read(json).map_err(|error| Failure::io("read the report", json, error))?;
    let report: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| Failure::infra("read the report", error.to_string()))?;
    let exit = report["run"]["exit"].as_u64();
    if exit != Some(0) {
        return Err(not_good("vm-test did not succeed"));
    }
    let tests = report["tests"].as_array();
    Ok(tests
        .into_iter()
        .flatten()
        .filter_map(|test| test["ms"].as_u64())
        .sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_diff_appends_one_line() {
        insta::assert_snapshot!(append_diff("sys/a.c", "one\ntwo\n", "/* three */"));
    }
}
