//! `cargo xtask test`: kdk's own tests. It needs no FreeBSD tree.

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
use kdk_guest::build::{Builder, Built, demo, kmod, userland};
use kdk_guest::guest;
use kdk_report::recorder::Recorder;
use kdk_series::base::{self, record, worktree};

/// The arguments of `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Inject every fault of a host and a guest, and run nothing else
    #[arg(long)]
    faults: bool,
    /// Install missing host dependencies without asking
    #[arg(short, long)]
    yes: bool,
}

/// Runs the command.
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
    cx.terminal.line("== tidy");
    super::tidy::run(cx)?;
    step(cx, "formatting", &["fmt", "--all", "--check"], &[], &|_| {})?;
    step(
        cx,
        "clippy",
        &["clippy", "--all-targets", "--", "-D", "warnings"],
        &[],
        &|_| {},
    )?;
    lint_guests(cx, &builder, &rust, &llvm)?;
    let what = "host tests, and the demo guest in QEMU";
    tests(cx, what, &host_tests(has_nextest()), &environment(&demo))
}

/// Returns the commands that run every test of the host. nextest runs tests of
/// several programs side by side, but no tests in documentation.
fn host_tests(nextest: bool) -> Vec<&'static [&'static str]> {
    if nextest {
        vec![
            &["nextest", "run", "--no-fail-fast"],
            &["test", "--quiet", "--doc", "--no-fail-fast"],
        ]
    } else {
        vec![&["test", "--no-fail-fast"]]
    }
}

/// Reports whether cargo-nextest is installed.
fn has_nextest() -> bool {
    duct::cmd!(cargo(), "nextest", "--version")
        .stdout_null()
        .stderr_null()
        .unchecked()
        .run()
        .is_ok_and(|output| output.status.success())
}

/// Injects every fault; the test program prints the table of them.
fn faults(cx: &Context, demo: &Entry) -> Result<(), Failure> {
    let mut env = environment(demo);
    env.push(("KDK_FAULTS", "all".into()));
    match record::all(&cx.cache)?.first() {
        Some(base) => env.push(("KDK_FAULTS_BASE", base.name.clone().into())),
        None => cx.terminal.line(
            "no base is set up: the faults of a FreeBSD kernel are skipped \
             (`cargo xtask base add releng-15.1`)",
        ),
    }
    tests(
        cx,
        "every fault",
        // One process, which prints one table.
        &[&[
            "test",
            "--no-fail-fast",
            "--package",
            "kdk-vm",
            "--package",
            "xtask",
            "--test",
            "demo",
            "--test",
            "faults",
        ]],
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

/// Runs cargo's tests and prints how many passed, also if some fail.
fn tests(
    cx: &Context,
    what: &str,
    commands: &[&[&str]],
    env: &[(&str, OsString)],
) -> Result<(), Failure> {
    let tally = Cell::new(Tally::default());
    let count = |line: &str| tally.set(tally.get().with(line));
    let results: Vec<Result<(), Failure>> = commands
        .iter()
        .take_while(|_| !cx.interrupt.is_set())
        .map(|args| step(cx, what, args, env, &count))
        .collect();
    cx.terminal.print(tally.get());
    results.into_iter().collect::<Result<(), Failure>>()?;
    if tally.get().passed == 0 {
        return Err(Failure::tests("no test ran at all"));
    }
    Ok(())
}

/// The numbers that the test programs and nextest print, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            some => write!(f, ", {some} skipped"),
        }
    }
}

impl Tally {
    /// Adds what a line says: `test result: ok. 3 passed; 0 failed; ..`, or
    /// nextest's `Summary [ 0.1s] 3 tests run: 2 passed, 1 timed out`, or the
    /// faults' `skipped: NAME: why`.
    fn with(mut self, line: &str) -> Self {
        if let Some(rest) = line.strip_prefix("test result: ") {
            self.passed += number_before(rest, " passed");
            self.failed += number_before(rest, " failed");
        } else if line.starts_with("skipped: ") {
            self.skipped += 1;
        } else if line.trim_start().starts_with("skipped: ") {
            // nextest, which indents what a test prints, counts it as passed.
            self.skipped += 1;
            self.passed = self.passed.wrapping_sub(1);
        } else if line.trim_start().starts_with("Summary [") {
            let passed = number_before(line, " passed");
            // What did not pass failed, ran out of time or could not start.
            self.failed += number_before(line, " tests run:").saturating_sub(passed);
            self.passed = self.passed.wrapping_add(passed);
        }
        self
    }
}

/// Returns the number that stands before `word`; of `3/8` the first.
fn number_before(line: &str, word: &str) -> u64 {
    line.split_once(word)
        .and_then(|(before, _)| {
            before
                .split(' ')
                .next_back()?
                .split('/')
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
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
    let end = |linted: &Built| {
        if linted.cached {
            cx.terminal.line("unchanged since it was clean");
        }
    };
    begin("the demo guest");
    end(&demo::lint(builder, rust, llvm)?);
    begin("init and the suites");
    end(&userland::lint(builder, rust, llvm)?);
    let mut linted = false;
    for record in record::all(&cx.cache)? {
        let name = &record.name;
        let path = worktree::path(&cx.cache, name);
        let Some(kernel) = cx.store.latest("kernel", name)? else {
            continue;
        };
        begin(&format!("kdk.ko for {name}"));
        let _lock = cx
            .cache
            .lock(&base::lock_name(name), &|text| cx.terminal.line(&text))?;
        let definition = record.definition()?;
        let source = guest::source_at(
            &cx.cache,
            &definition,
            &path,
            &record.commit,
            record.osreldate,
        );
        end(&kmod::lint(builder, &source, &kernel, rust, llvm)?);
        linted = true;
    }
    if !linted {
        cx.terminal
            .line("kdk.ko is not linted: it needs a kernel's headers, and no base has one built");
    }
    Ok(())
}

/// Returns the cargo that runs this program.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
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
    let mut command = duct::cmd(cargo(), args).dir(workspace()).unchecked();
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
        cx.terminal.print(&line);
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
            "skipped: KVM forbidden: there is no /dev/kvm",
            "KVM forbidden  0  skipped: there is no /dev/kvm  -  -  -",
        ];
        let tally = lines
            .iter()
            .fold(Tally::default(), |sum, line| sum.with(line));
        assert_eq!(tally.to_string(), "35 passed, 5 failed, 1 skipped");
        let nextest = [
            "        PASS [   0.012s] (1/4) xtask crash::tests::a",
            "    test result: ok. 1 passed; 0 failed; 0 ignored",
            "    skipped: KVM forbidden: there is no /dev/kvm",
            "     Summary [  12.345s] 4 tests run: 3 passed (1 slow), 1 timed out, 2 skipped",
            "test result: ok. 2 passed; 0 failed; 0 ignored",
        ];
        let summed = nextest
            .iter()
            .fold(Tally::default(), |sum, line| sum.with(line));
        assert_eq!(summed.to_string(), "4 passed, 1 failed, 1 skipped");
        let cut_off =
            Tally::default().with("     Summary [   1.0s] 3/800 tests run: 3 passed, 800 skipped");
        assert_eq!(cut_off.to_string(), "3 passed, 0 failed");
        let none_skipped = Tally {
            skipped: 0,
            ..tally
        };
        assert_eq!(none_skipped.to_string(), "35 passed, 5 failed");
    }
}
