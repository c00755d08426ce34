//! Tests on programs that take the place of Slurm's: scripts that read and write
//! files of a folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::fixtures::context;
use crate::task::tests::sh;

/// Runs the tasks of the array at once, as the job 7, where `sbatch.runs`
/// exists. Refuses where `sbatch.error` exists.
const SBATCH: &str = r#"#!/bin/sh
cd "${0%/*}" || exit
case $1 in --version) exit ;; esac
[ -e sbatch.error ] && { cat sbatch.error >&2; exit 1; }
echo "$@" >>submitted
for word; do
    case $word in
    --array=*) range=${word#--array=0-} ;;
    */batch.sh) script=$word ;;
    esac
done
if [ -e sbatch.runs ]; then
    index=0
    while [ "$index" -le "$range" ]; do
        SLURM_ARRAY_TASK_ID=$index SLURMD_NODENAME=n1 sh "$script" >"${script%/*}/$index.log" 2>&1
        index=$((index + 1))
    done
fi
echo "7;cluster"
"#;

/// Prints the file `queue`, or the file `queue.error`.
const SQUEUE: &str = r#"#!/bin/sh
cd "${0%/*}" || exit
echo "$@" >>asked
[ -e queue.error ] && { cat queue.error >&2; exit 1; }
cat queue
"#;

const SCANCEL: &str = "#!/bin/sh\necho \"$@\" >>\"${0%/*}/cancelled\"\n";
const SINFO: &str = "#!/bin/sh\ncat \"${0%/*}/nodes\"\n";

struct Fake {
    dir: tempfile::TempDir,
    cx: Context,
    slurm: Slurm,
}

impl Fake {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let programs = [
            ("sbatch", SBATCH),
            ("squeue", SQUEUE),
            ("scancel", SCANCEL),
            ("sinfo", SINFO),
        ];
        for (name, text) in programs {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let fake = Self {
            cx: context(dir.path()),
            slurm: Slurm {
                client: Client {
                    dir: Some(dir.path().to_path_buf()),
                },
                pace: Pace {
                    look: Duration::from_millis(5),
                    ask: Duration::from_millis(5),
                    grace: Duration::from_millis(50),
                    patience: Duration::from_millis(50),
                },
            },
            dir,
        };
        fake.write("queue", "");
        fake
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn task(&self, name: &str, line: &str) -> Task {
        sh(self.dir.path(), name, line)
    }

    /// Runs tasks. Returns how each ended, or why the run did.
    fn run(&self, tasks: &[&Task]) -> Result<Vec<(String, String)>, Failure> {
        let mut ended = Vec::new();
        self.slurm.run(&self.cx, tasks, &mut |task, result| {
            let text = match result {
                Ok(()) => "done".into(),
                Err(failure) => failure.in_one_line(),
            };
            ended.push((task.name.clone(), text));
            Ok(())
        })?;
        Ok(ended)
    }

    fn arrays(&self) -> Vec<Array> {
        array::all(&self.cx.cache).unwrap()
    }
}

#[test]
fn tasks_become_one_array() {
    let fake = Fake::new();
    fake.write("sbatch.runs", "");
    let (one, two) = (
        fake.task("one", ": >$0"),
        fake.task("two", "echo no; exit 4"),
    );
    let ended = fake.run(&[&one, &two]).unwrap();
    let words: Vec<String> = ended
        .iter()
        .map(|(name, how)| format!("{name}: {how}"))
        .collect();
    assert_eq!(
        words,
        [
            "one: done",
            "two: could not run the task two: it ended with exit code 4 and without a result"
        ]
    );
    let submitted = fake.read("submitted");
    assert_eq!(submitted.lines().count(), 1);
    let dir = &fake.arrays()[0].dir;
    let want = format!(
        "--parsable --requeue --open-mode=append --export=ALL --array=0-1 --job-name=kdk-{} \
         --chdir={dir} --output={dir}/%a.log {dir}/batch.sh\n",
        dir.file_name().unwrap().display(),
        dir = dir.display(),
    );
    assert_eq!(submitted, want);
    assert_eq!(fake.read("cancelled"), "");
}

#[test]
fn a_task_that_runs_already_is_not_submitted_again() {
    let fake = Fake::new();
    let (one, two) = (fake.task("one", ""), fake.task("two", ""));
    // The id of the first array was written; that of the second one was not,
    // because its submitter was killed.
    let mut first = Array::create(&fake.cx.cache, &[&one]).unwrap();
    first.record.job = Some(7);
    first.write().unwrap();
    let second = Array::create(&fake.cx.cache, &[&fake.task("x", ""), &two]).unwrap();
    fake.write("queue", "7|0|RUNNING|None|n1\n7|1|PENDING|Resources|\n");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while fake.read("asked").lines().count() < 3 {
                std::thread::sleep(Duration::from_millis(5));
            }
            fs::write(&one.result, "").unwrap();
            fs::write(&two.result, "").unwrap();
        });
        let ended = fake.run(&[&one, &two]).unwrap();
        assert!(ended.iter().all(|(_, how)| how == "done"), "{ended:?}");
    });
    assert_eq!(fake.read("submitted"), "");
    let asked = fake.read("asked");
    let name = format!("--name={}", second.record.name);
    assert!(asked.lines().next().unwrap().ends_with(&name), "{asked}");
    assert!(
        fake.arrays()
            .iter()
            .all(|array| array.record.job == Some(7))
    );
}

#[test]
fn an_array_that_was_never_submitted_is_forgotten() {
    let fake = Fake::new();
    fake.write("sbatch.runs", "");
    let one = fake.task("one", ": >$0");
    let never = Array::create(&fake.cx.cache, &[&one]).unwrap();
    fake.run(&[&one]).unwrap();
    assert!(!never.dir.exists());
    assert_eq!(fake.arrays().len(), 1);
    assert_eq!(fake.read("submitted").lines().count(), 1);
}

#[test]
fn a_task_is_lost_some_times_and_then_it_has_failed() {
    let fake = Fake::new();
    let one = fake.task("one", "");
    fake.write("queue", "7|0|NODE_FAIL|None|n2\n");
    let ended = fake.run(&[&one]).unwrap();
    let want = "could not run the task one: it was lost 3 times; the last time: node fail on n2";
    assert_eq!(ended, [("one".to_owned(), want.to_owned())]);
    assert_eq!(fake.read("submitted").lines().count(), 3);
}

#[test]
fn an_interruption_cancels_the_tasks() {
    let fake = Fake::new();
    let (one, two) = (fake.task("one", ""), fake.task("two", ""));
    fake.write("queue", "7|0|RUNNING|None|n1\n7|1|RUNNING|None|n2\n");
    fs::write(&one.result, "").unwrap();
    fake.cx.interrupt.trigger();
    let failure = fake.run(&[&one, &two]).unwrap_err();
    assert_eq!(failure.in_one_line(), "could not run tasks: interrupted");
    assert_eq!(fake.read("cancelled"), "7_1\n");
}

#[test]
fn a_slurm_that_does_not_answer_is_waited_for_and_then_reported() {
    let fake = Fake::new();
    let one = fake.task("one", "");
    fake.write(
        "queue.error",
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
    );
    let failure = fake.run(&[&one]).unwrap_err();
    insta::assert_snapshot!(kdk_core::failure::rendered(&failure));
    // The tasks may still run.
    assert_eq!(fake.read("cancelled"), "");
    assert!(fake.read("asked").lines().count() > 2);
}

#[test]
fn what_slurm_refuses_leaves_nothing() {
    let fake = Fake::new();
    fake.write(
        "sbatch.error",
        "sbatch: error: invalid partition specified: big\n\
         sbatch: error: Batch job submission failed: Invalid partition name specified\n",
    );
    let failure = fake.run(&[&fake.task("one", "")]).unwrap_err();
    assert_eq!(
        failure.in_one_line(),
        "could not submit tasks to Slurm: sbatch: Batch job submission failed: Invalid partition name \
         specified"
    );
    assert!(fake.arrays().is_empty());
}

#[test]
fn a_slurm_that_cannot_be_used_is_one_clear_error() {
    let fake = Fake::new();
    let check = || fake.slurm.client.check();
    fake.write("nodes", "idle\n");
    check().unwrap();
    fake.write("nodes", "");
    let text = check().unwrap_err().in_one_line();
    assert_eq!(
        text,
        "could not use Slurm: its default configuration has no nodes"
    );
    let absent = Client {
        dir: Some(Path::new("/absent").to_path_buf()),
    };
    let failure = absent.check().unwrap_err();
    insta::assert_snapshot!(kdk_core::failure::rendered(&failure));
}
