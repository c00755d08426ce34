//! The log of a bisection: a file of JSON lines that only grows. Each line is on
//! the disk before the next kernel is tested, so a kill at any moment costs the
//! kernels under test and nothing else.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::decide::Event;
use kdk_core::failure::Failure;

const TRIED: &str = "write the log of the bisection";

/// An open log.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    events: Vec<Event>,
}

impl Log {
    /// Opens the log at `path`, or creates it. The caller has locked the
    /// bisection. A last line that a kill cut off is removed.
    ///
    /// # Errors
    /// The file cannot be used, or another line is not an entry of a log.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::io(TRIED, path, error);
        let is_new = !path.exists();
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let (events, length) = parse(&text).map_err(|line| inconsistent(path, line))?;
        if length < text.len() {
            file.set_len(length as u64).map_err(failed)?;
        }
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        if is_new {
            sync_folder(path).map_err(failed)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            events,
        })
    }

    /// Returns the entries.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Appends an entry, and returns when it is on the disk.
    ///
    /// # Errors
    /// The disk is full or fails. The log then ends with its last entry.
    pub fn append(&mut self, event: Event) -> Result<(), Failure> {
        let mut line =
            serde_json::to_vec(&event).map_err(|error| Failure::infra(TRIED, error.to_string()))?;
        line.push(b'\n');
        let end = self.file.stream_position();
        let write = |file: &mut File| -> io::Result<()> {
            file.write_all(&line)?;
            file.sync_data()
        };
        if let Err(error) = write(&mut self.file) {
            // The next start would remove a part of a line, too.
            if let Ok(end) = end {
                let _ = self.file.set_len(end);
                let _ = self.file.seek(SeekFrom::Start(end));
            }
            return Err(Failure::io(TRIED, &self.path, error)
                .and_help("the state is kept: continue with `--resume`"));
        }
        self.events.push(event);
        Ok(())
    }
}

/// Returns the entries of the log at `path`, and changes nothing; none if there
/// is no log. Another process may be writing it.
///
/// # Errors
/// The file cannot be read, or a line is not an entry of a log.
pub fn read(path: &Path) -> Result<Vec<Event>, Failure> {
    match fs::read(path) {
        Ok(text) => {
            let (events, _) = parse(&text).map_err(|line| inconsistent(path, line))?;
            Ok(events)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Failure::io("read the log of the bisection", path, error)),
    }
}

/// Writes a new file of the bisection's state and its folder entry to the disk.
///
/// # Errors
/// The disk is full or fails.
pub fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(path)
}

/// Makes the entry of `path` in its folder durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Returns the entries in `text` and the number of bytes that they take. The
/// last line may be cut off. The error is the number of a line that is not an
/// entry.
fn parse(text: &[u8]) -> Result<(Vec<Event>, usize), usize> {
    let mut events = Vec::new();
    let mut length = 0;
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match (serde_json::from_slice(line), line.ends_with(b"\n")) {
            (Ok(event), true) => {
                events.push(event);
                length += line.len();
            }
            // A line without its end is the last one.
            (_, false) => break,
            // A machine that lost its power may leave a block of zeros.
            (Err(_), true) if length + line.len() == text.len() => break,
            (Err(_), true) => return Err(number + 1),
        }
    }
    Ok((events, length))
}

fn inconsistent(path: &Path, line: usize) -> Failure {
    let what = format!(
        "the saved state is inconsistent: {} line {line} is not an entry of a log",
        path.display()
    );
    Failure::infra("continue the bisection", what)
        .help("begin it again without `--resume`; kernels and verdicts are cached")
}

/// Returns the log in the folder `dir` of a bisection.
pub fn path(dir: &Path) -> PathBuf {
    dir.join("log.jsonl")
}

/// Removes the log, to begin again.
///
/// # Errors
/// The file cannot be removed.
pub fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::io("begin the bisection again", path, error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::{Counts, Purpose, Run};

    fn events() -> Vec<Event> {
        vec![
            Event::Session { at: 7 },
            Event::Round { points: vec![3, 6] },
            Event::Run(Run {
                point: 3,
                purpose: Purpose::Search,
                counts: Counts {
                    bad: 1,
                    why: "panic: a\nb \u{1f600}".into(),
                    ..Counts::default()
                },
                ms: 12,
                logs: Some("runs/1".into()),
                phases: Default::default(),
            }),
            Event::HostFailure {
                point: 6,
                why: "no space".into(),
            },
        ]
    }

    #[test]
    fn the_log_survives_a_kill_at_every_byte() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        let mut log = Log::open(&file).unwrap();
        for event in events() {
            log.append(event).unwrap();
        }
        let text = fs::read(&file).unwrap();
        insta::assert_snapshot!(String::from_utf8_lossy(&text));
        let cut = dir.path().join("cut");
        for length in 0..=text.len() {
            fs::write(&cut, &text[..length]).unwrap();
            let mut log = Log::open(&cut).unwrap();
            let complete = text[..length].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(log.events(), &events()[..complete], "{length} bytes");
            log.append(Event::Session { at: 8 }).unwrap();
            drop(log);
            let log = Log::open(&cut).unwrap();
            assert_eq!(log.events().len(), complete + 1, "{length} bytes");
            assert_eq!(log.events().last(), Some(&Event::Session { at: 8 }));
        }
    }

    #[test]
    fn to_read_a_log_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        assert!(read(&file).unwrap().is_empty());
        assert!(!file.exists());
        // The last entry is being written.
        let text = "{\"event\":\"session\",\"at\":1}\n{\"event\":\"ses";
        fs::write(&file, text).unwrap();
        assert_eq!(read(&file).unwrap(), [Event::Session { at: 1 }]);
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }

    #[test]
    fn a_block_of_zeros_at_the_end_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        for zeros in ["\0\0\0\0", "\0\0\0\n"] {
            fs::write(
                &file,
                format!("{{\"event\":\"session\",\"at\":1}}\n{zeros}"),
            )
            .unwrap();
            assert_eq!(Log::open(&file).unwrap().events().len(), 1);
        }
    }

    #[test]
    fn a_damaged_line_in_the_middle_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = path(dir.path());
        fs::write(
            &file,
            "{\"event\":\"sess\n{\"event\":\"session\",\"at\":1}\n",
        )
        .unwrap();
        let failure = Log::open(&file).unwrap_err();
        assert_eq!(failure.exit_code(), 5);
        assert!(failure.in_one_line().contains("line 1"), "{failure}");
        remove(&file).unwrap();
        remove(&file).unwrap();
        assert!(Log::open(&file).unwrap().events().is_empty());
    }

    #[test]
    fn a_full_disk_leaves_the_last_complete_entry() {
        // Every write to this device fails with ENOSPC.
        let mut log = Log {
            path: "/dev/full".into(),
            file: File::options().write(true).open("/dev/full").unwrap(),
            events: Vec::new(),
        };
        let failure = log.append(Event::Session { at: 1 }).unwrap_err();
        assert_eq!(failure.exit_code(), 5);
        assert!(
            failure.in_one_line().contains("no space is left"),
            "{failure}"
        );
        assert!(log.events().is_empty());
    }
}
