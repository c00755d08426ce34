//! The reports of earlier runs on a base: `history/BASE/*.json` in the cache
//! folder, one file for each run.

pub mod compare;
pub mod flaky;
pub mod rerun;
pub mod slowest;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kdk_vm::plan::Durations;
use kdk_vm::verdict::{Outcome, Verdict};
use serde::Deserialize;

use crate::json::{OLDEST_SCHEMA, Report, SCHEMA};
use kdk_core::cache_dir::{CacheDir, write_atomically};
use kdk_core::clock::now;
use kdk_core::event::Phase;
use kdk_core::failure::Failure;

/// The number of runs on a base that are kept.
const KEPT: usize = 50;

/// The earlier runs on one base.
#[derive(Debug, Default)]
pub struct History {
    /// The runs with tests, the newest one first.
    runs: Vec<Report>,
    /// The remark about files that are not reports.
    remark: Option<String>,
}

impl History {
    /// Reads the runs on `base`. A file that is not a report is skipped, with
    /// one remark for all: the history must not prevent a run.
    pub fn read(cache: &CacheDir, base: &str) -> Self {
        let dir = cache.history_of(base);
        let files = match files(&dir) {
            Ok(files) => files,
            Err(error) => {
                let remark = format!("history: {} cannot be read: {error}", dir.display());
                return Self {
                    remark: Some(remark),
                    ..Self::default()
                };
            }
        };
        let mut history = Self::default();
        let mut foreign = Vec::new();
        for path in files.iter().rev() {
            match read_report(path) {
                Ok(report) => history.runs.push(report),
                Err(why) => foreign.push(format!("{} ({why})", path.display())),
            }
        }
        history.remark = remark(&foreign);
        history
    }

    /// Returns the remark about skipped files.
    pub fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
    }

    /// Returns whether there are no earlier runs.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns how long each test took when it last ran; the median of several
    /// runs.
    pub fn durations(&self) -> Durations {
        let mut known = Durations::new();
        for run in &self.runs {
            for ((name, cpus), outcomes) in by_test(&run.tests) {
                let times = outcomes.iter().filter(|one| one.verdict != Verdict::NotRun);
                if let Some(ms) = median(times.map(|one| one.ms)) {
                    known.entry((name.to_owned(), cpus)).or_insert(ms);
                }
            }
        }
        known
    }

    /// Returns how long a phase took in earlier runs in which it had work to do,
    /// in milliseconds: the median.
    pub fn phase_ms(&self, phase: Phase) -> Option<u64> {
        let phases = self.runs.iter().flat_map(|run| &run.phases);
        let worked = phases.filter(|one| one.name == phase && !one.cached && one.error.is_none());
        median(worked.map(|one| one.ms))
    }

    /// Returns the tests of the last run that did not end as expected, in its
    /// order, each with the numbers of CPUs.
    pub fn failed(&self) -> Vec<(String, Vec<u32>)> {
        let mut failed: Vec<(String, Vec<u32>)> = Vec::new();
        let tests = self.runs.first().into_iter().flat_map(|run| &run.tests);
        for test in tests.filter(|test| !test.verdict.is_as_expected()) {
            match failed.iter_mut().find(|(name, _)| *name == test.name) {
                Some((_, cpus)) if cpus.contains(&test.cpus) => {}
                Some((_, cpus)) => cpus.push(test.cpus),
                None => failed.push((test.name.clone(), vec![test.cpus])),
            }
        }
        failed
    }

    /// Returns the run to compare `now` with: the last complete one of the same
    /// tests, else the last one of the same tests, else the last one. Returns
    /// none for a run without tests.
    pub fn previous(&self, now: &Report) -> Option<&Report> {
        if now.tests.is_empty() {
            return None;
        }
        let same = |run: &&Report| run.run.selects_like(&now.run);
        let complete = |run: &&Report| run.run.error.is_none();
        let mut all = self.runs.iter().filter(same);
        let last = all.clone().next();
        all.find(complete).or(last).or(self.runs.first())
    }
}

/// Adds `report` to the history, and removes the oldest runs beyond [`KEPT`]. A
/// run without tests is not added.
pub fn record(cache: &CacheDir, report: &Report) -> Result<(), Failure> {
    if report.tests.is_empty() {
        return Ok(());
    }
    let dir = cache.history_of(&report.run.base);
    let path = dir.join(format!("{:013}-{}.json", now(), std::process::id()));
    let text = serde_json::to_vec(&without_consoles(report))
        .map_err(|error| Failure::infra("add the run to the history", error.to_string()))?;
    let failed = |error| Failure::io("add the run to the history", &path, error);
    write_atomically(&path, &text).map_err(failed)?;
    let files = files(&dir).map_err(failed)?;
    for old in files.iter().rev().skip(KEPT) {
        // Another run may remove it at the same time.
        let _ = fs::remove_file(old);
    }
    Ok(())
}

/// Returns the report without consoles, which the history does not need.
fn without_consoles(report: &Report) -> Report {
    let mut report = report.clone();
    for test in &mut report.tests {
        test.console.clear();
    }
    report
}

/// Returns the files of reports, the oldest one first: their names begin with
/// the time.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads the report in the file `path`, or returns why it is not one.
fn read_report(path: &Path) -> Result<Report, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    match serde_json::from_slice::<Report>(&text) {
        Ok(report) if !is_read(report.schema) => Err(of_schema(report.schema)),
        Ok(report) if report.tests.is_empty() => Err("it has no tests".into()),
        Ok(report) => Ok(report),
        Err(error) => Err(foreign_schema(&text).map_or_else(|| error.to_string(), of_schema)),
    }
}

/// Returns whether this version of kdk reads reports of the schema `schema`.
fn is_read(schema: u32) -> bool {
    (OLDEST_SCHEMA..=SCHEMA).contains(&schema)
}

/// Returns the schema of a report if this version of kdk does not read it.
fn foreign_schema(text: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }
    let version: Version = serde_json::from_slice(text).ok()?;
    Some(version.schema).filter(|schema| !is_read(*schema))
}

fn of_schema(schema: u32) -> String {
    format!("its schema is {schema}; kdk reads {OLDEST_SCHEMA} to {SCHEMA}")
}

fn remark(foreign: &[String]) -> Option<String> {
    match foreign {
        [] => None,
        [one] => Some(format!(
            "history: skipped a file that is not a report: {one}"
        )),
        [first, ..] => Some(format!(
            "history: skipped {} files that are not reports; the newest is {first}",
            foreign.len()
        )),
    }
}

/// Returns the outcomes of each test on each number of CPUs; a test may have
/// run several times.
fn by_test(outcomes: &[Outcome]) -> BTreeMap<(&str, u32), Vec<&Outcome>> {
    let mut map: BTreeMap<(&str, u32), Vec<&Outcome>> = BTreeMap::new();
    for outcome in outcomes {
        let test = (outcome.name.as_str(), outcome.cpus);
        map.entry(test).or_default().push(outcome);
    }
    map
}

/// Returns the median of `values`; the lower one of two.
fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let at = values.len().checked_sub(1)? / 2;
    values.get(at).copied()
}

#[cfg(test)]
mod tests {
    use kdk_vm::interrupt::Interrupt;

    use super::*;
    use crate::fixtures::{outcome, report};
    use Verdict::{Fail, NotRun, Pass};

    fn cache() -> (tempfile::TempDir, CacheDir) {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        (dir, cache)
    }

    fn save(cache: &CacheDir, name: &str, report: &Report) {
        let text = serde_json::to_string(report).unwrap();
        write(&cache.history_of("main").join(name), &text);
    }

    /// Writes a file with its folders.
    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn broken_and_foreign_files_are_skipped_with_one_remark() {
        let (_dir, cache) = cache();
        let good = report(vec![outcome("a/x", Pass, 5)]);
        save(&cache, "1.json", &good);
        let text = serde_json::to_string(&good).unwrap();
        let folder = cache.history_of("main");
        write(&folder.join("2.json"), &text[..text.len() / 2]);
        let history = History::read(&cache, "main");
        assert_eq!(history.runs, std::slice::from_ref(&good));
        let remark = history.remark().unwrap();
        assert!(remark.contains("2.json (EOF"), "{remark}");
        write(&folder.join("3.json"), "");
        write(&folder.join("4.json"), "[1]");
        write(&folder.join("5.json"), r#"{"schema": 1}"#);
        write(&folder.join("6.json"), r#"{"schema": 3, "tests": "none"}"#);
        save(&cache, "7.json", &report(Vec::new()));
        fs::create_dir(folder.join("8.json")).unwrap();
        fs::write(folder.join("9.json"), [0xff, 0xfe]).unwrap();
        write(&folder.join("notes.txt"), "not ours, and not looked at");
        let history = History::read(&cache, "main");
        assert_eq!(history.runs, [good]);
        let remark = history.remark().unwrap();
        assert!(
            remark.contains("skipped 8 files that are not reports; the newest is"),
            "{remark}"
        );
        assert!(remark.contains("9.json"), "{remark}");
        fs::remove_file(folder.join("9.json")).unwrap();
        fs::remove_dir(folder.join("8.json")).unwrap();
        fs::remove_file(folder.join("7.json")).unwrap();
        let history = History::read(&cache, "main");
        let remark = history.remark().unwrap();
        assert!(
            remark.contains("6.json (its schema is 3; kdk reads 1 to 2)"),
            "{remark}"
        );
    }

    #[test]
    fn a_report_of_schema_1_is_part_of_the_history() {
        let (_dir, cache) = cache();
        let mut old = report(vec![outcome("a/x", Pass, 5)]);
        old.tests[0].worker = Some(1);
        let text = serde_json::to_string(&old).unwrap();
        let text = text.replace("\"worker\":1", "\"lane\":1");
        let text = text.replace("\"schema\":2", "\"schema\":1");
        write(&cache.history_of("main").join("1.json"), &text);
        old.schema = 1;
        let history = History::read(&cache, "main");
        assert_eq!(history.remark(), None);
        assert_eq!(history.runs, [old]);
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_a_remark() {
        let (_dir, cache) = cache();
        write(&cache.history_of("main"), "a file");
        let history = History::read(&cache, "main");
        assert!(history.is_empty());
        assert!(history.remark().unwrap().contains("cannot be read"));
        // Nothing can be written there either, which is an error.
        let failure = record(&cache, &report(vec![outcome("a/x", Pass, 5)])).unwrap_err();
        assert_eq!(failure.exit_code(), 5);
    }

    #[test]
    fn a_base_that_never_ran_has_an_empty_history() {
        let (_dir, cache) = cache();
        let history = History::read(&cache, "main");
        assert!(history.is_empty() && history.remark().is_none());
        assert!(history.failed().is_empty() && history.durations().is_empty());
    }

    #[test]
    fn a_recorded_run_is_read_back_and_bases_are_separate() {
        let (_dir, cache) = cache();
        let mut run = report(vec![outcome("a/x", Fail, 5)]);
        run.tests[0].console = vec!["a long console".into()];
        record(&cache, &run).unwrap();
        record(&cache, &report(Vec::new())).unwrap();
        let history = History::read(&cache, "main");
        assert_eq!(history.runs, [without_consoles(&run)]);
        assert!(History::read(&cache, "demo").is_empty());
    }

    #[test]
    fn only_the_newest_runs_are_kept() {
        let (_dir, cache) = cache();
        let run = report(vec![outcome("a/x", Pass, 5)]);
        for at in 0..KEPT + 5 {
            save(&cache, &format!("{at:013}-1.json"), &run);
        }
        record(&cache, &run).unwrap();
        let left = files(&cache.history_of("main")).unwrap();
        assert_eq!(left.len(), KEPT);
        assert!(left[0].ends_with("0000000000006-1.json"), "{left:?}");
        assert!(History::read(&cache, "main").remark().is_none());
    }

    #[test]
    fn durations_are_the_last_known_ones() {
        let history = History {
            runs: vec![
                report(vec![
                    outcome("a/x", Pass, 9),
                    outcome("a/x", Pass, 5),
                    outcome("a/x", Fail, 7),
                    outcome("a/y", NotRun, 0),
                ]),
                report(vec![outcome("a/x", Pass, 1), outcome("a/y", Pass, 30)]),
            ],
            remark: None,
        };
        let want = [(("a/x".to_owned(), 1), 7), (("a/y".to_owned(), 1), 30)];
        assert_eq!(history.durations(), want.into());
    }

    #[test]
    fn failed_are_those_of_the_last_run_each_once() {
        let mut tests: Vec<Outcome> = Verdict::ALL
            .map(|verdict| outcome(&format!("a/{verdict}"), verdict, 1))
            .to_vec();
        tests.push(outcome("a/FAIL", Fail, 1));
        let older = report(vec![outcome("b/x", Fail, 1)]);
        let history = History {
            runs: vec![report(tests), older],
            remark: None,
        };
        let want = ["a/FAIL", "a/XPASS", "a/TIMEOUT", "a/CRASH", "a/NOT_RUN"];
        let want = want.map(|name| (name.to_owned(), vec![1]));
        assert_eq!(history.failed(), want);
    }

    #[test]
    fn a_run_is_compared_with_the_last_one_of_the_same_tests() {
        let of = |selection: &[&str], ms| {
            let mut run = report(vec![outcome("a/x", Pass, ms)]);
            run.run.selection = selection.iter().map(|&text| text.into()).collect();
            run
        };
        let cut_off = |mut run: Report| {
            run.run.error = Some("interrupted".into());
            run
        };
        let history = History {
            runs: vec![
                cut_off(of(&["a/x"], 1)),
                cut_off(of(&[], 2)),
                of(&[], 3),
                of(&[], 4),
            ],
            remark: None,
        };
        for (selection, want) in [(&["a/x"][..], 1), (&[], 3), (&["b/*"], 1)] {
            let previous = history.previous(&of(selection, 9)).unwrap();
            assert_eq!(previous.tests[0].ms, want, "{selection:?}");
        }
        assert!(History::default().previous(&of(&[], 9)).is_none());
        assert!(history.previous(&report(Vec::new())).is_none());
    }

    #[test]
    fn the_median_of_some_times() {
        for (values, want) in [
            (&[][..], None),
            (&[4], Some(4)),
            (&[9, 1], Some(1)),
            (&[9, 1, 5], Some(5)),
            (&[4, 3, 2, 1], Some(2)),
        ] {
            assert_eq!(median(values.iter().copied()), want, "{values:?}");
        }
    }
}
