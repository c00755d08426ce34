//! The checkout of this repository that the program was built from.

use std::path::Path;

/// Returns the root of the workspace: guests' sources, kernel configs, patches.
pub fn workspace() -> &'static Path {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    core.ancestors().nth(3).unwrap_or(core)
}
