//! The list of tests that a place reports.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use kdk_harness::{Where, is_valid_name};

/// A test as its place listed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name, as in `suite/case`.
    pub name: String,
    /// The complete line.
    pub line: String,
}

/// Reads the answer to `list`. It is valid only if it is complete: a place
/// that died halfway has not listed all its tests.
#[derive(Clone, Debug)]
pub struct Listing {
    place: Where,
    tests: Vec<Listed>,
    ended: bool,
    wrong: Option<String>,
}

impl Listing {
    /// An answer from `place` that has not begun.
    #[must_use]
    pub const fn new(place: Where) -> Self {
        Self {
            place,
            tests: Vec::new(),
            ended: false,
            wrong: None,
        }
    }

    /// Takes the next line.
    pub fn line(&mut self, line: &str) {
        let after_end = self.ended;
        let read = match line.strip_prefix("# end list ") {
            Some(count) => self.end(count),
            None => listed(line, self.place).map(|test| self.tests.push(test)),
        };
        let wrong = match read {
            _ if after_end => Some("goes on after its end".to_string()),
            Err(why) => Some(why),
            Ok(()) => None,
        };
        if let (None, Some(why)) = (&self.wrong, wrong) {
            let shown: String = line.chars().take(80).collect();
            self.wrong = Some(format!("its list {why}: {shown:?}"));
        }
    }

    fn end(&mut self, count: &str) -> Result<(), String> {
        self.ended = true;
        match count.parse() {
            Ok(count) if self.tests.len() == count => Ok(()),
            _ => Err(format!(
                "has {} tests but ends with another number",
                self.tests.len()
            )),
        }
    }

    /// The tests, once the answer is over.
    ///
    /// # Errors
    /// Why the answer cannot be used.
    pub fn finish(self) -> Result<Vec<Listed>, String> {
        match self.wrong {
            Some(why) => Err(why),
            None if !self.ended => Err(format!(
                "its list breaks off after {} tests",
                self.tests.len()
            )),
            None => Ok(self.tests),
        }
    }
}

/// Reads `# test NAME where=.. limit_ms=.. expect=.. default=..`, and perhaps
/// `cpus=..` and `mem_mib=..`.
fn listed(line: &str, place: Where) -> Result<Listed, String> {
    let wrong = || "has a line that names no test".to_string();
    let mut words = line.strip_prefix("# test ").ok_or_else(wrong)?.split(' ');
    let name = words.next().filter(|name| is_valid_name(name));
    let name = name.ok_or_else(wrong)?;
    let mut field = |key: &str| {
        let value = words.next()?.strip_prefix(key)?.strip_prefix('=')?;
        Some(value.to_string())
    };
    let values = (
        field("where"),
        field("limit_ms"),
        field("expect"),
        field("default"),
    );
    let (Some(said), Some(limit), Some(expect), Some(default)) = values else {
        return Err(wrong());
    };
    let good = said == place.to_string()
        && limit.parse::<u32>().is_ok()
        && matches!(expect.as_str(), "pass" | "fail" | "crash")
        && matches!(default.as_str(), "yes" | "no")
        && words.all(is_machine);
    if !good {
        return Err(wrong());
    }
    Ok(Listed {
        name: name.to_string(),
        line: line.to_string(),
    })
}

/// Whether a word says what machine the test needs.
fn is_machine(word: &str) -> bool {
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    match word.split_once('=') {
        Some(("cpus", list)) => list.split(',').all(is_number),
        Some(("mem_mib", mib)) => is_number(mib),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;

    fn read(lines: &[&str]) -> Result<Vec<String>, String> {
        let mut listing = Listing::new(Where::Userland);
        lines.iter().for_each(|line| listing.line(line));
        let tests = listing.finish()?;
        Ok(tests.into_iter().map(|test| test.name).collect())
    }

    const A: &str = "# test a/b where=userland limit_ms=5000 expect=pass default=yes";

    #[test]
    fn whole_lists_are_read() {
        assert_eq!(read(&["# end list 0"]), Ok(Vec::new()));
        let odd = "# test a/c where=userland limit_ms=0 expect=fail default=no";
        let deadly =
            "# test a/d where=userland limit_ms=5 expect=crash default=yes cpus=1,4 mem_mib=9";
        let names = ["a/b", "a/c", "a/d"].map(String::from).to_vec();
        assert_eq!(read(&[A, odd, deadly, "# end list 3"]), Ok(names));
    }

    #[test]
    fn others_are_refused() {
        let kernel = A.replace("userland", "kernel");
        for (lines, why) in [
            (&[][..], "breaks off after 0 tests"),
            (&[A], "breaks off after 1 tests"),
            (&[A, "# end list 2"], "has 1 tests but ends"),
            (&[A, "# end list x"], "has 1 tests but ends"),
            (&["hello", "# end list 0"], "names no test: \"hello\""),
            (&[&kernel, "# end list 1"], "names no test"),
            (
                &["# test a/b where=userland", "# end list 1"],
                "names no test",
            ),
            (
                &["# test A where=userland limit_ms=1 expect=pass default=yes"],
                "names no test",
            ),
            (&[&format!("{A} cpus=1,"), "# end list 1"], "names no test"),
            (&[&format!("{A} later"), "# end list 1"], "names no test"),
            (&["# end list 0", A], "goes on after its end"),
            (&["# end list 0", "# end list 0"], "goes on after its end"),
        ] {
            let said = read(lines).expect_err(why);
            assert!(said.contains(why), "{lines:?}: {said}");
        }
    }
}
