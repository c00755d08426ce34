//! Every byte arrives, from every source over every link.

use alloc::format;
use alloc::vec::Vec;
use kdk_fixtures::bytes::{assert_same, receive_all};
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::Fd;
use kdk_sys::file::{O_CLOEXEC, O_RDONLY, PAGE, open, read_file};
use kdk_sys::sendfile::{Request, SF_SYNC, Sent, sendfile};
use kdk_sys::suite::must;

/// Around a byte, a page, a socket buffer, and many of them.
const SIZES: [usize; 7] = [0, 1, PAGE - 1, PAGE, PAGE + 1, 64 << 10, 1 << 20];

/// unix(4) takes the largest transfer into such buffers without a wait, which
/// is a test of its own.
const WIDE: i32 = 3 << 19;

/// Sends as `request` says from `source` to the other side of a `link`, in a
/// process of its own; what arrives has to be `expected`, and the kernel has
/// to say that it sent just as much.
#[track_caller]
pub fn transfer(source: &Fd, link: Link, request: &Request<'_>, expected: &[u8]) {
    let seen = send_and_receive(source, link, request, expected.len());
    assert_same(&format!("{link:?}"), &seen, expected);
}

/// The same for what the test does not know beforehand, `length` bytes.
#[track_caller]
fn send_and_receive(source: &Fd, link: Link, request: &Request<'_>, length: usize) -> Vec<u8> {
    let (here, there) = match link {
        Link::Unix => link.connect_with(WIDE),
        Link::Tcp | Link::Tcp6 => link.connect(),
    };
    let sender = Child::run(|| {
        let sent = sendfile(source, &here, request);
        let all = Sent {
            bytes: length as i64,
            result: Ok(()),
        };
        assert_eq!(sent, all, "sendfile over {link:?}: {request:?}");
    });
    drop(here);
    let seen = receive_all(&there);
    // A sender that failed has reported why.
    sender.join();
    seen
}

/// The request for the first `size` of `all` bytes; all of them is what a
/// length of 0 asks for, too.
fn first(size: usize, all: usize) -> Request<'static> {
    Request {
        length: if size == all { 0 } else { size },
        offset: if size == 0 { all as u64 } else { 0 },
        ..Request::default()
    }
}

fn all_bytes(kind: Source, link: Link, flags: u32) -> TestResult {
    for size in SIZES {
        let (source, bytes) = kind.of(size);
        let size = size.min(bytes.len());
        let request = Request {
            flags,
            ..first(size, bytes.len())
        };
        transfer(&source, link, &request, bytes.split_at(size).0);
    }
    Ok(())
}

macro_rules! whole_tests {
    ($($name:literal: $source:ident over $link:ident, $flags:expr;)*) => {
        $(kdk_test!(
            $name,
            || all_bytes(Source::$source, Link::$link, $flags),
            limit_ms = 20_000
        );)*
    };
}

whole_tests! {
    "smoke/sendfile-tmpfs-tcp": Tmpfs over Tcp, 0;
    "smoke/sendfile-tmpfs-tcp6": Tmpfs over Tcp6, 0;
    "smoke/sendfile-tmpfs-unix": Tmpfs over Unix, 0;
    "smoke/sendfile-ufs-tcp": Ufs over Tcp, 0;
    "smoke/sendfile-ufs-unix": Ufs over Unix, 0;
    "smoke/sendfile-shm-tcp": Shm over Tcp, 0;
    "smoke/sendfile-shm-tcp6": Shm over Tcp6, 0;
    "smoke/sendfile-shm-unix": Shm over Unix, 0;
    "smoke/sendfile-sync-tmpfs-tcp": Tmpfs over Tcp, SF_SYNC;
    "smoke/sendfile-sync-tmpfs-unix": Tmpfs over Unix, SF_SYNC;
    "smoke/sendfile-sync-ufs-tcp": Ufs over Tcp, SF_SYNC;
    "smoke/sendfile-sync-shm-tcp": Shm over Tcp, SF_SYNC;
    "smoke/sendfile-sync-shm-unix": Shm over Unix, SF_SYNC;
}

kdk_test!("smoke/sendfile-ufs-unread", unread, limit_ms = 20_000);

/// A file that was not read before, as far as that is so in this boot: the
/// kernel waits for the disk in the middle of sending.
fn unread() -> TestResult {
    const FILE: &str = "/kdk.ko";
    let source = must("open a file on UFS", open(FILE, O_RDONLY | O_CLOEXEC));
    let seen = {
        let (here, there) = Link::Tcp.connect();
        let sender = Child::run(|| {
            let sent = sendfile(&source, &here, &Request::default());
            must("sendfile of an unread file", sent.result);
        });
        drop(here);
        let seen = receive_all(&there);
        sender.join();
        seen
    };
    assert_same(FILE, &seen, &must("read it", read_file(FILE)));
    Ok(())
}

/// Offsets and lengths in a file of `length` bytes; a length of 0 is to the
/// end.
fn ranges_of(length: usize) -> [(usize, usize); 10] {
    [
        (0, 1),
        (1, 1),
        (PAGE - 1, 2),
        (PAGE, PAGE),
        (1, 2 * PAGE),
        (3 * PAGE + 5, 20 * PAGE),
        (length - 1, 1),
        (length - 1, 0),
        (length - 124, 0),
        (PAGE + 77, 0),
    ]
}

fn ranges(kind: Source) -> TestResult {
    let (source, bytes) = kind.of(40 * PAGE + 123);
    for (offset, length) in ranges_of(bytes.len()) {
        let end = match length {
            0 => bytes.len(),
            length => offset + length,
        };
        let request = Request {
            offset: offset as u64,
            length,
            ..Request::default()
        };
        let expected = bytes.get(offset..end).unwrap_or_default();
        for link in [Link::Tcp, Link::Unix] {
            transfer(&source, link, &request, expected);
        }
    }
    Ok(())
}

kdk_test!(
    "smoke/sendfile-offset-tmpfs",
    || ranges(Source::Tmpfs),
    limit_ms = 20_000
);
kdk_test!(
    "smoke/sendfile-offset-ufs",
    || ranges(Source::Ufs),
    limit_ms = 20_000
);
kdk_test!(
    "smoke/sendfile-offset-shm",
    || ranges(Source::Shm),
    limit_ms = 20_000
);

fn headers_trailers(kind: Source) -> TestResult {
    let long = kdk_fixtures::bytes::pattern(9000);
    let parts: [&[&[u8]]; 4] = [&[], &[b"one"], &[b"", b"t", b"wo"], &[&long, b"end"]];
    for size in [1, PAGE + 1, 64 << 10] {
        let (source, bytes) = kind.of(size);
        let body = bytes.split_at(size).0;
        for (headers, trailers) in [(1, 0), (0, 1), (2, 1), (1, 2), (3, 3)] {
            let (headers, trailers) = (parts[headers], parts[trailers]);
            let request = Request {
                headers,
                trailers,
                ..first(size, bytes.len())
            };
            let expected = [&headers.concat(), body, &trailers.concat()].concat();
            for link in [Link::Tcp, Link::Unix] {
                transfer(&source, link, &request, &expected);
            }
        }
    }
    Ok(())
}

kdk_test!(
    "smoke/sendfile-hdtr-tmpfs",
    || headers_trailers(Source::Tmpfs),
    limit_ms = 20_000
);
kdk_test!(
    "smoke/sendfile-hdtr-ufs",
    || headers_trailers(Source::Ufs),
    limit_ms = 20_000
);
kdk_test!(
    "smoke/sendfile-hdtr-shm",
    || headers_trailers(Source::Shm),
    limit_ms = 20_000
);
