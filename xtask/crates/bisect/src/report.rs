//! The result of a bisection: as text, as JSON, and as one HTML page.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kdk_report::html::{head, visible};
use maud::{DOCTYPE, Markup, html};
use serde::Serialize;

use crate::alone::Alone;
use crate::decide::known::{Verdict, tallies};
use crate::decide::{self, Answer, Counts, Event, Purpose, Refusal, Run, known};
use crate::driver::verdict;
use crate::line::Line;
use crate::request::{BisectRequest, RangeChoice};
use kdk_core::cache_dir::write_atomically;
use kdk_core::failure::Failure;

/// The number of last console lines that a report shows.
const CONSOLE_LINES: usize = 60;

/// The version of the JSON form.
const SCHEMA: u32 = 1;

/// A commit, or the prefix of a series that ends with a patch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CommitEntry {
    /// The commit id.
    pub commit: String,
    /// The first line of its message, or the id of the patch.
    pub subject: String,
}

/// A kernel that was tested.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestedEntry {
    /// The commit that was tested.
    #[serde(flatten)]
    pub commit: CommitEntry,
    /// Why it was tested.
    pub purpose: Purpose,
    /// The verdict with its reason.
    pub verdict: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// What the answer rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// The runs on the bad endpoint that failed with the signature.
    pub failed: u32,
    /// All runs on it.
    pub runs: u32,
    /// The passes that made a kernel good.
    pub passes: u32,
    /// The probability that the answer is right.
    pub confidence: f64,
    /// Whether a commit after the culprit passes.
    pub fluctuates: bool,
    /// How the tests fail on the first bad commit.
    pub failure: String,
    /// The last lines of its console.
    pub bad_console: Vec<String>,
    /// The last lines of the console of the last good commit.
    pub good_console: Vec<String>,
}

/// The report of a bisection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The version of the format.
    pub schema: u32,
    /// What the user asked for.
    pub request: BisectRequest,
    /// The number of commits that can be the culprit.
    pub commits: usize,
    /// The number of different kernels among them.
    pub kernels: usize,
    /// The number of commits that the patches do not apply to.
    pub untestable: usize,
    /// What became of the patches.
    pub patches: Vec<String>,
    /// The number of rounds that a search without skips takes.
    pub predicted_rounds: u32,
    /// The number of rounds of the search.
    pub rounds: usize,
    /// The commits that can be the culprit: one, if it was found; none if there
    /// is no answer.
    pub suspects: Vec<CommitEntry>,
    /// The message of the culprit.
    pub message: Option<String>,
    /// The last good commit.
    pub good: Option<CommitEntry>,
    /// What the answer rests on.
    pub evidence: Option<Evidence>,
    /// What the patch that is the culprit does without the patches before it.
    pub alone: Option<Alone>,
    /// Why there is no answer.
    pub refusal: Option<String>,
    /// The tested kernels, in order.
    pub tested: Vec<TestedEntry>,
}

/// Returns the report of a bisection.
///
/// # Errors
/// git cannot read the culprit.
pub fn report(
    request: &BisectRequest,
    line: &Line,
    events: &[Event],
    result: &Result<Answer, Refusal>,
) -> Result<Report, Failure> {
    let entry = |at: usize| {
        let candidate = &line.candidates.commits[at];
        CommitEntry {
            commit: candidate.commit.clone(),
            subject: candidate.subject.clone(),
        }
    };
    let runs = || {
        events.iter().filter_map(|event| match event {
            Event::Run(run) => Some(run),
            _ => None,
        })
    };
    let tested = runs().map(|run| TestedEntry {
        commit: entry(run.point),
        purpose: run.purpose,
        verdict: verdict(&run.counts),
        ms: run.ms,
    });
    let points = &line.problem.points;
    let answer = result.as_ref().ok();
    let message = match answer.map(|answer| answer.suspects.as_slice()) {
        Some([culprit]) => Some(line.message(*culprit)?),
        _ => None,
    };
    Ok(Report {
        schema: SCHEMA,
        request: request.clone(),
        commits: points.len() - 1,
        kernels: line.problem.suspects(),
        untestable: points.iter().filter(|point| !point.testable).count(),
        patches: line.about_patches(),
        predicted_rounds: line.problem.rounds(),
        rounds: crate::decide::rounds_of(events),
        suspects: answer
            .map(|answer| answer.suspects.iter().map(|at| entry(*at)).collect())
            .unwrap_or_default(),
        message,
        good: answer.map(|answer| entry(answer.good)),
        evidence: answer.map(|answer| evidence(answer, runs())),
        alone: None,
        refusal: result
            .as_ref()
            .err()
            .map(|refusal| refused(refusal, line).in_one_line()),
        tested: tested.collect(),
    })
}

fn evidence<'a>(answer: &Answer, runs: impl Iterator<Item = &'a Run> + Clone) -> Evidence {
    let bad = runs
        .clone()
        .filter(|run| run.point == answer.bad && run.counts.bad > 0)
        .last();
    let good = runs
        .filter(|run| run.point == answer.good && passes(&run.counts))
        .last();
    Evidence {
        failed: answer.rate.failed,
        runs: answer.rate.runs,
        passes: answer.passes,
        confidence: answer.confidence,
        fluctuates: answer.fluctuates,
        failure: bad.map(|run| run.counts.why.clone()).unwrap_or_default(),
        bad_console: bad.map(console).unwrap_or_default(),
        good_console: good.map(console).unwrap_or_default(),
    }
}

/// Returns whether all runs passed.
fn passes(counts: &Counts) -> bool {
    counts.bad == 0 && counts.other == 0 && counts.good > 0
}

/// Returns the last lines of the console of a run: of the machine on which the
/// tests failed, else of the last one; none if its logs were removed.
fn console(run: &Run) -> Vec<String> {
    let Some(logs) = &run.logs else {
        return Vec::new();
    };
    let names = std::fs::read_dir(logs).into_iter().flatten().flatten();
    let machine = |path: &Path| -> Option<usize> {
        let name = path.file_name()?.to_str()?;
        let number = name.strip_prefix("console.")?.split('.').next()?;
        number.parse().ok()
    };
    let mut consoles: Vec<(usize, PathBuf)> = names
        .map(|entry| entry.path())
        .filter_map(|path| Some((machine(&path)?, path)))
        .collect();
    consoles.sort();
    let wanted = consoles
        .iter()
        .find(|(number, _)| run.counts.machine == Some(*number))
        .or(consoles.last());
    let text = wanted.and_then(|(_, path)| std::fs::read(path).ok());
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(CONSOLE_LINES)..].to_vec()
}

/// Returns the failure of a bisection without an answer.
pub fn refused(refusal: &Refusal, line: &Line) -> Failure {
    let tried = "bisect";
    let points = &line.problem.points;
    let last = points.len().saturating_sub(1);
    match refusal {
        Refusal::Empty => Failure::usage(tried, "there is no commit between good and bad"),
        Refusal::BadPasses(runs) => Failure::usage(
            tried,
            format!("the bad commit is good: {} passes in {runs} runs", line.describe(last)),
        )
        .help("name a commit on which the tests fail; for a failure that is rarer, raise --runs"),
        Refusal::BadSkipped(why) => Failure::usage(
            tried,
            format!("the bad commit does not show the failure: {}: {why}", line.describe(last)),
        )
        .help("name another bad commit, or correct --signature; its last commit that fails is best"),
        Refusal::GoodFails(why) => Failure::usage(
            tried,
            format!("the good commit is bad: {}: {why}", line.describe(0)),
        )
        .help("name an older good commit"),
        Refusal::GoodSkipped(why) => Failure::usage(
            tried,
            format!("the good commit cannot be tested: {}: {why}", line.describe(0)),
        )
        .help("name another good commit"),
        Refusal::Untestable(at) => {
            let (name, next) = match at {
                0 => ("good", points.iter().position(|point| point.testable)),
                _ => ("bad", points.iter().rposition(|point| point.testable)),
            };
            let why = line.conflict(*at).unwrap_or_default();
            let what = format!("the {name} commit cannot be tested: {}: {why}", line.describe(*at));
            Failure::usage(tried, what).help(match next {
                Some(next) => format!("the nearest commit that can be tested is {}", line.describe(next)),
                None => "the patches apply to no commit of the range".into(),
            })
        }
        Refusal::CulpritUnclear(at, why) => Failure::tests(format!(
            "the first bad commit {} failed in the search, and then neither failed so nor passed: {why}",
            line.describe(*at)
        ))
        .help("name the failure more generally with --signature, or a single test with --test"),
        Refusal::CulpritPasses(at, runs) => Failure::tests(format!(
            "the first bad commit {} failed in the search, and then passed {runs} times",
            line.describe(*at)
        ))
        .help("the tests fail more rarely than on the bad commit: raise --runs, or name a --signature"),
    }
}

impl Report {
    /// Returns the report as lines of text.
    pub fn lines(&self) -> Vec<String> {
        let short =
            |entry: &CommitEntry| format!("{:.12} {}", entry.commit, visible(&entry.subject));
        let (what, plural) = match self.request.range {
            RangeChoice::Commits { .. } => ("commit", "commits"),
            RangeChoice::Series => ("patch", "patches"),
        };
        let mut lines = Vec::new();
        match self.suspects.as_slice() {
            [] => {}
            [culprit] => {
                lines.push(format!("the first bad {what} is {}", short(culprit)));
                lines.extend(self.message.iter().map(|text| visible(text)));
            }
            suspects => {
                lines.push(format!(
                    "the first bad {what} is one of these {}; those between cannot be tested",
                    suspects.len()
                ));
                lines.extend(
                    suspects
                        .iter()
                        .map(|suspect| format!("  {}", short(suspect))),
                );
            }
        }
        if let (Some(evidence), Some(good)) = (&self.evidence, &self.good) {
            lines.push(format!("it fails: {}", visible(&evidence.failure)));
            lines.push(format!("{} passes", short(good)));
            let Evidence {
                failed,
                runs,
                passes,
                confidence,
                ..
            } = evidence;
            let passes = match passes {
                1 => "one passing run makes".into(),
                many => format!("{many} passing runs make"),
            };
            lines.push(format!(
                "confidence {:.1} %: the bad end fails in {failed} of {runs} runs, and {passes} a kernel good",
                confidence * 100.0
            ));
            if evidence.fluctuates {
                lines.push(format!(
                    "a later {what} passes again: there may be other culprits"
                ));
            }
        }
        if let (Some(alone), [culprit]) = (&self.alone, self.suspects.as_slice()) {
            lines.extend(alone.lines(&culprit.subject));
        }
        // A kernel can be tested several times, at an endpoint or to confirm.
        let tested: BTreeSet<&str> = self.tested.iter().map(|one| &*one.commit.commit).collect();
        lines.push(format!(
            "{}, {}, {} untestable; {} ({} predicted), {} tested",
            counted(self.commits, what, plural),
            counted(self.kernels, "kernel", "kernels"),
            self.untestable,
            counted(self.rounds, "round", "rounds"),
            self.predicted_rounds,
            counted(tested.len(), "kernel", "kernels"),
        ));
        lines
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_json(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::infra("write the report", error.to_string()))?;
        write_atomically(path, &text).map_err(|error| Failure::io("write the report", path, error))
    }

    /// Writes the report as one HTML page.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_html(&self, path: &Path) -> Result<(), Failure> {
        let text = self.page().into_string();
        write_atomically(path, text.as_bytes())
            .map_err(|error| Failure::io("write the HTML report", path, error))
    }

    fn page(&self) -> Markup {
        let lines = self.lines();
        let (first, rest) = lines
            .split_first()
            .map_or(("", [].as_slice()), |(first, rest)| (first, rest));
        html! {
            (DOCTYPE)
            html lang="en" {
                (head(&format!("{}: bisection", visible(&self.request.base))))
                body {
                    header.(if self.suspects.is_empty() { "bad" } else { "good" }) {
                        p.kicker { "fbsd-kdk bisection" }
                        h1 { (visible(&self.request.base)) }
                        p.state { (visible(self.refusal.as_deref().unwrap_or(first))) }
                    }
                    main {
                        section { @for line in rest { pre { (visible(line)) } } }
                        @if let Some(evidence) = &self.evidence {
                            (console_section("Console of the first bad kernel", &evidence.bad_console))
                            (console_section("Console of the last good kernel", &evidence.good_console))
                        }
                        (self.table())
                        section {
                            h2 { "Patches" }
                            ul { @for line in &self.patches { li { (visible(line)) } } }
                        }
                    }
                }
            }
        }
    }

    fn table(&self) -> Markup {
        html! {
            section {
                h2 { "Tested kernels" }
                table {
                    thead { tr { th { "commit" } th { "subject" } th { "verdict" } th { "time" } } }
                    tbody {
                        @for tested in &self.tested {
                            tr {
                                td { code { (format!("{:.12}", tested.commit.commit)) } }
                                td { (visible(&tested.commit.subject)) }
                                td { (visible(&tested.verdict)) }
                                td { (tested.ms / 1000) " s" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn console_section(title: &str, lines: &[String]) -> Markup {
    html! {
        @if !lines.is_empty() {
            section {
                h2 { (title) }
                pre { (visible(&lines.join("\n"))) }
            }
        }
    }
}

/// Returns a number with its noun.
fn counted(number: usize, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{number} {noun}")
}

/// Returns the lines of a dry run: the plan and the time that it takes.
/// `step_ms` is the time of a kernel in earlier runs, if there were any.
pub fn plan_lines(line: &Line, events: &[Event], step_ms: Option<u64>) -> Vec<String> {
    let problem = &line.problem;
    let untestable = problem
        .points
        .iter()
        .filter(|point| !point.testable)
        .count();
    let merges = line
        .candidates
        .commits
        .iter()
        .filter(|one| one.is_merge)
        .count();
    let mut lines = vec![
        format!("good: {}", line.describe(0)),
        format!("bad: {}", line.describe(problem.commits() - 1)),
        format!(
            "{}, {merges} of them merges; {}; {untestable} untestable",
            counted(problem.commits() - 1, "commit", "commits"),
            counted(problem.suspects(), "different kernel", "different kernels"),
        ),
    ];
    lines.extend(line.about_patches());
    let known = tallies(problem, events)
        .iter()
        .filter_map(|tally| tally.verdict(1))
        .filter(|verdict: &Verdict| *verdict != known::Verdict::Skip)
        .count();
    if known > 0 {
        let known = counted(known, "commit", "commits");
        lines.push(format!("tested already: {known}"));
    }
    let rounds = decide::next_rounds(problem, events);
    let named = |points: &[usize]| {
        let names = points.iter().map(|at| line.describe(*at));
        names.collect::<Vec<String>>().join(" and ")
    };
    let mut rounds = rounds.iter().map(|points| named(points));
    if let Some(next) = rounds.next().filter(|next| !next.is_empty()) {
        lines.push(format!("the next round tests {next}"));
        let then: Vec<String> = rounds.filter(|then| !then.is_empty()).collect();
        if !then.is_empty() {
            lines.push(format!("the one after it: {}", then.join(", or ")));
        }
    }
    // Both endpoints, the rounds, and the confirmation of two kernels.
    let steps = u64::from(problem.rounds()) + 4;
    let rounds = counted(problem.rounds() as usize, "round", "rounds");
    lines.push(match problem.width {
        1 => format!("{rounds}, two endpoints and the confirmation"),
        width => format!("{rounds} of {width} kernels, two endpoints and the confirmation"),
    });
    lines.push(match step_ms {
        Some(ms) => format!(
            "estimate: {} min, at {} s for a kernel",
            (steps * ms).div_ceil(60_000),
            ms / 1000
        ),
        None => "no estimate: `vm-test` has not run on this base yet".into(),
    });
    lines
}

/// Returns a report with an answer.
#[cfg(test)]
pub fn fixture() -> Report {
    tests::found()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::TestSource;

    fn entry(commit: &str, subject: &str) -> CommitEntry {
        CommitEntry {
            commit: commit.repeat(40),
            subject: subject.into(),
        }
    }

    pub fn found() -> Report {
        let tested = |commit: CommitEntry, verdict: &str| TestedEntry {
            commit,
            purpose: Purpose::Search,
            verdict: verdict.into(),
            ms: 61_000,
        };
        Report {
            schema: SCHEMA,
            request: BisectRequest {
                base: "releng-15.1".into(),
                range: RangeChoice::Commits {
                    good: "1".repeat(40),
                    bad: "9".repeat(40),
                },
                tests: TestSource::Suites(vec!["smoke/select".into()]),
                signature: Some("EDOM".into()),
                metric: None,
                with: Vec::new(),
                cpus: Vec::new(),
                accel: Default::default(),
                runs: 20,
            },
            commits: 200,
            kernels: 163,
            untestable: 3,
            patches: vec![
                "patch boot: applies as in releng-15.1 on 198, conflicts in a.c on 3".into(),
            ],
            predicted_rounds: 8,
            rounds: 8,
            suspects: vec![entry("5", "select: Check the <domain>")],
            message: Some(
                "commit 555\nAuthor: A <a@example.org>\n\n    select: Check the <domain>".into(),
            ),
            good: Some(entry("4", "man: Describe x")),
            evidence: Some(Evidence {
                failed: 20,
                runs: 20,
                passes: 1,
                confidence: 0.9834,
                fluctuates: false,
                failure: "smoke/select FAIL select: expected success, saw EDOM".into(),
                bad_console: vec!["panic: </pre><script>".into()],
                good_console: Vec::new(),
            }),
            alone: None,
            refusal: None,
            tested: vec![
                tested(entry("5", "select: Check"), "bad: EDOM"),
                tested(entry("4", "man: Describe x"), "good"),
                tested(entry("4", "man: Describe x"), "good"),
            ],
        }
    }

    #[test]
    fn a_culprit_a_set_and_a_patch_as_text() {
        let mut set = found();
        set.suspects.push(entry("6", "kern: Fix the build"));
        set.message = None;
        let mut patch = found();
        patch.request.range = RangeChoice::Series;
        patch.suspects = vec![entry("7", "kqueue-hash")];
        patch.message = None;
        patch.alone = Some(Alone {
            needs: vec!["boot".into()],
            without: "good".into(),
            with: "bad: a/x FAIL".into(),
        });
        if let Some(evidence) = &mut patch.evidence {
            evidence.fluctuates = true;
        }
        let text = [found(), set, patch].map(|report| report.lines().join("\n"));
        insta::assert_snapshot!(text.join("\n\n"));
    }

    #[test]
    fn the_console_is_that_of_the_run_that_failed() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["console.9.log", "console.20.log", "console.boot-1.log"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let run = |machine| Run {
            point: 1,
            purpose: Purpose::Confirm,
            counts: Counts {
                machine,
                ..Counts::default()
            },
            ms: 0,
            logs: Some(dir.path().to_string_lossy().into_owned()),
            phases: Default::default(),
        };
        assert_eq!(console(&run(Some(9))), ["console.9.log"]);
        assert_eq!(console(&run(None)), ["console.20.log"]);
        assert_eq!(console(&run(Some(3))), ["console.20.log"]);
    }

    #[test]
    fn the_good_console_is_of_a_run_that_passed() {
        let counts = |good, bad, other| Counts {
            good,
            bad,
            other,
            ..Counts::default()
        };
        assert!(passes(&counts(3, 0, 0)));
        for skipped in [counts(0, 0, 1), counts(2, 0, 1), counts(2, 1, 0)] {
            assert!(!passes(&skipped));
        }
    }

    #[test]
    fn a_subject_is_text_on_the_terminal() {
        let mut report = found();
        report.suspects[0].subject = "red \u{1b}[31m".into();
        report.message = Some("red \u{1b}[31m".into());
        let text = report.lines().join("\n");
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn what_a_kernel_prints_is_text_on_the_page() {
        let page = found().page().into_string();
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("panic: &lt;/pre&gt;&lt;script&gt;"));
        assert!(page.contains("select: Check the &lt;domain&gt;"));
    }

    #[test]
    fn the_json_form_is_stable() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&found()).unwrap());
    }
}
