//! The cache folder: where everything the kit can make again is kept.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::base_strategy::{BaseStrategy, choose_base_strategy};
use kdk_vm::interrupt::Interrupt;

use crate::failure::Failure;

/// How often a wait for a lock looks whether it is free, or the wait over.
const LOOK: Duration = Duration::from_millis(50);

/// The cache folder of this user.
#[derive(Debug, Clone)]
pub struct CacheDir {
    root: PathBuf,
    interrupt: Interrupt,
}

/// A lock on a file, held until it is dropped or the process ends, however it
/// ends.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// `file` was locked.
    pub fn on(file: File) -> Self {
        Self(file)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // To close the file is not enough: a child that was forked a moment
        // ago has it too, until it becomes another program.
        let _ = self.0.unlock();
    }
}

impl CacheDir {
    /// The cache folder that the environment names: `KDK_HOME`, else
    /// `fbsd-kdk` in the XDG cache directory. Creates it. Waits in it end when
    /// `interrupt` is set.
    pub fn open(interrupt: &Interrupt) -> Result<Self, Failure> {
        let cache = choose_base_strategy().ok().map(|dirs| dirs.cache_dir());
        let root = locate(env::var_os("KDK_HOME").map(PathBuf::from), cache)?;
        Self::at(root, interrupt)
    }

    /// The cache folder `root`, created if it is not there. Fails at once when
    /// nothing can be written to it.
    pub fn at(root: PathBuf, interrupt: &Interrupt) -> Result<Self, Failure> {
        const TRIED: &str = "use the cache folder";
        fs::create_dir_all(&root).map_err(|error| Failure::io(TRIED, &root, error))?;
        // git, make and QEMU run in other directories than this process.
        let root = fs::canonicalize(&root).map_err(|error| Failure::io(TRIED, &root, error))?;
        let cache = Self {
            root,
            interrupt: interrupt.clone(),
        };
        let probe = cache.locks().join("probe");
        fs::create_dir_all(cache.locks())
            .and_then(|()| fs::write(&probe, b"writable\n"))
            .map_err(|error| Failure::io(TRIED, cache.root(), error))?;
        Ok(cache)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is known of each base that was added: `bases/NAME.json`.
    pub fn bases(&self) -> PathBuf {
        self.root.join("bases")
    }

    /// The kit's own git repositories: `repos/NAME.git`.
    pub fn repos(&self) -> PathBuf {
        self.root.join("repos")
    }

    /// Checked-out trees: `trees/NAME/VARIANT`.
    pub fn trees(&self) -> PathBuf {
        self.root.join("trees")
    }

    /// Changes to series that are on the way: `edits/SERIES/PATCH`.
    pub fn edits(&self) -> PathBuf {
        self.root.join("edits")
    }

    /// Object directories of FreeBSD builds, kept for incremental builds.
    pub fn obj(&self) -> PathBuf {
        self.root.join("obj")
    }

    /// What ccache(1) remembers of compilations.
    pub fn ccache(&self) -> PathBuf {
        self.root.join("ccache")
    }

    /// The artefact store.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Logs and consoles of runs, a folder each.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// What earlier runs have shown: `history/BASE/TIME-PID.json`.
    pub fn history(&self) -> PathBuf {
        self.root.join("history")
    }

    /// Returns the folder of the reports of runs on `base`.
    pub fn history_of(&self, base: &str) -> PathBuf {
        self.history().join(base)
    }

    /// Cached answers about the host (accelerators).
    pub fn probes(&self) -> PathBuf {
        self.root.join("probes")
    }

    /// cargo's target directory for guest crates.
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// Creates `dir`, one of this folder's, with its parents.
    pub fn create(&self, dir: &Path) -> Result<(), Failure> {
        fs::create_dir_all(dir).map_err(|error| Failure::io("use the cache folder", dir, error))
    }

    /// Takes the lock on `entry` ("base-main"), waiting for the process that
    /// holds it, or until the interruption. `say` is told whom it waits for.
    pub fn lock(&self, entry: &str, say: &dyn Fn(String)) -> Result<Lock, Failure> {
        let mut holder = match self.try_lock(entry)? {
            Ok(lock) => return Ok(lock),
            Err(holder) => holder,
        };
        say(format!("waiting for {holder}, which uses {entry}"));
        while !self.interrupt.is_set() {
            std::thread::sleep(LOOK);
            match self.try_lock(entry)? {
                Ok(lock) => return Ok(lock),
                Err(now) => holder = now,
            }
        }
        let tried = format!("wait for {holder}, which uses {entry}");
        Err(Failure::infra(tried, "interrupted"))
    }

    /// Takes the lock on `entry` if no process holds it; the error is a text
    /// that names the process that does.
    pub fn try_lock(&self, entry: &str) -> Result<Result<Lock, String>, Failure> {
        let (path, file) = self.lock_file(entry)?;
        let failed = |error| Failure::io(format!("lock {entry}"), &path, error);
        match file.try_lock() {
            Ok(()) => {
                sign(&file).map_err(failed)?;
                Ok(Ok(Lock::on(file)))
            }
            Err(TryLockError::WouldBlock) => Ok(Err(holder(&path))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The lock's file. It stays behind: unlinking a file that others may be
    /// about to lock would let two of them in.
    fn lock_file(&self, entry: &str) -> Result<(PathBuf, File), Failure> {
        let path = self.locks().join(format!("{entry}.lock"));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| Failure::io(format!("lock {entry}"), &path, error))?;
        Ok((path, file))
    }
}

/// Which folder to use, given `KDK_HOME` and the user's cache directory.
fn locate(kdk_home: Option<PathBuf>, cache: Option<PathBuf>) -> Result<PathBuf, Failure> {
    kdk_home
        .filter(|path| !path.as_os_str().is_empty())
        .or_else(|| cache.map(|dir| dir.join("fbsd-kdk")))
        .ok_or_else(|| {
            Failure::infra("find the cache folder", "this user has no home directory")
                .help("set KDK_HOME to a directory that can be written")
        })
}

/// Writes this process's id into a lock's file, for those who wait.
fn sign(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// The process that holds the lock at `path`, in words.
fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".into(),
    }
}

/// Writes a file so that a reader sees the old content or the new, and a
/// killed writer leaves the old.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let dir = path
        .parent()
        .ok_or_else(|| io::Error::other("a file needs a parent directory"))?;
    fs::create_dir_all(dir)?;
    // A report is for others too: the umask says for whom, as with any file.
    let mut file = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(dir)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn kdk_home_goes_before_the_xdg_cache() {
        let some = |text: &str| Some(PathBuf::from(text));
        let table = [
            (some("/k"), some("/c"), Some("/k")),
            (some(""), some("/c"), Some("/c/fbsd-kdk")),
            (None, some("/c"), Some("/c/fbsd-kdk")),
            (None, None, None),
        ];
        for (kdk_home, cache, want) in table {
            let got = locate(kdk_home, cache).ok();
            assert_eq!(got, want.map(PathBuf::from));
        }
    }

    #[test]
    fn a_second_lock_waits_and_names_the_holder() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let lock = cache
            .lock("base-x", &|_| panic!("nobody to wait for"))
            .unwrap();
        let (told, hear) = mpsc::channel();
        let waiter = std::thread::spawn({
            let cache = cache.clone();
            move || {
                cache
                    .lock("base-x", &|text| told.send(text).unwrap())
                    .map(drop)
            }
        });
        let text = hear.recv_timeout(Duration::from_secs(10)).unwrap();
        let me = format!("process {}", std::process::id());
        assert_eq!(text, format!("waiting for {me}, which uses base-x"));
        assert_eq!(cache.try_lock("base-x").unwrap().unwrap_err(), me);
        drop(lock);
        waiter.join().unwrap().unwrap();
        assert!(cache.try_lock("base-x").unwrap().is_ok());
    }

    #[test]
    fn an_interruption_ends_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::new();
        let cache = CacheDir::at(dir.path().join("home"), &interrupt).unwrap();
        let _held = cache.try_lock("base-x").unwrap().unwrap();
        let failure = cache
            .lock("base-x", &|_| interrupt.trigger())
            .map(drop)
            .unwrap_err();
        assert_eq!(failure.class(), crate::failure::Class::Infra);
        assert_eq!(
            failure.in_one_line(),
            format!(
                "could not wait for process {}, which uses base-x: interrupted",
                std::process::id()
            )
        );
    }

    #[test]
    fn a_child_does_not_keep_a_lock_that_was_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let lock = cache.try_lock("base-x").unwrap().unwrap();
        // What fork(2) gives a child.
        let _childs = lock.0.try_clone().unwrap();
        assert!(cache.try_lock("base-x").unwrap().is_err());
        drop(lock);
        assert!(cache.try_lock("base-x").unwrap().is_ok());
    }

    #[test]
    fn a_written_file_has_the_mode_of_any_other() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, atomic) = (dir.path().join("plain"), dir.path().join("atomic"));
        fs::write(&plain, "x").unwrap();
        write_atomically(&atomic, b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&atomic), mode(&plain));
    }

    #[test]
    fn a_home_that_is_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "x").unwrap();
        let failure = CacheDir::at(path, &Interrupt::new()).unwrap_err();
        assert_eq!(failure.class(), crate::failure::Class::Infra);
    }
}
