//! Parses the command line: the fault to inject outside of tests, and the size
//! of a flood.

use core::fmt;

/// A fault that is injected outside of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The guest panics and resets.
    Panic,
    /// The guest stops without output.
    Hang,
    /// The guest runs, but never writes its hello.
    NoHello,
    /// The hello has another version of the protocol.
    BadVersion,
    /// The guest resets again and again.
    RebootLoop,
    /// The guest ends the machine.
    EarlyExit,
    /// The guest asks for a root file system.
    Mountroot,
    /// The guest finds no init.
    InitMissing,
    /// The guest's init crashes.
    InitCrash,
    /// The guest panics while it loads the test module.
    LoadPanic,
    /// The guest refuses the test module, and reports that in its hello.
    KmodRefused,
    /// The guest stops in the middle of its list.
    ListHang,
    /// The guest answers `end` and keeps running.
    EndHang,
    /// The guest panics on `end`, as if unloading the test module failed.
    EndPanic,
}

/// The names of the faults.
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

/// The options of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The fault to inject outside of tests (`fault=NAME`).
    pub fault: Option<Fault>,
    /// The size of the console flood, in MiB (`flood_mib=N`).
    pub flood_mib: u32,
}

impl Options {
    /// The options of an empty command line.
    pub const DEFAULT: Self = Self {
        fault: None,
        flood_mib: 64,
    };
}

/// An invalid word of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadOption<'a> {
    /// There is no fault of this name.
    Fault(&'a str),
    /// The value is not a number of MiB.
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

/// Parses a command line. Words are separated as in FreeBSD's PVH boot (blank,
/// comma, tab, newline). Unknown words are ignored.
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
        let message = BadOption::Fault("x").to_string();
        assert!(
            message.contains("boot-panic") && message.contains("mountroot"),
            "{message}"
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
