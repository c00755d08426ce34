//! Series that are broken or hostile: what is no plain file, is too large, is
//! nested too deeply, or names files outside of the tree.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::fault::{Fault, FaultResult, Stop, daily, ends};
use crate::sandbox::{Sandbox, io_error};

/// Commands that read the files of a series. The last one is evaluated.
const COMMANDS: [&str; 3] = ["list", "refresh", "lint"];

/// What takes the place of a file of the series; `$1` is its path.
const PLACES: [(&str, &str); 7] = [
    ("a FIFO", "mkfifo \"$1\""),
    ("a link to /dev/zero", "ln -s /dev/zero \"$1\""),
    ("a link to /etc/passwd", "ln -s /etc/passwd \"$1\""),
    ("a dangling link", "ln -s nothing \"$1\""),
    ("a link to itself", "ln -s \"$1\" \"$1\""),
    ("a folder", "mkdir \"$1\""),
    ("100 MB large", "truncate -s 100M \"$1\""),
];

/// Contents of a manifest.
const MANIFESTS: [(&str, &str); 3] = [
    (
        "100,000 levels deep",
        "printf '%100000s' '' | tr ' ' '[' > \"$1\"",
    ),
    (
        "in UTF-16",
        "printf 'schema: 1\\n' | iconv -t UTF-16 > \"$1\"",
    ),
    ("not UTF-8", "printf 'schema: \\351\\n' > \"$1\""),
];

/// Paths that no patch may have.
const PATHS: [(&str, &str); 4] = [
    ("../../x", "leaves the tree"),
    (":(glob)**", "is a pattern of git"),
    ("/etc/passwd", "is absolute"),
    (".git/config", "is in a repository"),
];

/// Returns all faults of this kind.
pub fn faults() -> Vec<Fault> {
    let places = PLACES.iter().flat_map(|(name, script)| {
        [("series.yaml", "manifest"), ("a.patch", "patch")].map(|(file, what)| {
            let name = format!("{what} is {name}");
            broken(name, file, script)
        })
    });
    let manifests = MANIFESTS
        .iter()
        .map(|(name, script)| broken(format!("manifest is {name}"), "series.yaml", script));
    let paths = PATHS.iter().map(|(path, says)| {
        let name = format!("a patch of {path:?}");
        daily(name, ends(2, says).without_report(), move |sandbox| {
            let dir = series(sandbox, path)?;
            sandbox.inject(patches(sandbox, &dir, "lint"))
        })
    });
    places.chain(manifests).chain(paths).collect()
}

/// Returns the fault of a series whose `file` was replaced by `script`: every
/// command ends with 2 and quotes nothing of another file.
fn broken(name: String, file: &'static str, script: &'static str) -> Fault {
    daily(name, ends(2, file).without_report(), move |sandbox| {
        let dir = series(sandbox, "sys/kern/a.c")?;
        let path = dir.join("x").join(file);
        fs::remove_file(&path).map_err(io_error("remove", &path))?;
        let status = Command::new("sh")
            .args(["-ec", script, "sh"])
            .arg(&path)
            .status()
            .map_err(io_error("replace", &path))?;
        if !status.success() {
            return Err(Stop::Wrong(format!("{script}: {status}")));
        }
        let mut last = None;
        for command in COMMANDS {
            let result = sandbox.inject(patches(sandbox, &dir, command))?;
            quotes_nothing(&result)?;
            last = Some(result);
        }
        last.ok_or_else(|| Stop::Wrong("there is no command".into()))
    })
}

fn quotes_nothing(result: &FaultResult) -> Result<(), Stop> {
    let text = result.ran.text();
    if text.contains("root:") || text.len() > 20_000 {
        return Err(Stop::Wrong(format!("it quotes its input:\n{text:.2000}")));
    }
    Ok(())
}

/// Writes a series of one patch, which changes `path`.
fn series(sandbox: &Sandbox, path: &str) -> Result<std::path::PathBuf, String> {
    let dir = sandbox.path("patches");
    let x = dir.join("x");
    fs::create_dir_all(&x).map_err(io_error("make", &x))?;
    let write = |name: &str, text: &str| {
        let file = x.join(name);
        fs::write(&file, text).map_err(io_error("write", &file))
    };
    write(
        "series.yaml",
        "schema: 1\nseries: {name: x, revision: 1}\nbase: {repo: r, branch: b, osreldate: 1}\n\
         patches:\n  - id: a\n    file: a.patch\n    class: fix\n    \
         provenance: {origin: own, ai_assisted: false}\n",
    )?;
    write(
        "a.patch",
        &format!(
            "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n\
             From: A <a@example.org>\nDate: Wed, 25 Nov 2026 10:00:00 +0100\n\
             Subject: [PATCH] kern: Change a file\n\nIt did not say b.\n---\n\
             diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n-- \n2.47.0\n"
        ),
    )?;
    Ok(dir)
}

/// Returns a command on the series, which prints its result on standard error.
fn patches(sandbox: &Sandbox, dir: &Path, command: &str) -> Command {
    let to_stderr = ["sh", "-c", "\"$@\" >&2", "sh"];
    let mut line = sandbox.xtask_under(&to_stderr, &["patches", command, "--series", "x"]);
    line.env("KDK_PATCHES", dir);
    line
}
