//! What the kernel counts.

use kdk_harness::Stop;
use kdk_sys::suite::must;
use kdk_sys::{Errno, sysctl};

const NAME: &str = "net.flowtable.ip4.stat";

/// Those of `struct flowtable_stat` that tests here look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Number of flows freed.
    pub frees: u64,
    /// Look-ups that found a flow.
    pub hits: u64,
    /// Number of flows inserted.
    pub inserts: u64,
}

impl Count {
    /// As of now.
    ///
    /// # Errors
    /// A skip on kernels without a flowtable.
    #[track_caller]
    pub fn now() -> Result<Self, Stop> {
        let bytes = match sysctl::bytes(NAME) {
            Err(Errno::ENOENT) => return Err(Stop::Skip("the kernel has no flowtable")),
            bytes => must(NAME, bytes),
        };
        let word = |nth: usize| {
            let bytes = bytes.get(8 * nth..).and_then(<[u8]>::first_chunk);
            u64::from_le_bytes(*must(NAME, bytes.ok_or(Errno::EBADMSG)))
        };
        Ok(Self {
            frees: word(3),
            hits: word(4),
            inserts: word(7),
        })
    }

    /// Flows that there are.
    pub const fn flows(self) -> u64 {
        self.inserts - self.frees
    }
}
