//! Disk space: asked for before a long job, not found missing in it.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use kdk_core::failure::Failure;

/// What a checked-out tree and one kernel's objects take, in bytes.
pub const TREE_AND_OBJECTS: u64 = 3 << 30;

/// Free bytes for this user on the disk that holds `path`.
pub fn free(path: &Path) -> Option<u64> {
    let disk = statvfs(path).ok()?;
    // The types differ between systems.
    #[allow(clippy::useless_conversion)]
    let (blocks, size) = (
        u64::from(disk.blocks_available()),
        u64::from(disk.fragment_size()),
    );
    Some(blocks.saturating_mul(size))
}

/// Fails if the disk that holds `path` has no room for `need` bytes.
pub fn need(tried: &str, path: &Path, need: u64) -> Result<(), Failure> {
    match free(path) {
        Some(free) if free < need => Err(short(tried, path, free, need)),
        _ => Ok(()),
    }
}

fn short(tried: &str, path: &Path, free: u64, need: u64) -> Failure {
    Failure::infra(
        tried,
        format!(
            "the disk that holds {} has {} free; {} are needed",
            path.display(),
            human(free),
            human(need)
        ),
    )
    .help(
        "free some space (`cargo xtask clean` removes what can be made again), or point KDK_HOME \
         at a larger disk",
    )
}

/// A size for people: 3.0 GiB.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536 << 10, "1.5 MiB"),
            (3 << 30, "3.0 GiB"),
            (5 << 50, "5120.0 TiB"),
        ] {
            assert_eq!(human(bytes), want);
        }
    }

    #[test]
    fn too_little_space_is_said_with_both_sizes() {
        let failure = short("add the base `main`", Path::new("/cache"), 1 << 20, 3 << 30);
        insta::assert_snapshot!(kdk_core::failure::rendered(&failure));
        assert!(need("x", Path::new("/"), 1).is_ok());
        assert_eq!(
            need("x", Path::new("/"), u64::MAX).unwrap_err().exit_code(),
            5
        );
    }
}
