//! `cargo xtask bisect` and `cargo xtask step`.

use std::path::PathBuf;

use kdk_bisect::request::{BisectRequest, RangeChoice, RunOptions, TestSource};
use kdk_bisect::{ReportFiles, step};
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_doctor::Need;
use kdk_executor::ExecutorChoice;
use kdk_guest::guest;
use kdk_guest::request::GuestRequest;
use kdk_report::files::different;
use kdk_vm::MAX_CPUS;
use kdk_vm::accel::AccelChoice;

use super::args::{MOST_ROUNDS, each_once, need_executor, one_of};

/// The most kernels that are built side by side: each has a checkout and an
/// object directory of its own.
const MOST_KERNELS: i64 = 16;

/// The tests that run where only a signature is given. Those of the boot are
/// skipped on a kernel that the loader has booted, and a good kernel has to pass
/// one.
const BOOT: [&str; 2] = ["boot/*", "smoke/poll"];

/// Find the commit, or the patch of the series, that broke a test.
///
/// kdk tests commits between a good and a bad one, each with the enabling
/// patches of the base's series, until one commit is left that fails and whose
/// parent passes. It keeps its state: an interrupted bisection continues with
/// --resume.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    kernel: KernelArgs,
    /// A commit on which the tests pass
    #[arg(long, value_name = "REV", conflicts_with = "series", required_unless_present_any = ["series", "resume"])]
    good: Option<String>,
    /// A later commit on which they fail
    #[arg(long, value_name = "REV", conflicts_with = "series", requires = "good", required_unless_present_any = ["series", "resume"])]
    bad: Option<String>,
    /// Search the patches of the series, from no patch to all
    #[arg(long, conflicts_with = "with")]
    series: bool,
    /// Run the tests N times on the bad commit, to measure how often they fail; more if that is rare [default: 20]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_ROUNDS))]
    runs: Option<u32>,
    /// A commit is bad if this number, which the tests report, is worse than on the good one
    #[arg(
        long,
        value_name = "NAME",
        requires = "worse_than",
        conflicts_with = "signature",
        value_parser = metric_name
    )]
    metric: Option<String>,
    /// The number is worse if it is N % larger, or, with -N%, N % smaller
    #[arg(long, value_name = "N%", requires = "metric", value_parser = percent, allow_hyphen_values = true)]
    worse_than: Option<f64>,
    /// Build and test K kernels side by side, each in a checkout of its own
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MOST_KERNELS))]
    jobs: u16,
    /// Build and test the kernels here, or as job arrays of Slurm
    #[arg(long, value_name = "E", default_value = "local", value_parser = one_of::<ExecutorChoice>(&ExecutorChoice::NAMES))]
    executor: ExecutorChoice,
    /// Continue an interrupted bisection; without other options, the last one
    #[arg(long)]
    resume: bool,
    /// Print the plan, the rounds and the estimated time, and build nothing
    #[arg(long)]
    dry_run: bool,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the log that `git bisect replay` reads
    #[arg(long, value_name = "FILE")]
    git_log: Option<PathBuf>,
}

/// Test the commit that is checked out, for `git bisect run`.
///
/// The exit code is 0 for a good commit, 1 for a bad one, 125 for one that
/// cannot be tested, and above 128 for an error, which stops git.
#[derive(Debug, clap::Args)]
pub struct StepArgs {
    #[command(flatten)]
    kernel: KernelArgs,
    /// Run the tests N times; the commit is bad if they fail once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_ROUNDS))]
    runs: u32,
    /// The checkout [default: the one around the current directory]
    #[arg(long, value_name = "DIR")]
    src: Option<PathBuf>,
}

/// How each kernel is made and tested.
#[derive(Debug, clap::Args)]
struct KernelArgs {
    /// The base whose repository has the commits [default: the base added last]
    #[arg(long, value_name = "NAME")]
    base: Option<String>,
    /// Run the tests that match; can be repeated
    #[arg(long = "test", value_name = "GLOB")]
    tests: Vec<String>,
    /// Test with this static FreeBSD program: its exit status is the verdict (125: skip)
    #[arg(long, value_name = "FILE", conflicts_with = "tests")]
    program: Option<PathBuf>,
    /// Pass this argument to the program; can be repeated
    #[arg(
        long,
        value_name = "ARG",
        requires = "program",
        allow_hyphen_values = true
    )]
    program_arg: Vec<String>,
    /// Count only failures that this regular expression matches
    #[arg(long, value_name = "TEXT", value_parser = signature)]
    signature: Option<String>,
    /// Apply this patch of the series too, with those it needs; can be repeated
    #[arg(long, value_name = "ID")]
    with: Vec<String>,
    /// Run the tests on N virtual CPUs; a list, or repeated, for each number [default: as each test declares]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CPUS)))]
    cpus: Vec<u32>,
    /// The accelerator of QEMU
    #[arg(long, value_name = "A", default_value = "auto", value_parser = one_of::<AccelChoice>(&AccelChoice::NAMES))]
    accel: AccelChoice,
    /// Show the guest's console and results
    #[arg(short, long)]
    verbose: bool,
    /// Install missing packages without asking
    #[arg(short, long)]
    yes: bool,
}

/// Parses a number of percent: `10%`, `10` or `-5%`.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(number) if number.is_finite() && number != 0.0 && number > -100.0 => Ok(number),
        Ok(number) if number <= -100.0 => Err(format!("no number is {number} % smaller")),
        _ => Err(format!("{text:?} is no number of percent, such as 10%")),
    }
}

/// Parses the name of a number, as tests report it.
fn metric_name(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '=') {
        true => Err("a test reports a number as NAME=NUMBER, in one word".into()),
        false => Ok(text.to_owned()),
    }
}

/// Parses a signature. An empty one would match every failure.
fn signature(text: &str) -> Result<String, String> {
    match text.is_empty() {
        true => Err("it is empty: leave it out to count every failure".into()),
        false => Ok(text.to_owned()),
    }
}

/// The number of runs on the bad commit.
const RUNS: u32 = 20;

impl KernelArgs {
    fn request(
        &self,
        cx: &Context,
        range: RangeChoice,
        runs: u32,
    ) -> Result<BisectRequest, Failure> {
        let tests = match (&self.program, self.tests.as_slice()) {
            (Some(path), _) => TestSource::program(path.clone(), self.program_arg.clone())?,
            // The signature is that of a panic while the kernel boots or is idle.
            (None, []) if self.signature.is_some() => {
                TestSource::Suites(BOOT.map(str::to_owned).into())
            }
            (None, []) => {
                return Err(Failure::usage("choose the tests", "no test is named").help(
                    "name tests with `--test GLOB`, a program with `--program FILE`, or a panic \
                         of the boot with `--signature TEXT`",
                ));
            }
            (None, tests) => TestSource::Suites(tests.to_vec()),
        };
        Ok(BisectRequest {
            base: guest::base_name(cx, self.base.as_deref())?,
            range,
            tests,
            signature: self.signature.clone(),
            metric: None,
            with: self.with.clone(),
            cpus: each_once(&self.cpus),
            accel: self.accel,
            runs,
        })
    }

    fn options<'a>(
        &self,
        base: &str,
        jobs: u16,
        executor: ExecutorChoice,
        ready: &'a dyn Fn() -> Result<(), Failure>,
    ) -> RunOptions<'a> {
        RunOptions {
            guest: GuestRequest {
                base: Some(base.to_owned()),
                ..GuestRequest::default()
            },
            jobs: jobs.into(),
            executor,
            verbose: self.verbose,
            ready,
        }
    }
}

impl Args {
    /// Fails if an option says what to search, but not in which range: the last
    /// bisection that `--resume` continues may be about something else.
    fn check_alone(&self) -> Result<(), Failure> {
        let kernel = &self.kernel;
        let options = [
            ("--base", kernel.base.is_some()),
            ("--test", !kernel.tests.is_empty()),
            ("--program", kernel.program.is_some()),
            ("--signature", kernel.signature.is_some()),
            ("--with", !kernel.with.is_empty()),
            ("--cpus", !kernel.cpus.is_empty()),
            ("--accel", kernel.accel != AccelChoice::default()),
            ("--good", self.good.is_some()),
            ("--runs", self.runs.is_some()),
            ("--metric", self.metric.is_some()),
        ];
        let Some((option, _)) = options.into_iter().find(|(_, is_set)| *is_set) else {
            return Ok(());
        };
        Err(Failure::usage(
            format!("use {option} with --resume"),
            "without a range --resume continues the last bisection, with its own options",
        )
        .help("repeat all options of the bisection to continue that one, or leave them all out"))
    }
}

/// Runs `cargo xtask bisect`.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let range = match (&args.good, &args.bad) {
        (Some(good), Some(bad)) => Some(RangeChoice::Commits {
            good: good.clone(),
            bad: bad.clone(),
        }),
        _ => args.series.then_some(RangeChoice::Series),
    };
    let request = match range {
        Some(range) => Some(BisectRequest {
            metric: args.metric.clone().zip(args.worse_than),
            ..args.kernel.request(cx, range, args.runs.unwrap_or(RUNS))?
        }),
        None => {
            args.check_alone()?;
            None
        }
    };
    different(&[&args.json, &args.html, &args.git_log])?;
    let request = kdk_bisect::to_continue(cx, request)?;
    let ready = || {
        need_executor(cx, args.executor, args.kernel.yes)?;
        kdk_doctor::need(cx, Need::FreeBsd, args.kernel.yes)
    };
    let options = args
        .kernel
        .options(&request.base, args.jobs, args.executor, &ready);
    if args.dry_run {
        return kdk_bisect::dry_run(cx, &request, &options);
    }
    let files = ReportFiles {
        json: args.json.clone(),
        html: args.html.clone(),
        git_log: args.git_log.clone(),
    };
    kdk_bisect::run(cx, &request, &options, args.resume, &files).map(drop)
}

/// Runs `cargo xtask step`, and returns its exit code.
pub fn run_step(args: &StepArgs, cx: &Context) -> Result<u8, Failure> {
    // The range is the one of git's own bisection.
    let range = RangeChoice::Commits {
        good: String::new(),
        bad: String::new(),
    };
    let request = args.kernel.request(cx, range, args.runs)?;
    let ready = || kdk_doctor::need(cx, Need::FreeBsd, args.kernel.yes);
    let options = args
        .kernel
        .options(&request.base, 1, ExecutorChoice::Local, &ready);
    let dir = match &args.src {
        Some(dir) => dir.clone(),
        None => std::env::current_dir().map_err(|error| {
            Failure::infra("find the checkout", "the current directory is gone").source(error)
        })?,
    };
    let tested = step::step(cx, &request, &options, &dir)?;
    let (code, why) = (step::exit_code(&tested.counts), &tested.counts.why);
    cx.terminal.print(match code {
        0 => "good".to_owned(),
        step::SKIP => format!("skipped: {why}"),
        _ => format!("bad: {why}"),
    });
    Ok(code)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(words: &str) -> Result<Args, clap::Error> {
        let words = std::iter::once("bisect").chain(words.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.args)
    }

    #[test]
    fn resume_takes_all_options_or_none() {
        for words in ["", "--jobs 2 --json a --verbose --dry-run"] {
            let args = parse(&format!("--resume {words}")).unwrap();
            assert!(args.check_alone().is_ok(), "{words}");
        }
        for option in [
            "--base main",
            "--test a/*",
            "--program a",
            "--signature a",
            "--with a",
            "--cpus 2",
            "--accel tcg",
            "--runs 20",
            "--metric ns --worse-than 1%",
        ] {
            let args = parse(&format!("--resume {option}")).unwrap();
            let failure = args.check_alone().unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{option}");
            let name = option.split(' ').next().unwrap_or_default();
            assert!(failure.in_one_line().contains(name), "{failure}");
        }
        let good = parse("--resume --good a");
        assert!(good.map_or(true, |args| args.check_alone().is_err()));
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        for words in [
            "--series --with a --test a/x",
            "--series --metric a=b --worse-than 1%",
            "--series --metric ns --worse-than -100%",
            "--series --metric ns --worse-than nan",
            "--series --test a/x --signature=",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
        assert!(parse("--series --metric ns --worse-than -99.5%").is_ok());
    }
}
