//! All tests of the guest, and where each one is.

use crate::Listed;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use kdk_harness::Where;

/// A test and its source, `S` being whatever init knows a place by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<S> {
    /// The test as it is listed to the host.
    pub test: Listed,
    /// Where it runs, or why it cannot be run at all.
    pub source: Result<S, String>,
}

/// The tests of all places, by name. A place that cannot list its tests, or
/// lists one that another place has too, is in it as a test of its own that
/// fails, `PLACE/can-list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalogue<S> {
    entries: Vec<Entry<S>>,
}

impl<S: Clone> Catalogue<S> {
    /// Creates an empty catalogue.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Adds what the place called `called` lists, or says that it could not.
    pub fn add(
        &mut self,
        called: &str,
        source: &S,
        place: Where,
        listed: Result<Vec<Listed>, String>,
    ) {
        let tests = match listed {
            Ok(tests) => tests,
            Err(why) => return self.broken(called, place, why),
        };
        for test in tests {
            if self.get(&test.name).is_some() {
                let why = format!(
                    "{} is in another place too; give it another name",
                    test.name
                );
                self.broken(called, place, why);
            } else {
                self.insert(test, Ok(source.clone()));
            }
        }
    }

    fn broken(&mut self, called: &str, place: Where, why: String) {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let suite: String = called
            .chars()
            .take(32)
            .map(|c| c.to_ascii_lowercase())
            .map(|c| if fits(c) { c } else { '-' })
            .collect();
        let name = format!("{suite}/can-list");
        if self.get(&name).is_none() {
            let line = format!("# test {name} where={place} limit_ms=5000 expect=pass default=yes");
            self.insert(Listed { name, line }, Err(why));
        }
    }

    fn insert(&mut self, test: Listed, source: Result<S, String>) {
        let at = self.entries.partition_point(|e| e.test.name < test.name);
        self.entries.insert(at, Entry { test, source });
    }

    /// The test of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Entry<S>> {
        self.entries.iter().find(|entry| entry.test.name == name)
    }

    /// Writes the answer to `list`.
    ///
    /// # Errors
    /// `out` does not take it.
    pub fn write(&self, out: &mut dyn Write) -> fmt::Result {
        for entry in &self.entries {
            writeln!(out, "{}", entry.test.line)?;
        }
        writeln!(out, "# end list {}", self.entries.len())
    }
}

impl<S: Clone> Default for Catalogue<S> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use alloc::string::ToString;

    fn listed(names: &[&str]) -> Result<Vec<Listed>, String> {
        let test = |name: &&str| Listed {
            name: name.to_string(),
            line: format!("# test {name}"),
        };
        Ok(names.iter().map(test).collect())
    }

    fn written(catalogue: &Catalogue<u8>) -> String {
        let mut out = String::new();
        catalogue.write(&mut out).unwrap();
        out
    }

    #[test]
    fn tests_come_by_name() {
        let mut catalogue = Catalogue::new();
        catalogue.add("y", &1, Where::Userland, listed(&["y/b", "y/a"]));
        catalogue.add("x", &2, Where::Kernel, listed(&["x/c"]));
        assert_eq!(
            written(&catalogue),
            "# test x/c\n# test y/a\n# test y/b\n# end list 3\n"
        );
        assert_eq!(catalogue.get("y/a").unwrap().source, Ok(1));
        assert_eq!(catalogue.get("x/c").unwrap().source, Ok(2));
        assert_eq!(catalogue.get("x/d"), None);
    }

    #[test]
    fn a_broken_place_is_a_failing_test() {
        let mut catalogue = Catalogue::new();
        catalogue.add("A b.c", &1, Where::Userland, Err("killed".to_string()));
        assert_eq!(
            written(&catalogue),
            "# test a-b-c/can-list where=userland limit_ms=5000 expect=pass default=yes\n\
             # end list 1\n"
        );
        let source = &catalogue.get("a-b-c/can-list").unwrap().source;
        assert_eq!(source, &Err("killed".to_string()));
    }

    #[test]
    fn a_name_in_two_places_is_reported() {
        let mut catalogue = Catalogue::new();
        catalogue.add("x", &1, Where::Userland, listed(&["x/a"]));
        catalogue.add("z", &2, Where::Userland, listed(&["x/a", "x/a", "x/b"]));
        assert_eq!(catalogue.get("x/a").unwrap().source, Ok(1));
        assert_eq!(catalogue.get("x/b").unwrap().source, Ok(2));
        let failed = catalogue.get("z/can-list").unwrap();
        assert!(failed.source.as_ref().unwrap_err().contains("x/a"));
        assert!(written(&catalogue).ends_with("# end list 3\n"));
    }
}
