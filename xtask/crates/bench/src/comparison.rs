//! Comparisons of variants: kernels, or methods on one kernel. A study is a
//! table of what runs, of the metrics, and of what is made of them; everything
//! else is the same for all studies.

pub(crate) mod render;

use std::path::PathBuf;

use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::logs;
use kdk_guest::request::GuestRequest;
use kdk_vm::verdict::Verdict;

use crate::fixture::Fixture;
use crate::goal::{Bound, Goal};
use crate::plot::{Legend, Look};
use crate::publish::publish;
use crate::samples::{Format, Sample};

/// What a caller asks a study for.
#[derive(Debug, Clone, Default)]
pub struct StudyRequest {
    /// The guest to measure.
    pub guest: GuestRequest,
    /// The name of its base.
    pub base: String,
    /// Patterns of the configurations; none for all. Only studies whose tests
    /// are configurations use them.
    pub tests: Vec<String>,
    /// Whether only a few configurations are measured.
    pub quick: bool,
    /// The folder for the table and the plot; none for that of the run.
    pub out: Option<PathBuf>,
}

/// A comparison of variants.
pub struct Study {
    /// The name on the command line and of the files.
    pub name: &'static str,
    /// The base that is measured unless the caller names one.
    pub base: Option<&'static str>,
    /// The variants, in the order in which they are measured.
    pub kernels: &'static [Variant],
    /// Returns the format of a test's samples.
    pub format: fn(test: &str) -> &'static Format,
    /// What follows the description of the machine.
    pub caption: &'static str,
    /// Lines of the report's head.
    pub intro: &'static [&'static str],
    /// Words that depend on the clock: `{NAME}` in a text, where time is
    /// measured, where instructions are counted.
    pub units: &'static [(&'static str, &'static str, &'static str)],
    /// The tables of the report.
    pub tables: &'static [Table],
    /// The goals that are checked.
    pub goals: &'static [GoalSet],
    /// The plot of the results.
    pub plot: Plot,
    /// Explains missed goals.
    pub explain: Option<Explain>,
}

/// Returns lines about tests whose goals were missed.
pub type Explain = fn(&Fixture<'_>, &[String]) -> Result<Vec<String>, Failure>;

/// A kernel, as one side of a comparison.
pub struct Variant {
    /// The name of the variant.
    pub name: &'static str,
    /// What it is; empty if the report need not say so.
    pub about: &'static str,
    /// Changes the request for the guest, of the base that is named.
    pub edit: fn(&mut GuestRequest, &str) -> Result<(), Failure>,
    /// Returns the patterns of its tests.
    pub tests: fn(&StudyRequest) -> Vec<String>,
}

/// A metric of one sample.
pub struct Metric {
    /// Whether the value is in the units of the guest's clock.
    pub clocked: bool,
    /// The value of a key that the sample must have.
    pub when: Option<(&'static str, u64)>,
    /// Derives the metric from the sample.
    pub of: fn(&Sample) -> Option<f64>,
}

impl Metric {
    /// Returns a metric that does not depend on the guest's clock.
    pub const fn new(of: fn(&Sample) -> Option<f64>) -> Self {
        Self {
            clocked: false,
            when: None,
            of,
        }
    }

    /// Returns a metric in the units of the guest's clock.
    pub const fn clocked(of: fn(&Sample) -> Option<f64>) -> Self {
        Self {
            clocked: true,
            ..Self::new(of)
        }
    }
}

/// Stands for the variant of a table's row.
pub const ROW: &str = "";

/// A metric of a variant, or of [`ROW`].
pub type Term = (&'static Metric, &'static str);

/// A number made of samples.
#[derive(Clone, Copy)]
pub enum Figure {
    /// The median of the rounds.
    Median(Term),
    /// The median of the rounds' ratios.
    Ratio(Term, Term),
    /// The sum of all values.
    Sum(Term),
    /// The power of a key with which the metric grows.
    Exponent(Term, &'static str),
    /// The metric at the largest value of a key, to that at the smallest.
    Growth(Term, &'static str),
    /// The least figure over all values of a key.
    Least(&'static str, &'static Figure),
    /// The greatest figure over all values of a key.
    Most(&'static str, &'static Figure),
}

/// A cell of a table.
pub enum Cell {
    /// A text with keys, see [`Group::fill`](crate::samples::Group::fill).
    Text(&'static str),
    /// A figure with a number of decimals.
    Number(Figure, usize),
    /// A part, in percent with two decimals.
    Percent(Figure),
}

/// A table of figures.
pub struct Table {
    /// The line above; empty for none.
    pub title: &'static str,
    /// The label of its samples.
    pub label: &'static str,
    /// The keys whose values distinguish its rows.
    pub cases: &'static [&'static str],
    /// The variants with a row of their own in each case; none if a row has
    /// all of them.
    pub variants: &'static [&'static str],
    /// The heads and cells of its columns.
    pub columns: &'static [(&'static str, Cell)],
}

/// Goals that apply to the same cases.
pub struct GoalSet {
    /// The label of their samples.
    pub label: &'static str,
    /// The keys whose values distinguish the cases.
    pub cases: &'static [&'static str],
    /// The goals of each case.
    pub goals: &'static [GoalSpec],
}

/// A goal of a case. A case whose samples have no such figure has no goal.
pub struct GoalSpec {
    /// What is measured, with keys.
    pub what: &'static str,
    /// Selects samples of the case.
    pub when: fn(&Sample) -> bool,
    /// What is measured.
    pub figure: Figure,
    /// What it has to be.
    pub bound: Bound,
}

impl GoalSpec {
    /// Returns a goal for all samples of a case.
    pub const fn new(what: &'static str, figure: Figure, bound: Bound) -> Self {
        Self {
            what,
            when: |_| true,
            figure,
            bound,
        }
    }

    /// Returns the goal for the samples that `when` selects.
    pub const fn when(self, when: fn(&Sample) -> bool) -> Self {
        Self { when, ..self }
    }
}

/// A sheet of charts.
pub struct Plot {
    /// What all charts are about.
    pub title: &'static str,
    /// The size of the PNG in pixels.
    pub size: (u32, u32),
    /// Returns the number of charts side by side, of the number of all.
    pub columns: fn(usize) -> usize,
    /// The charts, row by row.
    pub charts: &'static [ChartSpec],
}

/// A chart. One without a point is left out.
pub struct ChartSpec {
    /// The title, with keys.
    pub title: &'static str,
    /// The label of its samples.
    pub label: &'static str,
    /// Selects the samples that are drawn.
    pub when: fn(&Sample) -> bool,
    /// The keys each of whose values has a chart.
    pub cases: &'static [&'static str],
    /// The key of the horizontal axis, and what its numbers are divided by.
    pub x: (&'static str, f64),
    /// The names of the axes.
    pub axes: (&'static str, &'static str),
    /// The place of the legend.
    pub legend: Legend,
    /// The lines to draw.
    pub lines: &'static [LineSpec],
}

/// A line of a chart.
pub struct LineSpec {
    /// The name in the legend.
    pub name: &'static str,
    /// What it shows.
    pub term: Term,
    /// How it looks.
    pub look: Look,
    /// Whether its points are rings instead of discs.
    pub hollow: bool,
}

impl LineSpec {
    /// Returns a line whose points are discs.
    pub const fn new(name: &'static str, term: Term, look: Look) -> Self {
        Self {
            name,
            term,
            look,
            hollow: false,
        }
    }

    /// Returns a line whose points are rings.
    pub const fn hollow(name: &'static str, term: Term, look: Look) -> Self {
        Self {
            hollow: true,
            ..Self::new(name, term, look)
        }
    }
}

/// A goal that is a ratio, as it was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredRatio {
    /// What was measured.
    pub name: String,
    /// The median of the rounds.
    pub value: f64,
    /// The least of the rounds.
    pub low: f64,
    /// The greatest of the rounds.
    pub high: f64,
    /// Whether the goal is an upper limit.
    pub less_is_better: bool,
}

/// What came of the tests.
#[derive(Debug, Default)]
struct Measured {
    samples: Vec<Sample>,
    /// `TEST: CONFIGURATION`.
    setups: Vec<String>,
    /// A line for each test that did not pass.
    unmeasured: Vec<String>,
}

/// Measures the variants of a study, and prints and writes the results. Returns
/// the goals that are ratios.
///
/// # Errors
/// The host failed, a guest did not come up, or a test did not pass or did not
/// report what the study needs. A missed goal is not an error.
pub fn run(
    cx: &Context,
    study: &Study,
    request: &StudyRequest,
) -> Result<Vec<MeasuredRatio>, Failure> {
    let logs = logs::folder(cx)?;
    let out = request.out.clone().unwrap_or_else(|| logs.clone());
    cx.cache.create(&out)?;
    let mut requests = Vec::new();
    for variant in study.kernels {
        let mut guest = request.guest.clone();
        (variant.edit)(&mut guest, &request.base)?;
        requests.push((variant, guest));
    }
    let mut measured = Measured::default();
    let mut fixtures = Vec::new();
    for (variant, guest) in &requests {
        let fixture = Fixture::prepare(cx, guest, &request.base, &logs)?;
        measured.add(study, variant, &fixture, &(variant.tests)(request))?;
        fixtures.push(fixture);
    }
    let (Some(first), Some(last)) = (fixtures.first(), fixtures.last()) else {
        return Ok(Vec::new());
    };
    let clock = first.clock;
    let caption = format!("{}{}", first.about(), study.caption);
    let goals = study.goals(&measured.samples);

    let mut lines = vec![caption.clone()];
    lines.extend(study.intro.iter().map(|line| (*line).to_owned()));
    let described = study.kernels.iter().filter(|k| !k.about.is_empty());
    lines.extend(described.map(|variant| format!("{}: {}", variant.name, variant.about)));
    lines.extend(measured.setups);
    lines.push(String::new());
    let tables = study.render_tables(&measured.samples, clock);
    lines.extend(
        tables
            .iter()
            .map(|l| l.replace("{patches}", &last.patches())),
    );
    lines.extend(goals.iter().map(Goal::to_string));
    lines.extend(measured.unmeasured.clone());
    let missed = missed_tests(&goals);
    if let (Some(explain), false) = (study.explain, missed.is_empty()) {
        lines.extend(explain(first, &missed)?);
    }
    let sheet = study.sheet(&measured.samples, clock, caption);
    publish(cx, &out, &format!("bench-{}", study.name), &lines, &sheet)?;
    match measured.unmeasured.first() {
        None => Ok(study.measured_ratios(&measured.samples)),
        Some(first) => Err(Failure::tests(first.clone()).help(format!(
            "run `cargo xtask vm-test --base {}`, and fix the failures first: a benchmark needs \
             the patch series",
            request.base
        ))),
    }
}

impl Measured {
    /// Runs tests on a kernel and adds what they reported.
    fn add(
        &mut self,
        study: &Study,
        variant: &Variant,
        fixture: &Fixture<'_>,
        tests: &[String],
    ) -> Result<(), Failure> {
        for outcome in fixture.run(tests)? {
            let (test, detail) = (&outcome.name, &outcome.detail);
            if outcome.verdict != Verdict::Pass {
                let (word, why) = (outcome.verdict.word(), detail.lines().next());
                let why = why.unwrap_or_default();
                self.unmeasured
                    .push(format!("{test} not measured: {word} {why}"));
                continue;
            }
            let parsed = (study.format)(test).parse(test, variant.name, detail);
            let (samples, setup) = parsed.map_err(|why| {
                Failure::tests(format!("{test}: {why}"))
                    .help("the output of the guest is in result.N.log in the folder of the run")
            })?;
            self.samples.extend(samples);
            self.setups
                .extend(setup.map(|setup| format!("{test}: {setup}")));
        }
        Ok(())
    }
}

/// Returns the tests whose goals were missed, each once.
fn missed_tests(goals: &[Goal]) -> Vec<String> {
    let mut tests: Vec<String> = Vec::new();
    for goal in goals.iter().filter(|goal| !goal.reached()) {
        if !tests.contains(&goal.test) {
            tests.push(goal.test.clone());
        }
    }
    tests
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_explained_only_once() {
        let goal = |test: &str, measured| Goal {
            what: String::new(),
            measured,
            bound: Bound::AtMost(1.0),
            test: test.into(),
        };
        let goals = [
            goal("a/a", 2.0),
            goal("a/b", 1.0),
            goal("a/a", 3.0),
            goal("a/c", 2.0),
        ];
        assert_eq!(missed_tests(&goals), ["a/a", "a/c"]);
    }
}
