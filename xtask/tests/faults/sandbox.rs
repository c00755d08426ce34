//! The sandbox of a fault: a cache folder of its own with the demo guest in
//! its store, and a QEMU that can be made to fail.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use etcetera::base_strategy::{BaseStrategy, choose_base_strategy};

use crate::fault::{FaultResult, Stop};
use crate::leftovers;
use crate::privileges;
use crate::process::{Process, Ran};

/// The variable in the environment of every process that a fault starts. Its
/// value is unique to the fault, and finds processes that were left behind.
pub const TOKEN: &str = "KDK_FAULT";

/// The entry of the demo guest in the store.
const GUEST_ENTRY: &str = "store/demo/demo";

/// A guest that is a shell script: descriptor 10 is its console, 11 its result
/// channel. Each part is a command that must not be empty.
pub struct Script<'a> {
    /// The name of its only test.
    pub test: &'a str,
    /// The limit of the test, in milliseconds.
    pub limit_ms: u64,
    /// What it does before it answers `resume`.
    pub resume: &'a str,
    /// What it does before the test passes.
    pub run: &'a str,
    /// What it does before it ends.
    pub end: &'a str,
}

impl Default for Script<'_> {
    fn default() -> Self {
        Self {
            test: "script/passes",
            limit_ms: 1000,
            resume: ":",
            run: ":",
            end: ":",
        }
    }
}

/// A folder for one fault.
pub struct Sandbox {
    dir: tempfile::TempDir,
    token: String,
    home: PathBuf,
    /// The user's cache folder, if this sandbox overlays it.
    cache: Option<PathBuf>,
    xtask: PathBuf,
}

impl Sandbox {
    /// Returns a sandbox with the demo guest of `KDK_DEMO_GUEST` in its store.
    ///
    /// # Errors
    /// In words: the guest is not known, or the disk's.
    pub fn new() -> Result<Self, String> {
        let sandbox = Self::without_guest()?;
        let guest = std::env::var_os("KDK_DEMO_GUEST")
            .map(PathBuf::from)
            .ok_or("KDK_DEMO_GUEST names the demo guest; `cargo xtask test` sets it")?;
        let entry = guest.parent().ok_or("KDK_DEMO_GUEST names no file")?;
        let key = entry.file_name().ok_or("KDK_DEMO_GUEST has no entry")?;
        let kept = sandbox.home.join(GUEST_ENTRY).join(key);
        fs::create_dir_all(&kept).map_err(io_error("make", &kept))?;
        for file in fs::read_dir(entry)
            .map_err(io_error("read", entry))?
            .flatten()
        {
            let to = kept.join(file.file_name());
            fs::copy(file.path(), &to).map_err(io_error("copy to", &to))?;
        }
        Ok(sandbox)
    }

    /// Returns a sandbox with an empty cache folder.
    ///
    /// # Errors
    /// The disk's, in words.
    pub fn without_guest() -> Result<Self, String> {
        let dir = tempfile::Builder::new()
            .prefix("kdk-fault-")
            .tempdir()
            .map_err(|error| format!("could not make a temporary folder: {error}"))?;
        // Other users may run in it.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path(), open).map_err(io_error("open", dir.path()))?;
        let token = dir.path().display().to_string();
        let sandbox = Self {
            home: dir.path().join("home"),
            cache: None,
            xtask: env!("CARGO_BIN_EXE_xtask").into(),
            token,
            dir,
        };
        for folder in ["home", "out", "tmp"] {
            let path = sandbox.path(folder);
            fs::create_dir(&path).map_err(io_error("make", &path))?;
        }
        sandbox.guest_options("")?;
        Ok(sandbox)
    }

    /// Returns a sandbox over the user's own cache folder, in which a base is
    /// set up. Programs that run [under it](Self::overlay) write to the
    /// sandbox.
    ///
    /// # Errors
    /// The disk's, in words; or there is no cache folder.
    pub fn over_cache() -> Result<Self, String> {
        let mut sandbox = Self::without_guest()?;
        let work = sandbox.path("work");
        fs::create_dir(&work).map_err(io_error("make", &work))?;
        let named = std::env::var_os("KDK_HOME").map(PathBuf::from);
        let cache = match named.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => path,
            None => choose_base_strategy()
                .map_err(|error| format!("this user has no cache folder: {error}"))?
                .cache_dir()
                .join("fbsd-kdk"),
        };
        sandbox.cache = Some(cache);
        Ok(sandbox)
    }

    /// Returns the command line of a program that runs another over the user's
    /// cache folder, after `script` has changed it. `$0` in the script is the
    /// folder; the script ends at the first command that fails.
    ///
    /// # Errors
    /// [`Stop::Unsupported`] where the host does not allow it.
    pub fn overlay(&self, script: &str) -> Result<Vec<String>, Stop> {
        let cache = self.cache()?;
        let mount = format!(
            "set -e; mount -t overlay -o 'lowerdir={},upperdir={},workdir={}' none \"$0\"",
            cache.display(),
            self.home.display(),
            self.path("work").display()
        );
        let here = privileges::mounted(&mount, cache).is_some_and(|line| {
            let mut command = Command::new(&line[0]);
            command.args(&line[1..]).arg("true");
            command
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
        });
        if !here {
            return Err(Stop::Unsupported(
                "this user may not mount an overlay".into(),
            ));
        }
        privileges::mounted(&format!("{mount}; {script}"), cache)
            .ok_or_else(|| Stop::Unsupported("this user may not mount".into()))
    }

    /// Returns the kernel of the demo guest in the store.
    ///
    /// # Errors
    /// There is none, in words.
    pub fn guest(&self) -> Result<PathBuf, String> {
        let folder = self.home.join(GUEST_ENTRY);
        let entry = fs::read_dir(&folder)
            .map_err(io_error("read", &folder))?
            .flatten()
            .next()
            .ok_or("the store has no demo guest")?;
        Ok(entry.path().join("kdk-demo-guest"))
    }

    /// Returns the cache folder of the sandbox.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the user's cache folder that this sandbox overlays.
    ///
    /// # Errors
    /// It is over none, in words.
    pub fn cache(&self) -> Result<&Path, String> {
        let cache = self.cache.as_deref();
        cache.ok_or_else(|| "this sandbox overlays no cache folder".into())
    }

    /// Returns the path of a file or folder in the sandbox.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns the value of [`TOKEN`] for the processes of this sandbox.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns the path of the report.
    pub fn report(&self) -> PathBuf {
        self.path("out/report.json")
    }

    /// Starts machines with these options for the demo guest.
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

    /// Replaces QEMU by a script.
    ///
    /// # Errors
    /// The disk's, in words.
    pub fn qemu(&self, script: &str) -> Result<(), String> {
        let path = self.path("qemu");
        fs::write(&path, script).map_err(io_error("write", &path))?;
        let runs = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, runs).map_err(io_error("make a program of", &path))
    }

    /// Returns a PATH with the host's programs, of which `name` is replaced by a
    /// script, or missing.
    ///
    /// # Errors
    /// The disk's, in words.
    pub fn programs_with(&self, name: &str, script: Option<&str>) -> Result<PathBuf, String> {
        let folder = self.path("programs");
        fs::create_dir(&folder).map_err(io_error("make", &folder))?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).filter_map(|one| fs::read_dir(one).ok());
        for entry in found.flatten().flatten() {
            let (program, link) = (entry.path(), folder.join(entry.file_name()));
            // The first one of a name counts.
            if entry.file_name() != name && fs::symlink_metadata(&link).is_err() {
                symlink(&program, &link).map_err(io_error("make", &link))?;
            }
        }
        if let Some(script) = script {
            let path = folder.join(name);
            fs::write(&path, script).map_err(io_error("write", &path))?;
            let runs = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&path, runs).map_err(io_error("make a program of", &path))?;
        }
        Ok(folder)
    }

    /// Replaces QEMU by a script that speaks the protocol of a guest.
    ///
    /// # Errors
    /// The disk's, in words.
    pub fn scripted_guest(&self, script: &Script<'_>) -> Result<(), String> {
        let Script {
            test,
            limit_ms,
            resume,
            run,
            end,
        } = script;
        self.qemu(&format!(
            r##"#!/usr/bin/env bash
case " $* " in
*' --version '*) exec {qemu} --version ;;
*' kvm '*) exit 1 ;;
esac
printf '{{"QMP": {{}}}}\n{{"event": "RESUME"}}\n' >&12
echo '# kdk-hello protocol=2 guest=demo osreldate=0 kmod=none uname=a script' >&11
while read -r word name <&11; do
    case $word in
    list)
        echo '# test {test} where=kernel limit_ms={limit_ms} expect=pass default=yes' >&11
        echo '# end list 1' >&11 ;;
    resume)
        {resume}
        echo "# resumed ${{name% *}} random=${{name#*seed=}}" >&11 ;;
    run)
        echo "# start $name" >&11
        {run}
        printf 'KTAP version 1\n1..1\nok 1 %s\n# done 1\n' "$name" >&11 ;;
    end)
        {end}
        echo '# bye' >&11
        exit 1 ;;
    esac
done
"##,
            qemu = real_qemu(),
        ))
    }

    /// Returns the command that runs the test of a scripted guest, which
    /// cannot be saved.
    pub fn vm_test_of_script(&self) -> Command {
        let mut command = self.xtask_under(&[], &["vm-test", "--base", "demo"]);
        command
            .args(["--accel", "tcg", "--cold", "--isolation", "none"])
            .arg("--json")
            .arg(self.report());
        command
    }

    /// Opens the sandbox to all users.
    ///
    /// # Errors
    /// The disk's, in words.
    pub fn for_all_users(&mut self) -> Result<(), String> {
        let copy = self.path("xtask");
        fs::copy(&self.xtask, &copy).map_err(io_error("copy to", &copy))?;
        self.xtask = copy;
        for folder in ["out", "tmp"] {
            let path = self.path(folder);
            let open = fs::Permissions::from_mode(0o777);
            fs::set_permissions(&path, open).map_err(io_error("open", &path))?;
        }
        Ok(())
    }

    /// Returns the command `vm-test --base demo` with these tests.
    pub fn vm_test(&self, tests: &[&str]) -> Command {
        self.vm_test_under(&[], "tcg", tests)
    }

    /// Returns the same command with another accelerator, run by another
    /// program: `prefix` is its command line.
    pub fn vm_test_under(&self, prefix: &[&str], accel: &str, tests: &[&str]) -> Command {
        let mut args = vec!["vm-test", "--base", "demo", "--accel", accel, "-v"];
        for test in tests {
            args.extend(["--tests", test]);
        }
        let mut command = self.xtask_under(prefix, &args);
        command.arg("--json").arg(self.report());
        command
    }

    /// Returns the command `vm-test` for a base in the user's own cache folder,
    /// with the user's QEMU.
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

    /// Returns the command `cargo xtask ARGS`, run by another program: `prefix`
    /// is its command line.
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
    pub fn start(&self, command: Command) -> Result<Process, String> {
        Process::start(command)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// It cannot be started or does not end, in words.
    pub fn run(&self, command: Command) -> Result<Ran, String> {
        self.start(command)?.finish(&mut |_| {})
    }

    /// Runs a command to its end, and returns its result.
    ///
    /// # Errors
    /// See [`Sandbox::run`].
    pub fn inject(&self, command: Command) -> Result<FaultResult, Stop> {
        let ran = self.run(command)?;
        Ok(self.result(ran))
    }

    /// Returns the result of a run, with its report.
    pub fn result(&self, ran: Ran) -> FaultResult {
        FaultResult {
            report: fs::read(self.report()).ok(),
            ran,
        }
    }

    /// Returns what the runs left behind.
    pub fn leftovers(&self) -> Vec<String> {
        leftovers::find(self.dir.path(), &self.home, &self.token)
    }
}

/// Returns the QEMU that tests use by default.
pub fn real_qemu() -> String {
    let named = std::env::var("KDK_QEMU").ok();
    named
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "qemu-system-x86_64".into())
}

/// Returns a function that describes an I/O error.
pub fn io_error(what: &str, path: &Path) -> impl Fn(std::io::Error) -> String {
    let what = format!("could not {what} {}", path.display());
    move |error| format!("{what}: {error}")
}
