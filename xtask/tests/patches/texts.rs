//! Texts of errors, wherever they were wrapped.

use crate::place::{Place, without_ids};

/// `text`, what a command said, with each of its parts on one line: where it
/// was wrapped depends on the length of paths.
pub fn whole(place: &Place, text: &str) -> String {
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
    let root = place.path("").display().to_string();
    without_ids(&lines.join("\n").replace(root.trim_end_matches('/'), "TMP")) + "\n"
}
