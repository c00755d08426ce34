//! Renders plans and reports as text and as one HTML page.

use std::path::Path;

use maud::{DOCTYPE, Markup, html};

use crate::compare::{Change, Comparison, JobRow, PatchRow, PatchState};
use crate::planner::Planned;
use crate::result::{Finding, JobResult, JobVerdict};
use crate::revision::Revision;
use crate::schedule::{Decided, Decision, Schedule};
use kdk_core::cache_dir::write_atomically;
use kdk_core::columns::columns;
use kdk_core::failure::Failure;
use kdk_report::html::{head, visible};

/// Returns the lines of a plan: what changed, and which jobs run.
pub fn plan_lines(planned: &Planned, explain: bool, dry_run: bool) -> Vec<String> {
    schedule_lines(
        &planned.schedule,
        planned.previous.as_ref(),
        explain,
        dry_run,
    )
}

fn schedule_lines(
    schedule: &Schedule,
    previous: Option<&Revision>,
    explain: bool,
    dry_run: bool,
) -> Vec<String> {
    let revision = &schedule.revision;
    let mut lines = vec![format!(
        "{}: revision {} of {} patches{}",
        revision.base,
        revision.short(),
        revision.patches.len(),
        previous.map_or_else(String::new, |one| format!(
            ", compared with {}",
            one.short()
        ))
    )];
    let shown = schedule
        .jobs
        .iter()
        .filter(|one| explain || (dry_run && matches!(one.decision, Decision::Run(_))));
    let rows: Vec<Vec<String>> = shown
        .map(|one| vec![one.job.id.clone(), one.decision.to_string()])
        .collect();
    lines.extend(columns(&rows));
    let runs = schedule.to_run().len();
    let all = schedule.jobs.len();
    let unchanged = |one: &&Decided| matches!(one.decision, Decision::Unchanged { .. });
    let unchanged = schedule.jobs.iter().filter(unchanged).count();
    let base = &revision.base;
    lines.push(match (runs, unchanged) {
        (0, 0) => format!("{base}: nothing to do: all {all} jobs have a valid result"),
        (0, _) => format!(
            "{base}: nothing to do: {} of {all} jobs have a valid result, {unchanged} are unchanged",
            all - unchanged
        ),
        (_, 0) => format!("{base}: {runs} of {all} jobs run"),
        _ => format!("{base}: {runs} of {all} jobs run, {unchanged} are unchanged"),
    });
    lines
}

/// Returns the lines of a report: what is not as it was, and the totals.
pub fn lines(comparison: &Comparison) -> Vec<String> {
    let mut rows = vec![
        ["job", "result", "before", "base", "why"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let is_bad = |row: &&JobRow| row.now.as_ref().is_none_or(|now| !passed(now));
    let changed = |row: &&JobRow| row.change == Change::Fixed;
    let shown = comparison.jobs.iter().filter(|row| row.is_needed);
    for row in shown.filter(|row| is_bad(row) || changed(row)) {
        let result = match row.change.name() {
            "" | "new" | "no result" => result_word(row.now.as_ref()).to_owned(),
            change => format!("{} ({change})", result_word(row.now.as_ref())),
        };
        rows.push(vec![
            row.job.id.clone(),
            result,
            result_word(row.before.as_ref()).to_owned(),
            counts(row.base.as_ref()),
            row.now
                .as_ref()
                .map_or_else(String::new, |now| now.why.clone()),
        ]);
    }
    let mut lines = match rows.len() {
        1 => Vec::new(),
        _ => columns(&rows),
    };
    lines.push(summary(comparison));
    lines
}

/// Returns the totals as one line.
fn summary(comparison: &Comparison) -> String {
    let totals = comparison.totals();
    let mut parts = vec![format!("{} passed", totals.passed)];
    for (count, what) in [
        (totals.skipped, "skipped: none of their tests ran"),
        (totals.failed, "failed"),
        (
            totals.host_errors,
            "without a verdict, because the host failed",
        ),
        (totals.missing, "without a result"),
        (
            totals.left_out,
            "unchanged, which need no result and have none",
        ),
    ] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    format!("{}: {}", comparison.revision.base, parts.join(", "))
}

fn passed(result: &JobResult) -> bool {
    result.verdict == JobVerdict::Passed
}

fn result_word(result: Option<&JobResult>) -> &'static str {
    result.map_or("-", JobResult::word)
}

/// Returns the number of tests by verdict.
fn counts(result: Option<&JobResult>) -> String {
    let counts = result.map(|result| {
        let counts = result.counts.iter();
        counts
            .map(|(word, count)| format!("{count} {word}"))
            .collect::<Vec<_>>()
    });
    counts.map_or_else(|| "-".to_owned(), |counts| counts.join(", "))
}

/// Writes the reports as one HTML page.
///
/// # Errors
/// The file cannot be written.
pub fn write_html(path: &Path, comparisons: &[Comparison]) -> Result<(), Failure> {
    let text = page(comparisons).into_string();
    write_atomically(path, text.as_bytes())
        .map_err(|error| Failure::io("write the HTML report", path, error))
}

/// Returns the page.
fn page(comparisons: &[Comparison]) -> Markup {
    let bases: Vec<&str> = comparisons
        .iter()
        .map(|one| one.revision.base.as_str())
        .collect();
    let is_good = comparisons.iter().all(|one| {
        let totals = one.totals();
        totals.failed + totals.host_errors + totals.missing == 0
    });
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{}: CI", visible(&bases.join(", ")))))
            body {
                header.(if is_good { "good" } else { "bad" }) {
                    p.kicker { "fbsd-kdk CI" }
                    h1 { (visible(&bases.join(", "))) }
                    @for comparison in comparisons {
                        p.state { (visible(&summary(comparison))) }
                    }
                }
                main {
                    @for comparison in comparisons { (sections(comparison)) }
                }
            }
        }
    }
}

fn sections(comparison: &Comparison) -> Markup {
    let Comparison {
        revision, previous, ..
    } = comparison;
    html! {
        section.card {
            h2 { (visible(&revision.base)) }
            dl {
                dt { "revision" } dd { code { (revision.short()) } }
                @if let Some(commit) = &revision.commit {
                    dt { "commit" } dd { code { (visible(commit)) } }
                }
                dt { "compared with" }
                dd {
                    @match previous {
                        Some(previous) => code { (previous.short()) },
                        None => "no earlier revision",
                    }
                }
                dt { "base" } dd { "tree " code { (visible(&revision.tree)) } }
            }
        }
        (failures(comparison))
        section.scroll {
            h2 { "Patches" }
            table {
                thead { tr { th { "patch" } th { "subject" } th { "since" } th { "result" } } }
                tbody { @for row in &comparison.patches { (patch(row)) } }
            }
        }
        section.scroll {
            h2 { "Jobs" }
            table {
                thead {
                    tr {
                        th { "job" } th { "result" } th { "tests" } th { "before" } th { "base" }
                        th { "time" } th { "why it ran" }
                    }
                }
                tbody { @for row in &comparison.jobs { (job(row)) } }
            }
        }
    }
}

/// Returns what did not end as expected.
fn failures(comparison: &Comparison) -> Markup {
    let bad = |row: &&JobRow| row.now.as_ref().is_some_and(|now| !passed(now));
    let rows: Vec<&JobRow> = comparison.jobs.iter().filter(bad).collect();
    html! {
        @if !rows.is_empty() {
            section {
                h2 { "Failures" }
                @for row in rows {
                    @if let Some(now) = &row.now {
                        details.suite open {
                            summary {
                                (badge(Some(now))) " " code { (visible(&row.job.id)) } " "
                                span.why { (visible(row.change.name())) }
                            }
                            div.body {
                                @if now.findings.is_empty() { p { (visible(&now.why)) } }
                                @for finding in &now.findings { (finding_item(finding)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn finding_item(finding: &Finding) -> Markup {
    let on = finding
        .cpus
        .map_or_else(String::new, |cpus| format!(" on {cpus} CPUs"));
    html! {
        h3 { (visible(&finding.verdict)) " " code { (visible(&finding.test)) } (on) }
        @if !finding.detail.is_empty() { pre { (visible(&finding.detail)) } }
        @if !finding.backtrace.is_empty() { pre { (visible(&finding.backtrace.join("\n"))) } }
        @if let Some(again) = &finding.again { p { "again: " code { (visible(again)) } } }
    }
}

fn patch(row: &PatchRow) -> Markup {
    html! {
        tr {
            td { code { (visible(&row.patch.id)) } }
            td { (visible(&row.patch.subject)) }
            td { (row.state.name()) }
            td {
                @if row.state != PatchState::Removed {
                    @match row.verdict {
                        Some(verdict) => (verdict_badge(verdict)),
                        None => "-",
                    }
                }
            }
        }
    }
}

fn job(row: &JobRow) -> Markup {
    html! {
        tr {
            td { code { (visible(&row.job.id)) } }
            td { (badge(row.now.as_ref())) }
            td { (counts(row.now.as_ref())) }
            td { (result_word(row.before.as_ref())) }
            td { (counts(row.base.as_ref())) }
            td.time { @if let Some(now) = &row.now { (now.ms / 1000) " s" } }
            td.why { (visible(&row.reason)) }
        }
    }
}

fn badge(result: Option<&JobResult>) -> Markup {
    html! {
        @match result {
            Some(result) if result.is_skipped() => span.badge.skip { (result.word()) },
            Some(result) => (verdict_badge(result.verdict)),
            None => "-",
        }
    }
}

fn verdict_badge(verdict: JobVerdict) -> Markup {
    let class = match verdict {
        JobVerdict::Passed => "pass",
        JobVerdict::Failed => "fail",
        JobVerdict::HostError => "not-run",
    };
    html! { span.badge.(class) { (verdict.name()) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{JobResults, compare};
    use crate::fixtures::{job, result, revision};
    use crate::schedule::Reason;

    /// Returns a revision with a failed job, a fixed one, one of the host's and
    /// one without a result.
    fn comparison() -> Comparison {
        use JobVerdict::{Failed, HostError, Passed};
        let results = |patch: &str, now: Option<JobVerdict>, before: Option<JobVerdict>| {
            let job = job(patch, patch);
            let of = |verdict| {
                let mut one = result(&job, verdict);
                if verdict == Failed {
                    one.why = "smoke/a CRASH".into();
                    one.findings = vec![Finding {
                        test: "smoke/a".into(),
                        cpus: Some(4),
                        verdict: "CRASH".into(),
                        detail: "panic: </pre><script>".into(),
                        backtrace: vec!["panic() at panic+0x43".into()],
                        again: Some("cargo xtask vm-test --tests smoke/a".into()),
                    }];
                }
                one
            };
            let mut base = of(Passed);
            base.counts = [("PASS".to_owned(), 7), ("FAIL".to_owned(), 2)].into();
            JobResults {
                now: now.map(of),
                before: before.map(of),
                base: Some(base),
                reason: "run: patch a changed since revision x".into(),
                is_needed: true,
                job: job.clone(),
            }
        };
        let all = vec![
            results("a", Some(Failed), Some(Passed)),
            results("b", Some(Passed), Some(Failed)),
            results("c", Some(HostError), None),
            results("d", None, None),
            results("e", Some(Passed), Some(Passed)),
        ];
        let now = revision("b", &["a", "b", "c", "d", "e"]);
        compare(&now, Some(&revision("b", &["a", "b"])), all)
    }

    #[test]
    fn a_report_has_what_is_not_as_it_was() {
        insta::assert_snapshot!(lines(&comparison()).join("\n"));
    }

    #[test]
    fn what_a_kernel_prints_is_text_on_the_page() {
        let page = page(&[comparison()]).into_string();
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("panic: &lt;/pre&gt;&lt;script&gt;"));
        assert!(page.contains("on 4 CPUs"));
    }

    #[test]
    fn a_plan_has_the_jobs_that_run_or_all() {
        let decided = |patch: &str, decision| Decided {
            job: job(patch, patch),
            decision,
        };
        let schedule = Schedule {
            revision: revision("b", &["a", "b"]),
            jobs: vec![
                decided("a", Decision::Run(Reason::NeverRun)),
                decided(
                    "b",
                    Decision::Valid {
                        revision: "0123456789abcdef".into(),
                    },
                ),
            ],
        };
        let text = |explain, dry_run| schedule_lines(&schedule, None, explain, dry_run).join("\n");
        let all = [text(false, false), text(false, true), text(true, false)];
        insta::assert_snapshot!(all.join("\n\n"));
    }
}
