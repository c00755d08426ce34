//! Where sendfile(2) takes bytes from.

use crate::bytes::pattern;
use alloc::format;
use alloc::vec::Vec;
use kdk_sys::file::{O_CLOEXEC, O_RDONLY, open, read_file, unlink, write_file};
use kdk_sys::memory::{Mapping, shared_memory};
use kdk_sys::suite::must;
use kdk_sys::{Fd, process};

/// Kinds of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file on tmpfs.
    Tmpfs,
    /// A file on the root, which is UFS.
    Ufs,
    /// POSIX shared memory without a name.
    Shm,
}

/// The root is not written to, so that a guest that crashes leaves it clean:
/// what is sent from there is a suite's own program.
const UFS_FILE: &str = "/suites/smoke";

impl Source {
    /// Something to send, of `length` bytes (or, on UFS, as many as there
    /// are), and these bytes.
    #[track_caller]
    pub fn of(self, length: usize) -> (Fd, Vec<u8>) {
        match self {
            Self::Tmpfs => on_tmpfs(pattern(length)),
            Self::Shm => shared(pattern(length)),
            Self::Ufs => {
                let file = must("open a file on UFS", open(UFS_FILE, O_RDONLY | O_CLOEXEC));
                (file, must("read it", read_file(UFS_FILE)))
            }
        }
    }
}

/// A file without a name: nothing is left of it afterwards.
#[track_caller]
fn on_tmpfs(bytes: Vec<u8>) -> (Fd, Vec<u8>) {
    let path = format!("/tmp/scene-{}", process::me().0);
    must("write the file to send", write_file(&path, &bytes));
    let file = must("open the file to send", open(&path, O_RDONLY | O_CLOEXEC));
    must("unlink the file to send", unlink(&path));
    (file, bytes)
}

/// Written as a program would that sends what it has in memory.
#[track_caller]
fn shared(bytes: Vec<u8>) -> (Fd, Vec<u8>) {
    let object = must("shm_open", shared_memory(bytes.len() as u64));
    if !bytes.is_empty() {
        let mut mapping = must("mmap shared memory", Mapping::of(&object, bytes.len()));
        mapping.write(0, &bytes);
    }
    (object, bytes)
}
