//! What the guest's clock counts. Pure.

/// What a nanosecond of the guest stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Time: the host's processor runs the guest's instructions.
    Time,
    /// Instructions, each of which takes this number of nanoseconds.
    Instructions(u64),
}

impl Clock {
    /// Converts nanoseconds to what the clock counts.
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
    fn times_are_converted_to_what_was_counted() {
        assert_eq!(Clock::Instructions(8).of_ns(80.0), 10.0);
        assert_eq!(Clock::Time.of_ns(80.0), 80.0);
    }
}
