//! Network traffic of several kinds.

mod epair;
mod lo;
mod unix;
mod vnet;
