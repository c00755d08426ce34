//! The study `flowtable`: the cost of finding the buckets in use when flows
//! expire, with the series, with the tree without it, and with the algorithm of
//! FreeBSD 10.0. Each test of kdk.ko measures one size of the table.

use kdk_core::workspace::workspace;

use crate::comparison::Cell::{Number, Text};
use crate::comparison::Figure::{Exponent, Growth, Median, Ratio, Sum};
use crate::comparison::{
    ChartSpec, GoalSet, GoalSpec, LineSpec, Metric, Plot, ROW, Study, StudyRequest, Table, Variant,
};
use crate::goal::Bound;
use crate::plot::{Legend, Look};
use crate::samples::{Format, Sample};

/// The start of the tests' names; the number of buckets follows.
const TEST: &str = "flowtable/bench-expiry-";
/// The patch with the new walk.
const WALK: &str = "flowtable-expiry-walk";
/// The diff that changes the tree's algorithm to that of FreeBSD 10.0.
const BIT_AT_A_TIME: &str = "userland-tests/suites/flowtable/bench/head-2014/bit-at-a-time.patch";
/// The sizes are powers of two, from the first to the last of these.
const FIRST: u32 = 8;
const LAST: u32 = 18;
/// The last size with `--quick`.
const QUICK: u32 = 12;
/// The last size of the quadratic algorithm: two sizes more take sixteen times
/// as long.
const QUADRATIC: u32 = 16;

const SERIES: &str = "series";
const OLD: &str = "10.0";
const TREE: &str = "tree";

/// A walk over the buckets in use, of which none has anything to expire.
static FORMAT: Format = Format {
    label: "walk",
    keys: &[
        "size", "percent", "set", "visited", "visits", "bytes", "ticks",
    ],
    setup: None,
    methods: &[],
};

/// The buckets in use.
static SET: Metric = Metric::new(|walk| Some(walk.get("set")));
/// The buckets in use that were visited.
static VISITED: Metric = Metric::new(|walk| Some(walk.get("visited")));
/// The words of the mask that were read, of 32 bits.
static WORDS: Metric = Metric::new(|walk| Some(words(walk)));
static WORDS_PER_BUCKET: Metric = Metric::new(|walk| Some(words(walk) / walk.get("set").max(1.0)));
/// Buckets that were left out, and visits that were too many or too few.
static WRONG: Metric = Metric::new(|walk| {
    let [set, visits, visited] = ["set", "visits", "visited"].map(|key| walk.int(key));
    Some((visits.abs_diff(set) + set.abs_diff(visited)) as f64)
});
static TIME: Metric = Metric::clocked(|walk| Some(walk.get("ticks")));
static TIME_PER_BUCKET: Metric =
    Metric::clocked(|walk| Some(walk.get("ticks") / walk.get("set").max(1.0)));

fn words(walk: &Sample) -> f64 {
    walk.get("bytes") / 4.0
}

/// The study of the flowtable's expiry.
pub static STUDY: Study = Study {
    name: "flowtable",
    base: Some("head-2014"),
    kernels: &[
        Variant {
            name: SERIES,
            about: "a word of the mask at a time, from the last bucket on",
            edit: |_, _| Ok(()),
            tests: |request| tests(request, LAST),
        },
        Variant {
            name: OLD,
            about: "the algorithm of FreeBSD 10.0: a bit at a time, each looked for from the first byte on; \
                    quadratic, so it is measured up to 65536 buckets only",
            edit: |guest, _| {
                guest.exclude.push(WALK.into());
                guest.patch.push(workspace().join(BIT_AT_A_TIME));
                Ok(())
            },
            tests: |request| tests(request, QUADRATIC),
        },
        Variant {
            name: TREE,
            about: "the base without flowtable-expiry-walk: a bit at a time in a copy, whose position it takes for \
                    the bucket; it visits wrong buckets repeatedly and skips others, so its time is not comparable",
            edit: |guest, _| {
                guest.exclude.push(WALK.into());
                Ok(())
            },
            tests: |request| tests(request, LAST),
        },
    ],
    format: |_| &FORMAT,
    caption: "",
    intro: &[
        "one walk over a CPU's buckets in use, a flow in each, none of them stale; medians of 5, long walks once",
    ],
    units: &[
        ("unit", "ticks", "insn"),
        ("long", "ticks of the processor's counter", "instructions"),
    ],
    tables: &[
        Table {
            title: "",
            label: "walk",
            cases: &["percent", "size"],
            variants: &[],
            columns: &[
                ("in use", Text("{percent} %")),
                ("buckets", Text("{size}")),
                ("set", Number(Median((&SET, SERIES)), 0)),
                ("series: visited", Number(Median((&VISITED, SERIES)), 0)),
                ("words", Number(Median((&WORDS, SERIES)), 0)),
                ("{unit}", Number(Median((&TIME, SERIES)), 0)),
                ("10.0: visited", Number(Median((&VISITED, OLD)), 0)),
                ("words", Number(Median((&WORDS, OLD)), 0)),
                ("{unit}", Number(Median((&TIME, OLD)), 0)),
                ("tree: visited", Number(Median((&VISITED, TREE)), 0)),
                ("words", Number(Median((&WORDS, TREE)), 0)),
                ("{unit}", Number(Median((&TIME, TREE)), 0)),
                (
                    "series: {unit}/set",
                    Number(Median((&TIME_PER_BUCKET, SERIES)), 1),
                ),
                (
                    "10.0/series",
                    Number(Ratio((&TIME, OLD), (&TIME, SERIES)), 1),
                ),
            ],
        },
        Table {
            title: "fitted exponents in the table's size at a fixed occupancy",
            label: "walk",
            cases: &["percent"],
            variants: &[SERIES, OLD, TREE],
            columns: &[
                ("in use", Text("{percent} %")),
                ("algorithm", Text("{variant}")),
                ("time", Number(Exponent((&TIME, ROW), "size"), 3)),
                ("words read", Number(Exponent((&WORDS, ROW), "size"), 3)),
                ("sizes", Text("{count} of {size} to {size.last}")),
            ],
        },
    ],
    goals: &[
        GoalSet {
            label: "walk",
            cases: &["percent"],
            goals: &[
                GoalSpec::new(
                    "exponent of the time in the table's size, {percent} % in use",
                    Exponent((&TIME, SERIES), "size"),
                    Bound::Near(1.0, 0.05),
                ),
                GoalSpec::new(
                    "time a bucket in use, {size.last} buckets to {size}, {percent} % in use",
                    Growth((&TIME_PER_BUCKET, SERIES), "size"),
                    CONSTANT,
                ),
                GoalSpec::new(
                    "mask words read a bucket in use, {size.last} buckets to {size}, {percent} % in use",
                    Growth((&WORDS_PER_BUCKET, SERIES), "size"),
                    CONSTANT,
                ),
            ],
        },
        GoalSet {
            label: "walk",
            cases: &[],
            goals: &[
                // An algorithm that skips work is not faster.
                GoalSpec::new(
                    "buckets left out, and visits too many or too few, all walks of the series",
                    Sum((&WRONG, SERIES)),
                    Bound::Exactly(0.0),
                ),
                GoalSpec::new(
                    "time, 10.0 to the series, 65536 buckets, all in use",
                    Ratio((&TIME, OLD), (&TIME, SERIES)),
                    Bound::AtLeast(50.0),
                )
                .when(|walk| (walk.int("size"), walk.int("percent")) == (1 << QUADRATIC, 100)),
            ],
        },
    ],
    plot: Plot {
        title: "flowtable: a walk over the buckets in use, nothing stale",
        size: (2320, 1120),
        // An occupancy a column: time above, words read below.
        columns: |charts| charts / 2,
        charts: &[
            ChartSpec {
                title: "Time, {percent} % of the buckets in use",
                axes: ("buckets of the table", "{long}"),
                lines: &[
                    LineSpec::new("series", (&TIME, SERIES), Look::Subject),
                    LineSpec::new("FreeBSD 10.0", (&TIME, OLD), Look::Rival),
                    LineSpec::hollow("tree (leaves buckets out)", (&TIME, TREE), Look::Other),
                ],
                ..CHART
            },
            ChartSpec {
                title: "Mask read, {percent} % of the buckets in use",
                axes: ("buckets of the table", "words of the mask, 32 bits each"),
                lines: &[
                    LineSpec::new("series", (&WORDS, SERIES), Look::Subject),
                    LineSpec::new("FreeBSD 10.0", (&WORDS, OLD), Look::Rival),
                    LineSpec::hollow("tree (leaves buckets out)", (&WORDS, TREE), Look::Other),
                ],
                ..CHART
            },
        ],
    },
    explain: None,
};

/// The work for a bucket of the largest table, to that of the smallest.
const CONSTANT: Bound = Bound::Between(1.0 / 1.25, 1.25);

/// What both charts share.
const CHART: ChartSpec = ChartSpec {
    title: "",
    label: "walk",
    when: |_| true,
    cases: &["percent"],
    x: ("size", 1.0),
    axes: ("", ""),
    legend: Legend::Top,
    lines: &[],
};

/// Returns the tests of the sizes up to 2 to the power of `last`.
fn tests(request: &StudyRequest, last: u32) -> Vec<String> {
    let last = if request.quick { QUICK } else { last };
    let size = |power: u32| format!("{TEST}{}", 1_u64 << power);
    (FIRST..=last).map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::render::tests::{charts, goals, tables};
    use crate::samples::tests::sample;
    use kdk_guest::request::GuestRequest;

    /// Returns walks over tables of 256 to 65536 buckets, half and all in use.
    fn walks() -> Vec<Sample> {
        let mut walks = Vec::new();
        for algorithm in [SERIES, OLD, TREE] {
            for size in [256_u64, 4096, 65536] {
                for percent in [50, 100] {
                    let set = size * percent / 100;
                    let bytes = match algorithm {
                        SERIES => size / 8 + set * 4,
                        OLD => set * size / 16,
                        _ => size / 8 + 9,
                    };
                    let values = [
                        ("size", size),
                        ("percent", percent),
                        ("set", set),
                        ("visited", if algorithm == TREE { 9 } else { set }),
                        ("visits", set),
                        ("bytes", bytes),
                        ("ticks", bytes * 16 + 400),
                    ];
                    walks.push(sample("walk", "a/b", algorithm, &values));
                }
            }
        }
        walks
    }

    #[test]
    fn each_algorithm_has_its_kernel_and_its_sizes() {
        let lines: Vec<String> = STUDY
            .kernels
            .iter()
            .map(|kernel| {
                let mut guest = GuestRequest::default();
                (kernel.edit)(&mut guest, "head-2014").unwrap();
                assert!(guest.patch.iter().all(|path| path.is_file()));
                let files = guest.patch.iter().filter_map(|path| path.file_name());
                let tests = |quick| {
                    (kernel.tests)(&StudyRequest {
                        quick,
                        ..StudyRequest::default()
                    })
                };
                let all = tests(false);
                format!(
                    "{}: without {:?}, with {:?}, {} to {}, quick to {}",
                    kernel.name,
                    guest.exclude,
                    files.collect::<Vec<_>>(),
                    all[0],
                    all[all.len() - 1],
                    tests(true)[4],
                )
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn the_tables() {
        let mut walks = walks();
        walks.retain(|walk| walk.variant != OLD || walk.int("size") < 65536);
        insta::assert_snapshot!(tables(&STUDY, &walks));
    }

    #[test]
    fn the_goals() {
        insta::assert_snapshot!(goals(&STUDY, &walks()));
        assert!(goals(&STUDY, &[]).is_empty());
    }

    #[test]
    fn each_goal_can_be_missed() {
        let mut walks = walks();
        walks.retain(|walk| walk.int("percent") == 100);
        for walk in &mut walks {
            // The quadratic algorithm takes the place of the series, and it
            // skips a bucket.
            walk.variant = if walk.variant == OLD { SERIES } else { OLD };
            if walk.int("size") == 4096 {
                *walk.values.get_mut("visited").unwrap() -= 1;
            }
        }
        insta::assert_snapshot!(goals(&STUDY, &walks));
    }

    #[test]
    fn the_charts() {
        insta::assert_snapshot!(charts(&STUDY, &walks()));
        assert_eq!(charts(&STUDY, &[]), "1 columns");
    }
}
