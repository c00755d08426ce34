//! How a machine ended, from what its process left behind. Pure.

use std::fmt;

use crate::error::InfraError;
use crate::hypervisor::Vmm;

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
pub(crate) struct Ending {
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
    /// The hypervisor was asked to end by a signal or through its monitor, not
    /// by this program.
    Host(Vmm),
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

impl Ending {
    /// Returns how the machine ended. `by_code` interprets the exit status of
    /// this hypervisor; everything else means the same for all of them.
    pub(crate) fn classify(mut self, by_code: fn(Self, i32) -> Exit) -> Exit {
        self.stderr = shorten(&self.stderr);
        match self.status {
            _ if self.killed => Exit::Killed,
            Status::Signal(signal) => Exit::Signal {
                vmm: self.vmm,
                signal,
                stderr: self.stderr,
            },
            Status::Code(code) => by_code(self, code),
        }
    }

    /// Returns the end of a machine that never ran.
    pub(crate) fn refused(self) -> Exit {
        Exit::Refused {
            vmm: self.vmm,
            status: self.status,
            stderr: self.stderr,
        }
    }

    /// Returns the end of a machine that failed while the guest ran.
    pub(crate) fn broken(self) -> Exit {
        Exit::Broken {
            vmm: self.vmm,
            status: self.status,
            stderr: self.stderr,
        }
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
            Self::Host(vmm) => Some(InfraError::killed(*vmm, 15, String::new())),
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
            Self::Host(vmm) => write!(f, "{vmm} was ended from outside this program"),
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
