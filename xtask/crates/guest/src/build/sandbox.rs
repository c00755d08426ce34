//! Confines builds with bubblewrap. A patch can change the tree's makefiles, so
//! a build runs code of the patch's author on the host. Confined, it sees the
//! system's programs, its tree, and the folders that it writes to; it has no
//! network, and no process of it survives. docs/ci.md says what is protected.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use kdk_core::failure::Failure;
use kdk_doctor::bubblewrap::{self, ISOLATION};

/// The folders of the system's programs and libraries. A link, as on a system
/// whose `/bin` is in `/usr`, stays a link.
const SYSTEM: [&str; 7] = [
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
];

/// The files and folders of `/etc` that compilers, python and the dynamic linker
/// read.
const SETTINGS: [&str; 8] = [
    "/etc/alternatives",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
];

/// The programs that `sys/conf/newvers.sh` searches for: the repository of the
/// tree is not visible, and a git that fails would mark the kernel as modified.
const HIDDEN: [&str; 2] = ["/usr/bin/git", "/usr/local/bin/git"];

/// The variables of every confined program, before those of the job.
const ENVIRONMENT: [(&str, &str); 5] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("HOME", "/tmp"),
    ("LANG", "C.UTF-8"),
    ("TMPDIR", "/tmp"),
    ("USER", "kdk"),
];

/// What a line of output starts with if bubblewrap itself failed.
pub const COMPLAINT: &str = "bwrap: ";

/// A bubblewrap that works on this host.
#[derive(Debug, Clone)]
pub struct Sandbox {
    bwrap: PathBuf,
}

impl Sandbox {
    /// Returns the sandbox of this host.
    ///
    /// # Errors
    /// bubblewrap is missing, too old, or does not work.
    pub fn find() -> Result<Self, Failure> {
        bubblewrap::find().map(|bwrap| Self { bwrap })
    }

    /// Returns a sandbox that starts nothing.
    #[cfg(test)]
    pub(super) fn fake() -> Self {
        let bwrap = PathBuf::from("/bin/false");
        Self { bwrap }
    }

    /// Returns the confinement of a job.
    pub fn confine(&self, readable: Vec<PathBuf>, writable: Vec<PathBuf>) -> Confinement {
        Confinement {
            bwrap: self.bwrap.clone(),
            readable,
            writable,
        }
    }
}

/// What a confined job sees of the host besides the system's programs.
#[derive(Debug, Clone)]
pub struct Confinement {
    bwrap: PathBuf,
    readable: Vec<PathBuf>,
    writable: Vec<PathBuf>,
}

/// The command that a [`Confinement`] wraps.
#[derive(Debug, Clone, Copy)]
pub struct Confined<'a> {
    /// The program and its arguments.
    pub argv: &'a [OsString],
    /// The folder in which it runs.
    pub dir: &'a Path,
    /// Its variables; it has no others but those of every confined program.
    pub env: &'a [(String, OsString)],
    /// The folder of the host that is its `/tmp`.
    pub temporary: &'a Path,
}

impl Confinement {
    /// Makes a folder writable for the job.
    pub fn allow_writes(&mut self, folder: PathBuf) {
        self.writable.push(folder);
    }

    /// Returns the command line that runs `command` confined on this host.
    pub fn argv(&self, command: Confined<'_>) -> Vec<OsString> {
        self.argv_on(command, &Host::of_this_system())
    }

    fn argv_on(&self, command: Confined<'_>, host: &Host) -> Vec<OsString> {
        let mut argv: Vec<OsString> = vec![self.bwrap.clone().into()];
        argv.extend(ISOLATION.map(OsString::from));
        let mut add = |option: &str, values: &[&OsStr]| {
            argv.push(option.into());
            argv.extend(values.iter().map(OsString::from));
        };
        add("--hostname", &["kdk".as_ref()]);
        for (path, link) in &host.system {
            match link {
                Some(target) => add("--symlink", &[target.as_ref(), path.as_ref()]),
                None => add("--ro-bind", &[path.as_ref(), path.as_ref()]),
            }
        }
        for path in &host.settings {
            add("--ro-bind", &[path.as_ref(), path.as_ref()]);
        }
        for path in &host.hidden {
            add("--ro-bind", &["/dev/null".as_ref(), path.as_ref()]);
        }
        add("--proc", &["/proc".as_ref()]);
        add("--dev", &["/dev".as_ref()]);
        add("--bind", &[command.temporary.as_ref(), "/tmp".as_ref()]);
        for path in self.readable.iter().filter(|path| !host.shows(path)) {
            add("--ro-bind", &[path.as_ref(), path.as_ref()]);
        }
        for path in &self.writable {
            add("--bind", &[path.as_ref(), path.as_ref()]);
        }
        // What is left of the root is an empty file system in memory.
        add("--remount-ro", &["/".as_ref()]);
        add("--chdir", &[command.dir.as_ref()]);
        add("--clearenv", &[]);
        for (name, value) in ENVIRONMENT {
            add("--setenv", &[name.as_ref(), value.as_ref()]);
        }
        for (name, value) in command.env {
            add("--setenv", &[name.as_ref(), value]);
        }
        add("--", &[]);
        argv.extend(command.argv.iter().cloned());
        argv
    }
}

/// What every confined program sees of a host.
#[derive(Debug)]
struct Host {
    /// The folders of the system, and what they are links to.
    system: Vec<(PathBuf, Option<PathBuf>)>,
    settings: Vec<PathBuf>,
    hidden: Vec<PathBuf>,
}

impl Host {
    fn of_this_system() -> Self {
        let there = |paths: &[&str]| -> Vec<PathBuf> {
            let paths = paths.iter().map(PathBuf::from);
            paths.filter(|path| path.exists()).collect()
        };
        let system = there(&SYSTEM).into_iter().map(|path| {
            let link = fs::read_link(&path).ok();
            (path, link)
        });
        Self {
            system: system.collect(),
            settings: there(&SETTINGS),
            hidden: there(&HIDDEN),
        }
    }

    /// Returns whether `path` is visible without being named.
    fn shows(&self, path: &Path) -> bool {
        self.system
            .iter()
            .any(|(folder, _)| path.starts_with(folder))
    }
}

/// Fails unless `path` is a plain file in the folder `root`. A build could
/// leave a link there, which kdk, not confined, would follow to any file of the
/// host.
///
/// # Errors
/// It is a link or something else, or a link leads out of `root`.
pub fn check_built(path: &Path, root: &Path) -> Result<(), Failure> {
    let tried = || format!("use {}, which a build made", path.display());
    let failed = |error| Failure::io(tried(), path, error);
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    let real = fs::canonicalize(path).map_err(failed)?;
    let root = fs::canonicalize(root).map_err(failed)?;
    let why = match (metadata.is_file(), real.starts_with(root)) {
        (true, true) => return Ok(()),
        (false, _) => "it is not a plain file",
        (true, false) => "it is not in the object directory: a folder above it is a link",
    };
    Err(Failure::build(tried(), why)
        .help("look at what the tree's makefiles do; `cargo xtask clean` removes the objects"))
}

#[cfg(test)]
mod tests;
