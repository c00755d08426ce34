//! A long external command. Its output goes to a log and to a listener line by
//! line. ^C ends it with all its children.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use kdk_vm::interrupt::Interrupt;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::diagnose::Diagnosis;
use super::sandbox::{COMPLAINT, Confined, Confinement};
use kdk_core::failure::Failure;

/// The interval at which a job checks the interrupt.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The number of last lines that a failure without a compiler error shows.
const TAIL_LINES: usize = 15;

/// An external command.
#[derive(Debug, Clone)]
pub struct Job {
    /// Completes "could not ..." ("build the kernel").
    pub what: String,
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// The folder in which it runs.
    pub dir: PathBuf,
    /// The variables that are added to the environment.
    pub env: Vec<(String, OsString)>,
    /// The variables that are removed from the environment.
    pub without: Vec<&'static str>,
    /// What it sees of the host, if it is confined. It then has no variables
    /// but those of `env`.
    pub confinement: Option<Confinement>,
    /// The log file, to which its output is appended.
    pub log: PathBuf,
}

impl Job {
    /// Runs the command to its end. Calls `each` for every line.
    ///
    /// # Errors
    /// Fails when the command does not start or is interrupted
    /// (infrastructure), or when it exits with an error (build): then the
    /// message has the compiler's own errors, and the help has the path of the
    /// log.
    pub fn run(&self, interrupt: &Interrupt, each: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(|error| Failure::io(&self.what, &self.log, error))?;
        let (argv, _temporary) = self.command_line()?;
        let (program, args) = argv
            .split_first()
            .ok_or_else(|| Failure::infra(&self.what, "there is no command to run"))?;
        let started = self.expression(program, args).reader().map_err(|error| {
            Failure::infra(
                &self.what,
                format!("{} cannot be started", program.display()),
            )
            .source(error)
            .help("run `cargo xtask doctor`")
        })?;
        let group = started.pids().first().copied();
        let (done, running) = channel::<()>();
        let mut diagnosis = Diagnosis::default();
        let mut tail = VecDeque::with_capacity(TAIL_LINES);
        let mut first = None;
        let read = std::thread::scope(|scope| {
            let watch = move || {
                while running.recv_timeout(POLL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    if interrupt.is_set() {
                        end_group(group);
                    }
                }
            };
            if let Err(error) = std::thread::Builder::new().spawn_scoped(scope, watch) {
                end_group(group);
                return Err(error);
            }
            let mut lines = BufReader::new(&started);
            let result = each_line(&mut lines, &mut |line| {
                diagnosis.line(line);
                first.get_or_insert_with(|| line.to_owned());
                if tail.len() == TAIL_LINES {
                    tail.pop_front();
                }
                tail.push_back(line.to_owned());
                each(line);
                writeln!(log, "{line}")
            });
            drop(done);
            result
        });
        if interrupt.is_set() {
            return Err(Failure::infra(&self.what, "interrupted"));
        }
        read.map_err(|error| Failure::io(&self.what, &self.log, error))?;
        let status = started
            .try_wait()
            .map_err(|error| Failure::infra(&self.what, "waiting for it failed").source(error))?
            .map(|output| output.status);
        match status {
            Some(status) if status.success() => Ok(()),
            _ if self.is_unconfined(first.as_deref()) => {
                Err(Failure::infra(&self.what, first.unwrap_or_default())
                    .help("bubblewrap could not confine it: run `cargo xtask doctor`"))
            }
            _ => Err(self.failed(&diagnosis, tail.make_contiguous())),
        }
    }

    /// Returns the command to start, and the temporary folder of a confined
    /// one, which is removed with the value.
    fn command_line(&self) -> Result<(Vec<OsString>, Option<TempDir>), Failure> {
        let Some(confinement) = &self.confinement else {
            return Ok((self.argv.clone(), None));
        };
        let temporary = tempfile::tempdir().map_err(|error| {
            Failure::io(
                format!("make a temporary folder to {}", self.what),
                &std::env::temp_dir(),
                error,
            )
        })?;
        let argv = confinement.argv(Confined {
            argv: &self.argv,
            dir: &self.dir,
            env: &self.env,
            temporary: temporary.path(),
        });
        Ok((argv, Some(temporary)))
    }

    /// Returns whether bubblewrap failed before the command started. `first` is
    /// the first line of the output.
    fn is_unconfined(&self, first: Option<&str>) -> bool {
        self.confinement.is_some() && first.is_some_and(|line| line.starts_with(COMPLAINT))
    }

    fn expression(&self, program: &OsString, args: &[OsString]) -> duct::Expression {
        let mut expression = duct::cmd(program, args)
            .dir(&self.dir)
            .stdin_null()
            .stderr_to_stdout()
            .unchecked()
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            });
        for name in &self.without {
            expression = expression.env_remove(name);
        }
        for (name, value) in &self.env {
            expression = expression.env(name, value);
        }
        expression
    }

    fn failed(&self, diagnosis: &Diagnosis, tail: &[String]) -> Failure {
        if diagnosis.disk_was_full() {
            return Failure::infra(&self.what, "no space was left on a disk that it writes to")
                .help(format!(
                    "free some space (`cargo xtask clean` removes rebuildable files), or \
                     set KDK_HOME and TMPDIR to folders on a larger disk; the full log: {}",
                    self.log.display()
                ));
        }
        let shown = match diagnosis.errors() {
            [] => tail.join("\n"),
            errors => errors.join("\n"),
        };
        Failure::plain(
            kdk_core::failure::Class::Build,
            format!("{shown}\n\ncould not {}", self.what),
        )
        .help(format!("the full log: {}", self.log.display()))
    }
}

fn end_group(group: Option<u32>) {
    let pid = group.and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        // It may have ended in the meantime.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

/// Reads lines that need not be UTF-8.
fn each_line(
    from: &mut dyn BufRead,
    each: &mut dyn FnMut(&str) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    while from.read_until(b'\n', &mut bytes)? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        each(text.trim_end())?;
        bytes.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(script: &str, log: &std::path::Path) -> Job {
        Job {
            what: "try a script".into(),
            argv: ["sh", "-c", script].map(OsString::from).into(),
            dir: PathBuf::from("/"),
            env: vec![("KDK_TRY".into(), "value".into())],
            without: vec!["HOME"],
            confinement: None,
            log: log.to_owned(),
        }
    }

    #[test]
    fn a_compilers_errors_come_first_and_the_log_last() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let script =
            "echo cc -c a.c; echo 'a.c:3:7: error: use of undeclared identifier x' >&2; exit 1";
        let failure = job(script, &log)
            .run(&Interrupt::new(), &mut |_| {})
            .unwrap_err();
        assert_eq!(failure.exit_code(), 3);
        assert!(failure.to_string().starts_with("a.c:3:7: error: use of"));
        assert!(std::fs::read_to_string(&log).unwrap().contains("cc -c a.c"));
    }

    #[test]
    fn a_full_disk_is_an_infra_failure() {
        let dir = tempfile::tempdir().unwrap();
        let script = "echo 'error: IO failure on output stream: No space left on device'; exit 1";
        let failure = job(script, &dir.path().join("log"))
            .run(&Interrupt::new(), &mut |_| {})
            .unwrap_err();
        assert_eq!(failure.exit_code(), 5, "{failure}");
    }

    #[test]
    fn a_missing_program_is_an_infra_failure() {
        let dir = tempfile::tempdir().unwrap();
        let mut job = job("", &dir.path().join("log"));
        job.argv = vec!["kdk-no-such-program".into()];
        let failure = job.run(&Interrupt::new(), &mut |_| {}).unwrap_err();
        assert_eq!(failure.exit_code(), 5);
    }

    #[test]
    fn an_interrupt_ends_it_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let job = job("echo up; sleep 600 & wait", &dir.path().join("log"));
        let interrupt = Interrupt::new();
        let failure = job
            .run(&interrupt, &mut |_| interrupt.trigger())
            .unwrap_err();
        assert_eq!(failure.exit_code(), 5);
    }

    #[test]
    fn sees_its_environment_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = Vec::new();
        job(
            "echo $KDK_TRY; echo ${HOME-none}; printf '\\377x'",
            &dir.path().join("log"),
        )
        .run(&Interrupt::new(), &mut |line| seen.push(line.to_owned()))
        .unwrap();
        assert_eq!(seen, ["value", "none", "\u{fffd}x"]);
    }
}
