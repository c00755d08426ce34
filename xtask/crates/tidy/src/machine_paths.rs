//! Paths of the machine that somebody worked on.

use crate::{Finding, Repo, Source};

/// Beginnings of absolute paths that differ on each machine.
const PREFIXES: [&str; 3] = ["/work/", "/root/", "/home/"];

/// The home folder that examples use.
const EXAMPLE: &str = "/home/me/";

/// This file names the prefixes.
const SELF: &str = "xtask/crates/tidy/src/machine_paths.rs";

/// Finds absolute paths of one machine.
pub fn check(repo: &Repo) -> Vec<Finding> {
    repo.sources
        .iter()
        .filter(|source| source.path != SELF)
        .flat_map(in_file)
        .collect()
}

fn in_file(source: &Source) -> impl Iterator<Item = Finding> + '_ {
    source.lines().filter_map(move |(at, line)| {
        let prefix = PREFIXES
            .into_iter()
            .find(|prefix| starts_a_path(line, prefix))?;
        Some(Finding::new(
            &source.path,
            at,
            format!("a path below {prefix}"),
            format!("use a relative path, or {EXAMPLE} in an example"),
        ))
    })
}

/// Reports whether `line` has an absolute path that begins with `prefix`:
/// in `TMP/home/edits` it is the middle of a path.
fn starts_a_path(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let inside = before.is_some_and(|c| c.is_alphanumeric() || "._-}*)>]~".contains(c));
        !inside && !line[at..].starts_with(EXAMPLE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_path_of_a_machine_is_found() {
        let table = [
            ("see /work/main/x", true),
            ("\"/root/.cargo\"", true),
            ("from /home/jane/src", true),
            ("from /home/me/src", false),
            ("/home/me/src and /home/jane/src", true),
            ("TMP/home/edits", false),
            ("{dir}/work/x", false),
            ("patches/work/x", false),
            ("the /rooted/ path", false),
        ];
        for (line, want) in table {
            let found = check(&Repo::of(&[("a.md", line)]));
            assert_eq!(found.len(), usize::from(want), "{line}");
        }
    }
}
