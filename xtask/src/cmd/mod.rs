//! The commands, a file each.

pub mod args;
pub mod base;
pub mod bench;
pub mod bisect;
pub mod ci;
pub mod clean;
pub mod debug;
pub mod doctor;
pub mod patches;
pub mod prove;
pub mod shell;
pub mod task;
pub mod test;
pub mod tidy;
pub mod vm_test;
