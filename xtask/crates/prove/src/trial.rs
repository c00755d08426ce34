//! The tests of a proof on one kernel.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::judge::Trial;
use kdk_core::context::Context;
use kdk_core::failure::{Class, Failure};
use kdk_core::logs;
use kdk_guest::guest::{self, BootWish, Wanted};
use kdk_guest::run_tests::{self, Place, Tests};
use kdk_guest::symbolize::{Explainer, command};
use kdk_report::recorder::Recorder;

/// What all kernels of a proof have in common.
pub struct Prover<'a> {
    /// The cache, the person in front.
    pub cx: &'a Context,
    /// The base.
    pub base: &'a str,
    /// How machines are to be; which patches they have, says each trial.
    pub wanted: &'a Wanted,
    /// How tests are to be run; which, says each trial.
    pub tests: &'a Tests,
}

/// One kernel and what is run on it.
#[derive(Debug, Clone, Default)]
pub struct Kernel {
    /// Patches that are left out, with what needs them.
    pub without: Vec<String>,
    /// Whether it boots directly, whatever its patches are.
    pub pvh: bool,
    /// A diff that comes after the patches.
    pub patch: Option<PathBuf>,
    /// Virtual CPUs, where the user's number is not enough.
    pub cpus: Option<u32>,
    /// Which tests.
    pub patterns: Vec<String>,
}

/// Which tests are to be run, and the virtual CPUs they ask for.
pub type Wish<'a> = (Option<u32>, &'a [String]);

/// What came of tests on the whole series, by the virtual CPUs they ask for.
#[derive(Debug, Default)]
pub struct Whole(BTreeMap<Option<u32>, Trial>);

impl Whole {
    /// That of the tests that ask for so many.
    pub fn with(&self, cpus: Option<u32>) -> Result<&Trial, Failure> {
        self.0.get(&cpus).ok_or_else(|| {
            Failure::infra("compare two kernels", "the tests have not run on the first")
        })
    }

    /// Each trial.
    pub fn trials(&self) -> impl Iterator<Item = &Trial> {
        self.0.values()
    }
}

impl Prover<'_> {
    /// Tells the person in front which kernel is next.
    pub fn say(&self, what: &str) {
        self.cx.terminal.line(&format!("{}: {what}", self.base));
    }

    /// Runs the tests of all `wishes` on a kernel with the whole series.
    pub fn whole(&self, wishes: &[Wish<'_>]) -> Result<Whole, Failure> {
        let mut wanted: BTreeMap<Option<u32>, Vec<String>> = BTreeMap::new();
        for (cpus, globs) in wishes {
            let patterns = wanted.entry(*cpus).or_default();
            for glob in *globs {
                if !patterns.contains(glob) {
                    patterns.push(glob.clone());
                }
            }
        }
        let mut whole = Whole::default();
        for (cpus, patterns) in wanted {
            self.say(&format!("with the whole series{}", on(cpus)));
            let trial = self.trial(&Kernel {
                patterns,
                cpus,
                ..Kernel::default()
            })?;
            whole.0.insert(cpus, trial);
        }
        Ok(whole)
    }

    /// Runs tests on a kernel.
    ///
    /// # Errors
    /// What says nothing of the kernel: the host's faults, a pattern that
    /// matches no test.
    pub fn trial(&self, kernel: &Kernel) -> Result<Trial, Failure> {
        let mut wanted = self.wanted.clone();
        wanted.without.clone_from(&kernel.without);
        wanted.patch.extend(kernel.patch.clone());
        wanted.cpus = kernel
            .cpus
            .map_or(wanted.cpus, |cpus| cpus.max(wanted.cpus));
        if kernel.pvh && wanted.boot == BootWish::Auto {
            wanted.boot = BootWish::Pvh;
        }
        let tests = Tests {
            tests: kernel.patterns.clone(),
            seed: Some(self.tests.seed()),
            ..self.tests.clone()
        };
        match self.ran(&wanted, &tests) {
            Ok(trial) => Ok(trial),
            Err(failure) => match failure.class() {
                Class::Boot => Ok(Trial::NoBoot(failure.in_one_line())),
                Class::Build => Ok(Trial::NoBuild(failure.in_one_line())),
                Class::Tests | Class::Usage | Class::Infra => Err(failure),
            },
        }
    }

    fn ran(&self, wanted: &Wanted, tests: &Tests) -> Result<Trial, Failure> {
        let recorder = Recorder::new(&self.cx.terminal);
        let logs = logs::folder(self.cx)?;
        let guest = guest::prepare(self.cx, &recorder, wanted, self.base, &logs)?;
        let crashes = Explainer::new(&guest.code, command(self.base, wanted, tests));
        let place = Place {
            guest: &guest,
            crashes: &crashes,
            logs: &logs,
        };
        let report = run_tests::tested(self.cx, &recorder, &place, tests, BTreeMap::new())?;
        match report.error {
            Some(error) => Err(error.into()),
            None => Ok(Trial::Ran(report.outcomes)),
        }
    }
}

/// What is said of a kernel that runs on more CPUs.
pub fn on(cpus: Option<u32>) -> String {
    cpus.map_or_else(String::new, |cpus| format!(" on {cpus} CPUs"))
}
