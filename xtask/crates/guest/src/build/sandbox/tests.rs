use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use kdk_vm::interrupt::Interrupt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;
use crate::build::job::Job;

/// How long a condition is waited for, on a loaded host.
const LIMIT: Duration = Duration::from_secs(60);

fn host() -> Host {
    let paths = |list: &[&str]| list.iter().map(PathBuf::from).collect();
    Host {
        system: vec![
            ("/usr".into(), None),
            ("/bin".into(), Some("usr/bin".into())),
            ("/lib64".into(), Some("usr/lib64".into())),
        ],
        settings: paths(&["/etc/alternatives", "/etc/ld.so.cache"]),
        hidden: paths(&["/usr/bin/git"]),
    }
}

#[test]
fn the_command_line_of_a_confined_build() {
    let sandbox = Sandbox {
        bwrap: "/usr/bin/bwrap".into(),
    };
    let mut confinement = sandbox.confine(
        ["/cache/trees/b", "/kdk/vm/conf", "/usr/lib/llvm-19/bin"]
            .map(PathBuf::from)
            .into(),
        vec!["/cache/obj/b".into()],
    );
    confinement.allow_writes("/cache/ccache".into());
    let argv = confinement.argv_on(
        Confined {
            argv: &["python3", "tools/build/make.py", "buildkernel"].map(OsString::from),
            dir: Path::new("/cache/trees/b"),
            env: &[("MAKEOBJDIRPREFIX".into(), "/cache/obj/b".into())],
            temporary: Path::new("/tmp/.tmpX"),
        },
        &host(),
    );
    let mut text = String::new();
    for word in argv {
        let word = word.to_string_lossy().into_owned();
        text.push_str(if word.starts_with("--") { "\n" } else { " " });
        text.push_str(&word);
    }
    insta::assert_snapshot!(text);
}

#[test]
fn only_a_plain_file_in_the_object_directory_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("obj/sys/KDK")).unwrap();
    fs::create_dir_all(at("home")).unwrap();
    fs::write(at("home/secret.h"), "x").unwrap();
    fs::write(at("obj/sys/KDK/opt_a.h"), "x").unwrap();
    symlink(at("home/secret.h"), at("obj/sys/KDK/opt_b.h")).unwrap();
    symlink(at("home"), at("obj/sys/OTHER")).unwrap();
    for (path, want) in [
        ("obj/sys/KDK/opt_a.h", None),
        ("obj/sys/KDK/opt_b.h", Some("it is not a plain file")),
        ("obj/sys/KDK", Some("it is not a plain file")),
        (
            "obj/sys/OTHER/secret.h",
            Some("a folder above it is a link"),
        ),
        ("obj/sys/KDK/opt_c.h", Some("does not exist")),
    ] {
        let result = check_built(&at(path), &at("obj"));
        match want {
            None => assert!(result.is_ok(), "{path}: {result:?}"),
            Some(want) => {
                let line = result.unwrap_err().in_one_line();
                assert!(line.contains(want), "{path}: {line}");
            }
        }
    }
}

/// Attempts to leave the sandbox, as targets of a makefile. Each prints its
/// name if it works.
const MAKEFILE: &str = r#"
TRY = connect() { python3 -c "import socket,sys; s=socket.socket(*eval(sys.argv[1])); s.settimeout(5); s.connect((sys.argv[2],int(sys.argv[3])))" "$$@" 2>&1; }

all: honest write-outside write-tree write-system read-secret read-environment see-process \
	connect-here connect-beyond leave-process
honest:
	@cat $(TREE)/source && python3 -c pass && echo x > $(OBJ)/object && echo x > /tmp/$(MARK) && echo $@
write-outside:
	@-echo x > $(HOST)/written && echo $@
write-tree:
	@-echo x > $(TREE)/written && echo $@
write-system:
	@-echo x > /usr/$(MARK) && rm /usr/$(MARK) && echo $@
read-secret:
	@-cat $(HOST)/.ssh/id && echo $@
read-environment:
	@-env | grep CARGO_MANIFEST_DIR && echo $@
see-process:
	@-kill -0 $(PID) && echo $@
connect-here:
	@-$(TRY); connect "()" 127.0.0.1 $(PORT) && echo $@
connect-beyond:
	@-$(TRY); connect "(2,2)" 192.0.2.1 9 && echo $@
leave-process:
	@-setsid sh -c ': $(MARK); sleep 600; :' </dev/null >/dev/null 2>&1 & sleep 0.2; echo $@
"#;

/// Folders and a server that a build tries to reach.
struct Target {
    dir: tempfile::TempDir,
    server: TcpListener,
    mark: String,
}

impl Target {
    fn new() -> Self {
        // Not in /tmp, which is the build's own.
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        for folder in ["tree", "obj", ".ssh"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let mark = format!(
            "kdk-sandbox-{}",
            dir.path().file_name().unwrap().to_string_lossy()
        );
        fs::write(dir.path().join(".ssh/id"), "a secret\n").unwrap();
        fs::write(dir.path().join("tree/source"), "a source\n").unwrap();
        fs::write(dir.path().join("tree/Makefile"), MAKEFILE).unwrap();
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        Self { dir, server, mark }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn job(&self, targets: &[&str], sandbox: Option<&Sandbox>) -> Job {
        let mut argv: Vec<OsString> = vec!["make".into(), "-k".into()];
        for (name, value) in [
            ("TREE", self.at("tree").display().to_string()),
            ("OBJ", self.at("obj").display().to_string()),
            ("HOST", self.dir.path().display().to_string()),
            ("PORT", self.server.local_addr().unwrap().port().to_string()),
            ("PID", std::process::id().to_string()),
            ("MARK", self.mark.clone()),
        ] {
            argv.push(format!("{name}={value}").into());
        }
        argv.extend(targets.iter().map(OsString::from));
        Job {
            what: "run a makefile".into(),
            argv,
            dir: self.at("tree"),
            env: Vec::new(),
            without: vec!["MAKEFLAGS", "MAKELEVEL"],
            confinement: sandbox
                .map(|sandbox| sandbox.confine(vec![self.at("tree")], vec![self.at("obj")])),
            log: self.at("log"),
        }
    }

    /// Runs the makefile. Returns its lines.
    fn run(&self, targets: &[&str], sandbox: Option<&Sandbox>) -> Vec<String> {
        let mut lines = Vec::new();
        self.job(targets, sandbox)
            .run(&Interrupt::new(), &mut |line| lines.push(line.to_owned()))
            .unwrap();
        lines
    }

    /// Returns the attempts that worked.
    fn worked(&self, sandbox: Option<&Sandbox>) -> Vec<String> {
        let targets = MAKEFILE.lines().filter_map(|line| line.strip_suffix(':'));
        let targets: Vec<&str> = targets.collect();
        let lines = self.run(&["all"], sandbox);
        lines
            .into_iter()
            .filter(|line| targets.contains(&line.as_str()))
            .collect()
    }

    /// Waits until no process of the build is left. The kernel kills those of a
    /// namespace whose first process has ended, a moment after bwrap ends.
    fn until_none_is_left(&self) {
        let began = Instant::now();
        while !self.left().is_empty() {
            let waited = began.elapsed();
            assert!(waited < LIMIT, "a process outlived the build");
            std::thread::yield_now();
        }
    }

    /// Returns the processes that the makefile left.
    fn left(&self) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&format!(": {}", self.mark))
        })
        .map(Pid::from_raw)
        .collect()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        for pid in self.left() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

/// Returns the sandbox, if this host can have one and has a make; else checks
/// that it is refused.
fn sandbox() -> Option<Sandbox> {
    kdk_doctor::checks::find("make")?;
    kdk_doctor::checks::find("python3")?;
    match Sandbox::find() {
        Ok(sandbox) => Some(sandbox),
        Err(failure) => {
            let line = failure.in_one_line();
            assert!(line.contains("could not confine builds"), "{line}");
            eprintln!("not tried: {line}");
            None
        }
    }
}

#[test]
fn a_hostile_makefile_reaches_nothing() {
    let Some(sandbox) = sandbox() else { return };
    let target = Target::new();
    assert_eq!(target.worked(Some(&sandbox)), ["honest", "leave-process"]);
    target.until_none_is_left();
    assert!(target.at("obj/object").exists());
    assert!(!target.at("written").exists() && !target.at("tree/written").exists());
    assert!(!std::env::temp_dir().join(&target.mark).exists());
}

#[test]
fn the_same_makefile_reaches_everything_without_a_sandbox() {
    if sandbox().is_none() {
        return;
    }
    let target = Target::new();
    let worked = target.worked(None);
    let _ = fs::remove_file(Path::new("/tmp").join(&target.mark));
    // Whether the system is writable and the host has a network is its own
    // matter.
    for attempt in [
        "honest",
        "write-outside",
        "write-tree",
        "read-secret",
        "read-environment",
        "see-process",
        "connect-here",
        "leave-process",
    ] {
        assert!(
            worked.iter().any(|one| one == attempt),
            "{attempt}: {worked:?}"
        );
    }
    assert_eq!(target.left().len(), 1);
}

#[test]
fn a_confined_build_makes_no_namespaces() {
    let Some(sandbox) = sandbox() else { return };
    let target = Target::new();
    let mut job = target.job(&[], Some(&sandbox));
    job.argv = ["sh", "-c", "unshare --user echo made || echo refused"]
        .map(OsString::from)
        .into();
    let mut last = String::new();
    job.run(&Interrupt::new(), &mut |line| line.clone_into(&mut last))
        .unwrap();
    assert_eq!(last, "refused");
}

#[test]
fn an_interrupt_ends_a_confined_build_with_its_processes() {
    let Some(sandbox) = sandbox() else { return };
    let target = Target::new();
    let mut job = target.job(&[], Some(&sandbox));
    let script = format!(
        "setsid sh -c ': {}; sleep 600; :' & echo up; wait",
        target.mark
    );
    job.argv = vec!["sh".into(), "-c".into(), script.into()];
    let interrupt = Interrupt::new();
    let failure = job
        .run(&interrupt, &mut |_| interrupt.trigger())
        .unwrap_err();
    assert!(failure.in_one_line().contains("interrupted"), "{failure}");
    assert_eq!(target.left(), []);
}

#[test]
fn a_sandbox_that_cannot_start_is_an_error_of_the_host() {
    let Some(sandbox) = sandbox() else { return };
    let target = Target::new();
    let mut job = target.job(&["honest"], None);
    job.confinement = Some(sandbox.confine(vec![target.at("gone")], Vec::new()));
    let failure = job.run(&Interrupt::new(), &mut |_| {}).unwrap_err();
    assert_eq!(failure.exit_code(), 5, "{failure}");
    assert!(failure.in_one_line().contains("bwrap: "), "{failure}");
}
