//! The saved machine: a guest that booted once and is saved at the start of its
//! user space, to be loaded for every test.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use kdk_vm::console::log::{Cap, StampedLog};
use kdk_vm::error::{InfraError, RunError, says_disk_full};
use kdk_vm::hypervisor::{MachineSize, Pool};
use kdk_vm::machine::Machine;
use kdk_vm::progress::Sink;
use kdk_vm::qemu::{Access, Drive, Engine, Qemu, QemuMachine, QemuPool};
use kdk_vm::session::{Limits, Logs, Setup};
use kdk_vm::snapshot::{Saved, save};
use serde::{Deserialize, Serialize};

use super::{Builder, Built};
use kdk_core::event::Phase;
use kdk_core::failure::Failure;
use kdk_core::store::{Entry, Inputs};
use kdk_report::recorder::PhaseOutput;

/// The name of QEMU's file of memory and devices in a store entry.
const MEMORY: &str = "memory";
/// The name of the file with the host's record of the guest.
const SAVED: &str = "saved.json";
/// The format of [`Kept`]. A change of it invalidates saved machines.
const FORM: &str = "3: saved with CPUs and memory, files";

/// The content of [`SAVED`].
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    saved: Saved,
    /// The other files of the entry with their sizes. A truncated file is found
    /// before a machine is started from it.
    files: BTreeMap<String, u64>,
}

/// A saved guest, which can be loaded any number of times.
#[derive(Debug)]
pub struct State {
    /// The size of its machine.
    pub size: MachineSize,
    /// The record of the saved guest.
    pub saved: Saved,
    pool: QemuPool,
    memory: PathBuf,
    _entry: Entry,
}

/// The machine to save, and the inputs of its content.
pub struct Boot<'a> {
    /// The name of the base.
    pub base: &'a str,
    /// The pool of the machine that boots.
    pub pool: &'a QemuPool,
    /// The size of the machine.
    pub size: MachineSize,
    /// The keys of the files that the machine boots from, by name.
    pub boot_keys: &'a [(String, String)],
    /// The time limits of the boot.
    pub limits: Limits,
    /// The receiver of the progress of the boot.
    pub sink: Sink<'a>,
    /// Adds details to the error of a failed boot.
    pub explain: &'a dyn Fn(&mut RunError),
}

/// Returns the saved guest. Boots and saves it if the store has none, or if the
/// saved one is damaged.
pub fn obtain(builder: &Builder<'_>, boot: &Boot<'_>) -> Result<PhaseOutput<State>, Failure> {
    let answer = || {
        builder.obtain(
            Phase::Boot,
            "booting once to save the machine",
            &inputs(boot),
            &|_, _, _| Vec::new(),
            |folder| make(builder, boot, folder),
        )
    };
    let mut built = answer()?;
    let mut saved = read(&built.entry.path);
    if let (true, Err(what)) = (built.cached, &saved) {
        builder.say(Phase::Boot, format!("the saved machine is damaged: {what}"));
        builder.store.discard(built.entry)?;
        built = answer()?;
        saved = read(&built.entry.path);
    }
    let Built { entry, cached, why } = built;
    let saved = saved.map_err(|what| Failure::infra("read the saved machine", what))?;
    let state = open(boot, saved, entry);
    let why = match cached {
        true => why,
        false => format!("up after {} ms, saved", state.saved.booted_in.as_millis()),
    };
    let why = match boot.size.cpus {
        1 => why,
        cpus => format!("{cpus} CPUs: {why}"),
    };
    Ok((state, cached, why))
}

fn inputs(boot: &Boot<'_>) -> Inputs {
    let mut inputs = Inputs::new("state", boot.base);
    for (name, key) in boot.boot_keys {
        inputs.digest(name, key);
    }
    let Qemu { path, version } = &boot.pool.qemu;
    inputs.bytes("form of the record", FORM);
    inputs.bytes("QEMU", format!("{} {version}", path.display()));
    let spec = &boot.pool.spec;
    inputs.bytes(
        "machine",
        format!(
            "{} {} {} {:?} {:?}",
            spec.engine.name(),
            boot.size.cpus,
            boot.size.mem_mib,
            spec.extra,
            processor(spec.engine),
        ),
    );
    inputs
}

/// Returns the model and the features of the processor, if the state depends on
/// them: a state that was saved under a hypervisor is only valid on the same
/// processor, and hosts can share the store.
fn processor(engine: Engine) -> Option<String> {
    if engine == Engine::Tcg {
        return None;
    }
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = |name: &str| cpuinfo.lines().find(|line| line.starts_with(name));
    let (model, features) = (line("model name"), line("flags"));
    Some(format!(
        "{} {}",
        model.unwrap_or("unknown"),
        features.unwrap_or_default()
    ))
}

/// Boots the machine on its own disks and saves it to `folder`.
fn make(builder: &Builder<'_>, boot: &Boot<'_>, folder: &Path) -> Result<(), Failure> {
    let mut spec = boot.pool.spec.sized(boot.size);
    for (n, drive) in spec.drives.iter_mut().enumerate() {
        if drive.access == Access::ReadOnly {
            continue;
        }
        // What the guest has written by then is part of its state.
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
    let machine = QemuMachine::start(&boot.pool.qemu, &spec)?;
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
    let saved = save(Box::new(machine), &file, logs, &setup).map_err(|error| match error {
        RunError::Infra(InfraError::Save { why }) if says_disk_full(&why) => {
            let full = std::io::ErrorKind::StorageFull.into();
            InfraError::io("save the machine", &memory, full).into()
        }
        mut error => {
            (boot.explain)(&mut error);
            error
        }
    })?;
    let path = folder.join(SAVED);
    let failed = |error| Failure::io("write the record of the saved machine", &path, error);
    let files = sizes(folder).map_err(failed)?;
    let text = serde_json::to_vec_pretty(&Kept { saved, files })
        .map_err(|error| failed(std::io::Error::other(error)))?;
    fs::write(&path, text).map_err(failed)
}

/// Returns the files in `folder` with their sizes.
fn sizes(folder: &Path) -> std::io::Result<BTreeMap<String, u64>> {
    fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, entry.metadata()?.len()))
        })
        .collect()
}

/// Reads the record of the guest that was saved to `folder`. Returns the
/// damage, if any of its files is missing or truncated.
fn read(folder: &Path) -> Result<Saved, String> {
    let path = folder.join(SAVED);
    let text = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let kept: Kept = serde_json::from_slice(&text)
        .map_err(|error| format!("{} is incomplete: {error}", path.display()))?;
    for (name, want) in kept.files {
        let path = folder.join(name);
        match fs::metadata(&path) {
            Ok(found) if found.len() == want => {}
            Ok(found) => {
                let (path, found) = (path.display(), found.len());
                return Err(format!("{path} has {found} bytes instead of {want}"));
            }
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
    Ok(kept.saved)
}

fn open(boot: &Boot<'_>, saved: Saved, entry: Entry) -> State {
    let mut spec = boot.pool.spec.sized(boot.size);
    spec.loads = true;
    for (n, drive) in spec.drives.iter_mut().enumerate() {
        if drive.access != Access::ReadOnly {
            drive.path = disk(&entry.path, n);
            drive.access = Access::Snapshot;
        }
    }
    State {
        size: boot.size,
        saved,
        pool: QemuPool {
            qemu: boot.pool.qemu.clone(),
            spec,
        },
        memory: entry.file(MEMORY),
        _entry: entry,
    }
}

fn disk(folder: &Path, n: usize) -> PathBuf {
    folder.join(format!("disk.{n}"))
}

impl Pool for State {
    fn size(&self) -> MachineSize {
        self.size
    }

    /// Starts a machine of the size that was saved: a saved machine has no
    /// other.
    fn start(&self, _: usize, _: MachineSize) -> Result<Box<dyn Machine>, InfraError> {
        let memory = File::open(&self.memory)
            .map_err(|error| InfraError::io("read the saved machine", &self.memory, error))?;
        let machine = QemuMachine::load(&self.pool.qemu, &self.pool.spec, memory)?;
        Ok(Box::new(machine))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a folder with a saved machine of four bytes.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MEMORY), "1234").unwrap();
        let files = sizes(folder.path()).unwrap();
        let hello = "protocol=2 guest=demo kmod=none uname=x";
        let saved = Saved {
            hello: kdk_vm::protocol::Hello::parse(hello).unwrap(),
            tests: Vec::new(),
            complaints: Vec::new(),
            booted_in: std::time::Duration::from_secs(1),
        };
        let text = serde_json::to_vec(&Kept { saved, files }).unwrap();
        fs::write(folder.path().join(SAVED), text).unwrap();
        folder
    }

    #[test]
    fn a_saved_machine_is_complete_or_its_damage_is_reported() {
        assert!(read(folder().path()).is_ok());
        type Damage = fn(&Path);
        let table: [(Damage, &str); 5] = [
            (
                |dir| fs::write(dir.join(MEMORY), "123").unwrap(),
                "memory has 3 bytes instead of 4",
            ),
            (
                |dir| fs::remove_file(dir.join(MEMORY)).unwrap(),
                "memory: No such file",
            ),
            (
                |dir| fs::write(dir.join(SAVED), "{\"saved\":").unwrap(),
                "saved.json is incomplete",
            ),
            (
                |dir| fs::write(dir.join(SAVED), "").unwrap(),
                "saved.json is incomplete",
            ),
            (
                |dir| fs::remove_file(dir.join(SAVED)).unwrap(),
                "saved.json: No such file",
            ),
        ];
        for (damage, want) in table {
            let folder = folder();
            damage(folder.path());
            let what = read(folder.path()).unwrap_err();
            assert!(what.contains(want), "{what}");
        }
    }
}
