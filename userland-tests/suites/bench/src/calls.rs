//! sendfile(2) without a flag: what a call costs.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::TestResult;
use kdk_sys::Descriptor;
use kdk_sys::sendfile::{Request, sendfile};
use kdk_sys::suite::{must, note};
use kdk_sys::time::ticks;

const LENGTHS: [usize; 3] = [1, 4 << 10, 64 << 10];
const WARM_UP: usize = 50;
const CALLS: usize = 500;

/// Notes the median and the sum of the calls' times, in ticks of the time
/// stamp counter. One process sends and then reads, so that nothing else is
/// to do meanwhile but the network's own part.
pub fn calls() -> TestResult {
    for length in LENGTHS {
        let (memory, _) = Source::Shm.of(length);
        let (here, there) = Link::Tcp.connect_with(128 << 10);
        let mut room = vec![0; length];
        let request = Request {
            length,
            ..Request::default()
        };
        let mut times: Vec<u64> = Vec::with_capacity(CALLS);
        for nth in 0..WARM_UP + CALLS {
            let begun = ticks();
            let sent = sendfile(&memory, &here, &request);
            let took = ticks().wrapping_sub(begun);
            assert_eq!((sent.bytes, sent.result), (length as i64, Ok(())));
            let read = must("read what was sent", there.read_full(&mut room));
            assert_eq!(read, length, "bytes read");
            if nth >= WARM_UP {
                times.push(took);
            }
        }
        let sum: u64 = times.iter().sum();
        times.sort_unstable();
        let median = times.get(CALLS / 2).copied().unwrap_or(0);
        note(
            "calls",
            &format!("length={length} calls={CALLS} median={median} sum={sum}"),
        );
    }
    Ok(())
}
