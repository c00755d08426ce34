//! What a run must not leave behind: processes, locks, unfinished and temporary
//! files, mounts.

use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sandbox::TOKEN;

/// The children of a process that was killed end a moment later.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns all leftovers. `dir` is the sandbox, `home` its cache folder.
pub fn find(dir: &Path, home: &Path, token: &str) -> Vec<String> {
    let mut found = processes_left(token);
    found.extend(locks(home));
    found.extend(files(dir, home));
    found.extend(mounts(dir));
    found
}

/// Returns the processes that are still running after a while.
pub fn processes_left(token: &str) -> Vec<String> {
    let until = Instant::now() + TIMEOUT;
    loop {
        let left = processes(token);
        if left.is_empty() || Instant::now() >= until {
            return left
                .into_iter()
                .map(|pid| format!("process {pid} ({})", command(pid)))
                .collect();
        }
        std::thread::yield_now();
    }
}

/// Returns the processes that have `token` in their environment.
fn processes(token: &str) -> Vec<i32> {
    let wanted = format!("{TOKEN}={token}");
    let Ok(all) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    all.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environ
                .split(|byte| *byte == 0)
                .any(|variable| variable == wanted.as_bytes())
        })
        .collect()
}

/// Kills the QEMUs among these processes. Returns their number.
pub fn kill_qemus(token: &str) -> usize {
    signal_qemus(token, Signal::SIGKILL)
}

/// Sends a signal to the QEMUs among these processes. Returns their number.
pub fn signal_qemus(token: &str, signal: Signal) -> usize {
    let qemus = processes(token)
        .into_iter()
        .filter(|pid| command(*pid).starts_with("qemu-system"));
    // A QEMU that has just ended counts too.
    qemus
        .filter(|pid| kill(Pid::from_raw(*pid), signal).is_ok())
        .count()
}

/// Returns the name of a process's program.
fn command(pid: i32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim().to_owned()
}

/// Returns the locks that are taken.
fn locks(home: &Path) -> Vec<String> {
    let lock = |path: &PathBuf| File::open(path).is_ok_and(|file| file.try_lock().is_err());
    list(&home.join("locks"))
        .into_iter()
        .filter(lock)
        .map(|path| format!("lock {}", path.display()))
        .collect()
}

/// Returns unfinished results and temporary files.
fn files(dir: &Path, home: &Path) -> Vec<String> {
    let mut found = list(&home.join("store/.unfinished"));
    found.extend(list(&dir.join("tmp")));
    let mut folders = vec![home.to_owned(), dir.join("out")];
    while let Some(folder) = folders.pop() {
        for path in list(&folder) {
            let name = path.file_name().unwrap_or_default();
            if path.is_symlink() {
                continue;
            }
            if name.as_encoded_bytes().starts_with(b".tmp") {
                found.push(path);
            } else if path.is_dir() && path != home.join("target") {
                folders.push(path);
            }
        }
    }
    found
        .into_iter()
        .map(|path| format!("file {}", path.display()))
        .collect()
}

/// Returns the entries of a folder, without the whiteouts (character devices)
/// of an overlay.
fn list(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    let there = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| !kind.is_char_device());
    entries
        .flatten()
        .filter(there)
        .map(|entry| entry.path())
        .collect()
}

/// Returns the mounts below the sandbox.
fn mounts(dir: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let below = dir.display().to_string();
    table
        .lines()
        .filter(|line| line.contains(&below))
        .map(|line| format!("mount {line}"))
        .collect()
}
