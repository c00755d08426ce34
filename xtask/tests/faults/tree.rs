//! The user's tree goes away or changes while a kernel is built from it: the
//! kit builds from a checkout of its own, which stays as it was. Needs what
//! the build of a kernel needs of the host, and so a base that is set up.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::fault::{Fault, Played, Stop, ends, played_in};
use crate::place::{Place, told};
use crate::running::Exit;

const BASE: &str = "releng-15.1";

/// Returns all of them; none without a base.
pub fn faults() -> Vec<Fault> {
    if std::env::var_os("KDK_FAULTS_BASE").is_none() {
        return Vec::new();
    }
    let whole = || ends(3, "the kit's checkout is whole");
    vec![
        played_in(
            Place::without_guest,
            "tree deleted while building",
            whole(),
            |place| {
                let played = play(place, "rm -rf \"$PWD\"")?;
                let mut again = place.xtask_under(&[], &["vm-test", "--unpatched", "--base", BASE]);
                again.arg("--json").arg(place.path("out/again.json"));
                match place.run(again)?.exit {
                    Exit::Code(5) => Ok(played),
                    exit => Err(Stop::Wrong(format!(
                        "without its tree it ended with {exit}"
                    ))),
                }
            },
        ),
        played_in(
            Place::without_guest,
            "tree changed while building",
            whole(),
            |place| play(place, "echo two > sys/kern/a.c"),
        ),
    ]
}

/// Returns a base whose own build script runs `spoil` in the user's tree, and
/// then says, as a compiler would, what became of the kit's checkout.
fn play(place: &Place, spoil: &str) -> Result<Played, Stop> {
    let src = place.path("src");
    let script = format!(
        "import subprocess, sys\n\
         if 'buildkernel' in sys.argv:\n    \
         subprocess.run(['sh', '-c', {spoil:?}], cwd={src:?}, check=True)\n    \
         whole = open('sys/kern/a.c').read() == 'one\\n'\n    \
         state = 'whole' if whole else 'torn'\n    \
         print('sys/kern/a.c:1:1: error: the kit\\'s checkout is ' + state)\n    \
         sys.exit(1)\n"
    );
    for (name, text) in [
        ("Makefile", "all:\n"),
        ("sys/sys/param.h", "#define __FreeBSD_version 1501000\n"),
        ("sys/kern/a.c", "one\n"),
        ("tools/build/make.py", script.as_str()),
    ] {
        write(&src.join(name), text)?;
    }
    for args in [
        ["init", "-q", "."].as_slice(),
        &["add", "-A"],
        &["commit", "-q", "-m", "import"],
    ] {
        git(&src, args)?;
    }
    let add = place.xtask_under(&[], &["base", "add", BASE, "--src", &src.to_string_lossy()]);
    let added = place.run(add)?;
    if added.exit != Exit::Code(0) {
        return Err(Stop::Wrong(format!("base add ended with {}", added.exit)));
    }
    let mut command = place.xtask_under(&[], &["vm-test", "--unpatched", "--base", BASE]);
    command.arg("--json").arg(place.report());
    place.play(command)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(told("make", folder))?;
    fs::write(path, text).map_err(told("write", path))
}

fn git(dir: &Path, args: &[&str]) -> Result<(), String> {
    let status = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=a", "-c", "user.email=a@localhost"])
        .args(args)
        .status()
        .map_err(|error| format!("git cannot be run: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("git {args:?}: {status}")),
    }
}
