//! Finds the QEMU binary and checks its version.

use std::ffi::OsString;
use std::fmt;
use std::io::{ErrorKind, Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::error::InfraError;
use crate::guard::Guard;
use crate::process::Process;

/// The time limit of `qemu --version`.
const ANSWER: Duration = Duration::from_secs(10);

/// The most bytes of its output that are read.
const MOST_OUTPUT: u64 = 64 << 10;

/// The most characters that an error quotes of it.
const LONGEST_ANSWER: usize = 200;

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
pub const OVERRIDE: &str = "KDK_QEMU";

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
        let answer = ask(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => InfraError::QemuMissing {
                tried: path.to_owned(),
            },
            _ => InfraError::io("run", path, error),
        })?;
        let unknown = |answer: String| InfraError::QemuUnknown {
            path: path.to_owned(),
            answer,
        };
        let answer = answer
            .ok_or_else(|| unknown(format!("nothing that ended within {} s", ANSWER.as_secs())))?;
        let Some(version) = answer.lines().find_map(parse_version) else {
            let first = answer.lines().next().unwrap_or("nothing");
            return Err(unknown(first.chars().take(LONGEST_ANSWER).collect()));
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

/// Returns the output of `path --version`, or none if it does not end.
fn ask(path: &Path) -> std::io::Result<Option<String>> {
    let output = tempfile::tempfile()?;
    let mut command = Command::new(path);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .process_group(0);
    let process = Arc::new(Process::spawn(&mut command, Guard::None)?);
    let (ended, end) = channel();
    let waiting = process.clone();
    let wait = move || {
        waiting.wait();
        let _ = ended.send(());
    };
    if let Err(error) = thread::Builder::new().name("version".into()).spawn(wait) {
        process.kill();
        process.wait();
        return Err(error);
    }
    let deadline = Instant::now() + ANSWER;
    let in_time = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match end.recv_timeout(left) {
            Ok(()) => break true,
            // The wait may end early for this clock.
            Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
            Err(_) => break false,
        }
    };
    if !in_time {
        process.kill();
        return Ok(None);
    }
    let mut answer = Vec::new();
    let mut output = output;
    output.rewind()?;
    output.take(MOST_OUTPUT).read_to_end(&mut answer)?;
    Ok(Some(String::from_utf8_lossy(&answer).into_owned()))
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
