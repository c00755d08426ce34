//! The process that sends, and its model of which events have to come.

use super::QUIET_MS;
use super::plan::{Plan, random};
use super::record::{HEADER, LONGEST, Record};
use super::slots::Slots;
use super::tally::{Kind, Tally};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use fastrand::Rng;
use kdk_sys::file::PAGE;
use kdk_sys::kqueue::{EV_ADD, EV_ONESHOT, Event, Filter, Kqueue};
use kdk_sys::sendfile::{Completion, Request, Sent, sendfile};
use kdk_sys::socket::set_linger;
use kdk_sys::suite::must;
use kdk_sys::time::Deadline;
use kdk_sys::{Errno, Fd};

/// Sends all that the plans say; all events have come when it is done.
pub fn send(seed: u64, sender: u16, plans: &[Plan], sockets: Vec<Fd>) -> Tally {
    let mut sending = Sending {
        queue: must("kqueue", Kqueue::new()),
        slots: Slots::new(),
        random: random(seed, sender, u16::MAX, 2),
        due: BTreeMap::new(),
        due_of: vec![0; plans.len()],
        calls: 0,
        ready: (0..plans.len()).collect(),
        again: None,
        tally: Tally::default(),
    };
    let mut lines: Vec<Line<'_>> = sockets
        .into_iter()
        .zip(plans)
        .enumerate()
        .map(|(nth, (socket, plan))| Line {
            nth,
            stream: (sender, nth as u16),
            socket: Some(socket),
            plan,
            sequence: 0,
            parcel: None,
        })
        .collect();
    while !sending.due.is_empty() || lines.iter().any(|line| line.socket.is_some()) {
        let chosen = sending.choose(&lines);
        let wait_ms = match chosen.and_then(|nth| lines.get_mut(nth)) {
            Some(line) => {
                sending.advance(line);
                0
            }
            // Nothing goes on before something was released or read.
            None => QUIET_MS,
        };
        sending.take_events(wait_ms);
    }
    sending.take_events(0);
    sending.tally
}

/// A socket, and what is being sent there.
struct Line<'a> {
    nth: usize,
    stream: (u16, u16),
    /// None once it is closed.
    socket: Option<Fd>,
    plan: &'a Plan,
    sequence: u32,
    parcel: Option<Parcel>,
}

/// A record on its way.
struct Parcel {
    record: Record,
    /// Its slot and where in the memory the body is, if it has one.
    body: Option<(usize, usize)>,
    /// Bytes of the record that the socket has taken.
    sent: usize,
}

impl Parcel {
    /// The part of the body, as places in the memory, among the record's bytes
    /// in this range.
    fn body_among(&self, bytes: Range<usize>) -> Range<usize> {
        let Some((_, at)) = self.body else {
            return 0..0;
        };
        let place = |byte: usize| at + byte.saturating_sub(HEADER).min(self.record.length as usize);
        place(bytes.start)..place(bytes.end)
    }
}

/// A call whose event has to come.
struct Call {
    ident: usize,
    bytes: i64,
    slot: Option<usize>,
    /// What of the memory it sends.
    memory: Range<usize>,
}

struct Sending {
    queue: Kqueue,
    slots: Slots,
    random: Rng,
    /// By the events' udata.
    due: BTreeMap<usize, Call>,
    /// How many of each ident.
    due_of: Vec<u32>,
    calls: usize,
    /// Lines that can send something, as far as is known.
    ready: Vec<usize>,
    /// The line that is next, whether or not it can send something.
    again: Option<usize>,
    tally: Tally,
}

impl Sending {
    /// One of the lines that can send something: any one, or while no slot is
    /// free one that has its slot already.
    fn choose(&mut self, lines: &[Line<'_>]) -> Option<usize> {
        if let Some(nth) = self.again.take() {
            return Some(nth);
        }
        let packed = |nth: &usize| lines.get(*nth).is_some_and(|line| line.parcel.is_some());
        let places: Vec<usize> = match self.slots.any_free() {
            true => (0..self.ready.len()).collect(),
            false => {
                let ready = self.ready.iter().enumerate();
                ready
                    .filter(|(_, nth)| packed(nth))
                    .map(|(at, _)| at)
                    .collect()
            }
        };
        let place = self.random.choice(places)?;
        Some(self.ready.swap_remove(place))
    }

    /// Makes one call for this line.
    fn advance(&mut self, line: &mut Line<'_>) {
        if line.parcel.is_none() {
            line.parcel = Some(self.pack(line));
        }
        let (Some(parcel), Some(socket)) = (&mut line.parcel, &line.socket) else {
            panic!("stream {:?}: it has ended", line.stream);
        };
        let sent = self.call(line.nth, parcel, socket);
        let whole = parcel.sent == parcel.record.total();
        let cut = line.plan.cut.as_ref();
        match sent.result {
            Err(Errno::EPIPE | Errno::ECONNRESET | Errno::ENOTCONN)
                if line.plan.leave.is_some() =>
            {
                self.end(line);
            }
            Err(errno) if errno != Errno::EAGAIN => {
                panic!("stream {:?}: sendfile: {errno}", line.stream)
            }
            _ if cut.is_some_and(|cut| cut.sequence == parcel.record.sequence) => {
                let reset = cut.is_some_and(|cut| cut.reset);
                if reset {
                    must("have it end with a reset", set_linger(socket, 0));
                }
                if self.due_of.get(line.nth).is_some_and(|due| *due > 0) {
                    let kind = if reset { Kind::Reset } else { Kind::Closed };
                    self.tally.count(kind);
                }
                self.end(line);
            }
            Ok(()) if whole && parcel.record.last => self.end(line),
            Ok(()) => {
                if whole {
                    self.unpack(line);
                }
                self.ready.push(line.nth);
            }
            Err(_) => {
                assert!(!whole, "a call took everything, and failed: {sent:?}");
                if sent.bytes > 0 && self.random.u8(0..3) == 0 {
                    // Into the full socket once more.
                    self.again = Some(line.nth);
                } else {
                    let room = Event::on(socket, Filter::Write, EV_ADD | EV_ONESHOT);
                    let room = room.with_udata(line.nth);
                    must("wait for room", self.queue.change(&[room]));
                }
            }
        }
    }

    /// The line's next record.
    fn pack(&mut self, line: &mut Line<'_>) -> Parcel {
        let last = line.sequence == line.plan.records;
        let length = match self.random.u8(0..8) {
            _ if last => 0,
            0 => 0,
            1 => self.random.usize(1..150),
            2..5 => self.random.usize(1..=PAGE),
            _ => self.random.usize(1..=LONGEST),
        };
        let record = Record {
            stream: line.stream,
            sequence: line.sequence,
            length: length as u32,
            trailer: self.random.u8(0..4) == 0,
            last,
            seed: self.random.u64(..),
        };
        let body = match length {
            0 => None,
            _ => Some(self.slots.fill(self.random.usize(0..PAGE), &record.body())),
        };
        line.sequence += 1;
        Parcel {
            record,
            body,
            sent: 0,
        }
    }

    /// Sends what is left of a record.
    fn call(&mut self, ident: usize, parcel: &mut Parcel, socket: &Fd) -> Sent {
        let record = &parcel.record;
        let (header, trailer) = (record.header(), record.after());
        let header = header.get(parcel.sent..).unwrap_or_default();
        let trailer_sent = parcel.sent.saturating_sub(HEADER + record.length as usize);
        let trailer = trailer.get(trailer_sent..).unwrap_or_default();
        let body = parcel.body_among(parcel.sent..record.total());
        let udata = self.calls;
        self.calls += 1;
        let completion = Some(Completion::on(&self.queue, ident, udata));
        // Without a body there is nothing that headers could go before.
        let sent = match body.len() {
            0 => {
                let request = Request {
                    offset: Slots::END,
                    trailers: &[header, trailer],
                    completion,
                    ..Request::default()
                };
                sendfile(&self.slots.memory, socket, &request)
            }
            length => {
                let request = Request {
                    offset: body.start as u64,
                    length,
                    headers: if header.is_empty() { &[] } else { &[header] },
                    trailers: if trailer.is_empty() { &[] } else { &[trailer] },
                    completion,
                    ..Request::default()
                };
                sendfile(&self.slots.memory, socket, &request)
            }
        };
        let before = parcel.sent;
        parcel.sent += usize::try_from(sent.bytes).unwrap_or(0);
        assert!(
            parcel.sent <= parcel.record.total(),
            "it sent more: {sent:?}"
        );
        self.tally.count(match sent {
            Sent { result: Ok(()), .. } if body.is_empty() => Kind::NoBody,
            Sent { result: Ok(()), .. } => Kind::Whole,
            Sent {
                result: Err(Errno::EAGAIN),
                bytes: 1..,
            } => Kind::Part,
            Sent {
                result: Err(Errno::EAGAIN),
                ..
            } => Kind::Full,
            Sent { .. } => Kind::Gone,
        });
        if sent.result.is_ok() || sent.bytes > 0 {
            let slot = parcel.body.map(|(slot, _)| slot);
            if let Some(slot) = slot {
                self.slots.add_user(slot);
            }
            let memory = parcel.body_among(before..parcel.sent);
            let call = Call {
                ident,
                bytes: sent.bytes,
                slot,
                memory,
            };
            self.due.insert(udata, call);
            if let Some(due) = self.due_of.get_mut(ident) {
                *due += 1;
            }
        }
        sent
    }

    /// The line's record is no longer sent; calls may still need its slot.
    fn unpack(&mut self, line: &mut Line<'_>) {
        let parcel = line.parcel.take();
        if let Some((slot, _)) = parcel.and_then(|parcel| parcel.body) {
            self.slots.drop_user(slot);
        }
    }

    fn end(&mut self, line: &mut Line<'_>) {
        self.unpack(line);
        line.socket = None;
    }

    /// Takes the events that are there; waits for one if `wait_ms` is not 0.
    fn take_events(&mut self, wait_ms: u64) {
        let deadline = Deadline::after_ms(wait_ms);
        let events = must("wait for events", self.queue.wait(&[], 64, deadline));
        assert!(
            wait_ms == 0 || !events.is_empty(),
            "no event for {wait_ms} ms; {} are due",
            self.due.len()
        );
        for event in &events {
            if event.is(Filter::Write) {
                self.ready.push(event.udata);
            } else {
                self.released(event);
            }
        }
    }

    /// What a call has sent is its own again.
    fn released(&mut self, event: &Event) {
        let Some(call) = self.due.remove(&event.udata) else {
            panic!("an event that no call is waiting for: {event:?}");
        };
        self.slots.spoil(call.memory);
        assert!(event.is(Filter::Sendfile), "another event: {event:?}");
        let seen = (event.ident, event.data, event.fflags);
        assert_eq!(seen, (call.ident, call.bytes, 0), "ident, data, fflags");
        if let Some(slot) = call.slot {
            self.slots.drop_user(slot);
        }
        if let Some(due) = self.due_of.get_mut(call.ident) {
            *due -= 1;
            if *due > 0 {
                self.tally.count(Kind::SameIdent);
            }
        }
    }
}
