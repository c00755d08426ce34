//! Tests the registry, patterns and result lines in ring 0.

use crate::hw;
use crate::platform::Demo;
use core::fmt::Write;
use kdk_harness::{
    Answer, Expect, MAX_CHUNK, Pattern, Reader, Registry, Stop, Test, TestResult, Text, Where,
    kdk_test,
};

fn registry_finds_tests() -> TestResult {
    let registry = Registry::new(hw::registered_tests());
    assert_eq!(registry.check(), Ok(()));
    let me = registry.get("harness/registry-finds-tests");
    assert!(me.is_some_and(|test| test.default && test.known_defect().is_none()));
    assert!(registry.get("harness/registry").is_none());
    let fault = registry.get("fault/panic");
    assert!(fault.is_some_and(|test| !test.default));
    Ok(())
}
kdk_test!("harness/registry-finds-tests", registry_finds_tests);

fn registry_sorts_tests() -> TestResult {
    let tests = hw::registered_tests();
    let ordered = Registry::new(tests).ordered();
    assert_eq!(ordered.count(), tests.len());
    assert!(ordered.is_sorted_by(|a, b| a.name < b.name));
    Ok(())
}
kdk_test!("harness/registry-sorts-tests", registry_sorts_tests);

static TWICE: Test = Test::new("inner/twice", || Ok(()));

fn duplicates_are_refused() -> TestResult {
    let tests = [&TWICE, &TWICE];
    let text = answer(&tests, "run inner/twice");
    assert_eq!(
        text.as_str(),
        "# error run inner/twice: two tests are registered as inner/twice; \
         give one of them another name\n"
    );
    Ok(())
}
kdk_test!("harness/duplicates-are-refused", duplicates_are_refused);

fn globs_choose_tests() -> TestResult {
    let registry = Registry::new(hw::registered_tests());
    let count = |pattern| Pattern::new(pattern).map(|pattern| registry.count(&pattern));
    assert_eq!(count("harness/globs-choose-tests"), Ok(1));
    assert_eq!(count("harness/globs-*-t?sts"), Ok(1));
    assert_eq!(count("nothing/*"), Ok(0));
    let suite = |name: &str| {
        let of_suite = |test: &&&Test| test.name.split('/').next() == Some(name);
        hw::registered_tests().iter().filter(of_suite).count()
    };
    assert_eq!(count("fault/*"), Ok(suite("fault")));
    assert_eq!(count("*"), Ok(suite("harness")));
    Ok(())
}
kdk_test!("harness/globs-choose-tests", globs_choose_tests);

/// Returns the answer to `line` with `tests` on this guest.
pub fn answer(tests: &[&'static Test], line: &str) -> Text<MAX_CHUNK> {
    let mut answer = Answer::to(&Registry::new(tests), Where::Kernel, line);
    let mut text = Text::new();
    while answer.next_chunk(&mut Demo, &mut text) == Ok(true) {}
    text
}

static PASSES: Test = Test::new("inner/a-pass", || Ok(()));
static SKIPS: Test = Test::new("inner/b-skip", || Err(Stop::Skip("not on this machine")));
static FAILS: Test = Test::new("inner/c-fail", || Err(Stop::Fail("two\nlines")));
static XFAILS: Test = {
    let mut test = Test::new("inner/d-xfail", || Err(Stop::Fail("as known")));
    test.expect = Expect::Fail("known");
    test
};
static XPASSES: Test = {
    let mut test = Test::new("inner/e-xpass", || Ok(()));
    test.expect = Expect::Fail("known");
    test
};

const INNER: [&Test; 5] = [&XPASSES, &SKIPS, &XFAILS, &FAILS, &PASSES];

const INNER_TEXT: &str = "\
# start inner/a-pass
KTAP version 1
1..5
ok 1 inner/a-pass
# start inner/b-skip
ok 2 inner/b-skip # SKIP not on this machine
# start inner/c-fail
# failed: two
#   lines
not ok 3 inner/c-fail
# start inner/d-xfail
# failed: as known
not ok 4 inner/d-xfail # XFAIL known
# start inner/e-xpass
ok 5 inner/e-xpass # XFAIL known
# done 5
";

fn results_are_written() -> TestResult {
    assert_eq!(answer(&INNER, "run *").as_str(), INNER_TEXT);
    Ok(())
}
kdk_test!("harness/results-are-written", results_are_written);

fn small_reads_get_all() -> TestResult {
    let answer = Answer::to(&Registry::new(&INNER), Where::Kernel, "run *");
    let mut reader = Reader::new(answer);
    let mut text = Text::<MAX_CHUNK>::new();
    let mut few = [0; 3];
    loop {
        let count = reader.read(&mut Demo, &mut few);
        let piece = few.get(..count).and_then(|few| str::from_utf8(few).ok());
        match piece {
            Some("") => break,
            piece => assert!(text.write_str(piece.unwrap_or("?")).is_ok()),
        }
    }
    assert_eq!(text.as_str(), INNER_TEXT);
    Ok(())
}
kdk_test!("harness/small-reads-get-all", small_reads_get_all);

fn list_names_options() -> TestResult {
    assert_eq!(
        answer(&[&XFAILS, &PASSES], "list").as_str(),
        "# test inner/a-pass where=kernel limit_ms=5000 expect=pass default=yes\n\
         # test inner/d-xfail where=kernel limit_ms=5000 expect=fail default=yes\n\
         # end list 2\n"
    );
    Ok(())
}
kdk_test!("harness/list-names-options", list_names_options);

fn skips() -> TestResult {
    Err(Stop::Skip("this test shows how a skipped test is reported"))
}
kdk_test!("harness/skip-is-reported", skips);

fn fails_as_expected() -> TestResult {
    assert_eq!(1, 2, "this test shows how an expected failure is reported");
    Ok(())
}
kdk_test!(
    "harness/expected-failure-is-reported",
    fails_as_expected,
    expect = Expect::Fail("it asserts that 1 is 2"),
);
