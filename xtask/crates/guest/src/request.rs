//! What a caller asks for: a guest, and tests on it. This is plain data: the
//! command line fills it in, and so do proofs and benchmarks.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::program::Program;
use kdk_core::failure::Failure;
use kdk_doctor::hypervisor::VmmChoice;
use kdk_series::base::definition;
use kdk_vm::accel::AccelChoice;
use kdk_vm::error::RunError;
use kdk_vm::plan::{Isolation, Selection};
use kdk_vm::select::check_patterns;
use kdk_vm::session::Limits;
use kdk_vm::verdict::Outcome;
use serde::{Deserialize, Serialize};

/// A guest that a caller asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRequest {
    /// The base to test on, or `demo`; none for the default base.
    pub base: Option<String>,
    /// Whether the patch series is left out.
    pub no_patches: bool,
    /// Patches of the series that are left out, with those that need them.
    pub exclude: Vec<String>,
    /// Diffs that are applied after the series.
    pub patch: Vec<PathBuf>,
    /// The user's programs that are tests.
    pub programs: Vec<Program>,
    /// The hypervisor that runs the guest.
    pub vmm: VmmChoice,
    /// What executes the guest's instructions.
    pub accel: AccelChoice,
    /// How the kernel is booted.
    pub boot: BootChoice,
    /// The number of virtual CPUs of a machine whose tests need no other; none
    /// for 1.
    pub cpus: Option<u32>,
    /// Which of the base's kernels.
    pub kernel: KernelChoice,
    /// A commit to build, instead of the base's with its series.
    pub commit: Option<CommitChoice>,
    /// Whether builds are confined.
    pub sandbox: bool,
}

/// A commit of kdk's repository of a base, with its patches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitChoice {
    /// The id of the commit.
    pub commit: String,
    /// The ids of the patches that it has.
    pub patches: Vec<String>,
    /// Whether a patch lets the kernel boot directly.
    pub direct_boot: bool,
    /// The number of the checkout and object directory to use. The first one,
    /// 0, is the base's own; kernels that are built side by side have others.
    pub place: usize,
}

/// Which of a base's kernels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KernelChoice {
    /// The one with every check, for tests.
    #[default]
    Checked,
    /// The one without checks, for measurements.
    Bench,
}

impl KernelChoice {
    /// The names of the choices, which `ci/matrix.yaml` calls configs.
    pub const NAMES: [&str; 2] = [definition::DEBUG, definition::BENCH];

    /// Returns the name in `ci/matrix.yaml`. Each base says which configuration
    /// the name stands for.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checked => definition::DEBUG,
            Self::Bench => definition::BENCH,
        }
    }
}

impl FromStr for KernelChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Checked, Self::Bench]
            .into_iter()
            .find(|choice| choice.name() == text)
            .ok_or_else(|| format!("{text:?} is none of {}", Self::NAMES.join(", ")))
    }
}

/// How a caller wants the kernel booted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BootChoice {
    /// Directly where the series allows it, else through the loader; bhyve
    /// uses bhyveload(8).
    #[default]
    Auto,
    /// Directly, through the PVH entry point.
    Pvh,
    /// Through the EFI loader.
    Efi,
}

impl BootChoice {
    /// The names that the command line accepts.
    pub const NAMES: [&str; 3] = ["auto", "pvh", "efi"];
}

impl FromStr for BootChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "pvh" => Ok(Self::Pvh),
            "efi" => Ok(Self::Efi),
            _ => Err(format!("{text:?} is none of {}", Self::NAMES.join(", "))),
        }
    }
}

/// Which tests a caller asks for, and how they run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestRequest {
    /// Names and globs of tests; none for all tests that run by default.
    pub patterns: Vec<String>,
    /// The numbers of virtual CPUs that all tests run on; none for those that
    /// each test declares.
    pub cpus: Vec<u32>,
    /// The same for single tests, by name.
    pub cpus_of: BTreeMap<String, Vec<u32>>,
    /// Which tests share a kernel.
    pub isolation: Isolation,
    /// The number of guests that run side by side.
    pub jobs: u16,
    /// How many times each test runs.
    pub repeat: u32,
    /// Whether the seed decides the order.
    pub shuffle: bool,
    /// What decides every random choice of the run; none for a random seed.
    pub seed: Option<u64>,
    /// Whether every guest boots, instead of loading the saved machine.
    pub cold: bool,
    /// The limit of each test in seconds, instead of its own.
    pub timeout: Option<u64>,
    /// Whether the guest's console and results are shown.
    pub verbose: bool,
}

impl Default for TestRequest {
    fn default() -> Self {
        Self {
            patterns: Vec::new(),
            cpus: Vec::new(),
            cpus_of: BTreeMap::new(),
            isolation: Isolation::Test,
            jobs: 1,
            repeat: 1,
            shuffle: false,
            seed: None,
            cold: false,
            timeout: None,
            verbose: false,
        }
    }
}

impl TestRequest {
    /// Fails if the request contradicts itself, or if no test can have a name
    /// that it asks for.
    ///
    /// # Errors
    /// Always the caller's, of [`Class::Usage`](kdk_core::failure::Class).
    pub fn check(&self) -> Result<(), Failure> {
        check_patterns(&self.patterns).map_err(RunError::from)?;
        if self.jobs > 1 && self.isolation == Isolation::None {
            return Err(Failure::usage(
                "run guests side by side",
                "with --isolation none all tests share one guest",
            )
            .help("leave --jobs out, or use --isolation test or suite"));
        }
        Ok(())
    }

    /// Returns the seed of this run: the caller's, or a random one.
    pub fn seed(&self) -> u64 {
        // The standard library's hash keys are the system's random numbers.
        self.seed
            .unwrap_or_else(|| RandomState::new().hash_one(std::process::id()) >> 32)
    }

    /// Returns the time limits of this run.
    pub fn limits(&self) -> Limits {
        Limits {
            test: self.timeout.map(Duration::from_secs),
            ..Limits::default()
        }
    }

    /// Returns what the runner selects its tests by.
    pub fn selection(&self) -> Selection {
        Selection {
            patterns: self.patterns.clone(),
            repeat: usize::try_from(self.repeat).unwrap_or(usize::MAX),
            shuffle: self.shuffle,
            seed: self.seed(),
            cpus: self.cpus.clone(),
            cpus_of: self.cpus_of.clone(),
        }
    }
}

/// Returns the command line that runs a test again, given that of its run.
pub fn run_again(command_line: &str, outcome: &Outcome) -> String {
    let seed = outcome.seed.map(|seed| format!(" --seed {seed}"));
    format!(
        "{command_line}{} --cpus {} --tests {}",
        seed.unwrap_or_default(),
        outcome.cpus,
        outcome.name
    )
}

/// Returns the `vm-test` command line of a run on `base`, without its tests,
/// seed, CPUs and reports. It has each option that is not the default and can change
/// the verdict of one test.
pub fn command_line(base: &str, guest: &GuestRequest, tests: &TestRequest) -> String {
    let mut words = ["cargo", "xtask", "vm-test", "--base", base]
        .map(str::to_owned)
        .to_vec();
    if guest.no_patches {
        words.push("--no-patches".into());
    }
    let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
    for id in &guest.exclude {
        option("--exclude-patch", id.clone());
    }
    for patch in &guest.patch {
        option("--patch", patch.display().to_string());
    }
    for program in &guest.programs {
        option("--program", program.path.display().to_string());
        for argument in &program.arguments {
            option("--program-arg", argument.clone());
        }
    }
    if let AccelChoice::Exactly(engine) = guest.accel {
        option("--accel", engine.name().to_owned());
    }
    match guest.boot {
        BootChoice::Auto => {}
        BootChoice::Pvh => option("--boot", "pvh".into()),
        BootChoice::Efi => option("--boot", "efi".into()),
    }
    if let Some(seconds) = tests.timeout {
        option("--timeout", seconds.to_string());
    }
    if tests.cold {
        words.push("--cold".into());
    }
    let quoted = words.iter().map(|word| {
        // Only a NUL cannot be quoted, and no file name has one.
        shlex::try_quote(word).map_or_else(|_| word.clone(), Into::into)
    });
    quoted.collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use kdk_vm::qemu::Engine;

    use super::*;

    #[test]
    fn a_seed_is_the_callers_or_random() {
        let tests = |seed| TestRequest {
            seed,
            ..TestRequest::default()
        };
        assert_eq!(tests(Some(7)).seed(), 7);
        let seeds: std::collections::BTreeSet<u64> = (0..8).map(|_| tests(None).seed()).collect();
        assert!(seeds.len() > 1);
    }

    #[test]
    fn names_of_boot_choices() {
        for name in BootChoice::NAMES {
            assert!(name.parse::<BootChoice>().is_ok(), "{name}");
        }
        assert!("bios".parse::<BootChoice>().is_err());
    }

    #[test]
    fn names_of_kernels() {
        for name in KernelChoice::NAMES {
            assert_eq!(name.parse::<KernelChoice>().unwrap().name(), name);
        }
        assert!("kasan".parse::<KernelChoice>().is_err());
    }

    #[test]
    fn the_command_line_has_every_option_that_is_not_the_default() {
        let plain = "cargo xtask vm-test --base head-2014";
        let (guest, tests) = (GuestRequest::default(), TestRequest::default());
        assert_eq!(command_line("head-2014", &guest, &tests), plain);
        let excluding = GuestRequest {
            base: Some("other".into()),
            exclude: vec!["a".into(), "b".into()],
            ..guest
        };
        assert_eq!(
            command_line("head-2014", &excluding, &tests),
            format!("{plain} --exclude-patch a --exclude-patch b")
        );
        let all = GuestRequest {
            no_patches: true,
            patch: vec!["my fix.diff".into(), "b.diff".into()],
            programs: vec![Program {
                path: "repro".into(),
                arguments: vec!["-n 5".into()],
            }],
            accel: AccelChoice::Exactly(Engine::Tcg),
            boot: BootChoice::Efi,
            ..GuestRequest::default()
        };
        let tests = TestRequest {
            timeout: Some(9),
            cold: true,
            ..tests
        };
        assert_eq!(
            command_line("head-2014", &all, &tests),
            format!(
                "{plain} --no-patches --patch 'my fix.diff' --patch b.diff --program repro \
                 --program-arg '-n 5' --accel tcg --boot efi \
                 --timeout 9 --cold"
            )
        );
    }
}
