//! The tests linked into the module.

use crate::kpi::linker_set;
use kdk_harness::Registry;

/// Returns all tests.
#[must_use]
pub fn all() -> Registry<'static> {
    Registry::new(linker_set::tests())
}
