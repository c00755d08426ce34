#![no_std]
#![forbid(unsafe_code)]
//! Judges what became of the frames that came to a software 82599
//! ([`kdk_nic82599`]), and makes up what happens to such a card.
//!
//! [`Ledger`] knows what the wire brought, what the card said of each frame,
//! and what the network stack got. It says what is wrong with that.
//! [`Operation`]s are what happens to card and driver, from a seed. [`shrink`]
//! finds fewer of them that are as bad. [`mod@frame`] makes the frames.
//!
//! Nothing here knows the driver, the kernel or the time.

extern crate alloc;

mod account;
mod fault;
pub mod frame;
mod ledger;
mod operation;
mod shape;
mod shrink;

pub use account::{Account, WATCHED};
pub use fault::{Count, Fault};
pub use ledger::{Ledger, Offer, Order, digest};
pub use operation::{ECC, FLOWS, GROUPS, Mix, Operation, generate};
pub use shape::{Error, Shape, Target, shapes};
pub use shrink::shrink;
