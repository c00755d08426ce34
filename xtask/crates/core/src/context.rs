//! What every verb is given.

use kdk_vm::interrupt::Interrupt;

use crate::cache_dir::CacheDir;
use crate::failure::Failure;
use crate::store::Store;
use crate::terminal::Terminal;

/// What every verb is given.
pub struct Context {
    /// The cache folder.
    pub cache: CacheDir,
    /// Its artefact store.
    pub store: Store,
    /// Set by ^C.
    pub interrupt: Interrupt,
    /// The person in front.
    pub terminal: Terminal,
}

impl Context {
    /// Opens the cache folder and listens for ^C: the first one asks
    /// everything to stop cleanly, the second ends the process at once.
    pub fn open() -> Result<Self, Failure> {
        let interrupt = Interrupt::new();
        let cache = CacheDir::open(&interrupt)?;
        let flag = interrupt.clone();
        ctrlc::set_handler(move || {
            if flag.is_set() {
                // Nothing is lost: what counts is written atomically, and
                // QEMU dies with this process.
                let own = nix::unistd::getpid();
                let _ = nix::sys::signal::kill(own, nix::sys::signal::Signal::SIGKILL);
            }
            flag.trigger();
        })
        .map_err(|error| Failure::infra("listen for ^C", "the system refused").source(error))?;
        Ok(Self {
            store: Store::new(&cache),
            cache,
            interrupt,
            terminal: Terminal::new(),
        })
    }
}
