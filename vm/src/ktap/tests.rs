use super::*;
use crate::verdict::Verdict;
use Verdict::{Fail, Pass, Skip, Timeout, Xfail, Xpass};
use proptest::prelude::*;

fn verdict(text: &[u8]) -> (Verdict, String) {
    parse(text).verdict_on("a/b")
}

/// Every text is the whole document for the test `a/b`.
fn check(table: &[(&str, &str, Verdict, &str)]) {
    for (what, text, want, detail) in table {
        let (got, why) = verdict(text.as_bytes());
        assert_eq!(got, *want, "{what}: {why}");
        assert!(why.contains(detail), "{what}: {why:?} has no {detail:?}");
    }
}

#[test]
fn a_document_without_its_form_never_passes() {
    check(&[
        ("nothing at all", "", Fail, "no `KTAP version 1` line"),
        (
            "only blank lines",
            "\n\n\r\n",
            Fail,
            "no `KTAP version 1` line",
        ),
        (
            "no header",
            "1..1\nok 1 a/b\n",
            Fail,
            "no `KTAP version 1` line",
        ),
        (
            "no header, no plan",
            "ok 1 a/b\n",
            Fail,
            "no `KTAP version 1` line",
        ),
        (
            "only diagnostics",
            "# fine\n# ok 1 a/b\n",
            Fail,
            "no `KTAP version 1` line",
        ),
        ("header and zero tests", "KTAP version 1\n", Fail, "no plan"),
        (
            "a plan of zero",
            "KTAP version 1\n1..0\n",
            Fail,
            "a plan of no tests",
        ),
        (
            "a plan of zero, skipped",
            "KTAP version 1\n1..0 # SKIP not here\n",
            Fail,
            "a plan of no tests",
        ),
        (
            "a plan of zero with a result",
            "KTAP version 1\n1..0\nok 1 a/b\n",
            Fail,
            "more results than the 0 planned",
        ),
        (
            "a plan and no result",
            "KTAP version 1\n1..1\n",
            Fail,
            "0 of 1 planned",
        ),
        (
            "missing plan",
            "KTAP version 1\nok 1 a/b\n",
            Fail,
            "no plan",
        ),
        (
            "late plan",
            "KTAP version 1\nok 1 a/b\n1..1\n",
            Fail,
            "a plan after the first result",
        ),
        (
            "duplicate plan",
            "KTAP version 1\n1..1\n1..1\nok 1 a/b\n",
            Fail,
            "a second plan",
        ),
        (
            "reversed plan",
            "KTAP version 1\n1..-1\nok 1 a/b\n",
            Fail,
            "a plan that makes no sense",
        ),
        (
            "plan that starts elsewhere",
            "KTAP version 1\n5..1\nok 1 a/b\n",
            Fail,
            "a plan that makes no sense: 5..1",
        ),
        (
            "plan beyond numbers",
            "KTAP version 1\n1..99999999999999999999999\nok 1 a/b\n",
            Fail,
            "a plan that makes no sense",
        ),
        (
            "bad version",
            "KTAP version 2\n1..1\nok 1 a/b\n",
            Fail,
            "unknown version: 2",
        ),
        (
            "no version",
            "KTAP version\n1..1\nok 1 a/b\n",
            Fail,
            "unknown version",
        ),
        (
            "another protocol",
            "TAP version 14\n1..1\nok 1 a/b\n",
            Fail,
            "unknown version: TAP version 14",
        ),
        (
            "second header",
            "KTAP version 1\nKTAP version 1\n1..1\nok 1 a/b\n",
            Fail,
            "a second version line",
        ),
        (
            "second document",
            "KTAP version 1\n1..1\nnot ok 1 a/b\nKTAP version 1\n1..1\nok 1 a/b\n",
            Fail,
            "a second version line",
        ),
    ]);
}

#[test]
fn a_result_that_is_not_exactly_the_one_asked_for_never_passes() {
    let doc = |lines: &str| format!("KTAP version 1\n1..1\n{lines}\n");
    for (what, lines, detail) in [
        ("number mismatch", "ok 2 a/b", "result 2 where 1 was due"),
        ("number zero", "ok 0 a/b", "result 0 where 1 was due"),
        ("stray ok", "ok", "without a number"),
        ("ok without a number", "ok a/b", "without a number"),
        ("number glued to text", "ok 1a/b", "without a number"),
        ("okay is not ok", "okay 1 a/b", "0 of 1 planned"),
        ("ok glued to the number", "ok1 a/b", "0 of 1 planned"),
        ("shouted", "OK 1 a/b", "0 of 1 planned"),
        ("without a name", "ok 1", "instead of a/b"),
        (
            "of another test",
            "ok 1 a/c",
            "results for a/c instead of a/b",
        ),
        ("of a longer name", "ok 1 a/bb", "instead of a/b"),
        (
            "twice",
            "ok 1 a/b\nok 1 a/b",
            "more results than the 1 planned",
        ),
        (
            "ok, then not ok",
            "ok 1 a/b\nnot ok 2 a/b",
            "a second result for a/b",
        ),
        (
            "not ok, then ok",
            "not ok 1 a/b\nok 1 a/b",
            "a second result for a/b",
        ),
        (
            "with a stray ok after it",
            "ok 1 a/b\nok 2 a/c",
            "more results",
        ),
        ("with an ok in a comment", "# ok 1 a/b", "0 of 1 planned"),
        ("with NUL bytes", "ok 1 a/b\0", "a damaged result line"),
        ("with NUL bytes before", "\0ok 1 a/b", "0 of 1 planned"),
        (
            "number beyond numbers",
            "ok 99999999999999999999 a/b",
            "without a number",
        ),
        (
            "bail-out before it",
            "Bail out! no memory",
            "bailed out: no memory",
        ),
        ("bail-out after it", "ok 1 a/b\nBail out!", "bailed out"),
        (
            "result after a bail-out",
            "Bail out! x\nok 1 a/b",
            "0 of 1 planned",
        ),
    ] {
        let (got, why) = verdict(doc(lines).as_bytes());
        assert_eq!(got, Fail, "{what}: {why}");
        assert!(why.contains(detail), "{what}: {why:?} has no {detail:?}");
    }
}

#[test]
fn a_kernel_that_dies_in_the_middle_leaves_no_pass() {
    check(&[
        (
            "before the plan",
            "KTAP version 1\n# about to fail\n",
            Fail,
            "about to fail",
        ),
        (
            "before the result",
            "KTAP version 1\n1..1\n# step 1\n# step 2\n",
            Fail,
            "step 1\nstep 2",
        ),
        (
            "in the result line",
            "KTAP version 1\n1..1\nok 1 a/b",
            Fail,
            "a damaged result line: ok 1 a/b",
        ),
        (
            "inside of a subtest",
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 x\n",
            Fail,
            "1 of 2 planned",
        ),
        (
            "between the subtests and their parent",
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 x\n",
            Fail,
            "subtests without a result of their parent",
        ),
    ]);
}

#[test]
fn the_table_of_result_lines() {
    for (line, want, detail) in [
        ("ok 1 a/b", Pass, ""),
        ("ok 1 - a/b", Pass, ""),
        ("ok 1\ta/b", Pass, ""),
        ("ok 1 a/b # 3 loops", Pass, "3 loops"),
        ("not ok 1 a/b", Fail, ""),
        (
            "not ok 1 a/b # left 3 != right 4",
            Fail,
            "left 3 != right 4",
        ),
        ("ok 1 a/b # SKIP no epair", Skip, "no epair"),
        ("ok 1 - a/b # SKIP no epair", Skip, "no epair"),
        ("ok 1 a/b # skip - no epair", Skip, "no epair"),
        ("ok 1 a/b # SKIP: no epair", Skip, "no epair"),
        ("ok 1 a/b # SKIPPED", Skip, ""),
        ("ok 1 a/b #SKIP no epair", Skip, "no epair"),
        ("not ok 1 a/b # SKIP no epair", Skip, "no epair"),
        ("not ok 1 a/b # XFAIL known", Xfail, "known"),
        ("not ok 1 a/b # TODO known", Xfail, "known"),
        ("ok 1 a/b # XFAIL known", Xpass, "known"),
        ("ok 1 a/b # TODO known", Xpass, "known"),
        ("not ok 1 a/b # TIMEOUT 5000 ms", Timeout, "5000 ms"),
        ("ok 1 a/b # TIMEOUT 5000 ms", Timeout, "5000 ms"),
        ("not ok 1 a/b # ERROR leak", Fail, "leak"),
        ("ok 1 a/b # ERROR leak", Fail, "leak"),
    ] {
        for end in ["\n", "\r\n", "  \n"] {
            let text = format!("KTAP version 1\n1..1\n{line}{end}");
            assert_eq!(verdict(text.as_bytes()), (want, detail.into()), "{line}");
        }
    }
}

#[test]
fn parents_and_children_must_agree() {
    let doc = |children: &str, parent: &str| {
        format!("KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n{children}{parent} 1 a/b\n")
    };
    for (what, text, want, detail) in [
        (
            "parent ok with a failed child",
            doc("  ok 1 x\n  # three is not four\n  not ok 2 y\n", "ok"),
            Fail,
            "it says `ok`, 1 of its subtests do not\nsubtest y: FAIL\n  three is not four",
        ),
        (
            "parent not ok with all children ok",
            doc("  ok 1 x\n  ok 2 y\n", "not ok"),
            Fail,
            "it says `not ok`, all its subtests `ok`",
        ),
        ("both ok", doc("  ok 1 x\n  ok 2 y\n", "ok"), Pass, ""),
        (
            "all skipped",
            doc("  ok 1 x # SKIP\n  ok 2 y # SKIP\n", "ok"),
            Skip,
            "",
        ),
        (
            "one skipped",
            doc("  ok 1 x # SKIP\n  ok 2 y\n", "ok"),
            Pass,
            "",
        ),
        (
            "expected failure of a child",
            doc("  ok 1 x\n  not ok 2 y # XFAIL known\n", "ok"),
            Pass,
            "",
        ),
        (
            "unexpected pass of a child",
            doc("  ok 1 x\n  ok 2 y # XFAIL known\n", "ok"),
            Fail,
            "subtest y: XPASS",
        ),
        (
            "a child is missing",
            doc("  ok 1 x\n", "ok"),
            Fail,
            "1 of 2 planned results",
        ),
        (
            "children out of order",
            doc("  ok 2 y\n  ok 1 x\n", "ok"),
            Fail,
            "result 2 where 1 was due",
        ),
        (
            "no parent's result",
            doc("  ok 1 x\n  ok 2 y\n", "# "),
            Fail,
            "subtests without a result of their parent",
        ),
    ] {
        let (got, why) = verdict(text.as_bytes());
        assert_eq!(got, want, "{what}: {why}");
        assert!(why.contains(detail), "{what}: {why:?} has no {detail:?}");
    }
}

#[test]
fn nested_subtests_in_every_spelling() {
    for (what, text, want) in [
        (
            "two spaces, version and Subtest",
            "KTAP version 1\n1..1\n  KTAP version 1\n  # Subtest: a/b\n  1..1\n  ok 1 x\nok 1 a/b\n",
            Pass,
        ),
        (
            "two spaces, version only",
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 x\nok 1 a/b\n",
            Pass,
        ),
        (
            "four spaces, Subtest only",
            "KTAP version 1\n1..1\n    # Subtest: a/b\n    1..1\n    ok 1 x\nok 1 a/b\n",
            Pass,
        ),
        (
            "tabs",
            "KTAP version 1\n1..1\n\tKTAP version 1\n\t1..1\n\tok 1 x\nok 1 a/b\n",
            Pass,
        ),
        (
            "a tab and its eight spaces are the same depth",
            "KTAP version 1\n1..1\n\tKTAP version 1\n        1..1\n\tok 1 x\nok 1 a/b\n",
            Pass,
        ),
        (
            "Subtest at the margin announces the parent",
            "KTAP version 1\n1..1\n# Subtest: a/b\n  KTAP version 1\n  1..1\n  ok 1 x\nok 1 a/b\n",
            Pass,
        ),
        (
            "two levels",
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n    KTAP version 1\n    1..1\n    ok 1 y\n  ok 1 x\nok 1 a/b\n",
            Pass,
        ),
        (
            "two levels, the inner one failed",
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n    KTAP version 1\n    1..1\n    not ok 1 y\n  ok 1 x\nok 1 a/b\n",
            Fail,
        ),
        (
            "two levels, the middle result is missing",
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n    KTAP version 1\n    1..1\n    ok 1 y\nok 1 a/b\n",
            Fail,
        ),
        (
            "no heading at all",
            "KTAP version 1\n1..1\n  1..1\n  ok 1 x\nok 1 a/b\n",
            Fail,
        ),
        (
            "reported for another parent",
            "KTAP version 1\n1..1\n  # Subtest: a/z\n  1..1\n  ok 1 x\nok 1 a/b\n",
            Fail,
        ),
        (
            "an indented result is no result of the test",
            "KTAP version 1\n1..1\n  ok 1 a/b\n",
            Fail,
        ),
        (
            "two nested documents without a result between them",
            "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  not ok 1 x\n  KTAP version 1\n  1..1\n  ok 1 x\nok 1 a/b\n",
            Fail,
        ),
    ] {
        let (got, why) = verdict(text.as_bytes());
        assert_eq!(got, want, "{what}: {why}");
    }
}

#[test]
fn damaged_bytes_are_no_result() {
    for bytes in [
        &b"KTAP version 1\n1..1\nok 1 a/b \xff\xfe\n"[..],
        b"KTAP version 1\n1..1\nok \xc3\x28 1 a/b\n",
        b"KTAP version \xff1\n1..1\nok 1 a/b\n",
        b"KTAP version 1\n1..\xff1\nok 1 a/b\n",
        b"KTAP version 1\n1..1\0\nok 1 a/b\n",
    ] {
        let (got, why) = verdict(bytes);
        assert_eq!(got, Fail, "{bytes:?}: {why}");
    }
}

#[test]
fn garbage_around_a_whole_document_is_counted_not_believed() {
    let (got, why) = verdict(b"\xff\0junk\nmore\nKTAP version 1\n1..1\nok 1 a/b\n%%%\n");
    assert_eq!((got, why.as_str()), (Pass, "3 lines of garbage"));
}

#[test]
fn garbage_inside_of_a_document_makes_it_unbelievable() {
    for text in [
        "KTAP version 1\nnoise\n1..1\nok 1 a/b\n",
        "KTAP version 1\n1..1\nnoise\nok 1 a/b\n",
        "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  noise\n  ok 1 x\nok 1 a/b\n",
    ] {
        let (got, why) = verdict(text.as_bytes());
        assert_eq!(got, Fail);
        assert!(why.contains("garbage inside of the document"), "{why}");
    }
}

#[test]
fn a_line_of_a_megabyte_costs_no_memory_and_makes_no_result() {
    let mut text = b"KTAP version 1\n1..1\nok 1 a/b # ".to_vec();
    text.resize(1 << 20, b'x');
    text.push(b'\n');
    let (got, why) = verdict(&text);
    assert_eq!(got, Fail, "{why}");
    assert!(why.len() < 200, "{why}");

    let mut text = b"KTAP version 1\n1..1\n# ".to_vec();
    text.resize(1 << 20, b'x');
    text.extend(b"\nok 1 a/b\n");
    let (got, why) = verdict(&text);
    assert_eq!(got, Pass);
    assert!(why.len() <= MAX_LINE);
}

#[test]
fn a_flood_of_lines_is_bounded() {
    let mut parser = Parser::new();
    for _ in 0..200_000 {
        parser.line(b"# the same again and again and again and again", false);
        parser.line(b"ok 7 other", false);
        parser.line(b"                    KTAP version 3", false);
    }
    let doc = parser.finish();
    assert!(doc.cases.len() <= MAX_CASES);
    assert!(doc.problems.len() <= MAX_PROBLEMS);
    assert!(doc.cases.iter().all(|c| c.detail.len() <= MAX_DETAIL));
}

const WHOLE: &[&str] = &[
    "KTAP version 1\n1..1\nok 1 a/b\n",
    "KTAP version 1\n1..1\n# panic: x\nnot ok 1 a/b\n",
    "KTAP version 1\n1..1\nok 1 a/b # SKIP why\n",
    "KTAP version 1\n1..1\nnot ok 1 a/b # XFAIL why\n",
    "KTAP version 1\n1..1\n  KTAP version 1\n  1..2\n  ok 1 x\n  ok 2 y\nok 1 a/b\n",
];

#[test]
fn truncated_at_any_byte_is_never_a_pass() {
    for whole in WHOLE {
        for end in 0..whole.len() {
            let (got, why) = verdict(&whole.as_bytes()[..end]);
            assert_eq!(got, Fail, "{:?}: {why}", &whole[..end]);
        }
    }
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("KTAP version 1".to_owned()),
        Just("1..1".to_owned()),
        Just("1..2".to_owned()),
        Just("ok 1 a/b".to_owned()),
        Just("not ok 1 a/b".to_owned()),
        Just("ok 2 a/b".to_owned()),
        Just("  KTAP version 1".to_owned()),
        Just("  1..1".to_owned()),
        Just("  ok 1 x".to_owned()),
        Just("\tnot ok 1 x # SKIP".to_owned()),
        Just("# Subtest: a/b".to_owned()),
        Just("Bail out!".to_owned()),
        "[ -~]{0,12}",
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_survived(text in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let (got, _) = verdict(&text);
        prop_assert_ne!(got, Pass);
    }

    #[test]
    fn a_pass_has_its_three_lines_in_order(lines in proptest::collection::vec(line(), 0..8)) {
        let text = lines.join("\n") + "\n";
        if verdict(text.as_bytes()).0 == Pass {
            let place = |what: &str| lines.iter().position(|l| l.trim_end() == what);
            let result = lines.iter().position(|l| l.starts_with("ok 1 a/b"));
            prop_assert!(place("KTAP version 1") < place("1..1"), "{}", text);
            prop_assert!(place("1..1") < result, "{}", text);
            prop_assert!(!lines.iter().any(|l| l.starts_with("not ok")), "{}", text);
        }
    }

    #[test]
    fn cutting_a_line_out_of_a_whole_document_never_makes_a_pass(
        which in 0..WHOLE.len(), at in 0usize..7,
    ) {
        let mut lines: Vec<&str> = WHOLE[which].lines().collect();
        if at < lines.len() {
            let cut = lines.remove(at);
            let (got, why) = verdict((lines.join("\n") + "\n").as_bytes());
            // Diagnostics carry no verdict.
            prop_assert!(got != Pass || cut.starts_with('#'), "without {}: {}", cut, why);
        }
    }
}
