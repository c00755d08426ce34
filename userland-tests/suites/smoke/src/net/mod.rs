//! Traffic.

mod epair;
mod lo;
mod unix;
mod vnet;
