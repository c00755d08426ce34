//! The tests of a proof on one kernel.

use std::collections::BTreeMap;

use crate::context::Context;
use crate::crash::{Explainer, command};
use crate::failure::{Class, Failure};
use crate::guest::{self, BootWish, Wanted};
use crate::prove::judge::Trial;
use crate::recorder::Recorder;
use crate::testing::{self, Place, Tests};

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
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Patches that are left out, with what needs them.
    pub without: Vec<String>,
    /// Whether it boots directly, whatever its patches are.
    pub pvh: bool,
    /// Which tests.
    pub patterns: Vec<String>,
}

impl Prover<'_> {
    /// Tells the person in front which kernel is next.
    pub fn say(&self, what: &str) {
        self.cx.terminal.line(&format!("{}: {what}", self.base));
    }

    /// Runs tests on a kernel.
    ///
    /// # Errors
    /// What says nothing of the kernel: the host's faults, a pattern that
    /// matches no test.
    pub fn trial(&self, kernel: &Kernel) -> Result<Trial, Failure> {
        let mut wanted = self.wanted.clone();
        wanted.without.clone_from(&kernel.without);
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
        let logs = guest::run_folder(self.cx)?;
        let guest = guest::prepare(self.cx, &recorder, wanted, self.base, &logs)?;
        let crashes = Explainer::new(&guest.code, command(self.base, wanted, tests));
        let place = Place {
            guest: &guest,
            crashes: &crashes,
            logs: &logs,
        };
        let report = testing::tested(self.cx, &recorder, &place, tests, BTreeMap::new())?;
        match report.error {
            Some(error) => Err(error.into()),
            None => Ok(Trial::Ran(report.outcomes)),
        }
    }
}
