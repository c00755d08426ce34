//! Finds bubblewrap (bwrap(1)), which confines builds on Linux.

use std::path::{Path, PathBuf};

use duct::cmd;

use crate::checks::{self, State};
use crate::{fix_command, packages};
use kdk_core::failure::Failure;

/// The first bubblewrap with `--disable-userns`: what it runs cannot make
/// namespaces of its own.
const WANTED: (u32, u32) = (0, 8);

/// The namespaces that a confined program gets for itself. It has no network,
/// no capabilities and no terminal, and ends with the program that started it.
pub const ISOLATION: [&str; 11] = [
    "--unshare-user",
    "--disable-userns",
    "--unshare-ipc",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--cap-drop",
    "ALL",
    "--new-session",
    "--die-with-parent",
];

/// The same programs and libraries for every confined program.
const TRY: [&str; 8] = [
    "--ro-bind",
    "/",
    "/",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "true",
];

/// Returns the path of bubblewrap, after a try that it works.
///
/// # Errors
/// It is missing or too old, or the kernel lets it make no namespaces.
pub fn find() -> Result<PathBuf, Failure> {
    const TRIED: &str = "confine builds";
    if !cfg!(target_os = "linux") {
        let why = "bubblewrap confines them, and it runs only on Linux";
        return Err(Failure::usage(TRIED, why).help("leave out --sandbox, or use a Linux host"));
    }
    let path = checks::find("bwrap");
    let state = path.as_deref().map(inspect);
    match (path, state) {
        (Some(path), Some(State::Found(_))) => Ok(path),
        (Some(_), Some(State::Note(why))) => Err(Failure::infra(TRIED, why).help(NAMESPACES)),
        (_, state) => {
            let why = state.map_or_else(
                || "bubblewrap is not installed".to_owned(),
                |state| state.detail().to_owned(),
            );
            Err(Failure::infra(TRIED, why).help(fix_command(&packages::BUBBLEWRAP)))
        }
    }
}

/// The help for a host where bubblewrap does not work.
const NAMESPACES: &str = "let this user make user namespaces: see the sysctls \
     user.max_user_namespaces, kernel.unprivileged_userns_clone (Debian) and \
     kernel.apparmor_restrict_unprivileged_userns (Ubuntu). In a container, its runtime has to \
     allow them";

/// Returns the doctor's result.
pub fn state() -> State {
    if !cfg!(target_os = "linux") {
        return State::Note("not available on this system; only `--sandbox` needs it".into());
    }
    match checks::find("bwrap") {
        Some(path) => inspect(&path),
        None => State::Missing("it is not in PATH; only `--sandbox` needs it".into()),
    }
}

fn inspect(bwrap: &Path) -> State {
    let version = cmd!(bwrap, "--version").stderr_null().read();
    let tried = cmd(bwrap, ISOLATION.iter().chain(&TRY))
        .stdin_null()
        .stderr_to_stdout()
        .stdout_capture()
        .unchecked()
        .run()
        .map(|output| {
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            (output.status.success(), text)
        });
    let (works, output) = tried.unwrap_or_else(|error| (false, error.to_string()));
    classify(bwrap, &version.unwrap_or_default(), works, &output)
}

/// Classifies the bubblewrap at `path` by its version and by a try.
fn classify(path: &Path, version: &str, works: bool, output: &str) -> State {
    let at = path.display().to_string();
    match checks::classify_version("bubblewrap", WANTED, &at, version) {
        State::Found(_) if !works => {
            let why = output.lines().next().unwrap_or("it says nothing");
            State::Note(format!("{at} cannot confine a program: {why}"))
        }
        state => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bubblewrap_by_its_version_and_by_a_try() {
        let refused = "bwrap: No permissions to create new namespace\nmore";
        for (version, works, output, word, detail) in [
            (
                "bubblewrap 0.8.0",
                true,
                "",
                "found",
                "/usr/bin/bwrap (bubblewrap 0.8.0)",
            ),
            (
                "bubblewrap 0.11.0",
                true,
                "",
                "found",
                "/usr/bin/bwrap (bubblewrap 0.11.0)",
            ),
            (
                "bubblewrap 0.6.1",
                false,
                "bwrap: Unknown option --disable-userns",
                "TOO OLD",
                "/usr/bin/bwrap (bubblewrap 0.6.1); bubblewrap 0.8 is needed",
            ),
            (
                "bubblewrap 0.8.0",
                false,
                refused,
                "note",
                "/usr/bin/bwrap cannot confine a program: bwrap: No permissions to create new namespace",
            ),
            (
                "bubblewrap 0.8.0",
                false,
                "",
                "note",
                "/usr/bin/bwrap cannot confine a program: it says nothing",
            ),
            (
                "",
                false,
                "",
                "MISSING",
                "/usr/bin/bwrap does not report its version",
            ),
        ] {
            let state = classify(Path::new("/usr/bin/bwrap"), version, works, output);
            assert_eq!((state.word(), state.detail()), (word, detail));
        }
    }
}
