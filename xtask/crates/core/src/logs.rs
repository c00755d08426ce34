//! The folders of runs' logs: `runs/TIME-PID`.

use std::path::PathBuf;

use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::cache_dir::CacheDir;
use crate::clock;
use crate::context::Context;
use crate::failure::Failure;

/// How many stay.
const KEPT: usize = 20;

/// A folder for this run's logs; older ones than the last few go, but for
/// those of runs that go on.
pub fn folder(cx: &Context) -> Result<PathBuf, Failure> {
    let runs = cx.cache.runs();
    cx.cache.create(&runs)?;
    let failed = |error| Failure::io("make a folder for the run's logs", &runs, error);
    let now = clock::now();
    let old: Vec<String> = std::fs::read_dir(&runs)
        .map_err(failed)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    let own = std::process::id().cast_signed();
    let goes_on = |pid| pid != own && lives(pid);
    for name in outdated(old, now, KEPT, &goes_on) {
        // Another run may be removing it too.
        let _ = std::fs::remove_dir_all(runs.join(name));
    }
    let name = format!("{now:012}-{own}");
    let folder = runs.join(name);
    std::fs::create_dir(&folder).map_err(failed)?;
    Ok(folder)
}

/// The folders of runs that are over.
pub fn ended(cache: &CacheDir) -> Vec<PathBuf> {
    let is_over = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        !name.and_then(process).is_some_and(lives)
    };
    let mut runs: Vec<PathBuf> = std::fs::read_dir(cache.runs())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(is_over)
        .collect();
    runs.sort();
    runs
}

/// The process whose folder has this name.
fn process(name: &str) -> Option<i32> {
    name.rsplit_once('-')?.1.parse().ok()
}

fn lives(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None).is_ok()
}

/// The folders to remove so that `kept` of runs that are over stay. A name
/// begins with the time in milliseconds since 1970; one that is still to come
/// was written by a clock that was wrong, and is older than it says.
fn outdated(
    mut names: Vec<String>,
    now: u64,
    kept: usize,
    goes_on: &dyn Fn(i32) -> bool,
) -> Vec<String> {
    let time = |name: &String| name.split('-').next()?.parse::<u64>().ok();
    names.retain(|name| !process(name).is_some_and(goes_on));
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
    fn a_run_that_goes_on_keeps_its_logs() {
        let all = ["300-7", "100-9", "200-8"].map(str::to_owned).to_vec();
        assert_eq!(
            outdated(all.clone(), 500, 0, &|pid| pid == 9),
            ["200-8", "300-7"]
        );
        assert_eq!(outdated(all, 500, 1, &|pid| pid == 9), ["200-8"]);
        assert!(lives(std::process::id().cast_signed()));
    }
}
