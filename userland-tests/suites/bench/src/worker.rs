//! A process that sends, all of its sockets at once.

use crate::method::Method;
use crate::setup::{SLOTS, Setup};
use crate::shared_counters::SharedCounters;
use alloc::vec::Vec;
use kdk_sys::file::PAGE;
use kdk_sys::kqueue::{EV_ADD, EV_DISABLE, EV_DISPATCH, EV_ENABLE, Event, Filter, Kqueue, NOTHING};
use kdk_sys::memory::Mapping;
use kdk_sys::sendfile::{Completion, Request, SF_SYNC, sendfile};
use kdk_sys::socket::{SocketOption, set_option};
use kdk_sys::suite::must;
use kdk_sys::time::{Deadline, now_ns};
use kdk_sys::{Descriptor, Errno, Fd};

/// Events that are taken at a time.
const EVENTS: usize = 64;

/// The memory that a worker sends.
pub struct Memory<'a> {
    /// The shared memory object.
    pub object: &'a Fd,
    /// All of it.
    pub mapping: Mapping,
    /// Where this worker's buffers begin.
    pub start: usize,
}

/// Sends until it is killed.
pub fn send(
    method: Method,
    setup: &Setup,
    sockets: &[Fd],
    memory: Memory<'_>,
    counters: &SharedCounters,
) -> ! {
    let mut worker = Worker {
        method,
        chunk: setup.chunk,
        memory,
        counters,
        queue: must("kqueue", Kqueue::new()),
        full: Vec::new(),
    };
    if setup.locked {
        must("mlock", worker.memory.mapping.lock());
    }
    // No method is to pay for the first use of more pages than another.
    for nth in 0..sockets.len() {
        for slot in 0..SLOTS {
            let place = worker.place(nth, slot);
            worker.fill(place, 0);
        }
    }
    match method {
        Method::Sync => worker.one_by_one(sockets),
        Method::Kqueue | Method::Write => worker.by_events(setup, sockets),
    }
}

/// A buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// When its sending began; 0 while it is free.
    begun: u64,
    /// Bytes sent.
    sent: usize,
    /// Calls whose pages are in use.
    flying: usize,
}

/// A socket and its buffers.
struct Link<'a> {
    socket: &'a Fd,
    nth: usize,
    slots: [Slot; SLOTS],
    /// The buffer that is sent from.
    current: usize,
}

struct Worker<'a> {
    method: Method,
    chunk: usize,
    memory: Memory<'a>,
    counters: &'a SharedCounters,
    queue: Kqueue,
    /// Changes for the next kevent(2): sockets that are full.
    full: Vec<Event>,
}

impl Worker<'_> {
    /// Where a buffer begins.
    fn place(&self, nth: usize, slot: usize) -> usize {
        self.memory.start + (nth * SLOTS + slot) * self.chunk
    }

    /// Writes to each page of a buffer, as a program would with what it has to
    /// send.
    fn fill(&mut self, place: usize, stamp: u64) {
        for page in (place..place + self.chunk).step_by(PAGE) {
            self.memory.mapping.write(page, &stamp.to_le_bytes());
        }
    }

    fn one_by_one(&mut self, sockets: &[Fd]) -> ! {
        loop {
            for (nth, socket) in sockets.iter().enumerate() {
                let place = self.place(nth, 0);
                let begun = now_ns();
                self.fill(place, begun);
                let mut sent = 0;
                while sent < self.chunk {
                    self.counters.sent();
                    let request = Request {
                        offset: (place + sent) as u64,
                        length: self.chunk - sent,
                        flags: SF_SYNC,
                        ..Request::default()
                    };
                    let done = sendfile(self.memory.object, socket, &request);
                    must("sendfile with SF_SYNC", done.result);
                    sent += done.bytes.max(0) as usize;
                }
                self.counters.reusable(now_ns() - begun);
            }
        }
    }

    fn by_events(&mut self, setup: &Setup, sockets: &[Fd]) -> ! {
        let mut links: Vec<Link<'_>> = sockets
            .iter()
            .enumerate()
            .map(|(nth, socket)| Link {
                socket,
                nth,
                slots: [Slot::default(); SLOTS],
                current: 0,
            })
            .collect();
        for link in &links {
            must("fcntl", link.socket.set_nonblocking(true));
            // As sendfile(2) itself has it.
            let half = (setup.room() / 2) as i32;
            let low = set_option(link.socket, SocketOption::SendLowWater, half);
            must("set SO_SNDLOWAT", low);
            let writable = Event::on(link.socket, Filter::Write, EV_ADD | EV_DISABLE);
            let writable = writable.with_udata(link.nth);
            must("kevent", self.queue.change(&[writable]));
        }
        for link in &mut links {
            self.go_on(link);
        }
        let mut events = [NOTHING; EVENTS];
        loop {
            let changes = core::mem::take(&mut self.full);
            self.counters.waited();
            let waited = self.queue.wait_in(&changes, &mut events, Deadline::NEVER);
            let seen = must("kevent", waited);
            for event in events.iter().take(seen) {
                let Some(link) = links.get_mut(event.udata) else {
                    panic!("an event of no socket: {event:?}");
                };
                if event.is(Filter::Sendfile) {
                    self.landed(link, event);
                }
                self.go_on(link);
            }
        }
    }

    /// The pages of one call are free.
    fn landed(&self, link: &mut Link<'_>, event: &Event) {
        let Some(slot) = link.slots.get_mut(event.ident) else {
            panic!("an event of no buffer: {event:?}");
        };
        slot.flying -= 1;
        if slot.flying == 0 && slot.sent == self.chunk {
            self.counters.reusable(now_ns() - slot.begun);
            *slot = Slot::default();
        }
    }

    /// Sends until the socket is full or all buffers are in use.
    fn go_on(&mut self, link: &mut Link<'_>) {
        loop {
            let place = self.place(link.nth, link.current);
            let Some(slot) = link.slots.get(link.current).copied() else {
                return;
            };
            if slot.sent == self.chunk {
                return;
            }
            let mut slot = slot;
            if slot.begun == 0 {
                slot.begun = now_ns();
                self.fill(place, slot.begun);
            }
            let full = self.piece(link, &mut slot, place);
            let over = slot.sent == self.chunk;
            if over && self.method == Method::Write {
                self.counters.reusable(now_ns() - slot.begun);
                slot = Slot::default();
            }
            if let Some(kept) = link.slots.get_mut(link.current) {
                *kept = slot;
            }
            if over {
                link.current = (link.current + 1) % SLOTS;
            } else if full {
                let again = Event::on(link.socket, Filter::Write, EV_ENABLE | EV_DISPATCH);
                self.full.push(again.with_udata(link.nth));
                return;
            }
        }
    }

    /// Sends a part of a buffer; whether the socket is full.
    fn piece(&self, link: &Link<'_>, slot: &mut Slot, place: usize) -> bool {
        self.counters.sent();
        let (at, left) = (place + slot.sent, self.chunk - slot.sent);
        let (bytes, result) = match self.method {
            Method::Write => match self.memory.mapping.write_to(link.socket, at, left) {
                Ok(bytes) => (bytes, Ok(())),
                Err(errno) => (0, Err(errno)),
            },
            Method::Kqueue | Method::Sync => {
                let request = Request {
                    offset: at as u64,
                    length: left,
                    completion: Some(Completion::on(&self.queue, link.current, link.nth)),
                    ..Request::default()
                };
                let sent = sendfile(self.memory.object, link.socket, &request);
                let bytes = sent.bytes.max(0) as usize;
                slot.flying += usize::from(bytes > 0 || sent.result.is_ok());
                (bytes, sent.result)
            }
        };
        slot.sent += bytes;
        match result {
            Ok(()) => false,
            Err(Errno::EAGAIN) => true,
            Err(errno) => panic!("send: {errno}"),
        }
    }
}
