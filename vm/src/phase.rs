//! Derives the phase of a boot from its console.

use serde::{Deserialize, Serialize};

/// A phase of a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Neither a loader nor the kernel has printed anything.
    #[default]
    Firmware,
    /// The boot loader runs.
    Loader,
    /// The kernel runs.
    Kernel,
    /// The kernel looks for its root file system.
    MountRoot,
    /// User space was started (or the demo guest's main loop).
    Init,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Firmware => "firmware",
            Self::Loader => "loader",
            Self::Kernel => "kernel",
            Self::MountRoot => "mount root",
            Self::Init => "init",
        })
    }
}

impl Phase {
    /// Returns the phase after `line`, which is never an earlier one.
    pub fn after(self, line: &str) -> Self {
        // The message of kdk's init. Other programs' names may end like this.
        if line.starts_with("init: ") {
            return Self::Init;
        }
        MARKS
            .iter()
            .filter(|(mark, _)| line.contains(mark))
            .map(|(_, phase)| *phase)
            .fold(self, Self::max)
    }
}

/// The texts are those of stand/efi/loader/main.c, stand/common/boot.c, OVMF
/// (BdsDxe), sys/kern/subr_prf.c (BOOT_TAG), sys/sys/copyright.h,
/// sys/kern/subr_kdb.c, sys/kern/vfs_mountroot.c and sys/kern/init_main.c.
const MARKS: &[(&str, Phase)] = &[
    ("EFI loader", Phase::Loader),
    ("Loading kernel", Phase::Loader),
    ("/boot/kernel/kernel text=", Phase::Loader),
    ("---<<BOOT>>---", Phase::Kernel),
    ("Copyright (c) 1992-", Phase::Kernel),
    ("KDB: debugger backends:", Phase::Kernel),
    ("kdk demo guest", Phase::Kernel),
    ("Trying to mount root from", Phase::MountRoot),
    ("mountroot>", Phase::MountRoot),
    ("start_init: trying", Phase::Init),
    ("init: not found in path", Phase::Init),
    ("init died", Phase::Init),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_only_goes_forward() {
        let mut phase = Phase::default();
        for (line, want) in [
            (
                "BdsDxe: starting Boot0001 \"UEFI Misc Device\"",
                Phase::Firmware,
            ),
            (">> FreeBSD EFI boot block", Phase::Firmware),
            ("FreeBSD/amd64 EFI loader, Revision 3.0", Phase::Loader),
            (
                "/boot/kernel/kernel text=0x17b158 text=0xd6f1b0 data=0x140",
                Phase::Loader,
            ),
            ("---<<BOOT>>---", Phase::Kernel),
            (
                "Copyright (c) 1992-2025 The FreeBSD Project.",
                Phase::Kernel,
            ),
            (
                "Trying to mount root from ufs:/dev/vtbd0 [rw]...",
                Phase::MountRoot,
            ),
            ("KDB: debugger backends: ddb", Phase::MountRoot),
            ("vmx_init: no", Phase::MountRoot),
            ("init: up", Phase::Init),
            ("Copyright (c) 1992-2025 The FreeBSD Project.", Phase::Init),
        ] {
            phase = phase.after(line);
            assert_eq!(phase, want, "{line}");
        }
    }
}
