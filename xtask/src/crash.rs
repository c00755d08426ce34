//! Crash reports: a backtrace's source lines, and the command that runs the
//! test again.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kdk_vm::accel::Wish;
use kdk_vm::error::RunError;
use kdk_vm::run::Report;
use kdk_vm::symbolize::{Program, Sources, annotate, trace};
use kdk_vm::verdict::{Outcome, Verdict};
use miette::Diagnostic;

use crate::base::record::Record;
use crate::build::workspace;
use crate::guest::{BootWish, Wanted};

/// What ran in a guest: the files that know its source lines.
#[derive(Debug, Clone)]
pub struct Code {
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
    code: &'a Code,
    command: String,
    program: Mutex<Option<Result<Program, String>>>,
}

impl<'a> Explainer<'a> {
    /// `command` is what [`command`] made.
    pub fn new(code: &'a Code, command: String) -> Self {
        Self {
            code,
            command,
            program: Mutex::new(None),
        }
    }

    /// Adds to a report what can be found out of its crashes.
    pub fn explain(&self, report: &mut Report) {
        for outcome in &mut report.outcomes {
            self.explain_test(outcome);
        }
        if let Some(RunError::Boot(error)) = &mut report.error {
            error.symbolized = self.symbolized(&error.registers, &error.backtrace);
        }
    }

    /// Adds to an outcome what can be found out of it.
    pub fn explain_test(&self, outcome: &mut Outcome) {
        if !outcome.verdict.is_as_expected() && outcome.verdict != Verdict::NotRun {
            outcome.reproduce = format!("{} --tests {}", self.command, outcome.name);
        }
        outcome.symbolized = self.symbolized(&outcome.registers, &outcome.backtrace);
    }

    fn symbolized(&self, registers: &[String], backtrace: &[String]) -> Vec<String> {
        let lines = trace(registers, backtrace);
        if lines.is_empty() {
            return lines;
        }
        let mut program = self.program.lock().unwrap_or_else(PoisonError::into_inner);
        match program.get_or_insert_with(|| open(self.code)) {
            Ok(program) => annotate(&lines, program),
            Err(why) => std::iter::once(format!("error: {why}"))
                .chain(lines)
                .collect(),
        }
    }
}

fn open(code: &Code) -> Result<Program, String> {
    let modules: Vec<&Path> = code.modules.iter().map(PathBuf::as_path).collect();
    Program::open(&code.kernel, &modules, code.sources.clone()).map_err(|error| {
        let help = error.help().map(|help| format!(": {help}"));
        format!("{error}{}", help.unwrap_or_default())
    })
}

/// The command line of a run on `base`, without its tests and its reports:
/// what of `wanted` is not the default.
pub fn command(base: &str, wanted: &Wanted, timeout: Option<u64>) -> String {
    let mut words = ["cargo", "xtask", "vm-test", "--base", base]
        .map(str::to_owned)
        .to_vec();
    if wanted.unpatched {
        words.push("--unpatched".into());
    }
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    for patch in &wanted.patch {
        option("--patch", patch.display().to_string());
    }
    if let Wish::Exactly(engine) = wanted.accel {
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
    if let Some(seconds) = timeout {
        option("--timeout", seconds.to_string());
    }
    let quoted = words.iter().map(|word| {
        // No file has a NUL in its name, which is all that cannot be quoted.
        shlex::try_quote(word).map_or_else(|_| word.clone(), Into::into)
    });
    quoted.collect::<Vec<String>>().join(" ")
}
