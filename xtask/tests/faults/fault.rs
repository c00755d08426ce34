//! A fault as a row of the table: what is played and how it must end.

use kdk_vm::verdict::Verdict;

use crate::place::Place;
use crate::running::{Exit, Ran};

/// A fault.
pub struct Fault {
    /// Its name, for people.
    pub name: String,
    /// Whether it is played every day.
    pub daily: bool,
    /// How it must end.
    pub want: Want,
    /// Plays it.
    pub play: Play,
}

/// Plays a fault; what it left behind, a line each.
pub type Play = Box<dyn Fn() -> Result<(Played, Vec<String>), Stop> + Send + Sync>;

/// How a run must end.
pub struct Want {
    /// The exit code.
    pub exit: Exit,
    /// Every test of the report with its verdict, in any order.
    pub tests: Vec<(String, Verdict)>,
    /// What must stand in the report's error, or in a test's detail or
    /// backtrace; with no report, on standard error.
    pub says: Vec<String>,
    /// Whether there must be a report.
    pub report: bool,
}

/// What came of a fault.
pub struct Played {
    /// The run.
    pub ran: Ran,
    /// Its report, if it wrote one.
    pub report: Option<Vec<u8>>,
}

/// Why there is nothing to judge.
#[derive(Debug)]
pub enum Stop {
    /// This host cannot play the fault, and why.
    NotHere(String),
    /// It went wrong before the end.
    Wrong(String),
}

impl From<String> for Stop {
    fn from(text: String) -> Self {
        Self::Wrong(text)
    }
}

/// One that is played every day, in a place with the demo guest.
pub fn daily(
    name: impl Into<String>,
    want: Want,
    play: impl Fn(&mut Place) -> Result<Played, Stop> + Send + Sync + 'static,
) -> Fault {
    Fault {
        daily: true,
        ..on_demand(name, want, play)
    }
}

/// One that takes longer, in a place with the demo guest.
pub fn on_demand(
    name: impl Into<String>,
    want: Want,
    play: impl Fn(&mut Place) -> Result<Played, Stop> + Send + Sync + 'static,
) -> Fault {
    played_in(Place::new, name, want, play)
}

/// One that takes longer, in a place of its own kind.
pub fn played_in(
    place: fn() -> Result<Place, String>,
    name: impl Into<String>,
    want: Want,
    play: impl Fn(&mut Place) -> Result<Played, Stop> + Send + Sync + 'static,
) -> Fault {
    Fault {
        name: name.into(),
        daily: false,
        want,
        play: Box::new(move || {
            let mut place = place()?;
            let played = play(&mut place)?;
            Ok((played, place.leftovers()))
        }),
    }
}

/// Returns the host's fault: no test has a verdict.
pub fn infra(says: &str) -> Want {
    ends(5, says)
}

/// Ends with this code before any test is known.
pub fn ends(code: i32, says: &str) -> Want {
    Want {
        exit: Exit::Code(code),
        tests: Vec::new(),
        says: vec![says.into()],
        report: true,
    }
}

impl Want {
    /// With these tests in the report.
    pub fn with(mut self, tests: &[(&str, Verdict)]) -> Self {
        let own = |(name, verdict): &(&str, Verdict)| ((*name).to_owned(), *verdict);
        self.tests = tests.iter().map(own).collect();
        self
    }

    /// And says this too.
    pub fn and_says(mut self, says: impl Into<String>) -> Self {
        self.says.push(says.into());
        self
    }

    /// Returns the run has no chance to write a report.
    pub fn without_report(mut self) -> Self {
        self.report = false;
        self
    }
}
