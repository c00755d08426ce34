//! What tests left behind and was cleaned up for them: counted, so that the
//! leak check shows it.

use super::locked::Locked;
use arrayvec::ArrayVec;
use core::ffi::CStr;

/// Different things that are told apart; the rest is counted together.
const KINDS: usize = 8;

/// One kind of thing that was left.
#[derive(Clone, Copy, Debug)]
pub struct Leaked {
    /// "held lock", "callout".
    pub kind: &'static str,
    /// The lock's name, or empty.
    pub name: &'static str,
    /// How often, since the module was loaded.
    pub count: i64,
}

static LEAKED: Locked<ArrayVec<Leaked, KINDS>> = Locked::new(ArrayVec::new_const());

/// Something was left.
pub(super) fn record(kind: &'static str, name: &'static CStr) {
    let name = name.to_str().unwrap_or("?");
    LEAKED.with(|leaked| {
        let last = leaked.len() == KINDS - 1;
        let (kind, name) = match leaked
            .iter()
            .any(|known| known.kind == kind && known.name == name)
        {
            false if last => ("other things left", ""),
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

/// Takes one back: a test of the harness left it on purpose.
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

/// All that was left so far.
#[must_use]
pub fn all() -> ArrayVec<Leaked, KINDS> {
    LEAKED.with(|leaked| leaked.clone())
}
