//! Which hypervisor runs the machines: QEMU or bhyve.

use kdk_core::failure::Failure;
use kdk_vm::bhyve::Bhyve;
use kdk_vm::error::InfraError;

use crate::tools;

/// The hypervisor that the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum VmmWish {
    /// QEMU; bhyve where QEMU is missing and bhyve is there.
    Auto,
    /// The hypervisor QEMU.
    Qemu,
    /// The hypervisor bhyve(8).
    Bhyve,
}

/// A hypervisor that kdk can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The hypervisor QEMU.
    Qemu,
    /// The hypervisor bhyve(8).
    Bhyve,
}

/// Returns the hypervisor that `wish` means on this host.
///
/// # Errors
/// Fails when bhyve is wanted on a host that is not FreeBSD.
pub fn choose(wish: VmmWish) -> Result<Kind, Failure> {
    decide(wish, std::env::consts::OS, missing, bhyve_is_there)
}

/// Returns whether this host uses bhyve when `--vmm` is not given.
pub fn is_bhyve_by_default() -> bool {
    let choice = decide(VmmWish::Auto, std::env::consts::OS, missing, bhyve_is_there);
    matches!(choice, Ok(Kind::Bhyve))
}

fn missing() -> bool {
    matches!(tools::qemu(), Err(InfraError::QemuMissing { .. }))
}

fn bhyve_is_there() -> bool {
    Bhyve::find().is_ok()
}

/// Returns the hypervisor to use on the operating system `os`. Pure.
fn decide(
    wish: VmmWish,
    os: &str,
    qemu_is_missing: impl Fn() -> bool,
    bhyve_is_there: impl Fn() -> bool,
) -> Result<Kind, Failure> {
    let freebsd = os == "freebsd";
    match wish {
        VmmWish::Qemu => Ok(Kind::Qemu),
        VmmWish::Bhyve if freebsd => Ok(Kind::Bhyve),
        VmmWish::Bhyve => Err(Failure::usage(
            "use bhyve",
            format!("it is FreeBSD's hypervisor, and this host runs {os}"),
        )
        .help("leave --vmm out, or use `--vmm qemu`")),
        VmmWish::Auto if freebsd && qemu_is_missing() && bhyve_is_there() => Ok(Kind::Bhyve),
        VmmWish::Auto => Ok(Kind::Qemu),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_core::failure::rendered;

    #[test]
    fn qemu_is_used_unless_only_bhyve_is_installed() {
        use Kind::{Bhyve, Qemu};
        for (wish, os, qemu, bhyve, want) in [
            (VmmWish::Auto, "freebsd", true, true, Qemu),
            (VmmWish::Auto, "freebsd", false, true, Bhyve),
            (VmmWish::Auto, "freebsd", false, false, Qemu),
            (VmmWish::Auto, "linux", false, true, Qemu),
            (VmmWish::Qemu, "freebsd", false, true, Qemu),
            (VmmWish::Bhyve, "freebsd", true, false, Bhyve),
        ] {
            let got = decide(wish, os, || !qemu, || bhyve).unwrap();
            assert_eq!(got, want, "{wish:?} {os} {qemu} {bhyve}");
        }
    }

    #[test]
    fn bhyve_elsewhere_is_one_clear_error() {
        let failure = decide(VmmWish::Bhyve, "linux", || false, || true).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        insta::assert_snapshot!(rendered(&failure), @r"
        × could not use bhyve
        ╰─▶ it is FreeBSD's hypervisor, and this host runs linux
        help: leave --vmm out, or use `--vmm qemu`
        ");
    }
}
