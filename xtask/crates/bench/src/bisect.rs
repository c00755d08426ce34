//! `cargo xtask bench bisect`: the time that a bisection takes to read a long
//! range and to replay a series on each of its commits, and what its steps cost
//! beyond the build, the boot and the tests.

use std::fmt::Write;
use std::time::Instant;

use kdk_bisect::ReportFiles;
use kdk_bisect::candidates::{self, Candidates};
use kdk_bisect::decide::{Event, Purpose};
use kdk_bisect::line::{self, Line};
use kdk_bisect::request::{BisectRequest, RangeChoice, RunOptions, TestSource};
use kdk_bisect::synthetic::{self, Synthetic};
use kdk_core::cache_dir::CacheDir;
use kdk_core::clock;
use kdk_core::context::Context;
use kdk_core::event::{Phase, milliseconds};
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_executor::ExecutorChoice;
use kdk_guest::build::compiled;
use kdk_guest::build::known_inputs::KnownInputs;
use kdk_guest::request::GuestRequest;
use kdk_series::base::{record, repo};
use kdk_series::load::{self, Loaded};

use crate::{median, seconds, time_goal};

const TRIED: &str = "measure a bisection";

/// The number of commits and patches.
const COMMITS: usize = 4000;
const PATCHES: usize = 20;

/// The number of commits of the bisection that is measured.
const STEPS: usize = 48;
/// The time of a step beyond its make, boot and tests, in milliseconds.
const STEP_MS: u64 = 2000;

/// The longest time of the replay, in milliseconds.
const LONGEST_MS: u64 = 300_000;

/// One commit of so many changes a file of the patches. In FreeBSD's history it
/// is one of some hundred.
const EVERY: usize = 8;

/// Measures bisections on `base`, and prints the results.
///
/// # Errors
/// The base has no series, or the host failed.
pub fn run(cx: &Context, base: &str, quick: bool) -> Result<(), Failure> {
    prepass(cx, base, quick)?;
    match quick {
        true => Ok(()),
        false => steps(cx, base),
    }
}

/// Measures a bisection of a few commits, each with one changed C file.
fn steps(cx: &Context, base: &str) -> Result<(), Failure> {
    let record = record::find(&cx.cache, base)?;
    // Another history each time: nothing of it is built yet.
    let salt = usize::try_from(clock::now() % 1_000_000).unwrap_or_default();
    let history = Synthetic {
        commits: STEPS,
        no_build: 0..0,
        no_boot: 0..0,
        flaky: 0..0,
        merges: Vec::new(),
        culprit: STEPS * 2 / 3,
        salt,
    };
    let git = repo::git(&cx.cache, base);
    let commits = synthetic::write(&git, &record.commit, &history)?;
    let request = BisectRequest {
        base: base.to_owned(),
        range: RangeChoice::Commits {
            good: commits[0].clone(),
            bad: commits[STEPS].clone(),
        },
        tests: TestSource::Suites(vec![synthetic::TEST.into()]),
        signature: Some(synthetic::SIGNATURE.into()),
        metric: None,
        with: Vec::new(),
        cpus: Vec::new(),
        accel: Default::default(),
        runs: 20,
    };
    let options = RunOptions {
        guest: GuestRequest {
            base: Some(base.to_owned()),
            ..GuestRequest::default()
        },
        jobs: 1,
        executor: ExecutorChoice::Local,
        verbose: false,
        ready: &|| Ok(()),
    };
    let begun = Instant::now();
    let events = kdk_bisect::run(cx, &request, &options, false, &ReportFiles::default())?;
    let all = milliseconds(begun.elapsed());
    synthetic::forget(&git, &record.commit, &history)?;
    let runs = events.iter().filter_map(|event| match event {
        Event::Run(run) => Some(run),
        _ => None,
    });
    let (mut beyond, mut bare) = (Vec::new(), 0);
    for run in runs {
        let work = [Phase::Kernel, Phase::Boot, Phase::Tests].map(|phase| run.phases.get(&phase));
        let work: u64 = work.into_iter().flatten().sum();
        bare += work;
        if run.purpose == Purpose::Search {
            beyond.push(run.ms.saturating_sub(work));
        }
    }
    let goal = bare * 12 / 10;
    cx.terminal.print(format!(
        "a step with one changed C file, beyond make, boot and tests: {}\n\
         the whole bisection: {}, its bare steps {}",
        time_goal(median(&mut beyond), STEP_MS),
        time_goal(all, goal),
        seconds(bare),
    ));
    Ok(())
}

/// Measures the replay.
fn prepass(cx: &Context, base: &str, quick: bool) -> Result<(), Failure> {
    let commits = if quick { COMMITS / 10 } else { COMMITS };
    let record = record::find(&cx.cache, base)?;
    let series = load::must(base)?;
    let dir =
        tempfile::tempdir().map_err(|error| Failure::io(TRIED, &std::env::temp_dir(), error))?;
    let git = repository(&cx.cache, base, dir.path())?;
    let ids: Vec<String> = series.ids().into_iter().take(PATCHES).collect();
    let history = History::of(&git, &series, &record.commit, commits)?;
    let bad = history.import(&git)?;
    let request = BisectRequest {
        base: base.to_owned(),
        range: RangeChoice::Commits {
            good: record.commit.clone(),
            bad: bad.clone(),
        },
        tests: TestSource::Suites(Vec::new()),
        signature: None,
        metric: None,
        with: ids.clone(),
        cpus: Vec::new(),
        accel: Default::default(),
        runs: 1,
    };
    let begun = Instant::now();
    let candidates = candidates::list(&git, &record.commit, &bad)?;
    let listed = milliseconds(begun.elapsed());
    let known = KnownInputs::new(compiled::of_whole_kernel(&cx.cache, base)?);
    let line = read(git, candidates, &request, &known)?;
    let all = milliseconds(begun.elapsed());
    cx.terminal.print(format!(
        "prepass: {commits} commits x {} patches: {}\n\
         of that, listing the commits: {}\n\
         {} of the commits have a kernel of their own",
        ids.len(),
        time_goal(all, LONGEST_MS),
        seconds(listed),
        line.problem.suspects(),
    ));
    for text in line.about_patches() {
        cx.terminal.print(text);
    }
    Ok(())
}

fn read(
    git: Git,
    candidates: Candidates,
    request: &BisectRequest,
    known: &KnownInputs,
) -> Result<Line, Failure> {
    line::replayed(git, candidates, request, known, 1)
}

/// Creates a repository with the objects of the base.
fn repository(cache: &CacheDir, base: &str, dir: &std::path::Path) -> Result<Git, Failure> {
    let git = Git::new(dir.join("git"));
    git.text(TRIED, &["init", "--quiet", "--bare"])?;
    let of = repo::path(cache, base);
    let path = git.git_dir().join("objects/info/alternates");
    std::fs::write(&path, format!("{}\n", of.join("objects").display()))
        .map_err(|error| Failure::io(TRIED, &path, error))?;
    Ok(git)
}

/// A history in the form of git-fast-import(1).
struct History(String);

impl History {
    /// Returns `commits` commits on top of `base`. Each appends a line to a
    /// file under sys/, one in [`EVERY`] to a file of the patches.
    fn of(git: &Git, series: &Loaded, base: &str, commits: usize) -> Result<Self, Failure> {
        let mut patched: Vec<String> = Vec::new();
        for change in series.changes()?.iter().take(PATCHES) {
            let text = String::from_utf8_lossy(&change.diff).into_owned();
            let names = text.lines().filter_map(|line| line.strip_prefix("--- a/"));
            patched.extend(names.map(str::to_owned));
        }
        let list = git.text(TRIED, &["ls-tree", "-r", "--name-only", base, "sys/"])?;
        let others: Vec<&str> = list.lines().filter(|path| path.ends_with(".c")).collect();
        let mut stream = String::new();
        for number in 0..commits {
            let path = match (number % EVERY, patched.is_empty()) {
                (0, false) => patched[number / EVERY % patched.len()].as_str(),
                _ => others[number * 7919 % others.len()],
            };
            let blob = git.must(TRIED, &["cat-file", "blob", &format!("{base}:{path}")], b"")?;
            let text = String::from_utf8_lossy(&blob.stdout);
            let content = format!("{text}/* {number} */\n");
            // Writing to a string does not fail.
            let _ = write!(
                stream,
                "commit refs/heads/bench\ncommitter kdk <kdk@localhost> {} +0000\ndata 6\nbench\n\n{}M 100644 \
                 inline {path}\ndata {}\n{content}\n",
                1_700_000_000 + number,
                if number == 0 {
                    format!("from {base}^0\n")
                } else {
                    String::new()
                },
                content.len(),
            );
        }
        Ok(Self(stream))
    }

    /// Writes the commits, and returns the last one.
    fn import(&self, git: &Git) -> Result<String, Failure> {
        git.must(TRIED, &["fast-import", "--quiet"], self.0.as_bytes())?;
        git.text(TRIED, &["rev-parse", "refs/heads/bench"])
    }
}
