//! Finds the QEMU binary and checks its version.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::error::InfraError;

/// A version of QEMU. Versions are compared by number, so that 10.0 is newer
/// than 9.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub u32, pub u32, pub u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The oldest QEMU that supports the arguments that are used here.
pub const OLDEST: Version = Version(7, 0, 0);

/// The environment variable that names another binary than `qemu-system-x86_64`
/// in the PATH.
const OVERRIDE: &str = "KDK_QEMU";

/// A QEMU that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// The binary, which is looked up in the PATH unless it has a slash.
    pub path: PathBuf,
    /// The version that it reports.
    pub version: Version,
}

impl Qemu {
    /// Returns the QEMU that `KDK_QEMU` names, else `qemu-system-x86_64`.
    ///
    /// # Errors
    /// Fails as [`Qemu::at`] does.
    pub fn find() -> Result<Self, InfraError> {
        let path = std::env::var_os(OVERRIDE).filter(|path| !path.is_empty());
        Self::at(&PathBuf::from(
            path.unwrap_or_else(|| OsString::from("qemu-system-x86_64")),
        ))
    }

    /// Returns the QEMU at `path`.
    ///
    /// # Errors
    /// Fails with [`InfraError::QemuMissing`], [`InfraError::QemuUnknown`] when
    /// it does not report its version, [`InfraError::QemuTooOld`].
    pub fn at(path: &Path) -> Result<Self, InfraError> {
        let output = Command::new(path)
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        let output = output.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => InfraError::QemuMissing {
                tried: path.to_owned(),
            },
            _ => InfraError::io("run", path, error),
        })?;
        let answer = String::from_utf8_lossy(&output.stdout);
        let Some(version) = parse_version(&answer) else {
            let said = format!("{answer}{}", String::from_utf8_lossy(&output.stderr));
            return Err(InfraError::QemuUnknown {
                path: path.to_owned(),
                answer: said.lines().next().unwrap_or("nothing").to_owned(),
            });
        };
        if version < OLDEST {
            return Err(InfraError::QemuTooOld {
                path: path.to_owned(),
                found: version,
                need: OLDEST,
            });
        }
        Ok(Self {
            path: path.to_owned(),
            version,
        })
    }
}

/// Returns the version in the output of `qemu --version`.
pub fn parse_version(answer: &str) -> Option<Version> {
    let rest = answer
        .lines()
        .next()?
        .strip_prefix("QEMU emulator version ")?;
    let number = rest.split([' ', '(']).next()?;
    let mut parts = number
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().ok());
    let major = parts.next()??;
    let minor = parts.next()??;
    let micro = parts.next().flatten().unwrap_or(0);
    Some(Version(major, minor, micro))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn fake(script: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qemu");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        (dir, path)
    }

    #[test]
    fn a_missing_qemu_is_named_with_its_remedy() {
        let error = Qemu::at(Path::new("/nonexistent/qemu")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "QEMU was not found: tried to run /nonexistent/qemu"
        );
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("doctor --fix"), "{help}");
    }

    #[test]
    fn an_old_qemu_is_refused_with_both_versions() {
        let (_dir, path) = fake("echo 'QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg-2ubuntu6)'");
        let error = Qemu::at(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("is QEMU 6.2.0, too old: 7.0.0 or later is needed"),
            "{error}"
        );
    }

    #[test]
    fn something_else_under_that_name_is_refused() {
        let (_dir, path) = fake("echo bash: no such luck >&2; exit 1");
        let error = Qemu::at(&path).unwrap_err().to_string();
        assert!(
            error.ends_with("is not a QEMU: its --version printed: bash: no such luck"),
            "{error}"
        );
    }

    #[test]
    fn versions_compare_as_a_whole() {
        for (text, want) in [
            (
                "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright",
                Some(Version(7, 2, 22)),
            ),
            ("QEMU emulator version 10.0", Some(Version(10, 0, 0))),
            (
                "QEMU emulator version 9.1.50-dirty",
                Some(Version(9, 1, 50)),
            ),
            ("QEMU emulator version 8.2-rc1", Some(Version(8, 2, 0))),
            ("QEMU emulator version x", None),
            ("qemu 7.2.0", None),
            ("", None),
        ] {
            assert_eq!(parse_version(text), want, "{text}");
        }
        assert!(Version(10, 0, 0) > Version(9, 2, 0));
    }
}
