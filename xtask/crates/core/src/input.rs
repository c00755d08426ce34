//! Reads files that come from other people: patches, manifests. Only regular
//! files of a limited size are read: a device or a pipe is refused. So is a
//! symbolic link, on request, if it is the last part of the path. The folders
//! before it may be links.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use indicatif::BinaryBytes;
use nix::libc;

use crate::failure::Failure;

/// Whether a symbolic link is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// It is: the user named the file.
    Follow,
    /// It is not: a file of a series is in the series' own folder.
    Refuse,
}

/// Reads a file of at most `most` bytes. `tried` completes "could not ...".
///
/// # Errors
/// [`Class::Usage`](crate::failure::Class::Usage) for a file that is missing,
/// larger, or no regular file; otherwise the error of the system.
pub fn read(tried: &str, path: &Path, most: u64, links: Links) -> Result<Vec<u8>, Failure> {
    let at = path.display();
    let usage = |what: String| Failure::usage(tried, what);
    let failed = |error: io::Error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => usage(format!("{at} does not exist")),
        // FreeBSD has another error for a link that is not followed.
        Some(libc::ELOOP | libc::EMLINK) => {
            usage(format!("{at} is a symbolic link")).help("replace it by the file that it names")
        }
        // A socket, and the device of no driver.
        Some(libc::ENXIO) => usage(format!("{at} is not a regular file")),
        _ => Failure::io(tried, path, error),
    };
    let no_follow = match links {
        Links::Follow => 0,
        Links::Refuse => libc::O_NOFOLLOW,
    };
    let file = File::options()
        .read(true)
        // Opening a pipe must not wait for a writer.
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | no_follow)
        .open(path)
        .map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(usage(format!("{at} is not a regular file")));
    }
    let mut content = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut content)
        .map_err(failed)?;
    if content.len() as u64 > most {
        return Err(
            usage(format!("{at} is larger than {}", BinaryBytes(most))).help(
                "no one reviews a file of this size: remove generated and binary files, and split \
             the rest",
            ),
        );
    }
    Ok(content)
}

/// Does what [`read`] does with a text.
///
/// # Errors
/// Fails as [`read`] does, and if the file is not UTF-8.
pub fn read_text(tried: &str, path: &Path, most: u64, links: Links) -> Result<String, Failure> {
    let bytes = read(tried, path, most, links)?;
    String::from_utf8(bytes).map_err(|_| {
        Failure::usage(tried, format!("{} is not UTF-8", path.display()))
            .help("save the file as UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_a_regular_file_of_limited_size_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("plain"), "12345678").unwrap();
        fs::write(path("latin"), b"\xe9").unwrap();
        symlink("plain", path("link")).unwrap();
        symlink("nothing", path("dangling")).unwrap();
        symlink("loop", path("loop")).unwrap();
        fs::create_dir(path("folder")).unwrap();
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let text = |name: &str, most, links| {
            read_text("read it", &path(name), most, links).map_err(|failure| {
                assert_eq!(failure.exit_code(), 2, "{failure}");
                failure.in_one_line()
            })
        };
        assert_eq!(text("plain", 8, Links::Refuse).unwrap(), "12345678");
        assert_eq!(text("link", 8, Links::Follow).unwrap(), "12345678");
        for (name, most, links, want) in [
            ("plain", 7, Links::Refuse, "is larger than 7 B"),
            ("latin", 8, Links::Refuse, "is not UTF-8"),
            ("link", 8, Links::Refuse, "is a symbolic link"),
            ("dangling", 8, Links::Refuse, "is a symbolic link"),
            ("dangling", 8, Links::Follow, "does not exist"),
            ("loop", 8, Links::Follow, "is a symbolic link"),
            ("folder", 8, Links::Refuse, "is not a regular file"),
            ("pipe", 8, Links::Follow, "is not a regular file"),
            ("none", 8, Links::Refuse, "does not exist"),
        ] {
            let said = text(name, most, links).unwrap_err();
            assert!(said.contains(want), "{name}: {said}");
        }
    }
}
