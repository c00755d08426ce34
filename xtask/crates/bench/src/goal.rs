//! Goals of measurements. Pure.

use std::fmt;

use super::word;

/// What a metric has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Less than this.
    Below(f64),
    /// Within the second number of the first.
    Near(f64, f64),
    /// Between both, or one of them.
    Between(f64, f64),
    /// Exactly this value.
    Exactly(f64),
}

impl Bound {
    /// Reports whether a value is within the bound.
    pub fn has(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Below(most) => value < most,
            Self::Near(middle, off) => (value - middle).abs() <= off,
            Self::Between(least, most) => (least..=most).contains(&value),
            Self::Exactly(wanted) => value == wanted,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {least}"),
            Self::AtMost(most) => write!(f, "at most {most}"),
            Self::Below(most) => write!(f, "below {most}"),
            Self::Near(middle, off) => write!(f, "{middle} +- {off}"),
            Self::Between(least, most) => write!(f, "{least} to {most}"),
            Self::Exactly(wanted) => write!(f, "{wanted}"),
        }
    }
}

/// A goal, and what was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Goal {
    /// What was measured.
    pub what: String,
    /// The value that was measured.
    pub measured: f64,
    /// What it has to be.
    pub bound: Bound,
    /// The first test that measured it.
    pub test: String,
}

impl Goal {
    /// Reports whether the goal was reached.
    pub fn reached(&self) -> bool {
        self.bound.has(self.measured)
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            measured,
            bound,
            ..
        } = self;
        let word = word(self.reached());
        write!(f, "{what}: {measured:.3} (goal {bound}: {word})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_has_its_ends_except_below() {
        for (bound, inside, outside) in [
            (Bound::AtLeast(8.0), 8.0, 7.99),
            (Bound::AtMost(1.0), 1.0, 1.01),
            (Bound::Below(1.0), 0.99, 1.0),
            (Bound::Near(1.0, 0.25), 0.75, 0.7),
            (Bound::Between(0.8, 1.25), 1.25, 0.79),
            (Bound::Exactly(0.0), 0.0, 1.0),
        ] {
            assert!(bound.has(inside), "{bound}");
            assert!(!bound.has(outside), "{bound}");
            assert!(!bound.has(f64::NAN), "{bound}");
        }
    }
}
