//! Reads that fail after the call has returned.

use crate::case;
use crate::in_flight::{InFlight, one};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use kdk_fixtures::link::Link;
use kdk_harness::TestResult;
use kdk_sys::file::{
    O_CLOEXEC, O_CREAT, O_RDONLY, O_WRONLY, PAGE, make_directory, open, seek, set_length,
};
use kdk_sys::kqueue::{EV_ADD, EV_EOF, EV_ONESHOT, Event, Filter, Kqueue};
use kdk_sys::md::Disk;
use kdk_sys::mount::{mount, mount_device, unmount_by_force};
use kdk_sys::sendfile::{Request, sendfile};
use kdk_sys::signal::{Signal, ignore};
use kdk_sys::socket::take_error;
use kdk_sys::suite::must;
use kdk_sys::time::sleep_ms;
use kdk_sys::{Descriptor, Errno, Fd};

/// The root file system's device.
const ROOT: &str = "/dev/vtbd0";
const FILE: &str = "suites/sendfile";

/// A file on a UFS of its own, whose disk fails from now on: a copy of the
/// root's in a file on a tmpfs that is gone.
pub struct Broken {
    file: Option<Fd>,
    ufs: String,
    _disk: Disk,
}

impl Broken {
    /// Makes the file and takes its disk away.
    #[track_caller]
    pub fn new() -> Self {
        let (store, ufs) = (String::from("/tmp/store"), String::from("/tmp/ufs"));
        for directory in [&store, &ufs] {
            let made = make_directory(directory);
            // An earlier test on this kernel leaves it.
            if made != Err(Errno::EEXIST) {
                must("mkdir", made);
            }
        }
        must("mount tmpfs", mount("tmpfs", &store));
        let image = format!("{store}/image");
        let length = copy(ROOT, &image);
        let disk = must("make a disk of a file", Disk::of(&image, length));
        appears(&disk.path());
        must("mount it", mount_device("ufs", &disk.path(), &ufs));
        let path = format!("{ufs}/{FILE}");
        let file = must("open a file there", open(&path, O_RDONLY | O_CLOEXEC));
        must("take the disk's file away", unmount_by_force(&store));
        Self {
            file: Some(file),
            ufs,
            _disk: disk,
        }
    }

    /// Returns the file.
    #[track_caller]
    pub fn file(&self) -> &Fd {
        match &self.file {
            Some(file) => file,
            None => panic!("the file was closed"),
        }
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.file = None;
        // The leak check finds what stays.
        let _ = unmount_by_force(&self.ufs);
    }
}

/// Copies a disk without the parts that are zeros; how long it is.
#[track_caller]
fn copy(from: &str, to: &str) -> u64 {
    /// As much as one request of a disk can be.
    const PIECE: usize = 1 << 20;
    let from = must("open the disk", open(from, O_RDONLY | O_CLOEXEC));
    let to = must("open its copy", open(to, O_WRONLY | O_CREAT | O_CLOEXEC));
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    loop {
        let count = must("read the disk", from.read(&mut piece));
        let bytes = piece.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        if bytes.iter().any(|byte| *byte != 0) {
            must("seek", seek(&to, at));
            must("write the copy", to.write_all(bytes));
        }
        at += count as u64;
    }
    must("set the copy's length", set_length(&to, at));
    at
}

/// Waits for a device to appear.
#[track_caller]
fn appears(path: &str) {
    while open(path, O_RDONLY | O_CLOEXEC).is_err() {
        sleep_ms(2);
    }
}

fn late(link: Link) -> TestResult {
    const LENGTH: usize = 4 * PAGE;
    let in_flight = InFlight::of_second("sendfile(2) of 2014 waits for what it reads")?;
    let broken = Broken::new();
    let (here, there) = link.connect();
    let ends = must("kqueue", Kqueue::new());
    let end = Event::on(&here, Filter::Read, EV_ADD | EV_ONESHOT);
    must("wait for the end", ends.change(&[end]));
    let request = Request {
        length: LENGTH,
        ..Request::default()
    };
    let sent = in_flight.send(broken.file(), &here, 1, &request);
    assert_eq!((sent.bytes, sent.result), (LENGTH as i64, Ok(())));
    let seen = one("the read fails", &in_flight.queue);
    assert!(seen.is(Filter::Sendfile), "another event: {seen:?}");
    assert_eq!((seen.ident, seen.data), (1, LENGTH as i64), "{seen:?}");
    // What a read of a file says when its file system is gone.
    assert_eq!(Errno(seen.fflags as i32), Errno::ENXIO, "fflags");
    in_flight.assert_done("the event came once");
    // An event that is reported once has the error of its time.
    let seen = one("the sender ends", &ends);
    assert!(seen.flags & EV_EOF != 0, "the end: {seen:?}");
    assert_eq!(Errno(seen.fflags as i32), Errno::EIO, "sender's event");
    ends_with("the sender", &here, Errno::EIO);
    assert_eq!(take_error(&here), Ok(()), "a second error");
    let peer = match link {
        Link::Unix => Errno::EPIPE,
        Link::Tcp | Link::Tcp6 => Errno::ECONNRESET,
    };
    ends_with("the receiver", &there, peer);
    Ok(())
}

/// Checks that a socket reports this error, and then the end.
#[track_caller]
fn ends_with(what: &str, socket: &Fd, error: Errno) {
    assert_eq!(socket.read(&mut [0]), Err(error), "{what}");
    assert_eq!(socket.read(&mut [0]), Ok(0), "{what}, then");
}

/// A call without SF_KQUEUE reports the error on the socket alone.
fn plain(link: Link) -> TestResult {
    const LENGTH: usize = 4 * PAGE;
    let in_flight = InFlight::of_second("sendfile(2) of 2014 waits for what it reads")?;
    let broken = Broken::new();
    let (here, there) = link.connect();
    let request = Request {
        length: LENGTH,
        ..Request::default()
    };
    let sent = sendfile(broken.file(), &here, &request);
    assert_eq!((sent.bytes, sent.result), (LENGTH as i64, Ok(())));
    ends_with("the sender", &here, Errno::EIO);
    drop(there);
    in_flight.assert_done("a call without SF_KQUEUE");
    Ok(())
}

/// What was sent around pages that could not be read: what was there before
/// them arrives, and what is behind them does not, as if it were theirs.
fn between() -> TestResult {
    const LENGTH: usize = 4 * PAGE;
    const BEFORE: &[u8] = b"before";
    must("ignore SIGPIPE", ignore(Signal::SIGPIPE));
    let in_flight = InFlight::of_second("sendfile(2) of 2014 waits for what it reads")?;
    let broken = Broken::new();
    let (here, there) = Link::Unix.connect();
    must("write before", here.write_all(BEFORE));
    let mut waited = 0;
    for ident in 1..=2 {
        let request = Request {
            offset: (ident * LENGTH) as u64,
            length: LENGTH,
            ..Request::default()
        };
        let sent = in_flight.send(broken.file(), &here, ident, &request);
        waited += usize::from(sent.bytes > 0);
    }
    // It depends on when the first read fails.
    let _ = here.write_all(b"behind");
    assert!(waited >= 1, "nothing was sent");
    for _ in 0..waited {
        let seen = one("a read fails", &in_flight.queue);
        assert_eq!(seen.data, LENGTH as i64, "{seen:?}");
        assert_eq!(Errno(seen.fflags as i32), Errno::ENXIO, "fflags");
    }
    in_flight.assert_done("the events came once");
    let mut arrived = vec![0; 4 * LENGTH];
    let count = must("read what was before", there.read(&mut arrived));
    assert_eq!(arrived.get(..count), Some(BEFORE), "what arrived");
    ends_with("the receiver", &there, Errno::EPIPE);
    Ok(())
}

case!("sendfile/late-error-tcp", || late(Link::Tcp));
case!("sendfile/late-error-unix", || late(Link::Unix));
case!("sendfile/late-error-between", between);
case!("sendfile/late-error-plain-tcp", || plain(Link::Tcp));
case!("sendfile/late-error-plain-unix", || plain(Link::Unix));
