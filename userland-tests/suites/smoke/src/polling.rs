//! poll(2) and select(2).

use kdk_fixtures::bytes::soon;
use kdk_fixtures::link::Link;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::Descriptor;
use kdk_sys::fd::pipe;
use kdk_sys::poll::{POLLHUP, POLLIN, POLLOUT, PollFd, poll, select_readable};
use kdk_sys::suite::must;
use kdk_sys::time::Deadline;

kdk_test!("smoke/poll", polls);

fn polls() -> TestResult {
    let (read, write) = must("pipe", pipe());
    let (here, there) = Link::Unix.connect();
    let look = |deadline| {
        let mut entries = [
            PollFd::new(&read, POLLIN),
            PollFd::new(&write, POLLOUT),
            PollFd::new(&here, POLLIN | POLLOUT),
        ];
        let count = must("poll", poll(&mut entries, deadline));
        (count, entries.map(|entry| entry.seen))
    };
    let now = || Deadline::after_ms(0);
    assert_eq!(look(now()), (2, [0, POLLOUT, POLLOUT]), "nothing to read");
    must("write to the pipe", write.write_all(b"a"));
    must("write to the socket", there.write_all(b"b"));
    let all = (3, [POLLIN, POLLOUT, POLLIN | POLLOUT]);
    assert_eq!(look(soon()), all, "something to read in both");
    drop(there);
    let (_, [_, _, seen]) = look(soon());
    assert_eq!(seen & (POLLIN | POLLHUP), POLLIN | POLLHUP, "a closed peer");
    Ok(())
}

kdk_test!("smoke/select", selects);

fn selects() -> TestResult {
    let (read, write) = must("pipe", pipe());
    let ready = |deadline| must("select", select_readable(&read, deadline));
    assert!(!ready(Deadline::after_ms(0)), "an empty pipe is ready");
    assert!(!ready(Deadline::after_ms(20)), "an empty pipe became ready");
    must("write to the pipe", write.write_all(b"a"));
    assert!(ready(soon()), "a pipe with a byte is not ready");
    must("read it", read.read(&mut [0; 8]));
    assert!(!ready(Deadline::after_ms(0)), "an emptied pipe is ready");
    drop(write);
    assert!(ready(soon()), "a pipe without a writer is not ready");
    Ok(())
}
