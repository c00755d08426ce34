//! Runs jobs on this host: lints, builds, boots, tests.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use crate::job::{Cpus, Job, Work};
use crate::keys::BOOT;
use crate::result::{Finding, JobResult, JobVerdict, Ratio};
use crate::store::Results;
use kdk_bench::comparison::{self, StudyRequest};
use kdk_bench::studies;
use kdk_core::context::Context;
use kdk_core::event::milliseconds;
use kdk_core::failure::{Class, Failure};
use kdk_core::workspace::workspace;
use kdk_guest::report::ReportedRun;
use kdk_guest::request::{
    BootChoice, GuestRequest, KernelChoice, TestRequest, command_line, run_again,
};
use kdk_prove::evaluate::{RunResult, evaluate};
use kdk_prove::runner::Runner;
use kdk_prove::{mutants, mutation, names, plan, trees};
use kdk_report::files::ReportFiles;
use kdk_report::history::History;
use kdk_report::history::compare::Comparison;
use kdk_report::json::{Report, Run, worked};
use kdk_series::applied::apply_series;
use kdk_series::lint::{self, Severity};
use kdk_series::load::Loaded;
use kdk_series::manifest::Class as PatchClass;
use kdk_series::results;
use kdk_suites::Suites;
use kdk_vm::verdict::{Outcome, Verdict};

/// The longest explanation that a finding has, in lines.
const DETAIL_LINES: usize = 20;

/// The longest backtrace that a finding has, in lines.
const BACKTRACE_LINES: usize = 60;

/// Runs jobs of one series.
pub struct Worker<'a> {
    /// The cache, the store and the terminal.
    pub cx: &'a Context,
    /// The series that is tested.
    pub series: &'a Loaded,
    /// The suites of tests.
    pub suites: &'a Suites,
    /// The id of the revision that is tested.
    pub revision: &'a str,
    /// Where the results and artefacts go.
    pub results: &'a Results,
    /// The number of guests that run side by side.
    pub jobs: u16,
    /// What every guest has in common.
    pub guest: GuestRequest,
}

/// What a job came to, beside failures of the host.
#[derive(Debug, Default)]
struct Measured {
    counts: BTreeMap<String, usize>,
    findings: Vec<Finding>,
    ratios: BTreeMap<String, Ratio>,
    phases: BTreeMap<String, u64>,
    artefacts: Vec<String>,
    /// Whether findings are no failure of the job.
    is_for_comparison: bool,
}

impl Worker<'_> {
    /// Runs a job, and returns its result. A failure of the host is a result
    /// too.
    pub fn run(&self, job: &Job) -> JobResult {
        let began = Instant::now();
        let mut result = JobResult::begin(job, self.revision);
        result.sandbox = self.guest.sandbox && job.work.kernel().is_some();
        let mut measured = Measured::default();
        let ended = self.work(job, &mut measured);
        result.ms = milliseconds(began.elapsed());
        let is_interrupted = self.cx.interrupt.is_set();
        conclude(&mut result, measured, ended, is_interrupted);
        result
    }

    fn work(&self, job: &Job, measured: &mut Measured) -> Result<(), Failure> {
        match &job.work {
            Work::Lint { patch } => self.lint(patch, measured),
            Work::Prefix { count, .. } => self.prefix(job, *count, measured),
            Work::Prove { patch } => self.prove(job, patch, measured),
            Work::Suite {
                config,
                cpus,
                suite,
            } => self.suite(job, config, *cpus, suite, false, measured),
            Work::Base {
                config,
                cpus,
                suite,
            } => {
                measured.is_for_comparison = true;
                self.suite(job, config, *cpus, suite, true, measured)
            }
            Work::Mutants { suite } => self.mutants(suite, measured),
            Work::Bench { study } => self.bench(job, study, measured),
        }
    }

    fn lint(&self, patch: &str, measured: &mut Measured) -> Result<(), Failure> {
        for finding in lint::patch_findings(self.series, patch)? {
            let word = finding.severity.name().to_uppercase();
            *measured.counts.entry(word.clone()).or_insert(0) += 1;
            if finding.severity == Severity::Error {
                measured.findings.push(Finding {
                    test: finding.check.name().to_owned(),
                    cpus: None,
                    verdict: word,
                    detail: finding.text,
                    backtrace: Vec::new(),
                    again: Some(format!(
                        "cargo xtask patches lint --series {}",
                        self.series.name()
                    )),
                });
            }
        }
        Ok(())
    }

    fn prefix(&self, job: &Job, count: usize, measured: &mut Measured) -> Result<(), Failure> {
        let ids = self.series.ids();
        let guest = GuestRequest {
            exclude: ids[count.min(ids.len())..].to_vec(),
            ..self.guest.clone()
        };
        let mut patterns = vec![BOOT.to_owned()];
        patterns.extend(plan::tests_of_prefix(&self.series.manifest.patches, count));
        let tests = self.tests(patterns, Vec::new());
        let (report, ended) = self.reported(job, "", &guest, &tests, measured)?;
        measured.add(self.series.name(), &guest, &tests, &report);
        ended
    }

    fn suite(
        &self,
        job: &Job,
        config: &str,
        cpus: Cpus,
        suite: &str,
        no_patches: bool,
        measured: &mut Measured,
    ) -> Result<(), Failure> {
        let kernel = config
            .parse::<KernelChoice>()
            .map_err(|why| Failure::usage(format!("run the job {}", job.id), why))?;
        let guest = GuestRequest {
            kernel,
            no_patches,
            ..self.guest.clone()
        };
        let cpus = match cpus {
            Cpus::Declared => Vec::new(),
            Cpus::Number(number) => vec![number],
        };
        let tests = self.tests(vec![suite.to_owned()], cpus);
        let (report, ended) = self.reported(job, "", &guest, &tests, measured)?;
        measured.add(self.series.name(), &guest, &tests, &report);
        ended
    }

    fn prove(&self, job: &Job, id: &str, measured: &mut Measured) -> Result<(), Failure> {
        let patch = self.series.patch(id)?;
        let check = &patch.check;
        let tests = self.tests(check.tests.clone(), check.cpus.into_iter().collect());
        let (report, ended) = self.reported(job, "with-", &self.guest, &tests, measured)?;
        let with = run_result(report, ended)?;
        let mut guest = GuestRequest {
            exclude: vec![id.to_owned()],
            ..self.guest.clone()
        };
        if patch.class == PatchClass::Enabling {
            guest.boot = BootChoice::Pvh;
        }
        let (report, ended) = self.reported(job, "without-", &guest, &tests, measured)?;
        let without = run_result(report, ended)?;
        let names = names(&check.tests, &with)?;
        for row in evaluate(&names, check.expect_without, &without, &with) {
            let word = match row.reason.as_str() {
                "" => "PROVEN",
                _ => "NOT_PROVEN",
            };
            *measured.counts.entry(word.to_owned()).or_insert(0) += 1;
            if !row.reason.is_empty() {
                let mut finding = finding_of(&row.test, &with);
                finding.verdict = word.to_owned();
                finding.detail = format!("{}\n{}", row.reason, finding.detail)
                    .trim()
                    .to_owned();
                finding.again = Some(format!(
                    "cargo xtask prove --base {} --force {id}",
                    self.series.name()
                ));
                measured.findings.push(finding);
            }
        }
        Ok(())
    }

    fn mutants(&self, suite: &str, measured: &mut Measured) -> Result<(), Failure> {
        let dir = tempfile::tempdir()
            .map_err(|error| Failure::io("run mutants", &std::env::temp_dir(), error))?;
        if !self.guest.sandbox {
            // What the series' own results show is not run again.
            results::Results::read(&self.series.dir)?.write(dir.path(), &self.series.ids())?;
        }
        let (trees, cases) = {
            let say = |text: String| self.cx.terminal.line(&text);
            let applied = apply_series(&self.cx.cache, self.series, &say)?;
            let all = mutants::all(&workspace().join(kdk_suites::FOLDER), self.series.name())?;
            let own = all.into_iter().filter(|mutant| mutant.suite == suite);
            let cases = mutation::cases(&applied, own.collect())?;
            (trees::trees(&applied)?, cases)
        };
        let tests = self.tests(Vec::new(), Vec::new());
        let runner = Runner {
            cx: self.cx,
            base: self.series.name(),
            request: &self.guest,
            tests: &tests,
            results: dir.path(),
            trees: &trees,
            remote: None,
        };
        let ended = mutation::run_mutants(&runner, self.series, &trees, &cases, false);
        let killed = results::Results::read(dir.path())?.mutants;
        for case in &cases {
            let name = case.name();
            let word = match killed.contains_key(&name) {
                true => "KILLED",
                false => "NOT_KILLED",
            };
            *measured.counts.entry(word.to_owned()).or_insert(0) += 1;
            if !killed.contains_key(&name) {
                measured.findings.push(Finding {
                    test: name.clone(),
                    cpus: None,
                    verdict: word.to_owned(),
                    detail: "no test fails on this mutant".into(),
                    backtrace: Vec::new(),
                    again: Some(format!(
                        "cargo xtask prove --base {} --mutants {name}",
                        self.series.name()
                    )),
                });
            }
        }
        ended
    }

    fn bench(&self, job: &Job, study: &str, measured: &mut Measured) -> Result<(), Failure> {
        let Some(study) = studies().into_iter().find(|one| one.name == study) else {
            let what = format!("there is no study `{study}`");
            return Err(Failure::usage(format!("run the job {}", job.id), what));
        };
        let folder = self.results.artefacts(job);
        let request = StudyRequest {
            guest: self.guest.clone(),
            base: self.series.name().to_owned(),
            // Nightly runs show a trend; they are compared with each other.
            quick: true,
            out: Some(folder.clone()),
            ..StudyRequest::default()
        };
        let ratios = comparison::run(self.cx, study, &request)?;
        for one in ratios {
            let ratio = Ratio {
                value: one.value,
                low: one.low,
                high: one.high,
                less_is_better: one.less_is_better,
            };
            if !ratio.is_finite() {
                let what = format!("the ratio {} is no number: {}", one.name, one.value);
                return Err(Failure::infra(format!("run the job {}", job.id), what));
            }
            measured.ratios.insert(one.name, ratio);
        }
        let files = fs::read_dir(&folder)
            .map_err(|error| Failure::io("list the files of a benchmark", &folder, error))?;
        for file in files.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            measured.artefacts.push(format!("{}/{name}", job.key));
        }
        measured.artefacts.sort();
        Ok(())
    }

    /// Returns the request for the tests `patterns` on the numbers of CPUs `cpus`.
    fn tests(&self, patterns: Vec<String>, cpus: Vec<u32>) -> TestRequest {
        let tests = TestRequest {
            patterns,
            cpus,
            jobs: self.jobs,
            ..TestRequest::default()
        };
        TestRequest {
            seed: Some(tests.seed()),
            ..tests
        }
    }

    /// Runs tests, and writes their report as artefacts whose names begin with
    /// `prefix`. Returns the report and what failed.
    fn reported(
        &self,
        job: &Job,
        prefix: &str,
        guest: &GuestRequest,
        tests: &TestRequest,
        measured: &mut Measured,
    ) -> Result<(Report, Result<(), Failure>), Failure> {
        let base = self.series.name();
        let run = ReportedRun {
            guest,
            tests,
            durations: History::read(&self.cx.cache, base).durations(),
        };
        let (report, ended) = run.run(self.cx, Run::begin(base));
        let name = |end: &str| format!("{prefix}{end}");
        let names = [name("report.json"), name("report.html"), name("junit.xml")];
        let folder = self.results.artefacts(job);
        let [json, html, junit] = names.clone().map(|name| Some(folder.join(name)));
        let files = ReportFiles { json, junit, html };
        files.write(&report, &Comparison::default())?;
        let all = names.iter().map(|name| format!("{}/{name}", job.key));
        measured.artefacts.extend(all);
        for (phase, ms) in worked(&report.phases) {
            *measured.phases.entry(phase.name().to_owned()).or_default() += ms;
        }
        Ok((report, ended))
    }
}

impl Measured {
    /// Adds the tests of a run.
    fn add(&mut self, base: &str, guest: &GuestRequest, tests: &TestRequest, report: &Report) {
        for outcome in &report.tests {
            let word = outcome.verdict.word().to_owned();
            *self.counts.entry(word).or_insert(0) += 1;
            if !outcome.verdict.is_as_expected() {
                let mut finding = finding(outcome);
                let command = command_line(base, guest, tests);
                finding.again = Some(run_again(&command, outcome));
                self.findings.push(finding);
            }
        }
    }
}

/// Completes the result of a job.
fn conclude(
    result: &mut JobResult,
    measured: Measured,
    ended: Result<(), Failure>,
    is_interrupted: bool,
) {
    result.counts = measured.counts;
    result.findings = measured.findings;
    result.ratios = measured.ratios;
    result.phases = measured.phases;
    result.artefacts = measured.artefacts;
    let kernel = |verdict: &str, failure: &Failure| Finding {
        test: "kernel".into(),
        cpus: None,
        verdict: verdict.into(),
        detail: failure.in_one_line(),
        backtrace: Vec::new(),
        again: None,
    };
    (result.verdict, result.why) = match &ended {
        _ if is_interrupted => (JobVerdict::HostError, "interrupted".to_owned()),
        Err(failure) => match failure.class() {
            Class::Infra => (JobVerdict::HostError, failure.in_one_line()),
            Class::Tests if measured.is_for_comparison => (JobVerdict::Passed, note(result)),
            Class::Tests | Class::Usage => (JobVerdict::Failed, failure.in_one_line()),
            Class::Build => {
                result.findings.push(kernel("NO_BUILD", failure));
                (JobVerdict::Failed, failure.in_one_line())
            }
            Class::Boot => {
                result.findings.push(kernel("NO_BOOT", failure));
                (JobVerdict::Failed, failure.in_one_line())
            }
        },
        Ok(()) if result.findings.is_empty() || measured.is_for_comparison => {
            (JobVerdict::Passed, note(result))
        }
        Ok(()) => {
            let first = &result.findings[0];
            let more = match result.findings.len() {
                1 => String::new(),
                all => format!(", and {} more", all - 1),
            };
            let why = format!("{} {}{more}", first.test, first.verdict);
            (JobVerdict::Failed, why)
        }
    };
}

/// Returns what a reader should know about a job that passed: that its tests
/// did not run, or how many of the base fail.
fn note(result: &JobResult) -> String {
    let all: usize = result.counts.values().sum();
    let count = |verdict: Verdict| result.counts.get(verdict.word()).copied().unwrap_or(0);
    let skipped = count(Verdict::Skip);
    match result.findings.len() {
        0 if all > 0 && skipped == all => format!("no test ran: all {all} were skipped"),
        0 => String::new(),
        bad => {
            let passed = count(Verdict::Pass) + count(Verdict::Xfail);
            format!("to compare with: {bad} tests do not end as expected on the base, {passed} do")
        }
    }
}

/// Returns the result of a run for a proof.
///
/// # Errors
/// The host failed, or a pattern matches no test.
fn run_result(report: Report, ended: Result<(), Failure>) -> Result<RunResult, Failure> {
    match ended {
        Ok(()) => Ok(RunResult::Ran(report.tests)),
        Err(failure) => match failure.class() {
            Class::Tests => Ok(RunResult::Ran(report.tests)),
            Class::Boot => Ok(RunResult::NoBoot(failure.in_one_line())),
            Class::Build => Ok(RunResult::NoBuild(failure.in_one_line())),
            Class::Usage | Class::Infra => Err(failure),
        },
    }
}

/// Returns a finding about a test, with what it reported on a kernel.
fn finding_of(test: &str, with: &RunResult) -> Finding {
    let outcomes = match with {
        RunResult::Ran(outcomes) => outcomes.as_slice(),
        RunResult::NoBoot(_) | RunResult::NoBuild(_) => &[],
    };
    let own = |outcome: &&Outcome| outcome.name == test && outcome.verdict != Verdict::Pass;
    match (outcomes.iter().find(own), with) {
        (Some(outcome), _) => finding(outcome),
        (None, RunResult::NoBoot(why) | RunResult::NoBuild(why)) => plain(test, why),
        (None, RunResult::Ran(_)) => plain(test, ""),
    }
}

fn plain(test: &str, detail: &str) -> Finding {
    Finding {
        test: test.to_owned(),
        cpus: None,
        verdict: String::new(),
        detail: detail.to_owned(),
        backtrace: Vec::new(),
        again: None,
    }
}

fn finding(outcome: &Outcome) -> Finding {
    let lines = |lines: &[String], most: usize| lines.iter().take(most).cloned().collect();
    let backtrace = match outcome.symbolized.is_empty() {
        true => lines(&outcome.backtrace, BACKTRACE_LINES),
        false => lines(&outcome.symbolized, BACKTRACE_LINES),
    };
    let detail: Vec<&str> = outcome.detail.lines().take(DETAIL_LINES).collect();
    Finding {
        test: outcome.name.clone(),
        cpus: Some(outcome.cpus),
        verdict: outcome.verdict.word().to_owned(),
        detail: detail.join("\n"),
        backtrace,
        again: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::job;

    fn ended(
        class: Option<Class>,
        findings: usize,
        is_for_comparison: bool,
        is_interrupted: bool,
    ) -> JobResult {
        let mut result = JobResult::begin(&job("a", "k"), "r");
        let measured = Measured {
            findings: vec![
                Finding {
                    verdict: "FAIL".into(),
                    ..plain("smoke/a", "why")
                };
                findings
            ],
            is_for_comparison,
            ..Measured::default()
        };
        let ended = class.map_or(Ok(()), |class| Err(Failure::new(class, "do it", "no")));
        conclude(&mut result, measured, ended, is_interrupted);
        result
    }

    #[test]
    fn how_a_job_ends() {
        use JobVerdict::{Failed, HostError, Passed};
        let table = [
            (None, 0, false, false, Passed, 0),
            (None, 2, false, false, Failed, 2),
            (Some(Class::Tests), 1, false, false, Failed, 1),
            (Some(Class::Usage), 0, false, false, Failed, 0),
            // A kernel that cannot be tested is a finding of its own.
            (Some(Class::Build), 0, false, false, Failed, 1),
            (Some(Class::Boot), 0, false, false, Failed, 1),
            (Some(Class::Infra), 0, false, false, HostError, 0),
            // Tests that fail on the base say nothing about the series.
            (Some(Class::Tests), 1, true, false, Passed, 1),
            (None, 1, true, false, Passed, 1),
            (Some(Class::Boot), 0, true, false, Failed, 1),
            // An interrupted job is no failure, whatever it came to.
            (None, 0, false, true, HostError, 0),
            (Some(Class::Tests), 1, false, true, HostError, 1),
            (Some(Class::Build), 0, false, true, HostError, 0),
        ];
        for (class, findings, compares, interrupted, verdict, count) in table {
            let got = ended(class, findings, compares, interrupted);
            let shown = format!("{class:?} {findings} {compares} {interrupted}");
            assert_eq!(
                (got.verdict, got.findings.len()),
                (verdict, count),
                "{shown}"
            );
            let is_silent = verdict == Passed && findings == 0;
            assert_eq!(got.why.is_empty(), is_silent, "{shown}");
        }
    }

    #[test]
    fn a_job_that_shows_nothing_says_so() {
        let ended = |counts: &[(&str, usize)], findings, is_for_comparison| {
            let mut result = JobResult::begin(&job("a", "k"), "r");
            let counts = counts
                .iter()
                .map(|(word, count)| ((*word).to_owned(), *count));
            let measured = Measured {
                counts: counts.collect(),
                findings: vec![plain("smoke/a", "why"); findings],
                is_for_comparison,
                ..Measured::default()
            };
            conclude(&mut result, measured, Ok(()), false);
            (result.word(), result.why)
        };
        let skipped = "no test ran: all 3 were skipped".to_owned();
        assert_eq!(
            ended(&[("SKIP", 3)], 0, false),
            ("skipped", skipped.clone())
        );
        assert_eq!(ended(&[("SKIP", 3)], 0, true), ("skipped", skipped));
        assert_eq!(
            ended(&[("PASS", 1), ("SKIP", 3)], 0, false),
            ("passed", String::new())
        );
        assert_eq!(ended(&[], 0, false), ("passed", String::new()));
        let crashes =
            "to compare with: 2 tests do not end as expected on the base, 0 do".to_owned();
        assert_eq!(ended(&[("CRASH", 2)], 2, true), ("passed", crashes));
    }

    #[test]
    fn the_first_finding_is_the_reason() {
        let why = |findings| ended(None, findings, false, false).why;
        assert_eq!(why(1), "smoke/a FAIL");
        assert_eq!(why(3), "smoke/a FAIL, and 2 more");
    }
}
