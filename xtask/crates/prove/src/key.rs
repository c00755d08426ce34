//! The key of a result: a digest of all that the result depends on.

use serde::Serialize;

use kdk_core::failure::Failure;
use kdk_series::base::definition::{Boot, Builder};
use kdk_series::manifest::Without;

/// Everything that a result depends on. A key is a digest of its JSON form, in
/// which each value has the name that manifests and definitions use.
#[derive(Debug, Serialize)]
pub struct Key<'a> {
    /// What the result is.
    pub kind: Kind,
    /// The name of the series.
    pub series: &'a str,
    /// Id of the tree with all patches.
    pub all: &'a str,
    /// Id of the tree that is tested.
    pub tree: &'a str,
    /// Digest of the guest's programs, as far as the tests depend on them.
    pub programs: &'a str,
    /// How the kernels are built and booted.
    pub kernel: &'a KernelInputs,
    /// The tests, as patterns.
    pub tests: &'a [String],
    /// The numbers of virtual CPUs that the tests run on; none for those that
    /// they declare, which are in the programs.
    pub cpus: &'a [u32],
    /// How the tests must end without the patch.
    pub expect_without: Option<Without>,
    /// Whether the kernel boots directly even without the enabling patch.
    pub direct_boot: bool,
}

/// What a result is.
#[derive(Debug, Clone, Copy, Serialize)]
pub enum Kind {
    /// A patch is needed.
    #[serde(rename = "proof")]
    Proof,
    /// A prefix of the series passes its tests.
    #[serde(rename = "prefix")]
    Prefix,
    /// A mutant is killed.
    #[serde(rename = "mutant")]
    Mutant,
    /// The tests of a bisection on one commit.
    #[serde(rename = "commit")]
    Commit,
}

/// How the kernels of a base are built and booted.
#[derive(Debug, Clone, Serialize)]
pub struct KernelInputs {
    /// What builds them.
    pub builder: Builder,
    /// The version of the steps of that build.
    pub recipe: u32,
    /// The compilers' options that decide about the code of the kernel's
    /// module and of the programs.
    pub options: Vec<&'static str>,
    /// The versions of rustc and clang on this host.
    pub compilers: [String; 2],
    /// Digest of the configuration.
    pub config: String,
    /// The boot methods.
    pub boot: Vec<Boot>,
}

impl Key<'_> {
    /// Returns the key.
    ///
    /// # Errors
    /// It has no JSON form.
    pub fn digest(&self) -> Result<String, Failure> {
        let mut digest = digest(self)?;
        digest.truncate(32);
        Ok(digest)
    }
}

/// Returns the digest of `value`'s JSON form.
///
/// # Errors
/// It has none.
pub fn digest(value: &impl Serialize) -> Result<String, Failure> {
    let json = serde_json::to_vec(value)
        .map_err(|error| Failure::infra("compute a result's key", error.to_string()))?;
    Ok(blake3::hash(&json).to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A variant's name in Rust is not in the key: this text is all of it.
    #[test]
    fn a_key_has_no_names_of_the_hosts_code() {
        let tests = ["a/b".to_owned()];
        let kernel = KernelInputs {
            builder: Builder::MakePy,
            recipe: 1,
            options: vec!["-Zplt=yes"],
            compilers: ["rustc 1".into(), "clang 2".into()],
            config: "config".into(),
            boot: vec![Boot::Pvh, Boot::Efi],
        };
        let key = Key {
            kind: Kind::Proof,
            series: "s",
            all: "all",
            tree: "tree",
            programs: "programs",
            kernel: &kernel,
            tests: &tests,
            cpus: &[2],
            expect_without: Some(Without::NoBoot),
            direct_boot: false,
        };
        assert_eq!(
            serde_json::to_string(&key).unwrap(),
            r#"{"kind":"proof","series":"s","all":"all","tree":"tree","programs":"programs","kernel":{"builder":"make-py","recipe":1,"options":["-Zplt=yes"],"compilers":["rustc 1","clang 2"],"config":"config","boot":["pvh","efi"]},"tests":["a/b"],"cpus":[2],"expect_without":"no-boot","direct_boot":false}"#
        );
        assert_eq!(key.digest().unwrap().len(), 32);
        // Another spelling in Rust with the same spelling in a manifest.
        #[derive(Serialize)]
        enum Renamed {
            #[serde(rename = "no-boot")]
            Silent,
        }
        assert_eq!(
            digest(&Renamed::Silent).unwrap(),
            digest(&Without::NoBoot).unwrap()
        );
    }
}
