//! The files of one machine: copies of the disks it may write, and its boot
//! disk. The directory has the machine's name, which makes the name unique.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::name;
use super::spec::{Boot, Disk, Spec};
use crate::error::InfraError;
use crate::image;
use crate::qemu::{Access, Drive, Format};

/// The number of directories that this process has created.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A directory that is removed when its value is dropped.
#[derive(Debug)]
pub struct Scratch {
    /// The machine's name.
    pub name: String,
    path: PathBuf,
}

impl Scratch {
    /// Creates a directory with a new name in `parent`.
    ///
    /// # Errors
    /// Fails with [`InfraError::Io`] or [`InfraError::DiskFull`].
    pub fn new(parent: &Path) -> Result<Self, InfraError> {
        loop {
            let number = COUNT.fetch_add(1, Ordering::SeqCst);
            let name = name::of(std::process::id(), number);
            let path = parent.join(&name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { name, path }),
                // A process that had the same id left it behind.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(InfraError::io("create", &path, error)),
            }
        }
    }

    /// Returns the disks of `spec`, in order: its drives, then its boot disk.
    ///
    /// # Errors
    /// Fails with [`InfraError::BhyveCannot`], [`InfraError::Io`] or
    /// [`InfraError::DiskFull`].
    pub fn disks(&self, spec: &Spec) -> Result<Vec<Disk>, InfraError> {
        let mut disks = Vec::new();
        for (n, drive) in spec.drives.iter().enumerate() {
            disks.push(self.disk(n, drive)?);
        }
        if let Boot::Efi { firmware, dir } = &spec.boot {
            check(firmware)?;
            let path = self.path.join("esp.img");
            image::write_fat(dir, &path)?;
            disks.push(Disk {
                path,
                read_only: true,
            });
        }
        for disk in &disks {
            check(&disk.path)?;
        }
        Ok(disks)
    }

    fn disk(&self, n: usize, drive: &Drive) -> Result<Disk, InfraError> {
        if drive.format != Format::Raw {
            return Err(InfraError::BhyveCannot {
                what: format!("use {}", drive.path.display()),
                why: "it only knows disks as they are (raw)".into(),
            });
        }
        let path = match drive.access {
            Access::ReadOnly | Access::Persistent => drive.path.clone(),
            // bhyve writes to the image itself, so it gets a copy.
            Access::Snapshot => {
                let path = self.path.join(format!("disk{n}.img"));
                fs::copy(&drive.path, &path)
                    .map_err(|e| InfraError::io("copy the machine's disk to", &path, e))?;
                path
            }
        };
        Ok(Disk {
            path,
            read_only: drive.access == Access::ReadOnly,
        })
    }
}

/// Checks that bhyve accepts `path`: it splits its options at every comma.
fn check(path: &Path) -> Result<(), InfraError> {
    if path.as_os_str().as_encoded_bytes().contains(&b',') {
        return Err(InfraError::BhyveCannot {
            what: format!("use {}", path.display()),
            why: "it has no way to write a path with a comma".into(),
        });
    }
    Ok(())
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A later run removes what cannot be removed now.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(path: &Path, access: Access, format: Format) -> Spec {
        let mut spec = Spec::new(Boot::Load {
            dir: "/esp".into(),
            env: Vec::new(),
        });
        spec.drives.push(Drive {
            path: path.to_owned(),
            format,
            access,
        });
        spec
    }

    #[test]
    fn a_disk_whose_changes_are_forgotten_is_a_copy() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root.ufs");
        fs::write(&root, "root").unwrap();
        let scratch = Scratch::new(dir.path()).unwrap();
        let kept = dir.path().join(&scratch.name);
        let disks = |access| scratch.disks(&spec(&root, access, Format::Raw)).unwrap();
        for (access, path, read_only) in [
            (Access::ReadOnly, root.clone(), true),
            (Access::Persistent, root.clone(), false),
            (Access::Snapshot, kept.join("disk0.img"), false),
        ] {
            assert_eq!(disks(access), [Disk { path, read_only }], "{access:?}");
        }
        assert_eq!(fs::read(kept.join("disk0.img")).unwrap(), b"root");
        drop(scratch);
        assert!(!kept.exists() && root.exists());
    }

    #[test]
    fn what_bhyve_cannot_take_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(dir.path()).unwrap();
        for (path, format, want) in [
            ("/a.qcow2", Format::Qcow2, "bhyve cannot use /a.qcow2"),
            ("/a,b", Format::Raw, "a path with a comma"),
        ] {
            let error = scratch
                .disks(&spec(Path::new(path), Access::ReadOnly, format))
                .unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
        }
    }

    #[test]
    fn a_name_that_is_taken_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (
            Scratch::new(dir.path()).unwrap(),
            Scratch::new(dir.path()).unwrap(),
        );
        assert_ne!(one.name, other.name);
        let missing = Scratch::new(&dir.path().join("gone")).unwrap_err();
        assert!(missing.to_string().starts_with("could not create"));
    }
}
