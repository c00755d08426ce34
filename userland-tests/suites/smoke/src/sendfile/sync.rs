//! `SF_SYNC`: sendfile(2) comes back when the kernel no longer needs the
//! memory, so that it can be written to again.

use kdk_fixtures::bytes::{assert_same, receive, soon};
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::{Stop, TestResult, kdk_test};
use kdk_sys::fd::pipe;
use kdk_sys::file::PAGE;
use kdk_sys::memory::Mapping;
use kdk_sys::poll::{POLLIN, wait_for};
use kdk_sys::process::{Ending, kill, wait};
use kdk_sys::sendfile::{Generation, Request, SF_SYNC, Sent, sendfile};
use kdk_sys::signal::Signal;
use kdk_sys::suite::must;
use kdk_sys::time::Deadline;
use kdk_sys::{Descriptor, Errno};

/// How long it is watched for coming back too early, milliseconds.
const EARLY_MS: u64 = 200;

fn waits(link: Link) -> TestResult {
    const LENGTH: usize = 4 * PAGE;
    let (memory, bytes) = Source::Shm.of(LENGTH);
    let (here, there) = link.connect();
    let (back, back_tx) = must("pipe", pipe());
    let sender = Child::run(|| {
        let request = Request {
            flags: SF_SYNC,
            ..Request::default()
        };
        let sent = sendfile(&memory, &here, &request);
        let all = Sent {
            bytes: LENGTH as i64,
            result: Ok(()),
        };
        assert_eq!(sent, all, "sendfile with SF_SYNC");
        let mut mapping = must("mmap shared memory", Mapping::of(&memory, LENGTH));
        mapping.write(0, &[0; LENGTH]);
        must("report the return", back_tx.write_all(b"b"));
    });
    must("see the first byte", wait_for(&there, POLLIN, soon()));
    let early = wait_for(&back, POLLIN, Deadline::after_ms(EARLY_MS));
    assert_eq!(
        early,
        Err(Errno::ETIMEDOUT),
        "back before anything was read"
    );
    // Were it back, these would be zeros.
    assert_same("read after a while", &receive(&there, LENGTH), &bytes);
    must(
        "come back once all was read",
        wait_for(&back, POLLIN, soon()),
    );
    sender.join();
    Ok(())
}

/// A signal ends the wait. The leak check finds what the last mbuf does not free
/// then.
fn interrupted(link: Link) -> TestResult {
    const LENGTH: usize = 4 * PAGE;
    if Generation::is_first() {
        return Err(Stop::Skip(
            "sendfile(2) of 2014 waits, whatever signal comes",
        ));
    }
    let (memory, _) = Source::Shm.of(LENGTH);
    let (here, there) = link.connect();
    let sender = Child::run(|| {
        let request = Request {
            flags: SF_SYNC,
            ..Request::default()
        };
        let sent = sendfile(&memory, &here, &request);
        panic!("back before anything was read: {sent:?}");
    });
    must("see the first byte", wait_for(&there, POLLIN, soon()));
    must("end the sender", kill(sender.pid(), Signal::SIGKILL));
    let ending = must("wait for its end", wait(sender.pid()));
    sender.has_ended();
    assert_eq!(ending, Ending::Killed(Signal::SIGKILL), "the sender");
    receive(&there, LENGTH);
    Ok(())
}

kdk_test!(
    "smoke/sendfile-sync-interrupted-tcp",
    || interrupted(Link::Tcp),
    limit_ms = 30_000,
    leak_types = &["sendfile"],
);
kdk_test!(
    "smoke/sendfile-sync-interrupted-unix",
    || interrupted(Link::Unix),
    limit_ms = 30_000,
    leak_types = &["sendfile"],
);
kdk_test!("smoke/sendfile-sync-waits-tcp", || waits(Link::Tcp));
kdk_test!("smoke/sendfile-sync-waits-unix", || waits(Link::Unix));
