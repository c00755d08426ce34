//! `cargo xtask test`: the kit's own tests. It needs no FreeBSD tree.

use std::cell::Cell;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::Path;

use kdk_core::context::Context;
use kdk_core::failure::{Class, Failure};
use kdk_core::logs;
use kdk_core::store::Entry;
use kdk_core::workspace::workspace;
use kdk_doctor::Need;
use kdk_doctor::tools;
use kdk_doctor::tools::Rust;
use kdk_guest::build::{Builder, demo, kmod, userland};
use kdk_guest::guest;
use kdk_report::recorder::Recorder;
use kdk_series::base::{self, record, worktree};

/// The kit's own tests: formatting, clippy, host tests, demo guest in QEMU.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Play every fault that a host and a guest can have, and only those
    #[arg(long)]
    faults: bool,
    /// Install what is missing without asking
    #[arg(short, long)]
    yes: bool,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    kdk_doctor::need(cx, Need::Tests, args.yes)?;
    let recorder = Recorder::new(&cx.terminal);
    let logs = logs::folder(cx)?;
    let builder = Builder::new(cx, &recorder, &logs);
    let (rust, llvm) = (tools::rust()?, tools::llvm()?);
    let demo = demo::build(&builder, &rust, &llvm)?.entry;
    if args.faults {
        return faults(cx, &demo);
    }
    step(cx, "formatting", &["fmt", "--all", "--check"], &[], &|_| {})?;
    step(
        cx,
        "clippy",
        &[
            "clippy",
            "--all-targets",
            "--features",
            "kdk-vm/demo-guest-tests",
            "--",
            "-D",
            "warnings",
        ],
        &[],
        &|_| {},
    )?;
    lint_guests(cx, &builder, &rust, &llvm)?;
    tests(
        cx,
        "host tests, and the demo guest in QEMU",
        &[
            "test",
            "--no-fail-fast",
            "--features",
            "kdk-vm/demo-guest-tests",
        ],
        &environment(&demo),
    )
}

/// Every fault; the test program prints the table of them.
fn faults(cx: &Context, demo: &Entry) -> Result<(), Failure> {
    let mut env = environment(demo);
    env.push(("KDK_FAULTS", "all".into()));
    match record::all(&cx.home)?.first() {
        Some(base) => env.push(("KDK_FAULTS_BASE", base.name.clone().into())),
        None => cx.terminal.line(
            "no base is set up: the faults of a FreeBSD kernel are not played \
             (`cargo xtask base add releng-15.1`)",
        ),
    }
    tests(
        cx,
        "every fault",
        &[
            "test",
            "--no-fail-fast",
            "--features",
            "kdk-vm/demo-guest-tests",
            "--package",
            "kdk-vm",
            "--package",
            "xtask",
            "--test",
            "demo",
            "--test",
            "faults",
        ],
        &env,
    )
}

fn environment(demo: &Entry) -> Vec<(&'static str, OsString)> {
    vec![
        ("KDK_DEMO_GUEST", demo.file(demo::GUEST).into()),
        // A snapshot that does not match is a failure, never a file.
        ("INSTA_UPDATE", "no".into()),
    ]
}

/// A run of cargo's tests, counted.
fn tests(cx: &Context, what: &str, args: &[&str], env: &[(&str, OsString)]) -> Result<(), Failure> {
    let tally = Cell::new(Tally::default());
    let result = step(cx, what, args, env, &|line| {
        tally.set(tally.get().with(line))
    });
    println!("{}", tally.get());
    result?;
    if tally.get().passed == 0 {
        return Err(Failure::tests("no test ran at all"));
    }
    Ok(())
}

/// What cargo's test programs said of themselves, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    not_played: u64,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.not_played {
            0 => Ok(()),
            some => write!(f, ", {some} not played"),
        }
    }
}

impl Tally {
    /// With `test result: ok. 3 passed; 0 failed; ..`, or with the faults'
    /// `not played: NAME: why`.
    fn with(self, line: &str) -> Self {
        let count = |word: &str| -> u64 {
            line.strip_prefix("test result: ")
                .and_then(|rest| rest.split_once(word))
                .and_then(|(before, _)| before.split_whitespace().next_back())
                .and_then(|number| number.parse().ok())
                .unwrap_or(0)
        };
        Self {
            passed: self.passed + count(" passed"),
            failed: self.failed + count(" failed"),
            not_played: self.not_played + u64::from(line.starts_with("not played: ")),
        }
    }
}

/// clippy on what runs in guests, with the Rust that builds it. The module can
/// only be compiled against a kernel's headers, so it needs a base.
fn lint_guests(
    cx: &Context,
    builder: &Builder<'_>,
    rust: &Rust,
    llvm: &Path,
) -> Result<(), Failure> {
    let begin = |what: &str| cx.terminal.line(&format!("== clippy: {what}"));
    begin("the demo guest");
    demo::crates("lint the demo guest", rust, llvm).clippy(builder)?;
    begin("init and the suites");
    userland::crates("lint init and the suites", rust, llvm).clippy(builder)?;
    let mut linted = false;
    for record in record::all(&cx.home)? {
        let name = &record.name;
        let path = worktree::path(&cx.home, name);
        let Some(kernel) = cx.store.latest("kernel", name)? else {
            continue;
        };
        begin(&format!("kdk.ko for {name}"));
        let _lock = cx
            .home
            .lock(&base::lock_name(name), &|text| cx.terminal.line(&text))?;
        let definition = record.definition()?;
        let source = guest::source_at(
            &cx.home,
            &definition,
            &path,
            &record.commit,
            record.osreldate,
        );
        kmod::crates("lint kdk.ko", &source, &kernel, rust, llvm).clippy(builder)?;
        linted = true;
    }
    if !linted {
        cx.terminal
            .line("kdk.ko is not linted: it needs a kernel's headers, and no base has one built");
    }
    Ok(())
}

/// One cargo command; its output is the user's to see, line by line.
fn step(
    cx: &Context,
    what: &str,
    args: &[&str],
    env: &[(&str, OsString)],
    each: &dyn Fn(&str),
) -> Result<(), Failure> {
    cx.terminal.line(&format!("== {what}"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = duct::cmd(cargo, args).dir(workspace()).unchecked();
    for (name, value) in env {
        command = command.env(name, value);
    }
    let failed = |error: std::io::Error| {
        Failure::infra(what, "cargo cannot be run")
            .source(error)
            .help("cargo comes with Rust; see README.md")
    };
    let output = command.stderr_to_stdout().reader().map_err(failed)?;
    for line in BufReader::new(&output).lines() {
        let line = line.map_err(failed)?;
        each(&line);
        println!("{line}");
    }
    let ended = output.try_wait().map_err(failed)?;
    if ended.is_some_and(|ended| ended.status.success()) {
        return Ok(());
    }
    let class = if cx.interrupt.is_set() {
        Class::Infra
    } else {
        Class::Tests
    };
    Err(Failure::plain(class, format!("{what} failed"))
        .help(format!("to see it alone: cargo {}", args.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_what_test_programs_say() {
        let lines = [
            "test result: ok. 33 passed; 0 failed; 0 ignored",
            "test vm::x ... ok",
            "test result: FAILED. 2 passed; 5 failed; 1 ignored",
            "not played: KVM forbidden: there is no /dev/kvm",
            "KVM forbidden  0  not played: there is no /dev/kvm  -  -  -",
        ];
        let tally = lines
            .iter()
            .fold(Tally::default(), |sum, line| sum.with(line));
        assert_eq!(tally.to_string(), "35 passed, 5 failed, 1 not played");
        let all_played = Tally {
            not_played: 0,
            ..tally
        };
        assert_eq!(all_played.to_string(), "35 passed, 5 failed");
    }
}
