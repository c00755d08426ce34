//! Maps the paths in debug information to files that the reader can open.

/// The prefixes of paths and their replacements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<(String, String)>);

impl Sources {
    /// Returns a mapping that changes no path.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a mapping from the folder `from` to `to`. The longest `from` that
    /// matches a path is used. An empty `to` makes paths relative.
    #[must_use]
    pub fn map(mut self, from: &str, to: &str) -> Self {
        let plain = |path: &str| path.trim_end_matches('/').to_owned();
        self.0.push((plain(from), plain(to)));
        self.0
            .sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        self
    }

    /// Returns the file that `path` stands for.
    pub fn find(&self, path: &str) -> String {
        let path = tidy(path);
        let mapped = self.0.iter().find_map(|(from, to)| {
            let rest = path.strip_prefix(from.as_str())?.strip_prefix('/')?;
            Some(if to.is_empty() {
                rest.to_owned()
            } else {
                format!("{to}/{rest}")
            })
        });
        mapped.unwrap_or(path)
    }
}

/// Removes every `.`, and every `..` that follows a name.
fn tidy(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for (at, part) in path.split('/').enumerate() {
        let named = parts.last().is_some_and(|last| !["", ".."].contains(last));
        match part {
            "" if at > 0 => {}
            "." => {}
            ".." if named => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_the_readers_files() {
        let sources = Sources::new()
            .map("/usr/src", "/home/me/freebsd/")
            .map("/usr/obj/usr/src", "/cache/obj")
            .map("/kit", "");
        for (path, want) in [
            ("/usr/src/sys/kern/f.c", "/home/me/freebsd/sys/kern/f.c"),
            (
                "/usr/src/sys/amd64/../kern/./f.c",
                "/home/me/freebsd/sys/kern/f.c",
            ),
            (
                "/usr/obj/usr/src/KDK/vnode_if.c",
                "/cache/obj/KDK/vnode_if.c",
            ),
            ("/usr/srcs/f.c", "/usr/srcs/f.c"),
            ("/kit/kmod/src/lib.rs", "kmod/src/lib.rs"),
            ("kmod/src/lib.rs", "kmod/src/lib.rs"),
            ("./machine/cpu.h", "machine/cpu.h"),
            ("../x/y.c", "../x/y.c"),
            ("/rust/library/../core/a.rs", "/rust/core/a.rs"),
            ("/usr/src//sys/f.c", "/home/me/freebsd/sys/f.c"),
        ] {
            assert_eq!(sources.find(path), want, "{path}");
        }
    }
}
