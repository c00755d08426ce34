//! Writes the answer to `list`.

use crate::registry::Ordered;
use crate::test::ONE_CPU;
use crate::{Refusal, Registry, Test};
use core::fmt::{self, Write};

/// The place where a guest's tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// The tests run in the kernel (or the demo guest).
    Kernel,
    /// The tests run in a program.
    Userland,
}

impl fmt::Display for Where {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Kernel => "kernel",
            Self::Userland => "userland",
        })
    }
}

/// The answer to `list`: a `# test` line for each test, by name, then `# end
/// list N`.
#[derive(Clone, Debug)]
pub struct Listing<'a> {
    tests: Ordered<'a>,
    place: Where,
    written: usize,
    over: bool,
}

impl<'a> Listing<'a> {
    /// Returns the list of `registry`, whose tests run in `place`.
    ///
    /// # Errors
    /// Fails when a name is registered twice.
    pub fn new(registry: &Registry<'a>, place: Where) -> Result<Self, Refusal> {
        registry.check()?;
        Ok(Self {
            tests: registry.ordered(),
            place,
            written: 0,
            over: false,
        })
    }

    /// Writes the next line. Returns `false` when there is none.
    ///
    /// # Errors
    /// Fails when `out` fails.
    pub fn next_chunk(&mut self, out: &mut dyn Write) -> Result<bool, fmt::Error> {
        if self.over {
            return Ok(false);
        }
        match self.tests.next() {
            Some(test) => {
                self.written += 1;
                write_test(out, test, self.place)?;
            }
            None => {
                self.over = true;
                writeln!(out, "# end list {}", self.written)?;
            }
        }
        Ok(true)
    }
}

fn write_test(out: &mut dyn Write, test: &Test, place: Where) -> fmt::Result {
    let expect = match (test.known_defect(), test.known_crash()) {
        (None, _) => "pass",
        (Some(_), None) => "fail",
        (Some(_), Some(_)) => "crash",
    };
    let default = if test.default { "yes" } else { "no" };
    write!(
        out,
        "# test {} where={place} limit_ms={} expect={expect} default={default}",
        test.name, test.limit_ms
    )?;
    // What every test needs is not repeated for each.
    if test.cpus != ONE_CPU {
        for (nth, cpus) in test.cpus.iter().enumerate() {
            let before = if nth == 0 { " cpus=" } else { "," };
            write!(out, "{before}{cpus}")?;
        }
    }
    if test.mem_mib != 0 {
        write!(out, " mem_mib={}", test.mem_mib)?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::Expect;
    use std::string::String;

    static PLAIN: Test = Test::new("b/plain", || Ok(()));
    static ODD: Test = {
        let mut test = Test::new("a/odd", || Ok(()));
        test.limit_ms = 70;
        test.expect = Expect::Fail("known");
        test.default = false;
        test.cpus = &[1, 4];
        test.mem_mib = 1024;
        test
    };

    static HERE: Test = {
        let mut test = Test::new("c/here", || Ok(()));
        test.expect = Expect::FailOn(|| true, "known");
        test
    };
    static DEADLY: Test = {
        let mut test = Test::new("c/deadly", || Ok(()));
        test.expect = Expect::CrashOn(|| true, "known");
        test
    };
    static ELSEWHERE: Test = {
        let mut test = Test::new("c/elsewhere", || Ok(()));
        test.expect = Expect::FailOn(|| false, "known");
        test
    };

    fn listed(tests: &[&'static Test], place: Where) -> String {
        let mut out = String::new();
        let mut listing = Listing::new(&Registry::new(tests), place).unwrap();
        while listing.next_chunk(&mut out).unwrap() {}
        assert_eq!(listing.next_chunk(&mut out), Ok(false));
        out
    }

    #[test]
    fn an_ambiguous_registry_is_refused() {
        let refusal = Listing::new(&Registry::new(&[&ODD, &ODD]), Where::Kernel).err();
        assert_eq!(refusal, Some(Refusal::Duplicate("a/odd")));
    }

    #[test]
    fn tests_are_listed_by_name() {
        assert_eq!(listed(&[], Where::Kernel), "# end list 0\n");
        assert_eq!(
            listed(&[&PLAIN, &ODD], Where::Kernel),
            "# test a/odd where=kernel limit_ms=70 expect=fail default=no cpus=1,4 mem_mib=1024\n\
             # test b/plain where=kernel limit_ms=5000 expect=pass default=yes\n\
             # end list 2\n"
        );
        assert_eq!(
            listed(&[&PLAIN], Where::Userland),
            "# test b/plain where=userland limit_ms=5000 expect=pass default=yes\n\
             # end list 1\n"
        );
        assert_eq!(
            listed(&[&HERE, &DEADLY, &ELSEWHERE], Where::Userland),
            "# test c/deadly where=userland limit_ms=5000 expect=crash default=yes\n\
             # test c/elsewhere where=userland limit_ms=5000 expect=pass default=yes\n\
             # test c/here where=userland limit_ms=5000 expect=fail default=yes\n\
             # end list 3\n"
        );
    }
}
