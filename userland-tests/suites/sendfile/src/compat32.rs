//! Programs of 32 bits.

use crate::case;
use crate::in_flight::InFlight;
use alloc::vec::Vec;
use kdk_fixtures::bytes::{assert_same, receive, receive_all};
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::compat32::{END, Outcome, Program};
use kdk_sys::fd::pipe;
use kdk_sys::file::{PAGE, unlink, write_program};
use kdk_sys::kqueue::{EV_ADD, EV_DELETE};
use kdk_sys::process::execute;
use kdk_sys::sendfile::{Generation, SF_SYNC};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno, Fd, STDERR, STDIN, STDOUT};

const CLOSE: u32 = 6;
const DUP2: u32 = 90;
const KQUEUE: u32 = 362;
const KEVENT: u32 = 363;
const SENDFILE: u32 = 393;

const PROGRAM: &str = "/tmp/program32";
/// What the program finds: the file, the socket, and as its first descriptor
/// of its own the kqueue.
const FILE: u32 = 0;
const SOCKET: u32 = 2;
const QUEUE: u32 = 3;
/// More descriptors than a test leaves open for a program it executes.
const INHERITED: u32 = 8;

const LENGTH: usize = 3 * PAGE;

/// The size of a `struct sf_hdtr`.
const HDTR: u32 = 16;

/// Calls before those of a test: they make the kqueue.
const BEFORE: usize = 2 * INHERITED as usize + 1;

/// Frees the numbers that are in use, and those that are not: fork(2) of
/// FreeBSD 15.1 keeps the numbers of kqueues, which it does not copy, from
/// being used in the child (`fdcopy()` does not move `fd_freefile` back).
#[track_caller]
fn with_kqueue() -> Program {
    let mut program = Program::new();
    for inherited in QUEUE..QUEUE + INHERITED {
        must("call", program.call(DUP2, &[FILE, inherited]));
        must("call", program.call(CLOSE, &[inherited]));
    }
    must("call", program.call(KQUEUE, &[]));
    program
}

/// What came of the `nth` call after these.
fn call(outcome: &Outcome, nth: usize) -> kdk_sys::Result<u32> {
    assert_eq!(outcome.call(BEFORE - 1), Ok(QUEUE), "kqueue");
    outcome.call(BEFORE + nth)
}

/// Runs the program; `meanwhile` is this side's part.
#[track_caller]
fn run(program: &Program, file: &Fd, socket: &Fd, meanwhile: impl FnOnce()) -> Outcome {
    must("write the program", write_program(PROGRAM, program.file()));
    let (read, write) = must("pipe", pipe());
    let child = Child::run(|| {
        must("its file", file.duplicate_onto(STDIN));
        must("its output", write.duplicate_onto(STDOUT));
        must("its socket", socket.duplicate_onto(STDERR));
        let failed = execute(PROGRAM, &["program32"]);
        panic!("execute a program of 32 bits: {failed:?}");
    });
    drop(write);
    meanwhile();
    let output = receive_all(&read);
    child.join();
    must("unlink the program", unlink(PROGRAM));
    must("all of its memory", Outcome::of(output))
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The event's description in the order of `<sys/socket.h>`: ident, udata,
/// flags, kqueue.
fn as_declared(event: [u32; 4]) -> [u32; 4] {
    event
}

/// The same in the order that the kernel reads.
fn as_read(event: [u32; 4]) -> [u32; 4] {
    let [ident, udata, flags, queue] = event;
    match Generation::is_first() {
        true => [queue, flags, udata, ident],
        false => event,
    }
}

case!("sendfile/compat32-event", || event(as_read));
case!(
    "sendfile/compat32-layout",
    || event(as_declared),
    defect = "the kernel takes the fields of a 32-bit program's event in another order"
);

/// Makes the call and checks its event.
fn event(order: fn([u32; 4]) -> [u32; 4]) -> TestResult {
    let in_flight = InFlight::new()?;
    let (memory, bytes) = Source::Shm.of(LENGTH);
    let (here, there) = Link::Tcp.connect();
    let mut program = with_kqueue();
    let mut place = |bytes: &[u8]| must("place", program.place(bytes));
    let header = place(b"headers!");
    let iovec = place(&words(&[header, 8]));
    let once = u32::from(in_flight.generation.once());
    let described = order([0x1234_5678, 0x89ab_cdef, once, QUEUE]);
    let around = place(&words(&[&[iovec, 1, 0, 0][..], &described].concat()));
    let sent = place(&words(&[u32::MAX, u32::MAX]));
    let seen = place(&[0xee; 24]);
    let time = place(&words(&[4, 0]));
    let flag = in_flight.generation.flag();
    let sendfile = [FILE, SOCKET, 0, 0, 0, around, sent, flag];
    must("call", program.call(SENDFILE, &sendfile));
    must("call", program.call(KEVENT, &[QUEUE, 0, 0, seen, 1, time]));
    let expected: Vec<u8> = [&b"headers!"[..], &bytes].concat();
    let outcome = run(&program, &memory, &here, || {
        let seen = receive(&there, expected.len());
        assert_same("what was sent", &seen, &expected);
    });
    let total = expected.len() as u32;
    assert_eq!(call(&outcome, 0), Ok(0), "sendfile");
    assert_eq!(call(&outcome, 1), Ok(1), "kevent");
    assert_eq!(outcome.word(sent), total, "bytes sent");
    assert_eq!(outcome.word(sent + 4), 0, "bytes sent");
    // A `struct kevent` of FreeBSD 11 with 32 bits.
    assert_eq!(outcome.word(seen), 0x1234_5678, "ident");
    assert_eq!(outcome.word(seen + 4) as i16, -12, "filter");
    assert_eq!(outcome.word(seen + 8), 0, "fflags");
    // `sendfile/event-data` finds that those of 2014 do not say it.
    if in_flight.generation != Generation::First {
        assert_eq!(outcome.word(seen + 12), total, "data");
    }
    assert_eq!(outcome.word(seen + 16), 0x89ab_cdef, "udata");
    in_flight.assert_done("the program has ended");
    Ok(())
}

case!("sendfile/compat32-deleted", deleted);

/// The program finds its event again by its ident, the highest bit of which is
/// set.
fn deleted() -> TestResult {
    const IDENT: u32 = 0x9000_0000;
    const FILTER: u16 = (-12i16).cast_unsigned();
    let in_flight = InFlight::of_second("the event of 2014 has its fields in another order")?;
    let (memory, _) = Source::Shm.of(LENGTH);
    let (here, there) = Link::Tcp.connect();
    let mut program = with_kqueue();
    let mut place = |bytes: &[u8]| must("place", program.place(bytes));
    let around = place(&words(&[0, 0, 0, 0, IDENT, 2, 0, QUEUE]));
    let filter = u32::from(FILTER) | u32::from(EV_DELETE) << 16;
    let change = place(&words(&[IDENT, filter, 0, 0, 0]));
    let flag = in_flight.generation.flag();
    let sendfile = [FILE, SOCKET, 0, 0, 0, around, 0, flag];
    must("call", program.call(SENDFILE, &sendfile));
    must("call", program.call(KEVENT, &[QUEUE, change, 1, 0, 0, 0]));
    let outcome = run(&program, &memory, &here, || drop(receive(&there, LENGTH)));
    assert_eq!(call(&outcome, 0), Ok(0), "sendfile");
    assert_eq!(call(&outcome, 1), Ok(0), "delete the event");
    in_flight.assert_done("the program has ended");
    Ok(())
}

case!(
    "sendfile/compat32-refused",
    refused,
    defect = "a call whose event is refused keeps the file for ever"
);

fn refused() -> TestResult {
    let in_flight = InFlight::new()?;
    let flag = in_flight.generation.flag();
    let (memory, _) = Source::Shm.of(0);
    let (here, _there) = Link::Tcp.connect();
    let mut program = with_kqueue();
    let mut place = |bytes: &[u8]| must("place", program.place(bytes));
    let mut described = |flags: u16, queue: u32| {
        let event = as_read([1, 2, flags.into(), queue]);
        place(&words(&[&[0; 4][..], &event].concat()))
    };
    let flagged = described(EV_ADD, QUEUE);
    let nothing = described(0, u32::MAX);
    let file = described(0, FILE);
    let calls = [
        (16, flag, Errno::EFAULT),
        (END - HDTR, flag, Errno::EFAULT),
        (flagged, flag, Errno::EINVAL),
        (nothing, flag, Errno::EBADF),
        (file, flag, in_flight.no_kqueue()),
    ];
    refuses(&in_flight, program, &memory, &here, &calls);
    Ok(())
}

case!(
    "sendfile/compat32-refused-together",
    refused_together,
    defect = "SF_SYNC is taken too, and without hdtr what lies on the kernel's stack"
);

fn refused_together() -> TestResult {
    let in_flight = InFlight::new()?;
    let flag = in_flight.generation.flag();
    let (memory, _) = Source::Shm.of(0);
    let (here, _there) = Link::Tcp.connect();
    let mut program = with_kqueue();
    let event = as_read([1, 2, in_flight.generation.once().into(), QUEUE]);
    let good = words(&[&[0; 4][..], &event].concat());
    let good = must("place", program.place(&good));
    let calls = [
        (good, flag | SF_SYNC, Errno::EINVAL),
        (0, flag, Errno::EINVAL),
    ];
    refuses(&in_flight, program, &memory, &here, &calls);
    Ok(())
}

/// Makes calls, each with its `hdtr` and flags, and sees them fail.
#[track_caller]
fn refuses(
    in_flight: &InFlight,
    mut program: Program,
    file: &Fd,
    socket: &Fd,
    calls: &[(u32, u32, Errno)],
) {
    for (around, flags, _) in calls {
        let sendfile = [FILE, SOCKET, 0, 0, 0, *around, 0, *flags];
        must("call", program.call(SENDFILE, &sendfile));
    }
    let outcome = run(&program, file, socket, || {});
    for (nth, (around, flags, expected)) in calls.iter().enumerate() {
        let result = call(&outcome, nth);
        assert_eq!(result, Err(*expected), "{around:#x}, flags {flags:#x}");
    }
    in_flight.assert_done("the program has ended");
}

case!(
    "sendfile/compat32-sbytes",
    sbytes,
    defect = "eight bytes of the kernel's stack are copied out as the number of bytes sent"
);

/// A call that fails at once says that nothing was sent, and not what was on
/// the kernel's stack. Different calls are made before, so that something is
/// there.
fn sbytes() -> TestResult {
    const TIMES: u32 = 8;
    drop(InFlight::new()?);
    let (read, _write) = must("pipe", pipe());
    let (here, _there) = Link::Tcp.connect();
    let mut program = with_kqueue();
    let time = must("place", program.place(&words(&[0, 0])));
    let seen = must("place", program.place(&[0; 24]));
    let mut places = Vec::new();
    for _ in 0..TIMES {
        let sent = must("place", program.place(&words(&[u32::MAX, u32::MAX])));
        let sendfile = [FILE, SOCKET, 0, 0, 0, 0, sent, 0];
        let kevent = [QUEUE, 0, 0, seen, 1, time];
        must("call", program.call(KEVENT, &kevent));
        must("call", program.call(SENDFILE, &sendfile));
        places.push(sent);
    }
    let outcome = run(&program, &read, &here, || {});
    for (nth, sent) in places.into_iter().enumerate() {
        let result = call(&outcome, 2 * nth + 1);
        assert_eq!(result, Err(Errno::EINVAL), "from a pipe");
        let (low, high) = (outcome.word(sent), outcome.word(sent + 4));
        assert_eq!((low, high), (0, 0), "call {nth}: bytes sent");
    }
    Ok(())
}
