//! The normal form of cargo's manifests: what changes the programs that are
//! built, and the exact versions of the crates that they contain.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The parts of a package's manifest that only describe it, or that only
/// concern its tests on the host.
const IGNORED: [&str; 2] = ["dev-dependencies", "lints"];
const IGNORED_OF_PACKAGE: [&str; 7] = [
    "name",
    "description",
    "version",
    "license",
    "publish",
    "rust-version",
    "authors",
];

/// A package of the guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The name of the package.
    pub name: String,
    /// The normal form of its manifest.
    pub text: String,
    /// The crates that are compiled into it.
    pub dependencies: BTreeSet<String>,
    /// The crates that its build script uses.
    pub build_dependencies: BTreeSet<String>,
    /// Its features, and those of its dependencies: cargo enables a feature for
    /// all packages of a build.
    pub unified: BTreeSet<String>,
}

/// Reads a package's manifest.
///
/// # Errors
/// It is not TOML.
pub fn manifest(text: &str) -> Result<Manifest, ::toml::de::Error> {
    let mut value: Value = ::toml::from_str(text)?;
    let name = value["package"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut unified = BTreeSet::new();
    for key in ["dependencies", "build-dependencies", "features"] {
        for (name, how) in all(&value, key) {
            unified.insert(format!("{key} {name} {how}"));
        }
    }
    let packages = |key: &str| {
        let all = all(&value, key);
        all.map(|(name, how)| package(name, how)).collect()
    };
    let (dependencies, build_dependencies) =
        (packages("dependencies"), packages("build-dependencies"));
    remove(&mut value, &IGNORED);
    if let Some(package) = value.get_mut("package") {
        remove(package, &IGNORED_OF_PACKAGE);
    }
    Ok(Manifest {
        name,
        text: value.to_string(),
        dependencies,
        build_dependencies,
        unified,
    })
}

/// Iterates over the entries of the table `key` of a manifest, and of the
/// tables of this name for a target.
fn all<'a>(manifest: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let targets = manifest.get("target").and_then(Value::as_object);
    let targets = targets.into_iter().flat_map(|targets| targets.values());
    let tables = [manifest].into_iter().chain(targets);
    let tables = tables.filter_map(|table| table.get(key)?.as_object());
    tables.flatten().collect::<Vec<_>>().into_iter()
}

/// Returns the name of the package that a dependency means.
fn package(name: &str, how: &Value) -> String {
    let renamed = how.get("package").and_then(Value::as_str);
    renamed.unwrap_or(name).to_owned()
}

fn remove(table: &mut Value, keys: &[&str]) {
    if let Some(table) = table.as_object_mut() {
        table.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

/// Returns `used` with the packages that the workspace's manifest means by
/// these names.
///
/// # Errors
/// It is not TOML.
pub fn packages(
    text: &str,
    used: &BTreeSet<String>,
) -> Result<BTreeSet<String>, ::toml::de::Error> {
    let value: Value = ::toml::from_str(text)?;
    let dependencies = &value["workspace"]["dependencies"];
    let name = |name: &String| package(name, &dependencies[name]);
    Ok(used.iter().map(name).collect())
}

/// Returns the normal form of cargo's configuration: aliases only concern the
/// command line.
///
/// # Errors
/// It is not TOML.
pub fn config(text: &str) -> Result<String, ::toml::de::Error> {
    let mut value: Value = ::toml::from_str(text)?;
    remove(&mut value, &["alias"]);
    Ok(value.to_string())
}

/// Returns the guests' profile and the profiles that it inherits from.
fn profiles(profiles: &Value) -> BTreeMap<&str, &Value> {
    let mut found = BTreeMap::new();
    let mut next = Some("guest");
    while let Some(name) = next
        && found.insert(name, &profiles[name]).is_none()
    {
        next = profiles[name]["inherits"].as_str();
    }
    found
}

/// Renders the parts of the workspace's manifest that the guests' packages
/// use: the edition, the resolver, the profile, and how they depend on the crates `used`.
///
/// # Errors
/// It is not TOML.
pub fn workspace(text: &str, used: &BTreeSet<String>) -> Result<String, ::toml::de::Error> {
    let value: Value = ::toml::from_str(text)?;
    let mut dependencies = value["workspace"]["dependencies"].clone();
    if let Some(table) = dependencies.as_object_mut() {
        table.retain(|name, how| used.contains(name) && how.get("path").is_none());
    }
    let parts = serde_json::json!({
        "edition": value["workspace"]["package"]["edition"],
        "profile": profiles(&value["profile"]),
        "resolver": value["workspace"]["resolver"],
        "dependencies": dependencies,
        "patch": value["patch"],
    });
    Ok(parts.to_string())
}

/// Returns the version of the compiler.
///
/// # Errors
/// It is not TOML.
pub fn channel(text: &str) -> Result<String, ::toml::de::Error> {
    let value: Value = ::toml::from_str(text)?;
    Ok(value["toolchain"]["channel"].to_string())
}

/// Returns the exact versions of the crates `wanted` and of what they depend
/// on, and of the crates `tools` alone.
///
/// # Errors
/// The lock file is not TOML.
pub fn versions(
    lock: &str,
    wanted: &BTreeSet<String>,
    tools: &BTreeSet<String>,
) -> Result<BTreeSet<String>, ::toml::de::Error> {
    let value: Value = ::toml::from_str(lock)?;
    let empty = Vec::new();
    let packages = value["package"].as_array().unwrap_or(&empty);
    let mut by_name: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        by_name.entry(name).or_default().push(package);
    }
    let mut found = BTreeSet::new();
    let mut open: Vec<(&str, bool)> = Vec::new();
    open.extend(wanted.iter().map(|name| (name.as_str(), true)));
    open.extend(tools.iter().map(|name| (name.as_str(), false)));
    while let Some((name, all)) = open.pop() {
        // A dependency is a name, with the version where there are several.
        let (name, version) = name.split_once(' ').unwrap_or((name, ""));
        for package in by_name.get(name).into_iter().flatten() {
            let is_other = !version.is_empty() && package["version"] != version;
            // A package of the workspace counts by its sources.
            if is_other || package.get("source").is_none() {
                continue;
            }
            let id = format!("{name} {} {}", package["version"], package["checksum"]);
            if found.insert(id) && all {
                let more = package["dependencies"].as_array().unwrap_or(&empty);
                open.extend(
                    more.iter()
                        .filter_map(Value::as_str)
                        .map(|name| (name, true)),
                );
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_does_not_count_and_a_feature_does() {
        let text = "[package]\nname = \"x\"\ndescription = \"A\"\n\n[dependencies]\na = \"1\"\n";
        let before = manifest(text).unwrap();
        for (after, same) in [
            (text.replace("\"A\"", "\"B\""), true),
            (
                format!("# A comment.\n{text}[dev-dependencies]\nb = \"1\"\n"),
                true,
            ),
            (
                text.replace("\"1\"", "{ version = \"1\", features = [\"f\"] }"),
                false,
            ),
            (text.replace("a = ", "b = "), false),
            (format!("{text}[target.x.dependencies]\nb = \"1\"\n"), false),
        ] {
            assert_eq!(manifest(&after).unwrap() == before, same, "{after}");
        }
    }

    #[test]
    fn dependencies_are_named_by_their_packages() {
        let text = "[package]\nname = \"x\"\n[dependencies]\na = { package = \"b\", version = \"1\" }\nc.workspace = true\n\
                    [target.'cfg(unix)'.dependencies]\nd = \"1\"\n[target.x.build-dependencies]\ne = \"1\"\n";
        let read = manifest(text).unwrap();
        let names = |all: &BTreeSet<String>| Vec::from_iter(all.iter().cloned()).join(" ");
        assert_eq!(names(&read.dependencies), "b c d");
        assert_eq!(names(&read.build_dependencies), "e");
        let root = "[workspace.dependencies]\nc = { package = \"f\", version = \"1\" }\n";
        let used = packages(root, &read.dependencies).unwrap();
        assert_eq!(names(&used), "b d f");
    }

    #[test]
    fn only_an_alias_of_the_configuration_does_not_count() {
        let of = |text: &str| config(text).unwrap();
        assert_eq!(of("[alias]\na = \"b\"\n"), of(""));
        assert_ne!(of("[build]\nrustflags = [\"-O\"]\n"), of(""));
    }

    #[test]
    fn only_the_versions_of_what_is_used_count() {
        let package = |name: &str, version: &str, more: &str| {
            format!(
                "[[package]]\nname = \"{name}\"\nversion = \"{version}\"\nsource = \"r\"\nchecksum = \"c\"\ndependencies = [{more}]\n"
            )
        };
        let lock = |b: &str, tool: &str, other: &str| {
            package("a", "1", "\"b\"")
                + &package("b", b, "")
                + &package("tool", tool, "\"other\"")
                + &package("other", other, "")
        };
        let set = |name: &str| BTreeSet::from([name.to_owned()]);
        let of = |lock: &str| versions(lock, &set("a"), &set("tool")).unwrap();
        let before = of(&lock("1", "1", "1"));
        assert_eq!(before, of(&lock("1", "1", "2")));
        assert_ne!(before, of(&lock("2", "1", "1")));
        assert_ne!(before, of(&lock("1", "2", "1")));
    }

    #[test]
    fn the_workspace_counts_as_far_as_it_is_used() {
        let text = "[workspace]\nmembers = []\n[workspace.dependencies]\na = \"1\"\nb = \"1\"\n[profile.release]\ndebug = 1\n[profile.dev]\ndebug = 1\n[profile.guest]\ninherits = \"release\"\nlto = true\n";
        let of = |text: &str| workspace(text, &BTreeSet::from(["a".to_owned()])).unwrap();
        for (after, same) in [
            (text.replace("b = \"1\"", "b = \"2\""), true),
            (text.replace("members = []", "members = [\"x\"]"), true),
            (text.replace("a = \"1\"", "a = \"2\""), false),
            (text.replace("lto = true", "lto = false"), false),
            (
                text.replace(
                    "[profile.release]\ndebug = 1",
                    "[profile.release]\ndebug = 2",
                ),
                false,
            ),
            (
                text.replace("[profile.dev]\ndebug = 1", "[profile.dev]\ndebug = 2"),
                true,
            ),
            (text.replace("\"release\"", "\"dev\""), false),
            (text.replace("\"release\"", "\"guest\""), false),
        ] {
            assert_eq!(of(&after) == of(text), same, "{after}");
        }
    }
}
