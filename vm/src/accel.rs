//! Chooses what executes the guest's instructions: a hardware accelerator that
//! works here, or QEMU's emulator, with the reason.
//!
//! An accelerator's device may exist, open and answer its calls and still never
//! run a guest. Therefore a small guest is run to test it.

mod guest;

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Instant;
use crate::error::InfraError;
use crate::exit::Exit;
use crate::machine::{Event, Machine};
use crate::qemu::{Boot, Engine, Qemu, QemuMachine, Spec};

#[cfg(test)]
pub(crate) use guest::elf as probe_elf;

/// The time limit of the probe's guest, which needs half a second.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// The accelerator that the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccelChoice {
    /// The fastest one that works.
    #[default]
    Auto,
    /// This one; anything else is an error.
    Exactly(Engine),
}

impl AccelChoice {
    /// The names that the command line accepts.
    pub const NAMES: [&str; 5] = ["auto", "kvm", "hvf", "nvmm", "tcg"];
}

impl FromStr for AccelChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let engines = [Engine::Kvm, Engine::Hvf, Engine::Nvmm, Engine::Tcg];
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let found = engines.into_iter().find(|engine| engine.name() == text);
        found
            .map(Self::Exactly)
            .ok_or_else(|| format!("{text:?} is none of auto, kvm, hvf, nvmm, tcg"))
    }
}

/// One accelerator that was tried, and the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The accelerator that was tried.
    pub engine: Engine,
    /// The reason why it does not work, or none if it works.
    pub why_not: Option<String>,
    /// The duration of the probe, in milliseconds.
    pub ms: u64,
}

/// The accelerator that was chosen. It is valid for this host and this QEMU, so
/// callers may cache it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The accelerator to use.
    pub engine: Engine,
    /// The accelerators that were tried.
    pub tried: Vec<Attempt>,
}

impl Resolved {
    /// Returns one line that says why a faster accelerator is not used, if one
    /// was tried.
    pub fn remark(&self) -> Option<String> {
        let failed: Vec<String> = self
            .tried
            .iter()
            .filter_map(|attempt| {
                let why = attempt.why_not.as_ref()?;
                Some(format!("no {}: {why}", attempt.engine.name()))
            })
            .collect();
        if failed.is_empty() {
            return None;
        }
        Some(format!(
            "using {} ({})",
            self.engine.name(),
            failed.join("; ")
        ))
    }
}

/// Returns the accelerator to use.
///
/// # Errors
/// Fails with [`InfraError::Accel`] when the accelerator that was asked for
/// does not work. [`AccelChoice::Auto`] fails only when no probe could be set
/// up.
pub fn choose(
    qemu: &Qemu,
    choice: AccelChoice,
    deadline: Duration,
) -> Result<Resolved, InfraError> {
    let tried = match choice {
        AccelChoice::Exactly(Engine::Tcg) => Vec::new(),
        AccelChoice::Exactly(engine) => vec![attempt(qemu, engine, deadline)?],
        AccelChoice::Auto => match hosts_own() {
            Some(engine) => vec![attempt(qemu, engine, deadline)?],
            None => Vec::new(),
        },
    };
    decide(choice, tried)
}

/// Returns the decision from the results of the probes. Pure.
fn decide(choice: AccelChoice, tried: Vec<Attempt>) -> Result<Resolved, InfraError> {
    if let AccelChoice::Exactly(engine) = choice
        && let Some(why) = tried.iter().find_map(|attempt| attempt.why_not.clone())
    {
        return Err(InfraError::Accel {
            name: engine.name().to_owned(),
            why,
        });
    }
    let works = tried.iter().find(|attempt| attempt.why_not.is_none());
    let engine = works.map_or(Engine::Tcg, |attempt| attempt.engine);
    Ok(Resolved { engine, tried })
}

/// Returns the accelerator of this operating system, if it can run amd64
/// guests.
fn hosts_own() -> Option<Engine> {
    if !cfg!(target_arch = "x86_64") {
        return None;
    }
    match std::env::consts::OS {
        "linux" => Some(Engine::Kvm),
        "macos" => Some(Engine::Hvf),
        "netbsd" => Some(Engine::Nvmm),
        _ => None,
    }
}

fn attempt(qemu: &Qemu, engine: Engine, deadline: Duration) -> Result<Attempt, InfraError> {
    let start = Instant::now();
    let why_not = match device(engine) {
        Some(why) => Some(why),
        None => probe(qemu, engine, deadline)?.err(),
    };
    Ok(Attempt {
        engine,
        why_not,
        ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// Returns what is obviously wrong with the accelerator's device.
fn device(engine: Engine) -> Option<String> {
    if engine != Engine::Kvm {
        return None;
    }
    let opened = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    explain_device(opened.err()?)
}

fn explain_device(error: std::io::Error) -> Option<String> {
    Some(match error.kind() {
        ErrorKind::NotFound => {
            "there is no /dev/kvm (no hardware virtualization, or the kvm module is not loaded)"
                .into()
        }
        ErrorKind::PermissionDenied => {
            "this user may not open /dev/kvm (`sudo usermod -aG kvm $USER`, then log in again)"
                .into()
        }
        _ => format!("/dev/kvm does not open: {error}"),
    })
}

/// Runs the probe's guest. The outer error is the host's, the inner one the
/// accelerator's.
fn probe(
    qemu: &Qemu,
    engine: Engine,
    deadline: Duration,
) -> Result<Result<(), String>, InfraError> {
    let mut file = tempfile::Builder::new()
        .prefix("kdk-probe-")
        .suffix(".elf")
        .tempfile()
        .map_err(|e| InfraError::sys("make a temporary file", e))?;
    file.write_all(&guest::elf())
        .map_err(|e| InfraError::io("write", file.path(), e))?;
    let boot = Boot::Pvh {
        kernel: file.path().to_owned(),
        cmdline: String::new(),
    };
    let mut spec = Spec::new(engine, boot);
    spec.size.mem_mib = 64;
    let machine = QemuMachine::start(qemu, &spec)?;
    let end = Instant::now() + deadline;
    let exit = loop {
        match machine.inbox().next(end) {
            Some(Event::Ended(exit)) => break Some(exit),
            Some(_) => {}
            None => break None,
        }
    };
    Ok(judge(exit, deadline))
}

/// Returns whether the probe's guest ended as it should. Pure.
fn judge(exit: Option<Exit>, deadline: Duration) -> Result<(), String> {
    match exit {
        Some(Exit::Debug(guest::VALUE)) => Ok(()),
        None => Err(format!(
            "a guest that should take half a second was not done after {} s",
            deadline.as_secs()
        )),
        Some(
            Exit::Refused { stderr, .. }
            | Exit::Broken { stderr, .. }
            | Exit::Signal { stderr, .. },
        ) if !stderr.is_empty() => Err(stderr),
        Some(exit) => Err(format!("a small guest did not run: {exit}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{Ending, Status};
    use crate::qemu::{VMM, exit::classify};

    fn ending(status: Status, ran: bool, stderr: &str) -> Exit {
        classify(Ending {
            vmm: VMM,
            status,
            ran,
            shutdown: None,
            killed: false,
            stderr: stderr.into(),
        })
    }

    #[test]
    fn a_device_that_is_there_is_not_yet_a_hypervisor_that_works() {
        let second = Duration::from_secs(5);
        for (end, want) in [
            (None, "was not done after 5 s"),
            (
                Some(ending(
                    Status::Signal(6),
                    false,
                    "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\n",
                )),
                "failed to set MSR 0x10a",
            ),
            (
                Some(ending(
                    Status::Code(1),
                    false,
                    "qemu-system-x86_64: -accel hvf: invalid accelerator hvf\n",
                )),
                "invalid accelerator hvf",
            ),
            (
                Some(ending(Status::Code(3), true, "")),
                "a small guest did not run: the guest ended the machine (debug exit 1)",
            ),
            (Some(ending(Status::Signal(9), true, "")), "signal 9"),
        ] {
            let why = judge(end, second).unwrap_err();
            assert!(why.contains(want), "{why}");
        }
        assert_eq!(
            judge(Some(ending(Status::Code(35), true, "")), second),
            Ok(())
        );
    }

    #[test]
    fn auto_falls_back_and_says_why_an_explicit_choice_is_an_error() {
        let failed = || {
            vec![Attempt {
                engine: Engine::Kvm,
                why_not: Some("it sleeps".into()),
                ms: 5000,
            }]
        };
        let choice = decide(AccelChoice::Auto, failed()).unwrap();
        assert_eq!(choice.engine, Engine::Tcg);
        assert_eq!(choice.remark().unwrap(), "using tcg (no kvm: it sleeps)");
        let json = serde_json::to_string(&choice).unwrap();
        assert_eq!(serde_json::from_str::<Resolved>(&json).unwrap(), choice);

        let error = decide(AccelChoice::Exactly(Engine::Kvm), failed()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "accelerator kvm does not work here: it sleeps"
        );
        let plain = decide(AccelChoice::Exactly(Engine::Tcg), Vec::new()).unwrap();
        assert_eq!((plain.engine, plain.remark()), (Engine::Tcg, None));
    }

    #[test]
    fn a_forbidden_device_is_distinguished_from_a_missing_one() {
        for (kind, want) in [
            (ErrorKind::NotFound, "there is no /dev/kvm"),
            (ErrorKind::PermissionDenied, "may not open /dev/kvm"),
            (ErrorKind::ResourceBusy, "does not open"),
        ] {
            let why = explain_device(kind.into()).unwrap();
            assert!(why.contains(want), "{why}");
        }
    }

    #[test]
    fn choices_are_parsed() {
        assert_eq!("auto".parse(), Ok(AccelChoice::Auto));
        assert_eq!("tcg".parse(), Ok(AccelChoice::Exactly(Engine::Tcg)));
        assert!("KVM".parse::<AccelChoice>().is_err());
    }
}
