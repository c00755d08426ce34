//! What the processes have in common: sockets, kqueues and files.

use crate::late::Broken;
use fastrand::Rng;
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_sys::file::{O_CLOEXEC, O_CREAT, O_RDWR, PAGE, open, set_length, unlink};
use kdk_sys::kqueue::Kqueue;
use kdk_sys::socket::{Address, Kind, bind, listen, set_linger, socket};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Fd};

/// Pairs of sockets.
pub const PAIRS: usize = 6;
/// Pages of the memory.
pub const PAGES: usize = 8;

/// Numbers of descriptors that the processes replace, far above those that a
/// new descriptor gets.
const CLOSED: i32 = 400;
const FIRST_SOCKET: i32 = 401;
const BUFFER: i32 = 12 << 10;
const NAME: &str = "/tmp/races-socket";
const FILE: &str = "/tmp/races-file";

/// A descriptor's number. What is there may be replaced at any time.
#[derive(Clone, Copy, Debug)]
pub struct Place(i32);

impl Descriptor for Place {
    fn raw(&self) -> i32 {
        self.0
    }
}

/// One of the two ends of a pair.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pair: usize,
    second: bool,
}

impl End {
    pub const fn of(pair: usize, second: bool) -> Self {
        Self { pair, second }
    }

    /// The first end of the pair.
    pub const fn first(self) -> Self {
        Self::of(self.pair, false)
    }

    /// The other end of the pair.
    pub const fn other(self) -> Self {
        Self::of(self.pair, !self.second)
    }

    pub const fn place(self) -> Place {
        Place(FIRST_SOCKET + 2 * self.pair as i32 + self.second as i32)
    }
}

/// What a pair is connected by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Unix,
    Tcp,
}

impl Sort {
    pub fn any(random: &mut Rng) -> Self {
        match random.u8(0..3) {
            0 => Self::Tcp,
            _ => Self::Unix,
        }
    }
}

/// The common descriptors.
pub struct Table<'a> {
    /// The kqueue whose events are taken. A child gets a copy of it.
    pub queue: Kqueue,
    pub memory: Fd,
    pub file: Fd,
    pub broken: Option<&'a Broken>,
    /// A socket of unix(4) to connect to, and its name.
    pub listener: Fd,
    pub address: Address,
}

impl<'a> Table<'a> {
    #[track_caller]
    pub fn new(broken: Option<&'a Broken>) -> Self {
        let file = must("make a file", open(FILE, O_RDWR | O_CREAT | O_CLOEXEC));
        must("unlink it", unlink(FILE));
        must("set its length", set_length(&file, (PAGES * PAGE) as u64));
        let (listener, address) = (
            must("socket", socket(Kind::UnixStream)),
            Address::unix(NAME),
        );
        must("bind", bind(&listener, &address));
        must("listen", listen(&listener, 8));
        must("do not wait", listener.set_nonblocking(true));
        let table = Self {
            queue: must("kqueuex", Kqueue::copied_on_fork()),
            memory: Source::Shm.of(PAGES * PAGE).0,
            file,
            broken,
            listener,
            address,
        };
        table.renew();
        for pair in 0..PAIRS {
            table.replace(pair, if pair % 3 == 0 { Sort::Tcp } else { Sort::Unix });
        }
        table
    }

    /// The number of the kqueue that is not read from.
    pub const fn closed() -> Place {
        Place(CLOSED)
    }

    /// Closes that kqueue and puts a new one there.
    #[track_caller]
    pub fn renew(&self) {
        let queue = must("kqueue", Kqueue::new());
        must("replace the kqueue", queue.duplicate_at(CLOSED));
    }

    /// Puts new sockets at both ends. A close resets those of TCP, so that none
    /// stays in TIME_WAIT.
    #[track_caller]
    pub fn replace(&self, pair: usize, sort: Sort) {
        let (one, other) = match sort {
            Sort::Unix => Link::Unix.connect_with(BUFFER),
            Sort::Tcp => Link::Tcp.connect_with(BUFFER),
        };
        for (socket, second) in [(&one, false), (&other, true)] {
            if sort == Sort::Tcp {
                must("have it end with a reset", set_linger(socket, 0));
            }
            self.put(socket, End::of(pair, second));
        }
    }

    /// Puts a socket at an end.
    #[track_caller]
    pub fn put(&self, socket: &Fd, end: End) {
        must("do not wait", socket.set_nonblocking(true));
        must("replace the socket", socket.duplicate_at(end.place().raw()));
    }

    /// Closes all sockets and the kqueue that is not read from.
    #[track_caller]
    pub fn end_all(&self) {
        for place in CLOSED..FIRST_SOCKET + 2 * PAIRS as i32 {
            must("close it", self.memory.duplicate_at(place));
        }
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        let _ = unlink(NAME);
    }
}
