//! Traffic.

mod epair;
mod frame;
mod lo;
mod unix;
mod vnet;
