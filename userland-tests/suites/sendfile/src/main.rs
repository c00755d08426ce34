#![no_std]
#![no_main]
//! Suite `sendfile`: SF_KQUEUE, the completion of sendfile(2) on a kqueue.
//!
//! The contract: exactly one event if the call returns 0 or has sent a byte,
//! none otherwise; not before the last page is free; `ident` and `udata` as
//! given, `data` the bytes that were sent, `fflags` the error of a read that
//! failed later.

extern crate alloc;

mod busy;
mod compat32;
mod delivery;
mod dump;
mod early;
mod edges;
mod ends;
mod fork;
mod idents;
mod in_flight;
mod knotes;
mod late;
mod partial;
mod races;
mod refused;
mod reuse;
mod shutdown;
mod stress;
mod tls;
mod unix_buffers;

kdk_sys::suite_main!();
