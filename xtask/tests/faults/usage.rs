//! Command lines that ask for what cannot be: they end before anything is built.

use std::fs;

use crate::fault::{Fault, Want, daily, ends};
use crate::sandbox::{Sandbox, io_error};

/// Returns all faults of this kind.
pub fn faults() -> Vec<Fault> {
    let mut all: Vec<Fault> = [
        ("--cpus 0", "--cpus"),
        ("--timeout 9223372036854775808", "--timeout"),
        ("--repeat 4294967295", "--repeat"),
        ("--jobs 65535", "--jobs"),
    ]
    .into_iter()
    .map(|(args, says)| refused(args, ends(2, says).without_report()))
    .collect();
    all.extend([
        refused("--base demo --patch FILE", ends(2, "could not use --patch")),
        refused("--patch FILE", ends(2, "no base is set up")),
        refused(
            "--base demo --exclude-patch x",
            ends(2, "could not use --exclude-patch"),
        ),
        refused(
            "--base demo --no-patches",
            ends(2, "could not use --no-patches"),
        ),
        refused("--tests [", ends(2, "is neither a test's name nor a glob")),
        refused(
            "--jobs 2 --isolation none",
            ends(2, "all tests share one guest"),
        ),
        daily(
            "two reports to one file",
            ends(2, "two reports would go to").without_report(),
            |sandbox| {
                let mut command = sandbox.vm_test(&[]);
                command.arg("--junit").arg(sandbox.report());
                sandbox.inject(command)
            },
        ),
    ]);
    for (name, says) in [
        ("a:b", "has the character ':'"),
        ("a,b", "has the character ','"),
        ("a=b", "has the character '='"),
        ("a%b", "has the character '%'"),
        ("a b", "has the character ' '"),
    ] {
        all.push(daily(
            format!("cache folder {name:?}"),
            ends(2, says),
            move |sandbox| {
                let mut command = sandbox.vm_test(&[]);
                command.env("KDK_HOME", sandbox.path(name));
                sandbox.inject(command)
            },
        ));
    }
    all.push(daily(
        "cache folder is a file",
        ends(5, "is not a folder"),
        |sandbox| {
            let file = sandbox.path("file");
            fs::write(&file, "").map_err(io_error("write", &file))?;
            let mut command = sandbox.vm_test(&[]);
            command.env("KDK_HOME", file);
            sandbox.inject(command)
        },
    ));
    all
}

/// Returns the fault of these arguments in an empty cache folder. `FILE` is an
/// empty file.
fn refused(args: &'static str, want: Want) -> Fault {
    let inject = move |sandbox: &mut Sandbox| {
        let file = sandbox.path("fix.diff");
        fs::write(&file, "").map_err(io_error("write", &file))?;
        let mut command = sandbox.xtask_under(&[], &["vm-test"]);
        for arg in args.split(' ') {
            match arg {
                "FILE" => command.arg(&file),
                arg => command.arg(arg),
            };
        }
        command.arg("--json").arg(sandbox.report());
        sandbox.inject(command)
    };
    daily(format!("vm-test {args}"), want, inject)
}
