//! Error messages without their line wrapping.

use crate::sandbox::{Sandbox, without_ids};

/// Returns `text`, the output of a command, with each message on one line: the
/// wrapping depends on the length of paths.
pub fn unwrapped(sandbox: &Sandbox, text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match lines.last_mut() {
            Some(last) if line.starts_with("      ") => {
                // Words are broken after these, too.
                if !last.ends_with(['/', '-']) {
                    last.push(' ');
                }
                last.push_str(line.trim_start());
            }
            _ => lines.push(line.trim_end().to_owned()),
        }
    }
    let root = sandbox.path("").display().to_string();
    without_ids(&lines.join("\n").replace(root.trim_end_matches('/'), "TMP")) + "\n"
}
