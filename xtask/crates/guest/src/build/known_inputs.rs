//! Which changed files can change a kernel, its host tools or `kdk.ko`.
//!
//! The compilers' dependency files of earlier builds list what was read. Of a
//! file that they cannot know, such as a Makefile, it is assumed that it is
//! read.

use std::collections::BTreeSet;

/// The ends of names of files that only the compiler reads.
const SOURCES: [&str; 8] = ["c", "cc", "cpp", "cxx", "S", "s", "h", "hh"];

/// Ends of names of texts for people.
const TEXTS: [&str; 6] = ["md", "txt", "tex", "rst", "adoc", "html"];

/// Names of texts for people.
const TEXT_NAMES: [&str; 8] = [
    "README",
    "UPDATING",
    "MAINTAINERS",
    "COPYRIGHT",
    "LICENSE",
    "RELNOTES",
    "ObsoleteFiles.inc",
    ".mailmap",
];

/// Architectures that are not built.
const FOREIGN: [&str; 8] = [
    "arm", "arm64", "mips", "powerpc", "riscv", "sparc64", "ia64", "pc98",
];

/// The files that builds have read; empty if there was no build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownInputs {
    files: BTreeSet<String>,
    folders: BTreeSet<String>,
    headers: BTreeSet<String>,
}

impl KnownInputs {
    /// Returns the inputs of builds that read `files`.
    pub fn new(files: BTreeSet<String>) -> Self {
        let folder = |path: &String| path.rsplit_once('/').map(|(dir, _)| dir.to_owned());
        let name = |path: &String| path.rsplit('/').next().map(str::to_owned);
        Self {
            folders: files.iter().filter_map(folder).collect(),
            headers: files.iter().filter_map(name).collect(),
            files,
        }
    }

    /// Returns whether no build is known, so that all sources count.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Returns the known files.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    /// Returns whether the build can read the file at `path`. A header that
    /// `is_new` can be found instead of another one.
    pub fn reads(&self, path: &str, is_new: bool) -> bool {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let end = name.rsplit_once('.').map_or("", |(_, end)| end);
        if self.files.contains(path) {
            return true;
        }
        if is_text(name, end) || is_elsewhere(path) {
            return false;
        }
        if self.files.is_empty() {
            return true;
        }
        match (SOURCES.contains(&end), path.strip_prefix("sys/")) {
            // A new header may be found instead of another one.
            (true, _) => is_new && self.headers.contains(name) && end.starts_with('h'),
            (false, Some(below)) => !is_foreign(below, name),
            // The build of a host tool reads Makefiles and scripts in the
            // folders of its sources and above.
            (false, None) => {
                self.folders.contains(dir)
                    || dir.is_empty()
                    || dir.starts_with("share/mk")
                    || dir.starts_with("tools/build")
                    || (name.starts_with("Makefile") && self.is_above_sources(dir))
            }
        }
    }

    fn is_above_sources(&self, dir: &str) -> bool {
        let below = format!("{dir}/");
        let next = self.files.range(below.clone()..).next();
        next.is_some_and(|path| path.starts_with(&below))
    }
}

/// Returns whether a file is a text for people.
fn is_text(name: &str, end: &str) -> bool {
    let is_manual = matches!(end.as_bytes(), [b'1'..=b'9']);
    is_manual || TEXTS.contains(&end) || TEXT_NAMES.contains(&name)
}

/// Returns whether the kernel's build reads nothing of the part of the tree
/// that a file is in.
fn is_elsewhere(path: &str) -> bool {
    const PARTS: [&str; 8] = [
        "stand/",
        "tests/",
        "release/",
        "share/man/",
        "share/doc/",
        "share/examples/",
        // Modules are not built.
        "sys/modules/",
        ".github/",
    ];
    PARTS.iter().any(|part| path.starts_with(part))
}

/// Returns whether a file below sys/ that is no source is of an architecture
/// that is not built.
fn is_foreign(below: &str, name: &str) -> bool {
    FOREIGN.iter().any(|arch| {
        below.starts_with(&format!("{arch}/"))
            || name
                .rsplit_once('.')
                .is_some_and(|(_, end)| end == *arch && below.starts_with("conf/"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> KnownInputs {
        let files = [
            "sys/kern/kern_sendfile.c",
            "sys/sys/param.h",
            "sys/dev/ixgbe/if_ix.c",
            "usr.sbin/config/main.cc",
            "lib/libnv/nvlist.c",
        ];
        KnownInputs::new(files.map(str::to_owned).into_iter().collect())
    }

    #[test]
    fn what_the_kernel_is_built_of() {
        for (path, is_new, want) in [
            // Compiled, or not.
            ("sys/kern/kern_sendfile.c", false, true),
            ("sys/sys/param.h", false, true),
            ("sys/dev/mlx5/mlx5_core.c", false, false),
            ("sys/dev/mlx5/mlx5.h", false, false),
            ("sys/arm64/arm64/locore.S", false, false),
            ("sys/dev/new/new.c", true, false),
            ("sys/dev/new/new.h", true, false),
            ("sys/dev/new/param.h", true, true),
            // What no dependency file knows.
            ("sys/conf/files", false, true),
            ("sys/conf/files.amd64", false, true),
            ("sys/conf/files.arm64", false, false),
            ("sys/conf/newvers.sh", false, true),
            ("sys/kern/device_if.m", false, true),
            ("sys/amd64/conf/MINIMAL", false, true),
            ("sys/arm64/conf/GENERIC", false, false),
            ("sys/modules/ixgbe/Makefile", false, false),
            ("sys/dev/ixgbe/README", false, false),
            // The host tools.
            ("usr.sbin/config/main.cc", false, true),
            ("usr.sbin/config/Makefile", false, true),
            ("usr.sbin/config/lang.l", false, true),
            ("usr.sbin/config/config.8", false, false),
            ("usr.sbin/Makefile", false, true),
            ("usr.sbin/bhyve/bhyverun.c", false, false),
            ("usr.sbin/bhyve/Makefile", false, false),
            ("Makefile.inc1", false, true),
            ("share/mk/bsd.prog.mk", false, true),
            ("tools/build/make.py", false, true),
            // Everything else.
            ("bin/ls/ls.c", false, false),
            ("tests/sys/kern/x.c", false, false),
            ("share/man/man4/ix.4", false, false),
            ("lib/libc/gen/x.3", false, false),
            ("UPDATING", false, false),
            ("stand/efi/loader/main.c", false, false),
        ] {
            assert_eq!(known().reads(path, is_new), want, "{path}");
        }
    }

    #[test]
    fn without_a_build_all_sources_count() {
        let none = KnownInputs::default();
        for (path, want) in [
            ("sys/dev/mlx5/mlx5_core.c", true),
            ("bin/ls/ls.c", true),
            ("bin/ls/ls.1", false),
            ("tests/sys/kern/x.c", false),
            ("sys/modules/ixgbe/Makefile", false),
        ] {
            assert_eq!(none.reads(path, false), want, "{path}");
        }
    }
}
