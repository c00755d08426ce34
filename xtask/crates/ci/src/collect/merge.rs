//! One report of all shards: each job is a test of it.

use chrono::DateTime;
use kdk_report::json::{Report, Run};
use kdk_vm::verdict::{Outcome, Verdict};

use super::judge::Collected;
use crate::result::{Finding, JobResult, JobVerdict};
use crate::shard_report::JobRef;
use kdk_core::failure::Class;

/// Returns the report of what was collected.
pub fn report(collected: &Collected) -> Report {
    let began = collected.began();
    let mut tests = Vec::new();
    for shard in &collected.shards {
        for (job, result) in &shard.jobs {
            tests.push(match result {
                Some(result) => outcome(result, shard.shard, began),
                None => not_run(job, shard.shard),
            });
        }
    }
    let bases: Vec<&str> = collected.revisions.keys().map(String::as_str).collect();
    let problems: Vec<String> = collected.problems.iter().map(ToString::to_string).collect();
    let run = Run {
        base: bases.join(", "),
        guest: "freebsd".into(),
        began: began
            .and_then(|ms| i64::try_from(ms).ok())
            .and_then(DateTime::from_timestamp_millis),
        isolation: "test".into(),
        jobs: u16::try_from(collected.shards.len()).unwrap_or(u16::MAX),
        exit: collected.class().map_or(0, Class::exit_code),
        error: (!problems.is_empty()).then(|| problems.join("\n")),
        ..Run::default()
    };
    Report::new(run, Vec::new(), tests)
}

impl Collected {
    /// Returns what is at fault if the result is not green: the tests if a job
    /// failed, else the host.
    pub fn class(&self) -> Option<Class> {
        let has = |verdict| self.results().any(|result| result.verdict == verdict);
        if has(JobVerdict::Failed) {
            Some(Class::Tests)
        } else if has(JobVerdict::HostError) || !self.problems.is_empty() {
            Some(Class::Infra)
        } else {
            None
        }
    }

    /// Returns all results, in the order of the shards.
    pub fn results(&self) -> impl Iterator<Item = &JobResult> {
        let jobs = self.shards.iter().flat_map(|shard| &shard.jobs);
        jobs.filter_map(|(_, result)| result.as_ref())
    }

    /// Returns when the first shard began, in milliseconds since 1970.
    fn began(&self) -> Option<u64> {
        let reports = self.shards.iter().filter_map(|shard| shard.report.as_ref());
        reports.map(|report| report.began).min()
    }
}

fn outcome(result: &JobResult, shard: usize, began: Option<u64>) -> Outcome {
    let verdict = match result.verdict {
        JobVerdict::Passed if result.is_skipped() => Verdict::Skip,
        JobVerdict::Passed => Verdict::Pass,
        JobVerdict::HostError => Verdict::NotRun,
        JobVerdict::Failed if crash(result).is_some() => Verdict::Crash,
        JobVerdict::Failed => Verdict::Fail,
    };
    let findings = result.findings.iter().map(line);
    let why = (!result.why.is_empty()).then(|| result.why.clone());
    let detail: Vec<String> = why.into_iter().chain(findings).collect();
    let again = result.findings.iter().find_map(|one| one.again.clone());
    Outcome {
        ms: result.ms,
        start_ms: began.map(|began| result.began.saturating_sub(began)),
        detail: detail.join("\n"),
        backtrace: crash(result)
            .map(|one| one.backtrace.clone())
            .unwrap_or_default(),
        worker: Some(shard),
        reproduce: again.unwrap_or_default(),
        ..Outcome::new(result.job.as_str(), verdict)
    }
}

/// Returns the first finding that has a backtrace.
fn crash(result: &JobResult) -> Option<&Finding> {
    result.findings.iter().find(|one| !one.backtrace.is_empty())
}

fn line(finding: &Finding) -> String {
    let cpus = match finding.cpus {
        Some(cpus) if cpus > 1 => format!(" on {cpus} CPUs"),
        _ => String::new(),
    };
    format!(
        "{} {}{cpus}: {}",
        finding.verdict, finding.test, finding.detail
    )
}

fn not_run(job: &JobRef, shard: usize) -> Outcome {
    Outcome {
        detail: format!("shard {shard} left no result that can be used"),
        worker: Some(shard),
        ..Outcome::new(job.id.as_str(), Verdict::NotRun)
    }
}
