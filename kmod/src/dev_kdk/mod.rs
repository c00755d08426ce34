//! `/dev/kdk`: write one command, read the answer to its end.
//!
//! | command | answer |
//! |---|---|
//! | `version` | `# kdk-version X.Y.Z` |
//! | `list`, `run NAME`, `run GLOB` | as the protocol of the result channel has it |
//! | `card new` | `# card N IFNAME`: a network card of software, with the tree's driver attached to it |
//! | `card wire N M` | `# card N wire M`: each receives what the other one transmits |
//! | `card link N up`, `card link N down` | `# card N link up` or `down` |
//! | `card stall N QUEUE`, `card unstall N QUEUE` | `# card N queue QUEUE stalled` or `runs`: as if the ring had no descriptors |
//! | `card raise N CAUSES` | `# card N raised CAUSES`: bits of EICR, as `0x100000` (a link status change) |
//! | `card tap N` | `# card N tapped`: what its interface receives is kept for `card received`, and the stack does not get it |
//! | `card inject N flow F [OPTION..]`, `card inject N queue Q [OPTION..]` | `# card N flow=F delivered=.. held=.. dropped=.. errored=.. elsewhere=..`: what the card did with datagrams of a flow, or of the first flow that falls on a queue |
//! | `card received N` | `# card N flows=.. frames=.. foreign=..`: what waits to be told |
//! | `card received N F` | `# card N flow F 0-9 11 10!`: the numbers of a flow's frames in the order they were received, with `!` where the driver does not say that all checksums are right; they are forgotten. ` ..` at the end: there are more |
//! | `card counts N` | `# card N offered=.. delivered=.. lost=.. held=.. sent=.. next=.. ahead=.. again=.. violations=..`: frames, TCP segments that the wire brought by their order, breaches of the card's contract |
//! | `card remove N` | `# card N removed violations=..` |
//!
//! Options of `card inject`: `count=N` frames, up to 1000; `length=BYTES` of each
//! without frame check sequence; `error=crc`, `byte` or `length`, or `stored`
//! for one that the card stores all the same; `checksum=right`, `wrong-ip`,
//! `wrong-udp`, or `none` of UDP. Each frame of a flow has a number, from 0.
//!
//! Cards are numbered from 0 and go with their descriptor. While it has any,
//! no other one runs tests.
//!
//! Reading is what runs the tests: read(2) returns everything written up to a
//! `# start NAME`, and the next one runs that test.
//!
//! Errors of write(2): `EINVAL` for what is no command, `ENAMETOOLONG` for one
//! of more than 200 bytes, `EBUSY` before the last answer was read to its end,
//! for `run` while any descriptor runs tests or has cards, and for `card` while
//! another one does; `ENXIO` for a card that is not there, for `card new` where
//! the tree has no driver for it, for `card received` without a tap, and for a
//! queue that no flow falls on; `ENOBUFS` when more was received than is kept.

#[cfg(ixgbe)]
mod cards;
mod session;
mod slot;
#[cfg(ixgbe)]
mod traffic;

pub use session::Session;
