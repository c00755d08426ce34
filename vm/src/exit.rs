//! How a machine ended, from what its process left behind. Pure.

use std::fmt;

use crate::error::InfraError;

/// How QEMU's process ended.
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
    /// How the process ended.
    pub status: Status,
    /// Whether QEMU ever let the guest run.
    pub ran: bool,
    /// The reason in QMP's SHUTDOWN event, if there was one (`guest-reset`).
    pub shutdown: Option<String>,
    /// Whether we killed it.
    pub killed: bool,
    /// The last of what QEMU wrote on standard error.
    pub stderr: String,
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The guest wrote this value to the debug-exit port.
    Debug(u8),
    /// The guest turned the power off.
    PowerOff,
    /// The guest reset itself, on purpose or by a triple fault: the machine
    /// cannot tell, and was told not to start again.
    Reset,
    /// The guest told its panic device.
    GuestPanic,
    /// We ended it.
    Killed,
    /// QEMU was asked to end by a signal or through QMP, not by us.
    Host,
    /// QEMU never ran the guest.
    Refused {
        /// How it ended.
        status: Status,
        /// What it said.
        stderr: String,
    },
    /// QEMU died of a signal.
    Signal {
        /// Its number.
        signal: i32,
        /// What it said.
        stderr: String,
    },
    /// QEMU gave up while the guest ran.
    Broken {
        /// How it ended.
        status: Status,
        /// What it said.
        stderr: String,
    },
}

/// Says how a machine ended. isa-debug-exit turns the value `v` into the exit
/// status `(v << 1) | 1`, so status 1 is value 0 -- or QEMU's own failure, which
/// comes before the guest runs.
pub fn classify(ending: &Ending) -> Exit {
    if ending.killed {
        return Exit::Killed;
    }
    let stderr = shorten(&ending.stderr);
    match (ending.status, ending.shutdown.as_deref()) {
        (Status::Signal(signal), _) => Exit::Signal { signal, stderr },
        (status, _) if !ending.ran => Exit::Refused { status, stderr },
        (_, Some("host-signal" | "host-qmp-quit" | "host-ui")) => Exit::Host,
        // Newer QEMUs announce a debug exit as a shutdown; older ones just go.
        (Status::Code(code @ 1..=255), None | Some("guest-shutdown")) if code & 1 == 1 => {
            match u8::try_from(code >> 1) {
                // An error while running also ends with 1, but is explained.
                Ok(0) if ending.shutdown.is_none() && stderr.contains("error") => Exit::Broken {
                    status: ending.status,
                    stderr,
                },
                Ok(value) => Exit::Debug(value),
                Err(_) => Exit::Broken {
                    status: ending.status,
                    stderr,
                },
            }
        }
        (Status::Code(0), Some("guest-reset")) => Exit::Reset,
        (Status::Code(0), Some("guest-shutdown")) => Exit::PowerOff,
        (Status::Code(_), Some("guest-panic")) => Exit::GuestPanic,
        (status, _) => Exit::Broken { status, stderr },
    }
}

impl Exit {
    /// The host's fault, if it was the host's.
    pub fn infra(&self) -> Option<InfraError> {
        match self {
            Self::Debug(_) | Self::PowerOff | Self::Reset | Self::GuestPanic | Self::Killed => None,
            Self::Host => Some(InfraError::QemuKilled {
                signal: 15,
                stderr: String::new(),
            }),
            Self::Refused { status, stderr } | Self::Broken { status, stderr } => {
                Some(InfraError::QemuRefused {
                    status: status.to_string(),
                    stderr: stderr.clone(),
                })
            }
            Self::Signal { signal, stderr } => Some(InfraError::QemuKilled {
                signal: *signal,
                stderr: stderr.clone(),
            }),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debug(value) => write!(f, "the guest ended the machine (debug exit {value})"),
            Self::PowerOff => f.write_str("the guest turned the machine off"),
            Self::Reset => f.write_str("the guest reset the machine (reboot or triple fault)"),
            Self::GuestPanic => f.write_str("the guest reported a panic to its panic device"),
            Self::Killed => f.write_str("the machine was ended by the runner"),
            Self::Host => f.write_str("somebody ended QEMU"),
            Self::Refused { status, stderr } => {
                write!(f, "QEMU did not start the machine ({status}): {stderr}")
            }
            Self::Signal { signal, .. } => write!(f, "QEMU died of signal {signal}"),
            Self::Broken { status, stderr } => write!(f, "QEMU gave up ({status}): {stderr}"),
        }
    }
}

/// The last lines of `stderr`, without the program's name in front.
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
                    status: Status::Code(2),
                    stderr: String::new(),
                },
            ),
            (
                Status::Signal(6),
                None,
                Exit::Signal {
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
}
