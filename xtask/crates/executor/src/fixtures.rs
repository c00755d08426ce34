//! Fixtures of this crate's tests.

use std::path::Path;

use kdk_core::cache_dir::CacheDir;
use kdk_core::context::Context;
use kdk_core::store::Store;
use kdk_core::terminal::Terminal;
use kdk_vm::interrupt::Interrupt;

/// Returns a context with a cache folder in `dir`.
pub fn context(dir: &Path) -> Context {
    let interrupt = Interrupt::new();
    let cache = CacheDir::at(dir.join("home"), &interrupt).unwrap();
    Context {
        store: Store::new(&cache),
        cache,
        interrupt,
        terminal: Terminal::new(),
    }
}
