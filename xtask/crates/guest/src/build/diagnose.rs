//! Finds the errors of compilers and linkers in the output of a build.

/// The number of lines that are kept: the first errors cause the others.
const MAX_LINES: usize = 24;

/// The number of lines that follow an error and belong to it: the source line,
/// the caret.
const CONTEXT: usize = 2;

/// The errors in the output of a build.
#[derive(Debug, Default)]
pub struct Diagnosis {
    errors: Vec<String>,
    context: usize,
    disk_was_full: bool,
}

impl Diagnosis {
    /// Adds the next line of the output.
    pub fn line(&mut self, line: &str) {
        self.disk_was_full |= kdk_vm::error::says_disk_full(line);
        if self.errors.len() >= MAX_LINES {
            return;
        }
        if is_error(line) {
            self.errors.push(line.to_owned());
            self.context = CONTEXT;
        } else if self.context > 0 {
            self.context -= 1;
            if is_context(line) {
                self.errors.push(line.to_owned());
            } else {
                self.context = 0;
            }
        }
    }

    /// Returns whether a disk was full.
    pub fn disk_was_full(&self) -> bool {
        self.disk_was_full
    }

    /// Returns the errors with the source lines below them, the first one
    /// first.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }
}

/// Returns whether a line is an error. clang and gcc: `file:line:column: error:
/// ..`; lld: `ld.lld: error: ..`; rustc: `error[E..]: ..`; config(8): `config:
/// ..` and `file:line: ..`.
fn is_error(line: &str) -> bool {
    line.contains(": error: ")
        || line.contains(": fatal error: ")
        || line.starts_with("error: ")
        || line.starts_with("error[")
        || line.starts_with("config: ")
        || line.contains(": not found")
        || line.contains(": unknown option \"")
}

fn is_context(line: &str) -> bool {
    line.starts_with(' ') || line.starts_with("  -->") || line.starts_with(">>> ")
}

/// Returns whether a line of make's output is the command line of a compiler,
/// which make prints when it begins an object.
pub fn begins_object(line: &str) -> bool {
    line.contains(" -c ") && !line.starts_with("---") && !line.starts_with("===")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_errors_with_their_source_lines() {
        let output = [
            "--- kern_sendfile.o ---",
            "/usr/bin/clang -c -O2 kern_sendfile.c",
            "kern_sendfile.c:12:3: warning: unused",
            "kern_sendfile.c:14:5: error: expected ';'",
            "   14 |     int x",
            "      |          ^",
            "ld.lld: error: undefined symbol: foo",
            ">>> referenced by bar.c",
            "*** [kern_sendfile.o] Error code 1",
        ];
        let mut diagnosis = Diagnosis::default();
        output.iter().for_each(|line| diagnosis.line(line));
        assert_eq!(
            diagnosis.errors(),
            [output[3], output[4], output[5], output[6], output[7]]
        );
    }

    #[test]
    fn a_cascade_is_cut() {
        let mut diagnosis = Diagnosis::default();
        for n in 0..1000 {
            diagnosis.line(&format!("a.c:{n}:1: error: again"));
        }
        assert_eq!(diagnosis.errors().len(), MAX_LINES);
    }

    #[test]
    fn counts_compiler_lines_only() {
        let table = [
            ("/usr/lib/llvm-19/bin/clang -target x -c -O2 a.c", true),
            ("clang --target=x -w -c -O2 a.c", true),
            ("--- a.o ---", false),
            ("===> usr.sbin/config -c x", false),
            ("awk -f makeobjops.awk x.m -h", false),
        ];
        for (line, expected) in table {
            assert_eq!(begins_object(line), expected, "{line}");
        }
    }
}
