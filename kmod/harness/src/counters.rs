//! Implements the leak check: it compares named counters before and after a
//! test.

use crate::Text;
use arrayvec::ArrayVec;
use core::fmt;

/// The largest number of counters: those of the platform, of leaks that earlier
/// tests on this kernel left, and of one test's malloc types.
pub const MAX_COUNTERS: usize = 32;

/// The name of a counter: a `kind` and, if the kind has several, a `name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// The kind, such as `"malloc type"`, `"mbufs"` or `"threads"`.
    pub kind: &'static str,
    /// The name within the kind, or empty.
    pub name: &'static str,
}

impl fmt::Display for Counter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", Text::<24>::of(self.kind))?;
        if !self.name.is_empty() {
            write!(out, " {}", Text::<32>::of(self.name))?;
        }
        Ok(())
    }
}

/// The error for more than [`MAX_COUNTERS`] counters: the others would not be
/// checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountersFull;

impl fmt::Display for CountersFull {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "the leak check supports {MAX_COUNTERS} counters; the test or the platform names more"
        )
    }
}

impl core::error::Error for CountersFull {}

/// One reading of all counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    values: ArrayVec<(Counter, i64), MAX_COUNTERS>,
    full: bool,
}

/// A counter that has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The counter that has grown.
    pub counter: Counter,
    /// The difference, 1 or more.
    pub growth: i64,
}

impl fmt::Display for Leak {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} +{}", self.counter, self.growth)
    }
}

impl Counters {
    /// Returns an empty reading.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            values: ArrayVec::new_const(),
            full: false,
        }
    }

    /// Sets a value. A later value replaces an earlier one.
    /// [`check`](Self::check) reports a counter that does not fit.
    pub fn set(&mut self, kind: &'static str, name: &'static str, value: i64) {
        let counter = Counter { kind, name };
        if let Some(entry) = self.values.iter_mut().find(|entry| entry.0 == counter) {
            entry.1 = value;
        } else if self.values.try_push((counter, value)).is_err() {
            self.full = true;
        }
    }

    /// Returns the value of a counter, if it is set.
    #[must_use]
    pub fn get(&self, counter: Counter) -> Option<i64> {
        let entry = self.values.iter().find(|entry| entry.0 == counter);
        entry.map(|entry| entry.1)
    }

    /// Removes all values.
    pub fn clear(&mut self) {
        self.values.clear();
        self.full = false;
    }

    /// Checks that every counter fitted.
    ///
    /// # Errors
    /// Fails with [`CountersFull`] when one did not.
    pub const fn check(&self) -> Result<(), CountersFull> {
        if self.full { Err(CountersFull) } else { Ok(()) }
    }

    /// Returns the counters that have grown since `before`. A counter that is
    /// not in `before` starts at 0. A counter that has shrunk is not a leak.
    pub fn grown_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = Leak> + 'a {
        self.values.iter().filter_map(|&(counter, value)| {
            let growth = value.saturating_sub(before.get(counter).unwrap_or(0));
            (growth > 0).then_some(Leak { counter, growth })
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn reading(values: &[(&'static str, i64)]) -> Counters {
        let mut counters = Counters::new();
        for &(name, value) in values {
            counters.set("malloc type", name, value);
        }
        counters
    }

    #[test]
    fn one_counter_too_many_is_reported() {
        let mut counters = Counters::new();
        for nth in 0..MAX_COUNTERS {
            let name: &'static str = String::leak(nth.to_string());
            counters.set("n", name, 1);
        }
        assert_eq!(counters.check(), Ok(()));
        // Noting one again takes no room.
        counters.set("n", "0", 2);
        assert_eq!(counters.check(), Ok(()));
        counters.set("one", "more", 1);
        assert_eq!(counters.check(), Err(CountersFull));
        assert!(CountersFull.to_string().contains("32"));
        counters.clear();
        assert_eq!(counters.check(), Ok(()));
    }

    #[test]
    fn growth_is_reported() {
        for (before, after, leaks) in [
            (&[("a", 1)][..], &[("a", 1)][..], &[][..]),
            (&[("a", 1)], &[("a", 3)], &["malloc type a +2"]),
            (&[("a", 3)], &[("a", 1)], &[]),
            (&[], &[("a", 2)], &["malloc type a +2"]),
            (&[("a", 2)], &[], &[]),
            (&[("a", -1)], &[("a", 0)], &["malloc type a +1"]),
            (
                &[("a", i64::MIN)],
                &[("a", i64::MAX)],
                &["malloc type a +9223372036854775807"],
            ),
            (
                &[("a", 1), ("b", 1)],
                &[("b", 2), ("a", 2)],
                &["malloc type b +1", "malloc type a +1"],
            ),
        ] {
            let (before, after) = (reading(before), reading(after));
            let reported: Vec<_> = after
                .grown_since(&before)
                .map(|leak| leak.to_string())
                .collect();
            assert_eq!(reported, leaks);
        }
    }

    #[test]
    fn a_counter_without_a_name_shows_its_kind() {
        let mbufs = Counter {
            kind: "mbufs",
            name: "",
        };
        assert_eq!(mbufs.to_string(), "mbufs");
    }
}
