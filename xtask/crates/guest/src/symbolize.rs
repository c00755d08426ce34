//! Source lines for the backtraces of crashes.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kdk_vm::error::RunError;
use kdk_vm::symbolize::{Program, Sources, annotate, trace};
use kdk_vm::verdict::Outcome;
use miette::Diagnostic;

use kdk_core::workspace::workspace;
use kdk_series::base::record::Record;

/// The files with the debug information of what runs in a guest.
#[derive(Debug, Clone)]
pub struct DebugInfo {
    /// The kernel with debug information.
    pub kernel: PathBuf,
    /// The modules with debug information.
    pub modules: Vec<PathBuf>,
    /// The map of source paths.
    pub sources: Sources,
}

/// Returns the source map of a kernel that was built from `tree`, kdk's
/// checkout, to the files of `record`'s user. `objects` is the object directory
/// of the tree, which a modern build calls /usr/obj.
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

/// Adds source lines to the backtraces of one guest's crashes. It reads the
/// debug information when it needs it first.
pub struct Symbolizer {
    info: DebugInfo,
    program: Mutex<Option<Program>>,
}

impl Symbolizer {
    /// Returns a symbolizer that reads `info`.
    pub fn new(info: DebugInfo) -> Self {
        Self {
            info,
            program: Mutex::new(None),
        }
    }

    /// Adds source lines to the backtrace of a boot that failed.
    pub fn symbolize_error(&self, error: &mut RunError) {
        if let RunError::Boot(error) = error {
            error.symbolized = self.symbolized(&error.registers, &error.backtrace);
        }
    }

    /// Adds source lines to the backtrace of a test's outcome.
    pub fn symbolize_outcome(&self, outcome: &mut Outcome) {
        outcome.symbolized = self.symbolized(&outcome.registers, &outcome.backtrace);
    }

    fn symbolized(&self, registers: &[String], backtrace: &[String]) -> Vec<String> {
        let lines = trace(registers, backtrace);
        if lines.is_empty() {
            return lines;
        }
        let mut program = self.program.lock().unwrap_or_else(PoisonError::into_inner);
        let program = program.get_or_insert_with(|| open(&self.info));
        let problems = program.problems().map(|problem| {
            let help = problem.help().map(|help| format!("; {help}"));
            format!("error: {problem}{}", help.unwrap_or_default())
        });
        problems.chain(annotate(&lines, program)).collect()
    }
}

fn open(info: &DebugInfo) -> Program {
    let modules: Vec<&Path> = info.modules.iter().map(PathBuf::as_path).collect();
    Program::open(&info.kernel, &modules, info.sources.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_report::fixtures::outcome;
    use kdk_vm::verdict::Verdict;

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

    fn missing() -> Symbolizer {
        Symbolizer::new(DebugInfo {
            kernel: "/nonexistent/kernel.debug".into(),
            modules: Vec::new(),
            sources: Sources::new(),
        })
    }

    #[test]
    fn missing_debug_information_is_an_error_in_the_report() {
        let mut outcome = Outcome {
            detail: "panic: x".into(),
            backtrace: vec!["panic() at panic+0x1/frame 0x1".into()],
            reproduce: "again --tests fault/panic".into(),
            ..outcome("fault/panic", Verdict::Crash, 1)
        };
        missing().symbolize_outcome(&mut outcome);
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
    fn debug_information_is_read_only_for_a_backtrace() {
        let symbolizer = missing();
        let mut outcome = outcome("fault/panic", Verdict::Fail, 1);
        symbolizer.symbolize_outcome(&mut outcome);
        assert!(outcome.symbolized.is_empty());
        assert!(symbolizer.program.lock().unwrap().is_none());
    }
}
