//! Finds the test suites by their declarations: one folder per userland suite
//! (`userland-tests/suites/NAME/suite.yaml`), and one file for the suites that
//! only kdk.ko has (`kmod/suites.yaml`).
//!
//! A declaration names the files that belong to its suite alone. All other
//! files belong to every suite.

mod declaration;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use declaration::{InKernel, Userland, parse};

/// The folder of the userland suites.
pub const FOLDER: &str = "userland-tests/suites";

/// The file in a suite's folder that declares the suite.
pub const DECLARATION: &str = "suite.yaml";

/// The file that declares the suites that only kdk.ko has.
pub const IN_KERNEL: &str = "kmod/suites.yaml";

/// Why the suites cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The underlying error.
        source: io::Error,
    },
    /// A declaration is not valid YAML of the declared form.
    #[error("{path} is not valid: {source}", path = .path.display())]
    Form {
        /// The file with the declaration.
        path: PathBuf,
        /// The underlying error.
        source: serde_yaml::Error,
    },
    /// A declaration contradicts the repository or another declaration.
    #[error("{path} is not valid: {why}", path = .path.display())]
    Content {
        /// The file with the declaration.
        path: PathBuf,
        /// The underlying error.
        why: String,
    },
}

/// One test suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// The part of its tests' names before the slash.
    pub name: String,
    /// What it tests.
    pub about: String,
    /// Whether it has a program in user space. The program has the suite's
    /// name.
    pub has_program: bool,
    /// The files and folders that belong to this suite alone, relative to the
    /// root of the repository.
    pub sources: Vec<PathBuf>,
    /// Names of the suites whose tests it runs or whose files it uses: their
    /// files count for it too.
    pub uses: Vec<String>,
}

impl Suite {
    /// Returns the name of the package that has the suite's program.
    pub fn package(&self) -> String {
        format!("kdk-suite-{}", self.name)
    }
}

/// All suites, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suites(Vec<Suite>);

impl Suites {
    /// Reads the declarations of the repository at `root`.
    ///
    /// # Errors
    /// A declaration is missing or not valid, or two declarations claim the
    /// same name or file.
    pub fn read(root: &Path) -> Result<Self, Error> {
        let mut all = Self(Vec::new());
        for name in folders(&root.join(FOLDER))? {
            let own = Path::new(FOLDER).join(&name);
            let path = root.join(&own).join(DECLARATION);
            let declared: Userland = parse(&path)?;
            let kernel = declared.kernel.unwrap_or_default();
            let suite = Suite {
                name,
                about: declared.about,
                has_program: true,
                sources: [own].into_iter().chain(kernel.sources).collect(),
                uses: declared.uses,
            };
            all.add(root, &path, suite)?;
        }
        let path = root.join(IN_KERNEL);
        let declared: InKernel = parse(&path)?;
        for suite in declared.suites {
            let suite = Suite {
                name: suite.name,
                about: suite.about,
                has_program: false,
                sources: suite.sources,
                uses: Vec::new(),
            };
            all.add(root, &path, suite)?;
        }
        all.check_uses(root)?;
        all.0.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Adds a suite that the file `path` declares.
    fn add(&mut self, root: &Path, path: &Path, suite: Suite) -> Result<(), Error> {
        let invalid = |why: String| Error::Content {
            path: path.to_owned(),
            why,
        };
        if self.of_tests(&suite.name).is_some() {
            return Err(invalid(format!("there are two suites `{}`", suite.name)));
        }
        for source in &suite.sources {
            let shown = source.display();
            if !root.join(source).exists() {
                return Err(invalid(format!("there is no {shown}")));
            }
            if let Some(other) = self.0.iter().find(|one| one.sources.contains(source)) {
                let why = format!("{shown} belongs to the suite `{}` too", other.name);
                return Err(invalid(why));
            }
        }
        self.0.push(suite);
        Ok(())
    }

    /// Checks that each suite uses only suites that exist.
    fn check_uses(&self, root: &Path) -> Result<(), Error> {
        for suite in &self.0 {
            let unknown = |name: &&String| self.0.iter().all(|one| one.name != **name);
            if let Some(name) = suite.uses.iter().find(unknown) {
                return Err(Error::Content {
                    path: root.join(FOLDER).join(&suite.name).join(DECLARATION),
                    why: format!("there is no suite `{name}` to use"),
                });
            }
        }
        Ok(())
    }

    /// Iterates over all suites.
    pub fn iter(&self) -> impl Iterator<Item = &Suite> {
        self.0.iter()
    }

    /// Iterates over the suites that have a program in user space.
    pub fn with_program(&self) -> impl Iterator<Item = &Suite> {
        self.0.iter().filter(|suite| suite.has_program)
    }

    /// Returns the suite that alone owns the file `path`, relative to the root
    /// of the repository. `None` means that the file belongs to all suites.
    pub fn owner(&self, path: &Path) -> Option<&Suite> {
        let claims = self.0.iter().flat_map(|suite| {
            let sources = suite.sources.iter().filter(|own| path.starts_with(own));
            sources.map(move |own| (own.components().count(), suite))
        });
        // A file in another suite's folder may be declared on its own.
        claims
            .max_by_key(|(depth, _)| *depth)
            .map(|(_, suite)| suite)
    }

    /// Returns the suite that tests called `SUITE/..` belong to.
    pub fn of_tests(&self, suite: &str) -> Option<&Suite> {
        self.0.iter().find(|known| known.name == suite)
    }
}

/// Returns the names of the folders in `path`.
fn folders(path: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests;
