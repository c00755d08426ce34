//! How a machine ended, from what its process left behind. Pure.

use std::fmt;

use crate::error::InfraError;
use crate::vmm::Vmm;

/// How a machine's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// A signal killed it.
    Signal(i32),
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// All that is known about the end of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// What played the machine.
    pub vmm: Vmm,
    /// How the process ended.
    pub status: Status,
    /// Whether the guest ever ran: QEMU tells, of bhyve it is known once a
    /// byte came out of the machine.
    pub ran: bool,
    /// The reason in QMP's SHUTDOWN event, if there was one (`guest-reset`).
    pub shutdown: Option<String>,
    /// Whether we killed it.
    pub killed: bool,
    /// The last of what was written on standard error.
    pub stderr: String,
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest wrote this value to the debug-exit port.
    Debug(u8),
    /// The guest turned the power off.
    PowerOff,
    /// The guest halted for good.
    Halted,
    /// The guest reset itself, on purpose or by a triple fault: QEMU cannot
    /// tell, and was told not to start again.
    Reset,
    /// The guest reset itself by a triple fault, which bhyve can tell.
    TripleFault,
    /// The guest told its panic device.
    GuestPanic,
    /// We ended it.
    Killed,
    /// QEMU was asked to end by a signal or through QMP, not by us.
    Host,
    /// The guest never ran.
    Refused {
        /// Who refused.
        vmm: Vmm,
        /// How it ended.
        status: Status,
        /// What it said.
        stderr: String,
    },
    /// The machine's process died of a signal.
    Signal {
        /// Who died.
        vmm: Vmm,
        /// The signal's number.
        signal: i32,
        /// What it said.
        stderr: String,
    },
    /// The machine broke down while the guest ran.
    Broken {
        /// Who gave up.
        vmm: Vmm,
        /// How it ended.
        status: Status,
        /// What it said.
        stderr: String,
    },
}

/// Says how a machine ended.
pub fn classify(ending: &Ending) -> Exit {
    let (vmm, stderr) = (ending.vmm, shorten(&ending.stderr));
    match ending.status {
        _ if ending.killed => Exit::Killed,
        Status::Signal(signal) => Exit::Signal {
            vmm,
            signal,
            stderr,
        },
        Status::Code(code) => match vmm {
            Vmm::Qemu => classify_qemu(ending, code, stderr),
            Vmm::Bhyve => classify_bhyve(ending, code, stderr),
        },
    }
}

/// isa-debug-exit turns the value `v` into the exit status `(v << 1) | 1`, so
/// status 1 is value 0 -- or QEMU's own failure, which comes before the guest
/// runs.
fn classify_qemu(ending: &Ending, code: i32, stderr: String) -> Exit {
    match (code, ending.shutdown.as_deref()) {
        _ if !ending.ran => refused(ending, stderr),
        (_, Some("host-signal" | "host-qmp-quit" | "host-ui")) => Exit::Host,
        // Newer QEMUs announce a debug exit as a shutdown; older ones just go.
        (1..=255, None | Some("guest-shutdown")) if code & 1 == 1 => {
            match u8::try_from(code >> 1) {
                // An error while running also ends with 1, but is explained.
                Ok(0) if ending.shutdown.is_none() && stderr.contains("error") => {
                    broken(ending, stderr)
                }
                Ok(value) => Exit::Debug(value),
                Err(_) => broken(ending, stderr),
            }
        }
        (0, Some("guest-reset")) => Exit::Reset,
        (0, Some("guest-shutdown")) => Exit::PowerOff,
        (_, Some("guest-panic")) => Exit::GuestPanic,
        _ => broken(ending, stderr),
    }
}

/// bhyve(8), "EXIT STATUS". Its own failures at the start also end with 1, but
/// are explained, and come before the guest's first byte.
fn classify_bhyve(ending: &Ending, code: i32, stderr: String) -> Exit {
    match code {
        0 => Exit::Reset,
        1 if ending.ran || stderr.is_empty() => Exit::PowerOff,
        2 => Exit::Halted,
        3 => Exit::TripleFault,
        _ if ending.ran => broken(ending, stderr),
        _ => refused(ending, stderr),
    }
}

fn refused(ending: &Ending, stderr: String) -> Exit {
    Exit::Refused {
        vmm: ending.vmm,
        status: ending.status,
        stderr,
    }
}

fn broken(ending: &Ending, stderr: String) -> Exit {
    Exit::Broken {
        vmm: ending.vmm,
        status: ending.status,
        stderr,
    }
}

impl Exit {
    /// The host's fault, if it was the host's.
    pub fn infra(&self) -> Option<InfraError> {
        match self {
            Self::Debug(_)
            | Self::PowerOff
            | Self::Halted
            | Self::Reset
            | Self::TripleFault
            | Self::GuestPanic
            | Self::Killed => None,
            Self::Host => Some(InfraError::killed(Vmm::Qemu, 15, String::new())),
            Self::Refused {
                vmm,
                status,
                stderr,
            }
            | Self::Broken {
                vmm,
                status,
                stderr,
            } => Some(InfraError::refused(*vmm, *status, stderr.clone())),
            Self::Signal {
                vmm,
                signal,
                stderr,
            } => Some(InfraError::killed(*vmm, *signal, stderr.clone())),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debug(value) => write!(f, "the guest ended the machine (debug exit {value})"),
            Self::PowerOff => f.write_str("the guest turned the machine off"),
            Self::Halted => f.write_str("the guest halted the machine"),
            Self::Reset => f.write_str("the guest reset the machine (reboot or triple fault)"),
            Self::TripleFault => f.write_str("the guest reset the machine by a triple fault"),
            Self::GuestPanic => f.write_str("the guest reported a panic to its panic device"),
            Self::Killed => f.write_str("the machine was ended by the runner"),
            Self::Host => f.write_str("somebody ended QEMU"),
            Self::Refused {
                vmm,
                status,
                stderr,
            } => {
                write!(f, "{vmm} did not start the machine ({status}): {stderr}")
            }
            Self::Signal { vmm, signal, .. } => write!(f, "{vmm} died of signal {signal}"),
            Self::Broken {
                vmm,
                status,
                stderr,
            } => write!(f, "{vmm} gave up ({status}): {stderr}"),
        }
    }
}

/// The last lines of `stderr`, without QEMU's name in front. (bhyve's
/// stays: it tells bhyve from bhyveload.)
fn shorten(stderr: &str) -> String {
    let lines: Vec<&str> = stderr
        .lines()
        .map(|line| {
            let rest = line.split_once(": ").filter(|(program, _)| {
                program.contains("qemu") && !program.contains(char::is_whitespace)
            });
            rest.map_or(line, |(_, rest)| rest).trim()
        })
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(4)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(status: Status, shutdown: Option<&str>) -> Ending {
        Ending {
            vmm: Vmm::Qemu,
            status,
            ran: true,
            shutdown: shutdown.map(str::to_owned),
            killed: false,
            stderr: String::new(),
        }
    }

    #[test]
    fn a_debug_exit_of_zero_is_not_qemus_own_failure() {
        let mut end = ending(Status::Code(1), None);
        assert_eq!(classify(&end), Exit::Debug(0));
        end.ran = false;
        end.stderr = "qemu-system-x86_64: -accel hvf: invalid accelerator hvf\n".into();
        let refused = Exit::Refused {
            vmm: Vmm::Qemu,
            status: Status::Code(1),
            stderr: "-accel hvf: invalid accelerator hvf".into(),
        };
        assert_eq!(classify(&end), refused);
        assert!(refused.infra().is_some());
    }

    #[test]
    fn every_end_has_its_class() {
        for (status, shutdown, want) in [
            (Status::Code(35), None, Exit::Debug(17)),
            (Status::Code(255), None, Exit::Debug(127)),
            (Status::Code(35), Some("guest-shutdown"), Exit::Debug(17)),
            (Status::Code(0), Some("guest-reset"), Exit::Reset),
            (Status::Code(0), Some("guest-shutdown"), Exit::PowerOff),
            (Status::Code(0), Some("guest-panic"), Exit::GuestPanic),
            (Status::Code(0), Some("host-signal"), Exit::Host),
            (Status::Code(0), Some("host-qmp-quit"), Exit::Host),
            (
                Status::Code(2),
                None,
                Exit::Broken {
                    vmm: Vmm::Qemu,
                    status: Status::Code(2),
                    stderr: String::new(),
                },
            ),
            (
                Status::Signal(6),
                None,
                Exit::Signal {
                    vmm: Vmm::Qemu,
                    signal: 6,
                    stderr: String::new(),
                },
            ),
        ] {
            assert_eq!(classify(&ending(status, shutdown)), want, "{status:?}");
        }
    }

    #[test]
    fn being_killed_by_us_is_nobodys_fault() {
        let mut end = ending(Status::Signal(9), None);
        assert!(classify(&end).infra().is_some());
        end.killed = true;
        assert_eq!(classify(&end), Exit::Killed);
        assert!(classify(&end).infra().is_none());
    }

    #[test]
    fn an_error_while_running_is_not_a_clean_end() {
        let mut end = ending(Status::Code(1), None);
        end.stderr = "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\n".into();
        assert!(matches!(classify(&end), Exit::Broken { .. }));
    }

    /// bhyve's end with `code`; it wrote something on standard error, as it
    /// does for every register it does not know.
    fn bhyve(code: i32, ran: bool) -> Exit {
        classify(&Ending {
            vmm: Vmm::Bhyve,
            ran,
            stderr: "bhyve: noise\n".into(),
            ..ending(Status::Code(code), None)
        })
    }

    #[test]
    fn bhyves_exit_codes() {
        for (code, want) in [
            (0, Exit::Reset),
            (1, Exit::PowerOff),
            (2, Exit::Halted),
            (3, Exit::TripleFault),
        ] {
            assert_eq!(bhyve(code, true), want, "{code}");
            assert!(want.infra().is_none(), "{code}");
        }
        for code in [4, 5, 64, 71, 100] {
            assert!(matches!(bhyve(code, true), Exit::Broken { .. }), "{code}");
            assert!(bhyve(code, true).infra().is_some(), "{code}");
        }
    }

    #[test]
    fn bhyve_that_refuses_is_told_from_a_guest_that_powers_off() {
        for code in [1, 4, 64, 71] {
            let exit = bhyve(code, false);
            assert!(matches!(exit, Exit::Refused { .. }), "{code}: {exit}");
        }
        // A guest without a word that ends in order.
        let quiet = Ending {
            vmm: Vmm::Bhyve,
            ran: false,
            ..ending(Status::Code(1), None)
        };
        assert_eq!(classify(&quiet), Exit::PowerOff);
        let error = bhyve(4, false).infra().unwrap();
        assert_eq!(
            error.to_string(),
            "bhyve did not start the machine (exit status 4): bhyve: noise"
        );
        let killed = Ending {
            vmm: Vmm::Bhyve,
            ..ending(Status::Signal(9), None)
        };
        assert_eq!(
            classify(&killed).infra().unwrap().to_string(),
            "bhyve died of signal 9"
        );
    }
}
