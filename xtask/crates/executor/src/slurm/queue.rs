//! What squeue(1) prints, and what it means for a task.

use std::collections::BTreeMap;
use std::time::Duration;

use super::script::Exit;

/// The columns: the array's id, the index, the state, the reason, the nodes.
pub const FORMAT: &str = "--format=%F|%K|%T|%r|%N";

/// The state of one task of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The state, such as `RUNNING`.
    pub state: String,
    /// Why it is in this state, such as `Resources`.
    pub reason: String,
    /// The node that it runs or ran on; empty where it has none.
    pub node: String,
}

/// What follows from a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It waits or runs, or Slurm will run it again.
    Active,
    /// Its command ended, or something killed it.
    Ended,
    /// Its node is lost, or was taken away.
    Lost,
    /// It was stopped for this reason, and would be again.
    Stopped(&'static str),
}

impl Job {
    /// Returns what follows from the state.
    pub fn phase(&self) -> Phase {
        match self.state.as_str() {
            "COMPLETED" | "FAILED" => Phase::Ended,
            "NODE_FAIL" | "BOOT_FAIL" | "PREEMPTED" | "REVOKED" => Phase::Lost,
            "CANCELLED" => Phase::Stopped("it was cancelled"),
            "TIMEOUT" => Phase::Stopped("it ran longer than its partition allows"),
            "DEADLINE" => Phase::Stopped("it did not end before its deadline"),
            "OUT_OF_MEMORY" => Phase::Stopped("it used more memory than the job has"),
            _ => Phase::Active,
        }
    }

    /// Returns the state in words.
    pub fn text(&self) -> String {
        let state = self.state.to_lowercase().replace('_', " ");
        match (self.node.as_str(), self.reason.as_str()) {
            ("", "" | "None") => state,
            ("", reason) => format!("{state} ({reason})"),
            (node, _) => format!("{state} on {node}"),
        }
    }
}

/// Parses lines of [`FORMAT`]. A line of another form is no task of an array.
pub fn parse(output: &str) -> BTreeMap<(u64, usize), Job> {
    let job = |line: &str| {
        let mut fields = line.trim().split('|');
        let key = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let mut text = || Some(fields.next()?.to_owned());
        Some((
            key,
            Job {
                state: text()?,
                reason: text()?,
                node: text()?,
            },
        ))
    };
    output.lines().filter_map(job).collect()
}

/// What to do about a task whose result is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It may still come.
    Wait,
    /// Its command ended by itself, with this exit code.
    Exited(i32),
    /// It did not end by itself, and running it again would not help.
    Failed(String),
    /// It has to run again, for this reason.
    Lost(String),
}

/// Judges a task without a result: `job` is what Slurm knows of it, `exit` what
/// its script wrote down, and `quiet` how long it has not been active. A file
/// of another node may be visible only `grace` after it was written.
pub fn judge(
    job: Option<&Job>,
    exit: Option<&Exit>,
    quiet: Duration,
    grace: Duration,
) -> Judgement {
    let phase = job.map_or(Phase::Ended, Job::phase);
    match (phase, exit) {
        (Phase::Active, _) => Judgement::Wait,
        (Phase::Stopped(why), _) => Judgement::Failed(why.to_owned()),
        (Phase::Lost, _) => Judgement::Lost(job.map(Job::text).unwrap_or_default()),
        (Phase::Ended, Some(exit)) if !exit.has_result => Judgement::Exited(exit.code),
        (Phase::Ended, _) if quiet < grace => Judgement::Wait,
        (Phase::Ended, Some(exit)) => Judgement::Failed(format!(
            "its result is on the node {}, and not here: do they share the folder?",
            exit.node
        )),
        (Phase::Ended, None) => Judgement::Lost(match job {
            Some(job) => format!("{}, and its command did not end by itself", job.text()),
            None => "Slurm does not know it".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: &str) -> Job {
        Job {
            state: state.into(),
            reason: "None".into(),
            node: "n2".into(),
        }
    }

    #[test]
    fn what_squeue_prints() {
        let output = "17|0|COMPLETED|None|n1\n\
                      17|12|PENDING|Resources|\n\
                      17|3|RUNNING|None|n[1-2]\n\
                      18|N/A|RUNNING|None|n1\n\
                      slurm_load_jobs error: odd\n";
        let found = parse(output);
        let words: Vec<String> = found
            .iter()
            .map(|((job, index), seen)| format!("{job}_{index}: {}", seen.text()))
            .collect();
        assert_eq!(
            words,
            [
                "17_0: completed on n1",
                "17_3: running on n[1-2]",
                "17_12: pending (Resources)"
            ]
        );
    }

    #[test]
    fn what_follows_from_each_state() {
        use Phase::{Active, Ended, Lost};
        for (state, want) in [
            ("PENDING", Active),
            ("CONFIGURING", Active),
            ("RUNNING", Active),
            ("SUSPENDED", Active),
            ("COMPLETING", Active),
            ("REQUEUED", Active),
            ("REQUEUE_HOLD", Active),
            ("SPECIAL_EXIT", Active),
            ("COMPLETED", Ended),
            ("FAILED", Ended),
            ("NODE_FAIL", Lost),
            ("BOOT_FAIL", Lost),
            ("PREEMPTED", Lost),
            ("CANCELLED", Phase::Stopped("it was cancelled")),
            (
                "TIMEOUT",
                Phase::Stopped("it ran longer than its partition allows"),
            ),
        ] {
            assert_eq!(job(state).phase(), want, "{state}");
        }
    }

    #[test]
    fn a_task_without_a_result_is_judged() {
        let exit = |code, has_result| {
            Some(Exit {
                code,
                has_result,
                node: "n1".into(),
            })
        };
        let lost = |why: &str| Judgement::Lost(why.to_owned());
        let failed = |why: &str| Judgement::Failed(why.to_owned());
        let killed = "failed on n2, and its command did not end by itself";
        let elsewhere = "its result is on the node n1, and not here: do they share the folder?";
        let (now, later) = (0, 90);
        for (state, exit, quiet, want) in [
            (Some("PENDING"), None, later, Judgement::Wait),
            // The exit of an earlier start does not count while it runs again.
            (Some("RUNNING"), exit(3, false), later, Judgement::Wait),
            (Some("COMPLETING"), exit(3, false), now, Judgement::Wait),
            (Some("FAILED"), exit(3, false), now, Judgement::Exited(3)),
            (Some("COMPLETED"), exit(0, false), now, Judgement::Exited(0)),
            // Its files are not visible here yet, or never.
            (Some("COMPLETED"), exit(0, true), now, Judgement::Wait),
            (Some("COMPLETED"), exit(0, true), later, failed(elsewhere)),
            (Some("FAILED"), None, now, Judgement::Wait),
            (Some("FAILED"), None, later, lost(killed)),
            (Some("NODE_FAIL"), None, now, lost("node fail on n2")),
            (
                Some("PREEMPTED"),
                exit(0, true),
                now,
                lost("preempted on n2"),
            ),
            (Some("CANCELLED"), None, now, failed("it was cancelled")),
            // The controller forgets a job some minutes after its end.
            (None, exit(4, false), now, Judgement::Exited(4)),
            (None, exit(0, true), now, Judgement::Wait),
            (None, None, now, Judgement::Wait),
            (None, None, later, lost("Slurm does not know it")),
        ] {
            let job = state.map(job);
            let (quiet, grace) = (Duration::from_secs(quiet), Duration::from_secs(90));
            let got = judge(job.as_ref(), exit.as_ref(), quiet, grace);
            assert_eq!(got, want, "{state:?} {exit:?} {quiet:?}");
        }
    }
}
