#![no_std]
#![forbid(unsafe_code)]
//! A software model of the Intel 82599 10 Gb/s NIC, as seen by a driver: registers, configuration space, descriptor rings, interrupts.
//!
//! The model is synchronous and deterministic. A register access does all
//! that it causes before it returns; nothing happens in between. Frames are
//! received with [`Nic::receive`] and transmitted with
//! [`Nic::take_transmitted`]. DMA goes through [`Host`]. The caller fetches
//! interrupts with [`Nic::take_interrupt`], so that it can fire them without
//! its lock. Time passes only in [`Nic::advance`].
//!
//! Everything is allocated by [`Nic::new`]; nothing else allocates or frees,
//! so the model can be used under a spin lock.
//!
//! The model records each violation of the datasheet by the driver as a
//! [`Violation`]. The facts are those of the Intel 82599 10 GbE Controller
//! Datasheet; registers have its names. The model has no knowledge of a driver.
//! Where the datasheet is silent and Intel's drivers rely on a behaviour, the
//! documentation of the item says so.
//!
//! A virtual function is modelled on its own, without the physical one.
//! Not modelled: pools (VT mode), the PF's side of the mailboxes, traffic
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
mod ring_registers;
mod rss;
mod segments;
mod semaphore;
mod sfp;
pub mod statistics;
mod transmit;
mod tso;
mod violation;
pub mod virtual_function;

pub use config::{Config, Medium};
pub use config_space::{MSIX_CAPABILITY, PCIE_CAPABILITY, VENDOR_ID};
pub use counters::{Counters, InvariantError, QueueCounters};
pub use host::Host;
pub use link::Partner;
pub use nic::{MAX_FRAME, Nic};
pub use receive::{EmptyBuffer, FrameErrors, Received};
pub use segments::{SegmentCounts, Segments};
pub use transmit::Transmitted;
pub use violation::{BadTransmit, Direction, MAX_VIOLATIONS, Violation, Violations};
