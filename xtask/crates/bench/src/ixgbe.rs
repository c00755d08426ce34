//! The study `ixgbe`: the cost of a frame between card and stack, and what
//! remains of the other queues' rates when one ring of four is stalled, with
//! the series and without its patches. Each test of kdk.ko measures one size of
//! frames on the software 82599.

use kdk_guest::request::{GuestRequest, KernelChoice};
use kdk_series::load;

use crate::comparison::Cell::{Number, Percent, Text};
use crate::comparison::Figure::{Least, Median, Most, Ratio, Sum};
use crate::comparison::{
    ChartSpec, GoalSet, GoalSpec, LineSpec, Metric, Plot, ROW, Study, StudyRequest, Table, Variant,
};
use crate::goal::Bound;
use crate::plot::{Legend, Look};
use crate::samples::{Format, Sample};

/// The start of the tests' names; the size of the frames follows.
const TEST: &str = "ixgbe/bench-";
/// The sizes of frames in bytes, with the check sequence.
const SIZES: [u32; 6] = [64, 128, 256, 512, 1024, 1518];
/// The sizes with `--quick`.
const QUICK: [u32; 2] = [64, 1518];
/// The patch that lets a full queue drop its frames.
const DROP: &str = "ixgbe-rx-drop";
/// The start of the ids of the driver's patches, and of those of iflib(4).
const PATCHES: [&str; 2] = ["ixgbe-", "iflib-"];
/// The driver makes a queue for each CPU, and four are measured.
const CPUS: u32 = 4;
/// A second in nanoseconds. A tick of the guest's counter is a nanosecond where
/// instructions are counted.
const SECOND: f64 = 1e9;

const SERIES: &str = "series";
const WITHOUT_DROP: &str = "without drop";
const TREE: &str = "tree";

/// Frames that were offered to four queues in turn.
static FORMAT: Format = Format {
    label: "run",
    keys: &[
        // The bytes of a frame with its check sequence.
        "size",
        // 1 if the last queue's ring had no descriptors.
        "stalled",
        // Frames offered to the three other queues; the last one gets a third
        // as many.
        "offered",
        // Frames of the three others that came to the stack.
        "others",
        // Frames of the last queue that came to the stack.
        "own",
        // Frames at the stack that were not the next of their queue.
        "astray",
        // Ticks of the guest's counter in which the frames were offered.
        "offering",
        // Ticks from the interrupts to the last frames at the stack.
        "receiving",
    ],
    setup: None,
    methods: &[],
};

/// The ticks of driver and stack for a frame, if a frame came.
static COST: Metric = Metric {
    clocked: true,
    ..metric(0, cost)
};
/// The frames that a CPU with nothing else to do brings to the stack in 10^9
/// ticks.
static CAPACITY: Metric = metric(0, |run| cost(run).map(|ticks| SECOND / ticks));
static RATE: Metric = metric(0, rate);
static STALLED_RATE: Metric = metric(1, rate);
static SHARE: Metric = metric(0, share);
static STALLED_SHARE: Metric = metric(1, share);
/// Frames that did not come, or not in order.
static WRONG: Metric = metric(0, |run| {
    let offered = run.int("offered");
    let missing = (offered + offered / 3).abs_diff(run.int("others") + run.int("own"));
    Some((run.int("astray") + missing) as f64)
});

/// Returns a metric of the runs with or without a stalled ring.
const fn metric(stalled: u64, of: fn(&Sample) -> Option<f64>) -> Metric {
    Metric {
        when: Some(("stalled", stalled)),
        ..Metric::new(of)
    }
}

fn cost(run: &Sample) -> Option<f64> {
    let frames = run.int("others") + run.int("own");
    (frames > 0).then(|| run.get("receiving") / frames as f64)
}

/// Returns the frames of the three other queues at the stack in 10^9 ticks,
/// under a load that continues as fast as the machine takes it.
fn rate(run: &Sample) -> Option<f64> {
    let ticks = run.get("offering") + run.get("receiving");
    Some(run.get("others") * SECOND / ticks.max(1.0))
}

/// Returns the part of the frames of the three other queues that came to the
/// stack.
fn share(run: &Sample) -> Option<f64> {
    Some(run.get("others") / run.get("offered").max(1.0))
}

/// The study of the driver's receive path.
pub static STUDY: Study = Study {
    name: "ixgbe",
    base: Some("releng-15.1"),
    kernels: &[
        Variant {
            name: SERIES,
            about: "all patches",
            edit: |guest, _| kernel(guest),
            tests,
        },
        Variant {
            name: WITHOUT_DROP,
            about: "the series without ixgbe-rx-drop and the patches that need it",
            edit: |guest, _| {
                guest.exclude.push(DROP.into());
                kernel(guest)
            },
            tests,
        },
        Variant {
            name: TREE,
            about: "the series without all patches of ixgbe and iflib",
            edit: |guest, base| {
                let series = load::must(base)?;
                let ids = series.manifest.patches.iter().map(|patch| &patch.id);
                let of_driver = |id: &&String| PATCHES.iter().any(|start| id.starts_with(start));
                guest.exclude.extend(ids.filter(of_driver).cloned());
                kernel(guest)
            },
            tests,
        },
    ],
    format: |_| &FORMAT,
    caption: "",
    intro: &[
        "a software 82599 with four receive queues, UDP to all in turn; the work of all CPUs together, that of the \
         card's registers included",
    ],
    units: &[
        ("work", "ticks", "insn"),
        ("rate", "frames/Gtick", "frames/s"),
    ],
    tables: &[Table {
        title: "",
        label: "run",
        cases: &["size"],
        variants: &[SERIES, WITHOUT_DROP, TREE],
        columns: &[
            ("bytes", Text("{size}")),
            ("driver", Text("{variant}")),
            ("{work}/frame", Number(Median((&COST, ROW)), 0)),
            ("{rate} a CPU", Number(Median((&CAPACITY, ROW)), 0)),
            ("others: {rate}", Number(Median((&RATE, ROW)), 0)),
            (
                "one stalled: of those offered",
                Percent(Median((&STALLED_SHARE, ROW))),
            ),
            ("{rate}", Number(Median((&STALLED_RATE, ROW)), 0)),
            (
                "ratio",
                Number(Ratio((&STALLED_RATE, ROW), (&RATE, ROW)), 3),
            ),
        ],
    }],
    goals: &[GoalSet {
        label: "run",
        cases: &[],
        // The worst of all sizes counts.
        goals: &[
            GoalSpec::new(
                "frames/s of the three other queues, one ring stalled to none, series",
                Least("size", &Ratio((&STALLED_RATE, SERIES), (&RATE, SERIES))),
                Bound::AtLeast(0.95),
            ),
            GoalSpec::new(
                "frames of the three other queues, of those offered, one ring stalled to none, series",
                Least("size", &Ratio((&STALLED_SHARE, SERIES), (&SHARE, SERIES))),
                Bound::AtLeast(0.95),
            ),
            // Otherwise something else than the stall was measured.
            GoalSpec::new(
                "frames/s of the three other queues, one ring stalled to none, without ixgbe-rx-drop",
                Most(
                    "size",
                    &Ratio((&STALLED_RATE, WITHOUT_DROP), (&RATE, WITHOUT_DROP)),
                ),
                Bound::AtMost(0.05),
            ),
            GoalSpec::new(
                "frames lost or out of order, series, no ring stalled",
                Sum((&WRONG, SERIES)),
                Bound::Exactly(0.0),
            ),
            GoalSpec::new(
                "work for a frame, series to tree, no ring stalled",
                Most("size", &Ratio((&COST, SERIES), (&COST, TREE))),
                Bound::AtMost(1.05),
            ),
        ],
    }],
    plot: Plot {
        title: "ixgbe: frames from four receive queues to the stack",
        size: (1600, 640),
        columns: |_| 2,
        charts: &[
            ChartSpec {
                title: "Work of driver and stack for a frame, no ring stalled",
                label: "run",
                when: |_| true,
                cases: &[],
                x: ("size", 1.0),
                axes: ("bytes of a frame", "{work} a frame"),
                legend: Legend::Top,
                lines: &[
                    LineSpec::new(SERIES, (&COST, SERIES), Look::Subject),
                    LineSpec::new(WITHOUT_DROP, (&COST, WITHOUT_DROP), Look::Rival),
                    LineSpec::hollow(TREE, (&COST, TREE), Look::Other),
                ],
            },
            ChartSpec {
                title: "Three queues together, the ring of the fourth stalled",
                label: "run",
                when: |_| true,
                cases: &[],
                x: ("size", 1.0),
                axes: ("bytes of a frame", "{rate}"),
                legend: Legend::Middle,
                lines: &[
                    LineSpec::new("series", (&STALLED_RATE, SERIES), Look::Subject),
                    LineSpec::hollow("series, no ring stalled", (&RATE, SERIES), Look::Other),
                    LineSpec::new(
                        "without ixgbe-rx-drop",
                        (&STALLED_RATE, WITHOUT_DROP),
                        Look::Rival,
                    ),
                    LineSpec::new("tree", (&STALLED_RATE, TREE), Look::Other),
                ],
            },
        ],
    },
    explain: None,
};

/// Asks for the kernel without checks, on four CPUs.
fn kernel(guest: &mut GuestRequest) -> Result<(), kdk_core::failure::Failure> {
    (guest.kernel, guest.cpus) = (KernelChoice::Bench, Some(CPUS));
    Ok(())
}

/// Returns the tests, short frames first.
fn tests(request: &StudyRequest) -> Vec<String> {
    let sizes: &[u32] = if request.quick { &QUICK } else { &SIZES };
    sizes.iter().map(|size| format!("{TEST}{size}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::comparison::render::tests::{charts, goals, tables};
    use crate::samples::tests::sample;

    /// Returns runs with frames of two sizes: the series drops the frames of
    /// the stalled ring, the others stop at the first of them.
    fn runs() -> Vec<Sample> {
        let mut runs = Vec::new();
        for driver in [SERIES, WITHOUT_DROP, TREE] {
            for size in [64, 1518] {
                for stalled in [false, true] {
                    let stops = stalled && driver != SERIES;
                    let others = if stops { 3 } else { 6144 };
                    let own = if stalled { 0 } else { 2048 };
                    let patched = u64::from(driver != TREE) * 8;
                    let values = [
                        ("size", size),
                        ("stalled", stalled.into()),
                        ("offered", 6144),
                        ("others", others),
                        ("own", own),
                        ("astray", 0),
                        ("offering", 8192 * 20_000),
                        ("receiving", (others + own) * (16_000 + size + patched)),
                    ];
                    runs.push(sample("run", "a/b", driver, &values));
                }
            }
        }
        runs
    }

    #[test]
    fn each_driver_has_its_kernel() {
        let excluded = |variant: &Variant| {
            let mut guest = GuestRequest::default();
            (variant.edit)(&mut guest, "releng-15.1").unwrap();
            assert_eq!(guest.cpus, Some(CPUS));
            guest.exclude
        };
        let [series, without_drop, tree] = STUDY.kernels else {
            panic!("three variants");
        };
        assert!(excluded(series).is_empty());
        assert_eq!(excluded(without_drop), [DROP]);
        let ids = excluded(tree);
        assert!(ids.contains(&DROP.to_owned()), "{ids:?}");
        assert!(ids.contains(&"iflib-bad-frame".to_owned()), "{ids:?}");
        let others = |id: &String| !id.starts_with("ixgbe") && !id.starts_with("iflib");
        assert!(!ids.iter().any(others), "{ids:?}");
        assert!((tree.edit)(&mut GuestRequest::default(), "no-such-base").is_err());
    }

    #[test]
    fn a_test_for_each_size() {
        let request = StudyRequest::default();
        assert_eq!(tests(&request).len(), SIZES.len());
        let quick = StudyRequest {
            quick: true,
            ..request
        };
        assert_eq!(tests(&quick), ["ixgbe/bench-64", "ixgbe/bench-1518"]);
    }

    #[test]
    fn metrics_of_a_run() {
        let values = |numbers: [u64; 5]| {
            let keys = ["offered", "others", "own", "offering", "receiving"];
            let values: Vec<(&str, u64)> = keys.into_iter().zip(numbers).collect();
            sample("run", "a/b", SERIES, &values)
        };
        let run = values([300, 150, 50, 1_000_000, 2_000_000]);
        assert_eq!(cost(&run), Some(10_000.0));
        assert_eq!((CAPACITY.of)(&run), Some(100_000.0));
        assert_eq!((rate(&run), share(&run)), (Some(50_000.0), Some(0.5)));
        let nothing = values([0; 5]);
        assert_eq!((cost(&nothing), (CAPACITY.of)(&nothing)), (None, None));
        assert_eq!((rate(&nothing), share(&nothing)), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn the_tables() {
        let runs = runs();
        let partial = tables(&STUDY, &runs[..3]);
        insta::assert_snapshot!(tables(&STUDY, &runs) + "\n" + &partial);
    }

    #[test]
    fn the_goals() {
        insta::assert_snapshot!(goals(&STUDY, &runs()));
        assert!(goals(&STUDY, &[]).is_empty());
    }

    #[test]
    fn each_goal_can_be_missed() {
        let mut runs = runs();
        for run in &mut runs {
            // The series stalls, loses a frame and works more.
            run.variant = match run.variant {
                SERIES => WITHOUT_DROP,
                WITHOUT_DROP => SERIES,
                other => other,
            };
            if run.variant == SERIES && run.int("stalled") == 0 {
                *run.values.get_mut("own").unwrap() -= 1;
                *run.values.get_mut("astray").unwrap() += 1;
                *run.values.get_mut("receiving").unwrap() *= 2;
            }
        }
        insta::assert_snapshot!(goals(&STUDY, &runs));
    }

    #[test]
    fn the_charts() {
        let mut runs = runs();
        for run in &mut runs {
            if run.variant == TREE && run.int("stalled") == 1 {
                run.values.insert("others", 0);
            }
        }
        insta::assert_snapshot!(charts(&STUDY, &runs));
    }
}
