//! Slurm's own programs: sbatch(1), squeue(1), scancel(1) and sinfo(1).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kdk_core::failure::Failure;

use super::queue::{self, Job};

/// The longest time that a program may take. A controller that is busy lets
/// sbatch wait; without a configuration file, it tries for a minute.
const LIMIT: Duration = Duration::from_secs(180);

/// The most jobs of one scancel(1), for the length of its command line.
const MOST_CANCELLED: usize = 500;

/// The help where Slurm's own message says that the controller is silent.
const SILENT: &str =
    "check the cluster with `scontrol ping`; `--executor local` runs the tasks on this host";

/// The programs of one Slurm.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// The folder with the programs; none for those in PATH.
    pub dir: Option<PathBuf>,
}

/// What a program printed.
struct Answer {
    ok: bool,
    output: String,
    errors: String,
}

impl Client {
    /// Fails if Slurm is not installed, does not answer, or has no nodes.
    pub fn check(&self) -> Result<(), Failure> {
        let tried = "use Slurm";
        // sbatch is what is missing where only a part is installed.
        self.must(tried, "sbatch", vec!["--version".into()], None)?;
        let args = ["--noheader", "--format=%T"].map(OsString::from).to_vec();
        match self.must(tried, "sinfo", args, None)?.trim() {
            "" => Err(Failure::infra(tried, "its default configuration has no nodes").help(SILENT)),
            _ => Ok(()),
        }
    }

    /// Submits the batch script `script` as the tasks `indices` of an array.
    /// Returns the job's id. `lock` stays open in sbatch, which keeps the lock
    /// if this process is killed.
    pub fn submit(
        &self,
        name: &str,
        indices: &str,
        script: &Path,
        lock: File,
    ) -> Result<u64, Failure> {
        let tried = "submit tasks to Slurm";
        let dir = script.parent().unwrap_or(script);
        let mut args = [
            "--parsable",
            "--requeue",
            "--open-mode=append",
            "--export=ALL",
        ]
        .map(OsString::from)
        .to_vec();
        args.extend([
            format!("--array={indices}").into(),
            format!("--job-name={name}").into(),
            joined("--chdir=", dir),
            joined("--output=", &dir.join("%a.log")),
            script.into(),
        ]);
        let output = self.must(tried, "sbatch", args, Some(lock))?;
        // `JOB` or `JOB;CLUSTER`.
        let id = output.trim().split(';').next().unwrap_or_default();
        id.parse()
            .map_err(|_| Failure::infra(tried, format!("sbatch printed no job id, but {output:?}")))
    }

    /// Returns the states of all tasks of `jobs` that Slurm remembers, by job
    /// and index.
    pub fn states(&self, jobs: &[u64]) -> Result<BTreeMap<(u64, usize), Job>, Failure> {
        let list: Vec<String> = jobs.iter().map(ToString::to_string).collect();
        self.squeue(format!("--jobs={}", list.join(",")))
    }

    /// Returns the id of the job with the name `name`, if Slurm remembers one.
    pub fn find(&self, name: &str) -> Result<Option<u64>, Failure> {
        let found = self.squeue(format!("--name={name}"))?;
        Ok(found.keys().next().map(|(job, _)| *job))
    }

    fn squeue(&self, selected: String) -> Result<BTreeMap<(u64, usize), Job>, Failure> {
        let args = [
            "--noheader",
            "--array",
            "--states=all",
            queue::FORMAT,
            &selected,
        ]
        .map(OsString::from)
        .to_vec();
        let tried = "ask Slurm about the tasks";
        let answer = self.run(tried, "squeue", args, None)?;
        match answer.ok {
            true => Ok(queue::parse(&answer.output)),
            // A single job that Slurm has forgotten, or never had.
            false if answer.errors.contains("Invalid job id") => Ok(BTreeMap::new()),
            false => Err(refused(tried, "squeue", &answer)),
        }
    }

    /// Cancels tasks of arrays.
    pub fn cancel(&self, tasks: &[(u64, usize)]) -> Result<(), Failure> {
        let ids: Vec<OsString> = tasks
            .iter()
            .map(|(job, index)| format!("{job}_{index}").into())
            .collect();
        for some in ids.chunks(MOST_CANCELLED) {
            self.must("cancel the tasks", "scancel", some.to_vec(), None)?;
        }
        Ok(())
    }

    /// Runs a program that must succeed, and returns its output.
    fn must(
        &self,
        tried: &str,
        program: &str,
        args: Vec<OsString>,
        stdin: Option<File>,
    ) -> Result<String, Failure> {
        let answer = self.run(tried, program, args, stdin)?;
        match answer.ok {
            true => Ok(answer.output),
            false => Err(refused(tried, program, &answer)),
        }
    }

    fn run(
        &self,
        tried: &str,
        program: &str,
        args: Vec<OsString>,
        stdin: Option<File>,
    ) -> Result<Answer, Failure> {
        // duct looks for a name in PATH, and for a path in this directory.
        let path: OsString = match &self.dir {
            Some(dir) => dir.join(program).into(),
            None => program.into(),
        };
        let command = duct::cmd(path, args)
            .stdout_capture()
            .stderr_capture()
            .unchecked()
            // ^C at the terminal does not stop it halfway.
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            });
        let command = match stdin {
            Some(file) => command.stdin_file(file),
            None => command.stdin_null(),
        };
        let failed = |error: std::io::Error| {
            let happened = match error.kind() {
                ErrorKind::NotFound => format!("{program} is not installed"),
                _ => format!("{program} cannot be run"),
            };
            Failure::infra(tried, happened).source(error).help(
                "`cargo xtask doctor --for slurm` says what to install; `--executor local` runs the \
                 tasks on this host",
            )
        };
        let handle = command.start().map_err(failed)?;
        match handle.wait_timeout(LIMIT).map_err(failed)? {
            Some(output) => Ok(Answer {
                ok: output.status.success(),
                output: String::from_utf8_lossy(&output.stdout).into_owned(),
                errors: String::from_utf8_lossy(&output.stderr).into_owned(),
            }),
            None => {
                handle.kill().map_err(failed)?;
                let what = format!("{program} did not end within {} s", LIMIT.as_secs());
                Err(Failure::infra(tried, what).help(SILENT))
            }
        }
    }
}

/// Returns the failure of a program that refused. Slurm's last line has the
/// reason.
fn refused(tried: &str, program: &str, answer: &Answer) -> Failure {
    let last = answer.errors.lines().rev().find(|line| !line.is_empty());
    let last = last.unwrap_or("it printed no reason");
    let prefixes = [
        format!("{program}: error: "),
        format!("{program}: fatal: "),
        "slurm_load_jobs error: ".to_owned(),
        "slurm_load_partitions: ".to_owned(),
    ];
    let reason = prefixes
        .iter()
        .find_map(|prefix| last.strip_prefix(prefix.as_str()))
        .unwrap_or(last);
    Failure::infra(tried, format!("{program}: {reason}")).help(SILENT)
}

fn joined(option: &str, path: &Path) -> OsString {
    let mut text = OsString::from(option);
    text.push(path);
    text
}
