//! The saved machine: a guest that was booted once and stands at the first
//! moment of its user space, to be loaded for every test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use kdk_vm::console::log::{Cap, StampedLog};
use kdk_vm::error::RunError;
use kdk_vm::machine::{Factory, Machine};
use kdk_vm::progress::Sink;
use kdk_vm::qemu::{Access, Drive, Engine, Qemu, QemuMachine, Spec};
use kdk_vm::session::{Limits, Logs, Setup};
use kdk_vm::snapshot::{Saved, save};

use super::{Builder, Built};
use crate::event::Phase;
use crate::failure::Failure;
use crate::recorder::Ended;
use crate::store::{Entry, Inputs};

/// QEMU's file of memory and devices in a store entry.
const MEMORY: &str = "memory";
/// What the host has to remember of the guest.
const SAVED: &str = "saved.json";

/// A guest that can be loaded as often as one likes.
#[derive(Debug)]
pub struct State {
    /// What is known of it.
    pub saved: Saved,
    qemu: Qemu,
    spec: Spec,
    memory: PathBuf,
    _held: Entry,
}

/// The machine to save, and what its content depends on.
pub struct Boot<'a> {
    /// The base's name.
    pub base: &'a str,
    /// QEMU.
    pub qemu: &'a Qemu,
    /// The machine as it boots.
    pub spec: &'a Spec,
    /// The keys of the kernel and of what it boots from, by name.
    pub parts: &'a [(String, String)],
    /// How long the boot may take.
    pub limits: Limits,
    /// Hears the boot.
    pub sink: Sink<'a>,
    /// Finds out more about a boot that failed.
    pub explain: &'a dyn Fn(&mut RunError),
}

/// The store's answer: the guest as it was saved, booted and saved if need be.
pub fn obtain(builder: &Builder<'_>, boot: &Boot<'_>) -> Result<Ended<State>, Failure> {
    let Built { entry, cached, why } = builder.obtain(
        Phase::Boot,
        "booting once, to save the machine",
        &inputs(boot),
        &|_, _, _| Vec::new(),
        |folder| make(builder, boot, folder),
    )?;
    let state = open(boot, entry)?;
    let why = match cached {
        true => why,
        false => format!("up after {} ms, saved", state.saved.booted_in.as_millis()),
    };
    Ok((state, cached, why))
}

fn inputs(boot: &Boot<'_>) -> Inputs {
    let mut inputs = Inputs::new("state", boot.base);
    for (name, key) in boot.parts {
        inputs.digest(name, key);
    }
    let Qemu { path, version } = boot.qemu;
    inputs.bytes("QEMU", format!("{} {version}", path.display()));
    let spec = boot.spec;
    inputs.bytes(
        "machine",
        format!(
            "{} {} {} {:?} {:?}",
            spec.engine.name(),
            spec.cpus,
            spec.mem_mib,
            spec.extra,
            processor(spec.engine),
        ),
    );
    inputs
}

/// A state saved under a hypervisor is only good for the same processor.
fn processor(engine: Engine) -> Option<String> {
    if engine == Engine::Tcg {
        return None;
    }
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find(|line| line.starts_with("model name"));
    Some(model.unwrap_or("unknown").to_owned())
}

/// Boots the machine on disks of its own and saves it into `folder`.
fn make(builder: &Builder<'_>, boot: &Boot<'_>, folder: &Path) -> Result<(), Failure> {
    let mut spec = boot.spec.clone();
    for (n, drive) in spec.drives.iter_mut().enumerate() {
        if drive.access == Access::ReadOnly {
            continue;
        }
        // What the guest has written by then belongs to its state.
        let disk = disk(folder, n);
        fs::copy(&drive.path, &disk)
            .map_err(|error| Failure::io("copy the root file system", &disk, error))?;
        *drive = Drive {
            path: disk,
            format: drive.format,
            access: Access::Persistent,
        };
    }
    let memory = folder.join(MEMORY);
    let file =
        File::create(&memory).map_err(|error| Failure::io("save the machine", &memory, error))?;
    let machine = QemuMachine::start(boot.qemu, &spec)?;
    let log = |name: &str| StampedLog::create(&builder.log(name), Cap::default()).map(Some);
    let logs = Logs {
        console: log("console.boot")?,
        result: log("result.boot")?,
        debugger: Some(builder.log("debugger.boot")),
    };
    let setup = Setup {
        limits: boot.limits,
        known: &[],
        interrupt: builder.interrupt.clone(),
        sink: boot.sink,
    };
    let saved = save(Box::new(machine), &file, logs, &setup).map_err(|mut error| {
        (boot.explain)(&mut error);
        error
    })?;
    let path = folder.join(SAVED);
    let text = serde_json::to_vec_pretty(&saved)
        .map_err(|error| Failure::infra("remember the saved machine", error.to_string()))?;
    fs::write(&path, text).map_err(|error| Failure::io("remember the saved machine", &path, error))
}

fn open(boot: &Boot<'_>, entry: Entry) -> Result<State, Failure> {
    const TRIED: &str = "read the saved machine";
    let path = entry.file(SAVED);
    let text = fs::read(&path).map_err(|error| Failure::io(TRIED, &path, error))?;
    let saved = serde_json::from_slice(&text).map_err(|error| {
        Failure::infra(TRIED, format!("{}: {error}", path.display()))
            .help("`cargo xtask clean` removes it; the next run saves it anew")
    })?;
    let mut spec = boot.spec.clone();
    spec.loads = true;
    for (n, drive) in spec.drives.iter_mut().enumerate() {
        if drive.access != Access::ReadOnly {
            drive.path = disk(&entry.path, n);
            drive.access = Access::Snapshot;
        }
    }
    Ok(State {
        saved,
        qemu: boot.qemu.clone(),
        spec,
        memory: entry.file(MEMORY),
        _held: entry,
    })
}

fn disk(folder: &Path, n: usize) -> PathBuf {
    folder.join(format!("disk.{n}"))
}

impl Factory for State {
    fn start(&self, _: usize) -> Result<Box<dyn Machine>, kdk_vm::error::InfraError> {
        let memory = File::open(&self.memory).map_err(|error| {
            kdk_vm::error::InfraError::io("read the saved machine", &self.memory, error)
        })?;
        let machine = QemuMachine::load(&self.qemu, &self.spec, memory)?;
        Ok(Box::new(machine))
    }
}
