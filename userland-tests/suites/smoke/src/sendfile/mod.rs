//! The system call sendfile(2).

mod contents;
mod edges;
mod errors;
mod partial;
mod sync;
mod unix_wait;
