//! The user's tree is removed or changed while a kernel is built from it: kdk
//! builds from its own checkout, which does not change. It needs the build
//! dependencies of a kernel, and so a base that is set up.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::fault::{Fault, FaultResult, Stop, ends, injected_in};
use crate::process::Exit;
use crate::sandbox::{Sandbox, io_error};

const BASE: &str = "releng-15.1";

/// Returns all faults; none without a base.
pub fn faults() -> Vec<Fault> {
    if std::env::var_os("KDK_FAULTS_BASE").is_none() {
        return Vec::new();
    }
    let intact = || ends(3, "the checkout of kdk is intact");
    vec![
        injected_in(
            Sandbox::without_guest,
            "tree deleted while building",
            intact(),
            |sandbox| {
                let result = inject(sandbox, "rm -rf \"$PWD\"")?;
                let mut again =
                    sandbox.xtask_under(&[], &["vm-test", "--no-patches", "--base", BASE]);
                again.arg("--json").arg(sandbox.path("out/again.json"));
                match sandbox.run(again)?.exit {
                    Exit::Code(5) => Ok(result),
                    exit => Err(Stop::Wrong(format!(
                        "without its tree it ended with {exit}"
                    ))),
                }
            },
        ),
        injected_in(
            Sandbox::without_guest,
            "tree changed while building",
            intact(),
            |sandbox| inject(sandbox, "echo two > sys/kern/a.c"),
        ),
    ]
}

/// Adds a base whose own build script runs `spoil` in the user's tree, and then
/// prints, as a compiler does, the state of kdk's checkout.
fn inject(sandbox: &Sandbox, spoil: &str) -> Result<FaultResult, Stop> {
    let src = sandbox.path("src");
    let script = format!(
        "import subprocess, sys\n\
         if 'buildkernel' in sys.argv:\n    \
         subprocess.run(['sh', '-c', {spoil:?}], cwd={src:?}, check=True)\n    \
         intact = open('sys/kern/a.c').read() == 'one\\n'\n    \
         state = 'intact' if intact else 'changed'\n    \
         print('sys/kern/a.c:1:1: error: the checkout of kdk is ' + state)\n    \
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
    let add = sandbox.xtask_under(&[], &["base", "add", BASE, "--src", &src.to_string_lossy()]);
    let added = sandbox.run(add)?;
    if added.exit != Exit::Code(0) {
        return Err(Stop::Wrong(format!("base add ended with {}", added.exit)));
    }
    let mut command = sandbox.xtask_under(&[], &["vm-test", "--no-patches", "--base", BASE]);
    command.arg("--json").arg(sandbox.report());
    sandbox.inject(command)
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(io_error("make", folder))?;
    fs::write(path, text).map_err(io_error("write", path))
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
