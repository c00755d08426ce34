use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::rendered;
use kdk_core::store::Store;
use kdk_core::terminal::Terminal;
use kdk_vm::interrupt::Interrupt;

use super::*;
use crate::cache_key::CacheKey;
use crate::fixtures::{self, revision};
use crate::job::{Job, Work};
use crate::plan_file::{PlannedShard, Revisions, ValidJob};
use crate::result::{Finding, JobResult, JobVerdict};
use crate::revision::Revision;
use crate::shard_report::{self, JobRef, ShardReport};
use crate::shards::balance;
use crate::store::CiStore;

/// The place of two shards' results, and of their plan.
struct Sandbox {
    dir: tempfile::TempDir,
    plan: PlanFile,
}

fn key(patch: &str) -> String {
    blake3::hash(patch.as_bytes()).to_hex()[..32].to_owned()
}

fn revisions(id: &str) -> Revisions {
    Revisions::from([("main".into(), id.into())])
}

fn plan() -> PlanFile {
    let lint = |patch: &str| {
        let work = Work::Lint {
            patch: patch.into(),
        };
        Job::new("main", work, key(patch), Some(1000))
    };
    let valid = ValidJob {
        id: "main/lint/z".into(),
        key: key("z"),
        why: "valid: passed for revision r0".into(),
    };
    let revision = Revision {
        id: "r1".into(),
        ..revision("main", &["a", "b", "c", "z"])
    };
    PlanFile::new(
        vec![revision],
        CacheKey::default(),
        balance(&["a", "b", "c"].map(lint), NonZeroUsize::new(2).unwrap()),
        vec![valid],
    )
}

fn result(job: &Job, verdict: JobVerdict) -> JobResult {
    JobResult {
        why: match verdict {
            JobVerdict::Passed => String::new(),
            _ => "the reason".into(),
        },
        began: 1_790_000_001_000,
        ms: 1500,
        ..fixtures::result(job, verdict)
    }
}

fn report(shard: &PlannedShard) -> ShardReport {
    let jobs = shard.jobs.iter().map(|job| JobRef {
        id: job.id.clone(),
        key: job.key.clone(),
    });
    ShardReport {
        schema: shard_report::SCHEMA,
        shard: shard.shard,
        count: 2,
        revisions: revisions("r1"),
        jobs: jobs.collect(),
        began: 1_790_000_000_000,
        ms: 4000,
        host: "h".into(),
        error: None,
    }
}

fn write(path: &Path, value: &impl serde::Serialize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, serde_json::to_vec_pretty(value).unwrap()).unwrap();
}

/// Cuts the second half of a file off.
fn truncate(path: &Path) {
    let text = fs::read(path).unwrap();
    fs::write(path, &text[..text.len() / 2]).unwrap();
}

impl Sandbox {
    /// Returns the place of two complete shards.
    fn new() -> Self {
        let sandbox = Self {
            dir: tempfile::tempdir().unwrap(),
            plan: plan(),
        };
        for shard in &sandbox.plan.shards {
            sandbox.write_report(&report(shard));
            for job in &shard.jobs {
                sandbox.write_result(shard.shard, &result(job, JobVerdict::Passed));
            }
        }
        fs::write(
            sandbox.dir.path().join("plan.json"),
            sandbox.plan.text().unwrap(),
        )
        .unwrap();
        sandbox
    }

    fn shard(&self, number: usize) -> PathBuf {
        self.dir
            .path()
            .join("results")
            .join(format!("shard-{number}"))
    }

    fn write_report(&self, report: &ShardReport) {
        write(&self.shard(report.shard).join("shard.json"), report);
    }

    fn write_result(&self, shard: usize, result: &JobResult) {
        write(&self.result(shard, &result.key), result);
    }

    fn result(&self, shard: usize, key: &str) -> PathBuf {
        self.shard(shard).join(JobResult::file_name(key))
    }

    fn job(&self, shard: usize, at: usize) -> &Job {
        &self.plan.shards[shard - 1].jobs[at]
    }

    fn context(&self) -> Context {
        let interrupt = Interrupt::new();
        let cache = CacheDir::at(self.dir.path().join("home"), &interrupt).unwrap();
        Context {
            store: Store::new(&cache),
            cache,
            interrupt,
            terminal: Terminal::new(),
        }
    }

    fn request(&self) -> CollectRequest {
        CollectRequest {
            dirs: vec![self.dir.path().join("results")],
            plan: Some(self.dir.path().join("plan.json")),
            out: self.dir.path().join("out"),
        }
    }

    fn judge(&self, plan: bool) -> judge::Collected {
        let folders = folder::find(&self.request().dirs).unwrap();
        judge(plan.then_some(&self.plan), &folders)
    }

    /// Returns the text without the place of the sandbox.
    fn text(&self, text: &str) -> String {
        text.replace(&*self.dir.path().to_string_lossy(), "DIR")
    }
}

/// Every change of complete results that makes them incomplete.
/// What is done to the results of the shards.
type Damage = fn(&Sandbox);

const INCOMPLETE: [(&str, Damage); 15] = [
    ("no folder", |at| fs::remove_dir_all(at.shard(2)).unwrap()),
    ("no report of the shard", |at| {
        fs::remove_file(at.shard(2).join("shard.json")).unwrap();
    }),
    ("a truncated report", |at| {
        truncate(&at.shard(2).join("shard.json"))
    }),
    ("a report of an older schema", |at| {
        let schema = 0;
        at.write_report(&ShardReport {
            schema,
            ..report(&at.plan.shards[1])
        });
    }),
    ("a report of a newer schema", |at| {
        let schema = 9;
        at.write_report(&ShardReport {
            schema,
            ..report(&at.plan.shards[1])
        });
    }),
    ("another revision", |at| {
        let revisions = revisions("0123456789abcdef");
        at.write_report(&ShardReport {
            revisions,
            ..report(&at.plan.shards[1])
        });
    }),
    ("another base", |at| {
        let revisions = Revisions::from([("head-2014".into(), "r1".into())]);
        at.write_report(&ShardReport {
            revisions,
            ..report(&at.plan.shards[1])
        });
    }),
    ("another number of shards", |at| {
        at.write_report(&ShardReport {
            count: 3,
            ..report(&at.plan.shards[1])
        });
    }),
    ("a shard that was interrupted", |at| {
        at.write_report(&ShardReport {
            error: Some("interrupted".into()),
            ..report(&at.plan.shards[1])
        });
        fs::remove_file(at.result(2, &at.job(2, 0).key)).unwrap();
    }),
    ("one shard twice", |at| {
        let more = at.dir.path().join("results/again");
        write(&more.join("shard.json"), &report(&at.plan.shards[0]));
    }),
    ("no result of a job", |at| {
        fs::remove_file(at.result(1, &at.job(1, 1).key)).unwrap();
    }),
    ("a truncated result", |at| {
        truncate(&at.result(1, &at.job(1, 1).key))
    }),
    ("a result of an older schema", |at| {
        let old = JobResult {
            schema: 0,
            ..result(at.job(1, 1), JobVerdict::Passed)
        };
        at.write_result(1, &old);
    }),
    ("a result of another job", |at| {
        let other = result(at.job(2, 0), JobVerdict::Passed);
        write(&at.result(1, &at.job(1, 1).key), &other);
    }),
    ("nothing but one truncated report", |at| {
        fs::remove_dir_all(at.shard(1)).unwrap();
        truncate(&at.shard(2).join("shard.json"));
    }),
];

#[test]
fn incomplete_results_are_never_green_and_what_is_missing_is_named() {
    let mut texts = Vec::new();
    for (name, change) in INCOMPLETE {
        let sandbox = Sandbox::new();
        change(&sandbox);
        let collected = sandbox.judge(true);
        let failure = summary::failure(&collected).unwrap();
        assert_eq!(failure.exit_code(), 5, "{name}");
        let report = merge::report(&collected);
        assert_eq!(report.run.exit, 5, "{name}");
        let error = sandbox.text(report.run.error.as_deref().unwrap());
        texts.push(format!("{name}:\n{error}\n{failure}\n"));
        // Without the plan, only what the other shards do not know is missed.
        let without_plan = sandbox.judge(false);
        if name != "nothing but one truncated report" {
            assert!(summary::failure(&without_plan).is_some(), "{name}");
        }
    }
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn a_shard_without_jobs_is_green_only_if_a_plan_says_so() {
    let mut sandbox = Sandbox::new();
    sandbox.plan.shards[1].jobs.clear();
    sandbox.write_report(&report(&sandbox.plan.shards[1]));
    assert!(summary::failure(&sandbox.judge(true)).is_none());
    let without = sandbox.judge(false);
    assert_eq!(summary::failure(&without).unwrap().exit_code(), 5);
    insta::assert_snapshot!(summary::lines(&without).join("\n"));
}

#[test]
fn a_valid_job_that_failed_since_is_not_green() {
    let sandbox = Sandbox::new();
    let cx = sandbox.context();
    collect(&cx, &sandbox.request()).unwrap();
    let work = Work::Lint { patch: "z".into() };
    let valid = Job::new("main", work, key("z"), None);
    let store = CiStore::open(&cx.cache, "main").results();
    store.put(&result(&valid, JobVerdict::Failed)).unwrap();
    let failure = collect(&cx, &sandbox.request()).unwrap_err();
    assert_eq!(failure.exit_code(), 5);
    let report = fs::read_to_string(sandbox.request().out.join("report.json")).unwrap();
    let want = "the plan takes main/lint/z for passed, but it failed since: the reason";
    assert!(report.contains(want), "{report}");
}

#[test]
fn a_leftover_folder_changes_no_newer_verdict() {
    let sandbox = Sandbox::new();
    let cx = sandbox.context();
    let store = CiStore::open(&cx.cache, "main").results();
    let job = sandbox.job(1, 0).clone();
    let at = |began, verdict| {
        let one = JobResult {
            began,
            artefacts: vec![format!("{}/report.json", job.key)],
            ..result(&job, verdict)
        };
        sandbox.write_result(1, &one);
        write(&sandbox.shard(1).join(&one.artefacts[0]), &began);
        let ended = collect(&cx, &sandbox.request());
        let stored = store.get(&job.key).unwrap().unwrap();
        let artefact = fs::read_to_string(store.dir().join(&stored.artefacts[0])).unwrap();
        (
            ended.is_ok(),
            stored.verdict,
            stored.attempts.len(),
            artefact,
        )
    };
    let failed = JobVerdict::Failed;
    assert_eq!(at(20, failed), (false, failed, 0, "20".into()));
    assert_eq!(at(10, JobVerdict::Passed), (true, failed, 1, "20".into()));
    let newer = (true, JobVerdict::Passed, 2, "30".to_owned());
    assert_eq!(at(30, JobVerdict::Passed), newer);
}

#[test]
fn nothing_of_a_shard_leads_out_of_the_store() {
    let sandbox = Sandbox::new();
    let cx = sandbox.context();
    let (job, other) = (sandbox.job(1, 0).clone(), key("other"));
    let home = sandbox.dir.path().join("secrets");
    write(&home.join("id"), &"PRIVATE");
    let folder = sandbox.shard(1).join(&job.key);
    fs::create_dir_all(&folder).unwrap();
    std::os::unix::fs::symlink(&home, folder.join("evil")).unwrap();
    std::os::unix::fs::symlink(&home, sandbox.shard(1).join("evil")).unwrap();
    write(&sandbox.shard(1).join(format!("{other}.json")), &"broken");
    let hostile = JobResult {
        also: vec!["../../../also".into(), other.clone()],
        artefacts: [
            "evil/id".to_owned(),
            format!("{}/evil/id", job.key),
            format!("{other}.json"),
            format!("{}/../x", job.key),
        ]
        .to_vec(),
        ..result(&job, JobVerdict::Passed)
    };
    sandbox.write_result(1, &hostile);
    collect(&cx, &sandbox.request()).unwrap();
    let results = CiStore::open(&cx.cache, "main").results();
    let stored = results.get(&job.key).unwrap().unwrap();
    assert_eq!(stored.artefacts, [""; 0]);
    assert!(!results.dir().join("evil").exists());
    assert!(!results.dir().join(&job.key).exists());
    assert!(!cx.cache.root().join("also.json").exists());
    // The plan does not say that the result is valid for this key.
    assert_eq!(results.get(&other).unwrap(), None);
}

#[test]
fn without_a_plan_unusable_shards_alone_are_not_green() {
    let sandbox = Sandbox::new();
    fs::remove_dir_all(sandbox.shard(1)).unwrap();
    truncate(&sandbox.shard(2).join("shard.json"));
    let collected = sandbox.judge(false);
    assert_eq!(summary::failure(&collected).unwrap().exit_code(), 5);
}

#[test]
fn complete_results_are_green_with_and_without_the_plan() {
    let sandbox = Sandbox::new();
    for plan in [true, false] {
        let collected = sandbox.judge(plan);
        assert!(collected.problems.is_empty(), "{plan}");
        assert!(summary::failure(&collected).is_none());
        assert_eq!(collected.results().count(), 3);
        assert_eq!(collected.valid.len(), usize::from(plan));
    }
}

#[test]
fn a_failed_job_is_the_tests_fault_also_if_a_shard_is_missing() {
    let sandbox = Sandbox::new();
    let failed = JobResult {
        findings: vec![Finding {
            test: "ixgbe/rx".into(),
            cpus: Some(4),
            verdict: "CRASH".into(),
            detail: "panic: x".into(),
            backtrace: vec!["panic() at panic+0x43/frame 0x1".into()],
            again: Some("cargo xtask vm-test --tests ixgbe/rx".into()),
        }],
        ..result(sandbox.job(1, 0), JobVerdict::Failed)
    };
    sandbox.write_result(1, &failed);
    sandbox.write_result(1, &result(sandbox.job(1, 1), JobVerdict::HostError));
    fs::remove_dir_all(sandbox.shard(2)).unwrap();
    let collected = sandbox.judge(true);
    let failure = summary::failure(&collected).unwrap();
    assert_eq!(failure.exit_code(), 1);
    let lines = summary::lines(&collected).join("\n");
    insta::assert_snapshot!(format!("{lines}\n{}", rendered(&failure)));
    let report = merge::report(&collected);
    insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap());
    insta::assert_snapshot!(kdk_report::junit::xml(&report).unwrap());
}

#[test]
fn the_reports_are_written_even_if_a_shard_is_missing() {
    let sandbox = Sandbox::new();
    fs::remove_dir_all(sandbox.shard(2)).unwrap();
    let request = sandbox.request();
    let failure = collect(&sandbox.context(), &request).unwrap_err();
    assert_eq!(failure.exit_code(), 5);
    for name in REPORT {
        let text = fs::read_to_string(request.out.join(name)).unwrap();
        assert!(text.contains("shard 2 is missing"), "{name}");
    }
}

#[test]
fn results_and_revisions_go_into_the_store_even_if_a_shard_did_not_end() {
    let sandbox = Sandbox::new();
    let key = &sandbox.job(2, 0).key;
    let with_artefacts = JobResult {
        artefacts: vec![format!("{key}/report.json"), "../../escape".into()],
        ..result(sandbox.job(2, 0), JobVerdict::Passed)
    };
    sandbox.write_result(2, &with_artefacts);
    write(&sandbox.shard(2).join(key).join("report.json"), &1);
    write(&sandbox.dir.path().join("escape"), &1);
    fs::remove_file(sandbox.shard(2).join("shard.json")).unwrap();
    let cx = sandbox.context();
    for _ in 0..2 {
        collect(&cx, &sandbox.request()).unwrap_err();
    }
    let store = CiStore::open(&cx.cache, "main");
    for job in sandbox.plan.shards.iter().flat_map(|shard| &shard.jobs) {
        let found = store.results().get(&job.key).unwrap().unwrap();
        assert_eq!((found.job, found.attempts.len()), (job.id.clone(), 0));
    }
    assert!(store.results().dir().join(key).join("report.json").exists());
    assert!(!cx.cache.root().join("ci/escape").exists());
    assert_eq!(store.revisions().unwrap()[0].id, "r1");
}

#[test]
fn an_older_result_in_the_store_is_one_error_and_the_report_is_written() {
    let sandbox = Sandbox::new();
    let cx = sandbox.context();
    let store = CiStore::open(&cx.cache, "main");
    let path = store.results().dir().join(JobResult::file_name(&key("a")));
    write(&path, &serde_json::json!({"schema": 0}));
    let failure = collect(&cx, &sandbox.request()).unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    assert!(sandbox.request().out.join("report.json").exists());
    assert!(store.results().get(&key("b")).unwrap().is_some());
}

#[test]
fn a_report_in_the_folder_of_the_shards_is_no_shard() {
    let sandbox = Sandbox::new();
    let request = CollectRequest {
        out: sandbox.dir.path().join("results"),
        ..sandbox.request()
    };
    for _ in 0..2 {
        collect(&sandbox.context(), &request).unwrap();
    }
}

#[test]
fn two_collectors_of_one_report_are_one_error_and_nothing_is_lost() {
    let sandbox = Sandbox::new();
    let request = sandbox.request();
    let cx = sandbox.context();
    collect(&cx, &request).unwrap();
    let before = fs::read(request.out.join("report.json")).unwrap();
    let lock = lock(&cx, &request).unwrap();
    let failure = collect(&cx, &request).unwrap_err();
    assert_eq!(failure.exit_code(), 5);
    let text = sandbox.text(&rendered(&failure));
    insta::assert_snapshot!(text.replace(&std::process::id().to_string(), "PID"));
    assert_eq!(fs::read(request.out.join("report.json")).unwrap(), before);
    // Another report is no conflict.
    let other = CollectRequest {
        out: sandbox.dir.path().join("other"),
        ..sandbox.request()
    };
    collect(&cx, &other).unwrap();
    drop(lock);
    collect(&cx, &request).unwrap();
}
