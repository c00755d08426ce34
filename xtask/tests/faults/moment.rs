//! QEMU killed, and the run interrupted, at each moment of a run.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use kdk_vm::verdict::Verdict::{self, NotRun, Pass};
use nix::sys::signal::Signal;

use crate::fault::{Fault, Played, Stop, Want, daily, infra, played_in};
use crate::leftovers::kill_qemus;
use crate::place::{Place, told};
use crate::running::{Exit, Running};

/// A moment of a run in which the demo guest stays until somebody ends it.
#[derive(Clone, Copy)]
struct Moment {
    name: &'static str,
    /// Options of the guest.
    options: &'static str,
    /// The tests that are asked for.
    tests: &'static [&'static str],
    /// What is shown once it has come.
    mark: &'static str,
    /// How the tests must end when the run ends here.
    ends: &'static [(&'static str, Verdict)],
}

const GOOD: &str = "harness/panics-nest";
const FIRST: &str = "fault/after-done";

const MOMENTS: &[Moment] = &[
    Moment {
        name: "before hello",
        options: "fault=no-hello",
        tests: &[GOOD],
        mark: "demo: still here",
        ends: &[],
    },
    Moment {
        name: "while listing",
        options: "fault=list-hang",
        tests: &[GOOD],
        mark: "demo: list-hang: still here",
        ends: &[],
    },
    IN_A_TEST,
    Moment {
        name: "between tests",
        options: "",
        tests: &[FIRST, "fault/deaf", GOOD],
        mark: "s  fault/deaf",
        ends: &[(FIRST, Pass), ("fault/deaf", Pass), (GOOD, NotRun)],
    },
    Moment {
        name: "while ending",
        options: "fault=end-hang",
        tests: &[GOOD],
        mark: "demo: end-hang: still here",
        ends: &[(GOOD, Pass)],
    },
];

const IN_A_TEST: Moment = Moment {
    name: "in a test",
    options: "",
    tests: &[FIRST, "fault/hang-alive", GOOD],
    mark: "demo: fault/hang-alive: still here",
    ends: &[(FIRST, Pass), ("fault/hang-alive", NotRun), (GOOD, NotRun)],
};

/// Returns all of them.
pub fn faults() -> Vec<Fault> {
    let killed = MOMENTS.iter().map(|moment| {
        let name = format!("QEMU killed {}", moment.name);
        let want = infra("QEMU died of signal 9").with(moment.ends);
        daily(name, want, |place| kill_qemu(place, moment))
    });
    let interrupted = MOMENTS.iter().map(|moment| {
        let name = format!("^C {}", moment.name);
        daily(name, infra("interrupted").with(moment.ends), |place| {
            interrupt(place, moment, Signal::SIGINT)
        })
    });
    let others = [Signal::SIGTERM, Signal::SIGHUP].map(|signal| {
        let name = format!("{signal} {}", IN_A_TEST.name);
        daily(
            name,
            infra("interrupted").with(IN_A_TEST.ends),
            move |place| interrupt(place, &IN_A_TEST, signal),
        )
    });
    let building = every_day_without_guest("^C while building", |place| {
        let mut running = place.start(place.vm_test(&[GOOD]))?;
        running.until("building the demo guest")?;
        running.signal_all(Signal::SIGINT)?;
        Ok(place.played(running.finish(&mut |_| {})?))
    });
    let waiting = every_day_without_guest("^C while another run has the lock", wait_for_a_lock);
    let twice = Want {
        exit: Exit::Signal(9),
        ..infra("demo: flood").without_report()
    };
    killed
        .chain(interrupted)
        .chain(others)
        .chain([building, waiting, daily("^C twice", twice, interrupt_twice)])
        .collect()
}

fn every_day_without_guest(
    name: &str,
    play: impl Fn(&mut Place) -> Result<Played, Stop> + Send + Sync + 'static,
) -> Fault {
    Fault {
        daily: true,
        ..played_in(Place::without_guest, name, infra("interrupted"), play)
    }
}

/// This process has what a build of the demo guest needs, and keeps it.
fn wait_for_a_lock(place: &mut Place) -> Result<Played, Stop> {
    // As `build::guest` names it: one for each checkout of the kit.
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .ok_or_else(|| String::from("the kit has no folder"))?;
    let checkout = blake3::hash(checkout.as_os_str().as_encoded_bytes()).to_hex();
    let path = place
        .home()
        .join(format!("locks/target-demo-{checkout:.8}.lock"));
    fs::create_dir_all(place.home().join("locks")).map_err(told("make the folder of", &path))?;
    let held = fs::File::create(&path).map_err(told("make", &path))?;
    held.lock().map_err(told("lock", &path))?;
    let mut running = place.start(place.vm_test(&[GOOD]))?;
    running.until("which uses target-demo")?;
    running.signal_all(Signal::SIGINT)?;
    let ran = running.finish(&mut |_| {})?;
    held.unlock().map_err(told("unlock", &path))?;
    Ok(place.played(ran))
}

fn begin(place: &Place, moment: &Moment) -> Result<Running, String> {
    place.guest_options(moment.options)?;
    let mut running = place.start(place.vm_test(moment.tests))?;
    running.until(moment.mark)?;
    Ok(running)
}

fn kill_qemu(place: &Place, moment: &Moment) -> Result<Played, Stop> {
    let running = begin(place, moment)?;
    if kill_qemus(place.token()) == 0 {
        return Err("there is no QEMU to kill".to_owned().into());
    }
    // A machine that comes later is none that the run may go on with.
    let ran = running.finish(&mut |_| {
        kill_qemus(place.token());
    })?;
    Ok(place.played(ran))
}

fn interrupt(place: &Place, moment: &Moment, signal: Signal) -> Result<Played, Stop> {
    let running = begin(place, moment)?;
    running.signal_all(signal)?;
    let played = place.played(running.finish(&mut |_| {})?);
    works_again(place)?;
    Ok(played)
}

/// Returns the next run in the same cache folder.
fn works_again(place: &Place) -> Result<(), String> {
    place.guest_options("")?;
    let mut command = place.vm_test(&[GOOD]);
    // A machine that was saved has the options that it was booted with.
    command.arg("--cold");
    let ran = place.run(command)?;
    if ran.exit == Exit::Code(0) {
        return Ok(());
    }
    Err(format!(
        "the next run ended with {}:\n{}",
        ran.exit,
        ran.text()
    ))
}

/// Returns a run that cannot stop cleanly: it waits for a reader of what it
/// shows.
fn interrupt_twice(place: &mut Place) -> Result<Played, Stop> {
    let mut running = place.start(place.vm_test(&["fault/flood"]))?;
    running.until("demo: flood")?;
    // Nobody reads any more.
    eventually("the run does not wait for its reader", || {
        let wait = fs::read_to_string(format!("/proc/{}/wchan", running.pid()));
        wait.is_ok_and(|wait| wait.contains("pipe"))
    })?;
    running.signal(Signal::SIGINT)?;
    eventually("the first ^C is not taken", || {
        !is_pending(running.pid(), Signal::SIGINT)
    })?;
    running.signal(Signal::SIGINT)?;
    let played = place.played(running.finish(&mut |_| {})?);
    works_again(place)?;
    Ok(Played {
        report: None,
        ..played
    })
}

/// Returns whether a signal was sent to a process and not yet taken (proc(5),
/// ShdPnd).
fn is_pending(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("ShdPnd:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal as i32 - 1) & 1 == 1)
}

fn eventually(otherwise: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        if Instant::now() >= until {
            return Err(otherwise.to_owned());
        }
        std::thread::yield_now();
    }
    Ok(())
}
