//! The harness's platform: a process a test.

use super::child;
use super::settling;
use crate::errno::{Errno, Result};
use crate::fd::{Fd, pipe};
use crate::follow::Follower;
use crate::process::{Ending, Fork, Pid, fork, group_exists, kill_group, lead_group, wait_now};
use crate::signal::Signal;
use crate::{complain, counters};
use alloc::vec::Vec;
use kdk_harness::{Counters, Ended, Message, Platform, Test};

/// How often counters that grew are read again, within about 10 s. On a slow host
/// TCP repeats a segment, five times within 7 s, and keeps its socket until then.
const SETTLE: u32 = 20;
/// The longest time between two readings, in milliseconds of the guest.
const LONGEST_MS: u64 = 1024;

/// Runs each test in a child that leads a process group of its own.
#[derive(Debug, Default)]
pub struct Forked {
    /// The last test's group.
    group: Option<Pid>,
}

impl Forked {
    /// A platform on which nothing has run yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { group: None }
    }

    fn end_last_group(&mut self) {
        if let Some(group) = self.group.take() {
            // ESRCH is what there should be.
            let _ = kill_group(group, Signal::SIGKILL);
        }
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        self.end_last_group();
    }
}

impl Platform for Forked {
    fn run_isolated(&mut self, test: &'static Test) -> Ended {
        self.end_last_group();
        match start(test) {
            Ok((child, pipe)) => {
                self.group = Some(child);
                watch(child, pipe).unwrap_or_else(|errno| lost("watching its process", errno))
            }
            Err(errno) => lost("starting its process", errno),
        }
    }

    fn counters(&mut self, test: &'static Test, counters: &mut Counters) {
        let left = self.group.is_some_and(group_exists);
        counters.set("process groups", "", left.into());
        for (kind, reading) in [
            ("open files", counters::open_files()),
            ("sockets", counters::sockets()),
            ("mbufs", counters::mbufs()),
        ] {
            set(counters, kind, "", reading);
        }
        for name in test.leak_types {
            set(counters, "malloc type", name, counters::malloc_type(name));
        }
    }

    fn settle(&mut self, attempt: u32) -> bool {
        settling::step(attempt, LONGEST_MS);
        attempt < SETTLE
    }
}

fn set(counters: &mut Counters, kind: &'static str, name: &'static str, reading: Result<i64>) {
    match reading {
        Ok(value) => counters.set(kind, name, value),
        Err(errno) => complain!("the leak check goes without {kind} {name}: sysctl: {errno}"),
    }
}

fn lost(doing: &str, errno: Errno) -> Ended {
    Ended::Died(Message::of(format_args!("{doing}: {errno}")))
}

fn start(test: &'static Test) -> Result<(Pid, Fd)> {
    let (read, write) = pipe()?;
    match fork()? {
        Fork::Child => {
            drop(read);
            // The parent does it too: whoever comes first.
            let _ = lead_group(crate::process::me());
            child::run(test, &write)
        }
        Fork::Parent(pid) => {
            let _ = lead_group(pid);
            Ok((pid, read))
        }
    }
}

/// Waits for the test to end, one way or another.
fn watch(child: Pid, pipe: Fd) -> Result<Ended> {
    let mut reported = Vec::new();
    let mut follower = Follower::new(pipe)?;
    let ending = follower.follow(&mut || wait_now(child), &mut |bytes| {
        reported.extend_from_slice(bytes);
    })?;
    Ok(judge(ending, &reported))
}

/// A verdict counts when the process also ended as it should.
fn judge(ending: Ending, reported: &[u8]) -> Ended {
    let verdict = child::verdict(reported);
    let clean = match verdict {
        Some(Ended::Panicked(_)) => Ending::Exited(crate::start::PANICKED),
        _ => Ending::Exited(0),
    };
    match verdict {
        Some(ended) if ending == clean => ended,
        Some(_) => Ended::Died(Message::of(format_args!("{ending} after its verdict"))),
        None => Ended::Died(Message::of(format_args!("{ending} without a verdict"))),
    }
}
