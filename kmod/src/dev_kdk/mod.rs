//! `/dev/kdk`: write one command, then read the answer until the end of file.
//!
//! | command | answer |
//! |---|---|
//! | `version` | `# kdk-version X.Y.Z` |
//! | `list`, `run NAME`, `run GLOB` | The answers of the result channel's protocol (ARCHITECTURE.md). |
//! | `card new` | `# card N IFNAME`: creates a software NIC and attaches the tree's driver to it. |
//! | `card wire N M` | `# card N wire M`: connects two NICs; each receives what the other transmits. |
//! | `card link N up`, `card link N down` | `# card N link up` or `down`: connects or disconnects the cable. |
//! | `card stall N QUEUE`, `card unstall N QUEUE` | `# card N queue QUEUE stalled` or `runs`: treats the receive ring as if it had no descriptors. |
//! | `card raise N CAUSES` | `# card N raised CAUSES`: sets interrupt causes, bits of EICR, such as `0x100000` (link status change). |
//! | `card tap N` | `# card N tapped`: keeps what the interface receives for `card received`; the stack does not receive it. |
//! | `card inject N flow F [OPTION..]`, `card inject N queue Q [OPTION..]` | `# card N flow=F delivered=.. buffered=.. dropped=.. errored=.. other=..`: injects UDP datagrams of a flow, or of the first flow that RSS puts on a queue, and counts what the NIC did with them. |
//! | `card received N` | `# card N flows=.. frames=.. foreign=..`: counts the frames that wait for `card received N F`. Foreign frames were not injected. |
//! | `card received N F` | `# card N flow F 0-9 11 10!`: removes a flow's frames and prints their numbers in the order in which they were received. `!` marks frames whose checksums the driver did not report as valid. ` ..` at the end means that there are more. |
//! | `card counts N` | `# card N offered=.. delivered=.. lost=.. buffered=.. sent=.. in-order=.. out-of-order=.. retransmitted=.. violations=..`: counts frames, the TCP segments that came over the wire, and the driver's violations of the datasheet. |
//! | `card remove N` | `# card N removed violations=..`: detaches the driver and removes the NIC. |
//!
//! Options of `card inject`:
//!
//! - `count=N`: the number of frames, up to 1000.
//! - `length=BYTES`: the length of each frame, without frame check sequence.
//! - `error=crc`, `error=byte`, `error=length`: a receive error. `error=stored`
//!   is an error that the NIC reports in the descriptor of a frame that it
//!   stores.
//! - `checksum=right`, `checksum=wrong-ip`, `checksum=wrong-udp`,
//!   `checksum=none` (no UDP checksum).
//!
//! Each frame of a flow has a number, from 0.
//!
//! NICs are numbered from 0 and are removed when their descriptor is closed.
//! While a descriptor has NICs, no other descriptor can run tests.
//!
//! read(2) runs the tests: it returns everything up to a `# start NAME`, and
//! the next read(2) runs that test.
//!
//! Errors of write(2):
//!
//! - `EINVAL`: the command is unknown, or its arguments are invalid.
//! - `ENAMETOOLONG`: the command is longer than 200 bytes.
//! - `EBUSY`: the last answer was not read to its end; or `run`, while any
//!   descriptor runs tests or has NICs; or `card`, while another descriptor
//!   does.
//! - `ENXIO`: there is no such NIC; the tree has no driver for it (`card new`);
//!   the NIC has no tap (`card received`); or no flow is on the queue.
//! - `ENOBUFS`: more frames were received than the module keeps.

#[cfg(ixgbe)]
mod cards;
mod session;
mod slot;
#[cfg(ixgbe)]
mod traffic;

pub use session::Session;
