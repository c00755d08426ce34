//! Whether the cache folder's locks hold between the nodes that share it.
//!
//! All locks of kdk are flock(2). An NFS client sends them to the server, unless
//! the folder is mounted with options that keep them on one node: then two nodes
//! could use one checkout at once.

use std::path::Path;

use kdk_core::failure::Failure;

/// Fails if the folder `dir` is mounted in a way that keeps its locks on this
/// node. A host that does not list its mounts is not checked.
///
/// # Errors
/// The mount's options, with those that are needed.
pub fn check(dir: &Path) -> Result<(), Failure> {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mountinfo") else {
        return Ok(());
    };
    let Some(mount) = mount_of(&mounts, dir) else {
        return Ok(());
    };
    match mount.problem() {
        None => Ok(()),
        Some((what, help)) => {
            let what = format!("{} is on {} {what}", dir.display(), mount.kind);
            Err(Failure::infra("share the cache folder between nodes", what).help(help))
        }
    }
}

/// A mounted file system.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    kind: &'a str,
    options: Vec<&'a str>,
}

/// Returns the mount that `dir` is on, from the text of proc_pid_mountinfo(5).
/// Of several mounts on one folder, the last one is in use.
fn mount_of<'a>(mounts: &'a str, dir: &Path) -> Option<Mount<'a>> {
    let parse = |line: &'a str| {
        let (left, right) = line.split_once(" - ")?;
        let at = left.split(' ').nth(4)?.replace("\\040", " ");
        let mut right = right.split(' ');
        let (kind, _, options) = (right.next()?, right.next()?, right.next()?);
        let own = left.split(' ').nth(5)?;
        let options = own.split(',').chain(options.split(',')).collect();
        let depth = Path::new(&at).components().count();
        dir.starts_with(&at)
            .then_some((depth, Mount { kind, options }))
    };
    let all = mounts.lines().filter_map(parse);
    all.max_by_key(|(depth, _)| *depth).map(|(_, mount)| mount)
}

impl Mount<'_> {
    /// Returns why its locks do not hold between nodes, and what to do.
    fn problem(&self) -> Option<(String, &'static str)> {
        let has = |option: &&&str| self.options.contains(*option);
        let found = |wrong: &[&str]| {
            let option = wrong.iter().find(has)?;
            Some(format!("with the option {option}"))
        };
        let (what, help) = match self.kind {
            "nfs" | "nfs4" => (
                found(&["nolock", "local_lock=all", "local_lock=flock"]),
                "mount it without this option on each node: its locks have to reach the server",
            ),
            "lustre" => (
                match found(&["localflock", "noflock"]) {
                    None if !self.options.contains(&"flock") => {
                        Some("without the option flock".into())
                    }
                    other => other,
                },
                "mount it with the option flock on each node",
            ),
            "cifs" | "smb3" => (
                found(&["nobrl"]),
                "mount it without this option on each node: its locks have to reach the server",
            ),
            "fuse.sshfs" => (
                Some("without locks between nodes".into()),
                "use a file system with locks, such as NFS",
            ),
            _ => (None, ""),
        };
        Some((what?, help))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_that_keeps_locks_on_one_node_is_refused() {
        let table = [
            ("ext4 /dev/vda rw", None),
            ("tmpfs tmpfs rw", None),
            ("nfs4 s:/c rw,vers=4.2,local_lock=none", None),
            ("nfs s:/c rw,vers=3,local_lock=posix", None),
            (
                "nfs s:/c rw,vers=3,nolock,local_lock=all",
                Some("on nfs with the option nolock"),
            ),
            (
                "nfs s:/c rw,vers=3,local_lock=flock",
                Some("on nfs with the option local_lock=flock"),
            ),
            ("lustre s:/c rw,flock", None),
            ("lustre s:/c rw", Some("on lustre without the option flock")),
            (
                "lustre s:/c rw,localflock",
                Some("on lustre with the option localflock"),
            ),
            ("cifs //s/c rw,nobrl", Some("on cifs with the option nobrl")),
            (
                "fuse.sshfs s:/c rw",
                Some("on fuse.sshfs without locks between nodes"),
            ),
        ];
        for (mount, want) in table {
            let text = format!(
                "1 0 0:1 / / rw - ext4 /dev/root rw\n\
                 2 1 0:2 / /data/a\\040b rw,noatime shared:1 - {mount}\n\
                 3 1 0:3 / /data/a\\040bc rw - nfs s:/d nolock\n"
            );
            let found = mount_of(&text, Path::new("/data/a b/kdk")).unwrap();
            let problem = found.problem();
            let got = problem.map(|(what, _)| format!("on {} {what}", found.kind));
            assert_eq!(got.as_deref(), want, "{mount}");
        }
    }

    #[test]
    fn the_innermost_and_last_mount_counts() {
        let text = "1 0 0:1 / / rw - ext4 /dev/root rw\n\
                    2 1 0:2 / /home rw - nfs s:/h rw\n\
                    3 1 0:2 / /home rw - xfs /dev/b rw\n\
                    odd line\n";
        let kind = |path| mount_of(text, Path::new(path)).unwrap().kind;
        assert_eq!(kind("/home/me/.cache"), "xfs");
        assert_eq!(kind("/homes"), "ext4");
        check(Path::new("/")).unwrap();
    }
}
