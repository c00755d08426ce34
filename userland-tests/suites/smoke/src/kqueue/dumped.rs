//! A kqueue that another process looks at, as procstat(1) does.

use super::{none, skip_without};
use alloc::vec::Vec;
use kdk_fixtures::looker::Looker;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::fd::pipe;
use kdk_sys::kqueue::{EV_ADD, EV_CLEAR, EV_EOF, Event, Filter, Kqueue};
use kdk_sys::process::me;
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Fd};

/// Descriptors of a pipe to write to: its events in the kqueue.
const WRITERS: usize = 48;
const PIPES: usize = 100;

kdk_test!(
    "smoke/kqueue-ends-while-dumped",
    ends,
    limit_ms = 60_000,
    cpus = &[2, 4],
    leak_types = &["kqueue"]
);

/// A pipe's reader closes it: the kernel removes the events of all that wait to
/// write to it, some of which are being looked at. The kqueue then says for each
/// that the pipe has ended.
fn ends() -> TestResult {
    skip_without("kern.proc.kq")?;
    let looker = Looker::at(me());
    let queue = must("kqueue", Kqueue::new());
    for nth in 0..PIPES {
        let (read, write) = must("pipe", pipe());
        let writers: Vec<Fd> = (0..WRITERS)
            .map(|_| must("dup", write.duplicate()))
            .collect();
        let changes: Vec<_> = writers
            .iter()
            .map(|write| Event::on(write, Filter::Write, EV_ADD | EV_CLEAR).with_udata(nth))
            .collect();
        must("wait to write", queue.change(&changes));
        let room = must("look for room", queue.ready(WRITERS + 1));
        assert_eq!(room.len(), WRITERS, "pipe {nth} has room: {room:?}");
        must("close it", read.close());
        let ended = must("look for the end", queue.ready(WRITERS + 1));
        assert_eq!(ended.len(), WRITERS, "pipe {nth} has ended: {ended:?}");
        for event in ended {
            assert!(
                event.udata == nth && event.flags & EV_EOF != 0,
                "pipe {nth} has ended: {event:?}"
            );
        }
        none("it ended once", &queue);
    }
    looker.stop();
    Ok(())
}
