//! Parses the lines of the result channel, protocol version 2: the guest's
//! hello, its list of tests, and the lines around a KTAP document.

pub use kdk_harness::is_valid_name;
use std::time::Duration;

use kdk_harness::{MAX_CPUS, ONE_CPU};
use serde::{Deserialize, Serialize};

use crate::verdict::Where;

/// The version of the protocol that this host supports.
pub const VERSION: u32 = 2;

/// The kind of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Guest {
    /// A FreeBSD kernel with kdk's init.
    Freebsd,
    /// The demo guest. No FreeBSD kernel is tested.
    Demo,
}

/// The state of the test module in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kmod {
    /// The module is loaded, with this version.
    Loaded(String),
    /// The guest has no module.
    None,
    /// The kernel refused the module with this errno.
    Refused(i32),
}

/// The guest's first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The kind of the guest.
    pub guest: Guest,
    /// The `__FreeBSD_version` of the running kernel, or none for the demo
    /// guest.
    pub osreldate: Option<u32>,
    /// The test module.
    pub kmod: Kmod,
    /// The output of `uname -v`, or the demo guest's description.
    pub uname: String,
}

/// The reason why a hello is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// The guest has another version of the protocol.
    #[error("the guest has protocol version {found}, and this host has {VERSION}")]
    Version {
        /// The guest's version.
        found: String,
    },
    /// The hello cannot be parsed.
    #[error("the guest's hello is damaged: {what}")]
    Damaged {
        /// What is wrong with it.
        what: String,
    },
}

/// The expected result of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// The test passes.
    Pass,
    /// The test fails, or does not end, because of a known defect.
    Fail,
    /// The test fails, or ends the kernel.
    Crash,
}

/// A test as the guest lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestEntry {
    /// The name, `suite/case`.
    pub name: String,
    /// Where it runs.
    #[serde(rename = "where")]
    pub where_: Where,
    /// The time limit of the test.
    pub limit: Duration,
    /// The expected result.
    pub expect: Expect,
    /// Whether it runs when no test is named.
    pub default: bool,
    /// The numbers of virtual CPUs that it runs on, one or more.
    pub cpus: Vec<u32>,
    /// The memory that its machine has at least, in MiB.
    pub mem_mib: u32,
}

impl TestEntry {
    /// Returns the part of the name before the slash.
    pub fn suite(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}

/// The guest's answer to `resume`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The guest's time of day, since 1970.
    pub time: Duration,
    /// A random number of its own.
    pub random: u64,
    /// How long the work of [`kdk_harness::calibrate`] took, in microseconds;
    /// none if the guest does not measure it.
    pub work_us: Option<u64>,
}

impl Resumed {
    /// Parses what follows `# resumed `.
    pub fn parse(fields: &str) -> Result<Self, String> {
        let wrong = |key| format!("{key} is missing or wrong in {fields:?}");
        let time = field(fields, "time").and_then(|time| {
            let (seconds, nanoseconds) = time.split_once('.')?;
            let nanoseconds = nanoseconds.parse().ok().filter(|n| *n < 1_000_000_000)?;
            Some(Duration::new(seconds.parse().ok()?, nanoseconds))
        });
        let random = field(fields, "random").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        Ok(Self {
            time: time.ok_or_else(|| wrong("time"))?,
            random: random.ok_or_else(|| wrong("random"))?,
            work_us: field(fields, "work_us").and_then(|us| us.parse().ok()),
        })
    }
}

/// One line of the result channel, outside of a KTAP document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A hello, `# kdk-hello ...`, which is to be parsed by [`Hello::parse`].
    Hello(&'a str),
    /// `# test NAME ...`, which is to be parsed by [`TestEntry::parse`].
    Test(&'a str),
    /// The end of the list, `# end list N`.
    EndList(usize),
    /// The start of a test, `# start NAME`.
    Start(&'a str),
    /// The end of a test, `# done N`.
    Done(usize),
    /// A refused command, `# error COMMAND: reason`.
    Error(&'a str),
    /// `# resumed ...`, which is to be parsed by [`Resumed::parse`].
    Resumed(&'a str),
    /// The answer to `quiesce`, `# quiesced`.
    Quiesced,
    /// The answer to `end`, `# bye`.
    Bye,
    /// Any other line.
    Other,
}

impl<'a> Line<'a> {
    /// Parses one line.
    pub fn parse(line: &'a str) -> Self {
        // Firmware may have written to this port before the guest, without
        // ending its line.
        if let Some(at) = line.find(HELLO) {
            return Self::Hello(line[at + HELLO.len()..].trim());
        }
        let Some(rest) = line.strip_prefix("# ") else {
            return Self::Other;
        };
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let rest = rest.trim();
        match word {
            "test" => Self::Test(rest),
            "end" => count(rest.strip_prefix("list ").unwrap_or(""), Self::EndList),
            "start" if !rest.is_empty() => Self::Start(rest),
            "done" => count(rest, Self::Done),
            "error" => Self::Error(rest),
            "resumed" => Self::Resumed(rest),
            "quiesced" if rest.is_empty() => Self::Quiesced,
            "bye" if rest.is_empty() => Self::Bye,
            _ => Self::Other,
        }
    }
}

const HELLO: &str = "# kdk-hello ";

fn count<'a>(text: &str, make: fn(usize) -> Line<'a>) -> Line<'a> {
    text.parse().map_or(Line::Other, make)
}

impl Hello {
    /// Parses what follows `# kdk-hello `.
    pub fn parse(fields: &str) -> Result<Self, HelloError> {
        let version = field(fields, "protocol").ok_or_else(|| damaged("it names no protocol"))?;
        if version.parse() != Ok(VERSION) {
            return Err(HelloError::Version {
                found: version.to_owned(),
            });
        }
        let guest = match field(fields, "guest") {
            Some("freebsd") => Guest::Freebsd,
            Some("demo") => Guest::Demo,
            other => return Err(damaged(format!("it has guest={}", other.unwrap_or("")))),
        };
        let osreldate = field(fields, "osreldate").and_then(|n| n.parse().ok());
        if guest == Guest::Freebsd && osreldate.is_none() {
            return Err(damaged("it names no osreldate"));
        }
        Ok(Self {
            guest,
            osreldate: osreldate.filter(|n| *n != 0),
            kmod: kmod(fields)?,
            uname: uname(fields)?.to_owned(),
        })
    }
}

fn kmod(fields: &str) -> Result<Kmod, HelloError> {
    match field(fields, "kmod") {
        None => Err(damaged("it names no kmod")),
        Some("none") => match field(fields, "kmod-error") {
            None => Ok(Kmod::None),
            Some(errno) => errno
                .parse()
                .map(Kmod::Refused)
                .map_err(|_| damaged(format!("it has kmod-error={errno}"))),
        },
        Some(version) => Ok(Kmod::Loaded(version.to_owned())),
    }
}

fn uname(fields: &str) -> Result<&str, HelloError> {
    fields
        .split_once("uname=")
        .map(|(_, uname)| uname.trim())
        .filter(|uname| !uname.is_empty())
        .ok_or_else(|| damaged("it is cut off before uname"))
}

fn damaged(what: impl Into<String>) -> HelloError {
    HelloError::Damaged { what: what.into() }
}

impl TestEntry {
    /// Parses what follows `# test `. Unknown keys are ignored, for guests of
    /// later versions.
    pub fn parse(fields: &str) -> Result<Self, String> {
        let (name, fields) = fields.split_once(' ').unwrap_or((fields, ""));
        if !is_valid_name(name) {
            return Err(format!("{name:?} is not a test's name"));
        }
        let wrong = |key| format!("{name}: {key} is missing or wrong");
        Ok(Self {
            name: name.to_owned(),
            where_: match field(fields, "where") {
                Some("kernel") => Where::Kernel,
                Some("userland") => Where::Userland,
                _ => return Err(wrong("where")),
            },
            limit: field(fields, "limit_ms")
                .and_then(|ms| ms.parse().ok())
                .filter(|ms| *ms > 0)
                .map(Duration::from_millis)
                .ok_or_else(|| wrong("limit_ms"))?,
            expect: match field(fields, "expect") {
                Some("pass") => Expect::Pass,
                Some("fail") => Expect::Fail,
                Some("crash") => Expect::Crash,
                _ => return Err(wrong("expect")),
            },
            default: match field(fields, "default") {
                Some("yes") => true,
                Some("no") => false,
                _ => return Err(wrong("default")),
            },
            cpus: field(fields, "cpus")
                .map_or(Some(ONE_CPU.to_vec()), cpus)
                .ok_or_else(|| wrong("cpus"))?,
            mem_mib: field(fields, "mem_mib")
                .map_or(Ok(0), str::parse)
                .map_err(|_| wrong("mem_mib"))?,
        })
    }
}

/// Parses numbers of virtual CPUs, such as `1,4`.
fn cpus(list: &str) -> Option<Vec<u32>> {
    let number = |text: &str| {
        let number = text.parse().ok()?;
        (1..=MAX_CPUS).contains(&number).then_some(number)
    };
    list.split(',').map(number).collect()
}

/// Returns the value of `key=` in `fields`. `uname=` takes the rest of the
/// line, so keys after it are ignored.
fn field<'a>(fields: &'a str, key: &str) -> Option<&'a str> {
    fields
        .split(' ')
        .take_while(|word| !word.starts_with("uname="))
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_woken_guest_says_is_read_or_refused() {
        let resumed = |fields| match Line::parse(fields) {
            Line::Resumed(fields) => Resumed::parse(fields).ok(),
            _ => None,
        };
        let want = Resumed {
            time: Duration::new(5, 7),
            random: 0xff,
            work_us: None,
        };
        let measured = Resumed {
            work_us: Some(9000),
            ..want
        };
        for (line, want) in [
            (
                "# resumed time=5.000000007 random=ff work_us=9000",
                Some(measured),
            ),
            ("# resumed time=5.000000007 random=ff", Some(want)),
            ("# resumed time=5 random=ff", None),
            ("# resumed time=5.1000000000 random=ff", None),
            ("# resumed time=5.000000007", None),
            ("# resumed time=5.000000007 random=x", None),
            ("# resumed", None),
        ] {
            assert_eq!(resumed(line), want, "{line}");
        }
    }

    fn hello(line: &str) -> Result<Hello, HelloError> {
        match Line::parse(line) {
            Line::Hello(fields) => Hello::parse(fields),
            other => panic!("not a hello: {other:?}"),
        }
    }

    #[test]
    fn a_guest_of_another_version_is_refused_in_one_clear_line() {
        for (line, text) in [
            (
                "# kdk-hello protocol=3 guest=demo kmod=none uname=x",
                "the guest has protocol version 3, and this host has 2",
            ),
            (
                "# kdk-hello protocol=99999999999999999999 nonsense",
                "the guest has protocol version 99999999999999999999, and this host has 2",
            ),
            (
                "# kdk-hello guest=demo kmod=none uname=x",
                "the guest's hello is damaged: it names no protocol",
            ),
            (
                "# kdk-hello protocol=2 guest=plan9 kmod=none uname=x",
                "the guest's hello is damaged: it has guest=plan9",
            ),
            (
                "# kdk-hello protocol=2 guest=freebsd kmod=none uname=x",
                "the guest's hello is damaged: it names no osreldate",
            ),
            (
                "# kdk-hello protocol=2 guest=freebsd osreldate=1501000 uname=x",
                "the guest's hello is damaged: it names no kmod",
            ),
            (
                "# kdk-hello protocol=2 guest=freebsd osreldate=1501000 kmod=0.1.0 una",
                "the guest's hello is damaged: it is cut off before uname",
            ),
            (
                "# kdk-hello protocol=2 guest=freebsd osreldate=1 kmod=none kmod-error=x uname=x",
                "the guest's hello is damaged: it has kmod-error=x",
            ),
        ] {
            assert_eq!(hello(line).unwrap_err().to_string(), text, "{line}");
        }
    }

    #[test]
    fn a_refused_module_is_distinguished_from_none_and_from_a_loaded_one() {
        let with = |kmod: &str| {
            let line = format!("# kdk-hello protocol=2 guest=freebsd osreldate=1100020 {kmod}");
            hello(&format!("{line} uname=FreeBSD 11.0-CURRENT #0"))
                .unwrap()
                .kmod
        };
        assert_eq!(with("kmod=none kmod-error=8"), Kmod::Refused(8));
        assert_eq!(with("kmod=none"), Kmod::None);
        assert_eq!(with("kmod=0.1.0"), Kmod::Loaded("0.1.0".into()));
    }

    #[test]
    fn uname_may_hold_anything_even_keys() {
        let hello = hello(
            "# kdk-hello protocol=2 guest=freebsd osreldate=1501000 kmod=0.1.0 \
             uname=FreeBSD 15.1 kmod=none kmod-error=3",
        )
        .unwrap();
        assert_eq!(hello.kmod, Kmod::Loaded("0.1.0".into()));
        assert_eq!(hello.uname, "FreeBSD 15.1 kmod=none kmod-error=3");
        assert_eq!(hello.osreldate, Some(1_501_000));
    }

    #[test]
    fn firmware_noise_before_the_hello_is_no_part_of_it() {
        let hello = hello("Shell> # kdk-hello protocol=2 guest=demo kmod=none uname=kdk demo 0.1");
        assert_eq!(hello.unwrap().guest, Guest::Demo);
    }

    #[test]
    fn lines_of_the_channel() {
        for (line, want) in [
            ("# start a/b", Line::Start("a/b")),
            ("# start ", Line::Other),
            ("# done 1", Line::Done(1)),
            ("# done", Line::Other),
            ("# done x", Line::Other),
            ("#done 1", Line::Other),
            ("done 1", Line::Other),
            ("# end list 12", Line::EndList(12)),
            ("# end", Line::Other),
            ("# bye", Line::Bye),
            ("# bye bye", Line::Other),
            ("# error sh: not here", Line::Error("sh: not here")),
            ("# test x", Line::Test("x")),
            ("ok 1 a/b", Line::Other),
            ("", Line::Other),
        ] {
            assert_eq!(Line::parse(line), want, "{line:?}");
        }
    }

    #[test]
    fn a_damaged_test_line_is_refused() {
        let good = "a/b-1 where=kernel limit_ms=5000 expect=fail default=no later=x";
        let entry = TestEntry::parse(good).unwrap();
        assert_eq!(entry.limit, Duration::from_secs(5));
        assert_eq!((entry.expect, entry.default), (Expect::Fail, false));
        assert_eq!(entry.suite(), "a");
        assert_eq!((entry.cpus, entry.mem_mib), (vec![1], 0));
        let large = TestEntry::parse(&format!("{good} cpus=1,4 mem_mib=2048")).unwrap();
        assert_eq!((large.cpus, large.mem_mib), (vec![1, 4], 2048));
        let deadly = TestEntry::parse(&good.replace("=fail", "=crash")).unwrap();
        assert_eq!(deadly.expect, Expect::Crash);
        for bad in [
            "",
            "nosuite where=kernel limit_ms=5000 expect=pass default=yes",
            "A/b where=kernel limit_ms=5000 expect=pass default=yes",
            "a/b/c where=kernel limit_ms=5000 expect=pass default=yes",
            "/b where=kernel limit_ms=5000 expect=pass default=yes",
            "a/b where=moon limit_ms=5000 expect=pass default=yes",
            "a/b where=kernel limit_ms=0 expect=pass default=yes",
            "a/b where=kernel limit_ms=-1 expect=pass default=yes",
            "a/b where=kernel expect=pass default=yes",
            "a/b where=kernel limit_ms=5000 expect=maybe default=yes",
            "a/b where=kernel limit_ms=5000 expect=pass default=",
            "a/b where=kernel limit_ms=5000 expect=pass",
            "a/b where=kernel limit_ms=5000 expect=pass default=yes cpus=",
            "a/b where=kernel limit_ms=5000 expect=pass default=yes cpus=1,",
            "a/b where=kernel limit_ms=5000 expect=pass default=yes cpus=0",
            "a/b where=kernel limit_ms=5000 expect=pass default=yes cpus=65",
            "a/b where=kernel limit_ms=5000 expect=pass default=yes mem_mib=x",
        ] {
            assert!(TestEntry::parse(bad).is_err(), "{bad}");
        }
    }
}
