//! A synthetic history on top of a real tree, with everything that a range of
//! real commits has: changes that nothing is built of, builds and boots that
//! are broken for a while, a test that is flaky for a while, merges, and one
//! culprit. Tests and benchmarks bisect it.

use std::collections::HashMap;
use std::fmt::Write;
use std::ops::Range;

use kdk_core::failure::Failure;
use kdk_core::git::Git;

use crate::state::digest_of;

const TRIED: &str = "make a synthetic history";

/// The test that the culprit breaks, and what it then says.
pub const TEST: &str = "smoke/select";
/// The signature of the culprit.
pub const SIGNATURE: &str = "saw (EDOM|errno 33)";

/// The folder of the references that keep the commits, one for each history. Two
/// processes can write one at the same time.
const REFERENCES: &str = "refs/kdk/histories";

/// Sources of the kernel whose changes mean nothing.
const COMPILED: [&str; 6] = [
    "sys/kern/kern_hhook.c",
    "sys/kern/kern_osd.c",
    "sys/kern/subr_sbuf.c",
    "sys/kern/subr_unit.c",
    "sys/kern/kern_ntptime.c",
    "sys/kern/subr_sglist.c",
];

/// Files that the kernel is not built of.
const ELSEWHERE: [&str; 3] = [
    "bin/ls/ls.c",
    "UPDATING",
    "sys/dev/mlx5/mlx5_core/mlx5_main.c",
];

/// The file that breaks the build, and the one that breaks the boot.
const BUILD: &str = "sys/kern/kern_uuid.c";
const BOOT: &str = "sys/kern/kern_environment.c";
/// The file of the system call that the test uses, and the line that changes
/// are put before.
const CALL: &str = "sys/kern/sys_generic.c";
const BEFORE: &str =
    "\treturn (kern_select(td, uap->nd, uap->in, uap->ou, uap->ex, tvp,\n\t    NFDBITS));\n";

/// Where what happens, by position from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synthetic {
    /// The number of commits.
    pub commits: usize,
    /// Commits whose kernel does not build.
    pub no_build: Range<usize>,
    /// Commits whose kernel does not boot.
    pub no_boot: Range<usize>,
    /// Commits on which the test sometimes fails in another way.
    pub flaky: Range<usize>,
    /// Merges of a branch with one commit.
    pub merges: Vec<usize>,
    /// The first bad commit.
    pub culprit: usize,
    /// A number in all comments, which makes the history another one.
    pub salt: usize,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self {
            commits: 200,
            no_build: 96..103,
            no_boot: 140..146,
            flaky: 116..122,
            merges: vec![60, 128, 180],
            culprit: 133,
            salt: 0,
        }
    }
}

/// Returns the reference of a history on top of `base`.
fn reference(base: &str, history: &Synthetic) -> Result<String, Failure> {
    let id = digest_of(&(base, format!("{history:?}")), 16)?;
    Ok(format!("{REFERENCES}/{id}"))
}

/// Lets git remove the commits of a history.
///
/// # Errors
/// git fails.
pub fn forget(git: &Git, base: &str, history: &Synthetic) -> Result<(), Failure> {
    let reference = reference(base, history)?;
    git.text(TRIED, &["update-ref", "-d", &reference])?;
    Ok(())
}

/// Writes the history on top of `base` to `git`, kdk's repository of a base.
/// Returns the commits from position 0, which is `base`, to the last one.
///
/// # Errors
/// A file of the tree is not as expected, or git fails.
pub fn write(git: &Git, base: &str, history: &Synthetic) -> Result<Vec<String>, Failure> {
    let mut writer = Writer {
        git,
        base,
        files: HashMap::new(),
        stream: String::new(),
        reference: reference(base, history)?,
    };
    let original = writer.read(CALL)?;
    if !original.contains(BEFORE) {
        let what = format!("{CALL} of {base:.12} has no such call of kern_select()");
        return Err(Failure::usage(TRIED, what).help("use the base releng-15.1"));
    }
    for at in 1..=history.commits {
        writer.commit(history, at)?;
    }
    git.must(
        TRIED,
        &["fast-import", "--quiet", "--force"],
        writer.stream.as_bytes(),
    )?;
    let last = git.text(TRIED, &["rev-parse", "--verify", &writer.reference])?;
    let range = format!("{base}..{last}");
    let list = git.text(TRIED, &["rev-list", "--first-parent", "--reverse", &range])?;
    let mut commits = vec![base.to_owned()];
    commits.extend(list.lines().map(str::to_owned));
    Ok(commits)
}

struct Writer<'a> {
    git: &'a Git,
    base: &'a str,
    files: HashMap<String, String>,
    /// What git-fast-import(1) reads.
    stream: String,
    reference: String,
}

impl Writer<'_> {
    fn read(&mut self, path: &str) -> Result<String, Failure> {
        if let Some(text) = self.files.get(path) {
            return Ok(text.clone());
        }
        let name = format!("{}:{path}", self.base);
        let blob = self.git.must(TRIED, &["cat-file", "blob", &name], b"")?;
        let text = String::from_utf8_lossy(&blob.stdout).into_owned();
        self.files.insert(path.to_owned(), text.clone());
        Ok(text)
    }

    fn commit(&mut self, history: &Synthetic, at: usize) -> Result<(), Failure> {
        let mut changed: Vec<&str> = Vec::new();
        let subject = match at {
            _ if at == history.no_build.start => {
                self.append(BUILD, "#error \"a synthetic break\"")?;
                changed.push(BUILD);
                "kern: Break the build"
            }
            _ if at == history.no_build.end => {
                self.restore(BUILD);
                changed.push(BUILD);
                "kern: Fix the build"
            }
            _ if at == history.no_boot.start => {
                self.append(BOOT, "static void\nsynthetic(void *arg __unused)\n{\n\tpanic(\"a synthetic break\");\n}\nSYSINIT(synthetic, SI_SUB_LAST, SI_ORDER_ANY, synthetic, NULL);")?;
                changed.push(BOOT);
                "kern: Break the boot"
            }
            _ if at == history.no_boot.end => {
                self.restore(BOOT);
                changed.push(BOOT);
                "kern: Fix the boot"
            }
            _ if [history.flaky.start, history.flaky.end, history.culprit].contains(&at) => {
                self.change_call(history, at)?;
                changed.push(CALL);
                match at {
                    _ if at == history.culprit => "select: Check the domain of the timeout",
                    _ if at == history.flaky.start => "select: Fail now and then",
                    _ => "select: Fail no more",
                }
            }
            _ if at % 10 == 3 || at % 10 == 7 => {
                let path = ELSEWHERE[at / 4 % ELSEWHERE.len()];
                self.append(path, &format!("/* {at} {} */", history.salt))?;
                changed.push(path);
                "misc: Change what no kernel is built of"
            }
            _ => {
                let path = COMPILED[at % COMPILED.len()];
                self.append(path, &format!("/* {at} {} */", history.salt))?;
                changed.push(path);
                "kern: Change a comment"
            }
        };
        let is_merge = history.merges.contains(&at);
        if is_merge {
            let below = self.below(at);
            self.write(
                &format!("{}-side\nmark :{}", self.reference, 100_000 + at),
                "side: One change",
                &below,
                &[],
            );
        }
        let mut below = self.below(at);
        if is_merge {
            let _ = writeln!(below, "merge :{}", 100_000 + at);
        }
        self.write(
            &format!("{}\nmark :{at}", self.reference),
            &format!("{subject}, {at}"),
            &below,
            &changed,
        );
        Ok(())
    }

    fn below(&self, at: usize) -> String {
        match at {
            1 => format!("from {}\n", self.base),
            _ => format!("from :{}\n", at - 1),
        }
    }

    /// Writes a commit with the files `changed`.
    fn write(&mut self, reference: &str, subject: &str, below: &str, changed: &[&str]) {
        // Writing to a string does not fail.
        let _ = write!(
            self.stream,
            "commit {reference}\ncommitter kdk <kdk@localhost> 1700000000 +0000\ndata {}\n{subject}\n{below}",
            subject.len() + 1
        );
        for path in changed {
            let text = &self.files[*path];
            let _ = write!(
                self.stream,
                "M 100644 inline {path}\ndata {}\n{text}\n",
                text.len()
            );
        }
        let _ = writeln!(self.stream);
    }

    fn append(&mut self, path: &str, line: &str) -> Result<(), Failure> {
        let text = self.read(path)?;
        self.files
            .insert(path.to_owned(), format!("{text}{line}\n"));
        Ok(())
    }

    /// Removes the last change of a file: what was appended to it.
    fn restore(&mut self, path: &str) {
        if let Some(text) = self.files.get_mut(path) {
            let mark = ["#error \"a synthetic", "static void\nsynthetic("];
            let at = mark.iter().find_map(|mark| text.find(mark));
            text.truncate(at.unwrap_or(text.len()));
        }
    }

    /// Writes the system call as it is at position `at`.
    fn change_call(&mut self, history: &Synthetic, at: usize) -> Result<(), Failure> {
        let mut lines = String::new();
        if history.flaky.contains(&at) {
            lines += "\tif ((arc4random() & 1) != 0)\n\t\treturn (EBUSY);\n";
        }
        if at >= history.culprit {
            lines += "\tif (tvp != NULL)\n\t\treturn (EDOM);\n";
        }
        self.files.remove(CALL);
        let text = self.read(CALL)?;
        let text = text.replace(BEFORE, &format!("{lines}{BEFORE}"));
        self.files.insert(CALL.to_owned(), text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kdk_series::base::fixtures;

    use super::*;
    use crate::candidates;

    #[test]
    fn the_history_has_what_it_promises() {
        let dir = tempfile::tempdir().unwrap();
        let (git, _) = fixtures::kdk_repo(dir.path());
        let src = dir.path().join("src");
        for path in COMPILED.iter().chain(&ELSEWHERE).chain(&[BUILD, BOOT]) {
            fixtures::write(&src.join(path), "text\n");
        }
        fixtures::write(&src.join(CALL), &format!("{{\n{BEFORE}}}\n"));
        let base = fixtures::commit(&src, "all");
        let history = Synthetic::default();
        let commits = write(&git, &base, &history).unwrap();
        assert_eq!(commits.len(), history.commits + 1);
        assert_eq!(write(&git, &base, &history).unwrap(), commits);
        // Another history has a reference of its own.
        let other = Synthetic {
            salt: 1,
            ..Synthetic::default()
        };
        write(&git, &base, &other).unwrap();
        let kept = |history| {
            let name = reference(&base, history).unwrap();
            git.run("x", &["rev-parse", "--verify", "--quiet", &name])
                .unwrap()
                .text()
        };
        assert_eq!(kept(&history), commits[history.commits]);
        forget(&git, &base, &other).unwrap();
        assert_eq!(kept(&other), "");
        let range = candidates::list(&git, &base, &commits[200]).unwrap();
        let merges = range.commits.iter().filter(|one| one.is_merge).count();
        assert_eq!(merges, history.merges.len());
        let text = |at: usize, path: &str| {
            git.text("x", &["show", &format!("{}:{path}", commits[at])])
                .unwrap()
        };
        for (path, word, range) in [
            (BUILD, "#error", history.no_build.clone()),
            (BOOT, "panic(", history.no_boot.clone()),
            (CALL, "EBUSY", history.flaky.clone()),
            (CALL, "EDOM", history.culprit..201),
        ] {
            for at in 0..commits.len() {
                let has = text(at, path).contains(word);
                assert_eq!(has, range.contains(&at), "{word} in {path} at {at}");
            }
        }
    }
}
