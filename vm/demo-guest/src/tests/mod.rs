//! The tests of this guest: the harness in ring 0, and faults on demand.

mod fault;
mod harness;
mod isolation;
mod leaks;
