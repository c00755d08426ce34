//! The host that this process runs on.

/// Returns the name of this host. Hosts that share a cache folder have different
/// names.
pub fn name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
