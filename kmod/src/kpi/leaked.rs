//! Counts of what tests leaked and the module cleaned up, for the leak check.

use super::locked::Locked;
use arrayvec::ArrayVec;
use core::ffi::CStr;

/// The number of different leaks that are counted apart. More are counted
/// together.
const KINDS: usize = 8;

/// A kind of resource that was leaked.
#[derive(Clone, Copy, Debug)]
pub struct Leaked {
    /// The kind, such as "callout".
    pub kind: &'static str,
    /// The name of a lock, or nothing.
    pub name: &'static str,
    /// The number of leaks since the module was loaded.
    pub count: i64,
}

static LEAKED: Locked<ArrayVec<Leaked, KINDS>> = Locked::new(ArrayVec::new_const());

/// Counts a leak.
pub(super) fn record(kind: &'static str, name: &'static CStr) {
    let name = name.to_str().unwrap_or("?");
    LEAKED.with(|leaked| {
        let last = leaked.len() == KINDS - 1;
        let (kind, name) = match leaked
            .iter()
            .any(|known| known.kind == kind && known.name == name)
        {
            false if last => ("other leaks", ""),
            _ => (kind, name),
        };
        match leaked
            .iter_mut()
            .find(|known| known.kind == kind && known.name == name)
        {
            Some(known) => known.count += 1,
            None => leaked.push(Leaked {
                kind,
                name,
                count: 1,
            }),
        }
    });
}

/// Discounts a leak that a test of the harness made on purpose.
pub fn discount(kind: &str, name: &str) {
    LEAKED.with(|leaked| {
        if let Some(known) = leaked
            .iter_mut()
            .find(|known| known.kind == kind && known.name == name)
        {
            known.count -= 1;
        }
    });
}

/// Returns all leaks so far.
#[must_use]
pub fn all() -> ArrayVec<Leaked, KINDS> {
    LEAKED.with(|leaked| leaked.clone())
}
