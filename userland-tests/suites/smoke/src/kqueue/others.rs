//! Events that no descriptor has: the program's own, time, processes.

use super::{none, one, queue};
use kdk_fixtures::bytes::soon;
use kdk_fixtures::child::Child;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::fd::pipe;
use kdk_sys::kqueue::{
    EV_ADD, EV_CLEAR, EV_DELETE, EV_ONESHOT, Event, Filter, NOTE_EXIT, NOTE_FFCOPY, NOTE_TRIGGER,
};
use kdk_sys::process::{self, Ending, exit};
use kdk_sys::suite::must;
use kdk_sys::time::now_ms;
use kdk_sys::{Descriptor, Errno};

kdk_test!("smoke/kqueue-user", user);

fn user() -> TestResult {
    let event = Event::new(42, Filter::User, 0);
    let queue = queue(&[event.with_flags(EV_ADD | EV_CLEAR).with_udata(7)]);
    none("before it is triggered", &queue);
    let trigger = event
        .with_fflags(NOTE_TRIGGER | NOTE_FFCOPY | 0x55)
        .with_udata(8);
    must("trigger it", queue.change(&[trigger]));
    let seen = one("it was triggered", &queue);
    assert!(seen.is(Filter::User), "another filter: {seen:?}");
    assert_eq!(seen.ident, 42, "ident");
    assert_eq!(seen.fflags, 0x55, "flags that were copied");
    assert_eq!(seen.udata, 8, "udata of the last change");
    none("it was seen", &queue);
    must("delete it", queue.change(&[event.with_flags(EV_DELETE)]));
    let gone = queue.change(&[trigger]);
    assert_eq!(gone, Err(Errno::ENOENT), "trigger what was deleted");
    Ok(())
}

kdk_test!("smoke/kqueue-timer", timer);

fn timer() -> TestResult {
    let began = now_ms();
    let once = Event::new(1, Filter::Timer, EV_ADD | EV_ONESHOT).with_data(30);
    let queue = queue(&[once]);
    let seen = one("30 ms pass", &queue);
    let took = now_ms() - began;
    assert!(
        seen.is(Filter::Timer) && seen.ident == 1,
        "another event: {seen:?}"
    );
    assert_eq!(seen.data, 1, "times it went off");
    // The clock may have been read just before a tick.
    assert!(took >= 29, "30 ms took {took} ms");
    none("it went off once", &queue);

    let often = Event::new(2, Filter::Timer, EV_ADD).with_data(5);
    must("add a periodic timer", queue.change(&[often]));
    let mut times = 0;
    while times < 5 {
        times += one("5 ms pass", &queue).data;
    }
    must("delete it", queue.change(&[often.with_flags(EV_DELETE)]));
    none("it was deleted", &queue);
    Ok(())
}

kdk_test!("smoke/kqueue-process", process_exit);

fn process_exit() -> TestResult {
    let (wait, go) = must("pipe", pipe());
    let child = Child::run(|| {
        let _ = wait.read(&mut [0]);
        exit(3);
    });
    let pid = child.pid();
    let exits = Event::new(pid.0 as usize, Filter::Process, EV_ADD).with_fflags(NOTE_EXIT);
    let queue = queue(&[exits.with_udata(9)]);
    none("it is running", &queue);
    must("let it go on", go.write_all(b"g"));
    let seen = one("it ends", &queue);
    assert!(seen.is(Filter::Process), "another filter: {seen:?}");
    assert_eq!(seen.ident, pid.0 as usize, "ident");
    assert_eq!(seen.udata, 9, "udata");
    assert_ne!(seen.fflags & NOTE_EXIT, 0, "NOTE_EXIT: {seen:?}");
    assert_eq!(seen.data, 3 << 8, "its wait status");
    let ending = must("wait for it", process::wait(pid));
    assert_eq!(ending, Ending::Exited(3), "its end");
    none("it was seen", &queue);
    core::mem::forget(child);
    Ok(())
}

kdk_test!("smoke/kqueue-wakes", wakes);

/// An event that another process causes ends the wait for it.
fn wakes() -> TestResult {
    let (read, write) = must("pipe", pipe());
    let (ask, asked) = must("pipe", pipe());
    let child = Child::run(|| {
        for _ in 0..20 {
            must("be asked", ask.read(&mut [0]));
            must("write", write.write_all(b"x"));
        }
    });
    let queue = queue(&[Event::on(&read, Filter::Read, EV_ADD)]);
    for nth in 0..20 {
        none("before the request", &queue);
        must("ask", asked.write_all(b"a"));
        let events = must("wait", queue.wait(&[], 1, soon()));
        assert_eq!(events.len(), 1, "answer {nth} within the deadline");
        must("take it", read.read(&mut [0]));
    }
    child.join();
    Ok(())
}
