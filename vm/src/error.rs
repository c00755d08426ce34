//! The errors, by fault: the kernel's ([`BootError`]) or the host's
//! ([`InfraError`]). They are never mixed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use miette::Diagnostic;

use crate::exit::{Exit, Status};
use crate::hypervisor::{BootMethod, Hypervisor, Vmm};
use crate::panic::ConsoleMatch;
use crate::phase::Phase;
use crate::protocol::HelloError;
use crate::select::SelectError;
use crate::verdict::ExitClass;

/// A failure of the host. It says nothing about the kernel.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[non_exhaustive]
pub enum InfraError {
    /// There is no QEMU binary.
    #[error("QEMU was not found: tried to run {}", tried.display())]
    #[diagnostic(help(
        "`cargo xtask doctor --fix` installs it, unless KDK_QEMU names another program"
    ))]
    QemuMissing {
        /// The path or the action that was tried.
        tried: PathBuf,
    },

    /// QEMU is older than the options that are used here.
    #[error("{} is QEMU {found}, too old: {need} or later is needed", path.display())]
    #[diagnostic(help("install a newer QEMU, or name one in KDK_QEMU"))]
    QemuTooOld {
        /// The path of the binary.
        path: PathBuf,
        /// The version of the binary.
        found: crate::qemu::Version,
        /// The oldest version that is supported.
        need: crate::qemu::Version,
    },

    /// The binary does not behave like QEMU.
    #[error("{} is not a QEMU: its --version printed: {answer}", path.display())]
    #[diagnostic(help("set KDK_QEMU to the path of a qemu-system-x86_64"))]
    QemuUnknown {
        /// The path of the binary.
        path: PathBuf,
        /// The first line of its output.
        answer: String,
    },

    /// The hypervisor did not start the machine, or failed while it ran.
    #[error("{vmm} did not start the machine ({status}){}", said(stderr))]
    #[diagnostic(help("{}", vmm.requirements))]
    MachineRefused {
        /// The hypervisor that failed.
        vmm: Vmm,
        /// Its exit status, as text.
        status: String,
        /// The last lines that it wrote on standard error.
        stderr: String,
    },

    /// The hypervisor crashed, or a process or the system killed it.
    #[error("{vmm} died of signal {signal}{}", said(stderr))]
    #[diagnostic(help(
        "signal 9 without a ^C is often the system running out of memory (see `dmesg`); \
         signals 6 and 11 are a defect of {vmm}"
    ))]
    MachineKilled {
        /// The hypervisor that failed.
        vmm: Vmm,
        /// The number of the signal.
        signal: i32,
        /// The last lines that it wrote on standard error.
        stderr: String,
    },

    /// The hypervisor runs, but not the machine.
    #[error("the hypervisor did not run the machine within {} s", after.as_secs())]
    #[diagnostic(help(
        "it started, and neither ran the guest nor ended: KDK_QEMU must name a qemu-system-x86_64, \
         or a script that runs one with its arguments"
    ))]
    NeverRan {
        /// The time limit.
        after: Duration,
    },

    /// The hypervisor has no such boot method.
    #[error("{vmm} does not support the boot method {method}; it supports {supported}")]
    #[diagnostic(help("leave --boot out, or choose one of these"))]
    Unsupported {
        /// The hypervisor that failed.
        vmm: Vmm,
        /// The boot method that was asked for.
        method: &'static str,
        /// The names of the supported boot methods.
        supported: String,
    },

    /// A program of bhyve is missing.
    #[error("bhyve was not found: there is no {}", tried.display())]
    #[diagnostic(help(
        "bhyve, bhyveload and bhyvectl are parts of FreeBSD/amd64; elsewhere use `--vmm qemu`"
    ))]
    BhyveMissing {
        /// The path that was tried.
        tried: PathBuf,
    },

    /// There is no UEFI firmware for bhyve.
    #[error("no UEFI firmware for bhyve was found; looked at {}", list(tried))]
    #[diagnostic(help(
        "`pkg install bhyve-firmware` installs it; or name the file in KDK_BHYVE_UEFI; \
         without --boot bhyveload(8) loads the kernel and needs no firmware"
    ))]
    BhyveFirmwareMissing {
        /// The paths that were tried.
        tried: Vec<PathBuf>,
    },

    /// The request is not possible with bhyve.
    #[error("bhyve cannot {what}: {why}")]
    #[diagnostic(help("use `--vmm qemu`, which can, but is slower here"))]
    BhyveCannot {
        /// The action that is not possible.
        what: String,
        /// The reason for the failure.
        why: String,
    },

    /// QEMU could not write the machine's disk.
    #[error("QEMU could not read or write the machine's disk: {reason}")]
    #[diagnostic(help(
        "the disk of the image or of TMPDIR may be full; free some space, or point TMPDIR \
         and KDK_HOME elsewhere"
    ))]
    GuestDisk {
        /// The message of QEMU.
        reason: String,
    },

    /// The accelerator that was asked for does not work.
    #[error("accelerator {name} does not work here: {why}")]
    #[diagnostic(help("`--accel auto` falls back to the emulator, `--accel tcg` asks for it"))]
    Accel {
        /// The name of the accelerator.
        name: String,
        /// The reason for the failure.
        why: String,
    },

    /// The tool that writes file systems is missing.
    #[error("makefs was not found, and the root image cannot be written without it")]
    #[diagnostic(help("`cargo xtask doctor --fix` installs it; or name one in KDK_MAKEFS"))]
    MakefsMissing,

    /// The program makefs(8) failed.
    #[error("makefs could not write {}: {stderr}", image.display())]
    #[diagnostic(help("read the message of makefs above; the image may need a larger size"))]
    MakefsFailed {
        /// The image to be written.
        image: PathBuf,
        /// The last lines that it wrote on standard error.
        stderr: String,
    },

    /// There is no firmware for EFI boots.
    #[error("no OVMF firmware was found; looked at {}", list(tried))]
    #[diagnostic(help(
        "`cargo xtask doctor --fix` installs it; or name the code file in KDK_OVMF"
    ))]
    OvmfMissing {
        /// The paths that were tried.
        tried: Vec<PathBuf>,
    },

    /// The disk is full.
    #[error("could not {doing}: no space is left on the disk of {}", path.display())]
    #[diagnostic(help(
        "free some space (`cargo xtask clean` removes rebuildable files), or point \
         KDK_HOME at a larger disk"
    ))]
    DiskFull {
        /// The path or the action that was tried.
        doing: String,
        /// The file to be written.
        path: PathBuf,
    },

    /// Any other failure of a file, a process or a socket.
    #[error("could not {doing}: {source}")]
    Io {
        /// The action that failed, with the path.
        doing: String,
        /// The error of the operating system.
        source: io::Error,
    },

    /// A machine's state could not be written.
    #[error("could not save the machine's state: {why}")]
    #[diagnostic(help("use `--cold` to boot every machine instead"))]
    Save {
        /// The message of QEMU.
        why: String,
    },

    /// The user interrupted the run.
    #[error("interrupted")]
    #[diagnostic(help("the results until then are kept"))]
    Interrupted,
}

impl InfraError {
    /// Returns the error for an I/O failure while `doing` something with
    /// `path`.
    pub fn io(doing: impl Into<String>, path: &Path, source: io::Error) -> Self {
        let doing = doing.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull {
                doing,
                path: path.to_owned(),
            },
            _ => Self::Io {
                doing: format!("{doing} {}", path.display()),
                source,
            },
        }
    }

    /// Returns the error for a hypervisor that did not start its machine, or
    /// failed while it ran.
    pub(crate) fn refused(vmm: Vmm, status: Status, stderr: String) -> Self {
        Self::MachineRefused {
            vmm,
            status: status.to_string(),
            stderr,
        }
    }

    /// Returns the error for a hypervisor that died of a signal which this
    /// program did not send.
    pub(crate) fn killed(vmm: Vmm, signal: i32, stderr: String) -> Self {
        Self::MachineKilled {
            vmm,
            signal,
            stderr,
        }
    }

    /// Returns the error for a boot method that `hypervisor` does not have.
    pub(crate) fn unsupported(hypervisor: &dyn Hypervisor, method: BootMethod) -> Self {
        let supported = hypervisor.boot_methods().iter().map(|method| method.name());
        Self::Unsupported {
            vmm: hypervisor.vmm(),
            method: method.name(),
            supported: supported.collect::<Vec<_>>().join(", "),
        }
    }

    /// Returns the error for an I/O failure without a path.
    pub fn sys(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            doing: doing.into(),
            source,
        }
    }
}

/// Returns whether a program's message reports a full disk: strerror(3) of
/// ENOSPC and EDQUOT, in glibc and in FreeBSD.
pub fn says_disk_full(text: &str) -> bool {
    const WORDS: [&str; 3] = [
        "No space left on device",
        "Disk quota exceeded",
        "Disc quota exceeded",
    ];
    WORDS.iter().any(|words| text.contains(words))
}

/// The kernel under test did not boot, and the host is not at fault.
#[derive(Debug, thiserror::Error)]
#[error("the kernel did not come up: {why} (in phase: {phase})")]
pub struct BootError {
    /// The phase that the boot had reached.
    pub phase: Phase,
    /// The reason for the failure.
    pub why: BootFault,
    /// The last lines of the console.
    pub console: Vec<String>,
    /// The backtrace of the panic or the hang, if there is one.
    pub backtrace: Vec<String>,
    /// What else the kernel debugger reported, or why it reported nothing.
    pub remarks: Vec<String>,
    /// The lines that show the processor's registers.
    pub registers: Vec<String>,
    /// The backtrace with its source lines, once they were looked up.
    pub symbolized: Vec<String>,
}

impl Diagnostic for BootError {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        let mut text = self.why.advice(self.phase).to_owned();
        for remark in &self.remarks {
            text.push('\n');
            text.push_str(remark);
        }
        let from = self.console.len().saturating_sub(SHOWN);
        let console = self.console.get(from..).unwrap_or_default();
        let untold = |line: &&String| !console.contains(line);
        let trace = match self.symbolized.as_slice() {
            [] => &self.backtrace,
            _ => &self.symbolized,
        };
        let backtrace: Vec<&String> = trace.iter().filter(untold).take(SHOWN).collect();
        quote(&mut text, "where the kernel was:", backtrace);
        quote(&mut text, "the console's last lines:", console);
        Some(Box::new(text))
    }
}

/// The most lines that are quoted of a console or a backtrace.
const SHOWN: usize = 12;

/// Adds `lines` under a title, if there are any.
fn quote<'a>(text: &mut String, title: &str, lines: impl IntoIterator<Item = &'a String>) {
    for (n, line) in lines.into_iter().enumerate() {
        if n == 0 {
            text.push('\n');
            text.push_str(title);
        }
        text.push_str("\n  | ");
        text.push_str(line);
    }
}

/// The reason why a kernel did not boot.
#[derive(Debug, thiserror::Error)]
pub enum BootFault {
    /// The kernel died, or waits for input.
    #[error("{}", .0.title)]
    Died(ConsoleMatch),
    /// The machine ended before the guest said hello.
    #[error("{0}")]
    Ended(Exit),
    /// The kernel printed nothing for too long.
    #[error("it printed nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// The boot took too long.
    #[error("it was not up after {} s", .0.as_secs())]
    TooLong(Duration),
    /// The kernel rebooted.
    #[error("it rebooted instead of coming up")]
    Rebooted,
    /// The guest's hello was refused.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// The test module did not load.
    #[error("the test module was refused with errno {errno}{}", said(reason))]
    Module {
        /// The errno of kldload(2).
        errno: i32,
        /// What the kernel printed about it.
        reason: String,
    },
    /// The guest broke the protocol after its hello.
    #[error("the guest did not list its tests: {0}")]
    List(String),
    /// The guest did not resume for its first test.
    #[error("the guest did not resume with a new time and seed: {0}")]
    Resume(String),
}

impl BootFault {
    fn advice(&self, phase: Phase) -> &'static str {
        match self {
            Self::Hello(HelloError::Version { .. }) => {
                "guest and host are of different versions of kdk: build both from the same one"
            }
            Self::Module { .. } => {
                "the module and the kernel must be built from one tree with one configuration"
            }
            Self::Silent(_) | Self::TooLong(_) | Self::Ended(_) if phase == Phase::Firmware => {
                "the kernel printed nothing: check its console settings; a direct (PVH) boot \
                 needs a patch of FreeBSD, `--boot efi` does not"
            }
            _ if phase == Phase::MountRoot => "check the root image and its disk driver",
            _ => "the full console is in the log",
        }
    }
}

/// The reason why a run of tests ended early.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RunError {
    /// The host is at fault.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Infra(#[from] InfraError),
    /// The kernel is at fault.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Boot(#[from] Box<BootError>),
    /// The user named a test that does not exist.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Select(#[from] SelectError),
}

impl RunError {
    /// Returns the process exit code for this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Infra(_) => ExitClass::Infra.code(),
            Self::Boot(_) => ExitClass::Boot.code(),
            // A wrong command line.
            Self::Select(_) => 2,
        }
    }
}

impl From<BootError> for RunError {
    fn from(error: BootError) -> Self {
        Self::Boot(Box::new(error))
    }
}

/// Returns `: text`, or nothing for an empty text.
pub(crate) fn said(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

fn list(paths: &[PathBuf]) -> String {
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    paths.join(", ")
}
