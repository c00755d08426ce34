//! Sets of buckets, and what a walk over one has to do.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

/// A set of a table's buckets, as its masks have it.
#[derive(Clone, PartialEq, Eq)]
pub struct Buckets(pub Vec<u32>);

impl Buckets {
    /// None of `size`.
    pub fn none(size: u32) -> Self {
        Self(vec![0; size as usize / 32])
    }

    /// These of `size`.
    pub fn of(size: u32, buckets: impl IntoIterator<Item = u32>) -> Self {
        let mut set = Self::none(size);
        for bucket in buckets {
            set.0[bucket as usize / 32] |= 1 << (bucket % 32);
        }
        set
    }

    /// All of `size` for which `choose` says so.
    pub fn chosen(size: u32, mut choose: impl FnMut(u32) -> bool) -> Self {
        Self::of(size, (0..size).filter(|bucket| choose(*bucket)))
    }

    /// All that are not in it.
    pub fn others(&self) -> Self {
        Self(self.0.iter().map(|word| !word).collect())
    }

    /// All that are in both.
    pub fn both(&self, other: &Self) -> Self {
        let words = self.0.iter().zip(&other.0);
        Self(words.map(|(one, other)| one & other).collect())
    }

    /// How many are in it.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Each that is in it, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.0.len() as u32 * 32)
            .filter(|bucket| self.0[*bucket as usize / 32] & (1 << (bucket % 32)) != 0)
    }
}

/// `17, 42, 64-95`.
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
