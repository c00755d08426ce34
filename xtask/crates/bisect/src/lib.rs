//! Finds the commit that broke a test, or the patch of a series that did.
//!
//! The decisions are pure: [`decide`] reads the log and says what to test next.
//! [`log`] keeps what was tested, so that a bisection continues after a kill.

pub mod alone;
pub mod candidates;
pub mod changes;
pub mod compose;
pub mod decide;
pub mod driver;
pub mod git_log;
pub mod line;
pub mod log;
pub mod replay;
pub mod report;
pub mod request;
pub mod signature;
pub mod state;
pub mod step;
pub mod synthetic;
pub mod tester;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

use kdk_executor::{Executor, ExecutorChoice};
use kdk_guest::remote::Remote;
use kdk_prove::trees::GuestInputs;
use kdk_report::history::History;

use crate::decide::{Answer, Event};
use crate::driver::Session;
use crate::log::Log;
use crate::report::Report;
use crate::request::{BisectRequest, Manner, RangeChoice};
use crate::signature::{Metric, Signature};
use crate::tester::GuestTester;
use kdk_core::cache_dir::write_atomically;
use kdk_core::context::Context;
use kdk_core::event::Phase;
use kdk_core::failure::Failure;
use kdk_core::logs;
use kdk_core::store::RESULTS_KEPT;
use kdk_series::base::record;

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

/// Prints what a bisection would do, and how long it would take. Builds
/// nothing.
///
/// # Errors
/// The request is wrong, or git fails.
pub fn dry_run(cx: &Context, request: &BisectRequest, manner: &Manner<'_>) -> Result<(), Failure> {
    request.check()?;
    Signature::new(request.signature.as_deref())?;
    let request = line::resolve(&cx.cache, request)?;
    let line = line::read(cx, &request, manner.jobs)?;
    let dir = cx.cache.bisects().join(state::id(&request)?);
    let path = log::path(&dir);
    let events = match path.exists() {
        true => Log::open(&path)?.events().to_vec(),
        false => Vec::new(),
    };
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
    for line in report::plan_lines(&line, &events, step) {
        cx.terminal.print(line);
    }
    Ok(())
}

/// Runs a bisection, prints its answer and writes its reports. Returns its log.
///
/// # Errors
/// The request is wrong, there is no answer, or the host failed.
pub fn run(
    cx: &Context,
    request: &BisectRequest,
    manner: &Manner<'_>,
    resume: bool,
    files: &ReportFiles,
) -> Result<Vec<Event>, Failure> {
    request.check()?;
    let pattern = Signature::new(request.signature.as_deref())?;
    let request = line::resolve(&cx.cache, request)?;
    let line = line::read(cx, &request, manner.jobs)?;
    let state = state::open(&cx.cache, &request, resume)?;
    (manner.ready)()?;
    let inputs = GuestInputs::of(&record::find(&cx.cache, &request.base)?.definition()?)?;
    let executor = match manner.executor {
        ExecutorChoice::Local => None,
        choice => Some(Executor::open(cx, choice, manner.jobs)?),
    };
    let remote = executor.as_ref().map(|executor| Remote::new(cx, executor));
    let logs = logs::folder(cx)?;
    let tester = |signature| GuestTester {
        cx,
        request: &request,
        guest: &manner.guest,
        verbose: manner.verbose,
        line: &line,
        signature,
        inputs: &inputs,
        logs: &logs,
        count: AtomicUsize::new(0),
        remote: remote.as_ref(),
    };
    let signature = match &request.metric {
        Some((name, percent)) => {
            let metric = baseline(&tester(&pattern), &request, name, *percent)?;
            Signature::Worse(metric)
        }
        None => pattern.clone(),
    };
    let tester = tester(&signature);
    let mut log = Log::open(&log::path(&state.dir))?;
    let session = Session {
        problem: &line.problem,
        tester: &tester,
        interrupt: &cx.interrupt,
        say: &|text| cx.terminal.line(&format!("{}: {text}", request.base)),
        describe: &|at| line.describe(at),
    };
    let result = session.run(&mut log)?;
    let mut report = report::report(&request, &line, log.events(), &result)?;
    if let (
        RangeChoice::Series,
        Ok(Answer {
            suspects, passes, ..
        }),
    ) = (&request.range, &result)
        && let [culprit] = suspects.as_slice()
    {
        report.alone = Some(alone::check(&request, &line, &tester, *culprit, *passes)?);
    }
    let passes = result.as_ref().map_or(1, |answer| answer.passes);
    let answer = result.as_ref().ok();
    let git_log = git_log::export(
        &line.candidates,
        &line.problem,
        log.events(),
        passes,
        answer,
    );
    write(&state.dir, &report, &git_log, files)?;
    for text in report.lines() {
        cx.terminal.print(text);
    }
    cx.terminal.line(&format!(
        "the log for git: {}",
        state.dir.join(GIT_LOG).display()
    ));
    // Old results are removed last, when nothing waits for it.
    cx.store.gc(RESULTS_KEPT)?;
    match result {
        Ok(_) => Ok(log.events().to_vec()),
        Err(refusal) => Err(report::refused(&refusal, &line)),
    }
}

/// Returns the limit of a metric, from the good endpoint.
fn baseline(
    tester: &GuestTester<'_>,
    request: &BisectRequest,
    name: &str,
    percent: f64,
) -> Result<Metric, Failure> {
    let choice = tester.line.kernel(0, 0)?;
    let outcomes = tester.outcomes(
        &choice,
        request.runs,
        false,
        (&mut None, &mut BTreeMap::new()),
    )?;
    Metric::worse_than(name, &outcomes, percent).ok_or_else(|| {
        Failure::usage(
            format!("use --metric {name}"),
            format!("no test reports `{name}=NUMBER` on the good commit"),
        )
        .help("name a number of the tests' details, as `vm-test --json` writes them")
    })
}

/// The name of the log for git in a state's folder.
const GIT_LOG: &str = "git-bisect.log";

fn write(
    dir: &std::path::Path,
    report: &Report,
    git_log: &str,
    files: &ReportFiles,
) -> Result<(), Failure> {
    let text = |path: &PathBuf| {
        write_atomically(path, git_log.as_bytes())
            .map_err(|error| Failure::io("write the log for git", path, error))
    };
    text(&dir.join(GIT_LOG))?;
    report.write_html(&dir.join("report.html"))?;
    if let Some(path) = &files.json {
        report.write_json(path)?;
    }
    if let Some(path) = &files.html {
        report.write_html(path)?;
    }
    if let Some(path) = &files.git_log {
        text(path)?;
    }
    // The last one: it marks the bisection as finished.
    report.write_json(&dir.join(state::REPORT))
}
