//! A series of three patches: `five` and `six` change adjacent lines of a.c,
//! and `ten` a distant line and a vendor's file.

use std::fs;

use crate::sandbox::{Sandbox, git};

/// The manifest, with comments.
pub const MANIFEST: &str = "\
# Three patches.
schema: 1
series: {name: releng-15.1, revision: 1}
base: {repo: https://git.FreeBSD.org/src.git, branch: releng/15.1, commit: null, osreldate: 1501000} # here
cover: cover.md
patches:
  # The first.
  - id: five
    file: five.patch
    class: fix
    needs: []
    provenance: {origin: own, ai_assisted: false}

  # The second.
  - id: six
    file: six.patch
    class: fix # a fix
    needs: [five]
    provenance: {origin: own, ai_assisted: false}

  - id: ten
    file: ten.patch
    class: feature
    provenance: {origin: own, ai_assisted: false}
";

const DATE: &str = "2026-11-25T10:00:00+01:00";

/// Creates a sandbox with these patches.
pub fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let tree = sandbox.path("work");
    git(&sandbox.path(""), &["clone", "-q", "src", "work"]);
    fs::create_dir(sandbox.series()).unwrap();
    fs::write(sandbox.series().join("series.yaml"), MANIFEST).unwrap();
    fs::write(sandbox.series().join("cover.md"), "# Three patches\n").unwrap();
    for (id, line) in [("five", "5"), ("six", "6"), ("ten", "10")] {
        set_line(&tree.join("sys/kern/a.c"), line, &format!("{line} {id}"));
        if id == "ten" {
            fs::write(tree.join("contrib/lib/lib.c"), "lib ten\n").unwrap();
        }
        let message = format!("kern: Count to {id}\n\nOne more.\n");
        git(&tree, &["add", "-A"]);
        let commit = [
            "commit",
            "-q",
            "--author=An Author <a@example.org>",
            "--date",
            DATE,
            "-m",
            &message,
        ];
        git(&tree, &commit);
        let args = [
            "format-patch",
            "--stdout",
            "-1",
            "--full-index",
            "--zero-commit",
            "--no-signature",
            "--no-stat",
            "--no-renames",
            "-N",
        ];
        let mail = git(&tree, &args) + "\n";
        fs::write(sandbox.series().join(format!("{id}.patch")), mail).unwrap();
    }
    sandbox
}

/// Replaces the line `from` of a file by `to`.
pub fn set_line(path: &std::path::Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.lines().any(|line| line == from), "{from}: {text}");
    let lines = text
        .lines()
        .map(|line| if line == from { to } else { line });
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    fs::write(path, text).unwrap();
}
