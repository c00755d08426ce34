//! Privileges that only some hosts give a test: mounts of its own, another
//! user.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nix::unistd::Uid;

/// The id of the user without privileges (Debian, Fedora).
const UNPRIVILEGED_UID: &str = "65534";

/// Returns the command line of a program that can mount, in a mount namespace
/// of its own, so that no mount is left behind; none if the host forbids it.
pub fn mounter() -> Option<&'static [&'static str]> {
    static FOUND: OnceLock<Option<&[&str]>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        let as_root: &[&str] = &["unshare", "--mount"];
        let as_user: &[&str] = &["unshare", "--user", "--map-root-user", "--mount"];
        [as_root, as_user].into_iter().find(|line| may_mount(line))
    })
}

fn may_mount(line: &[&str]) -> bool {
    Command::new(line[0])
        .args(&line[1..])
        .args(["mount", "-t", "tmpfs", "none", "/tmp"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Returns the command line of a shell that can mount, runs `script` and
/// becomes the program behind it. `$0` in the script is `argument`.
pub fn mounted(script: &str, argument: &Path) -> Option<Vec<String>> {
    let script = format!("{script} && exec \"$@\"");
    let shell = ["sh".to_owned(), "-c".into(), script];
    let line = mounter()?.iter().map(|word| (*word).to_owned());
    let argument = argument.display().to_string();
    Some(line.chain(shell).chain([argument]).collect())
}

/// Returns the end of a script for [`mounted`]: a disk of `size` on `folder`
/// while the program runs, and afterwards the names of what it left there in
/// `names`.
pub fn small_disk(folder: &Path, size: &str, names: &Path) -> String {
    format!(
        "mkdir -p {folder:?} && mount -t tmpfs -o size={size} none {folder:?} || exit; \
         status=0; \"$@\" || status=$?; ls -A {folder:?} > {names:?}; exit $status"
    )
}

/// Returns the command line of a program that runs another as a user whom file
/// modes restrict; empty if they restrict this user already.
pub fn unprivileged() -> &'static [&'static str] {
    if Uid::effective().is_root() {
        let line: &[&str] = &[
            "setpriv",
            "--reuid",
            UNPRIVILEGED_UID,
            "--regid",
            UNPRIVILEGED_UID,
            "--clear-groups",
        ];
        line
    } else {
        &[]
    }
}
