//! The process that reads, for all sockets.

use crate::setup::{PIECE, Pace, Setup};
use crate::shared_counters::SharedCounters;
use alloc::vec;
use alloc::vec::Vec;
use kdk_sys::kqueue::{EV_ADD, Event, Filter, Kqueue, NOTHING};
use kdk_sys::suite::must;
use kdk_sys::time::Deadline;
use kdk_sys::{Descriptor, Errno, Fd};

/// Events that are taken at a time.
const EVENTS: usize = 64;

/// Sockets take turns, so that they are not all read at one moment.
const PHASES: usize = 16;

/// Reads until it is killed.
pub fn read(setup: &Setup, sockets: &[Fd], counters: &SharedCounters) -> ! {
    let queue = must("kqueue", Kqueue::new());
    match setup.pace {
        Pace::Free => at_once(sockets, counters, &queue),
        Pace::Rated => at_rate(setup.rate(), sockets, counters, &queue),
    }
}

fn at_once(sockets: &[Fd], counters: &SharedCounters, queue: &Kqueue) -> ! {
    let changes: Vec<Event> = sockets
        .iter()
        .enumerate()
        .map(|(nth, socket)| Event::on(socket, Filter::Read, EV_ADD).with_udata(nth))
        .collect();
    must("wait for what is sent", queue.change(&changes));
    let mut piece = vec![0; 64 << 10];
    let mut events = [NOTHING; EVENTS];
    loop {
        let seen = must("kevent", queue.wait_in(&[], &mut events, Deadline::NEVER));
        for event in events.iter().take(seen) {
            if let Some(socket) = sockets.get(event.udata) {
                take(socket, &mut piece, counters);
            }
        }
    }
}

/// A socket without data at its turn loses that turn: a slow client does not
/// catch up.
fn at_rate(rate: usize, sockets: &[Fd], counters: &SharedCounters, queue: &Kqueue) -> ! {
    for socket in sockets {
        must("fcntl", socket.set_nonblocking(true));
    }
    let turn_ms = PIECE * 1000 / rate;
    let tick = Event::new(0, Filter::Timer, EV_ADD).with_data((turn_ms / PHASES).max(1) as i64);
    must("start a timer", queue.change(&[tick]));
    let mut piece = vec![0; PIECE];
    let mut events = [NOTHING; 1];
    let mut now = 0;
    loop {
        must("kevent", queue.wait_in(&[], &mut events, Deadline::NEVER));
        // Missed ticks are counted in one event.
        let ticks = events.first().map_or(0, |event| event.data.max(0) as usize);
        for phase in now..now + ticks.min(PHASES) {
            for socket in sockets.iter().skip(phase % PHASES).step_by(PHASES) {
                take(socket, &mut piece, counters);
            }
        }
        now = (now + ticks) % PHASES;
    }
}

fn take(socket: &Fd, piece: &mut [u8], counters: &SharedCounters) {
    match socket.read(piece) {
        Ok(count) => counters.read(count),
        Err(Errno::EAGAIN) => {}
        Err(errno) => panic!("read what was sent: {errno}"),
    }
}
