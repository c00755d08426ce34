//! The names of the caches in which an engine keeps builds between pipelines.
//!
//! A name has a digest for each kind of input that makes the builds of the
//! store useless: the commits of the bases, the compilers, and the kernels'
//! configurations. A wrong cache costs time and nothing else: the store compares
//! all inputs of each entry before it uses it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The number of characters of each digest.
const SHORT: usize = 10;

/// What the builds of a pipeline depend on, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheInputs {
    /// The commit of each base.
    pub bases: BTreeMap<String, String>,
    /// The version of each compiler.
    pub toolchain: BTreeMap<String, String>,
    /// The digest of each kernel configuration.
    pub configs: BTreeMap<String, String>,
}

/// The name of a cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheKey {
    /// The name for the same bases; it begins every other name.
    pub bases: String,
    /// The name for the same bases and compilers.
    pub toolchain: String,
    /// The name for the same bases, compilers and configurations.
    pub full: String,
    /// The inputs, for people: `base NAME`, `compiler NAME`, `config NAME`.
    pub inputs: BTreeMap<String, String>,
}

/// Returns the name of the cache for `inputs`.
pub fn key(inputs: &CacheInputs) -> CacheKey {
    let bases = format!("kdk-{}", digest(&inputs.bases));
    let toolchain = format!("{bases}-{}", digest(&inputs.toolchain));
    let full = format!("{toolchain}-{}", digest(&inputs.configs));
    let named = |kind: &'static str, map: &BTreeMap<String, String>| {
        let map = map.clone().into_iter();
        map.map(move |(name, value)| (format!("{kind} {name}"), value))
            .collect::<Vec<_>>()
    };
    let inputs = [
        named("base", &inputs.bases),
        named("compiler", &inputs.toolchain),
        named("config", &inputs.configs),
    ];
    CacheKey {
        bases,
        toolchain,
        full,
        inputs: inputs.into_iter().flatten().collect(),
    }
}

fn digest(map: &BTreeMap<String, String>) -> String {
    let mut hash = blake3::Hasher::new();
    for field in map.iter().flat_map(|(name, value)| [name, value]) {
        hash.update(&(field.len() as u64).to_le_bytes());
        hash.update(field.as_bytes());
    }
    let mut digest = hash.finalize().to_hex().to_string();
    digest.truncate(SHORT);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_input_changes_the_names_from_its_own_on() {
        let map = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let inputs = CacheInputs {
            bases: map("main", "c1"),
            toolchain: map("rustc", "1.95"),
            configs: map("KDK", "d1"),
        };
        let mut other_base = inputs.clone();
        other_base.bases = map("main", "c2");
        let mut other_compiler = inputs.clone();
        other_compiler.toolchain = map("rustc", "1.96");
        let mut other_config = inputs.clone();
        other_config.configs = map("KDK", "d2");
        let first = key(&inputs);
        assert!(first.full.starts_with(&first.toolchain));
        assert!(first.toolchain.starts_with(&first.bases));
        for (other, same_bases, same_toolchain, same) in [
            (&inputs, true, true, true),
            (&other_config, true, true, false),
            (&other_compiler, true, false, false),
            (&other_base, false, false, false),
        ] {
            let other = key(other);
            assert_eq!(other.bases == first.bases, same_bases);
            assert_eq!(other.toolchain == first.toolchain, same_toolchain);
            assert_eq!(other.full == first.full, same);
        }
        insta::assert_snapshot!(serde_json::to_string_pretty(&first).unwrap());
    }
}
