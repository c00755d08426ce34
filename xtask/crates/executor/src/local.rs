//! Runs tasks on this host: child processes side by side, each in a process
//! group of its own and with a log of its own. None outlives this process.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use kdk_core::context::Context;
use kdk_core::event::milliseconds;
use kdk_core::failure::{Class, Failure};
use kdk_core::logs;
use kdk_core::terminal::seconds;
use kdk_vm::exit::Status;
use kdk_vm::guard::Guard;
use kdk_vm::interrupt::Interrupt;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustix::process::{WaitId, WaitIdOptions, waitid};

use crate::task::Task;
use crate::{Done, log};

/// The interval at which a process is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How long a process that was asked to stop may take, before it is killed.
const STOP_TIME: Duration = Duration::from_secs(30);

/// What the processes of one run share.
struct Run<'a> {
    tasks: &'a [&'a Task],
    logs: &'a Path,
    guard: Guard,
    /// The number of the next task.
    next: AtomicUsize,
    /// The flag of ^C.
    interrupt: &'a Interrupt,
    /// Whether the caller ended the run.
    stop: AtomicBool,
}

/// Runs `tasks`, `jobs` at a time.
///
/// # Errors
/// The user pressed ^C, `done` failed, or the host failed.
pub fn run(cx: &Context, jobs: usize, tasks: &[&Task], done: &mut Done<'_>) -> Result<(), Failure> {
    let logs = logs::folder(cx)?;
    let run = Run {
        tasks,
        logs: &logs,
        guard: Guard::detect(),
        next: AtomicUsize::new(0),
        interrupt: &cx.interrupt,
        stop: AtomicBool::new(false),
    };
    let (sender, results) = channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(tasks.len()) {
            let (sender, run) = (sender.clone(), &run);
            std::thread::Builder::new()
                .spawn_scoped(scope, move || {
                    while let Some((number, task)) = run.take() {
                        let began = Instant::now();
                        let result = run.one(number, task);
                        // The receiver lives as long as the threads.
                        let _ = sender.send((task, result, began.elapsed()));
                    }
                })
                .map_err(|error| {
                    run.stop.store(true, Ordering::SeqCst);
                    Failure::infra("run tasks", "there is no further thread").source(error)
                })?;
        }
        drop(sender);
        let mut failed = None;
        for (task, result, took) in results {
            if failed.is_some() || cx.interrupt.is_set() {
                continue;
            }
            cx.terminal.line(&format!(
                "{}: {} after {}",
                task.name,
                if result.is_ok() { "done" } else { "failed" },
                seconds(milliseconds(took))
            ));
            if let Err(failure) = done(task, result) {
                run.stop.store(true, Ordering::SeqCst);
                failed = Some(failure);
            }
        }
        failed.map_or(Ok(()), Err)
    })?;
    if cx.interrupt.is_set() {
        return Err(Failure::infra("run tasks", "interrupted")
            .help("run the command again: it continues with the tasks that have no result"));
    }
    Ok(())
}

impl<'a> Run<'a> {
    /// Returns the next task, and its number.
    fn take(&self) -> Option<(usize, &'a Task)> {
        if self.must_stop() {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        Some((number, self.tasks.get(number)?))
    }

    fn must_stop(&self) -> bool {
        self.interrupt.is_set() || self.stop.load(Ordering::SeqCst)
    }

    /// Runs one task to its end.
    fn one(&self, number: usize, task: &Task) -> Result<(), Failure> {
        let log = self.logs.join(log::file_name(number, &task.name));
        let child = self.spawn(task, &log)?;
        let status = self.wait(child).map_err(|error| {
            Failure::infra(
                format!("run the task {}", task.name),
                "waiting for it failed",
            )
            .source(error)
        })?;
        match self.guard.status(status) {
            _ if task.is_done() => Ok(()),
            Status::Code(code) => Err(task.exited(code, &log)),
            Status::Signal(signal) => {
                let what = format!("signal {signal} killed it");
                Err(task.failed(Class::Infra, what, &log))
            }
        }
    }

    fn spawn(&self, task: &Task, log: &Path) -> Result<Child, Failure> {
        let tried = || format!("run the task {}", task.name);
        let output = File::create(log).map_err(|error| Failure::io(tried(), log, error))?;
        let errors = output
            .try_clone()
            .map_err(|error| Failure::io(tried(), log, error))?;
        let (program, args) = task
            .argv
            .split_first()
            .ok_or_else(|| Failure::infra(tried(), "it has no command"))?;
        let (outer, args) = self.guard.wrap(&PathBuf::from(program), args.to_vec());
        Command::new(outer)
            .args(args)
            .current_dir(&task.dir)
            .envs(task.env.iter().map(|(name, value)| (name, value)))
            .stdin(match self.guard {
                // At the end of the pipe the guard kills the group.
                Guard::Pipe => Stdio::piped(),
                Guard::None | Guard::Setpriv(_) => Stdio::null(),
            })
            .stdout(output)
            .stderr(errors)
            // ^C at the terminal is for this process, which passes it on.
            .process_group(0)
            .spawn()
            .map_err(|error| {
                Failure::infra(tried(), format!("{} cannot be started", program.display()))
                    .source(error)
            })
    }

    /// Waits for a process. Where it must stop, asks it to stop first, and
    /// kills it if it does not.
    fn wait(&self, mut child: Child) -> std::io::Result<ExitStatus> {
        let _stdin = child.stdin.take();
        let group = Pid::from_raw(child.id().cast_signed());
        let mut asked: Option<Instant> = None;
        loop {
            if has_ended(group)? {
                // What is left of its group. Its id is valid until the wait.
                let _ = killpg(group, Signal::SIGKILL);
                return child.wait();
            }
            match asked {
                None if self.must_stop() => {
                    asked = Some(Instant::now());
                    // An error means that it has ended.
                    let _ = killpg(group, Signal::SIGTERM);
                }
                Some(since) if since.elapsed() > STOP_TIME => {
                    let _ = killpg(group, Signal::SIGKILL);
                }
                _ => {}
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Returns whether a child has ended. It stays a zombie.
fn has_ended(child: Pid) -> std::io::Result<bool> {
    let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let pid = rustix::process::Pid::from_raw(child.as_raw());
    let pid = pid.ok_or_else(|| std::io::Error::other("it has no process id"))?;
    match waitid(WaitId::Pid(pid), how) {
        Ok(status) => Ok(status.is_some()),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::context;
    use crate::task::tests::sh;
    use crate::{Executor, ExecutorChoice};

    /// Runs tasks, and returns how each ended.
    fn run(cx: &Context, jobs: usize, tasks: &[Task]) -> Vec<(String, Result<(), Failure>)> {
        let mut seen = Vec::new();
        let executor = Executor::open(cx, ExecutorChoice::Local, jobs).unwrap();
        executor
            .run(tasks, &mut |task, result| {
                seen.push((task.name.clone(), result));
                Ok(())
            })
            .unwrap();
        seen
    }

    #[test]
    fn tasks_run_side_by_side() {
        let dir = tempfile::tempdir().unwrap();
        let cx = context(dir.path());
        // Each waits until the other one runs.
        let line = |own: &str, other: &str| {
            format!(
                "touch {dir}/{own}; while ! [ -e {dir}/{other} ]; do sleep 0.01; done; : >$0",
                dir = dir.path().display()
            )
        };
        let tasks = [
            sh(dir.path(), "one", &line("a", "b")),
            sh(dir.path(), "two", &line("b", "a")),
        ];
        let seen = run(&cx, 2, &tasks);
        assert!(seen.iter().all(|(_, result)| result.is_ok()), "{seen:?}");
        assert_eq!(seen.len(), 2);
        // Nothing runs again: the command would fail.
        let again = Task {
            argv: vec!["false".into()],
            ..tasks[0].clone()
        };
        assert!(run(&cx, 2, &[again])[0].1.is_ok());
    }

    #[test]
    fn a_task_without_a_result_has_failed() {
        let dir = tempfile::tempdir().unwrap();
        let cx = context(dir.path());
        let table = [
            (
                "exit 0",
                Class::Infra,
                "it ended with exit code 0 and without a result",
            ),
            (
                "exit 1",
                Class::Tests,
                "it ended with exit code 1 and without a result",
            ),
            (
                "exit 3",
                Class::Build,
                "it ended with exit code 3 and without a result",
            ),
            (
                "exit 4",
                Class::Boot,
                "it ended with exit code 4 and without a result",
            ),
            ("kill -9 $$", Class::Infra, "signal 9 killed it"),
        ];
        for (line, class, why) in table {
            let task = sh(
                dir.path(),
                "a/b",
                &format!("echo one; echo two >&2; {line}"),
            );
            let (_, result) = run(&cx, 1, &[task]).remove(0);
            let failure = result.unwrap_err();
            assert_eq!(failure.class(), class, "{line}");
            assert_eq!(
                failure.in_one_line(),
                format!("could not run the task a/b: {why}")
            );
            let help = failure.advice().unwrap();
            assert!(help.starts_with("one\ntwo\nits output: "), "{help}");
            assert!(help.ends_with("/000-a-b.log"), "{help}");
        }
        let absent = Task {
            argv: vec![dir.path().join("absent").into()],
            ..sh(dir.path(), "c", "")
        };
        assert!(run(&cx, 1, &[absent])[0].1.is_err());
    }

    #[test]
    fn an_interruption_ends_the_tasks_with_their_children() {
        let dir = tempfile::tempdir().unwrap();
        let cx = context(dir.path());
        let pid = dir.path().join("pid");
        let line = format!("echo $$ >{}; sleep 600", pid.display());
        let (long, next) = (
            sh(dir.path(), "long", &line),
            sh(dir.path(), "next", ": >$0"),
        );
        let executor = Executor::open(&cx, ExecutorChoice::Local, 1).unwrap();
        let failure = std::thread::scope(|scope| {
            let running = scope
                .spawn(|| executor.run(&[long, next.clone()], &mut |_, _| panic!("none ends")));
            while std::fs::read_to_string(&pid).unwrap_or_default().is_empty() {
                std::thread::sleep(POLL_INTERVAL);
            }
            cx.interrupt.trigger();
            running.join().unwrap().unwrap_err()
        });
        assert_eq!(failure.in_one_line(), "could not run tasks: interrupted");
        assert!(!next.is_done());
        let pid = std::fs::read_to_string(&pid).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap());
        // The system reaps an orphan some time after its end.
        let deadline = Instant::now() + Duration::from_secs(10);
        while killpg(pid, None).is_ok() {
            assert!(Instant::now() < deadline, "a process of the group is left");
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    #[test]
    fn a_caller_ends_the_run() {
        let dir = tempfile::tempdir().unwrap();
        let cx = context(dir.path());
        let tasks = [
            sh(dir.path(), "one", ": >$0"),
            sh(dir.path(), "two", "sleep 600"),
            sh(dir.path(), "three", ": >$0"),
        ];
        let executor = Executor::open(&cx, ExecutorChoice::Local, 2).unwrap();
        let failure = executor
            .run(&tasks, &mut |_, _| Err(Failure::infra("merge", "no")))
            .unwrap_err();
        assert_eq!(failure.in_one_line(), "could not merge: no");
    }
}
