//! The command line: which fault to play outside of tests, and how large a
//! flood.

use core::fmt;

/// A fault that a guest can have outside of its tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
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
    /// It finds no init.
    InitMissing,
    /// Its init crashes.
    InitCrash,
    /// It panics while it loads the test module.
    LoadPanic,
    /// It refuses the test module, and says so in its hello.
    KmodRefused,
    /// It stops in the middle of its list.
    ListHang,
    /// It says goodbye and stays.
    EndHang,
    /// It panics when it is asked to end, as in unloading the test module.
    EndPanic,
}

/// What the faults are called.
pub const FAULTS: [(&str, Fault); 14] = [
    ("boot-panic", Fault::Panic),
    ("boot-hang", Fault::Hang),
    ("no-hello", Fault::NoHello),
    ("bad-version", Fault::BadVersion),
    ("reboot-loop", Fault::RebootLoop),
    ("early-exit", Fault::EarlyExit),
    ("mountroot", Fault::Mountroot),
    ("init-missing", Fault::InitMissing),
    ("init-crash", Fault::InitCrash),
    ("load-panic", Fault::LoadPanic),
    ("kmod-refused", Fault::KmodRefused),
    ("list-hang", Fault::ListHang),
    ("end-hang", Fault::EndHang),
    ("end-panic", Fault::EndPanic),
];

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Fault to play outside of tests (`fault=NAME`).
    pub fault: Option<Fault>,
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
                FAULTS
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
            let known = FAULTS.iter().find(|(known, _)| *known == name);
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
            ("fault=boot-panic", with(Some(Fault::Panic), 64)),
            (
                "a,flood_mib=1\tfault=mountroot\n",
                with(Some(Fault::Mountroot), 1),
            ),
            (
                "fault=no-hello fault=boot-hang",
                with(Some(Fault::Hang), 64),
            ),
        ] {
            assert_eq!(parse(line), Ok(options), "{line}");
        }
    }
}
