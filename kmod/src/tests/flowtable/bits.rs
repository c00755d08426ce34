//! Sets of buckets.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// A set of buckets of a table, in the format of its masks.
#[derive(Clone, PartialEq, Eq)]
pub struct Buckets(pub Vec<u32>);

impl Buckets {
    /// Makes an empty set for a table of `size` buckets.
    pub fn none(size: u32) -> Self {
        Self(vec![0; size as usize / 32])
    }

    /// Makes a set of these buckets.
    pub fn of(size: u32, buckets: impl IntoIterator<Item = u32>) -> Self {
        let mut set = Self::none(size);
        for bucket in buckets {
            set.0[bucket as usize / 32] |= 1 << (bucket % 32);
        }
        set
    }

    /// Makes a set of the buckets for which `choose` returns true.
    pub fn chosen(size: u32, mut choose: impl FnMut(u32) -> bool) -> Self {
        Self::of(size, (0..size).filter(|bucket| choose(*bucket)))
    }

    /// Returns the complement.
    pub fn others(&self) -> Self {
        Self(self.0.iter().map(|word| !word).collect())
    }

    /// Returns the intersection.
    pub fn both(&self, other: &Self) -> Self {
        let words = self.0.iter().zip(&other.0);
        Self(words.map(|(one, other)| one & other).collect())
    }

    /// Returns the number of buckets.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Iterates over the buckets in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.0.len() as u32 * 32)
            .filter(|bucket| self.0[*bucket as usize / 32] & (1 << (bucket % 32)) != 0)
    }
}

/// Prints ranges: `17, 42, 64-95`.
impl fmt::Display for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if_eq(&(last + 1)) {
                last = next;
            }
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ", ";
        }
        match comma {
            "" => f.write_str("none"),
            _ => Ok(()),
        }
    }
}
