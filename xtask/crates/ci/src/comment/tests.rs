use pulldown_cmark::{Event, Options, Parser, Tag};

use super::document::LINES;
use super::*;
use crate::fixtures::{add, point};
use crate::point::Point;
use crate::result::JobVerdict::{Failed, HostError, Passed};
use crate::result::{Finding, Ratio};
use crate::trend::Regression;

const FORMATS: [Format; 3] = [Format::Phabricator, Format::Github, Format::Mail];

fn finding(test: &str, verdict: &str, detail: &str, backtrace: &[&str]) -> Finding {
    Finding {
        test: test.into(),
        cpus: Some(4),
        verdict: verdict.into(),
        detail: detail.into(),
        backtrace: backtrace.iter().map(|line| (*line).to_owned()).collect(),
        again: None,
    }
}

/// Returns two revisions: the second one has a changed patch that crashes.
fn two() -> [Point; 2] {
    let mut old = point(&["pvh-boot", "rx-drop", "old-fix", "tx-reset"]);
    for id in ["pvh-boot", "rx-drop", "old-fix", "tx-reset"] {
        for kind in ["lint", "prove"] {
            add(&mut old, &format!("b/{kind}/{id}"), Some(Passed));
        }
    }
    add(&mut old, "b/suite/debug/4/ixgbe", Some(Passed));
    let mut new = point(&["pvh-boot", "tx-reset", "rx-drop", "lro-free"]);
    new.revision.number = 2;
    new.revision.patches[2].patch_id = "changed".into();
    for id in ["pvh-boot", "tx-reset"] {
        for kind in ["lint", "prove"] {
            let result = add(&mut new, &format!("b/{kind}/{id}"), Some(Passed)).unwrap();
            result.revision.clone_from(&old.revision.id);
        }
    }
    add(&mut new, "b/lint/rx-drop", Some(Passed));
    let proof = add(&mut new, "b/prove/rx-drop", Some(Failed)).unwrap();
    proof.why = "ixgbe/rx-drop passes without the patch".into();
    add(&mut new, "b/lint/lro-free", Some(Passed));
    add(&mut new, "b/prove/lro-free", None);
    let suite = add(&mut new, "b/suite/debug/4/ixgbe", Some(Failed)).unwrap();
    suite.artefacts = vec!["k/report.json".into(), "k/report.html".into()];
    suite.findings = vec![finding(
        "ixgbe/rx-drop",
        "CRASH",
        "panic: mtx_lock() of destroyed mutex @ /usr/src/sys/dev/ixgbe/ix_txrx.c:303",
        &[
            "KDB: stack backtrace:",
            "vpanic() at vpanic+0x136/frame 0xfffffe0045e4cc00",
            "panic() at panic+0x43/frame 0xfffffe0045e4cc60",
            "    /usr/src/sys/kern/kern_shutdown.c:887 (panic)",
            "__mtx_lock_flags() at __mtx_lock_flags+0x114/frame 0xfffffe0045e4ccb0",
            "    /usr/src/sys/kern/kern_mutex.c:261 (__mtx_lock_flags)",
            "ixgbe_isc_rxd_pkt_get() at ixgbe_isc_rxd_pkt_get+0x99/frame 0xfffffe0045e4cd10",
            "    /usr/src/sys/dev/ixgbe/ix_txrx.c:303 (ixgbe_isc_rxd_pkt_get)",
            "iflib_rxeof() at iflib_rxeof+0x2b0/frame 0xfffffe0045e4ce00",
            "    /usr/src/sys/net/iflib.c:2904 (iflib_rxeof)",
            "_task_fn_rx() at _task_fn_rx+0x7c/frame 0xfffffe0045e4ce40",
            "    /usr/src/sys/net/iflib.c:3950 (_task_fn_rx)",
        ],
    )];
    let known = finding("unix/old-bug", "FAIL", "3 is not 4", &[]);
    let suite = add(&mut new, "b/suite/debug/declared/unix", Some(Failed)).unwrap();
    suite.findings = vec![known.clone()];
    let base = add(&mut new, "b/base/debug/declared/unix", Some(Failed)).unwrap();
    base.findings = vec![known];
    let bench = add(&mut new, "b/bench/ixgbe", Some(HostError)).unwrap();
    bench.why = "no space was left on a disk that it writes to".into();
    [old, new]
}

fn regression(point: &Point, since: &Point) -> Regression {
    let ratio = |value: f64| Ratio {
        value,
        low: value - 0.1,
        high: value + 0.1,
        less_is_better: false,
    };
    Regression {
        name: "bench/ixgbe: packets per second".into(),
        revision: point.revision.id.clone(),
        now: ratio(1.2),
        since: since.revision.id.clone(),
        before: ratio(1.5),
    }
}

#[test]
fn comments_on_a_revision() {
    let [old, new] = two();
    let regressions = [regression(&new, &old)];
    let address = Some("https://ci.example.org/kdk/2/");
    let subject = Subject::new(&new, Some(&old), &regressions, address).unwrap();
    for (format, name) in FORMATS.into_iter().zip(Format::NAMES) {
        assert_eq!(name.parse(), Ok(format));
        insta::assert_snapshot!(name, render(&subject, format));
    }
}

#[test]
fn a_comment_on_a_revision_where_all_is_well() {
    let [old, _] = two();
    let subject = Subject::new(&old, None, &[], None).unwrap();
    insta::assert_snapshot!(render(&subject, Format::Github));
    let subject = Subject::new(&old, Some(&old), &[], None).unwrap();
    let text = render(&subject, Format::Github);
    assert!(text.contains("none: the same patches"), "{text}");
    let empty = point(&[]);
    let subject = Subject::new(&empty, None, &[], None).unwrap();
    let text = render(&subject, Format::Mail);
    assert!(text.contains("none: this is the base"), "{text}");
}

#[test]
fn an_address_that_would_break_the_format_is_refused() {
    let [old, _] = two();
    for address in [
        "/tmp/x",
        "https://h/)",
        "https://h/ x",
        "https://h/\nBcc: x",
    ] {
        let failure = Subject::new(&old, None, &[], Some(address)).unwrap_err();
        assert_eq!(failure.exit_code(), 2, "{address}");
    }
}

/// The word that no interpreted text may have.
const MARK: &str = "EVIL";

const HOSTILE: [&str; 16] = [
    "EVIL`` ``` ` EVIL",
    "`EVIL",
    "EVIL`",
    "```EVIL```",
    "~~~EVIL\nEVIL",
    "EVIL</code></pre><script>EVIL</script><!-- EVIL",
    "EVIL\n\n# EVIL\n- EVIL\n\n```\nEVIL\n> EVIL",
    "EVIL](http://EVIL) [EVIL](http://EVIL) ![EVIL](http://EVIL)",
    "@EVIL #1 EVIL GH-1 https://EVIL.example EVIL@EVIL.example",
    "EVIL\r\nBcc: EVIL\r\n\r\n.\r\nFrom EVIL",
    "{F1} [[ http://EVIL | EVIL ]] ${{{EVIL}}} ##EVIL## %%%EVIL%%%",
    "\u{202e}EVIL\u{2028}EVIL\u{85}EVIL\u{1}EVIL",
    "**EVIL** __EVIL__ //EVIL// ~~EVIL~~ !!EVIL!! \\`EVIL\\`",
    "EVIL|EVIL||EVIL\n---|---\nEVIL|EVIL",
    "lang=EVIL, lines=3, name=EVIL",
    "`EVIL` `EVIL` ``EVIL``",
];

/// Puts `text` wherever others decide what a comment says.
fn with_hostile(text: &str) -> [Point; 2] {
    let [mut old, mut new] = two();
    for point in [&mut old, &mut new] {
        let ids: Vec<String> = point
            .revision
            .patches
            .iter()
            .map(|patch| patch.id.clone())
            .collect();
        for id in ids {
            // A name of a job is a path.
            let evil = format!("{id} {}", text.replace('/', "|"));
            for kind in ["lint", "prove"] {
                let (from, to) = (format!("b/{kind}/{id}"), format!("b/{kind}/{evil}"));
                if let Some(key) = point.revision.jobs.remove(&from) {
                    point.revision.jobs.insert(to.clone(), key);
                }
                if let Some(result) = point.results.remove(&from) {
                    point.results.insert(to, result);
                }
            }
            let mut patches = point.revision.patches.iter_mut();
            patches.find(|patch| patch.id == id).unwrap().id = evil;
        }
        point.revision.base = text.into();
        for result in point.results.values_mut() {
            text.clone_into(&mut result.why);
            result.host = text.into();
            result.artefacts = vec![format!("{text}.html")];
            for finding in &mut result.findings {
                for part in [&mut finding.test, &mut finding.verdict, &mut finding.detail] {
                    text.clone_into(part);
                }
                finding.backtrace = vec![text.into(), format!("  {text}"), "```".into()];
            }
        }
    }
    [old, new]
}

fn hostile_comment(text: &str, format: Format) -> String {
    let [old, new] = with_hostile(text);
    let mut fell = regression(&new, &old);
    fell.name = text.into();
    let regressions = [fell];
    let subject = Subject::new(
        &new,
        Some(&old),
        &regressions,
        Some("https://ci.example.org"),
    )
    .unwrap();
    render(&subject, format)
}

#[test]
fn hostile_text_is_nothing_but_code_in_markdown() {
    for text in HOSTILE {
        let comment = hostile_comment(text, Format::Github);
        assert!(comment.contains(MARK), "{comment}");
        let (mut in_block, mut in_title) = (false, false);
        let mut headings = 0;
        for event in Parser::new_ext(&comment, Options::all()) {
            match &event {
                Event::Start(Tag::CodeBlock(_)) => in_block = true,
                Event::End(pulldown_cmark::TagEnd::CodeBlock) => in_block = false,
                Event::Start(Tag::Heading { .. }) => {
                    headings += 1;
                    in_title = true;
                }
                Event::End(pulldown_cmark::TagEnd::Heading(_)) => in_title = false,
                Event::Start(Tag::Link { dest_url, .. }) => {
                    assert!(
                        dest_url.starts_with("https://ci.example.org/"),
                        "{dest_url}"
                    );
                }
                // The title has letters of the base at most.
                Event::Text(own) if !in_block && !in_title => {
                    assert!(!own.contains(MARK), "{text:?}: {own}\n{comment}");
                }
                Event::Html(_) | Event::InlineHtml(_) | Event::Start(Tag::Image { .. }) => {
                    panic!("{text:?}: {event:?}\n{comment}");
                }
                _ => {}
            }
        }
        assert!(!in_block && headings == 1, "{text:?}\n{comment}");
    }
}

#[test]
fn hostile_text_is_monospaced_in_remarkup() {
    for text in HOSTILE {
        let comment = hostile_comment(text, Format::Phabricator);
        let mut in_block = false;
        for (n, line) in comment.lines().enumerate() {
            match (line, in_block) {
                ("```lang=text", false) => in_block = true,
                ("```", true) => in_block = false,
                (_, true) => assert!(!line.contains("```"), "{line}"),
                (_, false) => {
                    // Every other part is between two backticks.
                    let parts: Vec<&str> = line.split('`').collect();
                    assert!(parts.len() % 2 == 1, "{text:?}: {line}");
                    let own: String = parts.iter().step_by(2).copied().collect();
                    let own = own.split("[[ https://").next().unwrap();
                    assert!(n == 0 || !own.contains(MARK), "{text:?}: {line}");
                    assert!(!line.contains("{{{"), "{line}");
                }
            }
        }
        assert!(!in_block, "{comment}");
    }
}

#[test]
fn hostile_text_adds_no_header_to_a_mail() {
    for text in HOSTILE {
        let comment = hostile_comment(text, Format::Mail);
        let (headers, body) = comment.split_once("\n\n").unwrap();
        assert_eq!(headers.lines().count(), 4, "{text:?}: {headers}");
        assert!(headers.is_ascii());
        for line in body.lines().skip(1).filter(|line| line.contains(MARK)) {
            let known = ["- ", "    ", "The first crash: ", "The crash: "];
            assert!(known.iter().any(|own| line.starts_with(own)), "{line:?}");
        }
        assert!(
            comment.chars().all(|c| c == '\n' || !c.is_control()),
            "{text:?}"
        );
    }
}

#[test]
fn a_comment_is_at_most_a_screen() {
    for (patches, failed) in [(0, 0), (1, 1), (3, 3), (23, 0), (23, 5), (23, 23), (60, 60)] {
        let ids: Vec<String> = (0..patches).map(|n| format!("patch-{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut reversed = ids.clone();
        reversed.reverse();
        let mut old = point(&reversed);
        old.revision.tree = "other".into();
        old.revision.patches.truncate(patches / 2 + 1);
        let mut new = point(&ids);
        for (n, id) in ids.iter().enumerate() {
            let verdict = if n < failed { Failed } else { Passed };
            let job = format!("b/prove/{id}");
            let result = add(&mut new, &job, Some(verdict)).unwrap();
            result.findings = vec![finding("a/b", "CRASH", "panic: x", &["f() at g"; 100])];
            for n in 0..10 {
                add(&mut new, &format!("b/suite/debug/{n}/{id}"), Some(Failed));
            }
        }
        let regressions: Vec<Regression> = (0..10).map(|_| regression(&new, &old)).collect();
        let address = Some("https://h/");
        let subject = Subject::new(&new, Some(&old), &regressions, address).unwrap();
        for format in FORMATS {
            let text = render(&subject, format);
            let body = match format {
                Format::Mail => text.split_once("\n\n").unwrap().1,
                _ => &text,
            };
            let lines = body.lines().count();
            assert!(
                lines <= LINES,
                "{patches} {failed} {format:?}: {lines}\n{text}"
            );
            assert!(patches < 23 || failed < 23 || lines > LINES - 6, "{text}");
        }
    }
}

#[test]
fn a_comment_names_the_jobs_that_were_left_out_and_links_to_results_only() {
    let mut new = point(&["a"]);
    new.left_out = 4;
    let with_artefact = |new: &mut Point, name: &str| {
        let failed = Some(Failed);
        add(new, "b/suite/debug/1/a", failed).unwrap().artefacts = vec![name.to_owned()];
    };
    let rendered = |new: &Point| {
        let subject = Subject::new(new, None, &[], Some("https://ci.example.org")).unwrap();
        render(&subject, Format::Github)
    };
    with_artefact(&mut new, "k/report.html");
    let text = rendered(&new);
    let want = "4 more jobs did not run: nothing that they depend on has changed.";
    assert!(text.contains(want), "{text}");
    assert!(
        text.contains("https://ci.example.org/k/report.html"),
        "{text}"
    );
    for outside in ["k/../../report.html", "/k/report.html"] {
        with_artefact(&mut new, outside);
        let text = rendered(&new);
        assert!(!text.contains("https://"), "{text}");
    }
}
