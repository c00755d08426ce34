//! The kernel's debugger.

use super::resource_error;
use crate::kpi::{fault, sysctl};
use kdk_harness::{Stop, TestResult, kdk_test};

const SCRIPT: &str = "kdb.enter.default";

kdk_test!("kpi/debugger-nmi", nmi, limit_ms = 20_000, cpus = &[1, 4]);

/// An NMI that reaches all CPUs at once enters the debugger, and the kernel
/// continues when the debugger does. A script answers for a person. The console
/// is silent meanwhile: its reader would take the debugger for a crash.
fn nmi() -> TestResult {
    const TIMES: u32 = 5;
    // Only the trees with a flowtable have a patch for it.
    if !cfg!(flowtable) {
        return Err(Stop::Skip(
            "this kernel can hang after several CPUs have got an NMI at once",
        ));
    }
    let set = sysctl::write_text(
        "debug.ddb.scripting.script",
        &alloc::format!("{SCRIPT}=continue"),
    );
    set.map_err(resource_error)?;
    sysctl::write("kern.consmute", 1).map_err(resource_error)?;
    for _ in 0..TIMES {
        fault::nmi();
    }
    sysctl::write("kern.consmute", 0).map_err(resource_error)?;
    sysctl::write_text("debug.ddb.scripting.unscript", SCRIPT).map_err(resource_error)
}
