//! sendfile(2).

mod contents;
mod edges;
mod errors;
mod partial;
mod source;
mod sync;
mod unix_wait;
