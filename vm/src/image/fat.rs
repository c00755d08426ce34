//! Writes a directory as a FAT disk image, for firmware that cannot read a
//! directory. makefs(8) cannot do it on Linux, where NetBSD's package lacks
//! FAT.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use fatfs::{Dir, FileSystem, FormatVolumeOptions, FsOptions};

use crate::error::InfraError;

/// The space for the file system itself, in bytes. It also keeps the image
/// large enough for FAT16: firmware need not read FAT12 from a hard disk.
const SLACK: u64 = 16 << 20;

/// Writes the content of `dir` to `image`, which must not exist.
///
/// # Errors
/// Fails with [`InfraError::Io`] or [`InfraError::DiskFull`].
pub fn write_fat(dir: &Path, image: &Path) -> Result<(), InfraError> {
    let size = size(dir).map_err(|e| InfraError::io("read", dir, e))?;
    write(dir, image, size + SLACK).map_err(|e| InfraError::io("write the boot disk", image, e))
}

fn write(dir: &Path, image: &Path, size: u64) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(image)?;
    file.set_len(size)?;
    fatfs::format_volume(&mut file, FormatVolumeOptions::new())?;
    let volume = FileSystem::new(file, FsOptions::new())?;
    copy(dir, &volume.root_dir())?;
    volume.unmount()
}

/// Returns the size of all files below `dir`, in bytes.
fn size(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let about = fs::metadata(&path)?;
        sum += if about.is_dir() {
            size(&path)?
        } else {
            about.len()
        };
    }
    Ok(sum)
}

fn copy(from: &Path, to: &Dir<'_, File>) -> io::Result<()> {
    let mut entries = fs::read_dir(from)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if path.is_dir() {
            copy(&path, &to.create_dir(&name)?)?;
        } else {
            io::copy(&mut File::open(&path)?, &mut to.create_file(&name)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_image_holds_what_the_directory_holds() {
        let dir = tempfile::tempdir().unwrap();
        let (esp, image) = (dir.path().join("esp"), dir.path().join("esp.img"));
        fs::create_dir_all(esp.join("boot/kernel")).unwrap();
        let kernel: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        fs::write(esp.join("boot/kernel/kernel"), &kernel).unwrap();
        fs::write(esp.join("boot/loader.rc"), "boot\n").unwrap();
        write_fat(&esp, &image).unwrap();

        let volume = FileSystem::new(File::open(&image).unwrap(), FsOptions::new());
        // A file opened for reading cannot be unmounted clean.
        let volume = std::mem::ManuallyDrop::new(volume.unwrap());
        assert_eq!(volume.fat_type(), fatfs::FatType::Fat16);
        let root = volume.root_dir();
        for (path, want) in [
            ("boot/kernel/kernel", kernel.as_slice()),
            ("boot/loader.rc", b"boot\n"),
        ] {
            let mut got = Vec::new();
            root.open_file(path).unwrap().read_to_end(&mut got).unwrap();
            assert!(got == want, "{path}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = write_fat(Path::new("/nonexistent"), &dir.path().join("i")).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("could not read /nonexistent: No such file"));
    }
}
