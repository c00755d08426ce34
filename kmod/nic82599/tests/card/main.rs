//! The NIC from outside, as a driver and a wire see it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod allocation;
mod attach;
mod conservation;
mod hostile;
mod receive;
mod support;
mod transmit;
mod virtual_function;
