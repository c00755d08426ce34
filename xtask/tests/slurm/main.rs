//! `--executor slurm` on a real Slurm cluster, which the tests start on this
//! host. Without Slurm they are skipped, and the end says so:
//! `cargo xtask doctor --for slurm-test --fix` installs it. One test builds and
//! boots kernels, and needs the base releng-15.1:
//! `cargo test -p xtask --test slurm -- --ignored`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod cluster;
mod kernels;
mod submitter;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use cluster::Cluster;
use libtest_mimic::{Arguments, Completion, Failed, Trial as Test};
use nix::sys::signal::Signal;
use submitter::Submitter;

/// How long a condition is waited for, on a loaded host.
const LIMIT: Duration = Duration::from_secs(300);

/// The test that builds and boots kernels.
const KERNELS: &str = "kernels_as_tasks";

fn main() -> ExitCode {
    if let Some(dir) = std::env::var_os(submitter::DIR) {
        return submitter::submit(Path::new(&dir));
    }
    let tests: [(&str, fn()); 8] = [
        ("side_by_side", side_by_side),
        ("a_lost_node", a_lost_node),
        ("a_killed_submitter", a_killed_submitter),
        ("an_interruption", an_interruption),
        (
            "cancelled_requeued_and_failing_tasks",
            cancelled_requeued_and_failing_tasks,
        ),
        ("a_stopped_controller", a_stopped_controller),
        ("no_programs", no_programs),
        (KERNELS, kernels::run),
    ];
    let mut arguments = Arguments::from_args();
    // The tests measure time.
    arguments.test_threads.get_or_insert(1);
    let lacks = cluster::lacks();
    let all = tests
        .into_iter()
        .map(|(name, test)| {
            let lacks = lacks.clone().filter(|_| name != "no_programs");
            Test::ignorable_test(format!("slurm::{name}"), move || match lacks {
                Some(why) => Ok(Completion::ignored_with(why)),
                None => {
                    test();
                    Ok::<Completion, Failed>(Completion::Completed)
                }
            })
            .with_ignored_flag(name == KERNELS)
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, all);
    if let (Some(why), false) = (lacks, arguments.list) {
        // `cargo xtask test` counts these lines.
        println!("skipped: Slurm: {why}");
    }
    conclusion.exit_code()
}

/// A cluster, and tasks for it.
struct Fixture {
    cluster: Cluster,
    dir: tempfile::TempDir,
}

impl Fixture {
    /// Starts a cluster, with the lines of sh(1) as tasks. A task's first lines
    /// note that it starts; the result's path is `$1`.
    fn new(tasks: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("tasks")).unwrap();
        for (number, line) in tasks.iter().enumerate() {
            let text = format!(
                "echo {number} $SLURMD_NODENAME >>{dir}/starts\n{line}\n",
                dir = dir.path().display()
            );
            fs::write(dir.path().join(format!("tasks/{number}")), text).unwrap();
        }
        Self {
            cluster: Cluster::start(),
            dir,
        }
    }

    fn submit(&self) -> Submitter {
        Submitter::start(self.dir.path(), &self.cluster.conf())
    }

    /// Returns the numbers of the tasks that were started, and the nodes.
    fn starts(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join("starts")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn results(&self) -> usize {
        fs::read_dir(self.dir.path().join("results")).map_or(0, Iterator::count)
    }

    /// Returns the folders of the arrays that were submitted.
    fn arrays(&self) -> Vec<PathBuf> {
        let dir = self.dir.path().join("home/executor");
        let entries = fs::read_dir(dir).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.starts());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// A task that takes some seconds.
const LONG: &str = "sleep 8; echo done >\"$1\"";

/// Eight tasks of simulated work: prints the speed-up and the cost of a task.
fn side_by_side() {
    let cluster = Cluster::start();
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["bench", "executor", "--executor", "slurm", "--work", "4000"])
        .env("SLURM_CONF", cluster.conf())
        .env("KDK_HOME", dir.path().join("home"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(text.contains("speed-up, 4 side by side: "), "{text}");
    assert!(text.contains("per task without work: "), "{text}");
}

/// A node is lost while tasks run on it: all results come, and only what ran on
/// the lost node runs again.
fn a_lost_node() {
    let mut fixture = Fixture::new(&[LONG; 8]);
    let submitter = fixture.submit();
    fixture.wait("tasks run on both nodes", |fixture| {
        let starts = fixture.starts();
        let on = |node: &str| starts.iter().filter(|start| start.ends_with(node)).count();
        on("n1") >= 2 && on("n2") >= 2
    });
    fixture.cluster.lose("n2");
    let lost = fixture.starts();
    let (exit, text) = submitter.finish();
    println!("{text}");
    assert_eq!(exit, Some(0), "{text}");
    assert_eq!(fixture.results(), 8, "{text}");
    for number in 0..8 {
        let begins = |start: &&String| start.starts_with(&format!("{number} "));
        let starts = fixture.starts();
        let all: Vec<&String> = starts.iter().filter(begins).collect();
        let on_lost = lost
            .iter()
            .filter(begins)
            .any(|start| start.ends_with("n2"));
        assert_eq!(all.len(), 1 + usize::from(on_lost), "{number}: {all:?}");
        assert!(all.last().unwrap().ends_with("n1") || !on_lost, "{all:?}");
    }
}

/// A submitter is killed and started again: it waits for the array that runs,
/// and no task is started twice.
fn a_killed_submitter() {
    let fixture = Fixture::new(&[LONG; 8]);
    let submitter = fixture.submit();
    fixture.wait("tasks run", |fixture| fixture.starts().len() >= 4);
    submitter.signal(Signal::SIGKILL);
    assert_eq!(submitter.finish().0, None);
    assert_eq!(fixture.results(), 0, "the tasks are too short");
    let (exit, text) = fixture.submit().finish();
    println!("{text}");
    assert_eq!(exit, Some(0), "{text}");
    assert!(text.contains("8 tasks of the job"), "{text}");
    assert_eq!(fixture.results(), 8);
    assert_eq!(fixture.starts().len(), 8, "{:?}", fixture.starts());
    assert_eq!(fixture.arrays().len(), 1);
    let jobs = fixture
        .cluster
        .output("squeue", &["-h", "--states=all", "-o", "%F"]);
    let jobs: std::collections::BTreeSet<&str> = jobs.lines().collect();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
}

/// ^C cancels the array.
fn an_interruption() {
    let fixture = Fixture::new(&["sleep 600"; 6]);
    let submitter = fixture.submit();
    fixture.wait("tasks run", |fixture| fixture.starts().len() >= 4);
    submitter.signal(Signal::SIGINT);
    let (exit, text) = submitter.finish();
    assert_eq!(exit, Some(5), "{text}");
    assert!(text.contains("cancelled 6 tasks"), "{text}");
    assert!(text.contains("could not run tasks: interrupted"), "{text}");
    let active = ["-h", "-r", "--states=PD,R,CG", "-o", "%T"];
    fixture.wait("no job is left", |fixture| {
        fixture.cluster.output("squeue", &active).is_empty()
    });
    let processes = |fixture: &Fixture| {
        let on = |node: &&str| !fixture.cluster.processes_on(node).is_empty();
        cluster::NODES.iter().any(on)
    };
    fixture.wait("no process is left", |fixture| !processes(fixture));
}

/// One task is cancelled, one is requeued, one fails, one works.
fn cancelled_requeued_and_failing_tasks() {
    let once = "[ -e \"$1.once\" ] || { : >\"$1.once\"; sleep 600; }; echo done >\"$1\"";
    let fixture = Fixture::new(&["sleep 600", once, "echo no >&2; exit 3", LONG]);
    let submitter = fixture.submit();
    fixture.wait("all run", |fixture| fixture.starts().len() >= 4);
    let job = fixture.cluster.output("squeue", &["-h", "-o", "%F"]);
    let job = job.lines().next().unwrap();
    fixture.cluster.output("scancel", &[&format!("{job}_0")]);
    fixture
        .cluster
        .output("scontrol", &["requeue", &format!("{job}_1")]);
    let (exit, text) = submitter.finish();
    assert_eq!(exit, Some(1), "{text}");
    for want in [
        "task 0: could not run the task 0: it was cancelled",
        "task 1: done",
        "task 2: could not run the task 2: it ended with exit code 3 and without a result",
        "task 3: done",
    ] {
        assert!(text.contains(want), "{want} is not in {text}");
    }
    let of_one = |start: &&String| start.starts_with("1 ");
    assert_eq!(fixture.starts().iter().filter(of_one).count(), 2);
}

/// Slurm is installed, and its controller does not answer.
fn a_stopped_controller() {
    let mut fixture = Fixture::new(&[LONG]);
    fixture.cluster.stop_controller();
    let (exit, text) = fixture.submit().finish();
    assert_eq!(exit, Some(5), "{text}");
    let want = "could not use Slurm: sinfo: Unable to contact slurm controller";
    assert!(text.contains(want), "{text}");
    assert!(fixture.starts().is_empty());
}

/// Slurm is not installed.
fn no_programs() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["bench", "executor", "--executor", "slurm"])
        .env("PATH", dir.path())
        .env("KDK_HOME", dir.path().join("home"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{text}");
    assert!(text.contains("the host lacks Slurm's programs"), "{text}");
    assert!(
        text.contains("cargo xtask doctor --for slurm --fix"),
        "{text}"
    );
}
