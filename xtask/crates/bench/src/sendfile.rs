//! The study `sendfile`: sendfile(2) with SF_KQUEUE against SF_SYNC and
//! write(2), and the cost of the series for calls without a flag. Each test of
//! the guest's suite `bench` measures one configuration.

mod profile;

use kdk_core::failure::Failure;
use kdk_guest::request::{GuestRequest, KernelChoice};
use kdk_series::load;
use kdk_series::manifest::Class;

use crate::comparison::Cell::{Number, Text};
use crate::comparison::Figure::{Median, Ratio};
use crate::comparison::{
    ChartSpec, GoalSet, GoalSpec, LineSpec, Metric, Plot, ROW, Study, StudyRequest, Table, Variant,
};
use crate::goal::Bound;
use crate::plot::{Legend, Look};
use crate::samples::{Format, Methods, Sample, Setup, TEST, Words};

/// All tests of the suite.
const SUITE: &str = "bench/*";
/// The test that measures calls without a flag.
const CALLS: &str = "bench/calls";
/// The tests with `--quick`.
const QUICK: [&str; 3] = ["bench/free-64", "bench/rated-64", CALLS];

const KQUEUE: &str = "SF_KQUEUE";
const SYNC: &str = "SF_SYNC";
const WRITE: &str = "write(2)";
/// The kernels, for calls without a flag.
const WITH: &str = "with";
const WITHOUT: &str = "without";

const METHODS: Methods = &[("kqueue", KQUEUE), ("sync", SYNC), ("write", WRITE)];
const MIB: f64 = 1048576.0;

/// A method, measured once. Times are in nanoseconds.
static RUN: Format = Format {
    label: "run",
    keys: &[
        // Bytes that readers have read, and how long that took.
        "bytes", "ns",      // Time in which the processor had nothing to do.
        "idle",    // Processor time of the workers.
        "workers", // Calls that send, and calls of kevent(2).
        "sends", "waits",
        // Buffers that could be used again, and the time from the start of
        // their sending until then: the median and the 99th percentile.
        "buffers", "p50", "p99",
    ],
    setup: Some(Setup {
        label: "setup",
        // A rate of 0 stands for readers that are not throttled.
        keys: &[
            ("rate", "rate"),
            ("sockets", "sockets"),
            ("chunk", "chunk"),
            ("workers", "senders"),
        ],
        describe,
    }),
    methods: METHODS,
};

/// Calls without a flag, in ticks of the guest's counter.
static CALL: Format = Format {
    label: "calls",
    keys: &["length", "median"],
    setup: None,
    methods: &[],
};

static BYTES: Metric = Metric::new(|run| Some(run.get("bytes") * 1e9 / run.get("ns").max(1.0)));
static MIBS: Metric = Metric::new(|run| (BYTES.of)(run).map(|bytes| bytes / MIB));
/// The processor time of the machine for a byte.
static CPU: Metric = Metric::clocked(|run| {
    let busy = run.int("ns").saturating_sub(run.int("idle"));
    Some(busy as f64 / run.get("bytes").max(1.0))
});
/// The processor time of the workers for a byte.
static WORKER: Metric = Metric::clocked(|run| Some(run.get("workers") / run.get("bytes").max(1.0)));
/// The workers' calls for a MiB, kevent(2) included.
static CALLS_PER_MIB: Metric = Metric::new(|run| {
    let calls = run.get("sends") + run.get("waits");
    Some(calls * MIB / run.get("bytes").max(1.0))
});
static P50: Metric = Metric::new(|run| Some(run.get("p50") / 1e6));
static P99: Metric = Metric::new(|run| Some(run.get("p99") / 1e6));
static BUFFERS: Metric = Metric::new(|run| Some(run.get("buffers")));
static CALL_TIME: Metric = Metric::clocked(|calls| Some(calls.get("median")));

/// The study of sendfile(2)'s notification.
pub static STUDY: Study = Study {
    name: "sendfile",
    base: None,
    kernels: &[
        Variant {
            name: WITH,
            about: "",
            edit: |guest, _| {
                guest.kernel = KernelChoice::Bench;
                Ok(())
            },
            tests: patterns,
        },
        Variant {
            name: WITHOUT,
            about: "",
            edit: enabling_only,
            tests: |_| vec![CALLS.into()],
        },
    ],
    format: |test| if test == CALLS { &CALL } else { &RUN },
    caption: "; medians of 3 rounds",
    intro: &[""],
    units: &[("unit", "ns", "insn"), ("long", "ns", "instructions")],
    tables: &[
        Table {
            title: "",
            label: "run",
            cases: &[TEST],
            variants: &[KQUEUE, SYNC, WRITE],
            columns: &[
                ("test", Text("{test}")),
                ("method", Text("{variant}")),
                ("MiB/s", Number(Median((&MIBS, ROW)), 2)),
                ("ratio", Number(Ratio((&BYTES, KQUEUE), (&BYTES, ROW)), 2)),
                ("{unit}/byte", Number(Median((&CPU, ROW)), 3)),
                ("ratio", Number(Ratio((&CPU, KQUEUE), (&CPU, ROW)), 2)),
                ("worker's", Number(Median((&WORKER, ROW)), 3)),
                ("calls/MiB", Number(Median((&CALLS_PER_MIB, ROW)), 1)),
                ("reuse p50 ms", Number(Median((&P50, ROW)), 3)),
                ("p99 ms", Number(Median((&P99, ROW)), 3)),
                ("buffers", Number(Median((&BUFFERS, ROW)), 0)),
            ],
        },
        Table {
            title: "sendfile(2) without a flag, {long} a call (median); without: {patches}",
            label: "calls",
            cases: &["length"],
            variants: &[],
            columns: &[
                ("bytes", Text("{length}")),
                ("without", Number(Median((&CALL_TIME, WITHOUT)), 0)),
                ("with", Number(Median((&CALL_TIME, WITH)), 0)),
                ("ratio", Number(CALL_RATIO, 4)),
            ],
        },
    ],
    goals: &[
        GoalSet {
            label: "run",
            cases: &[TEST],
            goals: &[
                // A slow client must not delay the others.
                GoalSpec::new(
                    "{test}: throughput, SF_KQUEUE to SF_SYNC",
                    Ratio((&BYTES, KQUEUE), (&BYTES, SYNC)),
                    Bound::AtLeast(8.0),
                )
                .when(|run| rated(run) && run.int("sockets") == 64 && one_worker(run)),
                GoalSpec::new(
                    "{test}: CPU per byte, SF_KQUEUE to SF_SYNC",
                    Ratio((&CPU, KQUEUE), (&CPU, SYNC)),
                    Bound::AtMost(1.0),
                )
                .when(free),
                // From this size on a copy has to cost more.
                GoalSpec::new(
                    "{test}: CPU per byte, SF_KQUEUE to write(2)",
                    Ratio((&CPU, KQUEUE), (&CPU, WRITE)),
                    Bound::Below(1.0),
                )
                .when(|run| free(run) && run.int("chunk") >= 64 << 10),
            ],
        },
        GoalSet {
            label: "calls",
            cases: &["length"],
            // Programs that do not use the flag must not pay for it.
            goals: &[GoalSpec::new(
                "sendfile(2) of {length} bytes without the flag, with the series to without",
                CALL_RATIO,
                Bound::AtMost(1.01),
            )],
        },
    ],
    plot: Plot {
        title: "sendfile(2) from shared memory: SF_KQUEUE, SF_SYNC, and write(2)",
        size: (1500, 1060),
        columns: |_| 2,
        // Results of four workers are in the table only.
        charts: &[
            ChartSpec {
                title: "Readers rate-limited: throughput",
                when: |run| rated(run) && by_sockets(run),
                axes: (SOCKETS, "MiB/s"),
                lines: &lines(&MIBS),
                ..CHART
            },
            ChartSpec {
                title: "Readers unthrottled: throughput",
                when: |run| free(run) && by_sockets(run),
                axes: (SOCKETS, "MiB/s"),
                lines: &lines(&MIBS),
                ..CHART
            },
            ChartSpec {
                title: "Readers unthrottled, 64 sockets: CPU",
                when: |run| free(run) && one_worker(run) && run.int("sockets") == 64,
                x: ("chunk", 1024.0),
                axes: ("KiB of a buffer", "{long} per byte, whole machine"),
                lines: &lines(&CPU),
                ..CHART
            },
            ChartSpec {
                title: "Readers rate-limited: until a buffer can be used again",
                when: |run| rated(run) && by_sockets(run),
                axes: (SOCKETS, "ms"),
                lines: &[
                    LineSpec::new("SF_KQUEUE, median", (&P50, KQUEUE), Look::Subject),
                    LineSpec::new("SF_SYNC, median", (&P50, SYNC), Look::Rival),
                    LineSpec::new("write(2), median", (&P50, WRITE), Look::Other),
                    LineSpec::hollow("SF_KQUEUE, 99 %", (&P99, KQUEUE), Look::Subject),
                    LineSpec::hollow("SF_SYNC, 99 %", (&P99, SYNC), Look::Rival),
                    LineSpec::hollow("write(2), 99 %", (&P99, WRITE), Look::Other),
                ],
                ..CHART
            },
        ],
    },
    explain: Some(profile::explain),
};

const CALL_RATIO: crate::comparison::Figure = Ratio((&CALL_TIME, WITH), (&CALL_TIME, WITHOUT));

const SOCKETS: &str = "sockets of one worker";

/// What the charts share.
const CHART: ChartSpec = ChartSpec {
    title: "",
    label: "run",
    when: |_| true,
    cases: &[],
    x: ("sockets", 1.0),
    axes: ("", ""),
    legend: Legend::Top,
    lines: &[],
};

const fn lines(metric: &'static Metric) -> [LineSpec; 3] {
    [
        LineSpec::new(KQUEUE, (metric, KQUEUE), Look::Subject),
        LineSpec::new(SYNC, (metric, SYNC), Look::Rival),
        LineSpec::new(WRITE, (metric, WRITE), Look::Other),
    ]
}

fn rated(run: &Sample) -> bool {
    run.int("rate") > 0
}

fn free(run: &Sample) -> bool {
    !rated(run)
}

fn one_worker(run: &Sample) -> bool {
    run.int("senders") == 1
}

/// Reports whether a configuration differs from others in the sockets only.
fn by_sockets(run: &Sample) -> bool {
    let ends = ["-1", "-64", "-1024"];
    one_worker(run) && ends.iter().any(|end| run.test.ends_with(end))
}

/// Returns the patterns of the tests.
fn patterns(request: &StudyRequest) -> Vec<String> {
    match (request.quick, request.tests.as_slice()) {
        (true, _) => QUICK.map(str::to_owned).to_vec(),
        (false, []) => vec![SUITE.into()],
        (false, tests) => [tests, &[CALLS.into()]].concat(),
    }
}

/// Excludes all patches except those that let the kernel boot in the same way.
fn enabling_only(guest: &mut GuestRequest, base: &str) -> Result<(), Failure> {
    let series = load::must(base)?;
    let patches = series.manifest.patches.iter();
    let others = patches.filter(|patch| patch.class != Class::Enabling);
    guest.exclude = others.map(|patch| patch.id.clone()).collect();
    guest.kernel = KernelChoice::Bench;
    Ok(())
}

/// Describes a configuration.
fn describe(setup: &Words<'_>) -> Result<String, String> {
    let number = |key| setup.number(key);
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let (sockets, workers, kib) = (
        number("sockets")?,
        number("workers")?,
        number("chunk")? >> 10,
    );
    let segment = match (workers, setup.text("segment")?) {
        (..=1, _) => "",
        (_, "own") => ", a segment each",
        _ => ", one segment for all",
    };
    let locked = match (workers, setup.text("locked")?) {
        (2.., "true") => ", locked",
        _ => "",
    };
    let readers = match (setup.text("pace")?, number("rate")?) {
        ("free", _) => "readers unthrottled".to_owned(),
        ("rated", rate) => format!("readers at {} KiB/s a socket", rate >> 10),
        (other, _) => return Err(format!("pace={other} is unknown")),
    };
    Ok(format!(
        "{sockets} socket{} on {workers} worker{}, buffers of {kib} KiB{segment}{locked}, {readers}",
        plural(sockets),
        plural(workers),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::render::tests::{charts, goals, tables};
    use crate::samples::tests::sample;

    const SETUP: &str =
        "setup: pace=rated rate=65536 sockets=64 chunk=16384 workers=1 segment=own locked=false\n";

    /// Returns samples of a configuration `(rate, sockets, chunk, workers)`:
    /// the methods' bytes in a second that was half idle, in each round.
    fn case(test: &str, setup: (u64, u64, u64, u64), rounds: &[[u64; 3]]) -> Vec<Sample> {
        let (rate, sockets, chunk, senders) = setup;
        let mut samples = Vec::new();
        for round in rounds {
            for (method, bytes) in [KQUEUE, SYNC, WRITE].into_iter().zip(round) {
                let values = [
                    ("bytes", *bytes),
                    ("ns", 1_000_000_000),
                    ("idle", 500_000_000),
                    ("workers", 100_000_000),
                    ("sends", 10),
                    ("waits", 5),
                    ("buffers", 8),
                    ("p50", 2_000_000),
                    ("p99", 9_000_000),
                    ("rate", rate),
                    ("sockets", sockets),
                    ("chunk", chunk),
                    ("senders", senders),
                ];
                samples.push(sample("run", test, method, &values));
            }
        }
        samples
    }

    fn call(kernel: &'static str, length: u64, median: u64) -> Sample {
        let values = [("length", length), ("median", median)];
        sample("calls", CALLS, kernel, &values)
    }

    fn run(method: &str) -> String {
        format!(
            "from: method={method}\nrun: method={method} round=0 bytes=10 ns=20 idle=5 workers=3 \
             reader=4 sends=1 waits=2 buffers=1 p50=7 p99=9\n"
        )
    }

    #[test]
    fn samples_and_configurations_are_read() {
        let detail = format!("{SETUP}{}{}{}", run("kqueue"), run("sync"), run("write"));
        let (samples, about) = RUN.parse("bench/rated-64", WITH, &detail).unwrap();
        assert_eq!(
            about.unwrap(),
            "64 sockets on 1 worker, buffers of 16 KiB, readers at 64 KiB/s a socket"
        );
        assert_eq!(samples.len(), 3);
        let first = &samples[0];
        assert_eq!(first.variant, KQUEUE);
        let of = |key| first.int(key);
        assert_eq!((of("bytes"), of("p99"), of("workers")), (10, 9, 3));
        assert_eq!((of("senders"), of("rate")), (1, 65536));
        let detail = "calls: length=1 calls=500 median=70 sum=35000\n";
        let (calls, _) = CALL.parse(CALLS, WITHOUT, detail).unwrap();
        assert_eq!((calls[0].variant, calls[0].int("median")), (WITHOUT, 70));
        let four = Words::of(
            "pace=free rate=0 sockets=64 chunk=65536 workers=4 segment=shared locked=true",
        );
        assert_eq!(
            describe(&four).unwrap(),
            "64 sockets on 4 workers, buffers of 64 KiB, one segment for all, locked, readers unthrottled"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let kqueue = run("kqueue");
        for (detail, why) in [
            (String::new(), "no line `setup:` was reported"),
            (SETUP.replace("rated", "fast"), "pace=fast is unknown"),
            (SETUP.replace("chunk=16384", ""), "chunk is missing"),
            (SETUP.into(), "SF_KQUEUE was not measured"),
            (format!("{SETUP}{kqueue}"), "SF_SYNC was not measured"),
            (
                format!("{SETUP}{}", kqueue.replace("bytes=10", "bytes=x")),
                "bytes=x is not a number",
            ),
            (
                format!("{SETUP}{}", kqueue.replace("=kqueue", "=splice")),
                "method=splice is unknown",
            ),
        ] {
            assert_eq!(RUN.parse("a/b", WITH, &detail).unwrap_err(), why);
        }
    }

    #[test]
    fn the_tables() {
        let rounds = [[80_000_000, 10_000_000, 90_000_000]; 3];
        let mut samples = case("bench/free-64", (0, 64, 64 << 10, 1), &rounds);
        for (kernel, median) in [(WITH, 80_800), (WITHOUT, 80_000)] {
            samples.extend([call(kernel, 1, median), call(kernel, 4096, 90_000)]);
        }
        insta::assert_snapshot!(tables(&STUDY, &samples));
    }

    #[test]
    fn the_goals() {
        let free = |chunk: u64| (0, 64, chunk << 10, 1);
        let samples = [
            case("bench/rated", (1, 64, 16 << 10, 1), &[[800, 100, 900]]),
            case("bench/starved", (1, 64, 16 << 10, 1), &[[799, 100, 900]]),
            case("bench/four", (1, 64, 16 << 10, 4), &[[1, 1, 1]]),
            case("bench/16k", free(16), &[[100, 100, 200]]),
            case("bench/64k", free(64), &[[100, 101, 100]]),
            case("bench/256k", free(256), &[[101, 100, 100]]),
        ];
        insta::assert_snapshot!(goals(&STUDY, &samples.concat()));
    }

    #[test]
    fn a_call_without_the_flag_may_cost_a_hundredth_more() {
        for (with, without, reached) in [
            (1010, 1000, true),
            (1011, 1000, false),
            (900, 1000, true),
            (0, 0, true),
        ] {
            let samples = [call(WITH, 1, with), call(WITHOUT, 1, without)];
            let goals = STUDY.goals(&samples);
            assert_eq!(goals.len(), 1);
            assert_eq!(goals[0].reached(), reached, "{with} {without}");
        }
    }

    #[test]
    fn the_charts() {
        let rounds = [[8_000_000, 1_000_000, 9_000_000]];
        let cases = [
            case("bench/free-64", (0, 64, 64 << 10, 1), &rounds),
            case("bench/free-64-4k", (0, 64, 4 << 10, 1), &rounds),
            case("bench/free-64-own", (0, 64, 64 << 10, 4), &rounds),
            case("bench/rated-1024", (1, 1024, 16 << 10, 1), &rounds),
            case("bench/rated-64", (1, 64, 16 << 10, 1), &rounds),
        ];
        insta::assert_snapshot!(charts(&STUDY, &cases.concat()));
    }
}
