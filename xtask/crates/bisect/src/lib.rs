//! Finds the commit that broke a test, or the patch of a series that did.
//!
//! The decisions are pure: [`decide`] reads the log and says what to test next.
//! [`log`] keeps what was tested, so that a bisection continues after a kill.

mod alone;
pub mod candidates;
mod changes;
mod compose;
pub mod decide;
mod driver;
mod git_log;
pub mod line;
mod log;
mod replay;
mod report;
pub mod request;
mod signature;
mod state;
pub mod step;
pub mod synthetic;
mod tester;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use kdk_executor::{Executor, ExecutorChoice};
use kdk_guest::remote::Remote;
use kdk_report::history::History;

use crate::alone::Alone;
use crate::decide::{Answer, Decision, Event, Refusal, Start};
use crate::driver::Session;
use crate::line::Line;
use crate::log::Log;
use crate::report::Report;
use crate::request::{BisectRequest, RangeChoice, RunOptions};
use crate::signature::{Metric, Signature};
use crate::tester::{GuestTester, Inputs};
use kdk_core::cache_dir::write_atomically;
use kdk_core::context::Context;
use kdk_core::event::Phase;
use kdk_core::failure::{Class, Failure};
use kdk_core::logs;

/// The reports that a user asks for.
#[derive(Debug, Clone, Default)]
pub struct ReportFiles {
    /// The report as JSON.
    pub json: Option<PathBuf>,
    /// The report as one HTML page.
    pub html: Option<PathBuf>,
    /// The log that `git bisect replay` reads.
    pub git_log: Option<PathBuf>,
}

/// Returns the request to continue: `request` if the user wrote one, else that
/// of the last bisection without an answer.
///
/// # Errors
/// There is none, or its commits are gone.
pub fn to_continue(cx: &Context, request: Option<BisectRequest>) -> Result<BisectRequest, Failure> {
    if let Some(request) = request {
        return Ok(request);
    }
    let Some(request) = state::unfinished(&cx.cache)? else {
        return Err(
            Failure::usage("continue a bisection", "none was interrupted")
                .help("begin one with --good, --bad and --test"),
        );
    };
    line::resolve(&cx.cache, &request).map_err(|failure| {
        failure.help(format!(
            "the history of {} was rewritten since the bisection began: begin another one with its new commits",
            request.base
        ))
    })
}

/// Returns what the positions and verdicts of a log stand for.
fn start(line: &Line, inputs: &Inputs, request: &BisectRequest) -> Result<Start, Failure> {
    Ok(Start {
        range: line.digest()?,
        tests: inputs.digest(request)?,
    })
}

/// Prints what a bisection would do, and how long it would take. Builds
/// nothing, and changes no file.
///
/// # Errors
/// The request is wrong, or git fails.
pub fn dry_run(
    cx: &Context,
    request: &BisectRequest,
    options: &RunOptions<'_>,
) -> Result<(), Failure> {
    stopped(cx, || {
        request.check()?;
        Signature::new(request.signature.as_deref())?;
        let request = line::resolve(&cx.cache, request)?;
        let line = line::read(cx, &request, options.jobs)?;
        let mut events = log::read(&log::path(&state::folder(&cx.cache, &request)?))?;
        // Positions in a log of another range mean other commits.
        let range = line.digest()?;
        if !matches!(events.first(), Some(Event::Start(start)) if start.range == range) {
            events.clear();
        }
        let history = History::read(&cx.cache, &request.base);
        let phases = [
            Phase::Kernel,
            Phase::Kmod,
            Phase::Image,
            Phase::Boot,
            Phase::Tests,
        ];
        let times = phases.map(|phase| history.phase_ms(phase));
        let step = times[0].map(|_| times.iter().flatten().sum());
        for text in report::plan_lines(&line, &events, step) {
            cx.terminal.print(text);
        }
        check_endpoints(&line)
    })
}

/// Fails if an endpoint cannot be tested, which is known without a build.
fn check_endpoints(line: &Line) -> Result<(), Failure> {
    match decide::decide(&line.problem, &[]) {
        Decision::Refused(refusal) => Err(report::refused(&refusal, line)),
        Decision::Test(_) | Decision::Found(_) => Ok(()),
    }
}

/// Runs a bisection, prints its answer and writes its reports. Returns its log.
///
/// # Errors
/// The request is wrong, there is no answer, or the host failed.
pub fn run(
    cx: &Context,
    request: &BisectRequest,
    options: &RunOptions<'_>,
    resume: bool,
    files: &ReportFiles,
) -> Result<Vec<Event>, Failure> {
    stopped(cx, || search(cx, request, options, resume, files))
}

/// Returns what `work` does. If the user stops it, that is the failure, and not
/// what a program says that is killed with it.
fn stopped<T>(cx: &Context, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    work().map_err(|failure| match cx.interrupt.is_set() {
        true => interrupted(&failure),
        false => failure,
    })
}

fn interrupted(failure: &Failure) -> Failure {
    let stopped = Failure::infra("bisect", "interrupted");
    let advice = failure.advice().unwrap_or_default();
    match advice.lines().find(|line| line.contains("--resume")) {
        Some(line) => stopped.help(line),
        None => stopped,
    }
}

fn search(
    cx: &Context,
    request: &BisectRequest,
    options: &RunOptions<'_>,
    resume: bool,
    files: &ReportFiles,
) -> Result<Vec<Event>, Failure> {
    request.check()?;
    let pattern = Signature::new(request.signature.as_deref())?;
    let request = line::resolve(&cx.cache, request)?;
    let line = line::read(cx, &request, options.jobs)?;
    check_endpoints(&line)?;
    let state = state::open(&cx.cache, &request)?;
    if resume && !log::path(&state.dir).exists() {
        state::check_same_range(&cx.cache, &request)?;
        cx.terminal
            .line("no bisection with this request was interrupted: it begins");
    }
    (options.ready)()?;
    let inputs = Inputs::of(cx, &request.base)?;
    let executor = match options.executor {
        ExecutorChoice::Local => None,
        choice => Some(Executor::open(cx, choice, options.jobs)?),
    };
    let remote = executor.as_ref().map(|executor| Remote::new(cx, executor));
    let logs = logs::folder(cx)?;
    let tested = state.with_copy(&request)?;
    // From here on there is something to continue.
    let mut log = state.begin(&request, resume, &start(&line, &inputs, &request)?)?;
    let tester = |signature| GuestTester {
        cx,
        request: &tested,
        guest: &options.guest,
        verbose: options.verbose,
        line: &line,
        signature,
        inputs: &inputs,
        logs: &logs,
        count: AtomicUsize::new(0),
        remote: remote.as_ref(),
        gc: Mutex::new(()),
    };
    let signature = match &request.metric {
        Some((name, percent)) => {
            let limit = limit(&tester(&pattern), &mut log, name, *percent);
            Signature::Worse(limit.map_err(driver::kept)?)
        }
        None => pattern.clone(),
    };
    let tester = tester(&signature);
    let session = Session {
        problem: &line.problem,
        tester: &tester,
        interrupt: &cx.interrupt,
        say: &|text| cx.terminal.line(&format!("{}: {text}", request.base)),
        describe: &|at| line.describe(at),
    };
    let result = session.run(&mut log)?;
    let events = log.events();
    let mut report = report::report(&request, &line, events, &result)?;
    // The answer is on the terminal before anything else can fail.
    for text in report.lines() {
        cx.terminal.print(text);
    }
    let mut unfinished = None;
    match test_alone(&tester, events, &result) {
        Ok(alone) => report.alone = alone,
        Err(failure) => {
            let why = failure.in_one_line();
            cx.terminal
                .print(format!("the patch was not tested alone: {why}"));
            // The host's failure says nothing about the patch.
            unfinished = Some(failure).filter(|one| one.class() == Class::Infra);
        }
    }
    let git_log = git_log::export(&line.candidates, &line.problem, events, result.as_ref());
    let written = write(&state.dir, &report, &git_log, files);
    cx.terminal.line(&format!(
        "the log for git: {}",
        state.dir.join(GIT_LOG).display()
    ));
    written.map_err(driver::kept)?;
    if let Some(failure) = unfinished {
        return Err(driver::kept(failure));
    }
    // The last file: it marks the bisection as finished.
    report.write_json(&state.dir.join(state::REPORT))?;
    match result {
        Ok(_) => Ok(events.to_vec()),
        Err(refusal) => Err(report::refused(&refusal, &line)),
    }
}

/// Tests the patch that is the answer without the patches before it, and prints
/// the result; none where the answer is not one patch.
fn test_alone(
    tester: &GuestTester<'_>,
    events: &[Event],
    result: &Result<Answer, Refusal>,
) -> Result<Option<Alone>, Failure> {
    let (RangeChoice::Series, Ok(answer)) = (&tester.request.range, result) else {
        return Ok(None);
    };
    let [culprit] = answer.suspects.as_slice() else {
        return Ok(None);
    };
    let decisive = decide::decisive(&tester.line.problem, events);
    let alone = alone::check(tester, *culprit, answer.passes, &decisive)?;
    for text in alone.lines(&tester.line.candidates.commits[*culprit].subject) {
        tester.cx.terminal.print(text);
    }
    Ok(Some(alone))
}

/// Returns the limit of a metric: the one in the log, else that of the good
/// endpoint, which is then in the log.
fn limit(
    tester: &GuestTester<'_>,
    log: &mut Log,
    name: &str,
    percent: f64,
) -> Result<Metric, Failure> {
    let logged = log.events().iter().find_map(|event| match event {
        Event::Limit { limit } => Some(*limit),
        _ => None,
    });
    if let Some(limit) = logged {
        return Ok(Metric {
            name: name.to_owned(),
            limit,
            is_lower_worse: percent < 0.0,
        });
    }
    let choice = tester.line.kernel(0, 0)?;
    let ran = tester.outcomes(&choice, tester.request.runs, false)?;
    let metric = Metric::worse_than(name, &ran.outcomes?, percent).ok_or_else(|| {
        Failure::usage(
            format!("use --metric {name}"),
            format!("no test reports `{name}=NUMBER` other than 0 on the good commit"),
        )
        .help("name a number of the tests' details, as `vm-test --json` writes them")
    })?;
    log.append(Event::Limit {
        limit: metric.limit,
    })?;
    Ok(metric)
}

/// The name of the log for git in a state's folder.
const GIT_LOG: &str = "git-bisect.log";

/// Writes the reports. One that cannot be written does not keep the others from
/// being written.
fn write(dir: &Path, report: &Report, git_log: &str, files: &ReportFiles) -> Result<(), Failure> {
    let text = |path: &PathBuf| {
        write_atomically(path, git_log.as_bytes())
            .map_err(|error| Failure::io("write the log for git", path, error))
    };
    let results = [
        text(&dir.join(GIT_LOG)),
        report.write_html(&dir.join("report.html")),
        files
            .json
            .iter()
            .try_for_each(|path| report.write_json(path)),
        files
            .html
            .iter()
            .try_for_each(|path| report.write_html(path)),
        files.git_log.iter().try_for_each(text),
    ];
    results.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_not_what_a_killed_program_says() {
        let git = Failure::usage("apply the patch `a`", "").help("rebase it");
        let stopped = interrupted(&git);
        assert_eq!(stopped.in_one_line(), "could not bisect: interrupted");
        assert_eq!((stopped.exit_code(), stopped.advice()), (5, None));
        let advice = interrupted(&driver::kept(git));
        assert!(advice.advice().unwrap().contains("--resume"));
        assert!(!advice.advice().unwrap().contains("rebase"));
    }

    #[test]
    fn one_report_that_cannot_be_written_leaves_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(dir.path().join(name));
        std::fs::write(dir.path().join("file"), "").unwrap();
        let files = ReportFiles {
            json: path("file/report.json"),
            html: path("a.html"),
            git_log: path("a.log"),
        };
        let failure = write(dir.path(), &report::fixture(), "git", &files).unwrap_err();
        assert_eq!(failure.exit_code(), 5);
        for name in [GIT_LOG, "report.html", "a.html", "a.log"] {
            assert!(dir.path().join(name).is_file(), "{name}");
        }
    }
}
