//! Disk space, checked before a long job starts.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use kdk_core::failure::Failure;

/// The size of a checked-out tree and the objects of one kernel, in bytes.
pub const TREE_AND_OBJECTS: u64 = 3 << 30;

/// Returns the free bytes for this user on the disk of `path`.
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

/// Fails if the disk of `path` has less than `need` free bytes.
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
            "the disk of {} has {} free; {} are needed",
            path.display(),
            human(free),
            human(need)
        ),
    )
    .help(
        "free some space (`cargo xtask clean` removes rebuildable files), or set KDK_HOME to a \
         folder on a larger disk",
    )
}

/// Formats a size: "3.00 GiB".
pub fn human(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536 << 10, "1.50 MiB"),
            (3 << 30, "3.00 GiB"),
            (5 << 50, "5.00 PiB"),
        ] {
            assert_eq!(human(bytes), want);
        }
    }

    #[test]
    fn the_error_has_both_sizes() {
        let failure = short("add the base `main`", Path::new("/cache"), 1 << 20, 3 << 30);
        insta::assert_snapshot!(kdk_core::failure::rendered(&failure));
        assert!(need("x", Path::new("/"), 1).is_ok());
        assert_eq!(
            need("x", Path::new("/"), u64::MAX).unwrap_err().exit_code(),
            5
        );
    }
}
