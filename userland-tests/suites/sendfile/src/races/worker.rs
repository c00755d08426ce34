//! A process that does what the seed says.

use super::OPERATIONS;
use super::ledger::Ledger;
use super::operation::{Call, From, Operation, To};
use super::table::{End, PAGES, Table};
use alloc::vec;
use kdk_fixtures::child::Child;
use kdk_sys::file::{PAGE, set_length};
use kdk_sys::kqueue::{
    EV_ADD, EV_CLEAR, EV_DELETE, EV_DISABLE, EV_ENABLE, Event, Filter, registered,
};
use kdk_sys::process::me;
use kdk_sys::sendfile::{Completion, Request, sendfile};
use kdk_sys::socket::{Kind, accept, connect, shutdown, socket};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno};

/// The ident that many calls have, and the first of those that one call has.
pub const SAME: usize = 7;
const OWN: usize = 1000;

const HEADER: &[u8] = b"header";
const TRAILER: &[u8] = b"trailer";

/// One of the processes.
pub struct Worker<'a> {
    seed: u64,
    nth: usize,
    table: &'a Table<'a>,
    ledger: &'a Ledger,
    /// The last call with an ident of its own.
    last: Option<usize>,
}

impl<'a> Worker<'a> {
    pub const fn new(seed: u64, nth: usize, table: &'a Table<'a>, ledger: &'a Ledger) -> Self {
        Self {
            seed,
            nth,
            table,
            ledger,
            last: None,
        }
    }

    /// Does the first `count` of its operations.
    pub fn work(mut self, count: usize) {
        for (nth, operation) in Operation::all(self.seed, self.nth).take(count).enumerate() {
            if let Err((what, errno)) = self.run(nth, operation) {
                panic!(
                    "seed {:x}, process {}, operation {nth} ({operation:?}): {what}: {errno}",
                    self.seed, self.nth
                );
            }
        }
    }

    fn run(&mut self, nth: usize, operation: Operation) -> Result<(), (&'static str, Errno)> {
        let table = self.table;
        match operation {
            Operation::Send(call) => self.send(self.nth * OPERATIONS + nth, call)?,
            Operation::Read(end, most) => {
                let _ = end.place().read(&mut vec![0; most]);
            }
            Operation::Take(most) => {
                let events = table.queue.ready(most).map_err(|errno| ("take", errno))?;
                events.iter().for_each(|event| self.ledger.came(event));
            }
            Operation::Delete { same } => self.delete(same)?,
            Operation::Change => {
                let Some(call) = self.last else {
                    return Ok(());
                };
                for flags in [EV_DISABLE, EV_ENABLE] {
                    let change = Event::new(OWN + call, Filter::Sendfile, flags);
                    self.change(change.with_udata(call))?;
                }
            }
            Operation::ShutDown(end, half) => {
                let _ = shutdown(&end.place(), half);
            }
            Operation::Close(end) => {
                let unconnected = must("socket", socket(Kind::UnixStream));
                table.put(&unconnected, end);
            }
            Operation::Reconnect(end) => self.reconnect(end),
            Operation::Replace(pair, sort) => table.replace(pair, sort),
            Operation::SetLength(length) => {
                set_length(&table.file, length).map_err(|errno| ("truncate", errno))?;
            }
            Operation::Fork(end) => {
                let room = Event::on(&end.place(), Filter::Write, EV_ADD | EV_CLEAR);
                let _ = table.queue.change(&[room]);
                Child::run(|| {
                    let copied = must("look at the copy", registered(me()));
                    let sendfile = copied.iter().find(|one| one.event.is(Filter::Sendfile));
                    assert!(sendfile.is_none(), "the child has {sendfile:?}");
                })
                .join();
            }
            Operation::Renew => table.renew(),
        }
        Ok(())
    }

    fn send(&mut self, number: usize, call: Call) -> Result<(), (&'static str, Errno)> {
        let ident = if call.same { SAME } else { OWN + number };
        let queue = match call.to {
            To::Queue => self.table.queue.raw(),
            To::Closed => Table::closed().raw(),
        };
        let request = Request {
            offset: (call.page * PAGE) as u64,
            length: call.length,
            headers: if call.header { &[HEADER] } else { &[] },
            trailers: if call.trailer { &[TRAILER] } else { &[] },
            completion: Some(Completion {
                ident,
                udata: number,
                flags: 0,
                kqueue: queue,
            }),
            ..Request::default()
        };
        let socket = call.socket.place();
        let broken = self.table.broken.filter(|_| call.from == From::Broken);
        let sent = match (call.from, broken) {
            (_, Some(broken)) => sendfile(broken.file(), &socket, &request),
            (From::File, _) => sendfile(&self.table.file, &socket, &request),
            _ => sendfile(&self.table.memory, &socket, &request),
        };
        if call.to == To::Queue {
            self.ledger.returned(number, sent, ident, broken.is_some());
            if !call.same {
                self.last = Some(number);
            }
        }
        match sent.result {
            Ok(()) if broken.is_none() && call.from != From::File => {
                let rest = (PAGES - call.page) * PAGE;
                let file = match call.length {
                    0 => rest,
                    length => length.min(rest),
                };
                let header = if call.header { HEADER.len() } else { 0 };
                let least = (header + file) as i64;
                // As many bytes of the trailer as there is room for, see write(2).
                let expected = match call.trailer {
                    true => least + 1..=least + TRAILER.len() as i64,
                    false => least..=least,
                };
                assert!(
                    expected.contains(&sent.bytes),
                    "call {number} ({call:?}): {} bytes sent, expected {expected:?}",
                    sent.bytes
                );
                Ok(())
            }
            Ok(())
            | Err(
                Errno::EAGAIN
                | Errno::EPIPE
                | Errno::ENOTCONN
                | Errno::ECONNRESET
                | Errno::ECONNABORTED,
            ) => Ok(()),
            // What a read of the file says, and the socket after that.
            Err(Errno::ENXIO | Errno::EIO) if self.table.broken.is_some() => Ok(()),
            Err(errno) => Err(("sendfile", errno)),
        }
    }

    /// Changes an event, unless it has gone.
    fn change(&self, change: Event) -> Result<bool, (&'static str, Errno)> {
        match self.table.queue.change(&[change]) {
            Ok(()) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(errno) => Err(("change", errno)),
        }
    }

    fn delete(&self, same: bool) -> Result<(), (&'static str, Errno)> {
        let (call, ident) = match self.last {
            _ if same => (None, SAME),
            Some(call) => (Some(call), OWN + call),
            None => return Ok(()),
        };
        if self.change(Event::new(ident, Filter::Sendfile, EV_DELETE))? {
            self.ledger.deleted(call);
        }
        Ok(())
    }

    /// Connects an end anew. Whoever accepts puts the connection at the other.
    fn reconnect(&self, end: End) {
        let _ = connect(&end.place(), &self.table.address);
        if let Ok((accepted, _)) = accept(&self.table.listener) {
            self.table.put(&accepted, end.other());
        }
    }
}
