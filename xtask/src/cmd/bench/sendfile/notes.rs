//! What the guest's suite `bench` has noted. Pure.

use std::fmt;

use crate::cmd::bench::notes::{Words, all, notes};

/// A way to send what is in a program's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// sendfile(2) with SF_KQUEUE.
    Kqueue,
    /// sendfile(2) with SF_SYNC.
    Sync,
    /// write(2).
    Write,
}

impl Method {
    /// All, the one that is judged first.
    pub const ALL: [Self; 3] = [Self::Kqueue, Self::Sync, Self::Write];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kqueue => "SF_KQUEUE",
            Self::Sync => "SF_SYNC",
            Self::Write => "write(2)",
        }
    }

    /// The method that a note names.
    pub fn of_note(text: &str) -> Option<Self> {
        let (_, words) = text.split_once(": ")?;
        method(&Words::of(words)).ok()
    }
}

/// How readers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// As fast as they can.
    Free,
    /// Each socket at so many bytes a second.
    Rated(u64),
}

/// A configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// How readers read.
    pub pace: Pace,
    /// Sockets of all workers together.
    pub sockets: u64,
    /// Bytes of a buffer.
    pub chunk: u64,
    /// Processes that send.
    pub workers: u64,
    /// `own` or `shared`.
    pub segment: String,
    /// Whether the memory is locked.
    pub locked: bool,
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let (sockets, workers) = (self.sockets, self.workers);
        let kib = self.chunk >> 10;
        write!(
            f,
            "{sockets} socket{} on {workers} worker{}",
            plural(sockets),
            plural(workers)
        )?;
        write!(f, ", buffers of {kib} KiB")?;
        if self.workers > 1 {
            let segment = match self.segment.as_str() {
                "own" => "a segment each",
                _ => "one segment for all",
            };
            let locked = if self.locked { ", locked" } else { "" };
            write!(f, ", {segment}{locked}")?;
        }
        match self.pace {
            Pace::Free => write!(f, ", readers unthrottled"),
            Pace::Rated(rate) => write!(f, ", readers at {} KiB/s a socket", rate >> 10),
        }
    }
}

/// One method, measured once. Times are in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Which.
    pub method: Method,
    /// Bytes that readers have read.
    pub bytes: u64,
    /// How long that took.
    pub ns: u64,
    /// How long the processor had nothing to do.
    pub idle: u64,
    /// Processor time of the workers.
    pub workers: u64,
    /// Calls that send.
    pub sends: u64,
    /// Calls of kevent(2).
    pub waits: u64,
    /// Buffers that could be used again.
    pub buffers: u64,
    /// From the beginning of a buffer's sending until it could be used again,
    /// the median.
    pub p50: u64,
    /// The 99th percentile.
    pub p99: u64,
}

/// One configuration, measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The test's name.
    pub name: String,
    /// The configuration.
    pub setup: Setup,
    /// What was measured, in that order.
    pub runs: Vec<Run>,
}

/// sendfile(2) without a flag; times in ticks of the guest's counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls {
    /// Bytes of a call.
    pub length: u64,
    /// The median of the calls' times.
    pub median: u64,
    /// The sum of all.
    pub sum: u64,
}

/// What a test of a configuration has noted.
///
/// # Errors
/// In words, what is missing or cannot be read.
pub fn case(name: &str, detail: &str) -> Result<Case, String> {
    let setup = notes(detail, "setup").next().ok_or("no setup was noted")?;
    let pace = match (setup.text("pace")?, setup.number("rate")?) {
        ("free", _) => Pace::Free,
        ("rated", rate) => Pace::Rated(rate),
        (other, _) => return Err(format!("pace={other}: there is no such pace")),
    };
    let setup = Setup {
        pace,
        sockets: setup.number("sockets")?,
        chunk: setup.number("chunk")?,
        workers: setup.number("workers")?,
        segment: setup.text("segment")?.to_owned(),
        locked: setup.text("locked")? == "true",
    };
    let runs = notes(detail, "run").map(|run| {
        Ok(Run {
            method: method(&run)?,
            bytes: run.number("bytes")?,
            ns: run.number("ns")?,
            idle: run.number("idle")?,
            workers: run.number("workers")?,
            sends: run.number("sends")?,
            waits: run.number("waits")?,
            buffers: run.number("buffers")?,
            p50: run.number("p50")?,
            p99: run.number("p99")?,
        })
    });
    let runs = runs.collect::<Result<Vec<_>, String>>()?;
    for method in Method::ALL {
        if !runs.iter().any(|run| run.method == method) {
            return Err(format!("{} was not measured", method.name()));
        }
    }
    let name = name.to_owned();
    Ok(Case { name, setup, runs })
}

/// What the test of calls without a flag has noted.
///
/// # Errors
/// In words, what is missing or cannot be read.
pub fn calls(detail: &str) -> Result<Vec<Calls>, String> {
    all(detail, "calls", "no calls were noted", |note| {
        Ok(Calls {
            length: note.number("length")?,
            median: note.number("median")?,
            sum: note.number("sum")?,
        })
    })
}

fn method(words: &Words<'_>) -> Result<Method, String> {
    match words.text("method")? {
        "kqueue" => Ok(Method::Kqueue),
        "sync" => Ok(Method::Sync),
        "write" => Ok(Method::Write),
        other => Err(format!("method={other}: there is no such method")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETUP: &str =
        "setup: pace=rated rate=65536 sockets=64 chunk=16384 workers=1 segment=own locked=false\n";

    fn run(method: &str) -> String {
        format!(
            "from: method={method}\nrun: method={method} round=0 bytes=10 ns=20 idle=5 workers=3 \
             reader=4 sends=1 waits=2 buffers=1 p50=7 p99=9\n"
        )
    }

    #[test]
    fn what_was_noted_is_read() {
        let detail = format!("{SETUP}{}{}{}", run("kqueue"), run("sync"), run("write"));
        let case = case("bench/rated-64", &detail).unwrap();
        assert_eq!(
            case.setup.to_string(),
            "64 sockets on 1 worker, buffers of 16 KiB, readers at 64 KiB/s a socket"
        );
        assert_eq!(case.runs.len(), 3);
        let first = &case.runs[0];
        assert_eq!(
            (first.method, first.bytes, first.p99),
            (Method::Kqueue, 10, 9)
        );
        let calls = calls("calls: length=1 calls=500 median=70 sum=35000\n").unwrap();
        assert_eq!(
            calls,
            [Calls {
                length: 1,
                median: 70,
                sum: 35000
            }]
        );
        assert_eq!(Method::of_note("from: method=sync"), Some(Method::Sync));
    }

    #[test]
    fn what_is_missing_is_said() {
        let kqueue = run("kqueue");
        for (detail, why) in [
            (String::new(), "no setup was noted"),
            ("setup: pace=free".into(), "rate was not noted"),
            (
                SETUP.replace("rated", "fast"),
                "pace=fast: there is no such pace",
            ),
            (SETUP.into(), "SF_KQUEUE was not measured"),
            (format!("{SETUP}{kqueue}"), "SF_SYNC was not measured"),
            (
                format!("{SETUP}{}", kqueue.replace("bytes=10", "bytes=x")),
                "bytes=x is no number",
            ),
            (
                format!("{SETUP}{}", kqueue.replace("=kqueue", "=splice")),
                "method=splice: there is no such method",
            ),
        ] {
            assert_eq!(case("a/b", &detail).unwrap_err(), why);
        }
        assert_eq!(calls("").unwrap_err(), "no calls were noted");
        assert_eq!(Method::of_note("run"), None);
    }
}
