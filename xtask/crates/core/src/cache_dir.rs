//! The cache folder, which has all rebuildable files.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::base_strategy::{BaseStrategy, choose_base_strategy};
use kdk_vm::interrupt::Interrupt;

use crate::failure::Failure;
use crate::host;

/// The interval at which a wait for a lock checks the lock and the interrupt.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The cache folder of this user.
#[derive(Debug, Clone)]
pub struct CacheDir {
    root: PathBuf,
    interrupt: Interrupt,
}

/// A lock on a file. It is released when it is dropped, or when the process
/// ends for any reason.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Returns the lock of `file`, which the caller has locked.
    pub fn new(file: File) -> Self {
        Self(file)
    }

    /// Returns the locked file for a child process, such as its standard
    /// input. If this process is killed, the child keeps the lock to its end.
    ///
    /// # Errors
    /// There is no further file descriptor.
    pub fn file(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file does not unlock it while a forked child has not yet
        // called exec(3).
        let _ = self.0.unlock();
    }
}

impl CacheDir {
    /// Opens the cache folder that the environment names: `KDK_HOME`, else
    /// `fbsd-kdk` in the XDG cache directory. Creates it if it does not exist.
    /// Waits for locks end when `interrupt` is set.
    pub fn open(interrupt: &Interrupt) -> Result<Self, Failure> {
        let cache = choose_base_strategy().ok().map(|dirs| dirs.cache_dir());
        let root = locate(env::var_os("KDK_HOME").map(PathBuf::from), cache)?;
        Self::at(root, interrupt)
    }

    /// Opens the cache folder `root`, and creates it if it does not exist.
    /// Fails at once when the folder is not writable.
    pub fn at(root: PathBuf, interrupt: &Interrupt) -> Result<Self, Failure> {
        const TRIED: &str = "use the cache folder";
        if fs::metadata(&root).is_ok_and(|found| !found.is_dir()) {
            let what = format!("{} is not a folder", root.display());
            return Err(Failure::infra(TRIED, what).help(ANOTHER));
        }
        let absolute = std::path::absolute(&root);
        check_name(&absolute.map_err(|error| Failure::io(TRIED, &root, error))?)?;
        fs::create_dir_all(&root).map_err(|error| Failure::io(TRIED, &root, error))?;
        // An absolute path is needed: git, make and QEMU run in other
        // directories than this process.
        let root = fs::canonicalize(&root).map_err(|error| Failure::io(TRIED, &root, error))?;
        check_name(&root)?;
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

    /// Returns the path of the cache folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of the records of added bases: `bases/NAME.json`.
    pub fn bases(&self) -> PathBuf {
        self.root.join("bases")
    }

    /// Returns the folder of kdk's git repositories: `repos/NAME.git`.
    pub fn repos(&self) -> PathBuf {
        self.root.join("repos")
    }

    /// Returns the folder of the checked-out trees: `trees/NAME/VARIANT`.
    pub fn trees(&self) -> PathBuf {
        self.root.join("trees")
    }

    /// Returns the folder of series operations in progress:
    /// `edits/SERIES/PATCH`.
    pub fn edits(&self) -> PathBuf {
        self.root.join("edits")
    }

    /// Returns the folder of the object directories of FreeBSD builds. They
    /// stay for incremental builds.
    pub fn obj(&self) -> PathBuf {
        self.root.join("obj")
    }

    /// Returns the cache folder of ccache(1).
    pub fn ccache(&self) -> PathBuf {
        self.root.join("ccache")
    }

    /// Returns the folder of what confined builds write: `confined/obj` and
    /// `confined/ccache`. It can have programs of a hostile patch, so no build
    /// that is not confined uses it.
    pub fn confined(&self) -> PathBuf {
        self.root.join("confined")
    }

    /// Returns the folder of the object directories of confined builds.
    pub fn confined_obj(&self) -> PathBuf {
        self.confined().join("obj")
    }

    /// Returns the folder of the artefact store.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// Returns the folder of the logs and consoles of runs, with one folder for
    /// each run.
    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Returns the folder of the reports of earlier runs:
    /// `history/BASE/TIME-PID.json`.
    pub fn history(&self) -> PathBuf {
        self.root.join("history")
    }

    /// Returns the folder of the reports of runs on `base`.
    pub fn history_of(&self, base: &str) -> PathBuf {
        self.history().join(base)
    }

    /// Returns the folder of the states and verdicts of bisections.
    pub fn bisects(&self) -> PathBuf {
        self.root.join("bisects")
    }

    /// Returns the folder of the results of CI: `ci/SERIES`.
    pub fn ci(&self) -> PathBuf {
        self.root.join("ci")
    }

    /// Returns the folder of tasks' requests and results that no command has
    /// read yet.
    pub fn tasks(&self) -> PathBuf {
        self.root.join("tasks")
    }

    /// Returns the folder of the job arrays that run tasks on other hosts.
    pub fn executor(&self) -> PathBuf {
        self.root.join("executor")
    }

    /// Returns the folder of the cached properties of the host, such as its
    /// accelerator.
    pub fn probes(&self) -> PathBuf {
        self.root.join("probes")
    }

    /// Returns the target directories that cargo uses for guest crates.
    pub fn target(&self) -> PathBuf {
        self.root.join("target")
    }

    fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// Creates the folder `dir` of this cache, and its parents.
    pub fn create(&self, dir: &Path) -> Result<(), Failure> {
        fs::create_dir_all(dir).map_err(|error| Failure::io("use the cache folder", dir, error))
    }

    /// Locks `entry`, such as `base-main`. Waits for the process that has the
    /// lock until the lock is free or the interrupt is set. Calls `say` with
    /// the name of that process.
    pub fn lock(&self, entry: &str, say: &dyn Fn(String)) -> Result<Lock, Failure> {
        let mut owner = match self.try_lock(entry)? {
            Ok(lock) => return Ok(lock),
            Err(owner) => owner,
        };
        say(format!("waiting for {owner}, which uses {entry}"));
        while !self.interrupt.is_set() {
            std::thread::sleep(POLL_INTERVAL);
            match self.try_lock(entry)? {
                Ok(lock) => return Ok(lock),
                Err(now) => owner = now,
            }
        }
        let tried = format!("wait for {owner}, which uses {entry}");
        Err(Failure::infra(tried, "interrupted"))
    }

    /// Locks `entry` if it is free. The error names the process that has the
    /// lock.
    pub fn try_lock(&self, entry: &str) -> Result<Result<Lock, String>, Failure> {
        let (path, file) = self.lock_file(entry)?;
        let failed = |error| Failure::io(format!("lock {entry}"), &path, error);
        match file.try_lock() {
            Ok(()) => {
                write_owner(&file).map_err(failed)?;
                Ok(Ok(Lock::new(file)))
            }
            Err(TryLockError::WouldBlock) => Ok(Err(lock_owner(&path))),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Opens the file of a lock. The file is never removed: two processes could
    /// lock an unlinked file and its successor at once.
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

/// The help for a cache folder that cannot be used.
const ANOTHER: &str = "set KDK_HOME to a writable directory";

/// Fails if a path has characters that separate or quote words in PATH, in the
/// arguments of QEMU or in a Makefile.
fn check_name(root: &Path) -> Result<(), Failure> {
    let plain = |c: char| c.is_alphanumeric() || "/._-+@~^".contains(c);
    let what = match root.to_str() {
        None => "is not UTF-8".to_owned(),
        Some(text) => match text.chars().find(|c| !plain(*c)) {
            None => return Ok(()),
            Some(c) => format!("has the character {c:?}, which make(1), PATH or QEMU interprets"),
        },
    };
    let what = format!("{} {what}", root.display());
    Err(Failure::usage("use the cache folder", what)
        .help("set KDK_HOME to a directory whose path has letters, digits and `._-+@~^` only"))
}

/// Returns the cache folder for the values of `KDK_HOME` and of the user's
/// cache directory.
fn locate(kdk_home: Option<PathBuf>, cache: Option<PathBuf>) -> Result<PathBuf, Failure> {
    kdk_home
        .filter(|path| !path.as_os_str().is_empty())
        .or_else(|| cache.map(|dir| dir.join("fbsd-kdk")))
        .ok_or_else(|| {
            Failure::infra("find the cache folder", "this user has no home directory")
                .help("set KDK_HOME to a writable directory")
        })
}

/// Writes the id of this process and the name of this host into the file of a
/// lock. Hosts can share the cache folder.
fn write_owner(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{} {}", std::process::id(), host::name())
}

/// Returns the name of the process that has the lock at `path`.
fn lock_owner(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    owner_text(&text, &host::name())
}

/// Returns the name of the process that a lock's file names, for a reader on
/// the host `here`.
fn owner_text(text: &str, here: &str) -> String {
    let mut words = text.split_whitespace();
    match (words.next().map(str::parse::<u32>), words.next()) {
        (Some(Ok(pid)), Some(host)) if host != here => format!("process {pid} on {host}"),
        (Some(Ok(pid)), _) => format!("process {pid}"),
        _ => "another process".into(),
    }
}

/// Writes a file atomically: a reader sees the old content or the new, and a
/// writer that is killed leaves the old. A symbolic link stays, and its target
/// is written. A device, a pipe or a socket is written to, never replaced.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return File::options().write(true).open(path)?.write_all(content);
    }
    let target = fs::canonicalize(path);
    let path = target.as_deref().unwrap_or(path);
    let dir = path
        .parent()
        .ok_or_else(|| io::Error::other("a file needs a parent directory"))?;
    fs::create_dir_all(dir)?;
    // A report is for other users too: the umask decides the mode, as for any
    // file.
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
    fn only_a_regular_file_is_replaced() {
        use std::os::unix::fs::{FileTypeExt, symlink};

        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        write_atomically(&path("new/report"), b"1").unwrap();
        assert_eq!(fs::read(path("new/report")).unwrap(), b"1");
        symlink(path("new/report"), path("link")).unwrap();
        write_atomically(&path("link"), b"2").unwrap();
        assert!(path("link").is_symlink());
        assert_eq!(fs::read(path("new/report")).unwrap(), b"2");
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let reader = std::thread::spawn({
            let pipe = path("pipe");
            move || fs::read(pipe).unwrap()
        });
        write_atomically(&path("pipe"), b"3").unwrap();
        assert_eq!(reader.join().unwrap(), b"3");
        let kind = fs::metadata(path("pipe")).unwrap().file_type();
        assert!(kind.is_fifo());
    }

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
    fn a_second_lock_waits_and_names_the_owner() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let lock = cache
            .lock("base-x", &|_| panic!("the lock is free"))
            .unwrap();
        let (sender, receiver) = mpsc::channel();
        let waiter = std::thread::spawn({
            let cache = cache.clone();
            move || {
                cache
                    .lock("base-x", &|text| sender.send(text).unwrap())
                    .map(drop)
            }
        });
        let text = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        let me = format!("process {}", std::process::id());
        assert_eq!(text, format!("waiting for {me}, which uses base-x"));
        assert_eq!(cache.try_lock("base-x").unwrap().unwrap_err(), me);
        drop(lock);
        waiter.join().unwrap().unwrap();
        assert!(cache.try_lock("base-x").unwrap().is_ok());
    }

    #[test]
    fn an_owner_on_another_host_is_named_with_it() {
        for (text, want) in [
            ("12 here\n", "process 12"),
            ("12 n2\n", "process 12 on n2"),
            // What an older version wrote.
            ("12\n", "process 12"),
            ("", "another process"),
            ("x n2", "another process"),
        ] {
            assert_eq!(owner_text(text, "here"), want, "{text:?}");
        }
    }

    #[test]
    fn an_interruption_ends_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::new();
        let cache = CacheDir::at(dir.path().join("home"), &interrupt).unwrap();
        let _lock = cache.try_lock("base-x").unwrap().unwrap();
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
        // What a child has after fork(2).
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
    fn a_path_that_other_programs_would_split_is_refused() {
        for (path, good) in [
            ("/home/me/.cache/fbsd-kdk", true),
            ("/data/jürgen/k-2+3@x", true),
            ("/a:b", false),
            ("/a,b", false),
            ("/a=b", false),
            ("/a%b", false),
            ("/a b", false),
            ("/a$b", false),
        ] {
            assert_eq!(check_name(Path::new(path)).is_ok(), good, "{path}");
        }
        use std::os::unix::ffi::OsStrExt;
        let latin = std::ffi::OsStr::from_bytes(b"/\xe9");
        assert_eq!(check_name(Path::new(latin)).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_cache_folder_that_is_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "x").unwrap();
        let failure = CacheDir::at(path, &Interrupt::new()).unwrap_err();
        assert_eq!(failure.class(), crate::failure::Class::Infra);
    }
}
