//! The end of the file.

use super::contents::transfer;
use kdk_fixtures::bytes::receive_all;
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::{Expect, TestResult, kdk_test};
use kdk_sys::fd::pipe;
use kdk_sys::file::{PAGE, set_length};
use kdk_sys::sendfile::{Generation, Request, sendfile};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Fd};

kdk_test!("smoke/sendfile-past-eof", past_the_end, limit_ms = 20_000);

/// Only what is there is sent, which is no error.
fn past_the_end() -> TestResult {
    for kind in [Source::Tmpfs, Source::Ufs, Source::Shm] {
        let (source, bytes) = kind.of(2 * PAGE + 10);
        let end = bytes.len();
        for (offset, length) in [
            (end, 0),
            (end, 1),
            (end + 1, 0),
            (end + 100 * PAGE, PAGE),
            (end - 5, 100),
            (PAGE, end),
            (0, end + 1),
        ] {
            let there = bytes.get(offset..).unwrap_or_default();
            let request = Request {
                offset: offset as u64,
                length,
                ..Request::default()
            };
            for link in [Link::Tcp, Link::Unix] {
                transfer(&source, link, &request, there);
            }
        }
    }
    Ok(())
}

kdk_test!("smoke/sendfile-hdtr-alone", headers_alone);

/// With nothing of the file to send some kernels leave the headers out and
/// some do not. Whichever it is, what arrives is what the kernel says it sent.
fn headers_alone() -> TestResult {
    for kind in [Source::Tmpfs, Source::Shm] {
        let (source, _) = kind.of(0);
        for link in [Link::Tcp, Link::Unix] {
            alone(&source, link);
        }
    }
    Ok(())
}

#[track_caller]
fn alone(source: &Fd, link: Link) {
    let (here, there) = link.connect();
    let (said, say) = must("pipe", pipe());
    let sender = Child::run(|| {
        let request = Request {
            headers: &[b"header"],
            trailers: &[b"trailer"],
            ..Request::default()
        };
        let sent = sendfile(source, &here, &request);
        must("sendfile", sent.result);
        must("say how much", say.write_all(&sent.bytes.to_le_bytes()));
    });
    drop((here, say));
    let seen = receive_all(&there);
    let mut bytes = [0; 8];
    must("hear how much", said.read_full(&mut bytes));
    sender.join();
    let text = alloc::string::String::from_utf8_lossy(&seen).into_owned();
    assert!(
        matches!(text.as_str(), "headertrailer" | "trailer"),
        "{link:?}: expected header and trailer, or the trailer, saw {text:?}"
    );
    assert_eq!(
        i64::from_le_bytes(bytes),
        seen.len() as i64,
        "{link:?}: bytes that the kernel says it sent, and {text:?}"
    );
}

kdk_test!(
    "smoke/sendfile-truncate-again",
    truncated_again,
    expect = Expect::CrashOn(
        Generation::is_first,
        "tmpfs of 2014 asserts that a page in the middle of a change is valid as a whole"
    )
);

/// A file is truncated, extended, and truncated within a page that is being
/// sent: what comes after that is zeros.
fn truncated_again() -> TestResult {
    const REST: usize = 100;
    for kind in [Source::Tmpfs, Source::Shm] {
        let (source, _) = kind.of(2 * PAGE);
        let (here, there) = Link::Unix.connect();
        let sent = sendfile(&source, &here, &Request::default());
        assert_eq!((sent.bytes, sent.result), ((2 * PAGE) as i64, Ok(())));
        for length in [0, 2 * PAGE, REST, 2 * PAGE] {
            must("set the length", set_length(&source, length as u64));
        }
        transfer(&source, Link::Unix, &Request::default(), &[0; 2 * PAGE]);
        drop(there);
    }
    Ok(())
}
