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
}

/// Reads a package's manifest.
///
/// # Errors
/// It is not TOML.
pub fn manifest(text: &str) -> Result<Manifest, ::toml::de::Error> {
    let mut value: Value = ::toml::from_str(text)?;
    let keys = |value: &Value, key: &str| {
        let table = value.get(key).and_then(Value::as_object);
        table
            .map(|table| table.keys().cloned().collect())
            .unwrap_or_default()
    };
    let name = value["package"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let (dependencies, build_dependencies) = (
        keys(&value, "dependencies"),
        keys(&value, "build-dependencies"),
    );
    remove(&mut value, &IGNORED);
    if let Some(package) = value.get_mut("package") {
        remove(package, &IGNORED_OF_PACKAGE);
    }
    Ok(Manifest {
        name,
        text: value.to_string(),
        dependencies,
        build_dependencies,
    })
}

fn remove(table: &mut Value, keys: &[&str]) {
    if let Some(table) = table.as_object_mut() {
        table.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

/// Renders the parts of the workspace's manifest that the guests' packages
/// use: the edition, the profile, and how they depend on the crates `used`.
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
        "profile": value["profile"]["guest"],
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
        ] {
            assert_eq!(manifest(&after).unwrap() == before, same, "{after}");
        }
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
        let text = "[workspace]\nmembers = []\n[workspace.dependencies]\na = \"1\"\nb = \"1\"\n[profile.guest]\nlto = true\n";
        let of = |text: &str| workspace(text, &BTreeSet::from(["a".to_owned()])).unwrap();
        for (after, same) in [
            (text.replace("b = \"1\"", "b = \"2\""), true),
            (text.replace("members = []", "members = [\"x\"]"), true),
            (text.replace("a = \"1\"", "a = \"2\""), false),
            (text.replace("lto = true", "lto = false"), false),
        ] {
            assert_eq!(of(&after) == of(text), same, "{after}");
        }
    }
}
