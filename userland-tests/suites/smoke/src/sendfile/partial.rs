//! A socket that does not wait: a part is sent, and the rest later.

use alloc::vec::Vec;
use kdk_fixtures::bytes::{assert_same, pattern, receive, receive_all, soon};
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::poll::{POLLOUT, wait_for};
use kdk_sys::sendfile::{Request, sendfile};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno, Fd};

/// Of what is made for the test; a file on UFS has its own length.
const LENGTH: usize = 1 << 20;
const BUFFER: i32 = 32 << 10;

/// Sends from `at` to `end` as far as it goes: where to go on, and whether it
/// is over.
#[track_caller]
fn send_on(file: &Fd, here: &Fd, at: usize, end: usize) -> (usize, bool) {
    let request = Request {
        offset: at as u64,
        ..Request::default()
    };
    let sent = sendfile(file, here, &request);
    let bytes = usize::try_from(sent.bytes).unwrap_or(0);
    let left = end - at;
    match sent.result {
        Ok(()) => {
            assert_eq!(bytes, left, "success from {at} on means all of the rest");
            (end, true)
        }
        // Kernels before 11 say so even when all of the rest went.
        Err(Errno::EAGAIN) => (at + bytes, bytes == left),
        Err(errno) => panic!("sendfile from {at} on: expected EAGAIN, saw {errno}"),
    }
}

fn in_parts(kind: Source, link: Link) -> TestResult {
    let (file, expected) = kind.of(LENGTH);
    let end = expected.len();
    let (here, there) = link.connect_with(BUFFER);
    must("do not wait", here.set_nonblocking(true));
    let (mut at, mut over) = send_on(&file, &here, 0, end);
    assert!(
        !over && at > 0,
        "expected a part to be sent, saw {at} of {end}"
    );
    let mut seen = Vec::new();
    while !over {
        seen.extend(receive(&there, at - seen.len()));
        must("room to go on", wait_for(&here, POLLOUT, soon()));
        (at, over) = send_on(&file, &here, at, end);
    }
    drop(here);
    seen.extend(receive_all(&there));
    assert_same("all parts", &seen, &expected);
    Ok(())
}

macro_rules! partial_tests {
    ($($name:literal: $source:ident over $link:ident;)*) => {
        $(kdk_test!($name, || in_parts(Source::$source, Link::$link), limit_ms = 20_000);)*
    };
}

partial_tests! {
    "smoke/sendfile-partial-tmpfs-tcp": Tmpfs over Tcp;
    "smoke/sendfile-partial-tmpfs-unix": Tmpfs over Unix;
    "smoke/sendfile-partial-ufs-tcp": Ufs over Tcp;
    "smoke/sendfile-partial-shm-tcp": Shm over Tcp;
    "smoke/sendfile-partial-shm-unix": Shm over Unix;
}

fn write_in_parts(link: Link) -> TestResult {
    let expected = pattern(LENGTH);
    let (here, there) = link.connect_with(BUFFER);
    must("do not wait", here.set_nonblocking(true));
    let mut seen = Vec::new();
    let (mut at, mut parts) = (0, 0);
    while let Some(rest) = expected.get(at..).filter(|rest| !rest.is_empty()) {
        match here.write(rest) {
            Ok(count) => (at, parts) = (at + count, parts + 1),
            Err(Errno::EAGAIN) => {
                seen.extend(receive(&there, at - seen.len()));
                must("room to go on", wait_for(&here, POLLOUT, soon()));
            }
            Err(errno) => panic!("write from {at} on: expected EAGAIN, saw {errno}"),
        }
    }
    assert!(parts > 1, "expected several parts, saw {parts}");
    drop(here);
    seen.extend(receive_all(&there));
    assert_same("all parts", &seen, &expected);
    Ok(())
}

kdk_test!(
    "smoke/write-partial-tcp",
    || write_in_parts(Link::Tcp),
    limit_ms = 20_000
);
kdk_test!(
    "smoke/write-partial-unix",
    || write_in_parts(Link::Unix),
    limit_ms = 20_000
);
