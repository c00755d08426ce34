//! What the tests of kdk.ko have noted. Pure.

use crate::cmd::bench::notes::all;

/// A driver, by the patches it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// That of the series.
    Series,
    /// That of the series without the patch that lets full queues drop.
    WithoutDrop,
    /// That of the tree.
    Tree,
}

impl Driver {
    /// All, the one that is judged first.
    pub const ALL: [Self; 3] = [Self::Series, Self::WithoutDrop, Self::Tree];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::WithoutDrop => "without drop",
            Self::Tree => "tree",
        }
    }

    /// What it is, for people.
    pub fn about(self) -> &'static str {
        match self {
            Self::Series => "all patches",
            Self::WithoutDrop => "the series without ixgbe-rx-drop and what needs it",
            Self::Tree => "the series without all patches of ixgbe and iflib",
        }
    }
}

/// Frames that were offered to four queues in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What received them.
    pub driver: Driver,
    /// Bytes of a frame with its check sequence.
    pub size: u64,
    /// The last queue's ring had no descriptors.
    pub stalled: bool,
    /// Frames offered to the three other queues, and a third as many to the
    /// last one.
    pub offered: u64,
    /// Those of the three others that came to the stack.
    pub others: u64,
    /// Those of the last queue.
    pub own: u64,
    /// Frames at the stack that were not the next of their queue.
    pub astray: u64,
    /// Ticks of the guest's counter in which they were offered.
    pub offering: u64,
    /// Ticks from the interrupts to the last frames at the stack.
    pub receiving: u64,
}

/// What the test of a size has noted.
///
/// # Errors
/// In words, what is missing or cannot be read.
pub fn runs(driver: Driver, detail: &str) -> Result<Vec<Run>, String> {
    all(detail, "run", "no run was noted", |run| {
        Ok(Run {
            driver,
            size: run.number("size")?,
            stalled: run.number("stalled")? != 0,
            offered: run.number("offered")?,
            others: run.number("others")?,
            own: run.number("own")?,
            astray: run.number("astray")?,
            offering: run.number("offering")?,
            receiving: run.number("receiving")?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read() {
        let detail =
            "run: size=64 stalled=1 offered=6 others=5 own=4 astray=3 offering=2 receiving=1\n";
        let runs = runs(Driver::Tree, detail).unwrap();
        let run = Run {
            driver: Driver::Tree,
            size: 64,
            stalled: true,
            offered: 6,
            others: 5,
            own: 4,
            astray: 3,
            offering: 2,
            receiving: 1,
        };
        assert_eq!(runs, [run]);
    }

    #[test]
    fn what_is_missing_is_said() {
        for (detail, why) in [
            ("", "no run was noted"),
            ("run: size=64", "stalled was not noted"),
            ("run: size=long", "size=long is no number"),
        ] {
            assert_eq!(runs(Driver::Series, detail).unwrap_err(), why);
        }
    }
}
