//! A kqueue that fork(2) copies (`KQUEUE_CPONFORK`) while something happens.

use super::{none, one, skip_without, taken};
use alloc::vec::Vec;
use kdk_fixtures::bytes::soon;
use kdk_fixtures::child::Child;
use kdk_harness::{Stop, TestResult, kdk_test};
use kdk_sys::fd::pipe;
use kdk_sys::file::{O_CLOEXEC, O_CREAT, O_RDWR, open, unlink};
use kdk_sys::kqueue::{
    EV_ADD, EV_CLEAR, EV_ONESHOT, Event, Filter, Kqueue, NOTE_TRIGGER, NOTE_WRITE, registered,
};
use kdk_sys::poll::{POLLIN, wait_for};
use kdk_sys::process::{Ending, Fork, fork, me, wait_now};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno, Fd};

/// Events in the kqueue: so many that one of them is always being copied.
const EVENTS: usize = 64;

/// Skips the test on kernels that do not copy kqueues.
fn copied_queue() -> Result<Kqueue, Stop> {
    skip_without("kern.proc.kq")?;
    Ok(must("kqueuex", Kqueue::copied_on_fork()))
}

/// Pipes, and events for their readers in the kqueue.
#[track_caller]
fn pipes(queue: &Kqueue, flags: u16) -> Vec<(Fd, Fd)> {
    let pipes: Vec<_> = (0..EVENTS).map(|_| must("pipe", pipe())).collect();
    wait_to_read(queue, &pipes, flags);
    pipes
}

#[track_caller]
fn wait_to_read(queue: &Kqueue, pipes: &[(Fd, Fd)], flags: u16) {
    let events = pipes.iter().enumerate();
    let events: Vec<_> = events
        .map(|(nth, (read, _))| Event::on(read, Filter::Read, EV_ADD | flags).with_udata(nth))
        .collect();
    must("wait to read", queue.change(&events));
}

/// Forks as often as it can until the process has ended.
#[track_caller]
fn fork_until(other: Child, mut child: impl FnMut()) {
    loop {
        Child::run(&mut child).join();
        if let Some(ending) = must("look for its end", wait_now(other.pid())) {
            other.has_ended();
            assert_eq!(ending, Ending::Exited(0), "the other process");
            return;
        }
    }
}

macro_rules! fork_test {
    ($name:literal, $run:ident) => {
        kdk_test!(
            $name,
            $run,
            limit_ms = 60_000,
            cpus = &[2, 4],
            leak_types = &["kqueue"]
        );
    };
}

fork_test!("smoke/kqueue-forks-at-once", at_once);

/// Two processes with one table of descriptors fork at the same time.
fn at_once() -> TestResult {
    const FORKS: usize = 60;
    let queue = copied_queue()?;
    let _pipes = pipes(&queue, EV_CLEAR);
    let other = Child::with_one_table(|| {
        for _ in 0..FORKS {
            Child::run(|| {}).join();
        }
    });
    fork_until(other, || {});
    Ok(())
}

fork_test!("smoke/kqueue-forked-as-it-grows", grows);

/// Another process adds events of high descriptors, for which the kqueue gets
/// another table, while this one forks.
fn grows() -> TestResult {
    const TABLES: i32 = 24;
    /// Descriptors for which a kqueue's table grows.
    const STEP: i32 = 256;
    let queue = copied_queue()?;
    let _pipes = pipes(&queue, EV_CLEAR);
    let (read, _write) = must("pipe", pipe());
    let (wait, go) = must("pipe", pipe());
    let other = Child::with_one_table(|| {
        for nth in 1..=TABLES {
            let high = must("dup", read.duplicate_from(nth * STEP));
            let event = Event::on(&high, Filter::Read, EV_ADD);
            must("wait for the fork", wait.read_full(&mut [0]));
            must("wait for a high descriptor", queue.change(&[event]));
        }
    });
    for _ in 0..TABLES {
        must("let the other one add", go.write_all(b"g"));
        Child::run(|| {}).join();
    }
    other.join();
    Ok(())
}

fork_test!("smoke/kqueue-fork-takes-all", takes_all);

/// The child's copy has all events, those included for which something happens
/// while they are being copied.
fn takes_all() -> TestResult {
    const ROUNDS: usize = 30;
    const FILE: &str = "/tmp/kqueue-forked";
    let queue = copied_queue()?;
    let file = must("make a file", open(FILE, O_RDWR | O_CREAT | O_CLOEXEC));
    must("unlink it", unlink(FILE));
    let files: Vec<Fd> = (0..EVENTS).map(|_| must("dup", file.duplicate())).collect();
    let changes: Vec<_> = files
        .iter()
        .map(|file| Event::on(file, Filter::Vnode, EV_ADD | EV_CLEAR).with_fflags(NOTE_WRITE))
        .collect();
    must("wait for writes", queue.change(&changes));
    let writer = Child::run(|| {
        for _ in 0..ROUNDS * EVENTS {
            must("write", file.write_all(b"w"));
        }
    });
    fork_until(writer, || {
        let copied = must("look at the copy", registered(me()));
        assert_eq!(copied.len(), EVENTS, "events in the child's copy");
    });
    Ok(())
}

fork_test!("smoke/kqueue-fork-stale", stale);

/// What happens while an event is copied is in the copy, or comes to it: with
/// its data, and once.
fn stale() -> TestResult {
    const ROUNDS: usize = 25;
    let queue = copied_queue()?;
    let pipes = pipes(&queue, EV_ONESHOT);
    for round in 0..ROUNDS {
        let (wait, go) = must("pipe", pipe());
        let writer = Child::run(|| {
            must("wait for the fork", wait.read_full(&mut [0]));
            for (_, write) in &pipes {
                must("write", write.write_all(b"w"));
            }
        });
        must("let it write", go.write_all(b"g"));
        let child = Child::run(|| all_once("the child", round, &queue));
        all_once("the parent", round, &queue);
        child.join();
        writer.join();
        for (read, _) in &pipes {
            must("read", read.read_full(&mut [0]));
        }
        wait_to_read(&queue, &pipes, EV_ONESHOT);
    }
    Ok(())
}

/// Takes each of the events, with one byte to read.
#[track_caller]
fn all_once(who: &str, round: usize, queue: &Kqueue) {
    let mut seen = [false; EVENTS];
    for count in 0..EVENTS {
        let events = must("wait for a pipe", queue.wait(&[], 1, soon()));
        let [event] = events[..] else {
            panic!("{who}, round {round}: {count} of {EVENTS} events");
        };
        assert_eq!(
            event.data, 1,
            "{who}, round {round}: bytes to read: {event:?}"
        );
        match seen.get_mut(event.udata) {
            Some(seen) if !*seen => *seen = true,
            _ => panic!("{who}, round {round}: twice: {event:?}"),
        }
    }
    let more = taken(queue, &[]);
    assert!(more.is_empty(), "{who}, round {round}: more: {more:?}");
}

fork_test!("smoke/kqueue-fork-and-close", closes);

/// The other end of pipes is closed while the events for them are copied: that
/// does not wait for anything that the child does.
fn closes() -> TestResult {
    const ROUNDS: usize = 12;
    for round in 0..ROUNDS {
        let queue = copied_queue()?;
        let pipes: Vec<_> = (0..EVENTS).map(|_| must("pipe", pipe())).collect();
        let (done, closed) = must("pipe", pipe());
        let (wait, go) = must("pipe", pipe());
        // The only process that has the ends to read from.
        let (reads, writes): (Vec<Fd>, Vec<Fd>) = pipes.into_iter().unzip();
        let mut reads = Some(reads);
        let closer = Child::run(|| {
            let reads = reads.take();
            must("wait for the fork", wait.read_full(&mut [0]));
            drop(reads);
            must("say so", closed.write_all(b"c"));
        });
        drop(reads);
        let changes: Vec<_> = writes
            .iter()
            .map(|write| Event::on(write, Filter::Write, EV_ADD | EV_CLEAR))
            .collect();
        must("wait to write", queue.change(&changes));
        let (stay, leave) = must("pipe", pipe());
        must("let it close", go.write_all(b"g"));
        // Its copy of the kqueue is left alone, so that nothing there helps.
        let child = Child::run(|| {
            let _ = stay.read_full(&mut [0]);
        });
        let all_closed = wait_for(&done, POLLIN, soon());
        must("end the child", leave.write_all(b"l"));
        child.join();
        assert_eq!(
            all_closed.map(drop),
            Ok::<(), Errno>(()),
            "round {round}: closing pipes"
        );
        closer.join();
    }
    Ok(())
}

kdk_test!(
    "smoke/kqueue-fork-watched",
    watched,
    limit_ms = 60_000,
    cpus = &[1, 4],
    leak_types = &["kqueue"]
);

/// A kqueue that watches another one: the child's watches the child's.
fn watched() -> TestResult {
    skip_without("kern.proc.kq")?;
    // The one with the lower descriptor is copied first.
    for inner_first in [false, true] {
        without_parent(inner_first)?;
        own_events(inner_first)?;
        pending_event(inner_first)?;
    }
    not_copied()
}

/// A kqueue, and one that watches it.
fn watched_pair(inner_first: bool) -> Result<(Kqueue, Kqueue), Stop> {
    let (low, high) = (copied_queue()?, copied_queue()?);
    let (inner, outer) = if inner_first {
        (low, high)
    } else {
        (high, low)
    };
    watch(&inner, &outer);
    Ok((inner, outer))
}

#[track_caller]
fn watch(inner: &Kqueue, outer: &Kqueue) {
    let watch = Event::on(inner, Filter::Read, EV_ADD);
    must("watch the kqueue", outer.change(&[watch]));
}

/// Adds an event of this process's own, which has happened.
#[track_caller]
fn trigger(queue: &Kqueue) {
    let own = Event::new(1, Filter::User, EV_ADD | EV_CLEAR);
    let trigger = own.with_flags(0).with_fflags(NOTE_TRIGGER);
    must("trigger an event", queue.change(&[own, trigger]));
}

/// The outer kqueue reports the event of the inner one until it is taken.
#[track_caller]
fn reported(who: &str, inner: &Kqueue, outer: &Kqueue) {
    let seen = one(who, outer);
    assert!(seen.is(Filter::Read), "{who}: another filter: {seen:?}");
    assert_eq!(seen.ident, inner.raw() as usize, "{who}: ident");
    assert_eq!(seen.data, 1, "{who}: events in the watched kqueue");
    one(who, inner);
    none(who, outer);
}

/// The child closes its kqueues when the parent is gone.
fn without_parent(inner_first: bool) -> TestResult {
    let (done, passed) = must("pipe", pipe());
    let (wait, go) = must("pipe", pipe());
    // It makes the kqueues, so that no other process has them.
    let parent = Child::run(|| {
        let Ok((inner, outer)) = watched_pair(inner_first) else {
            return;
        };
        if let Fork::Child = must("fork", fork()) {
            must("wait for its end", wait.read_full(&mut [0]));
            drop(outer);
            drop(inner);
            must("say so", passed.write_all(b"p"));
        }
    });
    drop(passed);
    parent.join();
    must("let the child go on", go.write_all(b"g"));
    must("the child passes", done.read_full(&mut [0]));
    Ok(())
}

/// What happens to the parent's is not the child's, and the other way round.
fn own_events(inner_first: bool) -> TestResult {
    let (inner, outer) = watched_pair(inner_first)?;
    let (wait, go) = must("pipe", pipe());
    let child = Child::run(|| {
        must("wait for the parent", wait.read_full(&mut [0]));
        none("the parent's event", &outer);
        trigger(&inner);
        reported("the child", &inner, &outer);
    });
    trigger(&inner);
    reported("the parent", &inner, &outer);
    trigger(&inner);
    must("let the child look", go.write_all(b"g"));
    child.join();
    reported("the parent, after the child", &inner, &outer);
    Ok(())
}

/// An event that is pending is pending in both, and each takes its own.
fn pending_event(inner_first: bool) -> TestResult {
    let (inner, outer) = watched_pair(inner_first)?;
    let (read, write) = must("pipe", pipe());
    must("write", write.write_all(b"w"));
    let event = Event::on(&read, Filter::Read, EV_ADD | EV_CLEAR);
    must("wait to read", inner.change(&[event]));
    Child::run(|| reported("the child, pending", &inner, &outer)).join();
    reported("the parent, pending", &inner, &outer);
    Child::run(|| none("taken before", &outer)).join();
    Ok(())
}

/// A kqueue that is not copied is not watched in the child.
fn not_copied() -> TestResult {
    let outer = copied_queue()?;
    let inner = must("kqueue", Kqueue::new());
    watch(&inner, &outer);
    Child::run(|| {
        let copied = must("look at the copy", registered(me()));
        assert!(copied.is_empty(), "the child watches {copied:?}");
        none("the child", &outer);
    })
    .join();
    trigger(&inner);
    reported("the parent's alone", &inner, &outer);
    Ok(())
}
