//! The kernel: looks up the store, else builds it, and keeps the files that the
//! boot, the debugger and the module's build need.

use std::fs;
use std::path::{Path, PathBuf};

use crate::build::sandbox::check_built;
use crate::build::{Builder, Built, legacy, make_py};
use kdk_core::event::{Event, Phase};
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_core::store::Inputs;
use kdk_core::workspace::workspace;

/// How the kernel of a base is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// FreeBSD's own cross-build (tools/build/make.py).
    MakePy,
    /// Older trees: config(8) and make with a modern base's host tools.
    Legacy,
}

/// A tree to build: a checkout whose files are those of `commit`.
#[derive(Debug, Clone)]
pub struct TreeSource {
    /// The base's name.
    pub base: String,
    /// The path of the checkout.
    pub path: PathBuf,
    /// The repository it belongs to.
    pub repo: PathBuf,
    /// The commit that is checked out.
    pub commit: String,
    /// The value of `__FreeBSD_version`.
    pub osreldate: u32,
    /// The way in which it is built.
    pub generation: Generation,
    /// Kernel config, a file of `vm/conf`.
    pub config: String,
}

impl TreeSource {
    /// Returns the object directory of this base.
    pub fn obj(&self, builder: &Builder<'_>) -> PathBuf {
        builder.obj().join(&self.base)
    }
}

/// Host tools that older trees borrow from a modern one.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The modern tree.
    pub from: TreeSource,
    /// LLVM's program directory.
    pub llvm: PathBuf,
}

/// The folder of kdk's kernel configurations.
pub const CONFIGS: &str = "vm/conf";

/// Returns the kernel of `source`, built if necessary: `kernel`,
/// `kernel.debug`, and `obj/` with the headers.
pub fn build(builder: &Builder<'_>, source: &TreeSource, tools: &Tools) -> Result<Built, Failure> {
    let inputs = inputs(source, tools)?;
    let _one_at_a_time = builder
        .cache
        .lock(&format!("obj-{}", source.base), &|text| {
            builder.say(Phase::Kernel, text)
        })?;
    let detail = |_: &str, old: &str, new: &str| changed_paths(&source.repo, old, new);
    let what = format!("building {}", source.config);
    builder.obtain(Phase::Kernel, &what, &inputs, &detail, |folder| {
        let made = match source.generation {
            Generation::MakePy => make_py::kernel(builder, source, &tools.llvm)?,
            Generation::Legacy => legacy::kernel(builder, source, tools)?,
        };
        keep(&made, &source.obj(builder), folder)
    })
}

fn inputs(source: &TreeSource, tools: &Tools) -> Result<Inputs, Failure> {
    let mut inputs = Inputs::new("kernel", &source.base);
    let sys = format!("{}:sys", source.commit);
    let sys = Git::new(&source.repo).text("read the tree of sys", &["rev-parse", &sys])?;
    inputs.digest("sys", sys);
    for config in config_files(&source.config)? {
        let path = workspace().join(CONFIGS).join(&config);
        inputs.file(format!("config {config}"), &path)?;
    }
    let recipe = match source.generation {
        Generation::MakePy => make_py::RECIPE,
        Generation::Legacy => legacy::RECIPE,
    };
    inputs.bytes("build recipe", recipe.to_string());
    inputs.bytes("LLVM", tools.llvm.as_os_str().as_encoded_bytes());
    Ok(inputs)
}

/// Returns a configuration and those of kdk that it includes.
pub fn config_files(config: &str) -> Result<Vec<String>, Failure> {
    let mut configs = vec![config.to_owned()];
    let mut at = 0;
    while let Some(config) = configs.get(at) {
        let path = workspace().join(CONFIGS).join(config);
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::io("read the kernel's config", &path, error))?;
        let own = |name: &String| workspace().join(CONFIGS).join(name).exists();
        for name in included(&text).filter(own) {
            if !configs.contains(&name) {
                configs.push(name);
            }
        }
        at += 1;
    }
    Ok(configs)
}

/// Returns the names after `include` in a configuration.
fn included(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("include")).then(|| words.next().map(|name| name.replace('"', "")))?
    })
}

/// Returns the paths that differ between two trees of one repository; none if
/// git cannot compare them.
fn changed_paths(repo: &Path, old: &str, new: &str) -> Vec<String> {
    let looks_like_id =
        |text: &str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !looks_like_id(old) || !looks_like_id(new) {
        return Vec::new();
    }
    Git::new(repo)
        .text("compare two trees", &["diff", "--name-only", old, new])
        .map(|names| names.lines().map(|name| format!("sys/{name}")).collect())
        .unwrap_or_default()
}

/// The files of a built kernel.
#[derive(Debug)]
pub struct Made {
    /// The kernel to boot.
    pub kernel: PathBuf,
    /// The same with debug information.
    pub debug: PathBuf,
    /// The object directory with generated headers.
    pub objects: PathBuf,
    /// The tree's `sys`.
    pub sys: PathBuf,
}

/// Puts the artefacts into a store entry. The kernels are moved there: copying
/// them takes longer than a link, and make rebuilds both from kernel.full.
/// `root` is the object directory.
fn keep(made: &Made, root: &Path, into: &Path) -> Result<(), Failure> {
    check_built(&made.kernel, root)?;
    check_built(&made.debug, root)?;
    take(&made.kernel, &into.join("kernel"))?;
    take(&made.debug, &into.join("kernel.debug"))?;
    let headers = into.join("obj");
    let failed = |error| Failure::io("store the kernel's headers", &headers, error);
    fs::create_dir(&headers).map_err(failed)?;
    for entry in fs::read_dir(&made.objects).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if entry.path().extension().is_some_and(|end| end == "h") {
            check_built(&entry.path(), root)?;
            copy(&entry.path(), &headers.join(name))?;
        }
    }
    for (link, target) in [
        ("machine", "amd64/include"),
        ("x86", "x86/include"),
        ("i386", "i386/include"),
    ] {
        // make(1) knows where this tree has them.
        let target =
            fs::read_link(made.objects.join(link)).unwrap_or_else(|_| made.sys.join(target));
        std::os::unix::fs::symlink(target, headers.join(link)).map_err(failed)?;
    }
    Ok(())
}

fn take(from: &Path, to: &Path) -> Result<(), Failure> {
    match fs::rename(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => copy(from, to),
        Err(error) => Err(Failure::io(format!("store {}", from.display()), to, error)),
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to)
        .map(drop)
        .map_err(|error| Failure::io(format!("store {}", from.display()), to, error))
}

/// Counts the objects of a config's generated Makefile (its `OBJS`), so that
/// a build's progress has an end.
pub fn objects_in(makefile: &str) -> u64 {
    let mut lines = makefile
        .lines()
        .skip_while(|line| !line.starts_with("OBJS="));
    let mut count = 0;
    for line in &mut lines {
        count += line
            .trim_start_matches("OBJS=")
            .split_whitespace()
            .filter(|word| word.ends_with(".o"))
            .count();
        if !line.ends_with('\\') {
            break;
        }
    }
    count as u64
}

/// Emits the number of objects whose compilation has begun.
pub fn progress(builder: &Builder<'_>, done: u64, total: u64) {
    builder.sink.emit(Event::Progress {
        phase: Phase::Kernel,
        done,
        total,
        unit: "objects",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_objects_of_a_makefile() {
        let makefile = "A=b.o\nOBJS= cam.o \\\n\tcam_compat.o x.o \\\n\tlast.o\n\nCFILES=no.o\n";
        assert_eq!(objects_in(makefile), 4);
        assert_eq!(objects_in("nothing here"), 0);
    }

    #[test]
    fn a_config_is_known_by_all_that_it_includes() {
        assert_eq!(config_files("KDK-BENCH").unwrap(), ["KDK-BENCH", "KDK"]);
        assert_eq!(config_files("KDK").unwrap(), ["KDK"]);
        let text =
            "include\t\tKDK\n# include no\noptions include\ninclude \"std.debug\"\ninclude\n";
        assert_eq!(included(text).collect::<Vec<_>>(), ["KDK", "std.debug"]);
    }

    #[test]
    fn only_object_ids_are_compared_by_git() {
        assert!(changed_paths(Path::new("/"), "KDK", "1").is_empty());
    }
}
