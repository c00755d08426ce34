//! Real kernels as tasks of a cluster.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use kdk_bisect::synthetic::{self, Synthetic};
use kdk_core::cache_dir::CacheDir;
use kdk_core::workspace::workspace;
use kdk_series::base::{record, repo};
use kdk_vm::interrupt::Interrupt;

use crate::cluster::Cluster;

const BASE: &str = "releng-15.1";

/// A patch whose tests take little time.
const PATCH: &str = "freebsd32-sendfile-sbytes";

/// The nodes build, boot and test: a patch is proven, and a culprit is found.
pub fn run() {
    let cluster = Cluster::start();
    let dir = tempfile::tempdir().unwrap();
    proves(&cluster, &dir.path().join("patches"));
    bisects(&cluster, &dir.path().join("report.json"));
}

/// A copy of the series gets the result.
fn proves(cluster: &Cluster, patches: &Path) {
    let series = workspace().join("patches").join(BASE);
    fs::create_dir_all(patches.join(BASE)).unwrap();
    for entry in fs::read_dir(series).unwrap() {
        let from = entry.unwrap().path();
        let to = patches.join(BASE).join(from.file_name().unwrap());
        fs::copy(from, to).unwrap();
    }
    let text = kdk(
        cluster,
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["prove", "--base", BASE, PATCH, "--force"])
            .env("KDK_PATCHES", patches),
    );
    assert!(text.contains("1 of 1 patches proven"), "{text}");
}

fn bisects(cluster: &Cluster, json: &Path) {
    let history = Synthetic {
        commits: 12,
        no_build: 5..6,
        no_boot: 0..0,
        flaky: 0..0,
        merges: Vec::new(),
        culprit: 8,
        salt: 12,
    };
    let cache = CacheDir::open(&Interrupt::new()).unwrap();
    let record = record::find(&cache, BASE).unwrap();
    let commits = synthetic::write(&repo::git(&cache, BASE), &record.commit, &history).unwrap();
    let (good, bad) = (&commits[0], &commits[history.commits]);
    kdk(
        cluster,
        Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args(["bisect", "--base", BASE, "--good", good, "--bad", bad])
            .args(["--test", synthetic::TEST, "--jobs", "2", "--json"])
            .arg(json),
    );
    let text = fs::read_to_string(json).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    let suspects = report["suspects"].as_array().unwrap();
    assert_eq!(suspects.len(), 1, "{text}");
    assert_eq!(suspects[0]["commit"], commits[history.culprit], "{text}");
}

/// Runs a command on the cluster. Returns what it prints.
fn kdk(cluster: &Cluster, command: &mut Command) -> String {
    let output = command
        .args(["--executor", "slurm"])
        .env("SLURM_CONF", cluster.conf())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    println!("{text}{errors}");
    assert!(output.status.success(), "{command:?}: {}", output.status);
    text
}
