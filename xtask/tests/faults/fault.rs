//! A fault as a row of the table: what is injected, and how the run must end.

use kdk_vm::verdict::Verdict;

use crate::process::{Exit, Ran};
use crate::sandbox::Sandbox;

/// A fault that is injected.
pub struct Fault {
    /// The name of the fault.
    pub name: String,
    /// Whether every run of the tests injects it.
    pub daily: bool,
    /// The expected result.
    pub want: Want,
    /// The function that injects it.
    pub inject: Injection,
}

/// Injects a fault. Returns the result, and what the run left behind.
pub type Injection = Box<dyn Fn() -> Result<(FaultResult, Vec<String>), Stop> + Send + Sync>;

/// The expected result of a run.
pub struct Want {
    /// The exit code of the process.
    pub exit: Exit,
    /// Every test of the report with its verdict, in any order.
    pub tests: Vec<(String, Verdict)>,
    /// Texts that the report's error, or the detail or backtrace of a test,
    /// must have; without a report, standard error.
    pub says: Vec<String>,
    /// Whether there must be a report.
    pub report: bool,
}

/// The result of an injected fault.
pub struct FaultResult {
    /// The run of the command line.
    pub ran: Ran,
    /// The report of the run, if it wrote one.
    pub report: Option<Vec<u8>>,
}

/// Why there is no result.
#[derive(Debug)]
pub enum Stop {
    /// This host does not support the fault; the text is the reason.
    Unsupported(String),
    /// Injecting the fault failed.
    Wrong(String),
}

impl From<String> for Stop {
    fn from(text: String) -> Self {
        Self::Wrong(text)
    }
}

/// Returns a fault that every run of the tests injects, in a sandbox with the
/// demo guest.
pub fn daily(
    name: impl Into<String>,
    want: Want,
    inject: impl Fn(&mut Sandbox) -> Result<FaultResult, Stop> + Send + Sync + 'static,
) -> Fault {
    Fault {
        daily: true,
        ..on_demand(name, want, inject)
    }
}

/// Returns a fault that takes longer, in a sandbox with the demo guest.
pub fn on_demand(
    name: impl Into<String>,
    want: Want,
    inject: impl Fn(&mut Sandbox) -> Result<FaultResult, Stop> + Send + Sync + 'static,
) -> Fault {
    injected_in(Sandbox::new, name, want, inject)
}

/// Returns a fault that takes longer, in a sandbox of its own kind.
pub fn injected_in(
    new_sandbox: fn() -> Result<Sandbox, String>,
    name: impl Into<String>,
    want: Want,
    inject: impl Fn(&mut Sandbox) -> Result<FaultResult, Stop> + Send + Sync + 'static,
) -> Fault {
    Fault {
        name: name.into(),
        daily: false,
        want,
        inject: Box::new(move || {
            let mut sandbox = new_sandbox()?;
            let result = inject(&mut sandbox)?;
            Ok((result, sandbox.leftovers()))
        }),
    }
}

/// Expects an infrastructure failure, without verdicts of tests.
pub fn infra(says: &str) -> Want {
    ends(5, says)
}

/// Expects this exit code before any test is known.
pub fn ends(code: i32, says: &str) -> Want {
    Want {
        exit: Exit::Code(code),
        tests: Vec::new(),
        says: vec![says.into()],
        report: true,
    }
}

impl Want {
    /// Expects these tests in the report.
    pub fn with(mut self, tests: &[(&str, Verdict)]) -> Self {
        let own = |(name, verdict): &(&str, Verdict)| ((*name).to_owned(), *verdict);
        self.tests = tests.iter().map(own).collect();
        self
    }

    /// Expects this text too.
    pub fn and_says(mut self, says: impl Into<String>) -> Self {
        self.says.push(says.into());
        self
    }

    /// Expects no report, because the run cannot write one.
    pub fn without_report(mut self) -> Self {
        self.report = false;
        self
    }
}
