//! Arguments that several commands share, and the requests they stand for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_doctor::Need;
use kdk_doctor::hypervisor::VmmChoice;
use kdk_executor::ExecutorChoice;
use kdk_guest::program::Program;
use kdk_guest::request::{BootChoice, GuestRequest, TestRequest};
use kdk_report::files::ReportFiles;
use kdk_vm::MAX_CPUS;
use kdk_vm::accel::AccelChoice;
use kdk_vm::plan::Isolation;

/// The most rounds of one run: each test of each round has a line in the report.
pub const MOST_ROUNDS: i64 = 10_000;

/// The most guests that run side by side.
pub const MOST_JOBS: i64 = 256;

/// Parses one of `names`.
pub fn one_of<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| name.parse::<T>())
}

/// Checks that this host has what the executor needs.
pub fn need_executor(cx: &Context, executor: ExecutorChoice, yes: bool) -> Result<(), Failure> {
    match executor {
        ExecutorChoice::Local => Ok(()),
        ExecutorChoice::Slurm => kdk_doctor::need(cx, Need::Slurm, yes),
    }
}

/// The guest to use.
#[derive(Debug, Clone, clap::Args)]
pub struct GuestArgs {
    /// The base to test on, or `demo` [default: the base added last, else demo]
    #[arg(long, value_name = "NAME")]
    pub(crate) base: Option<String>,
    /// Build the base without the patch series
    #[arg(long, alias = "unpatched")]
    pub(crate) no_patches: bool,
    /// Exclude this patch and those that need it; can be repeated
    #[arg(
        long,
        value_name = "ID",
        alias = "without",
        conflicts_with = "no_patches"
    )]
    pub(crate) exclude_patch: Vec<String>,
    /// Apply this diff after the series; can be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) patch: Vec<PathBuf>,
    /// Test with this static FreeBSD program: its exit status is the verdict (125: SKIP)
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Pass this argument to the program; can be repeated
    #[arg(
        long,
        value_name = "ARG",
        requires = "program",
        allow_hyphen_values = true
    )]
    pub(crate) program_arg: Vec<String>,
    /// The hypervisor; bhyve runs on FreeBSD only
    #[arg(long, value_name = "V", default_value = "auto", value_parser = one_of::<VmmChoice>(&VmmChoice::NAMES))]
    pub(crate) vmm: VmmChoice,
    /// The accelerator of QEMU
    #[arg(long, value_name = "A", default_value = "auto", value_parser = one_of::<AccelChoice>(&AccelChoice::NAMES))]
    pub(crate) accel: AccelChoice,
    /// How the kernel boots: pvh directly, efi through the loader
    #[arg(long, value_name = "B", default_value = "auto", value_parser = one_of::<BootChoice>(&BootChoice::NAMES))]
    pub(crate) boot: BootChoice,
    /// Confine the build of the kernel with bubblewrap (docs/ci.md)
    #[arg(long)]
    pub(crate) sandbox: bool,
}

impl GuestArgs {
    /// Returns the user's program that is a test, if there is one.
    pub fn program(&self) -> Option<Program> {
        self.program.clone().map(|path| Program {
            path,
            arguments: self.program_arg.clone(),
        })
    }

    /// Returns the request for the guest.
    pub fn request(&self) -> GuestRequest {
        GuestRequest {
            base: self.base.clone(),
            no_patches: self.no_patches,
            exclude: self.exclude_patch.clone(),
            patch: self.patch.clone(),
            programs: self.program().into_iter().collect(),
            vmm: self.vmm,
            accel: self.accel,
            boot: self.boot,
            sandbox: self.sandbox,
            ..GuestRequest::default()
        }
    }
}

/// The guest to use, and the one machine that it runs in.
#[derive(Debug, Clone, clap::Args)]
pub struct MachineArgs {
    #[command(flatten)]
    pub(crate) guest: GuestArgs,
    /// The number of virtual CPUs [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CPUS)))]
    pub(crate) cpus: Option<u32>,
}

impl MachineArgs {
    /// Returns the request for the guest.
    pub fn request(&self) -> GuestRequest {
        GuestRequest {
            cpus: self.cpus,
            ..self.guest.request()
        }
    }
}

/// The tests to run, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct TestArgs {
    /// Run the tests that match; !GLOB excludes; can be repeated [default: all default tests]
    #[arg(long, value_name = "GLOB")]
    pub(crate) tests: Vec<String>,
    /// Run the tests on N virtual CPUs; a list, or repeated, for each number [default: as each test declares]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CPUS)))]
    pub(crate) cpus: Vec<u32>,
    /// Which tests share a kernel: none, those of a suite, or all
    #[arg(long, value_name = "I", default_value = "test", value_parser = one_of::<Isolation>(&Isolation::NAMES))]
    pub(crate) isolation: Isolation,
    /// Run N guests side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MOST_JOBS))]
    pub(crate) jobs: u16,
    /// Run each test N times and report flakiness
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_ROUNDS))]
    pub(crate) repeat: u32,
    /// Run the tests in a random order
    #[arg(long)]
    pub(crate) shuffle: bool,
    /// Repeat the random choices of the run with this seed [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Boot every guest instead of loading the saved machine
    #[arg(long)]
    pub(crate) cold: bool,
    /// Limit each test to S seconds instead of its own limit
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: Option<u64>,
    /// Show the guest's console and results
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

impl TestArgs {
    /// Returns the request for the tests.
    pub fn request(&self) -> TestRequest {
        TestRequest {
            patterns: self.tests.clone(),
            cpus: each_once(&self.cpus),
            cpus_of: BTreeMap::new(),
            isolation: self.isolation,
            jobs: self.jobs,
            repeat: self.repeat,
            shuffle: self.shuffle,
            seed: self.seed,
            cold: self.cold,
            timeout: self.timeout,
            verbose: self.verbose,
        }
    }
}

/// Returns numbers without repetitions, in their order.
pub fn each_once(numbers: &[u32]) -> Vec<u32> {
    let mut once = Vec::new();
    for number in numbers {
        if !once.contains(number) {
            once.push(*number);
        }
    }
    once
}

/// The report files to write.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ReportArgs {
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

impl ReportArgs {
    /// Returns the files to write.
    pub fn files(&self) -> ReportFiles {
        ReportFiles {
            json: self.json.clone(),
            junit: self.junit.clone(),
            html: self.html.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        guest: GuestArgs,
        #[command(flatten)]
        tests: TestArgs,
    }

    fn parse(line: &str) -> Result<Line, clap::Error> {
        Line::try_parse_from(std::iter::once("vm-test").chain(line.split_whitespace()))
    }

    #[test]
    fn defaults_are_those_of_the_requests() {
        let line = parse("").unwrap();
        assert_eq!(line.guest.request(), GuestRequest::default());
        assert_eq!(line.tests.request(), TestRequest::default());
    }

    #[test]
    fn old_spellings_are_aliases() {
        let guest = |line: &str| parse(line).unwrap().guest.request();
        assert_eq!(guest("--unpatched"), guest("--no-patches"));
        assert_eq!(guest("--without a"), guest("--exclude-patch a"));
    }

    #[test]
    fn cpus_are_a_list_or_repeated() {
        let cpus = |line: &str| parse(line).unwrap().tests.request().cpus;
        assert_eq!(cpus("--cpus 4"), [4]);
        assert_eq!(cpus("--cpus 1,4"), [1, 4]);
        assert_eq!(cpus("--cpus 2 --cpus 1,2"), [2, 1]);
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for line in [
            "--cpus 0",
            "--cpus 65",
            "--cpus 1,0",
            "--cpus 1,",
            "--jobs 0",
            "--repeat 0",
            "--repeat 4294967295",
            "--jobs 65535",
            "--timeout 0",
            "--timeout 9223372036854775808",
            "--vmm xen",
            "--boot bios",
            "--isolation all",
            "--accel warp",
            "--no-patches --exclude-patch a",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
