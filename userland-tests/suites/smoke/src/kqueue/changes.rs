//! How an event comes and goes.

use super::{none, one, queue, ready, skip_without};
use alloc::vec::Vec;
use kdk_fixtures::bytes::soon;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::fd::pipe;
use kdk_sys::kqueue::{
    EV_ADD, EV_CLEAR, EV_DELETE, EV_DISABLE, EV_DISPATCH, EV_ENABLE, EV_ERROR, EV_ONESHOT,
    EV_RECEIPT, Event, Filter, registered,
};
use kdk_sys::process::me;
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno, Fd};

/// A pipe with something to read.
#[track_caller]
fn full_pipe() -> (Fd, Fd) {
    let (read, write) = must("pipe", pipe());
    must("write", write.write_all(b"x"));
    (read, write)
}

kdk_test!("smoke/kqueue-oneshot", oneshot);

fn oneshot() -> TestResult {
    let (read, _write) = full_pipe();
    let event = Event::on(&read, Filter::Read, 0);
    let queue = queue(&[event.with_flags(EV_ADD | EV_ONESHOT)]);
    one("the first time", &queue);
    none("a second time", &queue);
    let gone = queue.change(&[event.with_flags(EV_DELETE)]);
    assert_eq!(gone, Err(Errno::ENOENT), "delete what removed itself");
    Ok(())
}

kdk_test!("smoke/kqueue-clear", clear);

fn clear() -> TestResult {
    let (read, write) = full_pipe();
    let queue = queue(&[Event::on(&read, Filter::Read, EV_ADD | EV_CLEAR)]);
    one("something was written", &queue);
    none("nothing was written since", &queue);
    must("write more", write.write_all(b"y"));
    assert_eq!(one("more was written", &queue).data, 2, "bytes to read");
    none("nothing was written since", &queue);
    Ok(())
}

kdk_test!("smoke/kqueue-dispatch", dispatch);

fn dispatch() -> TestResult {
    let (read, _write) = full_pipe();
    let event = Event::on(&read, Filter::Read, 0);
    let queue = queue(&[event.with_flags(EV_ADD | EV_DISPATCH)]);
    one("the first time", &queue);
    none("while it is disabled", &queue);
    let enable = event.with_flags(EV_ENABLE | EV_DISPATCH);
    must("enable it", queue.change(&[enable]));
    one("after it was enabled", &queue);
    none("while it is disabled again", &queue);
    Ok(())
}

kdk_test!("smoke/kqueue-disable", disable);

fn disable() -> TestResult {
    let (read, _write) = full_pipe();
    let event = Event::on(&read, Filter::Read, 0);
    let queue = queue(&[event.with_flags(EV_ADD | EV_DISABLE)]);
    none("it was added disabled", &queue);
    must("enable it", queue.change(&[event.with_flags(EV_ENABLE)]));
    one("it was enabled", &queue);
    one("it is not read yet", &queue);
    must("disable it", queue.change(&[event.with_flags(EV_DISABLE)]));
    none("it was disabled", &queue);
    must("delete it", queue.change(&[event.with_flags(EV_DELETE)]));
    let again = queue.change(&[event.with_flags(EV_ENABLE)]);
    assert_eq!(again, Err(Errno::ENOENT), "enable what was deleted");
    Ok(())
}

kdk_test!("smoke/kqueue-receipt", receipt);

/// Every change is answered, in order, those that fail and those that do not,
/// and nothing else comes meanwhile.
fn receipt() -> TestResult {
    let (read, write) = full_pipe();
    let queue = queue(&[]);
    let changes = [
        Event::on(&read, Filter::Read, EV_ADD | EV_RECEIPT).with_udata(1),
        Event::on(&write, Filter::Write, EV_DELETE | EV_RECEIPT).with_udata(2),
        Event::new(999, Filter::Read, EV_ADD | EV_RECEIPT).with_udata(3),
        Event::on(&write, Filter::Write, EV_ADD | EV_RECEIPT).with_udata(4),
    ];
    let answers = must("kevent", queue.wait(&changes, 4, soon()));
    let reported: Vec<_> = answers
        .iter()
        .map(|answer| (answer.flags & EV_ERROR != 0, answer.udata, answer.data))
        .collect();
    let expected = [
        (true, 1, 0),
        (true, 2, Errno::ENOENT.0.into()),
        (true, 3, Errno::EBADF.0.into()),
        (true, 4, 0),
    ];
    assert_eq!(
        reported, expected,
        "EV_ERROR, udata and error of each change"
    );
    assert_eq!(ready(&queue).len(), 2, "events after the receipts");
    Ok(())
}

kdk_test!("smoke/kqueue-errors", errors);

/// Without room for an answer a change that fails is kevent(2)'s error.
fn errors() -> TestResult {
    let (read, _write) = full_pipe();
    let queue = queue(&[]);
    for (change, errno) in [
        (Event::new(999, Filter::Read, EV_ADD), Errno::EBADF),
        (Event::on(&read, Filter::Read, EV_DELETE), Errno::ENOENT),
        (Event::new(99_999, Filter::Process, EV_ADD), Errno::ESRCH),
    ] {
        assert_eq!(queue.change(&[change]), Err(errno), "{change:?}");
    }
    none("nothing was added", &queue);
    Ok(())
}

kdk_test!("smoke/kqueue-close", close);

fn close() -> TestResult {
    let (read, write) = full_pipe();
    let queue = queue(&[
        Event::on(&read, Filter::Read, EV_ADD),
        Event::on(&write, Filter::Write, EV_ADD),
    ]);
    assert_eq!(ready(&queue).len(), 2, "events of both ends");
    drop(read);
    let left = ready(&queue);
    assert!(
        left.len() == 1 && left[0].is(Filter::Write),
        "expected the open end's event alone, saw {left:?}"
    );
    drop(write);
    none("both ends are closed", &queue);
    Ok(())
}

kdk_test!("smoke/kqueue-chains", chains);

/// Identifiers are spread over the kqueue's chains, be they numbers or
/// addresses of pages, whose low bits are zero.
fn chains() -> TestResult {
    const EVENTS: usize = 256;
    /// Of the 64 chains there are.
    const MANY: usize = 48;
    skip_without("kern.proc.kq")?;
    for shift in [0, 3, 8, 12, 16, 21, 30] {
        let added: Vec<_> = (1..=EVENTS)
            .map(|nth| Event::new(nth << shift, Filter::User, EV_ADD))
            .collect();
        let _queue = queue(&added);
        let shown = must("look at the kqueue", registered(me()));
        assert_eq!(shown.len(), EVENTS, "events in the kqueue");
        // They are shown chain by chain, each with the newest event first.
        let next = shown.iter().zip(shown.iter().skip(1));
        let chains = 1 + next
            .filter(|(one, other)| one.event.ident < other.event.ident)
            .count();
        assert!(
            chains >= MANY,
            "multiples of {}: {chains} chains",
            1usize << shift
        );
    }
    Ok(())
}
