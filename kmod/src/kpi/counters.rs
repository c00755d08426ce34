//! The kernel's counters, for leak checks.

use super::{bindings, kthread};
use core::ffi::CStr;

/// The memory in use of one malloc(9) type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The number of bytes.
    pub bytes: u64,
    /// The number of allocations.
    pub allocations: u64,
}

/// Returns the memory in use of the malloc type with this name, or `None` if
/// the kernel has no such type. Sleeps.
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

/// Returns the number of mbufs in use, including those of the packet zone.
#[must_use]
pub fn mbufs() -> i64 {
    // SAFETY: reads counters.
    i64::from(unsafe { bindings::kdk_mbuf_count() })
}

/// Returns the number of mbuf clusters in use, without cached clusters where
/// the kernel can exclude them. Sleeps.
#[must_use]
pub fn clusters() -> i64 {
    // SAFETY: reads counters and may empty a cache.
    i64::from(unsafe { bindings::kdk_cluster_count() })
}

/// Returns the number of threads of the module that have not exited.
#[must_use]
pub fn threads() -> i64 {
    i64::try_from(kthread::count()).unwrap_or(i64::MAX)
}
