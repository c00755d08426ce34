#![no_std]
#![forbid(unsafe_code)]
//! Judges what became of the frames that came to a software 82599
//! ([`kdk_nic82599`]), and makes up what happens to such a card.
//!
//! [`Scoreboard`] knows what the wire brought, what the card said of each frame,
//! and what the network stack got. It says what is wrong with that.
//! [`Operation`]s are what happens to card and driver, from a seed. [`shrink`]
//! finds fewer of them that are as bad. [`mod@frame`] makes the frames.
//!
//! Nothing here knows the driver, the kernel or the time.

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
