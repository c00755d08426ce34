//! A goal of a measurement. Pure.

use super::word;

/// A goal, and how far it was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// What was measured.
    pub what: String,
    /// The ratio that came out.
    pub seen: f64,
    /// What it has to be, for people.
    pub need: String,
    /// Whether it is.
    pub reached: bool,
    /// The test that measures it.
    pub test: String,
}

impl std::fmt::Display for Goal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            what, seen, need, ..
        } = self;
        write!(f, "{what}: {seen:.3} (goal {need}: {})", word(self.reached))
    }
}

/// Goals and the tests they name, for snapshots.
#[cfg(test)]
pub fn told(goals: &[Goal]) -> String {
    let lines: Vec<String> = goals
        .iter()
        .map(|goal| format!("{goal} by {}", goal.test))
        .collect();
    lines.join("\n")
}
