//! The host's faults.
use crate::fault::{Fault, daily, infra};

/// All of them.
pub fn faults() -> Vec<Fault> {
    vec![daily(
        "QEMU not installed",
        infra("QEMU was not found"),
        |place| {
            let mut command = place.vm_test(&[]);
            command.env("KDK_QEMU", "/nonexistent/qemu");
            place.play(command)
        },
    )]
}
