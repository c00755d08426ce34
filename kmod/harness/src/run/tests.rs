//! Tests every path of the runner, on a scripted platform.

extern crate std;
use super::*;
use crate::{Answer, Expect, Message, Reader, TestResult, Where, describe_panic};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

/// A platform that emulates the end of a test by its name.
#[derive(Default)]
struct Fake {
    /// Endings; a test without one has its body called.
    endings: Vec<(&'static str, Ended)>,
    /// Readings of the counter `malloc type kdk`, one after another; the last
    /// one stays.
    readings: Vec<i64>,
    /// The number of times that settling succeeds.
    patience: u32,
    settled: u32,
    ran: Vec<&'static str>,
    counters: usize,
    notes: Vec<&'static str>,
}

impl Platform for Fake {
    fn run_isolated(&mut self, test: &'static Test) -> Ended {
        self.ran.push(test.name);
        match self.endings.iter().find(|(name, _)| *name == test.name) {
            Some((_, ended)) => ended.clone(),
            None => Ended::Returned((test.run)()),
        }
    }

    fn counters(&mut self, test: &'static Test, counters: &mut Counters) {
        assert_eq!(*counters, Counters::new());
        let value = match self.readings.len() {
            0 => 0,
            1 => self.readings[0],
            _ => self.readings.remove(0),
        };
        counters.set("malloc type", "kdk", value);
        for name in test.leak_types {
            counters.set("malloc type", name, value);
        }
        for nth in 1..self.counters {
            counters.set("n", String::leak(nth.to_string()), value);
        }
    }

    fn settle(&mut self, attempt: u32) -> bool {
        assert_eq!(attempt, self.settled);
        self.settled += 1;
        attempt < self.patience
    }

    fn write_notes(&mut self, out: &mut dyn Write) -> fmt::Result {
        let mut notes = self.notes.drain(..);
        notes.try_for_each(|note| write_diagnostic(out, "note", &note))
    }
}

const fn expected_to_fail(mut test: Test) -> Test {
    test.expect = Expect::Fail("known: #12");
    test
}

const fn known_on(mut test: Test, kernel: fn() -> bool) -> Test {
    test.expect = Expect::FailOn(kernel, "known: #13");
    test
}

fn passes() -> TestResult {
    Ok(())
}

static PASS: Test = Test::new("s/pass", passes);
static FAIL: Test = Test::new("s/fail", || Err(Stop::Fail("two\nlines")));
static SKIP: Test = Test::new("s/skip", || Err(Stop::Skip("no such device")));
static XFAIL: Test = expected_to_fail(Test::new("s/xfail", || Err(Stop::Fail("as ever"))));
static XPASS: Test = expected_to_fail(Test::new("s/xpass", passes));
static XSKIP: Test = expected_to_fail(Test::new("s/xskip", || Err(Stop::Skip("not here"))));
static KNOWN_HERE: Test = known_on(Test::new("s/here", passes), || true);
static KNOWN_ELSEWHERE: Test = known_on(Test::new("s/elsewhere", passes), || false);
static DEADLY: Test = {
    let mut test = Test::new("s/deadly", passes);
    test.expect = Expect::CrashOn(|| true, "known: #14");
    test
};
static OFF: Test = {
    let mut test = Test::new("off/case", passes);
    test.default = false;
    test
};
static TYPES: Test = {
    let mut test = Test::new("s/types", passes);
    test.leak_types = &["temp", "mbuf_tag"];
    test
};

fn answer(platform: &mut Fake, tests: &[&'static Test], line: &str) -> String {
    let mut answer = Answer::to(&Registry::new(tests), Where::Kernel, line);
    let mut out = String::new();
    while answer.next_chunk(platform, &mut out).unwrap() {}
    assert_eq!(answer.next_chunk(platform, &mut out), Ok(false));
    out
}

/// Diagnostics and result of a single test.
fn result(platform: &mut Fake, test: &'static Test) -> String {
    let name = test.name;
    let text = answer(platform, &[test], &format!("run {name}"));
    let head = format!("# start {name}\nKTAP version 1\n1..1\n");
    let body = text.strip_prefix(&head).unwrap();
    body.strip_suffix("# done 1\n").unwrap().to_string()
}

#[test]
fn what_a_test_has_noted_comes_before_its_result() {
    for (test, after) in [
        (&PASS, "ok 1 s/pass\n"),
        (&FAIL, "# failed: two\n#   lines\nnot ok 1 s/fail\n"),
    ] {
        let mut platform = Fake {
            notes: std::vec!["size=1", "ok 1 a/b\nok 2 a/c"],
            ..Fake::default()
        };
        let notes = "# note: size=1\n# note: ok 1 a/b\n#   ok 2 a/c\n";
        assert_eq!(result(&mut platform, test), format!("{notes}{after}"));
        assert!(platform.notes.is_empty());
    }
}

fn message(text: &str) -> Message {
    Message::of(text)
}

#[test]
fn what_cannot_be_answered_is_an_error() {
    let tests = [&PASS, &OFF];
    for (line, reason) in [
        ("dance", "# error dance: not a command; "),
        ("", "# error : not a command; "),
        ("run", "# error run: run takes one "),
        ("run s/nothing", "# error run s/nothing: no test matches; "),
        ("run *off*", "# error run *off*: no test matches; "),
        ("run Pass", "# error run Pass: neither a test's name "),
        ("list it", "# error list it: this command takes no "),
    ] {
        let mut fake = Fake::default();
        let text = answer(&mut fake, &tests, line);
        assert!(text.starts_with(reason), "{line:?}: {text:?}");
        assert!(
            text.ends_with('\n') && text.lines().count() == 1,
            "{text:?}"
        );
        assert!(fake.ran.is_empty());
    }
    // Also one that is longer than what is kept of it.
    let line = format!("run {}", "x".repeat(1000));
    let text = answer(&mut Fake::default(), &tests, &line);
    assert!(text.starts_with("# error run xxx") && text.len() < 300);
}

#[test]
fn a_name_registered_twice_runs_nothing() {
    static AGAIN: Test = Test::new("s/pass", passes);
    for line in ["run s/pass", "run s/skip", "run *", "list"] {
        let mut fake = Fake::default();
        let text = answer(&mut fake, &[&PASS, &SKIP, &AGAIN], line);
        assert_eq!(
            text,
            format!(
                "# error {line}: two tests are registered as s/pass; give one of them another name\n"
            )
        );
        assert!(fake.ran.is_empty());
    }
}

#[test]
fn endings_become_results() {
    let place = core::panic::Location::caller();
    let panic = describe_panic(&"left: 1\n right: 2", Some(place));
    let panicked = format!("# panic: left: 1\n#    right: 2 at {place}\n");
    for (test, ended, text) in [
        (
            &FAIL,
            None,
            "# failed: two\n#   lines\nnot ok 1 s/fail\n".to_string(),
        ),
        (
            &PASS,
            Some(Ended::Panicked(panic)),
            format!("{panicked}not ok 1 s/pass\n"),
        ),
        (
            &PASS,
            Some(Ended::Died(message("kthread_add:\nerrno 35"))),
            "# died: kthread_add:\n#   errno 35\nnot ok 1 s/pass # ERROR kthread_add: errno 35\n"
                .to_string(),
        ),
        (
            &SKIP,
            None,
            "ok 1 s/skip # SKIP no such device\n".to_string(),
        ),
        (
            &XFAIL,
            None,
            "# failed: as ever\nnot ok 1 s/xfail # XFAIL known: #12\n".to_string(),
        ),
        (
            &XFAIL,
            Some(Ended::Panicked(panic)),
            format!("{panicked}not ok 1 s/xfail # XFAIL known: #12\n"),
        ),
        (
            &XFAIL,
            Some(Ended::Died(message("trap"))),
            "# died: trap\nnot ok 1 s/xfail # ERROR trap\n".to_string(),
        ),
        (
            &XPASS,
            None,
            "ok 1 s/xpass # XFAIL known: #12\n".to_string(),
        ),
        (&XSKIP, None, "ok 1 s/xskip # SKIP not here\n".to_string()),
        (
            &KNOWN_HERE,
            None,
            "ok 1 s/here # XFAIL known: #13\n".to_string(),
        ),
        (
            &KNOWN_HERE,
            Some(Ended::Returned(Err(Stop::Fail("as ever")))),
            "# failed: as ever\nnot ok 1 s/here # XFAIL known: #13\n".to_string(),
        ),
        (
            &DEADLY,
            None,
            "# may end the kernel: known: #14\nok 1 s/deadly # XFAIL known: #14\n".to_string(),
        ),
        (
            &DEADLY,
            Some(Ended::Returned(Err(Stop::Fail("alive")))),
            "# may end the kernel: known: #14\n# failed: alive\nnot ok 1 s/deadly # XFAIL known: #14\n"
                .to_string(),
        ),
        (&KNOWN_ELSEWHERE, None, "ok 1 s/elsewhere\n".to_string()),
        (
            &KNOWN_ELSEWHERE,
            Some(Ended::Returned(Err(Stop::Fail("as ever")))),
            "# failed: as ever\nnot ok 1 s/elsewhere\n".to_string(),
        ),
        (&PASS, None, "ok 1 s/pass\n".to_string()),
        (&OFF, None, "ok 1 off/case\n".to_string()),
    ] {
        let mut fake = Fake {
            endings: ended.into_iter().map(|ended| (test.name, ended)).collect(),
            ..Fake::default()
        };
        assert_eq!(result(&mut fake, test), text);
        assert_eq!(fake.ran, [test.name]);
    }
}

#[test]
fn leaks_are_reported_and_fail_what_would_have_passed() {
    let dead = || Some(Ended::Panicked(message("boom")));
    for (test, ended, readings, text) in [
        (
            &PASS,
            None,
            &[5, 7][..],
            "# leak: malloc type kdk +2\nnot ok 1 s/pass\n",
        ),
        (
            &SKIP,
            None,
            &[5, 6],
            "# leak: malloc type kdk +1\nnot ok 1 s/skip\n",
        ),
        (
            &PASS,
            dead(),
            &[5, 7],
            "# panic: boom\n# leak: malloc type kdk +2\nnot ok 1 s/pass\n",
        ),
        (
            &XPASS,
            None,
            &[5, 7],
            "# leak: malloc type kdk +2\nnot ok 1 s/xpass # XFAIL known: #12\n",
        ),
        (
            &TYPES,
            None,
            &[0, 1],
            "# leak: malloc type kdk +1\n# leak: malloc type temp +1\n\
             # leak: malloc type mbuf_tag +1\nnot ok 1 s/types\n",
        ),
        (&PASS, None, &[5, 5], "ok 1 s/pass\n"),
        (&PASS, None, &[5, 4], "ok 1 s/pass\n"),
    ] {
        let mut fake = Fake {
            endings: ended.into_iter().map(|ended| (test.name, ended)).collect(),
            readings: readings.to_vec(),
            ..Fake::default()
        };
        assert_eq!(result(&mut fake, test), text);
    }
}

#[test]
fn late_frees_are_waited_for() {
    for (readings, patience, settled, ok) in [
        // Nothing grew: nothing to wait for.
        (&[5, 5][..], 3, 0, true),
        (&[5, 7, 6, 5], 3, 2, true),
        // The platform stops settling first.
        (&[5, 7, 6, 6, 6, 5], 3, 4, false),
        (&[5, 7], 0, 1, false),
    ] {
        let mut fake = Fake {
            readings: readings.to_vec(),
            patience,
            ..Fake::default()
        };
        let text = result(&mut fake, &PASS);
        assert_eq!(text == "ok 1 s/pass\n", ok, "{text}");
        assert_eq!(fake.settled, settled);
    }
}

#[test]
fn unwatched_counters_are_an_error() {
    let mut fake = Fake {
        counters: crate::MAX_COUNTERS + 1,
        ..Fake::default()
    };
    let text = result(&mut fake, &PASS);
    assert!(
        text.starts_with("not ok 1 s/pass # ERROR the leak check supports 32 counters"),
        "{text}"
    );
    // As many as there is room for are watched.
    fake.counters = crate::MAX_COUNTERS;
    assert_eq!(result(&mut fake, &PASS), "ok 1 s/pass\n");
}

#[test]
fn a_run_takes_the_selected_tests_by_name() {
    let mut fake = Fake::default();
    let tests = [&SKIP, &OFF, &XFAIL, &PASS];
    let text = answer(&mut fake, &tests, "run *\r\n");
    assert_eq!(
        text,
        "# start s/pass\nKTAP version 1\n1..3\n\
         ok 1 s/pass\n# start s/skip\n\
         ok 2 s/skip # SKIP no such device\n# start s/xfail\n\
         # failed: as ever\nnot ok 3 s/xfail # XFAIL known: #12\n# done 3\n"
    );
    assert_eq!(fake.ran, ["s/pass", "s/skip", "s/xfail"]);
    let mut fake = Fake::default();
    assert!(answer(&mut fake, &tests, "run off/*").contains("ok 1 off/case\n"));
}

#[test]
fn a_test_is_announced_before_it_runs() {
    let mut fake = Fake::default();
    let tests = [&PASS, &SKIP];
    let mut run = Run::new(&Registry::new(&tests), Pattern::new("*").unwrap()).unwrap();
    let mut chunks = Vec::new();
    let mut ran = Vec::new();
    loop {
        let mut chunk = String::new();
        if !run.next_chunk(&mut fake, &mut chunk).unwrap() {
            break;
        }
        chunks.push(chunk);
        ran.push(fake.ran.len());
    }
    assert_eq!(
        chunks,
        [
            "# start s/pass\nKTAP version 1\n1..2\n",
            "ok 1 s/pass\n# start s/skip\n",
            "ok 2 s/skip # SKIP no such device\n# done 2\n",
        ]
    );
    assert_eq!(ran, [0, 1, 2]);
}

#[test]
fn end_is_answered_with_bye() {
    assert_eq!(answer(&mut Fake::default(), &[], "end\n"), "# bye\n");
    assert_eq!(answer(&mut Fake::default(), &[], "list"), "# end list 0\n");
}

/// Takes `.0` bytes, then no more.
struct Full(usize);

impl Write for Full {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

#[test]
fn a_full_writer_is_an_error_and_never_runs_a_test_twice() {
    let tests = [&PASS, &SKIP];
    let whole = answer(&mut Fake::default(), &tests, "run *");
    for room in 0..whole.len() {
        let mut fake = Fake::default();
        let mut answer = Answer::to(&Registry::new(&tests), Where::Kernel, "run *");
        let mut full = Full(room);
        let mut failures = 0;
        loop {
            match answer.next_chunk(&mut fake, &mut full) {
                Ok(true) => {}
                Ok(false) => break,
                Err(fmt::Error) => {
                    failures += 1;
                    full.0 = 0;
                }
            }
        }
        assert!(failures > 0, "{room}");
        assert_eq!(fake.ran, ["s/pass", "s/skip"]);
    }
}

#[test]
fn readers_with_buffers_of_any_size_get_the_same_text() {
    let tests = [&SKIP, &XFAIL, &PASS];
    for line in ["run *", "list", "end", "dance"] {
        let whole = answer(&mut Fake::default(), &tests, line);
        for size in [1, 2, 3, 7, 64, 10_000] {
            let mut fake = Fake::default();
            let answer = Answer::to(&Registry::new(&tests), Where::Kernel, line);
            let mut reader = Reader::new(answer);
            assert_eq!(reader.read(&mut fake, &mut []), 0);
            let mut text = Vec::new();
            let mut buffer = std::vec![0; size];
            loop {
                let count = reader.read(&mut fake, &mut buffer);
                if count == 0 {
                    break;
                }
                text.extend_from_slice(&buffer[..count]);
            }
            assert_eq!(String::from_utf8(text).unwrap(), whole, "{size}");
            assert_eq!(reader.read(&mut fake, &mut buffer), 0);
        }
    }
}

#[test]
fn a_reader_runs_no_test_before_its_start_was_taken() {
    let mut fake = Fake::default();
    let tests = [&PASS];
    let answer = Answer::to(&Registry::new(&tests), Where::Kernel, "run s/pass");
    let mut reader = Reader::new(answer);
    for _ in 0.."# start s/pass\nKTAP version 1\n1..1\n".len() {
        assert_eq!(reader.read(&mut fake, &mut [0]), 1);
        assert!(fake.ran.is_empty());
    }
    assert_eq!(reader.read(&mut fake, &mut [0]), 1);
    assert_eq!(fake.ran, ["s/pass"]);
}

#[test]
fn the_longest_chunk_fits() {
    const NAME: &str = "s/01234567890123456789012345678901234567890123456789012345678901";
    static WORST: Test = {
        let mut test = Test::new(NAME, passes);
        test.expect = Expect::Fail(WHY);
        test.leak_types = &LEAKS;
        test
    };
    const WHY: &str = "0123456789012345678901234567890123456789012345678901234567890123456789\
        0123456789012345678901234567890123456789012345678901234567890123456789\
        0123456789012345678901234567890123456789012345678901234567890123456789";
    const LEAKS: [&str; 23] = {
        let mut leaks = [""; 23];
        let mut nth = 0;
        while nth < leaks.len() {
            // As long as is shown and more, and each another name.
            leaks[nth] = WHY.split_at(nth).1;
            nth += 1;
        }
        leaks
    };
    let newlines = "x\n".repeat(1000);
    let mut fake = Fake {
        endings: std::vec![(NAME, Ended::Panicked(message(&newlines)))],
        readings: std::vec![0, i64::MAX],
        ..Fake::default()
    };
    let tests = [&WORST, &TYPES];
    let mut run = Run::new(&Registry::new(&tests), Pattern::new("*").unwrap()).unwrap();
    let mut longest = 0;
    loop {
        let mut chunk = String::new();
        if !run.next_chunk(&mut fake, &mut chunk).unwrap() {
            break;
        }
        longest = longest.max(chunk.len());
    }
    assert!((3000..=MAX_CHUNK).contains(&longest), "{longest}");
}
