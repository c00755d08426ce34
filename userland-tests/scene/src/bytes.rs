//! Bytes that tell where they are from.

use alloc::vec;
use alloc::vec::Vec;
use kdk_sys::Descriptor;
use kdk_sys::poll::{POLLIN, wait_for};
use kdk_sys::suite::must;
use kdk_sys::time::Deadline;

/// How long anything local may take, milliseconds.
pub const SOON_MS: u64 = 4_000;

/// A deadline for what should happen at once.
pub fn soon() -> Deadline {
    Deadline::after_ms(SOON_MS)
}

/// `length` bytes in which a page, a word or a byte at the wrong place shows:
/// each is a hash of its offset.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|offset| (offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

/// Both have to be the same; the first place where they are not is told.
#[track_caller]
pub fn assert_same(what: &str, seen: &[u8], expected: &[u8]) {
    let differs = seen.iter().zip(expected).position(|(s, e)| s != e);
    if let Some(at) = differs {
        let end = |bytes: &[u8]| {
            bytes
                .get(at..)
                .map(|rest| rest.iter().take(8).copied().collect::<Vec<_>>())
        };
        panic!(
            "{what}: byte {at} of {}: expected {:02x?}, saw {:02x?}",
            expected.len(),
            end(expected).unwrap_or_default(),
            end(seen).unwrap_or_default()
        );
    }
    assert_eq!(seen.len(), expected.len(), "{what}: number of bytes");
}

/// Reads until the other side ends, or until `most` bytes came, whichever is
/// first; each piece within [`SOON_MS`].
#[track_caller]
pub fn receive(from: &impl Descriptor, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    while bytes.len() < most {
        must("wait for bytes to read", wait_for(from, POLLIN, soon()));
        let room = piece.len().min(most - bytes.len());
        let room = piece.get_mut(..room).unwrap_or_default();
        match must("read what was sent", from.read(room)) {
            0 => break,
            count => bytes.extend_from_slice(room.get(..count).unwrap_or_default()),
        }
    }
    bytes
}

/// Reads until the other side ends.
#[track_caller]
pub fn receive_all(from: &impl Descriptor) -> Vec<u8> {
    receive(from, usize::MAX)
}
