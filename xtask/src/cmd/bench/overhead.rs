//! `cargo xtask bench overhead`: what `vm-test` costs beyond the bare boot, the
//! tests and the bare make, both sides measured in turn in one run. All tests
//! share one kernel here, and it boots: that is what the bare side does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kdk_vm::run::{Options, list_all};

use super::{goal, median, seconds};
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
use kdk_guest::request::GuestRequest;
use kdk_report::recorder::Recorder;
use kdk_series::base::{record, repo, worktree};

/// The file that is changed to measure an incremental run.
const CHANGED: &str = "sys/kern/kern_sendfile.c";

/// One whole `vm-test`: its wall time and the tests' own, milliseconds, and
/// its peak memory, KiB.
struct Whole {
    wall: u64,
    tests: u64,
    peak: u64,
}

/// Measures and prints.
pub fn run(cx: &Context, wanted: &GuestRequest, name: &str, rounds: usize) -> Result<(), Failure> {
    let recorder = Recorder::new(&cx.terminal);
    let logs = logs::folder(cx)?;
    let guest = guest::prepare(cx, &recorder, wanted, name, &logs)?;
    println!("base {name}, {} rounds; medians, seconds", rounds);
    unchanged(cx, wanted, name, &guest, rounds)?;
    if name != DEMO {
        changed(cx, wanted, name, &guest, &logs, rounds)?;
    }
    Ok(())
}

fn unchanged(
    cx: &Context,
    wanted: &GuestRequest,
    name: &str,
    guest: &Guest,
    rounds: usize,
) -> Result<(), Failure> {
    let (mut bare, mut over, mut peak) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        let boot = to_user_space(cx, guest)?;
        let whole = vm_test(wanted, name, &[])?;
        bare.push(boot);
        over.push(whole.wall.saturating_sub(boot + whole.tests));
        peak = whole.peak.max(peak);
    }
    let over = median(&mut over);
    println!(
        "nothing changed: bare boot to user space and end {}",
        seconds(median(&mut bare))
    );
    println!(
        "nothing changed: vm-test beyond bare boot and tests {}",
        goal(over, 1000)
    );
    println!("peak memory of xtask {} MiB (goal 150)", peak >> 10);
    Ok(())
}

fn changed(
    cx: &Context,
    wanted: &GuestRequest,
    name: &str,
    guest: &Guest,
    logs: &Path,
    rounds: usize,
) -> Result<(), Failure> {
    let record = record::find(&cx.cache, name)?;
    let tree = worktree::path(&cx.cache, name);
    let file = tree.join(CHANGED);
    // From the commit: the file itself has the last round's change.
    let spec = format!("{}:{CHANGED}", record.commit);
    let text = repo::git(&cx.cache, name).text("read a file of the base", &["show", &spec])? + "\n";
    let (mut bare, mut over) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let mark = format!("/* bench {} {round} */", clock::now());
        let diff = logs.join("bench.diff");
        std::fs::write(&diff, append_diff(CHANGED, &text, &mark))
            .map_err(|error| Failure::io("write a patch", &diff, error))?;
        let boot = to_user_space(cx, guest)?;
        let whole = vm_test(wanted, name, &["--patch".into(), diff.into()])?;
        // Now the bare make of a change of the same kind, where it left off.
        std::fs::write(&file, format!("{text}/* bare make {round} */\n"))
            .map_err(|error| Failure::io("change a file", &file, error))?;
        let make = bare_make(cx, &record, &tree, logs)?;
        bare.push(make);
        over.push(whole.wall.saturating_sub(boot + whole.tests + make));
    }
    let over = median(&mut over);
    println!(
        "one C file changed: bare incremental make {}",
        seconds(median(&mut bare))
    );
    println!(
        "one C file changed: vm-test beyond make, boot and tests {}",
        goal(over, 1500)
    );
    Ok(())
}

/// A diff that appends a line to a file.
fn append_diff(path: &str, text: &str, line: &str) -> String {
    let count = text.lines().count();
    let last = text.lines().last().unwrap_or_default();
    format!("--- a/{path}\n+++ b/{path}\n@@ -{count},1 +{count},2 @@\n {last}\n+{line}\n")
}

/// From QEMU's start over user space to its end.
fn to_user_space(cx: &Context, guest: &Guest) -> Result<u64, Failure> {
    let begun = Instant::now();
    list_all(&*guest.pool, &Options::default(), &cx.interrupt, &|_| {})?;
    Ok(milliseconds(begun.elapsed()))
}

/// The make command that a developer would type, nothing around it.
fn bare_make(
    cx: &Context,
    record: &record::Record,
    tree: &Path,
    logs: &Path,
) -> Result<u64, Failure> {
    let recorder = Recorder::new(&cx.terminal);
    let builder = Builder::new(cx, &recorder, logs);
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
            "only modern bases have one command for it",
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

/// Runs this program's own vm-test as a user would.
fn vm_test(wanted: &GuestRequest, name: &str, more: &[OsString]) -> Result<Whole, Failure> {
    let failed = |error: std::io::Error| Failure::infra("run vm-test", error.to_string());
    let folder = tempfile::tempdir().map_err(failed)?;
    let json = folder.path().join("report.json");
    let own = std::env::current_exe().map_err(failed)?;
    let mut args: Vec<OsString> = vec!["vm-test".into(), "--base".into(), name.into()];
    args.extend(["--isolation", "none", "--cold"].map(OsString::from));
    args.extend(["--json".into(), json.clone().into()]);
    if wanted.no_patches {
        args.push("--no-patches".into());
    }
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
    Ok(Whole {
        wall,
        tests: tests_ms(&json)?,
        peak,
    })
}

/// The most memory a live process had so far, KiB (proc(5), VmHWM).
fn peak_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The tests' own time in a report file.
fn tests_ms(json: &PathBuf) -> Result<u64, Failure> {
    let text = std::fs::read(json).map_err(|error| Failure::io("read the report", json, error))?;
    let report: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| Failure::infra("read the report", error.to_string()))?;
    let exit = report["run"]["exit"].as_u64();
    if exit != Some(0) {
        return Err(
            Failure::tests("vm-test was not good, so its time says nothing")
                .help("run `cargo xtask vm-test` and mend that first"),
        );
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
