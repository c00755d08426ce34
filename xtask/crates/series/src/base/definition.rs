//! The definitions of the bases: `vm/bases/*.yaml`, and the families that they
//! extend: `vm/bases/families/*.yaml`.

use serde::{Deserialize, Serialize};

use kdk_core::failure::Failure;
use kdk_core::yaml;

/// Embeds a file of `vm/bases` with its path in the repository.
macro_rules! embed {
    ($path:literal) => {
        (
            concat!("vm/bases/", $path),
            include_str!(concat!("../../../../../vm/bases/", $path)),
        )
    };
}

/// The definitions, embedded so that kdk runs from any directory.
const FILES: [(&str, &str); 3] = [
    embed!("releng-15.1.yaml"),
    embed!("main.yaml"),
    embed!("head-2014.yaml"),
];

/// The families, by the name that `extends` uses.
const FAMILIES: [(&str, (&str, &str)); 1] = [("modern", embed!("families/modern.yaml"))];

/// How a base is cloned, built and booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// The name on the command line.
    pub name: String,
    /// A description of one line.
    pub about: String,
    /// The URL of FreeBSD's official repository.
    pub repo: String,
    /// The branch of that repository that contains the base.
    pub branch: String,
    /// The window of history, for a base that is not the branch's last commit.
    pub history: Option<History>,
    /// The `__FreeBSD_version` that the base must have.
    pub osreldate: Osreldate,
    /// What builds the kernel.
    pub builder: Builder,
    /// The kernel configuration that is built.
    pub kernel: Kernel,
    /// The boot methods, the preferred one first.
    pub boot: Vec<Boot>,
    /// The parts of the tree that are checked out.
    pub tree: SparsePaths,
    /// A note for the user.
    pub notes: Option<String>,
}

/// A definition's file, before its family is merged in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The name of the family whose settings this base inherits. A setting of
    /// the file replaces the family's.
    extends: Option<String>,
    name: String,
    about: String,
    branch: String,
    history: Option<History>,
    osreldate: Osreldate,
    notes: Option<String>,
    repo: Option<String>,
    builder: Option<Builder>,
    kernel: Option<Kernel>,
    boot: Option<Vec<Boot>>,
    tree: Option<SparsePaths>,
}

/// The settings that the bases of a family share.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Family {
    repo: Option<String>,
    builder: Option<Builder>,
    kernel: Option<Kernel>,
    boot: Option<Vec<Boot>>,
    tree: Option<SparsePaths>,
}

/// Reads the definition `text` of the file `path`, with its family merged in.
fn read(path: &str, text: &str) -> Result<Definition, Failure> {
    let file: File = yaml::parse(path, text)?;
    let family = match &file.extends {
        Some(name) => family(path, text, name)?,
        None => Family::default(),
    };
    let missing = |key: &str| {
        Failure::usage(format!("read {path}"), format!("missing setting `{key}`"))
            .help(format!(
                "set `{key}`, or extend a family that sets it: {}",
                families()
            ))
            .at(
                path,
                text,
                (0, text.lines().next().map_or(0, str::len)),
                "in this base",
            )
    };
    Ok(Definition {
        name: file.name,
        about: file.about,
        branch: file.branch,
        history: file.history,
        osreldate: file.osreldate,
        notes: file.notes,
        repo: file.repo.or(family.repo).ok_or_else(|| missing("repo"))?,
        builder: file
            .builder
            .or(family.builder)
            .ok_or_else(|| missing("builder"))?,
        kernel: file
            .kernel
            .or(family.kernel)
            .ok_or_else(|| missing("kernel"))?,
        boot: file.boot.or(family.boot).ok_or_else(|| missing("boot"))?,
        tree: file.tree.or(family.tree).unwrap_or_default(),
    })
}

/// Reads the family called `name`, which the definition `text` of the file
/// `path` extends.
fn family(path: &str, text: &str, name: &str) -> Result<Family, Failure> {
    if let Some((_, (path, text))) = FAMILIES.iter().find(|(family, _)| *family == name) {
        return yaml::parse(path, text);
    }
    let key = text.lines().find(|line| line.starts_with("extends:"));
    let place = key.and_then(|line| Some((text.find(line)?, line.len())));
    let failure = Failure::usage(
        format!("read {path}"),
        format!("there is no family `{name}`"),
    )
    .help(format!("the families are: {}", families()));
    Err(match place {
        Some(place) => failure.at(path, text, place, "here"),
        None => failure,
    })
}

/// Returns the names of the families.
fn families() -> String {
    FAMILIES.map(|(name, _)| name).join(", ")
}

/// A window of a branch's history in which the base lies. The last commit in
/// it that has the expected `__FreeBSD_version` is the base.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The first day, such as 2014-04-15.
    pub since: String,
    /// The day after the last one.
    pub until: String,
}

/// A range of `__FreeBSD_version`, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Osreldate {
    /// The lowest accepted value.
    pub min: u32,
    /// The highest accepted value, or none for a branch that continues.
    #[serde(default)]
    pub max: Option<u32>,
}

impl Osreldate {
    /// Returns whether `osreldate` is in the range.
    pub fn holds(self, osreldate: u32) -> bool {
        osreldate >= self.min && self.max.is_none_or(|max| osreldate <= max)
    }
}

impl std::fmt::Display for Osreldate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.max {
            Some(max) if max == self.min => write!(f, "{max}"),
            Some(max) => write!(f, "{} to {max}", self.min),
            None => write!(f, "{} or later", self.min),
        }
    }
}

/// What builds a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Builder {
    /// FreeBSD's own cross-build, `tools/build/make.py`.
    MakePy,
    /// `config` and `make` with the host tools of a modern base.
    Legacy,
}

/// Which kernel is built.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// The name of the configuration that is tested.
    pub config: String,
    /// The name of the configuration for benchmarks, without expensive checks.
    #[serde(default)]
    pub bench: Option<String>,
    /// The directory of the configuration in this repository.
    pub folder: String,
}

/// The name of the kernel configuration that is tested.
pub const DEBUG: &str = "debug";

/// The name of the kernel configuration for benchmarks.
pub const BENCH: &str = "bench";

impl Kernel {
    /// Returns the configuration that a name stands for, if the base has it.
    pub fn named(&self, name: &str) -> Option<&str> {
        match name {
            DEBUG => Some(&self.config),
            BENCH => self.bench.as_deref(),
            _ => None,
        }
    }
}

/// A boot method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boot {
    /// QEMU loads the kernel, which needs the enabling patch of the series.
    Pvh,
    /// The EFI loader of a modern base loads the kernel.
    Efi,
}

/// The parts of a tree that are checked out: `only` those folders, or all
/// `without` those. Files at the top are always there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparsePaths {
    /// The directories to check out, or all if empty.
    #[serde(default)]
    pub only: Vec<String>,
    /// The directories to leave out.
    #[serde(default)]
    pub without: Vec<String>,
    /// Files that are always checked out.
    #[serde(skip)]
    pub with: Vec<String>,
}

impl SparsePaths {
    /// Returns whether the file `path` is checked out.
    pub fn contains(&self, path: &str) -> bool {
        let within = |folder: &String| {
            path.strip_prefix(folder.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
        };
        let wanted = self.only.is_empty() || !path.contains('/') || self.only.iter().any(within);
        let left_out = !wanted || self.without.iter().any(within);
        !left_out || self.with.iter().any(|file| file == path)
    }

    /// The same as patterns of git's `info/sparse-checkout`, the last match
    /// of which decides. `missing` are files to leave out besides.
    pub fn patterns(&self, missing: &[String]) -> String {
        let mut lines = vec!["/*".to_owned()];
        if !self.only.is_empty() {
            lines.push("!/*/".into());
            lines.extend(self.only.iter().map(|folder| format!("/{folder}/")));
        }
        lines.extend(self.without.iter().map(|folder| format!("!/{folder}/")));
        lines.extend(self.with.iter().map(|path| format!("/{}", literal(path))));
        lines.extend(missing.iter().map(|path| format!("!/{}", literal(path))));
        lines.push(String::new());
        lines.join("\n")
    }
}

/// Returns a pattern of `info/sparse-checkout` that matches only `path`.
pub fn literal(path: &str) -> String {
    let mut pattern = String::new();
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') || (c == ' ' && path.ends_with(' ')) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// Returns all definitions.
pub fn all() -> Result<Vec<Definition>, Failure> {
    FILES.iter().map(|(path, text)| read(path, text)).collect()
}

/// Returns the definition named `name`.
pub fn find(name: &str) -> Result<Definition, Failure> {
    let all = all()?;
    if let Some(found) = all.iter().find(|definition| definition.name == name) {
        return Ok(found.clone());
    }
    let names: Vec<&str> = all.iter().map(|d| d.name.as_str()).collect();
    let help = match yaml::closest(name, names.iter().copied()) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("the bases are {}", names.join(", ")),
    };
    Err(Failure::usage(
        format!("find the base `{name}`"),
        "no definition has this name",
    )
    .help(help))
}

/// Returns the base that a tree of this `osreldate` can be.
pub fn fitting(osreldate: u32) -> Result<Option<Definition>, Failure> {
    let fits = |definition: &Definition| definition.osreldate.holds(osreldate);
    Ok(all()?.into_iter().find(fits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_can_be_read_and_is_named_after_its_file() {
        for ((file, _), definition) in FILES.iter().zip(all().unwrap()) {
            assert_eq!(*file, format!("vm/bases/{}.yaml", definition.name));
            assert!(!definition.boot.is_empty(), "{file}");
        }
    }

    #[test]
    fn a_family_fills_in_what_a_base_does_not_set() {
        let own = "name: a\nabout: b\nbranch: c\nosreldate: { min: 1 }\n";
        let plain = read("x.yaml", &format!("extends: modern\n{own}")).unwrap();
        assert_eq!(plain.builder, Builder::MakePy);
        assert_eq!(plain.boot, [Boot::Pvh, Boot::Efi]);
        assert!(plain.tree.without.iter().any(|folder| folder == "tests"));
        let changed = "boot: [efi]\ntree: { only: [sys] }\n";
        let changed = read("x.yaml", &format!("extends: modern\n{own}{changed}")).unwrap();
        assert_eq!(changed.boot, [Boot::Efi]);
        assert_eq!(changed.tree.only, ["sys"]);
        assert!(changed.tree.without.is_empty());
        assert_eq!(changed.kernel, plain.kernel);
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let own = "name: a\nabout: b\nbranch: c\nosreldate: { min: 1 }\n";
        let error = |text: &str| kdk_core::failure::rendered(&read("x.yaml", text).unwrap_err());
        insta::assert_snapshot!(error(&format!("extends: modrn\n{own}")));
        insta::assert_snapshot!(error(own));
        insta::assert_snapshot!(error(&format!("extend: modern\n{own}")));
    }

    #[test]
    fn a_tree_belongs_to_one_base_at_most() {
        for (osreldate, want) in [
            (1_501_000, Some("releng-15.1")),
            (1_501_500, None),
            (1_600_004, Some("main")),
            (1_100_020, Some("head-2014")),
            (1_100_021, None),
        ] {
            let found = fitting(osreldate).unwrap();
            assert_eq!(found.map(|d| d.name).as_deref(), want, "{osreldate}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_likely_one() {
        insta::assert_snapshot!(kdk_core::failure::rendered(&find("releng-15").unwrap_err()));
        insta::assert_snapshot!(kdk_core::failure::rendered(&find("openbsd").unwrap_err()));
    }

    #[test]
    fn parts_of_a_tree() {
        let without = SparsePaths {
            only: vec![],
            without: vec!["tests".into(), "sys/contrib/device-tree".into()],
            with: vec!["tests/sys/a.c".into()],
        };
        let only = SparsePaths {
            only: vec!["sys".into(), "share/mk".into()],
            without: vec![],
            ..SparsePaths::default()
        };
        for (path, in_without, in_only) in [
            ("Makefile", true, true),
            ("sys/kern/kern_exec.c", true, true),
            ("tests/Makefile", false, false),
            ("tests/sys/a.c", true, false),
            ("testsuite/x", true, false),
            ("sys/contrib/device-tree/x.dts", false, true),
            ("share/mk/sys.mk", true, true),
            ("share/man/man9/x.9", true, false),
        ] {
            assert_eq!(without.contains(path), in_without, "{path}");
            assert_eq!(only.contains(path), in_only, "{path}");
        }
        assert_eq!(
            without.patterns(&["contrib/a[1].c".into()]),
            "/*\n!/tests/\n!/sys/contrib/device-tree/\n/tests/sys/a.c\n!/contrib/a\\[1\\].c\n"
        );
        assert_eq!(only.patterns(&[]), "/*\n!/*/\n/sys/\n/share/mk/\n");
    }
}
