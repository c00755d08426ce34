//! A task: a command whose result is a file.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use kdk_core::context::Context;
use kdk_core::failure::{Class, Failure};

use crate::log;

/// A command that publishes its result as one file, atomically. The task is
/// done when that file exists, so the path identifies the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The name in messages and in the names of logs: `releng-15.1/prove/x`.
    pub name: String,
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// The folder in which it runs.
    pub dir: PathBuf,
    /// The variables that are added to the environment.
    pub env: Vec<(String, OsString)>,
    /// The file that the command creates when it is done.
    pub result: PathBuf,
}

impl Task {
    /// Returns a task that runs this program with `args`, in the current
    /// directory, on the cache folder of `cx`.
    ///
    /// # Errors
    /// The program or the current directory has been removed.
    pub fn of_this_program(
        cx: &Context,
        name: impl Into<String>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        result: PathBuf,
    ) -> Result<Self, Failure> {
        let failed = |what: &str, error| {
            Failure::infra("prepare a task", format!("{what} cannot be found")).source(error)
        };
        let program = std::env::current_exe().map_err(|error| failed("this program", error))?;
        let program = in_place(program)?;
        let dir =
            std::env::current_dir().map_err(|error| failed("the current directory", error))?;
        let mut argv = vec![program.into_os_string()];
        argv.extend(args.into_iter().map(Into::into));
        Ok(Self {
            name: name.into(),
            argv,
            dir,
            env: vec![("KDK_HOME".into(), cx.cache.root().into())],
            result,
        })
    }

    /// Returns whether the task is done.
    pub fn is_done(&self) -> bool {
        self.result.exists()
    }

    /// Returns the failure of this task. `happened` says why there is no
    /// result.
    pub(crate) fn failed(
        &self,
        class: Class,
        happened: impl Into<String>,
        log: &std::path::Path,
    ) -> Failure {
        let failure = Failure::new(class, format!("run the task {}", self.name), happened);
        let place = format!("its output: {}", log.display());
        match log::tail(log) {
            Some(tail) => failure.help(format!("{tail}\n{place}")),
            None => failure.help(place),
        }
    }

    /// Returns the failure of this task, whose command ended with `code` and
    /// left no result. kdk's own exit codes say whose fault it is.
    pub(crate) fn exited(&self, code: i32, log: &std::path::Path) -> Failure {
        let class = Class::of_exit_code(code).unwrap_or(Class::Infra);
        let what = format!("it ended with exit code {code} and without a result");
        self.failed(class, what, log)
    }
}

/// Returns the path of this program, or of the one that has replaced it: Linux
/// marks the path of a program whose file is gone. What a task depends on is
/// checked where it runs.
fn in_place(program: PathBuf) -> Result<PathBuf, Failure> {
    let gone = program
        .as_os_str()
        .as_bytes()
        .strip_suffix(b" (deleted)")
        .filter(|_| !program.exists());
    let Some(path) = gone.map(|path| PathBuf::from(OsStr::from_bytes(path))) else {
        return Ok(program);
    };
    match path.exists() {
        true => Ok(path),
        false => Err(Failure::infra(
            "prepare a task",
            format!("{} was removed while it ran", path.display()),
        )
        .help("build kdk again, and run the command again")),
    }
}

/// Fails if two of `tasks` have the same name or the same result, or if a task
/// cannot be written down.
pub(crate) fn check(tasks: &[Task]) -> Result<(), Failure> {
    let tried = "run tasks";
    let (mut names, mut results) = (BTreeSet::new(), BTreeSet::new());
    for task in tasks {
        let name = &task.name;
        let wrong = if name.is_empty() || name.contains(char::is_control) {
            format!("{name:?} is no name of a task")
        } else if task.argv.is_empty() {
            format!("the task {name} has no command")
        } else if !task.dir.is_absolute() || !task.result.is_absolute() {
            format!("the task {name} has a path that is not absolute")
        } else if !names.insert(name) {
            format!("two tasks have the name {name}")
        } else if !results.insert(&task.result) {
            format!("two tasks write {}", task.result.display())
        } else {
            continue;
        };
        return Err(Failure::usage(tried, wrong).help("this is a mistake of kdk: report it"));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a task whose command is a line of sh(1), which gets the result's
    /// path as `$0`.
    pub(crate) fn sh(dir: &std::path::Path, name: &str, line: &str) -> Task {
        let result = dir.join(format!("{}.result", name.replace('/', "-")));
        Task {
            name: name.into(),
            argv: ["/bin/sh", "-c", line]
                .map(OsString::from)
                .into_iter()
                .chain([result.clone().into_os_string()])
                .collect(),
            dir: dir.to_path_buf(),
            env: Vec::new(),
            result,
        }
    }

    #[test]
    fn a_program_that_was_built_again_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let [kdk, marked] = ["xtask", "xtask (deleted)"].map(|name| dir.path().join(name));
        let failure = in_place(marked.clone()).unwrap_err();
        assert!(failure.in_one_line().ends_with("was removed while it ran"));
        std::fs::write(&kdk, "").unwrap();
        assert_eq!(in_place(kdk.clone()).unwrap(), kdk);
        assert_eq!(in_place(marked.clone()).unwrap(), kdk);
        // A program of this name.
        std::fs::write(&marked, "").unwrap();
        assert_eq!(in_place(marked.clone()).unwrap(), marked);
    }

    #[test]
    fn tasks_that_contradict_each_other_are_refused() {
        let dir = std::path::Path::new("/x");
        let (one, two) = (sh(dir, "one", ":"), sh(dir, "two", ":"));
        let table = [
            (vec![one.clone(), two.clone()], None),
            (
                vec![
                    one.clone(),
                    Task {
                        result: "/y".into(),
                        ..one.clone()
                    },
                ],
                Some("two tasks have the name one"),
            ),
            (
                vec![
                    one.clone(),
                    Task {
                        name: "again".into(),
                        ..one.clone()
                    },
                ],
                Some("two tasks write /x/one.result"),
            ),
            (
                vec![Task {
                    argv: Vec::new(),
                    ..one.clone()
                }],
                Some("the task one has no command"),
            ),
            (
                vec![Task {
                    dir: "x".into(),
                    ..one.clone()
                }],
                Some("the task one has a path that is not absolute"),
            ),
            (
                vec![Task {
                    name: "a\nb".into(),
                    ..two
                }],
                Some(r#""a\nb" is no name of a task"#),
            ),
        ];
        for (tasks, want) in table {
            match (check(&tasks), want) {
                (Ok(()), None) => {}
                (Err(failure), Some(want)) => {
                    assert_eq!(
                        failure.in_one_line(),
                        format!("could not run tasks: {want}")
                    );
                }
                (other, want) => panic!("{other:?} instead of {want:?}"),
            }
        }
    }
}
