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
//! | `card counts N` | `# card N offered=.. delivered=.. lost=.. held=.. sent=.. next=.. ahead=.. again=.. violations=..`: frames, TCP segments that the wire brought by their order, breaches of the card's contract |
//! | `card remove N` | `# card N removed violations=..` |
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
//! another one does; `ENXIO` for a card that is not there, and for `card new`
//! where the tree has no driver for it.

#[cfg(ixgbe)]
mod cards;
mod session;
mod slot;

pub use session::Session;
