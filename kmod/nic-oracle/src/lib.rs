#![no_std]
#![forbid(unsafe_code)]
//! A test oracle for software NICs ([`kdk_nic82599`]): a scoreboard of frames,
//! and a generator of random operations.
//!
//! - [`Scoreboard`] records the frames on the wire, what the NIC reports for
//!   each, and the frames that the network stack receives. It reports every
//!   [`Fault`].
//! - [`generate`] makes [`Operation`]s on NIC and driver from a seed.
//! - [`shrink`] reduces operations that cause a failure.
//! - [`mod@frame`] makes the frames.
//!
//! Nothing here depends on the driver, the kernel or the time.

extern crate alloc;

mod fault;
pub mod frame;
mod operation;
mod scoreboard;
mod shape;
mod shrink;
mod snapshot;

pub use fault::{Count, Fault};
pub use operation::{ECC, FLOWS, GROUPS, Mix, Operation, generate};
pub use scoreboard::{InjectedFrame, Order, Scoreboard, digest};
pub use shape::{Error, Shape, Target, shapes};
pub use shrink::shrink;
pub use snapshot::{CounterSnapshot, MAX_QUEUES};
