//! Where LLVM 19's programs are.

use std::path::PathBuf;

/// Names the program directory, where it is not in a usual place.
pub const VARIABLE: &str = "KDK_LLVM";

/// Where systems keep LLVM 19: Debian and Fedora, FreeBSD, Homebrew.
pub const PLACES: [&str; 5] = [
    "/usr/lib/llvm-19/bin",
    "/usr/lib64/llvm19/bin",
    "/usr/local/llvm19/bin",
    "/opt/homebrew/opt/llvm@19/bin",
    "/usr/local/opt/llvm@19/bin",
];

/// The program directory: it has clang and `ld.lld` by their plain names.
#[must_use]
pub fn find() -> Option<PathBuf> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    named
        .into_iter()
        .chain(PLACES.iter().map(PathBuf::from))
        .find(|dir| dir.join("clang").exists() && dir.join("ld.lld").exists())
}
