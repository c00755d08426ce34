//! Ensures that no machine outlives the process that started it.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use crate::exit::Status;

/// How a machine's process is tied to this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Not at all: for programs that end soon.
    None,
    /// On Linux, the kernel kills the program when the thread that started it
    /// ends. setpriv(1) of util-linux requests that and then executes the
    /// program.
    Setpriv(PathBuf),
    /// On other systems, a shell runs the program and kills its process group
    /// when the pipe on its standard input closes, that is, when this process
    /// ends.
    Pipe,
}

/// The shell's script. It passes the exit status on, and a signal n as 128 + n.
/// Therefore guests should not use debug-exit values of 64 and more.
const SCRIPT: &str = r#"
exec 9<&0 </dev/null
"$@" 9<&- &
child=$!
{ read -r _ <&9; kill -KILL 0; } 2>/dev/null &
guard=$!
exec 9<&-
wait "$child"
status=$?
kill "$guard"
exit "$status"
"#;

impl Guard {
    /// Returns the best guard of this host.
    pub fn detect() -> Self {
        if cfg!(target_os = "linux") {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let usual = ["/usr/bin", "/bin"].map(PathBuf::from);
            let found = std::env::split_paths(&path)
                .chain(usual)
                .map(|dir| dir.join("setpriv"))
                .find(|path| path.is_file());
            if let Some(setpriv) = found {
                return Self::Setpriv(setpriv);
            }
        }
        Self::Pipe
    }

    /// Returns the command that runs `program` with `args` under this guard.
    pub fn wrap(&self, program: &Path, args: Vec<OsString>) -> (PathBuf, Vec<OsString>) {
        let (outer, mut all): (_, Vec<OsString>) = match self {
            Self::None => return (program.to_owned(), args),
            Self::Setpriv(setpriv) => (
                setpriv.clone(),
                ["--pdeathsig", "KILL", "--"].map(OsString::from).to_vec(),
            ),
            Self::Pipe => (
                PathBuf::from("/bin/sh"),
                ["-c", SCRIPT, "kdk-guard"].map(OsString::from).to_vec(),
            ),
        };
        all.push(OsStr::new(program).to_owned());
        all.extend(args);
        (outer, all)
    }

    /// Returns how the guarded program ended.
    pub fn status(&self, status: ExitStatus) -> Status {
        match (self, status.code(), status.signal()) {
            (Self::Pipe, Some(code), _) if (129..=128 + 64).contains(&code) => {
                Status::Signal(code - 128)
            }
            (_, Some(code), _) => Status::Code(code),
            (_, None, signal) => Status::Signal(signal.unwrap_or(0)),
        }
    }
}
