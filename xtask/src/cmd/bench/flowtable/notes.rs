//! What the tests of kdk.ko have noted. Pure.

use crate::cmd::bench::notes::all;

/// A way to find the buckets in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// That of the series.
    Series,
    /// That of FreeBSD 10.0.
    BitAtATime,
    /// That of the tree.
    Tree,
}

impl Algorithm {
    /// All, the one that is judged first.
    pub const ALL: [Self; 3] = [Self::Series, Self::BitAtATime, Self::Tree];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::BitAtATime => "10.0",
            Self::Tree => "tree",
        }
    }

    /// What it does, for people.
    pub fn about(self) -> &'static str {
        match self {
            Self::Series => "a word of the mask at a time, from the last bucket on",
            Self::BitAtATime => {
                "FreeBSD 10.0's, made anew: a bit at a time, each looked for from the first byte on; \
                 quadratic, so it is measured up to 65536 buckets only"
            }
            Self::Tree => {
                "the base without flowtable-expiry-walk: a bit at a time in a copy, whose place it takes for the bucket; \
                 it visits wrong buckets again and again and leaves others out, so its time says nothing"
            }
        }
    }
}

/// A walk over the buckets in use, of which none had anything to expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    /// How they were found.
    pub algorithm: Algorithm,
    /// Buckets of the table.
    pub size: u64,
    /// Of a hundred buckets, so many in use.
    pub percent: u64,
    /// Buckets in use.
    pub set: u64,
    /// Buckets in use that were visited.
    pub visited: u64,
    /// Visits, rightly or not.
    pub visits: u64,
    /// Bytes of the mask that were read.
    pub bytes: u64,
    /// Time, in ticks of the guest's counter.
    pub ticks: u64,
}

impl Walk {
    /// Words of the mask, of 32 bits, that were read.
    pub fn words(&self) -> f64 {
        self.bytes as f64 / 4.0
    }
}

/// What the test of a size has noted.
///
/// # Errors
/// In words, what is missing or cannot be read.
pub fn walks(algorithm: Algorithm, detail: &str) -> Result<Vec<Walk>, String> {
    all(detail, "walk", "no walk was noted", |walk| {
        Ok(Walk {
            algorithm,
            size: walk.number("size")?,
            percent: walk.number("percent")?,
            set: walk.number("set")?,
            visited: walk.number("visited")?,
            visits: walk.number("visits")?,
            bytes: walk.number("bytes")?,
            ticks: walk.number("ticks")?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read() {
        let detail = "walk: size=256 percent=10 set=26 visited=9 visits=26 bytes=136 ticks=9000\n";
        let walks = walks(Algorithm::Tree, detail).unwrap();
        let walk = Walk {
            algorithm: Algorithm::Tree,
            size: 256,
            percent: 10,
            set: 26,
            visited: 9,
            visits: 26,
            bytes: 136,
            ticks: 9000,
        };
        assert_eq!(walks, [walk]);
        assert_eq!(walks[0].words(), 34.0);
    }

    #[test]
    fn what_is_missing_is_said() {
        for (detail, why) in [
            ("", "no walk was noted"),
            ("walk: size=256", "percent was not noted"),
            ("walk: size=many", "size=many is no number"),
        ] {
            assert_eq!(walks(Algorithm::Series, detail).unwrap_err(), why);
        }
    }
}
