//! The host's faults with a FreeBSD base: damaged artefacts, a full disk, two
//! runs at once. Played on the base that `KDK_FAULTS_BASE` names, in an overlay
//! of the user's cache folder: that itself stays as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::OnceLock;

use kdk_vm::verdict::Verdict::Pass;

use crate::fault::{Fault, Played, Stop, Want, ends, infra, played_in};
use crate::host::nothing_left;
use crate::judge;
use crate::place::{Place, told};
use crate::powers::small_disk;
use crate::running::{Exit, Ran};

/// A test that passes.
const GOOD: &str = "harness/assertion-message";

/// Returns all of them; none without a base.
pub fn faults() -> Vec<Fault> {
    let Ok(base) = std::env::var("KDK_FAULTS_BASE") else {
        return Vec::new();
    };
    let fault = |name: &str, want: Want, play: fn(&Place, &str) -> Result<Played, Stop>| {
        let (name, base) = (format!("{base}: {name}"), base.clone());
        played_in(Place::over_cache, name, want, move |place| {
            built(place, &base)?;
            play(place, &base)
        })
    };
    let unusable = |says: &str| ends(3, "kdk.ko is no usable kernel module").and_says(says);
    vec![
        fault(
            "kdk.ko truncated",
            unusable("it is truncated"),
            |place, base| damaged(place, base, "truncate -s 4096 \"$ko\""),
        ),
        fault(
            "kdk.ko of another machine",
            unusable("it is for machine 183"),
            |place, base| {
                // e_machine; 183 is aarch64.
                let patch = "printf '\\267' | dd of=\"$ko\" bs=1 seek=18 conv=notrunc status=none";
                damaged(place, base, patch)
            },
        ),
        fault(
            "kdk.ko unreadable",
            unusable("it cannot be read"),
            // A mode would not hold root; a link to itself holds everybody.
            |place, base| damaged(place, base, "ln -sf kdk.ko \"$ko\""),
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
fn built(place: &Place, base: &str) -> Result<(), Stop> {
    static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
    let build = || {
        let ran = place.run(place.vm_test_of_base(&[], base, GOOD))?;
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

/// Returns a run after `script` has been played in the overlay.
fn play(place: &Place, base: &str, script: &str) -> Result<Played, Stop> {
    let prefix = place.overlay(script)?;
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let mut command = place.vm_test_of_base(&prefix, base, GOOD);
    command.arg("--json").arg(place.report());
    let played = place.play(command);
    // The kernel closes the overlay's own folder to everybody.
    let work = place.path("work/work");
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&work, open).map_err(told("open", &work))?;
    played
}

/// `damage` is done to every `$ko`.
fn damaged(place: &Place, base: &str, damage: &str) -> Result<Played, Stop> {
    let script = format!("for ko in \"$0\"/store/kmod/{base}/*/kdk.ko; do {damage}; done");
    play(place, base, &script)
}

/// No image is there, and unfinished results have little room.
fn full_image(place: &Place, base: &str) -> Result<Played, Stop> {
    let (cache, names) = (place.cache()?, place.path("names"));
    let disk = small_disk(&cache.join("store/.unfinished"), "1m", &names);
    let script = format!("rm -rf \"$0\"/store/image/{base}; {disk}");
    let played = play(place, base, &script)?;
    nothing_left(&names, &played)?;
    Ok(played)
}

/// Both find no image and no saved machine.
fn two_at_once(place: &Place, base: &str) -> Result<Played, Stop> {
    let (report, told_by, status) = (
        place.path("out/second.json"),
        place.path("out/second.err"),
        place.path("out/second.status"),
    );
    let script = format!(
        "rm -rf \"$0\"/store/image/{base} \"$0\"/store/state/{base}; \
         {{ second=0; \"$1\" vm-test --base {base} --accel tcg --tests {GOOD} --json {report:?} \
         2> {told_by:?} || second=$?; echo $second > {status:?}; }} & \
         first=0; \"$@\" || first=$?; wait; exit $first"
    );
    let played = play(place, base, &script)?;
    let read = |path| fs::read_to_string(path).map_err(told("read", path));
    let code = read(&status)?;
    let code = code
        .trim()
        .parse()
        .map_err(|_| format!("{code:?} is no status"))?;
    let second = Played {
        report: fs::read(&report).ok(),
        ran: Ran {
            exit: Exit::Code(code),
            lines: read(&told_by)?.lines().map(str::to_owned).collect(),
        },
    };
    judge::holds(&passes(), &second)?;
    Ok(played)
}
