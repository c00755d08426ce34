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
    judge_programs(
        Bhyve::find().map(|it| it.bhyve),
        root,
        hypervisor::is_bhyve_by_default(),
    )
}

/// Where the programs are, and whether this user may use them. It only matters
/// if bhyve is what plays the machines.
fn judge_programs<E: std::fmt::Display>(
    found: Result<impl AsRef<Path>, E>,
    root: bool,
    plays: bool,
) -> State {
    match found {
        Ok(path) if root => State::Found(path.as_ref().display().to_string()),
        Ok(path) => {
            let text = format!("{}, but only root may use it", path.as_ref().display());
            if plays {
                State::Missing(text)
            } else {
                State::Note(text)
            }
        }
        Err(error) => State::Note(error.to_string()),
    }
}

fn module(_: &Context) -> State {
    // vmm(4) has this device since FreeBSD 15; kldstat knows older ones, too.
    let loaded = Path::new("/dev/vmmctl").exists()
        || Command::new("kldstat")
            .args(["-q", "-m", "vmm"])
            .status()
            .is_ok_and(|status| status.success());
    judge_module(loaded, hypervisor::is_bhyve_by_default())
}

fn judge_module(loaded: bool, plays: bool) -> State {
    match (loaded, plays) {
        (true, _) => State::Found("it is loaded".into()),
        (false, true) => State::Missing("it is not loaded".into()),
        (false, false) => State::Note("not loaded; `kldload vmm` before `--vmm bhyve`".into()),
    }
}

/// bhyveload(8) boots without it.
fn firmware(_: &Context) -> State {
    match find_firmware() {
        Ok(path) => State::Found(path.display().to_string()),
        Err(_) => State::Note(
            "not there; `pkg install bhyve-firmware` for `--vmm bhyve --boot efi`".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::packages::tests::host;
    use super::super::packages::{System, command};
    use super::super::{Finding, text};
    use super::*;

    fn findings(root: bool, loaded: bool, plays: bool) -> Vec<Finding> {
        let states = [
            judge_programs(Ok::<_, String>("/usr/sbin/bhyve"), root, plays),
            judge_module(loaded, plays),
        ];
        let finding = |(check, state): (&'static Check, State)| Finding {
            what: check.what,
            state,
            remedy: &check.remedy,
        };
        ALL.iter().zip(states).map(finding).collect()
    }

    #[test]
    fn what_lacks_is_bad_only_where_bhyve_plays() {
        for (root, loaded, plays, want) in [
            (true, true, true, ["found", "found"]),
            (false, false, true, ["MISSING", "MISSING"]),
            (false, false, false, ["note", "note"]),
        ] {
            let words = findings(root, loaded, plays);
            let words: Vec<&str> = words.iter().map(|it| it.state.word()).collect();
            assert_eq!(words, want, "root {root}, loaded {loaded}, plays {plays}");
        }
        let absent = judge_programs(Err::<&str, _>("there is no /usr/sbin/bhyve"), true, false);
        assert_eq!(absent.word(), "note");
    }

    #[test]
    fn a_module_is_loaded_by_the_mending_command() {
        let (findings, host) = (findings(true, false, true), host(System::FreeBsd));
        assert_eq!(
            command(&findings, &host).as_deref(),
            Some("sudo kldload vmm")
        );
        insta::assert_snapshot!(text(&findings, &host), @r"
        found    bhyve                      /usr/sbin/bhyve
        MISSING  vmm.ko                     it is not loaded

        to mend it (`cargo xtask doctor --fix` runs this):
          sudo kldload vmm
        ");
    }
}
