//! Classifies how a machine ended, from the end of its process. Pure.

use std::fmt;

use crate::error::{InfraError, said};
use crate::hypervisor::Vmm;

/// How a machine's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The process exited with this code.
    Code(i32),
    /// This signal killed the process.
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

/// What was observed at the end of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// The hypervisor that ran the machine.
    pub vmm: Vmm,
    /// How the process ended.
    pub status: Status,
    /// Whether the guest ever ran. QEMU reports it; bhyve's guest ran if it
    /// wrote a byte.
    pub ran: bool,
    /// The reason in QMP's SHUTDOWN event, if there was one (`guest-reset`).
    pub shutdown: Option<String>,
    /// Whether this program killed it.
    pub killed: bool,
    /// The last part of its standard error.
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
    /// The guest reset itself, on purpose or by a triple fault. QEMU cannot
    /// distinguish these, and does not restart the guest.
    Reset,
    /// The guest reset itself by a triple fault, which only bhyve can report.
    TripleFault,
    /// The guest reported a panic to its panic device.
    GuestPanic,
    /// This program ended the machine.
    Killed,
    /// The hypervisor was asked to end by a signal or through its monitor, not
    /// by this program.
    Host(Vmm),
    /// The guest never ran.
    Refused {
        /// The hypervisor that refused.
        vmm: Vmm,
        /// How its process ended.
        status: Status,
        /// The last lines of its standard error.
        stderr: String,
    },
    /// The machine's process died of a signal.
    Signal {
        /// The hypervisor that died.
        vmm: Vmm,
        /// The number of the signal.
        signal: i32,
        /// The last lines of its standard error.
        stderr: String,
    },
    /// The hypervisor failed while the guest ran.
    Broken {
        /// The hypervisor that failed.
        vmm: Vmm,
        /// How its process ended.
        status: Status,
        /// The last lines of its standard error.
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
    /// Returns the host's error, if the host is at fault.
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
                write!(
                    f,
                    "{vmm} did not start the machine ({status}){}",
                    said(stderr)
                )
            }
            Self::Signal { vmm, signal, .. } => write!(f, "{vmm} died of signal {signal}"),
            Self::Broken {
                vmm,
                status,
                stderr,
            } => write!(f, "{vmm} failed ({status}){}", said(stderr)),
        }
    }
}

/// Returns the last lines of `stderr`, without QEMU's name in front. The name
/// of bhyve stays: it distinguishes bhyve from bhyveload.
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
