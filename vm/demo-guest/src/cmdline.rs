//! The command line: which fault to play at boot, and how large a flood.

use core::fmt;

/// A fault that a guest can have before it says hello, or in saying it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootFault {
    /// It panics and resets.
    Panic,
    /// It stops, with nothing to be seen.
    Hang,
    /// It runs, but never says hello.
    NoHello,
    /// It says hello in another version of the protocol.
    BadVersion,
    /// It resets, again and again.
    RebootLoop,
    /// It ends the machine.
    EarlyExit,
    /// It asks for a root file system.
    Mountroot,
}

/// What the faults are called.
pub const BOOT_FAULTS: [(&str, BootFault); 7] = [
    ("boot-panic", BootFault::Panic),
    ("boot-hang", BootFault::Hang),
    ("no-hello", BootFault::NoHello),
    ("bad-version", BootFault::BadVersion),
    ("reboot-loop", BootFault::RebootLoop),
    ("early-exit", BootFault::EarlyExit),
    ("mountroot", BootFault::Mountroot),
];

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Fault to play at boot (`fault=NAME`).
    pub fault: Option<BootFault>,
    /// Size of the console flood, MiB (`flood_mib=N`).
    pub flood_mib: u32,
}

impl Options {
    /// What an empty command line asks for.
    pub const DEFAULT: Self = Self {
        fault: None,
        flood_mib: 64,
    };
}

/// A word of the command line that cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadOption<'a> {
    /// No fault has this name.
    Fault(&'a str),
    /// Not a number of MiB.
    FloodMib(&'a str),
}

impl fmt::Display for BadOption<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(name) => {
                write!(out, "fault={name} is not known; there are")?;
                BOOT_FAULTS
                    .iter()
                    .try_for_each(|(name, _)| write!(out, " {name}"))
            }
            Self::FloodMib(value) => write!(out, "flood_mib={value} is not a number of MiB"),
        }
    }
}

/// Reads a command line. Words are separated as FreeBSD's kernel does it for a
/// PVH start (blank, comma, tab, newline); those meant for other kernels are
/// passed over.
pub fn parse(line: &str) -> Result<Options, BadOption<'_>> {
    let mut options = Options::DEFAULT;
    for word in line.split([' ', ',', '\t', '\n']) {
        if let Some(name) = word.strip_prefix("fault=") {
            let known = BOOT_FAULTS.iter().find(|(known, _)| *known == name);
            options.fault = Some(known.ok_or(BadOption::Fault(name))?.1);
        } else if let Some(value) = word.strip_prefix("flood_mib=") {
            options.flood_mib = value.parse().map_err(|_| BadOption::FloodMib(value))?;
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (line, bad) in [
            ("fault=", BadOption::Fault("")),
            ("a fault=boot b", BadOption::Fault("boot")),
            ("flood_mib=", BadOption::FloodMib("")),
            ("flood_mib=-1", BadOption::FloodMib("-1")),
            ("flood_mib=4294967296", BadOption::FloodMib("4294967296")),
        ] {
            assert_eq!(parse(line), Err(bad), "{line}");
        }
        let told = BadOption::Fault("x").to_string();
        assert!(
            told.contains("boot-panic") && told.contains("mountroot"),
            "{told}"
        );
    }

    #[test]
    fn options_are_read() {
        let with = |fault, flood_mib| Options { fault, flood_mib };
        for (line, options) in [
            ("", Options::DEFAULT),
            ("console=comconsole, x", Options::DEFAULT),
            ("nofault=x", Options::DEFAULT),
            ("fault=boot-panic", with(Some(BootFault::Panic), 64)),
            (
                "a,flood_mib=1\tfault=mountroot\n",
                with(Some(BootFault::Mountroot), 1),
            ),
            (
                "fault=no-hello fault=boot-hang",
                with(Some(BootFault::Hang), 64),
            ),
        ] {
            assert_eq!(parse(line), Ok(options), "{line}");
        }
    }
}
