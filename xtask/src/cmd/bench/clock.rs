//! What the guest's clock counts. Pure.

/// What a nanosecond of the guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Time: the host's processor runs the guest's instructions.
    Time,
    /// Instructions are counted, and each takes so many nanoseconds.
    Instructions(u64),
}

impl Clock {
    /// What processor time is told in.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Time => "ns",
            Self::Instructions(_) => "instructions",
        }
    }

    /// Nanoseconds in this unit.
    pub fn of_ns(self, ns: f64) -> f64 {
        match self {
            Self::Time => ns,
            Self::Instructions(each) => ns / each as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_what_was_counted() {
        let counted = Clock::Instructions(8);
        assert_eq!(
            (counted.of_ns(80.0), counted.unit()),
            (10.0, "instructions")
        );
        assert_eq!((Clock::Time.of_ns(80.0), Clock::Time.unit()), (80.0, "ns"));
    }
}
