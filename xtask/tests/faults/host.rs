//! Faults of the host: QEMU, the hypervisor, disks, permissions, files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use kdk_vm::verdict::Verdict::Pass;

use crate::evaluate;
use crate::fault::{Fault, FaultResult, Stop, Want, daily, ends, infra, injected_in, on_demand};
use crate::privileges::{self, small_disk};
use crate::sandbox::{Sandbox, Script, io_error, real_qemu};

/// A test that passes.
const GOOD: &str = "harness/panics-nest";

/// Returns all faults of the host.
pub fn faults() -> Vec<Fault> {
    let mut all = qemu();
    all.extend(hypervisor());
    all.extend(disk());
    all.extend(permissions());
    all.extend(kernels());
    all.extend(confinement());
    all.extend([
        daily(
            "OVMF missing",
            infra("no OVMF firmware was found"),
            |sandbox| {
                let mut command = sandbox.xtask_under(&[], &["vm-test", "--base", "releng-15.1"]);
                command.env("KDK_OVMF", "/nonexistent/OVMF.fd");
                command.arg("--json").arg(sandbox.report());
                sandbox.inject(command)
            },
        ),
        daily("saved machine truncated", passes(), |sandbox| {
            damaged_state(sandbox, "memory")
        }),
        daily(
            "record of the saved machine truncated",
            passes(),
            |sandbox| damaged_state(sandbox, "saved.json"),
        ),
        zeros_in_state(),
        daily(
            "entry of the store without its inputs",
            passes(),
            |sandbox| broken_entry(sandbox, "rm inputs.json"),
        ),
        daily("entry of the store is a file", passes(), |sandbox| {
            broken_entry(sandbox, "cd .. && rm -r \"$1\" && : > \"$1\"")
        }),
        daily(
            "entry of the store is a dangling link",
            passes(),
            |sandbox| broken_entry(sandbox, "cd .. && rm -r \"$1\" && ln -s nothing \"$1\""),
        ),
        daily("two runs at once", passes(), two_at_once),
        daily("wrong clock in earlier runs", passes(), wrong_clock),
        daily("8 MiB of console", flooded(), |sandbox| flood(sandbox, 8)),
        on_demand("1 GiB of console", flooded(), |sandbox| {
            flood(sandbox, 1024)
        }),
    ]);
    all
}

fn passes() -> Want {
    ends(0, "").with(&[(GOOD, Pass)])
}

fn confinement() -> Vec<Fault> {
    let bwrap = |name: &str, says: &str, script: Option<&'static str>| {
        daily(name, infra(says), move |sandbox| {
            let programs = sandbox.programs_with("bwrap", script)?;
            let mut command = sandbox.vm_test(&[GOOD]);
            command.arg("--sandbox").env("PATH", programs);
            sandbox.inject(command)
        })
    };
    vec![
        bwrap("no bubblewrap", "bubblewrap is not installed", None),
        bwrap(
            "bubblewrap too old",
            "(bubblewrap 0.4.1); bubblewrap 0.8 is needed",
            Some("#!/bin/sh\necho bubblewrap 0.4.1\n"),
        ),
        bwrap(
            "bubblewrap that may not make namespaces",
            "cannot confine a program: bwrap: No permissions to create new namespace",
            Some(
                "#!/bin/sh\n\
                 case $1 in --version) echo bubblewrap 0.8.0; exit ;; esac\n\
                 echo 'bwrap: No permissions to create new namespace' >&2; exit 1\n",
            ),
        ),
    ]
}

fn qemu() -> Vec<Fault> {
    let script = |name: &str, says: &str, script: &'static str| {
        daily(name, infra(says), move |sandbox| {
            sandbox.qemu(script)?;
            sandbox.inject(sandbox.vm_test(&[GOOD]))
        })
    };
    let slow = |name: &str, says: &str, text: &'static str| Fault {
        daily: false,
        ..script(name, says, text)
    };
    vec![
        daily(
            "QEMU not where it is said",
            infra("QEMU was not found"),
            |sandbox| {
                let mut command = sandbox.vm_test(&[GOOD]);
                command.env("KDK_QEMU", "/nonexistent/qemu");
                sandbox.inject(command)
            },
        ),
        daily("nothing in PATH", infra("QEMU was not found"), |sandbox| {
            let mut command = sandbox.vm_test(&[GOOD]);
            command
                .env_remove("KDK_QEMU")
                .env("PATH", sandbox.path("tmp"));
            sandbox.inject(command)
        }),
        script(
            "QEMU too old",
            "is QEMU 6.2.0, too old: 7.0.0 or later is needed",
            "#!/bin/sh\necho 'QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg)'\n",
        ),
        script(
            "QEMU is something else",
            "is not a QEMU",
            "#!/bin/sh\necho 'no such luck'\n",
        ),
        slow(
            "QEMU whose --version does not end",
            "its --version printed: nothing that ended within",
            "#!/bin/sh\nsleep 600\n",
        ),
        slow(
            "QEMU that hangs before it listens",
            "the hypervisor did not run the machine within",
            "#!/bin/sh\n\
             case $1 in --version) echo 'QEMU emulator version 7.2.0'; exit ;; esac\n\
             sleep 600\n",
        ),
        script(
            "QEMU that ends at once and leaves a child",
            "QEMU did not start the machine (exit status 0)",
            "#!/bin/sh\n\
             case $1 in --version) echo 'QEMU emulator version 7.2.0'; exit ;; esac\n\
             sleep 600 &\n",
        ),
        daily("QEMU by a script that does not exec", passes(), |sandbox| {
            sandbox.qemu(&format!("#!/bin/sh\n{} \"$@\"\nexit $?\n", real_qemu()))?;
            sandbox.inject(sandbox.vm_test(&[GOOD]))
        }),
        daily(
            "^C with a script that does not exec QEMU",
            infra("interrupted").with(&[("fault/hang-alive", kdk_vm::verdict::Verdict::NotRun)]),
            |sandbox| {
                sandbox.qemu(&format!("#!/bin/sh\n{} \"$@\"\nexit $?\n", real_qemu()))?;
                let mut running = sandbox.start(sandbox.vm_test(&["fault/hang-alive"]))?;
                running.until("demo: fault/hang-alive: still here")?;
                running.signal_all(nix::sys::signal::Signal::SIGINT)?;
                Ok(sandbox.result(running.finish(&mut |_| {})?))
            },
        ),
        script(
            "QEMU refuses the machine",
            "QEMU did not start the machine (exit status 1): unsupported machine type",
            "#!/bin/sh\n\
             case $1 in --version) echo 'QEMU emulator version 7.2.0'; exit ;; esac\n\
             echo 'qemu-system-x86_64: unsupported machine type' >&2; exit 1\n",
        ),
    ]
}

/// Returns a QEMU with a hypervisor that never runs a guest.
fn sleeping_kvm() -> String {
    format!(
        "#!/bin/sh\n\
         case \" $* \" in *' kvm '*) exec sleep 600 ;; *) exec {} \"$@\" ;; esac\n",
        real_qemu()
    )
}

fn hypervisor() -> Vec<Fault> {
    // Any file that can be opened looks like the device of a hypervisor.
    let opens = "mount --bind /dev/null /dev/kvm";
    let forbidden = "mount -t tmpfs -o nodev none \"$0\" && mknod \"$0/kvm\" c 10 232 && \
                     mount --bind \"$0/kvm\" /dev/kvm";
    let says_why = |sandbox: &mut Sandbox, script: &str, mark: &str| {
        let result = with_kvm(sandbox, script, "auto")?;
        if result.ran.text().contains(mark) {
            return Ok(result);
        }
        Err(Stop::Wrong(format!(
            "no message has {mark:?}:\n{}",
            result.ran.text()
        )))
    };
    vec![
        on_demand(
            "KVM never runs, asked for",
            infra("was not done after 5 s"),
            move |sandbox| with_kvm(sandbox, opens, "kvm"),
        ),
        on_demand("KVM never runs", passes(), move |sandbox| {
            says_why(
                sandbox,
                opens,
                "no kvm: a guest that should take half a second",
            )
        }),
        daily(
            "KVM forbidden, asked for",
            infra("this user may not open /dev/kvm"),
            move |sandbox| with_kvm(sandbox, forbidden, "kvm"),
        ),
        daily("KVM forbidden", passes(), move |sandbox| {
            says_why(
                sandbox,
                forbidden,
                "no kvm: this user may not open /dev/kvm",
            )
        }),
    ]
}

fn with_kvm(sandbox: &mut Sandbox, script: &str, accel: &str) -> Result<FaultResult, Stop> {
    if !Path::new("/dev/kvm").exists() {
        return Err(Stop::Unsupported("there is no /dev/kvm".into()));
    }
    sandbox.qemu(&sleeping_kvm())?;
    let prefix = mounted(script, &sandbox.path("tmp"))?;
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    if script.contains("mknod") && prefix.contains(&"--user") {
        return Err(Stop::Unsupported("only root makes device files".into()));
    }
    sandbox.inject(sandbox.vm_test_under(&prefix, accel, &[GOOD]))
}

fn mounted(script: &str, argument: &Path) -> Result<Vec<String>, Stop> {
    privileges::mounted(script, argument)
        .ok_or_else(|| Stop::Unsupported("this user may not mount".into()))
}

fn disk() -> Vec<Fault> {
    let full = "no space is left on the disk";
    vec![
        daily(
            "full disk while logging",
            infra("could not write the log").with(&[(GOOD, Pass)]),
            full_logs,
        ),
        daily(
            "size limit of files while logging",
            infra("could not write the log").with(&[(GOOD, Pass)]),
            limited_logs,
        ),
        daily(
            "full disk while writing the report",
            infra(full).without_report(),
            full_report,
        ),
        daily(
            "full disk while saving the machine",
            infra(full),
            full_state,
        ),
        daily(
            "no file may grow",
            infra("File too large").without_report(),
            |sandbox| {
                let limit = ["sh", "-c", "ulimit -f 0; exec \"$@\"", "sh"];
                sandbox.inject(sandbox.vm_test_under(&limit, "tcg", &[GOOD]))
            },
        ),
        daily(
            "few processes",
            infra("Resource temporarily unavailable"),
            few_processes,
        ),
        injected_in(
            Sandbox::without_guest,
            "full disk while building",
            infra("no space"),
            |sandbox| {
                let prefix = mounted("mount -t tmpfs -o size=1m none \"$0\"", sandbox.home())?;
                let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
                sandbox.inject(sandbox.vm_test_under(&prefix, "tcg", &[GOOD]))
            },
        ),
    ]
}

/// Injects a full disk: the log of the console takes its only page.
fn full_logs(sandbox: &mut Sandbox) -> Result<FaultResult, Stop> {
    let runs = sandbox.home().join("runs");
    fs::create_dir(&runs).map_err(io_error("make", &runs))?;
    let prefix = mounted("mount -t tmpfs -o size=4k none \"$0\"", &runs)?;
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    sandbox.inject(sandbox.vm_test_under(&prefix, "tcg", &[GOOD]))
}

/// Injects a size limit of files: less than the guest's list of tests, and more
/// than a report.
fn limited_logs(sandbox: &mut Sandbox) -> Result<FaultResult, Stop> {
    let limit = ["sh", "-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"];
    let mut command = sandbox.vm_test_under(&limit, "tcg", &[GOOD]);
    // A saved machine is larger.
    command.arg("--cold");
    sandbox.inject(command)
}

/// Injects a disk for unfinished results that is smaller than a saved machine.
fn full_state(sandbox: &mut Sandbox) -> Result<FaultResult, Stop> {
    let (folder, names) = (
        sandbox.home().join("store/.unfinished"),
        sandbox.path("names"),
    );
    let prefix = mounted(&small_disk(&folder, "256k", &names), &folder)?;
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let result = sandbox.inject(sandbox.vm_test_under(&prefix, "tcg", &[GOOD]))?;
    nothing_left(&names, &result)?;
    Ok(result)
}

/// Injects a limit of processes, as a user that no other process has.
fn few_processes(sandbox: &mut Sandbox) -> Result<FaultResult, Stop> {
    const UID: &str = "54321";
    if !nix::unistd::Uid::effective().is_root() {
        return Err(Stop::Unsupported(
            "only root can become another user".into(),
        ));
    }
    sandbox.for_all_users()?;
    let home = sandbox.home();
    let open = Command::new("chown")
        .args(["-R", UID])
        .arg(home)
        .status()
        .map_err(io_error("open", home))?;
    if !open.success() {
        return Err(Stop::Wrong(format!("chown: {open}")));
    }
    let limit = [
        "setpriv",
        "--reuid",
        UID,
        "--regid",
        UID,
        "--clear-groups",
        "bash",
        "-c",
        "ulimit -u 4; exec \"$@\"",
        "bash",
    ];
    sandbox.inject(sandbox.vm_test_under(&limit, "tcg", &[GOOD]))
}

/// Checks that the run left no files on a small disk.
pub fn nothing_left(names: &Path, result: &FaultResult) -> Result<(), Stop> {
    let left = fs::read_to_string(names).map_err(io_error("read", names))?;
    if left.is_empty() {
        return Ok(());
    }
    Err(Stop::Wrong(format!(
        "it left {left:?}\n{}",
        result.ran.text()
    )))
}

/// Injects a full disk: an older report has its only page, and must stay.
fn full_report(sandbox: &mut Sandbox) -> Result<FaultResult, Stop> {
    const OLD: &str = "an older report";
    let shell = format!(
        "mount -t tmpfs -o size=4k none \"$0\" && echo '{OLD}' > \"$0/report.json\" && \
         {{ \"$@\"; status=$?; cat \"$0\"/* > \"$0/../kept\"; ls -A \"$0\" > \"$0/../names\"; \
         exit $status; }}; :"
    );
    let prefix = mounted(&shell, &sandbox.path("out"))?;
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let result = sandbox.inject(sandbox.vm_test_under(&prefix, "tcg", &[GOOD]))?;
    let read = |name: &str| fs::read_to_string(sandbox.path(name)).unwrap_or_default();
    let (kept, names) = (read("kept"), read("names"));
    if (kept.trim(), names.trim()) != (OLD, "report.json") {
        let text = result.ran.text();
        return Err(Stop::Wrong(format!(
            "the folder has {names:?}: {kept:?}\n{text}"
        )));
    }
    Ok(result)
}

fn permissions() -> Vec<Fault> {
    let home = |name: &str, mode: u32, says: &str| {
        daily(name, infra(says), move |sandbox| {
            sandbox.for_all_users()?;
            let none = fs::Permissions::from_mode(mode);
            let home = sandbox.home();
            fs::set_permissions(home, none).map_err(io_error("close", home))?;
            let result =
                sandbox.inject(sandbox.vm_test_under(privileges::unprivileged(), "tcg", &[GOOD]));
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(home, open).map_err(io_error("open", home))?;
            result
        })
    };
    vec![
        home(
            "cache folder read-only",
            0o555,
            "you have no permission to use",
        ),
        home(
            "cache folder closed",
            0o000,
            "you have no permission to use",
        ),
    ]
}

/// Returns the fault of a saved machine of zeros, as a crash of the host leaves
/// it.
fn zeros_in_state() -> Fault {
    daily("saved machine of zeros", passes(), |sandbox| {
        damaged_entry(sandbox, "memory", |path| {
            let size = fs::metadata(path)?.len();
            let file = fs::File::create(path)?;
            file.set_len(size)
        })
    })
}

/// Runs a shell command in the folder of the saved machine. `$1` is its name.
/// The next two runs must pass.
fn broken_entry(sandbox: &Sandbox, script: &str) -> Result<FaultResult, Stop> {
    sandbox.run(sandbox.vm_test(&[GOOD]))?;
    let entry = list(&sandbox.home().join("store/state/demo")).pop();
    let entry = entry.ok_or("no machine was saved".to_owned())?;
    let name = entry.file_name().unwrap_or_default();
    let status = Command::new("sh")
        .args(["-ec", script, "sh"])
        .arg(name)
        .current_dir(&entry)
        .status()
        .map_err(io_error("break", &entry))?;
    if !status.success() {
        return Err(Stop::Wrong(format!("{script}: {status}")));
    }
    let first = sandbox.inject(sandbox.vm_test(&[GOOD]))?;
    evaluate::holds(&passes(), &first)?;
    sandbox.inject(sandbox.vm_test(&[GOOD]))
}

/// Returns the faults of a damaged kernel in the store.
fn kernels() -> Vec<Fault> {
    let damaged = |name: &str, says: &str, damage: fn(&Path) -> std::io::Result<()>| {
        daily(format!("kernel {name}"), ends(3, says), move |sandbox| {
            let kernel = sandbox.guest()?;
            damage(&kernel).map_err(io_error("damage", &kernel))?;
            let result = sandbox.inject(sandbox.vm_test(&[GOOD]))?;
            match kernel.exists() {
                true => Err(Stop::Wrong("the damaged kernel stays".into())),
                false => Ok(result),
            }
        })
    };
    vec![
        damaged("truncated", "bytes instead of", |kernel| {
            let file = fs::File::options().write(true).open(kernel)?;
            file.set_len(file.metadata()?.len() / 2)
        }),
        damaged("empty", "has 0 bytes instead of", |kernel| {
            fs::write(kernel, "")
        }),
        damaged("of another machine", "is not what was stored", |kernel| {
            let mut bytes = fs::read(kernel)?;
            // e_machine; 183 is aarch64.
            bytes[18] = 183;
            fs::write(kernel, bytes)
        }),
        damaged("no ELF file", "bytes instead of", |kernel| {
            fs::write(kernel, "#!/bin/sh\nexit 0\n")
        }),
        damaged("unreadable", "a file cannot be read", |kernel| {
            // A mode does not stop root, but a link to itself does.
            fs::remove_file(kernel)?;
            std::os::unix::fs::symlink(kernel, kernel)
        }),
        damaged("gone", "a file cannot be read", |kernel| {
            fs::remove_file(kernel)
        }),
    ]
}

/// Truncates a file of a saved machine.
fn damaged_state(sandbox: &mut Sandbox, name: &str) -> Result<FaultResult, Stop> {
    damaged_entry(sandbox, name, |path| {
        let file = fs::File::options().write(true).open(path)?;
        file.set_len(file.metadata()?.len() / 2)
    })
}

/// Damages a file of a saved machine.
fn damaged_entry(
    sandbox: &mut Sandbox,
    name: &str,
    damage: impl Fn(&Path) -> std::io::Result<()>,
) -> Result<FaultResult, Stop> {
    sandbox.run(sandbox.vm_test(&[GOOD]))?;
    let entry = list(&sandbox.home().join("store/state/demo")).pop();
    let path = entry.ok_or("no machine was saved".to_owned())?.join(name);
    damage(&path).map_err(io_error("damage", &path))?;
    let result = sandbox.inject(sandbox.vm_test(&[GOOD]))?;
    if result.ran.text().contains("the saved machine is damaged") {
        return Ok(result);
    }
    let text = result.ran.text();
    Err(Stop::Wrong(format!(
        "no message says that it is damaged:\n{text}"
    )))
}

fn two_at_once(sandbox: &mut Sandbox) -> Result<FaultResult, Stop> {
    let first = sandbox.start(sandbox.vm_test(&[GOOD]))?;
    let report = sandbox.path("out/second.json");
    let mut second = sandbox.xtask_under(&[], &["vm-test", "--base", "demo", "--accel", "tcg"]);
    second.args(["--tests", GOOD]).arg("--json").arg(&report);
    let second = sandbox.run(second)?;
    let first = first.finish(&mut |_| {})?;
    let second = FaultResult {
        report: fs::read(&report).ok(),
        ran: second,
    };
    evaluate::holds(&passes(), &second)?;
    Ok(sandbox.result(first))
}

/// Adds earlier runs with a clock that was a century ahead: their logs and
/// results are from the future, and those of this run are the oldest.
fn wrong_clock(sandbox: &mut Sandbox) -> Result<FaultResult, Stop> {
    let ahead = SystemTime::now() + Duration::from_secs(100 * 365 * 86400);
    for number in 0..30 {
        let run = sandbox.home().join(format!("runs/9999999999999-{number}"));
        fs::create_dir_all(&run).map_err(io_error("make", &run))?;
    }
    let record = sandbox.guest()?.with_file_name("inputs.json");
    fs::File::options()
        .append(true)
        .open(&record)
        .and_then(|file| file.set_modified(ahead))
        .map_err(io_error("set the time of", &record))?;
    let result = sandbox.inject(sandbox.vm_test(&[GOOD]))?;
    sandbox.run(sandbox.vm_test(&[GOOD]))?;
    let logs = result
        .ran
        .lines
        .iter()
        .find_map(|line| line.split_once("logs: "));
    let logs = logs.map(|(_, path)| Path::new(path.trim()));
    if logs.is_some_and(|logs| logs.join("console.1.log").exists()) {
        return Ok(result);
    }
    Err(Stop::Wrong(format!(
        "{logs:?} did not outlive the next run"
    )))
}

fn flooded() -> Want {
    ends(0, "").with(&[("flood/log", Pass)])
}

/// The limit of the memory of the command line, in KiB.
const MEMORY: u64 = 150 << 10;

/// Emulates a guest by a script that floods the console at the speed of pipes.
/// It reads the memory of its parent (proc(5), VmHWM) before it ends.
fn flood(sandbox: &mut Sandbox, mib: u64) -> Result<FaultResult, Stop> {
    let (peak, bytes) = (sandbox.path("peak"), mib << 20);
    let flood =
        format!("yes 'the console says this over and over, as some do' | head -c {bytes} >&10");
    sandbox.scripted_guest(&Script {
        test: "flood/log",
        limit_ms: 3_600_000,
        run: &flood,
        end: &format!("grep VmHWM \"/proc/$PPID/status\" > {}", peak.display()),
        ..Script::default()
    })?;
    let result = sandbox.inject(sandbox.vm_test_of_script())?;
    let text = fs::read_to_string(&peak).map_err(io_error("read", &peak))?;
    let kib = text
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    let kib = kib.ok_or_else(|| format!("{text:?} holds no size"))?;
    if kib > MEMORY {
        return Err(Stop::Wrong(format!("it took {kib} KiB of memory")));
    }
    let logs: u64 = list(&sandbox.home().join("runs"))
        .iter()
        .flat_map(|run| list(run))
        .filter_map(|log| Some(log.metadata().ok()?.len()))
        .sum();
    if logs > 40 << 20 {
        return Err(Stop::Wrong(format!("the logs take {logs} bytes")));
    }
    Ok(result)
}

fn list(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
