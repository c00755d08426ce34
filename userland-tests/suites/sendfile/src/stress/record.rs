//! What a stream is made of: records whose headers say what their bytes are.

use alloc::vec::Vec;
use kdk_sys::file::PAGE;

/// Bytes of a header.
pub const HEADER: usize = 24;
/// Bytes of the longest body.
pub const LONGEST: usize = 3 * PAGE;
/// Bytes of a trailer.
const TRAILER: usize = 8;

/// A record: a header, a body that is a file's part, and maybe a trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which sender's, and which of its sockets'.
    pub stream: (u16, u16),
    /// Which of its records.
    pub sequence: u32,
    /// Bytes of the body.
    pub length: u32,
    /// Whether there is a trailer.
    pub trailer: bool,
    /// It is the stream's last one.
    pub last: bool,
    /// What the bytes come from.
    pub seed: u64,
}

impl Record {
    /// The header's bytes.
    pub fn header(&self) -> Vec<u8> {
        let (sender, socket) = self.stream;
        let flags = u32::from(self.trailer) | u32::from(self.last) << 1;
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend(sender.to_le_bytes());
        bytes.extend(socket.to_le_bytes());
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.length.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend(self.seed.to_le_bytes());
        bytes
    }

    /// The record of a header.
    pub fn of(header: &[u8]) -> Option<Self> {
        let half = |at: usize| Some(u16::from_le_bytes(*header.get(at..)?.first_chunk()?));
        let word = |at: usize| Some(u32::from_le_bytes(*header.get(at..)?.first_chunk()?));
        let long = |at: usize| Some(u64::from_le_bytes(*header.get(at..)?.first_chunk()?));
        let flags = word(12)?;
        Some(Self {
            stream: (half(0)?, half(2)?),
            sequence: word(4)?,
            length: word(8)?,
            trailer: flags & 1 != 0,
            last: flags & 2 != 0,
            seed: long(16)?,
        })
    }

    /// The body's bytes: each word is a hash of the seed and its place.
    pub fn body(&self) -> Vec<u8> {
        let length = self.length as usize;
        let words = (0..length.div_ceil(8) as u64).map(|nth| {
            let word = self
                .seed
                .wrapping_add(nth.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let word = (word ^ word >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
            word ^ word >> 32
        });
        let mut bytes = Vec::with_capacity(length + 8);
        for word in words {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// The trailer's bytes.
    pub fn after(&self) -> Vec<u8> {
        match self.trailer {
            true => (!self.seed).to_le_bytes().to_vec(),
            false => Vec::new(),
        }
    }

    /// Bytes of all of it.
    pub fn total(&self) -> usize {
        HEADER + self.length as usize + if self.trailer { TRAILER } else { 0 }
    }
}
