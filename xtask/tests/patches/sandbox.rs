//! A sandbox: a cache folder, a folder of series and a small tree.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A sandbox to run the command line in.
pub struct Sandbox {
    dir: tempfile::TempDir,
    root: PathBuf,
}

/// The result of a command.
pub struct Ran {
    /// The exit code; `None` if it was killed.
    pub code: Option<i32>,
    /// The standard output.
    pub out: String,
    /// The standard error.
    pub err: String,
}

impl Sandbox {
    /// Creates a sandbox with the base releng-15.1 and no series.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let sandbox = Self { dir, root };
        fs::create_dir(sandbox.patches()).unwrap();
        sandbox.tree("src", 1_501_000);
        sandbox.ok(&["base", "add", "releng-15.1", "--src", &sandbox.text("src")]);
        sandbox
    }

    /// Creates a checkout with the few files that a FreeBSD tree must have.
    pub fn tree(&self, name: &str, osreldate: u32) {
        let lines: String = (1..=30).map(|n| format!("{n}\n")).collect();
        for (path, text) in [
            ("Makefile", "all:\n"),
            (
                "sys/sys/param.h",
                &format!("#define __FreeBSD_version {osreldate}\n"),
            ),
            ("sys/kern/a.c", &lines),
            ("sys/kern/b.c", "b\n"),
            ("contrib/lib/lib.c", "lib\n"),
        ] {
            write(&self.path(name).join(path), text);
        }
        git(&self.path(name), &["init", "-q"]);
        self.commit(name, "import");
    }

    /// Commits everything in the checkout `name`.
    pub fn commit(&self, name: &str, message: &str) -> String {
        let tree = self.path(name);
        git(&tree, &["add", "-A", "-f", "."]);
        git(&tree, &["commit", "-q", "-m", message]);
        git(&tree, &["rev-parse", "HEAD"])
    }

    /// Returns the path of a file or folder in the sandbox.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Returns the folder of all series.
    pub fn patches(&self) -> PathBuf {
        self.path("patches")
    }

    /// Returns the folder of the series releng-15.1.
    pub fn series(&self) -> PathBuf {
        self.patches().join("releng-15.1")
    }

    /// Returns the text of a file of the series.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.series().join(name)).unwrap()
    }

    /// Returns every file in the folder of all series, with its content.
    pub fn files(&self) -> Vec<(PathBuf, String)> {
        let text = |path: PathBuf| (path.clone(), fs::read_to_string(path).unwrap());
        below(&self.patches()).into_iter().map(text).collect()
    }

    /// Returns the command `cargo xtask ARGS` in the sandbox.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command
            .args(args)
            .current_dir(&self.root)
            .env("KDK_HOME", self.path("home"))
            .env("KDK_PATCHES", self.patches())
            .env("HOME", self.dir.path())
            .env("NO_COLOR", "1")
            .env("CARGO_TERM_COLOR", "never")
            .env_remove("XDG_CONFIG_HOME");
        command
    }

    /// Runs `cargo xtask ARGS`.
    pub fn xtask(&self, args: &[&str]) -> Ran {
        self.run(self.command(args))
    }

    /// Runs `cargo xtask ARGS`, and kills it at its `n`th git command with the
    /// word `word`.
    pub fn killed_at(&self, word: &str, n: usize, args: &[&str]) {
        let (bin, count) = (self.path("bin"), self.path("count"));
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in *' {word} '*)\n    n=$(($(cat {count} || echo 0) + 1))\n    \
             echo $n > {count}\n    if [ $n = {n} ]; then kill -9 $PPID; exit 1; fi ;;\nesac\n\
             PATH=${{PATH#*:}} exec git \"$@\"\n",
            count = count.display()
        );
        write(&bin.join("git"), &script);
        write(&count, "0");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(bin.join("git"), open).unwrap();
        let mut command = self.command(args);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", bin.display()));
        let ran = self.run(command);
        assert_eq!(ran.code, None, "{}{}", ran.out, ran.err);
    }

    /// Runs a command to its end. In its output the path of the sandbox is
    /// `TMP`.
    pub fn run(&self, mut command: Command) -> Ran {
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(&*self.root.to_string_lossy(), "TMP")
        };
        Ran {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Runs `cargo xtask ARGS`, which must succeed. Returns its output.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.xtask(args);
        assert_eq!(ran.code, Some(0), "{args:?}: {}{}", ran.out, ran.err);
        ran.out
    }

    /// Runs `cargo xtask ARGS`, which must fail with exit code `code`. Returns
    /// its errors.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let ran = self.xtask(args);
        assert_eq!(ran.code, Some(code), "{args:?}: {}{}", ran.out, ran.err);
        ran.err
    }
}

/// Returns a text with ids of commits, full or abbreviated, replaced by
/// `COMMIT`.
pub fn without_ids(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let id = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let hex = id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        match hex && matches!(id.len(), 12 | 40) {
            true => out.push_str(&word.replace(id, "COMMIT")),
            false => out.push_str(word),
        }
    }
    out
}

/// Returns every file below `dir`, sorted.
pub fn below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let list = if path.is_dir() {
                &mut folders
            } else {
                &mut found
            };
            list.push(path);
        }
    }
    found.sort();
    found
}

/// Writes a file with its folders.
pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Runs git in `dir` as a user would, and returns its output.
pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .args(["-c", "user.name=A User", "-c", "user.email=u@example.org"])
        .args(["-c", "init.defaultBranch=main"])
        .args(args)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
