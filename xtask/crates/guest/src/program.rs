//! A test that is the user's own program, which knows nothing of this project.
//!
//! The image has a folder for it below `/programs`, and init lists it as the test
//! `user/NAME`. Its exit status is the verdict: 0 is PASS, 125 is SKIP (as for
//! git-bisect(1)), and any other one is FAIL.

use std::fs;
use std::path::{Path, PathBuf};

use kdk_core::failure::Failure;
use kdk_core::store::Inputs;
use kdk_vm::elf::{Role, check};
use kdk_vm::image::Tree;
use kdk_vm::protocol::is_valid_name;
use serde::{Deserialize, Serialize};

/// The limit of a program in milliseconds, unless the caller sets another one.
const LIMIT_MS: u32 = 60_000;

/// The extensions of source code that is no program yet.
const SOURCES: [&str; 4] = ["c", "cc", "cpp", "S"];

/// A program of the user's and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The file on the host.
    pub path: PathBuf,
    /// The arguments after the program's name.
    pub arguments: Vec<String>,
}

impl Program {
    /// Returns the name of its test: `user/` and the file's name without its
    /// extension, in the characters that a test's name has.
    pub fn test(&self) -> String {
        let stem = self.path.file_stem().unwrap_or_default();
        let name = stem.to_string_lossy().to_ascii_lowercase();
        let valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let name = name.replace(|c| !valid(c), "-");
        // The longest name of a test has 64 bytes.
        let name: String = name.trim_matches('-').chars().take(50).collect();
        match name.is_empty() {
            true => "user/program".into(),
            false => format!("user/{name}"),
        }
    }

    /// Fails unless the guest can run the program with its arguments.
    ///
    /// # Errors
    /// The file is no static program of FreeBSD, or an argument has a NUL.
    pub fn check(&self) -> Result<(), Failure> {
        if let Some(argument) = self.arguments.iter().find(|a| a.contains('\0')) {
            return Err(Failure::usage(
                format!("pass {argument:?} to {}", self.path.display()),
                "an argument cannot contain a NUL",
            ));
        }
        if let Some(end) = self.path.extension()
            && SOURCES.iter().any(|source| end == *source)
            && self.path.exists()
        {
            let path = self.path.display();
            let what = format!(
                "{path} is source code, and kdk has no C library for the guest to link it with"
            );
            return Err(Failure::usage("use the program as a test", what).help(
                "compile it on FreeBSD of the same release or an older one with `cc -static`, and name the program",
            ));
        }
        // To open a pipe would be to wait for its writer.
        if fs::metadata(&self.path).is_ok_and(|found| !found.is_file()) {
            let what = format!("{} is not a regular file", self.path.display());
            return Err(Failure::usage("use the program as a test", what));
        }
        check(&self.path, Role::Program).map_err(|error| {
            let why = format!("{}: {}", self.path.display(), error.what);
            Failure::usage("use the program as a test", why).help(error.help)
        })?;
        debug_assert!(is_valid_name(&self.test()), "{}", self.test());
        Ok(())
    }

    /// Declares what the image contains of it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn declare(&self, inputs: &mut Inputs) -> Result<(), Failure> {
        let bytes = fs::read(&self.path)
            .map_err(|error| Failure::io("read the program", &self.path, error))?;
        inputs.digest(self.test(), blake3::hash(&bytes).to_hex().to_string());
        inputs.bytes(
            format!("arguments of {}", self.test()),
            self.arguments.join("\0"),
        );
        Ok(())
    }

    /// Returns its size in bytes, rounded up to whole MiB.
    ///
    /// # Errors
    /// The file cannot be examined.
    pub fn size(&self) -> Result<u64, Failure> {
        let size = fs::metadata(&self.path)
            .map_err(|error| Failure::io("examine the program", &self.path, error))?
            .len();
        Ok(size.next_multiple_of(1 << 20))
    }

    /// Adds it to the root file system.
    pub fn add_to(&self, tree: Tree) -> Tree {
        let test = self.test();
        let folder = Path::new(&test)
            .file_name()
            .map(|name| format!("programs/{}", name.to_string_lossy()))
            .unwrap_or_default();
        let arguments: String = self.arguments.iter().map(|a| format!("{a}\0")).collect();
        let line =
            format!("# test {test} where=userland limit_ms={LIMIT_MS} expect=pass default=yes");
        tree.file(&format!("{folder}/program"), 0o555, &self.path)
            .text(&format!("{folder}/arguments"), 0o444, arguments)
            .text(&format!("{folder}/test"), 0o444, line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(path: &str) -> Program {
        Program {
            path: path.into(),
            arguments: vec!["-n".into(), String::new()],
        }
    }

    #[test]
    fn names_of_tests() {
        for (path, name) in [
            ("repro", "user/repro"),
            ("/tmp/My_Repro v2.bin", "user/my-repro-v2"),
            ("__", "user/program"),
            ("\u{e4}.out", "user/program"),
        ] {
            assert_eq!(program(path).test(), name, "{path}");
        }
        let long = program(&"x".repeat(200)).test();
        assert!(is_valid_name(&long), "{long}");
    }

    #[test]
    fn what_cannot_run_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("script");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        let script = Program {
            path,
            arguments: Vec::new(),
        };
        let why = script.check().unwrap_err().to_string();
        assert!(why.contains("use the program as a test"), "{why}");
        let path = dir.path().join("repro.c");
        fs::write(&path, "int main(void) { return (0); }\n").unwrap();
        let source = Program {
            path,
            arguments: Vec::new(),
        };
        let why = source.check().unwrap_err();
        assert!(
            why.in_one_line().contains("repro.c is source code"),
            "{why}"
        );
        assert!(why.advice().unwrap().contains("cc -static"));
        let pipe = dir.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [pipe, dir.path().to_owned(), "/dev/zero".into()] {
            let none = Program {
                path,
                arguments: Vec::new(),
            };
            let why = none.check().unwrap_err().in_one_line();
            assert!(why.contains("is not a regular file"), "{why}");
        }
        let nul = Program {
            arguments: vec!["a\0b".into()],
            ..script
        };
        let why = nul.check().unwrap_err().to_string();
        assert!(why.contains("pass \"a\\0b\""), "{why}");
    }

    #[test]
    fn the_image_has_its_folder() {
        let tree = program("/bin/repro").add_to(Tree::new());
        let paths: Vec<&str> = tree.entries().map(|(path, _)| path).collect();
        assert_eq!(
            paths,
            [
                "programs",
                "programs/repro",
                "programs/repro/arguments",
                "programs/repro/program",
                "programs/repro/test",
            ]
        );
    }
}
