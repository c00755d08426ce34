//! Where a fault is played: a cache folder of its own, with the demo guest in
//! its store, and a QEMU that can be told to misbehave.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use etcetera::base_strategy::{BaseStrategy, choose_base_strategy};

use crate::fault::{Played, Stop};
use crate::leftovers;
use crate::powers;
use crate::running::{Ran, Running};

/// In the environment of every process that a fault starts, with a value of
/// the fault's own: the processes left behind are found by it.
pub const TOKEN: &str = "KDK_FAULT";

/// The demo guest is ready for the default tests in this much memory.
const GUEST_ENTRY: &str = "store/demo/demo";

/// A folder for one fault.
pub struct Place {
    dir: tempfile::TempDir,
    token: String,
    home: PathBuf,
    /// The user's cache folder, where this place stands for it.
    cache: Option<PathBuf>,
    xtask: PathBuf,
}

impl Place {
    /// With the demo guest of `KDK_DEMO_GUEST` in its store.
    ///
    /// # Errors
    /// In words: the guest is not known, or the disk's.
    pub fn new() -> Result<Self, String> {
        let place = Self::without_guest()?;
        let guest = std::env::var_os("KDK_DEMO_GUEST")
            .map(PathBuf::from)
            .ok_or("KDK_DEMO_GUEST names the demo guest; `cargo xtask test` sets it")?;
        let entry = guest.parent().ok_or("KDK_DEMO_GUEST names no file")?;
        let key = entry.file_name().ok_or("KDK_DEMO_GUEST has no entry")?;
        let kept = place.home.join(GUEST_ENTRY).join(key);
        fs::create_dir_all(&kept).map_err(told("make", &kept))?;
        for file in fs::read_dir(entry).map_err(told("read", entry))?.flatten() {
            let to = kept.join(file.file_name());
            fs::copy(file.path(), &to).map_err(told("copy to", &to))?;
        }
        Ok(place)
    }

    /// With an empty cache folder.
    ///
    /// # Errors
    /// The disk's, in words.
    pub fn without_guest() -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix("kdk-fault-")
            .tempdir()
            .map_err(|error| format!("could not make a temporary folder: {error}"))?;
        // Other users may be among those who play.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path(), open).map_err(told("open", dir.path()))?;
        let token = dir.path().display().to_string();
        let place = Self {
            home: dir.path().join("home"),
            cache: None,
            xtask: env!("CARGO_BIN_EXE_xtask").into(),
            token,
            dir,
        };
        for folder in ["home", "out", "tmp"] {
            let path = place.path(folder);
            fs::create_dir(&path).map_err(told("make", &path))?;
        }
        place.guest_options("")?;
        Ok(place)
    }

    /// Over the user's own cache folder, in which a base is set up: what is
    /// written to that goes to this place, for whoever runs
    /// [under it](Self::overlay).
    ///
    /// # Errors
    /// The disk's, in words; or there is no cache folder.
    pub fn over_cache() -> Result<Self, String> {
        let mut place = Self::without_guest()?;
        let work = place.path("work");
        fs::create_dir(&work).map_err(told("make", &work))?;
        let named = std::env::var_os("KDK_HOME").map(PathBuf::from);
        let cache = match named.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => path,
            None => choose_base_strategy()
                .map_err(|error| format!("this user has no cache folder: {error}"))?
                .cache_dir()
                .join("fbsd-kdk"),
        };
        place.cache = Some(cache);
        Ok(place)
    }

    /// Returns the command line of a program that runs another over the user's
    /// cache folder, after `script` has done with it what it wants. `$0` in the
    /// script is the folder; it ends at the first command that fails.
    ///
    /// # Errors
    /// [`Stop::NotHere`] where the host does not allow it.
    pub fn overlay(&self, script: &str) -> Result<Vec<String>, Stop> {
        let cache = self.cache()?;
        let mount = format!(
            "set -e; mount -t overlay -o 'lowerdir={},upperdir={},workdir={}' none \"$0\"",
            cache.display(),
            self.home.display(),
            self.path("work").display()
        );
        let here = powers::mounted(&mount, cache).is_some_and(|line| {
            let mut command = Command::new(&line[0]);
            command.args(&line[1..]).arg("true");
            command
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        });
        if !here {
            return Err(Stop::NotHere("this user may not mount an overlay".into()));
        }
        powers::mounted(&format!("{mount}; {script}"), cache)
            .ok_or_else(|| Stop::NotHere("this user may not mount".into()))
    }

    /// Returns the demo guest's kernel in this place's store.
    ///
    /// # Errors
    /// There is none, in words.
    pub fn guest(&self) -> Result<PathBuf, String> {
        let folder = self.home.join(GUEST_ENTRY);
        let entry = fs::read_dir(&folder)
            .map_err(told("read", &folder))?
            .flatten()
            .next()
            .ok_or("the store has no demo guest")?;
        Ok(entry.path().join("kdk-demo-guest"))
    }

    /// Returns the cache folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the user's cache folder that this place is over.
    ///
    /// # Errors
    /// It is over none, in words.
    pub fn cache(&self) -> Result<&Path, String> {
        let cache = self.cache.as_deref();
        cache.ok_or_else(|| "this place is over no cache folder".into())
    }

    /// Returns a file or folder of this place.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns what every process started here has as [`TOKEN`].
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns where the report goes.
    pub fn report(&self) -> PathBuf {
        self.path("out/report.json")
    }

    /// Has machines started with these options for the demo guest.
    ///
    /// # Errors
    /// The disk's, in words.
    pub fn guest_options(&self, options: &str) -> Result<(), String> {
        let append = if options.is_empty() {
            String::new()
        } else {
            format!("-append '{options}'")
        };
        // The last -append holds; `--version` must not see any.
        self.qemu(&format!(
            "#!/bin/sh\ncase \" $* \" in\n\
             *' kvm '*) echo 'no kvm in this test' >&2; exit 1 ;;\n\
             *' -kernel '*) exec {qemu} \"$@\" {append} ;;\n\
             *) exec {qemu} \"$@\" ;;\n\
             esac",
            qemu = real_qemu()
        ))
    }

    /// Has this script stand for QEMU.
    ///
    /// # Errors
    /// The disk's, in words.
    pub fn qemu(&self, script: &str) -> Result<(), String> {
        let path = self.path("qemu");
        fs::write(&path, script).map_err(told("write", &path))?;
        let runs = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, runs).map_err(told("make a program of", &path))
    }

    /// Lets every user use the place, whoever may use the program.
    ///
    /// # Errors
    /// The disk's, in words.
    pub fn for_everybody(&mut self) -> Result<(), String> {
        let copy = self.path("xtask");
        fs::copy(&self.xtask, &copy).map_err(told("copy to", &copy))?;
        self.xtask = copy;
        for folder in ["out", "tmp"] {
            let path = self.path(folder);
            let open = fs::Permissions::from_mode(0o777);
            fs::set_permissions(&path, open).map_err(told("open", &path))?;
        }
        Ok(())
    }

    /// `vm-test --base demo` of these tests.
    pub fn vm_test(&self, tests: &[&str]) -> Command {
        self.vm_test_under(&[], "tcg", tests)
    }

    /// Returns the same with another accelerator, and run by another program:
    /// `prefix` is its command line.
    pub fn vm_test_under(&self, prefix: &[&str], accel: &str, tests: &[&str]) -> Command {
        let mut args = vec!["vm-test", "--base", "demo", "--accel", accel, "-v"];
        for test in tests {
            args.extend(["--tests", test]);
        }
        let mut command = self.xtask_under(prefix, &args);
        command.arg("--json").arg(self.report());
        command
    }

    /// `vm-test` of a base in the user's own cache folder, with the QEMU that
    /// the user has.
    pub fn vm_test_of_base(&self, prefix: &[&str], base: &str, test: &str) -> Command {
        let args = ["vm-test", "--base", base, "--accel", "tcg", "--tests", test];
        let mut command = self.xtask_under(prefix, &args);
        for name in ["KDK_HOME", "KDK_QEMU"] {
            match std::env::var_os(name) {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// `cargo xtask ARGS`, run by another program: `prefix` is its command
    /// line.
    pub fn xtask_under(&self, prefix: &[&str], args: &[&str]) -> Command {
        let mut command = match prefix {
            [] => Command::new(&self.xtask),
            [program, more @ ..] => {
                let mut command = Command::new(program);
                command.args(more).arg(&self.xtask);
                command
            }
        };
        command
            .args(args)
            .env("KDK_HOME", &self.home)
            .env("KDK_QEMU", self.path("qemu"))
            .env("TMPDIR", self.path("tmp"))
            .env("CARGO_TERM_COLOR", "never")
            .env("NO_COLOR", "1")
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("CI")
            .env(TOKEN, &self.token);
        command
    }

    /// Starts a command.
    ///
    /// # Errors
    /// It cannot be started, in words.
    pub fn start(&self, command: Command) -> Result<Running, String> {
        Running::start(command)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// It cannot be started or does not end, in words.
    pub fn run(&self, command: Command) -> Result<Ran, String> {
        self.start(command)?.finish(&mut |_| {})
    }

    /// Runs a command to its end, which is all there is to the fault.
    ///
    /// # Errors
    /// See [`Place::run`].
    pub fn play(&self, command: Command) -> Result<Played, Stop> {
        let ran = self.run(command)?;
        Ok(self.played(ran))
    }

    /// Returns what came of the fault, with the report.
    pub fn played(&self, ran: Ran) -> Played {
        Played {
            report: fs::read(self.report()).ok(),
            ran,
        }
    }

    /// Returns what is still there that should not be.
    pub fn leftovers(&self) -> Vec<String> {
        leftovers::find(self.dir.path(), &self.home, &self.token)
    }
}

/// Returns the QEMU that tests use otherwise.
pub fn real_qemu() -> String {
    let named = std::env::var("KDK_QEMU").ok();
    named
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "qemu-system-x86_64".into())
}

/// Returns an error of the disk, in words.
pub fn told(what: &str, path: &Path) -> impl Fn(std::io::Error) -> String {
    let what = format!("could not {what} {}", path.display());
    move |error| format!("{what}: {error}")
}
