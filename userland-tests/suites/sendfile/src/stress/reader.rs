//! The process that reads: every byte is looked at.

use super::QUIET_MS;
use super::plan::{Plan, random};
use super::record::{HEADER, Record};
use alloc::vec;
use alloc::vec::Vec;
use fastrand::Rng;
use kdk_fixtures::bytes::assert_same;
use kdk_sys::kqueue::{EV_ADD, EV_DISPATCH, EV_ENABLE, EV_ONESHOT, Event, Filter, Kqueue};
use kdk_sys::socket::set_linger;
use kdk_sys::suite::must;
use kdk_sys::time::Deadline;
use kdk_sys::{Descriptor, Errno, Fd};

/// Bytes a slow reader takes at a time, and milliseconds it pauses, at most.
const LITTLE: usize = 3000;
const PAUSE_MS: i64 = 8;
const MUCH: usize = 16 << 10;

/// Reads all sockets, each as its plan says, until all have ended.
pub fn read(seed: u64, sender: u16, plans: &[Plan], sockets: Vec<Fd>) {
    let queue = must("kqueue", Kqueue::new());
    let mut random = random(seed, sender, u16::MAX, 1);
    let mut changes = Vec::new();
    let mut streams: Vec<Option<Stream<'_>>> = Vec::new();
    for ((nth, socket), plan) in sockets.into_iter().enumerate().zip(plans) {
        let first = Event::on(&socket, Filter::Read, EV_ADD | EV_DISPATCH);
        changes.push(first.with_udata(nth));
        streams.push(Some(Stream::new(socket, (sender, nth as u16), plan)));
    }
    let mut piece = vec![0; MUCH];
    while streams.iter().any(Option::is_some) {
        let deadline = Deadline::after_ms(QUIET_MS);
        let events = must("wait for bytes", queue.wait(&changes, 64, deadline));
        assert!(!events.is_empty(), "no byte came for {QUIET_MS} ms");
        changes.clear();
        for event in events {
            let nth = event.udata;
            let Some(place) = streams.get_mut(nth) else {
                panic!("another event: {event:?}");
            };
            let Some(stream) = place else { continue };
            let again = stream.again().with_udata(nth);
            if event.is(Filter::Timer) {
                changes.push(again);
            } else if !stream.take(&mut piece, &mut random) {
                *place = None;
            } else if stream.plan.slow {
                let pause = Event::new(nth, Filter::Timer, EV_ADD | EV_ONESHOT);
                let pause = pause.with_data(random.i64(1..=PAUSE_MS));
                changes.push(pause.with_udata(nth));
            } else {
                changes.push(again);
            }
        }
    }
}

struct Stream<'a> {
    socket: Fd,
    name: (u16, u16),
    plan: &'a Plan,
    sequence: u32,
    /// Bytes that were read.
    total: usize,
    /// What came of a header.
    header: Vec<u8>,
    /// What has to come after it, and how much of that did.
    expected: Vec<u8>,
    at: usize,
    /// The stream's last record was read.
    ended: bool,
}

impl<'a> Stream<'a> {
    fn new(socket: Fd, name: (u16, u16), plan: &'a Plan) -> Self {
        Self {
            socket,
            name,
            plan,
            sequence: 0,
            total: 0,
            header: Vec::new(),
            expected: Vec::new(),
            at: 0,
            ended: false,
        }
    }

    /// More bytes were reported.
    fn again(&self) -> Event {
        Event::on(&self.socket, Filter::Read, EV_ENABLE)
    }

    /// Reads a piece; whether more may come.
    fn take(&mut self, piece: &mut [u8], random: &mut Rng) -> bool {
        if let Some(leave) = &self.plan.leave
            && self.total >= leave.after
        {
            if leave.reset {
                self.reset();
            }
            return false;
        }
        let room = match self.plan.slow {
            true => random.usize(1..=LITTLE),
            false => random.usize(MUCH / 4..=MUCH),
        };
        let room = piece.get_mut(..room).unwrap_or_default();
        let cut = self.plan.cut.as_ref();
        match self.socket.read(room) {
            Ok(0) => {
                assert!(
                    self.ended || cut.is_some(),
                    "stream {:?}: the end after {} bytes, in record {} at {}",
                    self.name,
                    self.total,
                    self.sequence,
                    self.at
                );
                // No TIME_WAIT is left of the sender's socket.
                self.reset();
                false
            }
            Ok(count) => {
                self.total += count;
                self.look_at(room.get(..count).unwrap_or_default());
                true
            }
            Err(Errno::EAGAIN) => true,
            Err(Errno::ECONNRESET) if cut.is_some_and(|cut| cut.reset) => false,
            Err(errno) => panic!("stream {:?}: read: {errno}", self.name),
        }
    }

    fn reset(&self) {
        // Sockets of unix(4) and such that the peer has reset do not take it.
        let _ = set_linger(&self.socket, 0);
    }

    /// Bytes have to be what the headers said.
    #[track_caller]
    fn look_at(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let left = self.expected.len() - self.at;
            let over = self.ended && left == 0;
            assert!(!over, "stream {:?}: bytes after its end", self.name);
            let wanted = if left > 0 {
                left
            } else {
                HEADER - self.header.len()
            };
            let (now, rest) = bytes.split_at(wanted.min(bytes.len()));
            bytes = rest;
            if left > 0 {
                let end = self.at + now.len();
                if self.expected.get(self.at..end) != Some(now) {
                    self.differs(now);
                }
                self.at = end;
            } else {
                self.header.extend_from_slice(now);
                if self.header.len() == HEADER {
                    self.begin();
                }
            }
        }
    }

    #[track_caller]
    fn begin(&mut self) {
        let record = Record::of(&self.header);
        let Some(record) =
            record.filter(|record| (record.stream, record.sequence) == (self.name, self.sequence))
        else {
            panic!(
                "stream {:?}: expected the header of record {}, saw {:02x?}",
                self.name, self.sequence, self.header
            );
        };
        self.header.clear();
        self.expected = record.body();
        self.expected.extend(record.after());
        self.at = 0;
        self.sequence += 1;
        self.ended = record.last;
    }

    #[track_caller]
    fn differs(&self, seen: &[u8]) -> ! {
        let what = alloc::format!(
            "stream {:?}, record {}, from {} on",
            self.name,
            self.sequence - 1,
            self.at
        );
        let expected = self.expected.get(self.at..self.at + seen.len());
        assert_same(&what, seen, expected.unwrap_or_default());
        panic!("{what}: other bytes");
    }
}
