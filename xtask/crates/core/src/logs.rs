//! The folders of runs' logs: `runs/TIME-PID`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::cache_dir::CacheDir;
use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::host;

/// The file in a run's folder with the name of its host.
const HOST: &str = "host";
/// The age from which on a run on another host has ended.
const LONGEST_RUN: Duration = Duration::from_secs(2 * 24 * 3600);

/// The number of finished runs whose logs stay.
const KEPT_RUNS: usize = 20;

/// Creates the folder for the logs of this run. Removes the logs of old
/// finished runs.
pub fn folder(cx: &Context) -> Result<PathBuf, Failure> {
    let runs = cx.cache.runs();
    cx.cache.create(&runs)?;
    let failed = |error| Failure::io("make a folder for the run's logs", &runs, error);
    let now = clock::now();
    let old: Vec<String> = std::fs::read_dir(&runs)
        .map_err(failed)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !may_run_elsewhere(&runs.join(name)))
        .collect();
    let own = std::process::id().cast_signed();
    let is_running = |pid| pid != own && is_alive(pid);
    for name in outdated(old, now, KEPT_RUNS, &is_running) {
        // Another run may remove it at the same time.
        let _ = std::fs::remove_dir_all(runs.join(name));
    }
    let name = format!("{now:012}-{own}");
    let folder = runs.join(name);
    std::fs::create_dir(&folder)
        .and_then(|()| std::fs::write(folder.join(HOST), host::name()))
        .map_err(failed)?;
    Ok(folder)
}

/// Returns whether the run with the folder `run` may still run on another host
/// that shares the cache folder: its process is not in the list of this host.
fn may_run_elsewhere(run: &Path) -> bool {
    let on = std::fs::read_to_string(run.join(HOST));
    let age = std::fs::metadata(run)
        .and_then(|found| found.modified())
        .map(|changed| changed.elapsed().unwrap_or_default());
    match (on, age) {
        (Ok(on), Ok(age)) => on != host::name() && age < LONGEST_RUN,
        _ => false,
    }
}

/// Returns the log folders of finished runs.
pub fn finished(cache: &CacheDir) -> Vec<PathBuf> {
    let is_finished = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        !name.and_then(process).is_some_and(is_alive) && !may_run_elsewhere(path)
    };
    let mut runs: Vec<PathBuf> = std::fs::read_dir(cache.runs())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(is_finished)
        .collect();
    runs.sort();
    runs
}

/// Returns the id of the process that created the folder `name`.
fn process(name: &str) -> Option<i32> {
    name.rsplit_once('-')?.1.parse().ok()
}

fn is_alive(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_ok()
}

/// Returns the folders to remove, so that those of `kept` finished runs stay. A
/// name begins with the time in milliseconds since 1970. A time in the future
/// is the mistake of a wrong clock, and counts as old.
fn outdated(
    mut names: Vec<String>,
    now: u64,
    kept: usize,
    is_running: &dyn Fn(i32) -> bool,
) -> Vec<String> {
    let time = |name: &String| name.split('-').next()?.parse::<u64>().ok();
    names.retain(|name| !process(name).is_some_and(is_running));
    names.sort_by_key(|name| time(name).filter(|time| *time <= now));
    names.truncate(names.len().saturating_sub(kept));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_logs_go_and_those_from_the_future_before_them() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        let all: Vec<String> = names(&["300-7", "100-9", "999-1", "200-8", "odd"]);
        for (now, kept, gone) in [
            (500, 5, &[] as &[&str]),
            (500, 3, &["999-1", "odd"]),
            (500, 1, &["999-1", "odd", "100-9", "200-8"]),
            (250, 2, &["300-7", "999-1", "odd"]),
            (1000, 4, &["odd"]),
        ] {
            let gone: Vec<String> = names(gone);
            let seen = outdated(all.clone(), now, kept, &|_| false);
            assert_eq!(seen, gone, "{now} {kept}");
        }
    }

    #[test]
    fn a_run_of_another_host_keeps_its_logs_for_some_days() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path();
        assert!(!may_run_elsewhere(run), "an older version wrote no host");
        std::fs::write(run.join(HOST), host::name()).unwrap();
        assert!(!may_run_elsewhere(run));
        std::fs::write(run.join(HOST), "another").unwrap();
        assert!(may_run_elsewhere(run));
        let old = std::time::SystemTime::now() - 2 * LONGEST_RUN;
        let folder = std::fs::File::open(run).unwrap();
        folder.set_modified(old).unwrap();
        assert!(!may_run_elsewhere(run));
    }

    #[test]
    fn a_run_that_is_running_keeps_its_logs() {
        let all = ["300-7", "100-9", "200-8"].map(str::to_owned).to_vec();
        assert_eq!(
            outdated(all.clone(), 500, 0, &|pid| pid == 9),
            ["200-8", "300-7"]
        );
        assert_eq!(outdated(all, 500, 1, &|pid| pid == 9), ["200-8"]);
        assert!(is_alive(std::process::id().cast_signed()));
    }
}
