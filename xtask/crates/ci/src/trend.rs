//! The trend of a series over its revisions: benchmark ratios, flaky tests, the
//! slowest phases, and what became worse.

mod page;
mod plot;

use std::collections::BTreeMap;
use std::path::Path;

use crate::point::{Point, State, kind, without_base};
use crate::result::{JobResult, Ratio};
use crate::revision::short;
use crate::store::Results;
use kdk_core::cache_dir::write_atomically;
use kdk_core::failure::Failure;
use kdk_core::input::{self, Links};
use kdk_report::history::flaky::{self, Flaky};
use kdk_report::json::Report;

/// The largest report of a job that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// The most phases that are listed.
const PHASES: usize = 10;

/// The trend of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Trend {
    /// The revisions with their results, the oldest one first.
    pub points: Vec<Point>,
    /// The ratios of benchmarks by revision.
    pub lines: Vec<Line>,
    /// The ratios that fell.
    pub regressions: Vec<Regression>,
    /// The tests and jobs that pass in some runs and fail in others.
    pub flaky: Vec<Flaky>,
    /// The phases that take the longest, the slowest first.
    pub phases: Vec<SlowPhase>,
}

/// A ratio of a benchmark over the revisions.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The name: the job without its base, and the ratio.
    pub name: String,
    /// The position of each revision that has the ratio, and its value.
    pub values: Vec<(usize, Ratio)>,
}

/// A ratio that became worse by more than its noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Regression {
    /// The name of the [`Line`].
    pub name: String,
    /// The id of the revision in which it fell.
    pub revision: String,
    /// The value in that revision.
    pub now: Ratio,
    /// The id of the revision with the best value before.
    pub since: String,
    /// The value in that revision.
    pub before: Ratio,
}

/// A phase of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowPhase {
    /// The name of the phase.
    pub phase: String,
    /// The job without its base.
    pub job: String,
    /// The id of the revision that it ran for.
    pub revision: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

impl Trend {
    /// Returns the trend of `points`, the oldest revision first. `results` has
    /// the reports of their jobs.
    pub fn new(points: Vec<Point>, results: &Results) -> Self {
        let lines = lines(&points);
        let reports = distinct(&points).flat_map(|result| reports(result, results.dir()));
        Self {
            regressions: regressions(&points, &lines),
            flaky: flaky(&points, reports),
            phases: slowest(&points),
            lines,
            points,
        }
    }

    /// Returns the findings as lines of text.
    pub fn findings(&self) -> Vec<String> {
        let fell = self.regressions.iter().map(|one| {
            format!(
                "{} is worse: {:.3} ({:.3} to {:.3}) in revision {}: it was {:.3} ({:.3} to {:.3}) in revision {}",
                one.name,
                one.now.value,
                one.now.low,
                one.now.high,
                short(&one.revision),
                one.before.value,
                one.before.low,
                one.before.high,
                short(&one.since)
            )
        });
        fell.chain(
            self.flaky
                .iter()
                .map(|one| format!("flaky: {}", one.text())),
        )
        .collect()
    }

    /// Writes the trend as one HTML page, atomically.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_html(&self, path: &Path) -> Result<(), Failure> {
        let text = page::page(self).into_string();
        write_atomically(path, text.as_bytes())
            .map_err(|error| Failure::io("write the report of CI", path, error))
    }
}

/// Returns each ratio of benchmarks over the revisions, by name.
pub fn lines(points: &[Point]) -> Vec<Line> {
    let mut lines: BTreeMap<String, Vec<(usize, Ratio)>> = BTreeMap::new();
    for (at, point) in points.iter().enumerate() {
        for (job, result) in &point.results {
            for (ratio, value) in &result.ratios {
                let name = format!("{}: {ratio}", without_base(job));
                lines.entry(name).or_default().push((at, *value));
            }
        }
    }
    lines
        .into_iter()
        .map(|(name, values)| Line { name, values })
        .collect()
}

/// Returns the ratios that became worse by more than their noise: their whole
/// interval is on the wrong side of that of the best value before. A slow change
/// over many revisions is found as well. After a regression the next best value
/// counts from there.
pub fn regressions(points: &[Point], lines: &[Line]) -> Vec<Regression> {
    let mut found = Vec::new();
    for line in lines {
        let mut best: Option<(usize, Ratio)> = None;
        for &(at, now) in &line.values {
            match best {
                Some((since, before)) if worst(before) > best_of(now) => {
                    found.push(Regression {
                        name: line.name.clone(),
                        revision: points[at].revision.id.clone(),
                        now,
                        since: points[since].revision.id.clone(),
                        before,
                    });
                    best = Some((at, now));
                }
                Some((_, before)) if worst(now) <= worst(before) => {}
                _ => best = Some((at, now)),
            }
        }
    }
    found
}

/// Returns the worst value within the noise of a ratio. A greater value is
/// better.
fn worst(ratio: Ratio) -> f64 {
    match ratio.less_is_better {
        true => -ratio.high,
        false => ratio.low,
    }
}

/// Returns the best value within the noise of a ratio. A greater value is
/// better.
fn best_of(ratio: Ratio) -> f64 {
    match ratio.less_is_better {
        true => -ratio.low,
        false => ratio.high,
    }
}

/// Returns each result once: a result that is valid for several revisions is
/// theirs together.
fn distinct(points: &[Point]) -> impl Iterator<Item = &JobResult> {
    let all = points.iter().flat_map(|point| point.results.values());
    let by_key: BTreeMap<&str, &JobResult> =
        all.map(|result| (result.key.as_str(), result)).collect();
    by_key.into_values()
}

/// Returns the reports of the tests of a job. One that cannot be read says
/// nothing about flakiness.
fn reports(result: &JobResult, folder: &Path) -> Vec<Report> {
    let names = result.artefacts.iter();
    names
        .filter(|name| name.ends_with("report.json") && is_below(name))
        .filter_map(|name| {
            let path = folder.join(name);
            let text = input::read("read a report", &path, LARGEST, Links::Refuse).ok()?;
            serde_json::from_slice(&text).ok()
        })
        .collect()
}

/// Returns whether the path of an artefact stays in the folder of results.
fn is_below(path: &str) -> bool {
    use std::path::Component;
    let mut parts = Path::new(path).components();
    parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Returns what passes in some runs and fails in others: tests in the rounds of
/// one run, and jobs that ran several times with the same key.
fn flaky(points: &[Point], reports: impl Iterator<Item = Report>) -> Vec<Flaky> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut add = |name: String, runs: usize, failures: usize| {
        let count = counts.entry(name).or_default();
        *count = (count.0 + runs, count.1 + failures);
    };
    for report in reports {
        for one in flaky::flaky(&report.tests) {
            add(one.name.clone(), one.runs, one.failures);
        }
    }
    for result in distinct(points) {
        let attempts = result.attempts.iter().map(|attempt| attempt.verdict);
        let ends: Vec<State> = attempts
            .chain([result.verdict])
            .map(State::from)
            .filter(|state| *state != State::HostError)
            .collect();
        let failures = ends.iter().filter(|state| **state == State::Failed).count();
        // A job that always fails is broken by its revision.
        if failures < ends.len() && ends.len() > 1 {
            add(without_base(&result.job).to_owned(), ends.len(), failures);
        }
    }
    let mut all: Vec<Flaky> = counts
        .into_iter()
        .map(|(name, (runs, failures))| Flaky {
            name,
            runs,
            failures,
        })
        .filter(Flaky::is_flaky)
        .collect();
    all.sort_by(|a, b| (a.rate() - 0.5).abs().total_cmp(&(b.rate() - 0.5).abs()));
    all
}

/// Returns the slowest phases: of each kind of job and phase the longest run.
fn slowest(points: &[Point]) -> Vec<SlowPhase> {
    let mut longest: BTreeMap<(&str, &str), SlowPhase> = BTreeMap::new();
    for result in distinct(points) {
        for (phase, ms) in &result.phases {
            let one = SlowPhase {
                phase: phase.clone(),
                job: without_base(&result.job).to_owned(),
                revision: result.revision.clone(),
                ms: *ms,
            };
            let slot = longest
                .entry((kind(&result.job), phase))
                .or_insert_with(|| one.clone());
            if slot.ms < one.ms {
                *slot = one;
            }
        }
    }
    let mut all: Vec<SlowPhase> = longest.into_values().collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.ms));
    all.truncate(PHASES);
    all
}

#[cfg(test)]
mod tests;
