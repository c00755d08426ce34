//! What happened, so that a run in which little did is not taken for one that
//! has tried everything.

use alloc::vec::Vec;
use kdk_sys::file::read_to_end;
use kdk_sys::{Descriptor, Result};

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    /// All of it was taken.
    Whole,
    /// A part was taken, and the socket was full then.
    Part,
    /// The socket was full.
    Full,
    /// It returned 0 and there was nothing of a file in it.
    NoBody,
    /// The connection was gone, or went meanwhile.
    Gone,
    /// Not a call: an event came while another of the same ident was due.
    SameIdent,
    /// Not a call: the sender closed the socket with calls in flight.
    Closed,
    /// Not a call: likewise, with a reset.
    Reset,
}

const KINDS: [Kind; 8] = [
    Kind::Whole,
    Kind::Part,
    Kind::Full,
    Kind::NoBody,
    Kind::Gone,
    Kind::SameIdent,
    Kind::Closed,
    Kind::Reset,
];

/// How often each happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally([u32; KINDS.len()]);

impl Tally {
    /// Counts one event of this kind.
    pub fn count(&mut self, kind: Kind) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count += 1;
        }
    }

    /// Writes it to a pipe that others write theirs to.
    ///
    /// # Errors
    /// Those of write(2).
    pub fn write_to(&self, pipe: &impl Descriptor) -> Result<()> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|n| n.to_le_bytes()).collect();
        pipe.write_all(&bytes)
    }

    /// All that were written to a pipe, together.
    ///
    /// # Errors
    /// Those of read(2).
    pub fn sum(pipe: &impl Descriptor) -> Result<Self> {
        let bytes = read_to_end(pipe)?;
        let mut sum = Self::default();
        let (words, _) = bytes.as_chunks();
        for (nth, word) in words.iter().enumerate() {
            if let Some(count) = sum.0.get_mut(nth % KINDS.len()) {
                *count += u32::from_le_bytes(*word);
            }
        }
        Ok(sum)
    }

    /// Everything happened, most of it often.
    #[track_caller]
    pub fn covers_all(&self) {
        let missing: Vec<_> = KINDS
            .iter()
            .filter(|kind| self.0.get(**kind as usize) == Some(&0))
            .collect();
        assert!(missing.is_empty(), "never happened: {missing:?}; {self:?}");
    }
}
