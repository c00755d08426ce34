//! Which hypervisor runs the machines: QEMU or bhyve.

use std::str::FromStr;

use kdk_core::failure::Failure;
use kdk_vm::bhyve::Bhyve;
use kdk_vm::error::InfraError;
use serde::{Deserialize, Serialize};

use crate::tools;

/// The hypervisor that a caller asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VmmChoice {
    /// QEMU; bhyve where QEMU is missing and bhyve is installed.
    #[default]
    Auto,
    /// The hypervisor QEMU.
    Qemu,
    /// The hypervisor bhyve(8).
    Bhyve,
}

impl VmmChoice {
    /// The names that the command line accepts.
    pub const NAMES: [&str; 3] = ["auto", "qemu", "bhyve"];
}

impl FromStr for VmmChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "qemu" => Ok(Self::Qemu),
            "bhyve" => Ok(Self::Bhyve),
            _ => Err(format!("{text:?} is none of {}", Self::NAMES.join(", "))),
        }
    }
}

/// A hypervisor that kdk can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The hypervisor QEMU.
    Qemu,
    /// The hypervisor bhyve(8).
    Bhyve,
}

/// Returns the hypervisor that `choice` means on this host.
///
/// # Errors
/// Fails when bhyve is wanted on a host that is not FreeBSD.
pub fn choose(choice: VmmChoice) -> Result<Kind, Failure> {
    decide(choice, std::env::consts::OS, missing, bhyve_is_there)
}

/// Returns whether this host uses bhyve when `--vmm` is not given.
pub fn is_bhyve_by_default() -> bool {
    let kind = decide(
        VmmChoice::Auto,
        std::env::consts::OS,
        missing,
        bhyve_is_there,
    );
    matches!(kind, Ok(Kind::Bhyve))
}

fn missing() -> bool {
    matches!(tools::qemu(), Err(InfraError::QemuMissing { .. }))
}

fn bhyve_is_there() -> bool {
    Bhyve::find().is_ok()
}

/// Returns the hypervisor to use on the operating system `os`. Pure.
fn decide(
    choice: VmmChoice,
    os: &str,
    qemu_is_missing: impl Fn() -> bool,
    bhyve_is_there: impl Fn() -> bool,
) -> Result<Kind, Failure> {
    let freebsd = os == "freebsd";
    match choice {
        VmmChoice::Qemu => Ok(Kind::Qemu),
        VmmChoice::Bhyve if freebsd => Ok(Kind::Bhyve),
        VmmChoice::Bhyve => Err(Failure::usage(
            "use bhyve",
            format!("it is FreeBSD's hypervisor, and this host runs {os}"),
        )
        .help("leave --vmm out, or use `--vmm qemu`")),
        VmmChoice::Auto if freebsd && qemu_is_missing() && bhyve_is_there() => Ok(Kind::Bhyve),
        VmmChoice::Auto => Ok(Kind::Qemu),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_core::failure::rendered;

    #[test]
    fn qemu_is_used_unless_only_bhyve_is_installed() {
        use Kind::{Bhyve, Qemu};
        for (choice, os, qemu, bhyve, want) in [
            (VmmChoice::Auto, "freebsd", true, true, Qemu),
            (VmmChoice::Auto, "freebsd", false, true, Bhyve),
            (VmmChoice::Auto, "freebsd", false, false, Qemu),
            (VmmChoice::Auto, "linux", false, true, Qemu),
            (VmmChoice::Qemu, "freebsd", false, true, Qemu),
            (VmmChoice::Bhyve, "freebsd", true, false, Bhyve),
        ] {
            let got = decide(choice, os, || !qemu, || bhyve).unwrap();
            assert_eq!(got, want, "{choice:?} {os} {qemu} {bhyve}");
        }
    }

    #[test]
    fn bhyve_elsewhere_is_one_clear_error() {
        let failure = decide(VmmChoice::Bhyve, "linux", || false, || true).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        insta::assert_snapshot!(rendered(&failure), @r"
        × could not use bhyve
        ╰─▶ it is FreeBSD's hypervisor, and this host runs linux
        help: leave --vmm out, or use `--vmm qemu`
        ");
    }
}
