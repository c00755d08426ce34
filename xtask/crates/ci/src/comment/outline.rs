//! What a comment on a revision says.

use std::collections::BTreeSet;
use std::path::Path;

use super::document::{Document, Foreign, LINES, Part, Piece, is_address};
use crate::collect::import::is_plain;
use crate::point::{Point, State, kind, without_base};
use crate::result::{Finding, JobResult};
use crate::revision::short;
use crate::trend::Regression;
use kdk_core::failure::Failure;

/// The most lines of a backtrace.
const BACKTRACE: usize = 6;

/// The most rows of jobs that are not about one patch.
const OTHERS: usize = 3;

/// The most regressions that are named.
const REGRESSIONS: usize = 3;

/// The most names in one line.
const NAMES: usize = 8;

/// What a comment is about.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    point: &'a Point,
    previous: Option<&'a Point>,
    regressions: &'a [Regression],
    address: Option<&'a str>,
}

impl<'a> Subject<'a> {
    /// Returns the subject of a comment on `point`, compared with `previous`.
    /// `address` is where the folder of its results is published.
    ///
    /// # Errors
    /// The address is not one of a page.
    pub fn new(
        point: &'a Point,
        previous: Option<&'a Point>,
        regressions: &'a [Regression],
        address: Option<&'a str>,
    ) -> Result<Self, Failure> {
        if let Some(address) = address.filter(|address| !is_address(address)) {
            return Err(Failure::usage(
                "link to the results",
                format!("{address:?} is not the address of a page"),
            )
            .help("write https://.. without spaces, quotes or brackets"));
        }
        Ok(Self {
            point,
            previous,
            regressions,
            address,
        })
    }

    /// Returns the state of a job in the previous revision, if it had the job.
    fn before(&self, id: &str) -> Option<State> {
        let previous = self.previous?;
        let known = previous.revision.jobs.contains_key(id);
        known.then(|| previous.state(id))
    }

    /// Returns a link to the report of a result, if it has one.
    fn link(&self, result: &JobResult) -> Option<Piece> {
        let address = self.address?;
        let own = || {
            let names = result.artefacts.iter();
            names.filter(|name| is_plain(Path::new(name)))
        };
        let ends = |end: &str| own().find(|name| name.ends_with(end));
        let artefact = ends(".html").or_else(|| ends(".json"))?;
        let path = encoded(artefact);
        Some(Piece::Link(
            "report",
            format!("{}/{path}", address.trim_end_matches('/')),
        ))
    }
}

/// Returns the path of an artefact for an address.
fn encoded(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Returns the comment.
pub fn document(subject: &Subject<'_>) -> Document {
    let mut parts = vec![Part::Gap, summary(subject.point), Part::Gap];
    parts.extend(changes(subject));
    let mut end = others(subject);
    end.extend(regressions(subject));
    end.extend(crash(subject));
    // The title, the rows of patches, and two lines around a block.
    let taken = 1 + parts.len() + end.iter().map(height).sum::<usize>();
    parts.extend(patches(subject, LINES.saturating_sub(taken)));
    parts.extend(end);
    while parts.last() == Some(&Part::Gap) {
        parts.pop();
    }
    Document {
        title: title(subject.point),
        parts,
    }
}

fn height(part: &Part) -> usize {
    match part {
        Part::Block(lines) => lines.len() + 2,
        _ => 1,
    }
}

/// Returns a plain name of a series: it is a folder's.
fn plain(name: &str) -> String {
    let ascii = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
    name.chars().filter(|c| ascii(*c)).collect()
}

fn title(point: &Point) -> String {
    let revision = &point.revision;
    let patches = &revision.patches;
    let bad = patches
        .iter()
        .filter(|patch| point.state_of(&patch.id) == State::Failed)
        .count();
    let verdict = match (point.worst(), bad) {
        (State::Passed | State::Skipped, _) => "passed".to_owned(),
        (State::Failed, 0) => "failed".to_owned(),
        (State::Failed, bad) => format!("{bad} of {} patches failed", patches.len()),
        (State::NotRun | State::HostError, _) => "not complete".to_owned(),
    };
    format!(
        "{} revision {} ({}): {verdict}",
        plain(&revision.base),
        revision.number,
        plain(revision.short())
    )
}

fn summary(point: &Point) -> Part {
    let jobs = point.revision.jobs.len();
    let counts = point.counts();
    let counted = counts.iter().filter(|(_, count)| *count > 0);
    let counted: Vec<String> = counted
        .map(|(state, count)| format!("{count} {}", state.name()))
        .collect();
    let earlier = point
        .results
        .values()
        .filter(|result| result.revision != point.revision.id)
        .count();
    let mut text = format!("{jobs} jobs: {}.", counted.join(", "));
    if earlier > 0 {
        text.push_str(&format!(
            " {earlier} results of earlier revisions are still valid."
        ));
    }
    if point.left_out > 0 {
        text.push_str(&format!(
            " {} more jobs did not run: nothing that they depend on has changed.",
            point.left_out
        ));
    }
    Part::Line(own(&text))
}

fn own(text: &str) -> Vec<Piece> {
    vec![Piece::Own(text.to_owned())]
}

fn foreign(text: &str) -> Piece {
    Piece::Foreign(Foreign::new(text))
}

/// Returns what changed since the previous revision, with a gap behind it.
fn changes(subject: &Subject<'_>) -> Vec<Part> {
    let Some(previous) = subject.previous else {
        let text = "This is the first revision that CI ran.";
        return vec![Part::Line(own(text)), Part::Gap];
    };
    let (old, new) = (&previous.revision, &subject.point.revision);
    let mut lists: [(&str, Vec<&str>); 4] = [
        ("changed", Vec::new()),
        ("added", Vec::new()),
        ("removed", Vec::new()),
        ("moved", Vec::new()),
    ];
    for patch in &new.patches {
        match old.patch(&patch.id) {
            None => lists[1].1.push(&patch.id),
            Some(before) if before.patch_id != patch.patch_id => lists[0].1.push(&patch.id),
            Some(_) => {}
        }
    }
    let gone = old
        .patches
        .iter()
        .filter(|one| new.patch(&one.id).is_none());
    lists[2].1.extend(gone.map(|patch| patch.id.as_str()));
    lists[3].1 = moved(&ids(previous), &ids(subject.point));
    let heading = format!(
        "Changes since revision {} ({})",
        old.number,
        plain(old.short())
    );
    let mut parts = vec![Part::Heading(heading)];
    if old.tree != new.tree {
        parts.push(Part::Item(own("the base has another tree")));
    }
    for (what, names) in lists.iter().filter(|(_, names)| !names.is_empty()) {
        let mut line = own(&format!("{what}: "));
        line.extend(names_in_line(names));
        parts.push(Part::Item(line));
    }
    if parts.len() == 1 {
        parts.push(Part::Item(own("none: the same patches on the same base")));
    }
    parts.push(Part::Gap);
    parts
}

fn ids(point: &Point) -> Vec<&str> {
    let patches = point.revision.patches.iter();
    patches.map(|patch| patch.id.as_str()).collect()
}

/// Returns the least patches that were moved, of those that both have: all but
/// the longest sequence that kept its order.
fn moved<'a>(old: &[&str], new: &[&'a str]) -> Vec<&'a str> {
    let places: Vec<(&str, usize)> = new
        .iter()
        .filter_map(|id| Some((*id, old.iter().position(|one| one == id)?)))
        .collect();
    // The longest sequence that ends at each place, and where it comes from.
    let mut best: Vec<(usize, Option<usize>)> = Vec::new();
    for (at, (_, place)) in places.iter().enumerate() {
        let before = (0..at).filter(|one| places[*one].1 < *place);
        let from = before.max_by_key(|one| (best[*one].0, usize::MAX - one));
        best.push((from.map_or(1, |one| best[one].0 + 1), from));
    }
    let mut kept = BTreeSet::new();
    let mut at = (0..best.len()).max_by_key(|one| (best[*one].0, usize::MAX - one));
    while let Some(one) = at {
        kept.insert(one);
        at = best[one].1;
    }
    let others = places
        .iter()
        .enumerate()
        .filter(|(at, _)| !kept.contains(at));
    others.map(|(_, (id, _))| *id).collect()
}

/// Returns names of others, separated by commas.
fn names_in_line(names: &[&str]) -> Vec<Piece> {
    let mut line = Vec::new();
    for (n, name) in names.iter().take(NAMES).enumerate() {
        if n > 0 {
            line.extend(own(", "));
        }
        line.push(foreign(name));
    }
    if names.len() > NAMES {
        line.extend(own(&format!(" and {} more", names.len() - NAMES)));
    }
    line
}

/// Returns each patch with its verdict in at most `room` lines, the last of
/// which is a gap.
fn patches(subject: &Subject<'_>, room: usize) -> Vec<Part> {
    let point = subject.point;
    let mut parts = vec![Part::Heading("Patches".into())];
    let of = |wanted: State| {
        let ids = ids(point).into_iter();
        ids.filter(move |id| point.state_of(id) == wanted)
    };
    let states = [
        State::Failed,
        State::HostError,
        State::NotRun,
        State::Skipped,
    ];
    let bad: Vec<(&str, State)> = states
        .into_iter()
        .flat_map(|state| of(state).map(move |id| (id, state)))
        .collect();
    let passed: Vec<&str> = of(State::Passed).collect();
    // The heading, those that passed, those that do not fit, and the gap.
    let shown = room.saturating_sub(4).min(bad.len());
    for (id, state) in &bad[..shown] {
        parts.push(Part::Item(row(subject, id, *state)));
    }
    if shown < bad.len() {
        let more = bad.len() - shown;
        parts.push(Part::Item(own(&format!("{more} more that did not pass"))));
    }
    if !passed.is_empty() {
        let mut line = vec![Piece::Strong("passed")];
        line.extend(own(&format!(" ({}): ", passed.len())));
        line.extend(names_in_line(&passed));
        parts.push(Part::Item(line));
    }
    if parts.len() == 1 {
        parts.push(Part::Item(own("none: this is the base")));
    }
    parts.push(Part::Gap);
    parts
}

/// Returns the row of a patch that did not pass.
fn row(subject: &Subject<'_>, id: &str, state: State) -> Vec<Piece> {
    let mut line = vec![
        Piece::Strong(state.name()),
        Piece::Own(" ".into()),
        foreign(id),
    ];
    let jobs: Vec<&str> = subject.point.jobs_of(id).collect();
    let worst = jobs
        .iter()
        .copied()
        .find(|job| subject.point.state(job) == state);
    if let Some(job) = worst {
        line.extend(own(&format!(": {}", kind(job))));
        line.extend(why(subject, job));
    }
    line
}

/// Returns why a job did not pass, whether that is new, and a link.
fn why(subject: &Subject<'_>, job: &str) -> Vec<Piece> {
    let mut line = Vec::new();
    let Some(result) = subject.point.results.get(job) else {
        return line;
    };
    let first = result.findings.first();
    let text = match first {
        Some(Finding { test, verdict, .. }) if result.why.is_empty() => {
            format!("{test} {verdict}")
        }
        _ => result.why.clone(),
    };
    line.extend(own(": "));
    line.push(foreign(&text));
    let also_on_base = first.is_some_and(|finding| fails_on_base(subject.point, job, finding));
    match (subject.before(job), State::from(result.verdict)) {
        _ if also_on_base => line.extend(own(" (the base fails too)")),
        (Some(State::Passed), State::Failed) => line.extend(own(" (passed before)")),
        (Some(State::Failed), State::Failed) => line.extend(own(" (failed before)")),
        _ => {}
    }
    if let Some(link) = subject.link(result) {
        line.extend(own(" "));
        line.push(link);
    }
    line
}

/// Returns whether the same suite has the same finding on the base without the
/// series.
fn fails_on_base(point: &Point, job: &str, finding: &Finding) -> bool {
    let on_base = job.replacen("/suite/", "/base/", 1);
    let result = point.results.get(&on_base).filter(|_| on_base != job);
    let mut findings = result.into_iter().flat_map(|result| &result.findings);
    findings.any(|one| (&one.test, one.cpus) == (&finding.test, finding.cpus))
}

/// Returns the jobs that are about no single patch and did not pass, with a gap
/// behind them.
fn others(subject: &Subject<'_>) -> Vec<Part> {
    let point = subject.point;
    let jobs = point.revision.jobs.keys().map(String::as_str);
    let mut bad: Vec<(&str, State)> = jobs
        .filter(|job| point.patch_of(job).is_none())
        .map(|job| (job, point.state(job)))
        .filter(|(job, state)| match kind(job) {
            // A failure of the base is no fault of the series.
            "base" => *state == State::HostError,
            // Their number is in the summary.
            _ => !matches!(state, State::Passed | State::Skipped),
        })
        .collect();
    bad.sort_by_key(|(_, state)| std::cmp::Reverse(*state));
    if bad.is_empty() {
        return Vec::new();
    }
    let mut parts = vec![Part::Heading("The whole series".into())];
    for (job, state) in bad.iter().take(OTHERS) {
        let mut line = vec![
            Piece::Strong(state.name()),
            Piece::Own(" ".into()),
            foreign(without_base(job)),
        ];
        line.extend(why(subject, job));
        parts.push(Part::Item(line));
    }
    if bad.len() > OTHERS {
        let more = bad.len() - OTHERS;
        parts.push(Part::Item(own(&format!("{more} more that did not pass"))));
    }
    parts.push(Part::Gap);
    parts
}

/// Returns the benchmarks that became worse with this revision.
fn regressions(subject: &Subject<'_>) -> Vec<Part> {
    let id = &subject.point.revision.id;
    let all: Vec<&Regression> = subject
        .regressions
        .iter()
        .filter(|one| one.revision == *id)
        .collect();
    if all.is_empty() {
        return Vec::new();
    }
    let mut parts = vec![Part::Heading(
        "Benchmarks that became worse by more than their noise".into(),
    )];
    for one in all.iter().take(REGRESSIONS) {
        let mut line = vec![foreign(&one.name)];
        line.extend(own(&format!(
            ": {:.2} ({:.2} to {:.2}); {:.2} in revision {}",
            one.now.value,
            one.now.low,
            one.now.high,
            one.before.value,
            plain(short(&one.since))
        )));
        parts.push(Part::Item(line));
    }
    if all.len() > REGRESSIONS {
        let more = all.len() - REGRESSIONS;
        parts.push(Part::Item(own(&format!("{more} more"))));
    }
    parts.push(Part::Gap);
    parts
}

/// Returns the first crash, symbolized. One that is new comes first.
fn crash(subject: &Subject<'_>) -> Vec<Part> {
    let results = subject.point.results.iter();
    let mut crashes: Vec<(&str, &Finding)> = results
        .filter(|(job, _)| kind(job) != "base")
        .flat_map(|(job, result)| {
            let findings = result.findings.iter();
            findings.map(|finding| (job.as_str(), finding))
        })
        .filter(|(_, finding)| !finding.backtrace.is_empty())
        .collect();
    crashes.sort_by_key(|(job, _)| subject.before(job) != Some(State::Passed));
    let Some((job, finding)) = crashes.first() else {
        return Vec::new();
    };
    let mut line = own(match crashes.len() {
        1 => "The crash: ",
        _ => "The first crash: ",
    });
    line.push(foreign(&finding.test));
    if let Some(cpus) = finding.cpus.filter(|cpus| *cpus != 1) {
        line.extend(own(&format!(" on {cpus} CPUs")));
    }
    line.extend(own(" in "));
    line.push(foreign(without_base(job)));
    if crashes.len() > 1 {
        line.extend(own(&format!("; {} more crashed", crashes.len() - 1)));
    }
    let mut block = vec![Foreign::new(&finding.detail)];
    let trace = interesting(&finding.backtrace);
    block.extend(trace.iter().take(BACKTRACE).map(|line| Foreign::new(line)));
    if trace.len() > BACKTRACE {
        block.push(Foreign::new(&format!(
            "{} more lines",
            trace.len() - BACKTRACE
        )));
    }
    vec![Part::Line(line), Part::Gap, Part::Block(block)]
}

/// Returns a backtrace without the functions of the panic itself.
fn interesting(backtrace: &[String]) -> &[String] {
    const PANIC: [&str; 6] = [
        "KDB:",
        "db_trace",
        "kdb_",
        "vpanic(",
        "panic(",
        "kassert_panic(",
    ];
    let is_frame = |line: &str| !line.starts_with(char::is_whitespace);
    let panics = |line: &str| PANIC.iter().any(|name| line.starts_with(name));
    let start = backtrace
        .iter()
        .position(|line| is_frame(line) && !panics(line));
    match start {
        Some(start) => &backtrace[start..],
        None => backtrace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_few_patches_as_possible_were_moved() {
        for (old, new, want) in [
            ("a b c", "a b c", ""),
            ("a b c", "b c a", "a"),
            ("a b c", "c a b", "c"),
            ("a b c d", "a x c d", ""),
            ("a b", "b a", "a"),
            ("", "a", ""),
        ] {
            let words = |text: &'static str| text.split_whitespace().collect::<Vec<_>>();
            assert_eq!(moved(&words(old), &words(new)), words(want), "{old}: {new}");
        }
    }

    #[test]
    fn a_backtrace_begins_where_the_code_of_interest_does() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let trace = lines(
            "KDB: stack backtrace:\nvpanic() at x\npanic() at y\n    /a.c:1 (panic)\nfoo() at z",
        );
        assert_eq!(interesting(&trace), ["foo() at z"]);
        let only = lines("panic() at y\n    /a.c:1 (panic)");
        assert_eq!(interesting(&only), only);
    }

    #[test]
    fn the_path_of_an_artefact_is_part_of_an_address() {
        let path = "key/a b)]\u{e9}\".html";
        assert_eq!(encoded(path), "key/a%20b%29%5D%C3%A9%22.html");
    }
}
