#![no_std]
#![forbid(unsafe_code)]
//! A software model of Intel's 82599 10 Gb/s network card, as seen by a
//! driver: registers, configuration space, descriptor rings, interrupts.
//!
//! The model is synchronous and deterministic. A register access does all
//! that it causes before it returns; nothing else happens by itself. Frames
//! come from [`Nic::receive`] and leave by [`Nic::take_transmitted`]; memory is
//! reached through [`Host`]; interrupts are fetched by
//! [`Nic::take_interrupt`], so that a caller can fire them when it holds no
//! lock. Time passes only by [`Nic::advance`].
//!
//! Everything is allocated by [`Nic::new`]; nothing else allocates or frees,
//! so the model can be used under a spin lock.
//!
//! What a driver does that the card's contract forbids is noted as a
//! [`Violation`]. The facts are those of the Intel 82599 10 GbE Controller
//! Datasheet; registers have its names. The model knows no driver; where the
//! datasheet leaves something open and Intel's drivers rely on it, the
//! documentation of the item says so.
//!
//! Not modelled: pools and virtual functions (VT mode, mailboxes), traffic
//! classes (DCB, priority flow control), header split, legacy descriptors,
//! receive-side coalescing (frames are never joined, which is always
//! allowed), flow director filters, L3/L4 queue filters, FCoE, IPsec, MACsec,
//! IEEE 1588, DCA, wake-up, management.

extern crate alloc;

mod checksum;
mod config;
mod config_space;
mod counters;
mod eeprom;
mod filter;
mod flow_control;
mod frame_queue;
mod host;
mod interrupt;
mod link;
mod nic;
mod offload;
mod owned_buffers;
mod packet;
mod receive;
pub mod registers;
mod reset;
mod ring;
mod rss;
mod segments;
mod semaphore;
pub mod statistics;
mod transmit;
mod tso;
mod violation;

pub use config::Config;
pub use config_space::{DEVICE_ID, MSIX_CAPABILITY, PCIE_CAPABILITY, VENDOR_ID};
pub use counters::{Counters, InvariantError, QueueCounters};
pub use host::Host;
pub use link::Partner;
pub use nic::{MAX_FRAME, Nic};
pub use receive::{FrameErrors, Received};
pub use segments::{SegmentCounts, Segments};
pub use transmit::Transmitted;
pub use violation::{BadTransmit, Direction, MAX_VIOLATIONS, Violation, Violations};
