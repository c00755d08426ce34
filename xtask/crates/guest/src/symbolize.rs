//! Crash reports: a backtrace's source lines, and the command that runs the
//! test again.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kdk_vm::accel::AccelChoice;
use kdk_vm::error::RunError;
use kdk_vm::run::Report;
use kdk_vm::symbolize::{Program, Sources, annotate, trace};
use kdk_vm::verdict::{Outcome, Verdict};
use miette::Diagnostic;

use crate::guest::{BootWish, Wanted};
use crate::run_tests::Tests;
use kdk_core::workspace::workspace;
use kdk_series::base::record::Record;

/// What ran in a guest: the files that know its source lines.
#[derive(Debug, Clone)]
pub struct DebugInfo {
    /// The kernel.
    pub kernel: PathBuf,
    /// Modules.
    pub modules: Vec<PathBuf>,
    /// Where the sources are.
    pub sources: Sources,
}

/// The sources of a kernel that was built from `tree`, the kit's checkout, as
/// `record`'s user has them. `objects` is the tree's object directory, which a
/// modern build calls /usr/obj.
pub fn sources(record: &Record, tree: &Path, objects: &Path) -> Sources {
    let own = record.src.as_deref().filter(|src| src.join("sys").is_dir());
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let user = text(own.unwrap_or(tree));
    Sources::new()
        .map("/usr/src", &user)
        .map(&text(tree), &user)
        .map("/usr/obj/usr/src", &text(objects))
        .map(&text(workspace()), "")
}

/// Explains the crashes of one run. Debug information is read when the first
/// one is explained.
pub struct Explainer<'a> {
    code: &'a DebugInfo,
    command: String,
    program: Mutex<Option<Program>>,
    /// Of the boot that failed, if one did.
    boot: Mutex<Vec<String>>,
}

impl<'a> Explainer<'a> {
    /// `command` is what [`command`] made.
    pub fn new(code: &'a DebugInfo, command: String) -> Self {
        Self {
            code,
            command,
            program: Mutex::new(None),
            boot: Mutex::default(),
        }
    }

    /// Adds to a report what can be found out of its crashes.
    pub fn explain(&self, report: &mut Report) {
        for outcome in &mut report.outcomes {
            self.explain_test(outcome);
        }
        if let Some(error) = &mut report.error {
            self.explain_error(error);
        }
    }

    /// Adds to an error what can be found out of a boot that failed.
    pub fn explain_error(&self, error: &mut RunError) {
        if let RunError::Boot(error) = error {
            error.symbolized = self.symbolized(&error.registers, &error.backtrace);
            let mut boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
            boot.clone_from(&error.symbolized);
        }
    }

    /// The backtrace of the boot that failed, with its source lines; empty if
    /// none did.
    pub fn boot(&self) -> Vec<String> {
        let boot = self.boot.lock().unwrap_or_else(PoisonError::into_inner);
        boot.clone()
    }

    /// Adds to an outcome what can be found out of it.
    pub fn explain_test(&self, outcome: &mut Outcome) {
        if !outcome.verdict.is_as_expected() && outcome.verdict != Verdict::NotRun {
            outcome.reproduce = format!("{} --tests {}", self.command, outcome.name);
        }
        outcome.symbolized = self.symbolized(&outcome.registers, &outcome.backtrace);
    }

    /// A copy of an outcome with what can be found out of it.
    pub fn explained(&self, outcome: &Outcome) -> Outcome {
        let mut outcome = outcome.clone();
        self.explain_test(&mut outcome);
        outcome
    }

    fn symbolized(&self, registers: &[String], backtrace: &[String]) -> Vec<String> {
        let lines = trace(registers, backtrace);
        if lines.is_empty() {
            return lines;
        }
        let mut program = self.program.lock().unwrap_or_else(PoisonError::into_inner);
        let program = program.get_or_insert_with(|| open(self.code));
        let problems = program.problems().map(|problem| {
            let help = problem.help().map(|help| format!("; {help}"));
            format!("error: {problem}{}", help.unwrap_or_default())
        });
        problems.chain(annotate(&lines, program)).collect()
    }
}

fn open(code: &DebugInfo) -> Program {
    let modules: Vec<&Path> = code.modules.iter().map(PathBuf::as_path).collect();
    Program::open(&code.kernel, &modules, code.sources.clone())
}

/// The command line of a run on `base`, without its tests and its reports:
/// what of `wanted` and `tests` is not the default and bears on one test.
pub fn command(base: &str, wanted: &Wanted, tests: &Tests) -> String {
    let mut words = ["cargo", "xtask", "vm-test", "--base", base]
        .map(str::to_owned)
        .to_vec();
    if wanted.unpatched {
        words.push("--unpatched".into());
    }
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    for id in &wanted.without {
        option("--without", id.clone());
    }
    for patch in &wanted.patch {
        option("--patch", patch.display().to_string());
    }
    if let AccelChoice::Exactly(engine) = wanted.accel {
        option("--accel", engine.name().to_owned());
    }
    match wanted.boot {
        BootWish::Auto => {}
        BootWish::Pvh => option("--boot", "pvh".into()),
        BootWish::Efi => option("--boot", "efi".into()),
    }
    if wanted.cpus != 1 {
        option("--cpus", wanted.cpus.to_string());
    }
    if let Some(seed) = tests.seed {
        option("--seed", seed.to_string());
    }
    if let Some(seconds) = tests.timeout {
        option("--timeout", seconds.to_string());
    }
    if tests.cold {
        words.push("--cold".into());
    }
    let quoted = words.iter().map(|word| {
        // No file has a NUL in its name, which is all that cannot be quoted.
        shlex::try_quote(word).map_or_else(|_| word.clone(), Into::into)
    });
    quoted.collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use kdk_report::fixtures::outcome;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        wanted: Wanted,
        #[command(flatten)]
        tests: Tests,
    }

    #[test]
    fn the_command_has_all_that_is_not_the_default() {
        let again = |line: &str| {
            let words = line.split('|').filter(|word| !word.is_empty());
            let line = Line::parse_from(std::iter::once("vm-test").chain(words));
            command("head-2014", &line.wanted, &line.tests)
        };
        let plain = "cargo xtask vm-test --base head-2014";
        assert_eq!(
            again("--without|a|--without|b"),
            format!("{plain} --without a --without b")
        );
        assert_eq!(again(""), plain);
        assert_eq!(again("--base|other|--accel|auto|--cpus|1"), plain);
        assert_eq!(
            again(
                "--unpatched|--patch|my fix.diff|--patch|b.diff|--accel|tcg|--boot|efi|--cpus|2|--seed|7|--timeout|9|--cold"
            ),
            format!(
                "{plain} --unpatched --patch 'my fix.diff' --patch b.diff --accel tcg --boot efi --cpus 2 --seed 7 --timeout 9 --cold"
            )
        );
    }

    #[test]
    fn sources_are_the_users_where_there_is_a_checkout() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, objects) = (Path::new("/cache/trees/x"), Path::new("/cache/obj/x/tree"));
        let mut record = Record {
            name: "x".into(),
            src: None,
            commit: String::new(),
            osreldate: 0,
            added: 0,
        };
        let own = dir.path().to_path_buf();
        // No checkout, a bare repository, a checkout.
        for (src, sys, want) in [
            (None, false, tree),
            (Some(&own), false, tree),
            (Some(&own), true, &*own),
        ] {
            record.src = src.cloned();
            if sys {
                std::fs::create_dir(own.join("sys")).unwrap();
            }
            let sources = sources(&record, tree, objects);
            let file = want.join("sys/kern/f.c").display().to_string();
            assert_eq!(sources.find("/usr/src/sys/kern/f.c"), file);
            assert_eq!(sources.find("/cache/trees/x/sys/kern/f.c"), file);
            assert_eq!(
                sources.find("/usr/obj/usr/src/amd64.amd64/sys/KDK/vnode_if.c"),
                "/cache/obj/x/tree/amd64.amd64/sys/KDK/vnode_if.c"
            );
            let lib = workspace().join("kmod/src/lib.rs").display().to_string();
            assert_eq!(sources.find(&lib), "kmod/src/lib.rs");
        }
    }

    fn crashed(verdict: Verdict, backtrace: &[&str]) -> Outcome {
        Outcome {
            detail: "panic: x".into(),
            backtrace: backtrace.iter().map(|&line| line.into()).collect(),
            ..outcome("fault/panic", verdict, 1)
        }
    }

    fn code() -> DebugInfo {
        DebugInfo {
            kernel: "/nonexistent/kernel.debug".into(),
            modules: Vec::new(),
            sources: Sources::new(),
        }
    }

    #[test]
    fn debug_information_that_is_not_there_is_an_error_in_the_report() {
        let code = code();
        let crashes = Explainer::new(&code, "again".into());
        let mut outcome = crashed(Verdict::Crash, &["panic() at panic+0x1/frame 0x1"]);
        crashes.explain_test(&mut outcome);
        insta::assert_snapshot!(outcome.symbolized.join("\n"), @r"
        error: no source lines from /nonexistent/kernel.debug: it cannot be read (No such file or directory (os error 2)); `cargo xtask clean` and another run build it anew; a kernel config needs `makeoptions DEBUG=-g`
        panic() at panic+0x1/frame 0x1
            error: no function is named panic in any file that could be read
        ");
        insta::assert_snapshot!(kdk_core::terminal::test_line(&outcome), @r"
             test  CRASH     0.001 s  fault/panic
                     panic: x
                     error: no source lines from /nonexistent/kernel.debug: it cannot be read (No such file or directory (os error 2)); `cargo xtask clean` and another run build it anew; a kernel config needs `makeoptions DEBUG=-g`
                     panic() at panic+0x1/frame 0x1
                         error: no function is named panic in any file that could be read
                     again: again --tests fault/panic
        ");
    }

    #[test]
    fn nothing_is_read_where_nothing_crashed() {
        let code = code();
        let crashes = Explainer::new(&code, "again".into());
        for (verdict, reproduce) in [
            (Verdict::Pass, ""),
            (Verdict::Skip, ""),
            (Verdict::Xfail, ""),
            (Verdict::NotRun, ""),
            (Verdict::Fail, "again --tests fault/panic"),
            (Verdict::Xpass, "again --tests fault/panic"),
            (Verdict::Timeout, "again --tests fault/panic"),
            (Verdict::Crash, "again --tests fault/panic"),
        ] {
            let mut outcome = crashed(verdict, &[]);
            crashes.explain_test(&mut outcome);
            assert_eq!(outcome.reproduce, reproduce, "{verdict}");
            assert!(outcome.symbolized.is_empty(), "{verdict}");
        }
        assert!(crashes.program.lock().unwrap().is_none());
    }
}
