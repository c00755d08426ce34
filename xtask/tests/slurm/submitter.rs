//! A process that runs tasks by Slurm, and can be killed: this test program,
//! started again.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_executor::{Executor, ExecutorChoice, Task};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The variable with the folder of the tasks: it makes this program a submitter.
pub const DIR: &str = "KDK_SLURM_DIR";

/// A submitter that runs.
pub struct Submitter {
    child: Child,
    log: PathBuf,
}

impl Submitter {
    /// Starts a submitter of the tasks in `dir`.
    pub fn start(dir: &Path, conf: &Path) -> Self {
        let log = dir.join("submitter.log");
        let output = File::create(&log).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .env(DIR, dir)
            .env("KDK_HOME", dir.join("home"))
            .env("SLURM_CONF", conf)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for its end. Returns its exit code, and what it printed.
    pub fn finish(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        (status.code(), fs::read_to_string(&self.log).unwrap())
    }
}

impl Drop for Submitter {
    fn drop(&mut self) {
        // It still runs only if a test failed.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs the tasks in `dir`: the files of its folder `tasks` are scripts.
pub fn submit(dir: &Path) -> ExitCode {
    match run(dir) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{}", failure.in_one_line());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(dir: &Path) -> Result<ExitCode, Failure> {
    let cx = Context::open()?;
    let results = dir.join("results");
    fs::create_dir_all(&results).unwrap();
    let mut names: Vec<String> = fs::read_dir(dir.join("tasks"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let task = |name: &String| {
        let (script, result) = (dir.join("tasks").join(name), results.join(name));
        Task {
            name: name.clone(),
            argv: ["/bin/sh".into(), script.into(), OsString::from(&result)].to_vec(),
            dir: dir.to_path_buf(),
            env: Vec::new(),
            result,
        }
    };
    let tasks: Vec<Task> = names.iter().map(task).collect();
    let executor = Executor::open(&cx, ExecutorChoice::Slurm, 1)?;
    let mut code = ExitCode::SUCCESS;
    executor.run(&tasks, &mut |task, ended| {
        match ended {
            Ok(()) => println!("task {}: done", task.name),
            Err(failure) => {
                println!("task {}: {}", task.name, failure.in_one_line());
                code = ExitCode::FAILURE;
            }
        }
        Ok(())
    })?;
    Ok(code)
}
