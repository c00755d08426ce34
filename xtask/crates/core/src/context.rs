//! The context that every command gets.

use kdk_vm::interrupt::Interrupt;

use crate::cache_dir::CacheDir;
use crate::failure::Failure;
use crate::store::Store;
use crate::terminal::Terminal;

/// The context that every command gets.
pub struct Context {
    /// The cache folder of this user.
    pub cache: CacheDir,
    /// The artefact store in the cache folder.
    pub store: Store,
    /// The flag that ^C sets.
    pub interrupt: Interrupt,
    /// The terminal, for progress and results.
    pub terminal: Terminal,
}

impl Context {
    /// Opens the cache folder and handles ^C: the first one asks every phase to
    /// stop cleanly, the second kills the process.
    pub fn open() -> Result<Self, Failure> {
        let interrupt = Interrupt::new();
        let cache = CacheDir::open(&interrupt)?;
        let flag = interrupt.clone();
        ctrlc::set_handler(move || {
            if flag.is_set() {
                // Nothing is lost: files are written atomically, and QEMU exits
                // with this process. A script that runs QEMU may not.
                kdk_vm::process::kill_all();
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
