//! Whose fault it was: the kernel's ([`BootError`]) or the host's
//! ([`InfraError`]). The two never mix.

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

/// The host could not do its part; nothing is said about the kernel.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[non_exhaustive]
pub enum InfraError {
    /// No QEMU binary.
    #[error("QEMU was not found: tried to run {}", tried.display())]
    #[diagnostic(help("`cargo xtask doctor --fix` installs it; or name a binary in KDK_QEMU"))]
    QemuMissing {
        /// What was tried.
        tried: PathBuf,
    },

    /// A QEMU from before the options used here.
    #[error("{} is QEMU {found}, too old: {need} or later is needed", path.display())]
    #[diagnostic(help("install a newer QEMU, or name one in KDK_QEMU"))]
    QemuTooOld {
        /// The binary.
        path: PathBuf,
        /// Its version.
        found: crate::qemu::Version,
        /// The oldest that will do.
        need: crate::qemu::Version,
    },

    /// A binary that does not behave like QEMU.
    #[error("{} did not say which QEMU it is: {answer}", path.display())]
    #[diagnostic(help("run it with --version by hand; KDK_QEMU names the binary"))]
    QemuUnknown {
        /// The binary.
        path: PathBuf,
        /// What it said.
        answer: String,
    },

    /// The hypervisor did not start the machine, or failed while it ran.
    #[error("{vmm} did not start the machine ({status}): {stderr}")]
    #[diagnostic(help("{}", vmm.requirements))]
    MachineRefused {
        /// The hypervisor.
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
        /// The hypervisor.
        vmm: Vmm,
        /// The number of the signal.
        signal: i32,
        /// The last lines that it wrote on standard error.
        stderr: String,
    },

    /// The hypervisor has no such boot method.
    #[error("{vmm} does not support the boot method {method}; it supports {supported}")]
    #[diagnostic(help("leave --boot out, or choose one of these"))]
    Unsupported {
        /// The hypervisor.
        vmm: Vmm,
        /// The boot method that was asked for.
        method: &'static str,
        /// The names of those it has.
        supported: String,
    },

    /// A program of bhyve's is not there.
    #[error("bhyve was not found: there is no {}", tried.display())]
    #[diagnostic(help(
        "bhyve, bhyveload and bhyvectl are parts of FreeBSD/amd64; elsewhere use `--vmm qemu`"
    ))]
    BhyveMissing {
        /// What was looked for.
        tried: PathBuf,
    },

    /// No UEFI firmware for bhyve.
    #[error("no UEFI firmware for bhyve was found; looked at {}", list(tried))]
    #[diagnostic(help(
        "`pkg install bhyve-firmware` installs it; or name the file in KDK_BHYVE_UEFI; \
         without --boot bhyveload(8) loads the kernel and needs no firmware"
    ))]
    BhyveFirmwareMissing {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },

    /// bhyve has no way to do it.
    #[error("bhyve cannot {what}: {why}")]
    #[diagnostic(help("`--vmm qemu` can; it is slower here"))]
    BhyveCannot {
        /// What.
        what: String,
        /// Why not.
        why: String,
    },

    /// QEMU could not write the machine's disk.
    #[error("QEMU could not read or write the machine's disk: {reason}")]
    #[diagnostic(help(
        "the disk of the image or of TMPDIR may be full; free some space, or point TMPDIR \
         and KDK_HOME elsewhere"
    ))]
    GuestDisk {
        /// What QEMU said.
        reason: String,
    },

    /// The accelerator that was asked for does not work.
    #[error("accelerator {name} does not work here: {why}")]
    #[diagnostic(help("`--accel auto` falls back to the emulator, `--accel tcg` asks for it"))]
    Accel {
        /// Its name.
        name: String,
        /// Why not.
        why: String,
    },

    /// The tool that writes file systems is missing.
    #[error("makefs was not found, and the root image cannot be written without it")]
    #[diagnostic(help("`cargo xtask doctor --fix` installs it; or name one in KDK_MAKEFS"))]
    MakefsMissing,

    /// It ran and failed.
    #[error("makefs could not write {}: {stderr}", image.display())]
    #[diagnostic(help("the message is makefs's own; a larger image size may be needed"))]
    MakefsFailed {
        /// The image.
        image: PathBuf,
        /// What it wrote on standard error, shortened.
        stderr: String,
    },

    /// No firmware for EFI boots.
    #[error("no OVMF firmware was found; looked at {}", list(tried))]
    #[diagnostic(help(
        "`cargo xtask doctor --fix` installs it; or name the code file in KDK_OVMF"
    ))]
    OvmfMissing {
        /// Where it was looked for.
        tried: Vec<PathBuf>,
    },

    /// No space on a disk.
    #[error("could not {doing}: no space is left on the disk that holds {}", path.display())]
    #[diagnostic(help(
        "free some space (`cargo xtask clean` removes what can be made again), or point \
         KDK_HOME at a larger disk"
    ))]
    DiskFull {
        /// What was tried.
        doing: String,
        /// The file.
        path: PathBuf,
    },

    /// Any other trouble with a file, a process or a socket.
    #[error("could not {doing}")]
    Io {
        /// What was tried, with the path.
        doing: String,
        /// What happened.
        source: io::Error,
    },

    /// A machine's state could not be written.
    #[error("could not save the machine's state: {why}")]
    #[diagnostic(help("`--cold` boots every machine instead"))]
    Save {
        /// What QEMU said.
        why: String,
    },

    /// The user said stop.
    #[error("interrupted")]
    #[diagnostic(help("what had been reported until then is kept"))]
    Interrupted,
}

impl InfraError {
    /// An input or output error while `doing` something to `path`.
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

    /// An error that has no path.
    pub fn sys(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            doing: doing.into(),
            source,
        }
    }
}

/// Whether a program's words say that a disk was full: strerror(3) of ENOSPC
/// and EDQUOT, by glibc and by FreeBSD.
pub fn says_disk_full(text: &str) -> bool {
    const WORDS: [&str; 3] = [
        "No space left on device",
        "Disk quota exceeded",
        "Disc quota exceeded",
    ];
    WORDS.iter().any(|words| text.contains(words))
}

/// The kernel under test did not come up; the host did its part.
#[derive(Debug, thiserror::Error)]
#[error("the kernel did not come up: {why} (in phase: {phase})")]
pub struct BootError {
    /// How far it had come.
    pub phase: Phase,
    /// What went wrong.
    pub why: BootFault,
    /// The last console lines.
    pub console: Vec<String>,
    /// The panic's backtrace, or that of a hang, if there was one.
    pub backtrace: Vec<String>,
    /// What else the kernel debugger told, or why it told nothing.
    pub remarks: Vec<String>,
    /// The lines that show the processor's registers.
    pub registers: Vec<String>,
    /// The backtrace with its source lines, once somebody looked them up.
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

/// Most lines quoted of a console or a backtrace.
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

/// What kept a kernel from coming up.
#[derive(Debug, thiserror::Error)]
pub enum BootFault {
    /// It died, or waits for a person.
    #[error("{}", .0.title)]
    Died(ConsoleMatch),
    /// The machine ended before the guest said hello.
    #[error("{0}")]
    Ended(Exit),
    /// Nothing was heard from it.
    #[error("it has said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// It went on for too long.
    #[error("it was not up after {} s", .0.as_secs())]
    TooLong(Duration),
    /// It started over.
    #[error("it rebooted instead of coming up")]
    Rebooted,
    /// Its greeting was refused.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// The test module did not load.
    #[error("the test module was refused with errno {errno}{}", said(reason))]
    Module {
        /// What kldload(2) returned.
        errno: i32,
        /// What the kernel printed about it.
        reason: String,
    },
    /// It came up and then broke the protocol.
    #[error("the guest did not list its tests: {0}")]
    List(String),
    /// It was not ready for its first test.
    #[error("the guest did not take the time and a seed: {0}")]
    Resume(String),
}

impl BootFault {
    fn advice(&self, phase: Phase) -> &'static str {
        match self {
            Self::Hello(HelloError::Version { .. }) => {
                "guest and host are of different versions of this kit: build both from one"
            }
            Self::Module { .. } => {
                "the module and the kernel must be built from one tree with one configuration"
            }
            Self::Silent(_) | Self::TooLong(_) | Self::Ended(_) if phase == Phase::Firmware => {
                "not one line came from the kernel: check its console settings; for a direct (PVH) \
                 boot FreeBSD needs a patch, which `--boot efi` does not"
            }
            Self::Silent(_) | Self::TooLong(_) => {
                "it may only be slow: --timeout gives it longer; the whole console is in the log"
            }
            _ if phase == Phase::MountRoot => "the root image or its driver is the place to look",
            _ => "the whole console is in the log",
        }
    }
}

/// Why a run of tests ended early.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum RunError {
    /// The host's fault.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Infra(#[from] InfraError),
    /// The kernel's.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Boot(#[from] Box<BootError>),
    /// The user's: no such test.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Select(#[from] SelectError),
}

impl RunError {
    /// The process exit code that stands for it.
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

fn said(text: &str) -> String {
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
