//! What the kernel counts, for leak checks.

use super::{bindings, kthread};
use core::ffi::CStr;

/// Memory in use of one malloc(9) type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes.
    pub bytes: u64,
    /// Allocations.
    pub allocations: u64,
}

/// What is in use of the malloc type of this name; `None` when the kernel has
/// no such type. Sleeps.
#[must_use]
pub fn malloc(name: &CStr) -> Option<Usage> {
    let mut stats = bindings::kdk_malloc_stats {
        bytes: 0,
        allocations: 0,
    };
    // SAFETY: the name is a C string and `stats` is written during the call.
    let found = unsafe { bindings::kdk_malloc_find(name.as_ptr(), &raw mut stats) } != 0;
    found.then_some(Usage {
        bytes: stats.bytes,
        allocations: stats.allocations,
    })
}

/// Mbufs in use, those in packets included.
#[must_use]
pub fn mbufs() -> i64 {
    // SAFETY: reads counters.
    i64::from(unsafe { bindings::kdk_mbuf_count() })
}

/// Mbuf clusters in use, as far as the kernel can tell them from cached ones.
/// Sleeps.
#[must_use]
pub fn clusters() -> i64 {
    // SAFETY: reads counters and may empty a cache.
    i64::from(unsafe { bindings::kdk_cluster_count() })
}

/// Threads of the module that have not ended.
#[must_use]
pub fn threads() -> i64 {
    i64::try_from(kthread::count()).unwrap_or(i64::MAX)
}
