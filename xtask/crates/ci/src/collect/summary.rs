//! What a collection prints, and how it ends.

use kdk_core::columns::columns;
use kdk_core::failure::Failure;
use kdk_core::terminal::seconds;

use super::judge::{Collected, CollectedShard, Problem};
use crate::result::JobVerdict;

/// Returns the lines that a collection prints: a table of the shards, the jobs
/// that did not pass, and what is missing.
pub fn lines(collected: &Collected) -> Vec<String> {
    let mut rows = vec![
        [
            "shard",
            "jobs",
            "passed",
            "skipped",
            "failed",
            "host error",
            "no result",
            "time",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    rows.extend(collected.shards.iter().map(row));
    let mut lines = columns(&rows);
    for result in collected.results() {
        if result.verdict != JobVerdict::Passed || result.is_skipped() {
            let word = result.word();
            lines.push(format!("{word}: {}: {}", result.job, result.why));
        }
    }
    lines.extend(
        collected
            .problems
            .iter()
            .map(|one| format!("incomplete: {one}")),
    );
    if !collected.valid.is_empty() {
        let count = count(collected.valid.len(), "job");
        lines.push(format!(
            "{count} did not run: the results of earlier revisions are valid, as the plan says"
        ));
    }
    lines
}

fn row(shard: &CollectedShard) -> Vec<String> {
    let with = |verdict| {
        let results = shard.jobs.iter().filter_map(|(_, result)| result.as_ref());
        results
            .filter(|one| one.verdict == verdict && !one.is_skipped())
            .count()
    };
    let results = shard.jobs.iter().filter_map(|(_, result)| result.as_ref());
    let skipped = results.filter(|one| one.is_skipped()).count();
    let lacking = shard.jobs.iter().filter(|(_, result)| result.is_none());
    let time = match &shard.report {
        Some(report) => seconds(report.ms),
        None => "missing".into(),
    };
    let numbers = [
        shard.shard,
        shard.jobs.len(),
        with(JobVerdict::Passed),
        skipped,
        with(JobVerdict::Failed),
        with(JobVerdict::HostError),
        lacking.count(),
    ];
    numbers
        .iter()
        .map(ToString::to_string)
        .chain([time])
        .collect()
}

/// Returns the failure that a collection ends with, if it is not green.
pub fn failure(collected: &Collected) -> Option<Failure> {
    let class = collected.class()?;
    let with = |verdict| {
        let results = collected.results();
        results.filter(|one| one.verdict == verdict).count()
    };
    let total: usize = collected.shards.iter().map(|shard| shard.jobs.len()).sum();
    let mut parts = Vec::new();
    for (verdict, what) in [
        (JobVerdict::Failed, "failed"),
        (JobVerdict::HostError, "could not run"),
    ] {
        match with(verdict) {
            0 => {}
            some => parts.push(format!("{some} of {} {what}", count(total, "job"))),
        }
    }
    if !collected.problems.is_empty() {
        let problems = count(collected.problems.len(), "problem");
        parts.push(format!("the results are incomplete ({problems})"));
    }
    let failure = Failure::plain(class, parts.join(", and "));
    let runs_again = |problem: &Problem| {
        matches!(
            problem,
            Problem::Missing { .. }
                | Problem::Unnamed { .. }
                | Problem::Stopped { .. }
                | Problem::NoResult { .. }
        )
    };
    Some(match collected.problems.iter().any(runs_again) {
        true => failure.help("run the shards that are named above again, and collect again"),
        false => failure,
    })
}

fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
