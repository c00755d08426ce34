//! The host's faults: QEMU, the hypervisor, disks, permissions, files.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use kdk_vm::verdict::Verdict::Pass;

use crate::fault::{Fault, Played, Stop, Want, daily, ends, infra, on_demand, played_in};
use crate::judge;
use crate::place::{Place, real_qemu, told};
use crate::powers::{self, small_disk};

/// A test that passes.
const GOOD: &str = "harness/panics-nest";

/// Returns all of them.
pub fn faults() -> Vec<Fault> {
    let mut all = qemu();
    all.extend(hypervisor());
    all.extend(disk());
    all.extend(permissions());
    all.extend(kernels());
    all.extend([
        daily(
            "OVMF missing",
            infra("no OVMF firmware was found"),
            |place| {
                let mut command = place.xtask_under(&[], &["vm-test", "--base", "releng-15.1"]);
                command.env("KDK_OVMF", "/nonexistent/OVMF.fd");
                command.arg("--json").arg(place.report());
                place.play(command)
            },
        ),
        daily("saved machine truncated", passes(), |place| {
            damaged_state(place, "memory")
        }),
        daily("record of the saved machine truncated", passes(), |place| {
            damaged_state(place, "saved.json")
        }),
        daily("two runs at once", passes(), two_at_once),
        daily("wrong clock in earlier runs", passes(), wrong_clock),
        daily("8 MiB of console", flooded(), |place| flood(place, 8)),
        on_demand("1 GiB of console", flooded(), |place| flood(place, 1024)),
    ]);
    all
}

fn passes() -> Want {
    ends(0, "").with(&[(GOOD, Pass)])
}

fn qemu() -> Vec<Fault> {
    let script = |name: &str, says: &str, script: &'static str| {
        daily(name, infra(says), move |place| {
            place.qemu(script)?;
            place.play(place.vm_test(&[GOOD]))
        })
    };
    vec![
        daily(
            "QEMU not where it is said",
            infra("QEMU was not found"),
            |place| {
                let mut command = place.vm_test(&[GOOD]);
                command.env("KDK_QEMU", "/nonexistent/qemu");
                place.play(command)
            },
        ),
        daily("nothing in PATH", infra("QEMU was not found"), |place| {
            let mut command = place.vm_test(&[GOOD]);
            command
                .env_remove("KDK_QEMU")
                .env("PATH", place.path("tmp"));
            place.play(command)
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
    // Any file that opens is a hypervisor's device, as far as one can see.
    let opens = "mount --bind /dev/null /dev/kvm";
    let forbidden = "mount -t tmpfs -o nodev none \"$0\" && mknod \"$0/kvm\" c 10 232 && \
                     mount --bind \"$0/kvm\" /dev/kvm";
    let says_why = |place: &mut Place, script: &str, mark: &str| {
        let played = with_kvm(place, script, "auto")?;
        if played.ran.text().contains(mark) {
            return Ok(played);
        }
        Err(Stop::Wrong(format!(
            "nothing says {mark:?}:\n{}",
            played.ran.text()
        )))
    };
    vec![
        on_demand(
            "KVM never runs, asked for",
            infra("was not done after 5 s"),
            move |place| with_kvm(place, opens, "kvm"),
        ),
        on_demand("KVM never runs", passes(), move |place| {
            says_why(
                place,
                opens,
                "no kvm: a guest that should take half a second",
            )
        }),
        daily(
            "KVM forbidden, asked for",
            infra("this user may not open /dev/kvm"),
            move |place| with_kvm(place, forbidden, "kvm"),
        ),
        daily("KVM forbidden", passes(), move |place| {
            says_why(place, forbidden, "no kvm: this user may not open /dev/kvm")
        }),
    ]
}

fn with_kvm(place: &mut Place, script: &str, accel: &str) -> Result<Played, Stop> {
    if !Path::new("/dev/kvm").exists() {
        return Err(Stop::NotHere("there is no /dev/kvm".into()));
    }
    place.qemu(&sleeping_kvm())?;
    let prefix = mounted(script, &place.path("tmp"))?;
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    if script.contains("mknod") && prefix.contains(&"--user") {
        return Err(Stop::NotHere("only root makes device files".into()));
    }
    place.play(place.vm_test_under(&prefix, accel, &[GOOD]))
}

fn mounted(script: &str, argument: &Path) -> Result<Vec<String>, Stop> {
    powers::mounted(script, argument).ok_or_else(|| Stop::NotHere("this user may not mount".into()))
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
        played_in(
            Place::without_guest,
            "full disk while building",
            infra("no space"),
            |place| {
                let prefix = mounted("mount -t tmpfs -o size=1m none \"$0\"", place.home())?;
                let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
                place.play(place.vm_test_under(&prefix, "tcg", &[GOOD]))
            },
        ),
    ]
}

/// Returns the console's log takes the only page there is.
fn full_logs(place: &mut Place) -> Result<Played, Stop> {
    let runs = place.home().join("runs");
    fs::create_dir(&runs).map_err(told("make", &runs))?;
    let prefix = mounted("mount -t tmpfs -o size=4k none \"$0\"", &runs)?;
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    place.play(place.vm_test_under(&prefix, "tcg", &[GOOD]))
}

/// Returns a file may hold less than the guest's list of tests, and more than a
/// report.
fn limited_logs(place: &mut Place) -> Result<Played, Stop> {
    let limit = ["sh", "-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"];
    let mut command = place.vm_test_under(&limit, "tcg", &[GOOD]);
    // A saved machine is larger.
    command.arg("--cold");
    place.play(command)
}

/// Unfinished results have less room than a saved machine takes.
fn full_state(place: &mut Place) -> Result<Played, Stop> {
    let (folder, names) = (place.home().join("store/.unfinished"), place.path("names"));
    let prefix = mounted(&small_disk(&folder, "256k", &names), &folder)?;
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let played = place.play(place.vm_test_under(&prefix, "tcg", &[GOOD]))?;
    nothing_left(&names, &played)?;
    Ok(played)
}

/// Returns the list of names that a small disk left must be empty.
pub fn nothing_left(names: &Path, played: &Played) -> Result<(), Stop> {
    let left = fs::read_to_string(names).map_err(told("read", names))?;
    if left.is_empty() {
        return Ok(());
    }
    Err(Stop::Wrong(format!(
        "it left {left:?}\n{}",
        played.ran.text()
    )))
}

/// Returns an older report has the only page there is, and keeps it.
fn full_report(place: &mut Place) -> Result<Played, Stop> {
    const OLD: &str = "an older report";
    let shell = format!(
        "mount -t tmpfs -o size=4k none \"$0\" && echo '{OLD}' > \"$0/report.json\" && \
         {{ \"$@\"; status=$?; cat \"$0\"/* > \"$0/../kept\"; ls -A \"$0\" > \"$0/../names\"; \
         exit $status; }}; :"
    );
    let prefix = mounted(&shell, &place.path("out"))?;
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let played = place.play(place.vm_test_under(&prefix, "tcg", &[GOOD]))?;
    let read = |name: &str| fs::read_to_string(place.path(name)).unwrap_or_default();
    let (kept, names) = (read("kept"), read("names"));
    if (kept.trim(), names.trim()) != (OLD, "report.json") {
        let text = played.ran.text();
        return Err(Stop::Wrong(format!(
            "the folder holds {names:?}: {kept:?}\n{text}"
        )));
    }
    Ok(played)
}

fn permissions() -> Vec<Fault> {
    let home = |name: &str, mode: u32, says: &str| {
        daily(name, infra(says), move |place| {
            place.for_everybody()?;
            let none = fs::Permissions::from_mode(mode);
            let home = place.home();
            fs::set_permissions(home, none).map_err(told("close", home))?;
            let played = place.play(place.vm_test_under(powers::powerless(), "tcg", &[GOOD]));
            let open = fs::Permissions::from_mode(0o755);
            fs::set_permissions(home, open).map_err(told("open", home))?;
            played
        })
    };
    vec![
        home("cache folder read-only", 0o555, "this user may not use"),
        home("cache folder closed", 0o000, "this user may not use"),
    ]
}

/// Returns a damaged kernel in the store.
fn kernels() -> Vec<Fault> {
    let damaged = |name: &str, says: &str, damage: fn(&Path) -> std::io::Result<()>| {
        daily(format!("kernel {name}"), ends(3, says), move |place| {
            let kernel = place.guest()?;
            damage(&kernel).map_err(told("damage", &kernel))?;
            place.play(place.vm_test(&[GOOD]))
        })
    };
    vec![
        damaged("truncated", "it is truncated", |kernel| {
            let file = fs::File::options().write(true).open(kernel)?;
            file.set_len(file.metadata()?.len() / 2)
        }),
        damaged("empty", "it is empty", |kernel| fs::write(kernel, "")),
        damaged("of another machine", "it is for machine 183", |kernel| {
            let mut bytes = fs::read(kernel)?;
            // e_machine; 183 is aarch64.
            bytes[18] = 183;
            fs::write(kernel, bytes)
        }),
        damaged("no ELF file", "it is not an ELF file", |kernel| {
            fs::write(kernel, "#!/bin/sh\nexit 0\n")
        }),
        damaged("unreadable", "it cannot be read", |kernel| {
            // A mode would not hold root; a link to itself holds everybody.
            fs::remove_file(kernel)?;
            std::os::unix::fs::symlink(kernel, kernel)
        }),
        damaged("gone", "it cannot be read", |kernel| {
            fs::remove_file(kernel)
        }),
    ]
}

/// Returns a machine is saved, and half of one of its files goes.
fn damaged_state(place: &mut Place, name: &str) -> Result<Played, Stop> {
    place.run(place.vm_test(&[GOOD]))?;
    let entry = list(&place.home().join("store/state/demo")).pop();
    let path = entry.ok_or("no machine was saved".to_owned())?.join(name);
    fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(file.metadata()?.len() / 2))
        .map_err(told("cut", &path))?;
    let played = place.play(place.vm_test(&[GOOD]))?;
    if played.ran.text().contains("the saved machine is damaged") {
        return Ok(played);
    }
    let text = played.ran.text();
    Err(Stop::Wrong(format!("nothing says it is damaged:\n{text}")))
}

fn two_at_once(place: &mut Place) -> Result<Played, Stop> {
    let first = place.start(place.vm_test(&[GOOD]))?;
    let report = place.path("out/second.json");
    let mut second = place.xtask_under(&[], &["vm-test", "--base", "demo", "--accel", "tcg"]);
    second.args(["--tests", GOOD]).arg("--json").arg(&report);
    let second = place.run(second)?;
    let first = first.finish(&mut |_| {})?;
    let second = Played {
        report: fs::read(&report).ok(),
        ran: second,
    };
    judge::holds(&passes(), &second)?;
    Ok(place.played(first))
}

/// Earlier runs by a clock that was a century ahead: their logs and results
/// are from the future, and this run's are the oldest.
fn wrong_clock(place: &mut Place) -> Result<Played, Stop> {
    let ahead = SystemTime::now() + Duration::from_secs(100 * 365 * 86400);
    for number in 0..30 {
        let run = place.home().join(format!("runs/9999999999999-{number}"));
        fs::create_dir_all(&run).map_err(told("make", &run))?;
    }
    let record = place.guest()?.with_file_name("inputs.json");
    fs::File::options()
        .append(true)
        .open(&record)
        .and_then(|file| file.set_modified(ahead))
        .map_err(told("set the time of", &record))?;
    let played = place.play(place.vm_test(&[GOOD]))?;
    place.run(place.vm_test(&[GOOD]))?;
    let logs = played
        .ran
        .lines
        .iter()
        .find_map(|line| line.split_once("logs: "));
    let logs = logs.map(|(_, path)| Path::new(path.trim()));
    if logs.is_some_and(|logs| logs.join("console.1.log").exists()) {
        return Ok(played);
    }
    Err(Stop::Wrong(format!(
        "{logs:?} did not outlive the next run"
    )))
}

fn flooded() -> Want {
    ends(0, "").with(&[("flood/log", Pass)])
}

/// The most memory that the command line may take for it, KiB.
const MEMORY: u64 = 150 << 10;

/// Returns a guest played by a script floods the console as fast as pipes go.
/// It looks at its parent's memory (proc(5), VmHWM) before it ends.
fn flood(place: &mut Place, mib: u64) -> Result<Played, Stop> {
    let (peak, bytes) = (place.path("peak"), mib << 20);
    place.qemu(&format!(
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
        echo '# test flood/log where=kernel limit_ms=3600000 expect=pass default=yes' >&11
        echo '# end list 1' >&11 ;;
    resume)
        echo "# resumed ${{name% *}} random=${{name#*seed=}}" >&11 ;;
    run)
        echo "# start $name" >&11
        yes 'the console says this over and over, as some do' | head -c {bytes} >&10
        printf 'KTAP version 1\n1..1\nok 1 %s\n# done 1\n' "$name" >&11 ;;
    end)
        grep VmHWM "/proc/$PPID/status" > {peak}
        echo '# bye' >&11
        exit 1 ;;
    esac
done
"##,
        qemu = real_qemu(),
        peak = peak.display()
    ))?;
    let mut command: Command = place.xtask_under(&[], &["vm-test", "--base", "demo"]);
    // A script cannot be saved.
    command
        .args(["--accel", "tcg", "--cold", "--isolation", "none"])
        .arg("--json")
        .arg(place.report());
    let played = place.play(command)?;
    let text = fs::read_to_string(&peak).map_err(told("read", &peak))?;
    let kib = text
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    let kib = kib.ok_or_else(|| format!("{text:?} holds no size"))?;
    if kib > MEMORY {
        return Err(Stop::Wrong(format!("it took {kib} KiB of memory")));
    }
    let logs: u64 = list(&place.home().join("runs"))
        .iter()
        .flat_map(|run| list(run))
        .filter_map(|log| Some(log.metadata().ok()?.len()))
        .sum();
    if logs > 40 << 20 {
        return Err(Stop::Wrong(format!("the logs take {logs} bytes")));
    }
    Ok(played)
}

fn list(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
