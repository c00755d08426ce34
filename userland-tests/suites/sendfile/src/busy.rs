//! Pages that cannot be had at once.

use crate::case;
use crate::in_flight::{InFlight, none};
use kdk_fixtures::bytes::receive;
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::file::{PAGE, seek};
use kdk_sys::sendfile::{Request, SF_NODISKIO};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno};

const LENGTH: usize = 4 * PAGE;
/// Many times as many as it takes.
const CALLS: usize = 50_000;

case!("sendfile/busy-pages", busy);

/// Another process writes to the memory by write(2), during which a page is
/// busy: a call that does not wait sends the pages before it, if there are
/// any.
fn busy() -> TestResult {
    let in_flight = InFlight::of_second("2014's SF_NODISKIO looks at pages otherwise")?;
    let (memory, bytes) = Source::Shm.of(LENGTH);
    let writer = Child::run(|| {
        loop {
            must("seek", seek(&memory, 0));
            must("write to the memory", memory.write_all(&bytes));
        }
    });
    let (here, there) = Link::Unix.connect_with(2 * LENGTH as i32);
    let request = Request {
        flags: SF_NODISKIO,
        ..Request::default()
    };
    let (mut parts, mut nothings) = (0, 0);
    for ident in 0..CALLS {
        if parts > 0 && nothings > 0 {
            break;
        }
        let sent = in_flight.send(&memory, &here, ident, &request);
        match (sent.result, usize::try_from(sent.bytes)) {
            (Ok(()), Ok(LENGTH)) => {}
            (Err(Errno::EBUSY), Ok(0)) => nothings += 1,
            (Err(Errno::EBUSY), Ok(_)) => parts += 1,
            _ => panic!("call {ident}: {sent:?}"),
        }
        if sent.bytes == 0 {
            none("nothing was sent", &in_flight.queue);
        } else {
            receive(&there, sent.bytes as usize);
            in_flight.expect_event("all was read", ident, sent.bytes);
        }
    }
    assert!(parts > 0, "no call sent a part and met a busy page");
    assert!(nothings > 0, "no call met a busy page at once");
    drop(writer);
    in_flight.assert_done("each event came once");
    Ok(())
}
