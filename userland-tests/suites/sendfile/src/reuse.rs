//! What the event is for: memory that is written to again as soon as it says
//! so, while another process reads slowly.

use crate::case;
use crate::in_flight::{InFlight, is_event, one};
use alloc::vec::Vec;
use kdk_fixtures::bytes::{assert_same, receive};
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_harness::TestResult;
use kdk_sys::file::PAGE;
use kdk_sys::memory::{Mapping, shared_memory};
use kdk_sys::sendfile::Request;
use kdk_sys::suite::must;

const SLOTS: usize = 4;
const ROOM: usize = 4 * PAGE;
const ROUNDS: usize = 200;

/// Where a round's bytes begin in its slot, and how many there are: other
/// ones each time.
fn part(round: usize) -> (usize, usize) {
    let start = round * 1237 % PAGE;
    (start, 1 + round * 4421 % (ROOM - start))
}

/// Each is a hash of the round and the place.
fn bytes_of(round: usize) -> Vec<u8> {
    let (_, length) = part(round);
    let seed = round.wrapping_mul(0x2545_f491_4f6c_dd1d);
    (0..length)
        .map(|at| ((seed ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
        .collect()
}

fn reuses(link: Link) -> TestResult {
    let in_flight = InFlight::new()?;
    let memory = must("shm_open", shared_memory((SLOTS * ROOM) as u64));
    let mut mapping = must("mmap", Mapping::of(&memory, SLOTS * ROOM));
    let (here, there) = link.connect();
    let reader = Child::run(|| {
        for round in 0..ROUNDS {
            let expected = bytes_of(round);
            let mut seen = Vec::new();
            while seen.len() < expected.len() {
                let piece = (expected.len() - seen.len()).min(3000);
                seen.extend(receive(&there, piece));
            }
            assert_same("bytes of a round", &seen, &expected);
        }
    });
    drop(there);
    let mut lengths = [0i64; SLOTS];
    let mut free: Vec<usize> = (0..SLOTS).collect();
    for round in 0..ROUNDS {
        let slot = match free.pop() {
            Some(slot) => slot,
            None => land(&in_flight, &mut mapping, &lengths),
        };
        let (start, length) = part(round);
        let at = slot * ROOM + start;
        mapping.write(at, &bytes_of(round));
        let request = Request {
            offset: at as u64,
            length,
            ..Request::default()
        };
        let sent = in_flight.send(&memory, &here, slot, &request);
        assert_eq!((sent.bytes, sent.result), (length as i64, Ok(())));
        lengths[slot] = sent.bytes;
    }
    while free.len() < SLOTS {
        free.push(land(&in_flight, &mut mapping, &lengths));
    }
    reader.join();
    in_flight.assert_done("each event came once");
    Ok(())
}

/// Waits until a slot is free, and makes what is in it useless at once.
#[track_caller]
fn land(in_flight: &InFlight, mapping: &mut Mapping, lengths: &[i64; SLOTS]) -> usize {
    let seen = one("a slot is free", &in_flight.queue);
    let slot = seen.ident;
    mapping.write(slot * ROOM, &[0xdd; ROOM]);
    let length = lengths.get(slot).copied().unwrap_or(-1);
    is_event("a slot is free", &seen, slot, length);
    slot
}

case!("sendfile/reuse-tcp", || reuses(Link::Tcp));
case!("sendfile/reuse-unix", || reuses(Link::Unix));
