//! The command line of fbsd-kdk.

mod event;
mod failure;
mod home;
mod store;

fn main() {}
