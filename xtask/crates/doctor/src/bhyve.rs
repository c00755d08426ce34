//! The checks for bhyve, on FreeBSD hosts only.

use std::path::Path;
use std::process::Command;

use kdk_vm::bhyve::{Bhyve, find_firmware};
use nix::unistd::Uid;

use super::checks::{Check, GUESTS, State, check};
use super::packages::Remedy;
use crate::hypervisor;
use kdk_core::context::Context;

/// Every check, in the order of the report.
pub static ALL: [Check; 3] = [
    check("bhyve", GUESTS, programs, Remedy::Nothing),
    check("vmm.ko", GUESTS, module, Remedy::Load("vmm")),
    check("UEFI firmware of bhyve", GUESTS, firmware, Remedy::Nothing),
];

fn programs(_: &Context) -> State {
    let root = Uid::effective().is_root();
    classify_programs(
        Bhyve::find().map(|it| it.bhyve),
        root,
        hypervisor::is_bhyve_by_default(),
    )
}

/// Classifies the programs and the permissions of this user. They only matter
/// if bhyve runs the guests.
fn classify_programs<E: std::fmt::Display>(
    found: Result<impl AsRef<Path>, E>,
    root: bool,
    used: bool,
) -> State {
    match found {
        Ok(path) if root => State::Found(path.as_ref().display().to_string()),
        Ok(path) => {
            let text = format!("{}, but only root can use it", path.as_ref().display());
            if used {
                State::Missing(text)
            } else {
                State::Note(text)
            }
        }
        Err(error) => State::Note(error.to_string()),
    }
}

fn module(_: &Context) -> State {
    // vmm(4) has this device since FreeBSD 15; kldstat(8) works on older
    // releases too.
    let loaded = Path::new("/dev/vmmctl").exists()
        || Command::new("kldstat")
            .args(["-q", "-m", "vmm"])
            .status()
            .is_ok_and(|status| status.success());
    classify_module(loaded, hypervisor::is_bhyve_by_default())
}

fn classify_module(loaded: bool, used: bool) -> State {
    match (loaded, used) {
        (true, _) => State::Found("it is loaded".into()),
        (false, true) => State::Missing("it is not loaded".into()),
        (false, false) => State::Note("not loaded; run `kldload vmm` before `--vmm bhyve`".into()),
    }
}

/// Checks the UEFI firmware. bhyveload(8) boots without it.
fn firmware(_: &Context) -> State {
    match find_firmware() {
        Ok(path) => State::Found(path.display().to_string()),
        Err(_) => State::Note(
            "not installed; run `pkg install bhyve-firmware` for `--vmm bhyve --boot efi`".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::packages::tests::host;
    use super::super::packages::{System, command};
    use super::super::{HostFinding, text};
    use super::*;

    fn findings(root: bool, loaded: bool, used: bool) -> Vec<HostFinding> {
        let states = [
            classify_programs(Ok::<_, String>("/usr/sbin/bhyve"), root, used),
            classify_module(loaded, used),
        ];
        let finding = |(check, state): (&'static Check, State)| HostFinding {
            what: check.what,
            state,
            remedy: &check.remedy,
        };
        ALL.iter().zip(states).map(finding).collect()
    }

    #[test]
    fn missing_parts_are_bad_only_if_bhyve_is_used() {
        for (root, loaded, used, want) in [
            (true, true, true, ["found", "found"]),
            (false, false, true, ["MISSING", "MISSING"]),
            (false, false, false, ["note", "note"]),
        ] {
            let words = findings(root, loaded, used);
            let words: Vec<&str> = words.iter().map(|it| it.state.word()).collect();
            assert_eq!(words, want, "root {root}, loaded {loaded}, used {used}");
        }
        let absent = classify_programs(Err::<&str, _>("there is no /usr/sbin/bhyve"), true, false);
        assert_eq!(absent.word(), "note");
    }

    #[test]
    fn the_command_loads_the_module() {
        let (findings, host) = (findings(true, false, true), host(System::FreeBsd));
        assert_eq!(
            command(&findings, &host).as_deref(),
            Some("sudo kldload vmm")
        );
        insta::assert_snapshot!(text(&findings, &host), @r"
        found    bhyve                      /usr/sbin/bhyve
        MISSING  vmm.ko                     it is not loaded

        to fix this, run (or add `--fix`):
          sudo kldload vmm
        ");
    }
}
