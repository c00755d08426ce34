//! The log of a task: what its command printed.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The number of last lines that a failure shows.
const LINES: usize = 15;
/// The most bytes that are read for them.
const BYTES: u64 = 8 * 1024;

/// Returns the last lines of a log; none if it is empty or missing.
pub fn tail(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))
        .ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    (!last.is_empty()).then(|| last.join("\n"))
}

/// Returns the file name of the log of the task `name`, which has the number
/// `number`.
pub fn file_name(number: usize, name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .take(80)
        .collect();
    format!("{number:03}-{name}.log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_a_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        assert_eq!(tail(&path), None);
        std::fs::write(&path, "\n \n").unwrap();
        assert_eq!(tail(&path), None);
        std::fs::write(&path, "a\n\nb").unwrap();
        assert_eq!(tail(&path).as_deref(), Some("a\nb"));
        let many: String = (0..5000).map(|n| format!("{n}\n")).collect();
        std::fs::write(&path, many).unwrap();
        let tail = tail(&path).unwrap();
        assert_eq!(tail.lines().count(), LINES);
        assert!(tail.ends_with("4998\n4999"), "{tail}");
    }

    #[test]
    fn a_log_has_the_name_of_its_task() {
        assert_eq!(
            file_name(7, "releng-15.1/suite/debug/4/x y"),
            "007-releng-15.1-suite-debug-4-x-y.log"
        );
    }
}
