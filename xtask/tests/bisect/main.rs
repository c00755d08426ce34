//! `cargo xtask bisect` on a synthetic history of 200 commits, with real kernels.
//! It takes an hour or so, and needs the base releng-15.1:
//! `cargo test -p xtask --test bisect -- --ignored`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use kdk_bisect::decide::flaky::rounds;
use kdk_bisect::synthetic::{self, Synthetic};
use kdk_core::cache_dir::CacheDir;
use kdk_series::base::{record, repo};
use kdk_vm::interrupt::Interrupt;

const BASE: &str = "releng-15.1";

/// Returns the commits of the history.
fn commits(history: &Synthetic) -> Vec<String> {
    let cache = CacheDir::open(&Interrupt::new()).unwrap();
    let record = record::find(&cache, BASE).unwrap();
    synthetic::write(&repo::git(&cache, BASE), &record.commit, history).unwrap()
}

fn bisect(commits: &[String], json: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["bisect", "--base", BASE, "--test", synthetic::TEST])
        .args(["--good", &commits[0], "--bad", &commits[commits.len() - 1]])
        .args(["--signature", synthetic::SIGNATURE, "--json"])
        .arg(json)
        .args(more)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// Checks a report: the culprit, and the number of rounds, which skips may
/// raise.
fn check(json: &Path, commits: &[String], history: &Synthetic, width: usize) {
    let text = std::fs::read_to_string(json).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let suspects = report["suspects"].as_array().unwrap();
    assert_eq!(suspects.len(), 1, "{text}");
    assert_eq!(suspects[0]["commit"], commits[history.culprit], "{text}");
    let kernels = report["kernels"].as_u64().unwrap();
    assert!(kernels < history.commits as u64, "{kernels} kernels differ");
    let predicted = rounds(kernels as usize, width);
    assert_eq!(report["predicted_rounds"], predicted);
    let skips = report["tested"].as_array().unwrap().iter();
    let skips = skips.filter(|one| one["verdict"].as_str().unwrap().starts_with("skipped"));
    let most = u64::from(predicted) + 2 * skips.count() as u64;
    assert!(report["rounds"].as_u64().unwrap() <= most, "{text}");
}

/// Waits until the log of the bisection, which is the newest one and younger than
/// `since`, has more than `entries` entries.
fn wait_for(entries: usize, since: SystemTime, child: &mut Child) -> bool {
    let cache = CacheDir::open(&Interrupt::new()).unwrap();
    loop {
        let logs = std::fs::read_dir(cache.bisects())
            .into_iter()
            .flatten()
            .flatten();
        let newest = logs
            .map(|entry| entry.path().join("log.jsonl"))
            .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
            .filter(|(modified, _)| *modified >= since)
            .max();
        let lines = newest
            .and_then(|(_, path)| std::fs::read_to_string(path).ok())
            .map_or(0, |text| text.lines().count());
        if lines > entries {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
}

#[test]
#[ignore = "builds and boots dozens of kernels"]
fn the_culprit_of_200_commits_is_found_in_spite_of_kills() {
    let dir = tempfile::tempdir().unwrap();
    let history = Synthetic::default();
    let commits = commits(&history);
    let json = dir.path().join("report.json");
    // One kill in each part of the bisection: at the endpoints, in the search.
    let mut more: &[&str] = &[];
    let since = SystemTime::now();
    for entries in [1, 3, 6, 9, 12] {
        let mut child = bisect(&commits, &json, more);
        if wait_for(entries, since, &mut child) {
            child.kill().unwrap();
        }
        child.wait().unwrap();
        more = &["--resume"];
    }
    assert!(bisect(&commits, &json, more).wait().unwrap().success());
    check(&json, &commits, &history, 1);
    // Side by side; most kernels are in the cache.
    let mut child = bisect(&commits, &json, &["--jobs", "2"]);
    assert!(child.wait().unwrap().success());
    check(&json, &commits, &history, 2);
}
