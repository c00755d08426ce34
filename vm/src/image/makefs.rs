//! Runs makefs(8), which writes a file system from a directory without root
//! privileges. NetBSD's (Debian's package) and FreeBSD's take the same options.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Tree;
use crate::error::{InfraError, says_disk_full};

/// The timestamp of every file in an image. Images of equal trees differ only
/// in UFS's random numbers.
const TIME: u64 = 1_704_067_200;

/// The offset and the value of UFS1's magic number: 1372 bytes into the
/// superblock, which is 8 KiB into the image.
const MAGIC: (u64, u32) = (8192 + 1372, 0x0001_1954);

/// The makefs(8) of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Makefs(PathBuf);

impl Makefs {
    /// Returns the makefs that `KDK_MAKEFS` names, or else that of the PATH or
    /// of /usr/sbin, where administrators' tools are.
    ///
    /// # Errors
    /// Fails with [`InfraError::MakefsMissing`].
    pub fn find() -> Result<Self, InfraError> {
        if let Some(path) = std::env::var_os("KDK_MAKEFS").filter(|path| !path.is_empty()) {
            return Ok(Self(path.into()));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
        std::env::split_paths(&path)
            .chain(usual)
            .map(|dir| dir.join("makefs"))
            .find(|path| path.is_file())
            .map(Self)
            .ok_or(InfraError::MakefsMissing)
    }

    /// Returns the makefs at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

/// Returns the arguments that write `dir` to `image` of `size` bytes.
pub fn makefs_args(list: &Path, size: u64, image: &Path, dir: &Path) -> Vec<OsString> {
    let mut args: Vec<OsString> = ["-t", "ffs", "-B", "little"].map(OsString::from).to_vec();
    // Today's kernels refuse the UFS2 of Debian's makefs.
    args.extend(["-o", "version=1,optimization=space,minfree=0"].map(OsString::from));
    args.extend(["-T".into(), TIME.to_string().into()]);
    args.extend(["-s".into(), size.to_string().into()]);
    args.extend(["-F", "-x"].map(OsString::from));
    args.insert(args.len() - 1, list.into());
    args.extend([image, dir].map(|path| OsStr::new(path).to_owned()));
    args
}

/// Writes the image of a tree. The file appears only when it is complete.
///
/// # Errors
/// Fails with [`InfraError::MakefsMissing`], [`InfraError::MakefsFailed`],
/// [`InfraError::DiskFull`] or [`InfraError::Io`].
pub fn write(makefs: &Makefs, tree: &Tree, image: &Path, size: u64) -> Result<(), InfraError> {
    let place = image.parent().unwrap_or(Path::new("."));
    let stage = tempfile::Builder::new()
        .prefix(".image-")
        .tempdir_in(place)
        .map_err(|e| InfraError::io("write into", place, e))?;
    let root = stage.path().join("root");
    let list = stage.path().join("mtree");
    let new = stage.path().join("image");
    fs::create_dir(&root).map_err(|e| InfraError::io("create", &root, e))?;
    tree.stage(&root)?;
    fs::write(&list, tree.mtree(TIME)).map_err(|e| InfraError::io("write", &list, e))?;
    run(makefs, makefs_args(&list, size, &new, &root), image)?;
    check(&new, image, size)?;
    fs::rename(&new, image).map_err(|e| InfraError::io("write", image, e))
}

fn run(makefs: &Makefs, args: Vec<OsString>, image: &Path) -> Result<(), InfraError> {
    let output = Command::new(&makefs.0)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => InfraError::MakefsMissing,
            _ => InfraError::io("run", &makefs.0, error),
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if says_disk_full(&said) {
        return Err(InfraError::DiskFull {
            doing: "write the root image".into(),
            path: image.to_owned(),
        });
    }
    let last: Vec<&str> = said.lines().rev().take(3).collect();
    Err(failed(
        image,
        if last.is_empty() {
            output.status.to_string()
        } else {
            last.into_iter().rev().collect::<Vec<&str>>().join("; ")
        },
    ))
}

/// Checks that the image is a UFS1 of the right size.
fn check(new: &Path, image: &Path, size: u64) -> Result<(), InfraError> {
    let unreadable = |error| InfraError::io("read back", new, error);
    let file = File::open(new).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.len();
    if found < size {
        return Err(failed(image, format!("it wrote {found} of {size} bytes")));
    }
    let mut magic = [0; 4];
    let (offset, want) = MAGIC;
    file.read_exact_at(&mut magic, offset).map_err(unreadable)?;
    if u32::from_le_bytes(magic) == want {
        Ok(())
    } else {
        Err(failed(image, "what it wrote is not UFS1".into()))
    }
}

fn failed(image: &Path, stderr: String) -> InfraError {
    InfraError::MakefsFailed {
        image: image.to_owned(),
        stderr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn fake(dir: &Path, script: &str) -> Makefs {
        let path = dir.join("makefs");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Makefs::at(path)
    }

    fn attempt(script: &str) -> InfraError {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("root.img");
        let makefs = fake(dir.path(), script);
        let error = write(&makefs, &Tree::new(), &image, 1 << 20).unwrap_err();
        assert!(!image.exists(), "a half image was left");
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 1, "something besides the fake was left");
        error
    }

    #[test]
    fn each_failure_of_makefs_has_its_error() {
        let full = "echo 'makefs: Writing inode: No space left on device' >&2; exit 1";
        assert!(matches!(attempt(full), InfraError::DiskFull { .. }));
        for (script, want) in [
            (
                "echo \"makefs: image too small\" >&2; exit 1",
                "makefs: image too small",
            ),
            ("exit 3", "exit status: 3"),
            ("kill -9 $$", "signal: 9"),
            (
                "for a; do [ \"${a##*/}\" = image ] && echo short >\"$a\"; done; true",
                "it wrote 6 of 1048576 bytes",
            ),
            (
                "for a; do [ \"${a##*/}\" = image ] && truncate -s 1M \"$a\"; done; true",
                "what it wrote is not UFS1",
            ),
        ] {
            let error = attempt(script);
            assert!(matches!(error, InfraError::MakefsFailed { .. }), "{error}");
            assert!(error.to_string().contains(want), "{error}");
        }
        let dir = tempfile::tempdir().unwrap();
        let gone = Makefs::at(dir.path().join("makefs"));
        let error = write(&gone, &Tree::new(), &dir.path().join("i"), 1).unwrap_err();
        assert!(matches!(error, InfraError::MakefsMissing));
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let image = Path::new("/nonexistent/root.img");
        let error = write(&Makefs::at("makefs"), &Tree::new(), image, 1).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("could not write into /nonexistent: No such file"));
    }

    #[test]
    fn the_arguments() {
        let path = Path::new;
        let args = makefs_args(
            path("/s/mtree"),
            67_108_864,
            path("/s/image"),
            path("/s/root"),
        );
        let args: Vec<_> = args.iter().map(|a| a.to_string_lossy()).collect();
        insta::assert_snapshot!(args.join(" "), @"-t ffs -B little -o version=1,optimization=space,minfree=0 -T 1704067200 -s 67108864 -F /s/mtree -x /s/image /s/root");
    }

    /// With the host's makefs; `cargo xtask doctor` sees to it that there is one.
    #[test]
    fn a_real_image_holds_the_trees_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("root.img");
        let tree = Tree::new()
            .dir("dev", 0o555)
            .text("etc/motd", 0o644, *b"forty-two and more bytes of this")
            .link("motd", "etc/motd");
        write(&Makefs::find().unwrap(), &tree, &image, 4 << 20).unwrap();
        let bytes = fs::read(&image).unwrap();
        assert_eq!(bytes.len(), 4 << 20);
        let text = b"forty-two and more bytes of this";
        assert!(bytes.windows(text.len()).any(|window| window == text));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_tree_that_does_not_fit_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("root.img");
        let tree = Tree::new().text("big", 0o644, vec![1; 2 << 20]);
        let error = write(&Makefs::find().unwrap(), &tree, &image, 1 << 20).unwrap_err();
        assert!(matches!(error, InfraError::MakefsFailed { .. }), "{error}");
        assert!(!image.exists());
    }
}
