//! Runs git. This is the one place that does; `xtask tidy`, which depends on no
//! other crate, is the exception.
//!
//! A command runs in one repository and without the user's settings: a hook, a
//! filter or a pager must not change the content of a tree.
//!
//! The commands run by `std::process`, not by xshell: xshell cannot pass on
//! progress while a command runs, it reports a broken pipe on standard input
//! where git's own error is wanted, and it hides whether git is missing.

use std::ffi::{OsStr, OsString};
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::failure::Failure;

/// The identity of kdk's own commits. It has a fixed date, so that the same
/// patches on the same base are the same commit on every machine.
const IDENTITY: [(&str, &str); 6] = [
    ("GIT_AUTHOR_NAME", "fbsd-kdk"),
    ("GIT_AUTHOR_EMAIL", "fbsd-kdk@localhost"),
    ("GIT_AUTHOR_DATE", "2000-01-01T00:00:00Z"),
    ("GIT_COMMITTER_NAME", "fbsd-kdk"),
    ("GIT_COMMITTER_EMAIL", "fbsd-kdk@localhost"),
    ("GIT_COMMITTER_DATE", "2000-01-01T00:00:00Z"),
];

/// The variables of the user's environment that apply when git commits in the
/// user's name.
const OF_USER: [&str; 5] = [
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];

/// The author of a change, with the date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The name of the person.
    pub name: String,
    /// The mail address.
    pub email: String,
    /// The date, in the form of RFC 5322.
    pub date: String,
}

/// A git command line for one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Git {
    git_dir: PathBuf,
    discovery: Option<Discovery>,
    work_tree: Option<PathBuf>,
    index: Option<PathBuf>,
    objects: Option<PathBuf>,
    network: bool,
    in_users_name: bool,
    settings: Vec<String>,
    author: Option<Author>,
    committer: Option<Author>,
}

/// Where git looks for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Discovery {
    /// The directory in which it begins.
    from: PathBuf,
    /// The directory that it does not enter.
    ceiling: Option<PathBuf>,
}

/// The result of a git command.
#[derive(Debug)]
pub struct Ran {
    /// Whether it exited with 0.
    pub ok: bool,
    /// The standard output.
    pub stdout: Vec<u8>,
    /// The standard error.
    pub stderr: String,
}

impl Ran {
    /// Returns the output as trimmed text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim().to_owned()
    }

    /// Returns git's own summary of an error: its last `fatal:` or `error:`
    /// line.
    pub fn summary(&self) -> String {
        let last = |prefix: &str| {
            let mut lines = self.stderr.lines().rev();
            lines.find_map(|line| Some(line.trim().strip_prefix(prefix)?.trim().to_owned()))
        };
        last("fatal:")
            .or_else(|| last("error:"))
            .or_else(|| last(""))
            .unwrap_or_default()
    }
}

impl Git {
    /// Returns git in the repository `git_dir`, whatever the current directory.
    pub fn new(git_dir: impl Into<PathBuf>) -> Self {
        Self {
            git_dir: git_dir.into(),
            discovery: None,
            work_tree: None,
            index: None,
            objects: None,
            network: false,
            in_users_name: false,
            settings: Vec::new(),
            author: None,
            committer: None,
        }
    }

    /// Returns git for commands that need no repository.
    pub fn nowhere() -> Self {
        Self::new("/nonexistent")
    }

    /// Returns git that looks for its repository in `from` and in the folders above
    /// it, up to `ceiling`. It may be anyone's repository, and is only read.
    pub fn discover(from: &Path, ceiling: Option<&Path>) -> Self {
        let mut git = Self::nowhere().setting("safe.directory=*");
        git.discovery = Some(Discovery {
            from: from.to_owned(),
            ceiling: ceiling.map(Path::to_owned),
        });
        git
    }

    /// Sets the author of commits, if there is one.
    pub fn author<'a>(mut self, author: impl Into<Option<&'a Author>>) -> Self {
        self.author = author.into().cloned();
        self
    }

    /// Sets the work tree.
    pub fn work_tree(mut self, work_tree: impl Into<PathBuf>) -> Self {
        self.work_tree = Some(work_tree.into());
        self
    }

    /// Sets the index file.
    pub fn index(mut self, index: impl Into<PathBuf>) -> Self {
        self.index = Some(index.into());
        self
    }

    /// Sets the object directory, in place of the repository's.
    pub fn objects(mut self, objects: impl Into<PathBuf>) -> Self {
        self.objects = Some(objects.into());
        self
    }

    /// Enables the user's own settings, which may have proxies and
    /// certificates.
    pub fn network(mut self) -> Self {
        self.network = true;
        self
    }

    /// Enables the user's identity and settings, but not their hooks: for a
    /// repository that the user asked to change.
    pub fn in_users_name(mut self) -> Self {
        self.network = true;
        self.in_users_name = true;
        self.setting("core.hooksPath=/dev/null")
    }

    /// Adds the setting `name=value`.
    pub fn setting(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// Sets the committer of commits.
    pub fn committer(mut self, committer: &Author) -> Self {
        self.committer = Some(committer.clone());
        self
    }

    /// Returns the path of the repository.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Runs git. `tried` completes "could not ..." if it cannot be started.
    pub fn run<S: AsRef<OsStr>>(&self, tried: &str, args: &[S]) -> Result<Ran, Failure> {
        self.run_with(tried, args, b"")
    }

    /// Runs git with `input` on its standard input.
    pub fn run_with<S: AsRef<OsStr>>(
        &self,
        tried: &str,
        args: &[S],
        input: &[u8],
    ) -> Result<Ran, Failure> {
        let mut command = self.command(args);
        command.stdin(Stdio::piped());
        let output = talk(command, input).map_err(|error| cannot_start(tried, error))?;
        Ok(Ran {
            ok: output.status.success(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs git and returns its output. An exit code other than 0 is a failure
    /// with git's own message.
    pub fn text<S: AsRef<OsStr>>(&self, tried: &str, args: &[S]) -> Result<String, Failure> {
        Ok(self.must(tried, args, b"")?.text())
    }

    /// Does what [`Git::text`] does with an input, and returns the whole
    /// result.
    pub fn must<S: AsRef<OsStr>>(
        &self,
        tried: &str,
        args: &[S],
        input: &[u8],
    ) -> Result<Ran, Failure> {
        let ran = self.run_with(tried, args, input)?;
        if ran.ok {
            return Ok(ran);
        }
        Err(failed(tried, &ran))
    }

    /// Returns the id of the commit that `revision` names; none if there is none.
    /// The revision may be anything that a user writes.
    pub fn commit_id(&self, tried: &str, revision: &str) -> Result<Option<String>, Failure> {
        let name = format!("{revision}^{{commit}}");
        let args = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &name,
        ];
        let ran = self.run(tried, &args)?;
        Ok(ran.ok.then(|| ran.text()))
    }

    /// Runs a long git command. Calls `progress` for each of git's progress
    /// lines.
    pub fn watch<S: AsRef<OsStr>>(
        &self,
        tried: &str,
        args: &[S],
        input: &[u8],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Ran, Failure> {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let broken = |error| cannot_start(tried, error);
        let mut child = command.spawn().map_err(broken)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A git that stops early reports the reason itself.
            let _ = stdin.write_all(input);
        }
        let stderr = match child.stderr.take() {
            Some(stderr) => follow(stderr, progress),
            None => String::new(),
        };
        let status = child.wait().map_err(broken)?;
        Ok(Ran {
            ok: status.success(),
            stdout: Vec::new(),
            stderr,
        })
    }

    fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new("git");
        for (name, _) in std::env::vars_os() {
            let kept = self.in_users_name && OF_USER.iter().any(|of_user| name == *of_user);
            if name.as_encoded_bytes().starts_with(b"GIT_") && !kept {
                command.env_remove(name);
            }
        }
        if !self.in_users_name {
            command.envs(IDENTITY);
        }
        command
            .args(self.arguments(args))
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
        match &self.discovery {
            None => command.env("GIT_DIR", &self.git_dir),
            Some(Discovery { from, ceiling }) => command
                .current_dir(from)
                .envs(ceiling.as_ref().map(|dir| ("GIT_CEILING_DIRECTORIES", dir))),
        };
        for (role, person) in [("AUTHOR", &self.author), ("COMMITTER", &self.committer)] {
            if let Some(person) = person {
                command
                    .env(format!("GIT_{role}_NAME"), &person.name)
                    .env(format!("GIT_{role}_EMAIL"), &person.email)
                    .env(format!("GIT_{role}_DATE"), &person.date);
            }
        }
        if !self.network {
            command
                .env("GIT_CONFIG_GLOBAL", "/dev/null")
                .env("GIT_CONFIG_NOSYSTEM", "1");
        }
        if let Some(objects) = &self.objects {
            command.env("GIT_OBJECT_DIRECTORY", objects);
        }
        if let Some(work_tree) = &self.work_tree {
            command
                .env("GIT_WORK_TREE", work_tree)
                .current_dir(work_tree);
        }
        if let Some(index) = &self.index {
            command.env("GIT_INDEX_FILE", index);
        }
        command
    }

    fn arguments<S: AsRef<OsStr>>(&self, args: &[S]) -> Vec<OsString> {
        let settings = [
            "core.fsmonitor=false",
            "gc.auto=0",
            "maintenance.auto=false",
        ]
        .into_iter()
        .chain(self.settings.iter().map(String::as_str))
        .flat_map(|setting| ["-c".into(), setting.into()]);
        settings
            // A path of a patch is never a pattern.
            .chain(["--literal-pathspecs".into()])
            .chain(args.iter().map(|arg| arg.as_ref().to_owned()))
            .collect()
    }
}

/// Runs a command with an input and collects its output.
fn talk(mut command: Command, input: &[u8]) -> std::io::Result<Output> {
    let mut child = command.spawn()?;
    let stdin = child.stdin.take().filter(|_| !input.is_empty());
    std::thread::scope(|scope| {
        // Writes and reads concurrently: a long input and a long output would
        // deadlock.
        let written = stdin.map(|mut stdin| {
            let write = move || drop(stdin.write_all(input));
            std::thread::Builder::new().spawn_scoped(scope, write)
        });
        if let Some(Err(error)) = written {
            child.kill()?;
            child.wait()?;
            return Err(error);
        }
        child.wait_with_output()
    })
}

/// Returns the failure of a git command that ran.
pub fn failed(tried: &str, ran: &Ran) -> Failure {
    let failure = Failure::infra(tried, format!("git says: {}", ran.summary()));
    if kdk_vm::error::says_disk_full(&ran.stderr) {
        return failure.help(
            "free some space (`cargo xtask clean` removes rebuildable files), or set KDK_HOME to a folder \
                on a larger disk",
        );
    }
    failure
}

fn cannot_start(tried: &str, error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::infra(tried, "git is not installed").help("cargo xtask doctor --fix")
        }
        _ => Failure::infra(tried, "git could not be run").source(error),
    }
}

/// One of git's progress lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What git counts: "Receiving objects".
    pub what: String,
    /// The number that is done.
    pub done: u64,
    /// The total number.
    pub total: u64,
}

/// Parses a progress line: `Receiving objects:  45% (900/2000), 1.2 MiB`.
fn progress(line: &str) -> Option<Progress> {
    let (what, rest) = line.split_once(": ")?;
    let what = what.trim_start_matches("remote: ");
    let (_, counts) = rest.split_once('(')?;
    let (counts, _) = counts.split_once(')')?;
    let (done, total) = counts.split_once('/')?;
    Some(Progress {
        what: what.to_owned(),
        done: done.parse().ok()?,
        total: total.parse().ok()?,
    })
}

/// Reads a command's standard error to its end. Passes progress to `listener`,
/// and returns the rest. git ends a progress line with a carriage return.
fn follow(stream: impl Read, listener: &mut dyn FnMut(Progress)) -> String {
    let mut rest = String::new();
    let mut line = Vec::new();
    let mut take = |line: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(line).into_owned();
        line.clear();
        match progress(text.strip_prefix("remote: ").unwrap_or(&text)) {
            Some(progress) => listener(progress),
            None if text.trim().is_empty() => {}
            None => {
                rest.push_str(&text);
                rest.push('\n');
            }
        }
    };
    for byte in BufReader::new(stream).bytes().map_while(Result::ok) {
        match byte {
            b'\r' | b'\n' => take(&mut line),
            byte => line.push(byte),
        }
    }
    take(&mut line);
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_lines() {
        let some = |what: &str, done, total| {
            let what = what.to_owned();
            Some(Progress { what, done, total })
        };
        for (line, want) in [
            (
                "Receiving objects:  45% (900/2000), 1.20 MiB | 2.00 MiB/s",
                some("Receiving objects", 900, 2000),
            ),
            (
                "Resolving deltas: 100% (7/7), done.",
                some("Resolving deltas", 7, 7),
            ),
            ("Enumerating objects: 120, done.", None),
            ("fatal: unable to access 'https://x/': (28) no", None),
            ("", None),
        ] {
            assert_eq!(progress(line), want, "{line}");
        }
    }

    #[test]
    fn progress_is_taken_out_of_the_errors() {
        let text = "remote: Counting objects:  50% (1/2)\rremote: Counting objects: 100% (2/2)\n\
                    fatal: early EOF\n";
        let mut seen = Vec::new();
        let rest = follow(text.as_bytes(), &mut |progress| seen.push(progress.done));
        assert_eq!(seen, [1, 2]);
        assert_eq!(rest, "fatal: early EOF\n");
    }

    #[test]
    fn the_summary_is_gits_fatal_line() {
        let ran = |stderr: &str| Ran {
            ok: false,
            stdout: Vec::new(),
            stderr: stderr.into(),
        };
        for (stderr, want) in [
            ("error: a\nfatal: b\nhint: c\n", "b"),
            ("error: a\nhint: c\n", "a"),
            ("killed\n", "killed"),
            ("", ""),
        ] {
            assert_eq!(ran(stderr).summary(), want);
        }
    }
}
