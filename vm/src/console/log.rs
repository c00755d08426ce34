//! Writes the raw log of a serial port: every byte, with a timestamp at the
//! start of each line, in bounded disk space.
//!
//! The beginning (the boot) goes to the named file; when that is full, the
//! newest part goes to `NAME.tail`, the part before it to `NAME.tail.1`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};

use crate::error::InfraError;

/// The disk space that a log may use, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// The space for the beginning.
    pub head: usize,
    /// The space for the end.
    pub tail: usize,
}

impl Default for Cap {
    fn default() -> Self {
        Self {
            head: 16 << 20,
            tail: 16 << 20,
        }
    }
}

/// A log that is being written. It stops at the first error. The caller reports
/// that error and continues, because a full disk must not change a verdict.
pub struct StampedLog {
    path: PathBuf,
    cap: Cap,
    head: Option<File>,
    left: usize,
    tail: Option<FileRotate<AppendCount>>,
    in_line: bool,
    stamped: Vec<u8>,
}

impl StampedLog {
    /// Creates the file, or truncates it.
    ///
    /// # Errors
    /// Fails with [`InfraError::Io`] when the file cannot be created.
    pub fn create(path: &Path, cap: Cap) -> Result<Self, InfraError> {
        for old in [tail_path(path, ""), tail_path(path, ".1")] {
            match std::fs::remove_file(&old) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(InfraError::io("remove the old log", &old, e));
                }
                _ => {}
            }
        }
        let file = File::create(path).map_err(|e| InfraError::io("create the log", path, e))?;
        Ok(Self {
            path: path.to_owned(),
            cap,
            head: Some(file),
            left: cap.head,
            tail: None,
            in_line: false,
            stamped: Vec::new(),
        })
    }

    /// Writes a chunk that arrived `at` after the machine's start.
    ///
    /// # Errors
    /// Fails when the disk fails. After an error nothing more is written.
    pub fn write(&mut self, at: Duration, chunk: &[u8]) -> Result<(), InfraError> {
        if self.head.is_none() && self.tail.is_none() {
            return Ok(());
        }
        self.stamp(at, chunk);
        let stamped = std::mem::take(&mut self.stamped);
        let result = self.append(&stamped);
        self.stamped = stamped;
        if result.is_err() {
            self.head = None;
            self.tail = None;
        }
        result.map_err(|e| InfraError::io("write the log", &self.path, e))
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn stamp(&mut self, at: Duration, chunk: &[u8]) {
        self.stamped.clear();
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            if !self.in_line {
                let stamp = format!("[{:>4}.{:03}] ", at.as_secs(), at.subsec_millis());
                self.stamped.extend_from_slice(stamp.as_bytes());
            }
            self.stamped.extend_from_slice(piece);
            self.in_line = !piece.ends_with(b"\n");
        }
    }

    fn append(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        if let Some(head) = &mut self.head {
            let (fits, rest) = bytes.split_at(bytes.len().min(self.left));
            head.write_all(fits)?;
            self.left -= fits.len();
            if rest.is_empty() {
                return Ok(());
            }
            bytes = rest;
            let tail = tail_path(&self.path, "");
            let end = format!("\n[the log goes on in {}]\n", tail.display());
            head.write_all(end.as_bytes())?;
            self.head = None;
            // file-rotate does not report a file that it cannot open.
            File::create(&tail)?;
            self.tail = Some(FileRotate::new(
                tail,
                AppendCount::new(1),
                ContentLimit::Bytes((self.cap.tail / 2).max(1)),
                Compression::None,
                None,
            ));
        }
        match &mut self.tail {
            Some(tail) => tail.write_all(bytes),
            None => Ok(()),
        }
    }
}

fn tail_path(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tail");
    name.push(more);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const CAP: Cap = Cap {
        head: 10_000,
        tail: 10_000,
    };

    #[test]
    fn a_full_disk_is_reported_once_and_costs_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut log = StampedLog::create(&path, CAP).unwrap();
        let error = log.write(Duration::ZERO, b"x\n").unwrap_err();
        assert!(matches!(error, InfraError::DiskFull { .. }), "{error}");
        assert!(log.write(Duration::ZERO, b"y\n").is_ok());
    }

    #[test]
    fn a_log_that_cannot_be_created_says_which() {
        let error = StampedLog::create(Path::new("/nonexistent/c.log"), CAP)
            .err()
            .unwrap();
        assert!(error.to_string().contains("/nonexistent/c.log"), "{error}");
    }

    #[test]
    fn a_flood_stays_within_the_cap_with_its_head_and_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        let mut log = StampedLog::create(&path, CAP).unwrap();
        for n in 0..100_000 {
            log.write(Duration::from_secs(n), format!("line {n}\r\n").as_bytes())
                .unwrap();
        }
        let size: u64 = fs::read_dir(dir.path())
            .unwrap()
            .map(|f| f.unwrap().metadata().unwrap().len())
            .sum();
        assert!(size < 21_000, "{size}");
        let head = fs::read_to_string(&path).unwrap();
        assert!(head.starts_with("[   0.000] line 0\r\n[   1.000] line 1\r\n"));
        let tail = fs::read_to_string(tail_path(&path, "")).unwrap();
        assert!(tail.ends_with("[99999.000] line 99999\r\n"), "{tail}");
    }

    #[test]
    fn a_line_that_comes_in_pieces_has_one_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        let mut log = StampedLog::create(&path, CAP).unwrap();
        log.write(Duration::from_millis(1500), b"pan").unwrap();
        log.write(Duration::from_millis(1700), b"ic: x\n\xff\0db> ")
            .unwrap();
        let text = fs::read(&path).unwrap();
        assert_eq!(text, b"[   1.500] panic: x\n[   1.700] \xff\0db> ");
    }

    #[test]
    fn an_older_runs_tail_is_not_left_beside_a_new_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        fs::write(tail_path(&path, ""), "old").unwrap();
        fs::write(tail_path(&path, ".1"), "old").unwrap();
        StampedLog::create(&path, CAP).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
