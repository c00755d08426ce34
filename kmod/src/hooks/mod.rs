//! `/dev/kdk`: write one command, read the answer to its end.
//!
//! | command | answer |
//! |---|---|
//! | `version` | `# kdk-version X.Y.Z` |
//! | `list`, `run NAME`, `run GLOB` | as the protocol of the result channel has it |
//!
//! Reading is what runs the tests: read(2) returns everything written up to a
//! `# start NAME`, and the next one runs that test.
//!
//! Errors of write(2): `EINVAL` for what is no command, `ENAMETOOLONG` for one
//! of more than 200 bytes, `EBUSY` before the last answer was read to its end,
//! and for `run` while another descriptor runs tests.

mod session;
mod slot;

pub use session::Session;
