//! What tests left behind and was cleaned up for them: counted, so that the
//! leak check shows it.

use super::locked::Locked;
use arrayvec::ArrayVec;
use core::ffi::CStr;

/// Different things that are told apart; the rest is counted together.
const KINDS: usize = 8;

/// One kind of thing that was left.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// "held lock", "callout".
    pub kind: &'static str,
    /// The lock's name, or empty.
    pub name: &'static str,
    /// How often, since the module was loaded.
    pub count: i64,
}

static LEFT: Locked<ArrayVec<Left, KINDS>> = Locked::new(ArrayVec::new_const());

/// Something was left.
pub(super) fn note(kind: &'static str, name: &'static CStr) {
    let name = name.to_str().unwrap_or("?");
    LEFT.with(|left| {
        let last = left.len() == KINDS - 1;
        let (kind, name) = match left
            .iter()
            .any(|known| known.kind == kind && known.name == name)
        {
            false if last => ("other things left", ""),
            _ => (kind, name),
        };
        match left
            .iter_mut()
            .find(|known| known.kind == kind && known.name == name)
        {
            Some(known) => known.count += 1,
            None => left.push(Left {
                kind,
                name,
                count: 1,
            }),
        }
    });
}

/// Takes one back: a test of the harness left it on purpose.
pub fn forgive(kind: &str, name: &str) {
    LEFT.with(|left| {
        if let Some(known) = left
            .iter_mut()
            .find(|known| known.kind == kind && known.name == name)
        {
            known.count -= 1;
        }
    });
}

/// All that was left so far.
#[must_use]
pub fn all() -> ArrayVec<Left, KINDS> {
    LEFT.with(|left| left.clone())
}
