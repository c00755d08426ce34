//! The most important faults of a guest, injected by kdk.ko in a FreeBSD
//! kernel: on the base that `KDK_FAULTS_BASE` names, if it is set up.

use kdk_vm::verdict::Verdict::{self, Crash, Fail, Timeout};

use crate::fault::{Fault, ends, injected_in};
use crate::sandbox::Sandbox;

/// A test, its verdict, what its detail says, and a frame of its backtrace.
const FAULTS: [(&str, Verdict, &str, &str); 5] = [
    (
        "fault/panic",
        Crash,
        "panic: kdk: asked for by a test",
        "panic() at ",
    ),
    (
        "fault/hang-cli",
        Timeout,
        "no end within",
        "kdk_hang() at kdk_hang+",
    ),
    ("fault/leak", Fail, "leak: malloc bytes kdk +", ""),
    ("fault/held-lock", Fail, "leak: held lock kdk module +1", ""),
    ("fault/rust-panic", Fail, "panic: asked for by a test", ""),
];

/// Returns all faults; none without a base.
pub fn faults() -> Vec<Fault> {
    let Ok(base) = std::env::var("KDK_FAULTS_BASE") else {
        return Vec::new();
    };
    let fault = |(test, verdict, detail, frame): (&'static str, Verdict, &str, &str)| {
        let want = ends(1, detail).and_says(frame).with(&[(test, verdict)]);
        let name = format!("{base}: {test}");
        let base = base.clone();
        injected_in(Sandbox::without_guest, name, want, move |sandbox| {
            let mut command = sandbox.vm_test_of_base(&[], &base, test);
            command
                .args(["--timeout", "5"])
                .arg("--json")
                .arg(sandbox.report());
            sandbox.inject(command)
        })
    };
    FAULTS.into_iter().map(fault).collect()
}
