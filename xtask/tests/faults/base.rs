//! Faults of the host with a FreeBSD base: damaged artefacts, a full disk, two
//! runs at once. They are injected on the base that `KDK_FAULTS_BASE` names, in
//! an overlay of the user's cache folder, which does not change.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::OnceLock;

use kdk_vm::verdict::Verdict::Pass;

use crate::evaluate;
use crate::fault::{Fault, FaultResult, Stop, Want, ends, infra, injected_in};
use crate::host::nothing_left;
use crate::privileges::small_disk;
use crate::process::{Exit, Ran};
use crate::sandbox::{Sandbox, io_error};

/// A test that passes.
const GOOD: &str = "harness/assertion-message";

/// Returns all faults; none without a base.
pub fn faults() -> Vec<Fault> {
    let Ok(base) = std::env::var("KDK_FAULTS_BASE") else {
        return Vec::new();
    };
    let fault =
        |name: &str, want: Want, inject: fn(&Sandbox, &str) -> Result<FaultResult, Stop>| {
            let (name, base) = (format!("{base}: {name}"), base.clone());
            injected_in(Sandbox::over_cache, name, want, move |sandbox| {
                built(sandbox, &base)?;
                inject(sandbox, &base)
            })
        };
    let unusable = || ends(3, "kdk.ko is damaged");
    vec![
        fault("kdk.ko truncated", unusable(), |sandbox, base| {
            damaged(sandbox, base, "truncate -s 4096 \"$ko\"")
        }),
        fault("kdk.ko of another machine", unusable(), |sandbox, base| {
            // e_machine; 183 is aarch64.
            let patch = "printf '\\267' | dd of=\"$ko\" bs=1 seek=18 conv=notrunc status=none";
            damaged(sandbox, base, patch)
        }),
        fault(
            "kdk.ko unreadable",
            unusable(),
            // A mode does not stop root, but a link to itself does.
            |sandbox, base| damaged(sandbox, base, "ln -sf kdk.ko \"$ko\""),
        ),
        fault(
            "full disk while writing the image",
            infra("no space is left on the disk"),
            full_image,
        ),
        fault("two runs at once", passes(), two_at_once),
    ]
}

fn passes() -> Want {
    ends(0, "").with(&[(GOOD, Pass)])
}

/// Builds all that a run needs in the user's cache folder, once for all rows.
fn built(sandbox: &Sandbox, base: &str) -> Result<(), Stop> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let build = || {
        let ran = sandbox.run(sandbox.vm_test_of_base(&[], base, GOOD))?;
        match ran.exit {
            Exit::Code(0) => Ok(()),
            exit => Err(format!(
                "without a fault it ends with {exit}:\n{}",
                ran.text()
            )),
        }
    };
    BUILT.get_or_init(build).clone().map_err(Stop::Wrong)
}

/// Runs the test after `script` ran in the overlay.
fn inject(sandbox: &Sandbox, base: &str, script: &str) -> Result<FaultResult, Stop> {
    let prefix = sandbox.overlay(script)?;
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let mut command = sandbox.vm_test_of_base(&prefix, base, GOOD);
    command.arg("--json").arg(sandbox.report());
    let result = sandbox.inject(command);
    // The kernel removes the permissions of the overlay's own folder.
    let work = sandbox.path("work/work");
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&work, open).map_err(io_error("open", &work))?;
    result
}

/// Runs `damage` on every `$ko`.
fn damaged(sandbox: &Sandbox, base: &str, damage: &str) -> Result<FaultResult, Stop> {
    let script = format!("for ko in \"$0\"/store/kmod/{base}/*/kdk.ko; do {damage}; done");
    inject(sandbox, base, &script)
}

/// Injects a small disk for unfinished results, without an image in the store.
fn full_image(sandbox: &Sandbox, base: &str) -> Result<FaultResult, Stop> {
    let (cache, names) = (sandbox.cache()?, sandbox.path("names"));
    let disk = small_disk(&cache.join("store/.unfinished"), "1m", &names);
    let script = format!("rm -rf \"$0\"/store/image/{base}; {disk}");
    let result = inject(sandbox, base, &script)?;
    nothing_left(&names, &result)?;
    Ok(result)
}

/// Starts two runs without an image or a saved machine.
fn two_at_once(sandbox: &Sandbox, base: &str) -> Result<FaultResult, Stop> {
    let (report, second_output, status) = (
        sandbox.path("out/second.json"),
        sandbox.path("out/second.err"),
        sandbox.path("out/second.status"),
    );
    let script = format!(
        "rm -rf \"$0\"/store/image/{base} \"$0\"/store/state/{base}; \
         {{ second=0; \"$1\" vm-test --base {base} --accel tcg --tests {GOOD} --json {report:?} \
         2> {second_output:?} || second=$?; echo $second > {status:?}; }} & \
         first=0; \"$@\" || first=$?; wait; exit $first"
    );
    let result = inject(sandbox, base, &script)?;
    let read = |path| fs::read_to_string(path).map_err(io_error("read", path));
    let code = read(&status)?;
    let code = code
        .trim()
        .parse()
        .map_err(|_| format!("{code:?} is no status"))?;
    let second = FaultResult {
        report: fs::read(&report).ok(),
        ran: Ran {
            exit: Exit::Code(code),
            lines: read(&second_output)?.lines().map(str::to_owned).collect(),
        },
    };
    evaluate::holds(&passes(), &second)?;
    Ok(result)
}
