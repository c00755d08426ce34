//! The accelerator to use: the vm crate's probe, cached between runs.

use std::fs;

use kdk_vm::accel::{AccelChoice, DEADLINE, Resolved, choose};
use kdk_vm::qemu::Qemu;
use serde::{Deserialize, Serialize};

use kdk_core::cache_dir::{CacheDir, write_atomically};
use kdk_core::failure::Failure;

/// A cached answer, and the host that it is valid for.
#[derive(Debug, Serialize, Deserialize)]
struct Cached {
    host: String,
    choice: Resolved,
}

/// Returns the engine for `choice`. Probes once for each QEMU and state of the
/// host.
pub fn resolve(cache: &CacheDir, qemu: &Qemu, choice: AccelChoice) -> Result<Resolved, Failure> {
    if choice != AccelChoice::Auto {
        return Ok(choose(qemu, choice, DEADLINE)?);
    }
    // Hosts can share the cache folder.
    let path = cache
        .probes()
        .join(format!("accel-{}.json", kdk_core::host::name()));
    let host = host(qemu);
    let known: Option<Cached> = fs::read(&path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok());
    if let Some(known) = known.filter(|known| known.host == host) {
        return Ok(known.choice);
    }
    let choice = choose(qemu, choice, DEADLINE)?;
    cache.create(&cache.probes())?;
    let cached = Cached {
        host,
        choice: choice.clone(),
    };
    let text = serde_json::to_vec_pretty(&cached)
        .map_err(|error| Failure::infra("cache the accelerator", error.to_string()))?;
    write_atomically(&path, &text)
        .map_err(|error| Failure::io("cache the accelerator", &path, error))?;
    Ok(choice)
}

/// Returns what the answer depends on: QEMU, and whether this user can open
/// KVM.
fn host(qemu: &Qemu) -> String {
    let kvm = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .map_or_else(|error| error.kind().to_string(), |_| "open".to_owned());
    format!("{} {:?} kvm {kvm}", qemu.path.display(), qemu.version)
}
