use super::*;
use crate::fixtures::{add, point};
use crate::result::Attempt;
use crate::result::JobVerdict::{Failed, HostError, Passed};
use kdk_report::fixtures::outcome;
use kdk_vm::verdict::Verdict;

fn ratio(value: f64, noise: f64) -> Ratio {
    Ratio {
        value,
        low: value - noise,
        high: value + noise,
        less_is_better: false,
    }
}

/// Returns revisions with one ratio each; none where the benchmark did not run.
fn measured(values: &[Option<(f64, f64)>]) -> Vec<Point> {
    let one = |(at, value): (usize, &Option<(f64, f64)>)| {
        let mut one = point(&["a"]);
        one.revision.id = format!("revision{at}");
        if let Some((value, noise)) = value {
            let result = add(&mut one, "b/bench/ixgbe", Some(Passed)).unwrap();
            result.key = format!("k{at}");
            result.ratios.insert("rx".into(), ratio(*value, *noise));
        }
        one
    };
    values.iter().enumerate().map(one).collect()
}

/// The values of a ratio, each with its noise, and the findings.
type Row<'a> = (&'a [Option<(f64, f64)>], &'a [(&'a str, &'a str)]);

#[test]
fn a_ratio_falls_if_it_leaves_the_noise() {
    let table: &[Row<'_>] = &[
        (&[], &[]),
        (&[Some((1.0, 0.1))], &[]),
        // Within the noise, and better.
        (&[Some((1.0, 0.1)), Some((0.85, 0.1))], &[]),
        (&[Some((1.0, 0.1)), Some((1.5, 0.1))], &[]),
        (
            &[Some((1.0, 0.1)), Some((0.7, 0.1))],
            &[("revision1", "revision0")],
        ),
        // A revision that did not measure is no fall.
        (
            &[Some((1.0, 0.1)), None, Some((0.7, 0.1))],
            &[("revision2", "revision0")],
        ),
        // A slow fall is one against the best value.
        (
            &[
                Some((1.0, 0.1)),
                Some((0.9, 0.1)),
                Some((0.75, 0.1)),
                Some((0.7, 0.1)),
            ],
            &[("revision2", "revision0")],
        ),
        // After a fall the next one counts from there, once for each.
        (
            &[
                Some((1.0, 0.1)),
                Some((0.7, 0.1)),
                Some((0.7, 0.1)),
                Some((0.4, 0.1)),
            ],
            &[("revision1", "revision0"), ("revision3", "revision1")],
        ),
        // Much noise hides a fall, and is no fall.
        (&[Some((1.0, 0.5)), Some((0.7, 0.1))], &[]),
        (&[Some((1.0, f64::NAN)), Some((0.7, f64::NAN))], &[]),
    ];
    for (values, want) in table {
        let points = measured(values);
        let found = regressions(&points, &lines(&points));
        let got: Vec<(&str, &str)> = found
            .iter()
            .map(|one| (one.revision.as_str(), one.since.as_str()))
            .collect();
        assert_eq!(&got, want, "{values:?}");
    }
}

#[test]
fn a_cost_that_rises_is_a_regression() {
    let mut points = measured(&[Some((1.0, 0.1)), Some((1.3, 0.1)), Some((0.5, 0.1))]);
    for point in &mut points {
        let result = point.results.values_mut().next().unwrap();
        result.ratios.get_mut("rx").unwrap().less_is_better = true;
    }
    let found = regressions(&points, &lines(&points));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].revision, "revision1");
}

fn attempt(verdict: crate::result::JobVerdict) -> Attempt {
    Attempt {
        verdict,
        why: String::new(),
        began: 1,
        ms: 1,
    }
}

#[test]
fn a_job_is_flaky_if_the_same_key_passed_and_failed() {
    let mut one = point(&["a"]);
    for (job, verdict, attempts) in [
        (
            "b/suite/debug/1/x",
            Passed,
            &[Failed, HostError, Passed][..],
        ),
        ("b/suite/debug/1/steady", Passed, &[Passed]),
        ("b/suite/debug/1/broken", Failed, &[Failed]),
        ("b/suite/debug/1/host", Passed, &[HostError]),
    ] {
        let result = add(&mut one, job, Some(verdict)).unwrap();
        result.attempts = attempts.iter().copied().map(attempt).collect();
    }
    // The same result in a later revision counts once.
    let points = [one.clone(), one];
    let found = flaky(&points, std::iter::empty());
    let texts: Vec<String> = found.iter().map(Flaky::text).collect();
    assert_eq!(
        texts,
        ["suite/debug/1/x failed 1 of 3 runs: 33.3 % (95 %: 6.1 to 79.2 %)"]
    );
}

#[test]
fn a_test_is_flaky_in_the_rounds_of_the_reports() {
    let dir = tempfile::tempdir().unwrap();
    let report = |rounds: &[Verdict]| {
        let outcomes = rounds.iter().map(|verdict| outcome("a/x", *verdict, 1));
        Report::new(
            kdk_report::json::Run::begin("b"),
            Vec::new(),
            outcomes.collect(),
        )
    };
    let mut one = point(&["a"]);
    for (key, rounds) in [
        ("k1", &[Verdict::Pass, Verdict::Fail][..]),
        ("k2", &[Verdict::Pass, Verdict::Pass]),
    ] {
        std::fs::create_dir(dir.path().join(key)).unwrap();
        let text = serde_json::to_string(&report(rounds)).unwrap();
        std::fs::write(dir.path().join(key).join("report.json"), text).unwrap();
        let result = add(&mut one, &format!("b/suite/debug/1/{key}"), Some(Passed)).unwrap();
        result.key = key.into();
        result.artefacts = vec![format!("{key}/report.json"), "../report.json".into()];
    }
    std::fs::write(dir.path().join("k2/report.json.bad"), "x").unwrap();
    let trend = Trend::new(vec![one], &Results::at(dir.path().to_owned()));
    assert_eq!(trend.flaky.len(), 1);
    assert_eq!((trend.flaky[0].failures, trend.flaky[0].runs), (1, 4));
}

#[test]
fn the_slowest_phase_of_each_kind_comes_first() {
    let mut one = point(&["a"]);
    for (job, phases) in [
        ("b/prove/a", &[("kernel", 900), ("boot", 5)][..]),
        ("b/prove/b", &[("kernel", 1000)]),
        ("b/suite/debug/1/x", &[("tests", 300)]),
    ] {
        let result = add(&mut one, job, Some(Passed)).unwrap();
        result.phases = phases
            .iter()
            .map(|(name, ms)| ((*name).to_owned(), *ms))
            .collect();
    }
    let slow: Vec<(String, String, u64)> = slowest(&[one])
        .into_iter()
        .map(|one| (one.phase, one.job, one.ms))
        .collect();
    let of = |phase: &str, job: &str, ms| (phase.to_owned(), job.to_owned(), ms);
    assert_eq!(
        slow,
        [
            of("kernel", "prove/b", 1000),
            of("tests", "suite/debug/1/x", 300),
            of("boot", "prove/a", 5),
        ]
    );
}

/// Returns the trend that the page is looked at with: revisions as they happen.
fn sample() -> Trend {
    let all = [
        "x86-xen-native-delay-outside-xen",
        "sendfile-kqueue",
        "ixgbe-rx-drop",
        "ixgbe-lro-free-after-init",
        "unix-short-reads",
        "kern-hello-sysctl",
    ];
    let mut points = Vec::new();
    for at in 0..12_usize {
        let count = (3 + at / 2).min(all.len());
        let mut one = point(&all[..count]);
        one.revision.id = blake3::hash(&[at as u8]).to_hex()[..40].to_owned();
        one.revision.base = "releng-15.1".into();
        one.revision.number = u32::try_from(at).unwrap() + 1;
        one.revision.patches[at % 3].patch_id = format!("changed in {at}");
        let id = one.revision.id.clone();
        let mut add = |job: String, verdict, key: String| {
            if let Some(result) = add(&mut one, &job, verdict) {
                result.key = key;
                result.ms = 61_000;
                result.phases = [("kernel".to_owned(), 240_000 + 1000 * at as u64)].into();
                if job.contains("/bench/") {
                    let fall = if at < 7 { 0.0 } else { 0.35 };
                    let value = 1.6 - fall + 0.02 * (at % 3) as f64;
                    result
                        .ratios
                        .insert("packets per second".into(), ratio(value, 0.05));
                    result
                        .ratios
                        .insert("cycles per packet".into(), ratio(2.4 - value / 2.0, 0.08));
                }
                if job.contains("/unix") && at == 11 {
                    result.verdict = Failed;
                    result.why = "unix/short-read FAIL <b>3 is not 4</b>".into();
                    result.attempts = vec![attempt(Passed), attempt(Passed)];
                }
            }
        };
        for (n, patch) in all[..count].iter().enumerate() {
            for kind in ["lint", "prove"] {
                let verdict = match (at, n) {
                    (4 | 5, 2) if kind == "prove" => Some(Failed),
                    (8, 1) => Some(HostError),
                    (11, 5) if kind == "prove" => None,
                    _ => Some(Passed),
                };
                add(
                    format!("b/{kind}/{patch}"),
                    verdict,
                    format!("{kind} {patch} {id}"),
                );
            }
        }
        for suite in ["ixgbe", "sendfile", "smoke", "unix"] {
            add(
                format!("b/suite/debug/4/{suite}"),
                Some(Passed),
                format!("{suite} {id}"),
            );
        }
        add("b/bench/ixgbe".into(), Some(Passed), format!("bench {id}"));
        points.push(one);
    }
    Trend::new(points, &Results::at("/nonexistent".into()))
}

#[test]
fn the_page_of_a_trend() {
    let trend = sample();
    insta::assert_snapshot!("findings", trend.findings().join("\n"));
    let text = page::page(&trend).into_string();
    assert!(!text.contains("<b>3 is"), "text of others is not escaped");
    assert!(text.contains("&lt;b&gt;3 is not 4"), "{text}");
    for section in [
        "findings",
        "revisions",
        "patches",
        "benchmarks",
        "flaky",
        "phases",
    ] {
        assert!(
            text.contains(&format!("<h2 id=\"{section}\">")),
            "{section}"
        );
    }
    // It loads nothing.
    for word in ["<img", "<link rel=\"style", "src=", "url(", "@import"] {
        assert!(!text.contains(word), "{word}");
    }
}

#[test]
fn a_page_without_revisions_is_a_page() {
    let trend = Trend::new(Vec::new(), &Results::at("/nonexistent".into()));
    let text = page::page(&trend).into_string();
    assert!(text.contains("What became worse"), "{text}");
    assert!(trend.findings().is_empty());
}
