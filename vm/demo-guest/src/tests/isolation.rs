//! A test that fails does not affect others.

use super::harness::answer;
use crate::clock;
use crate::hw;
use crate::platform::{Demo, let_traps_end_test};
use kdk_harness::{Ended, Platform, Test, TestResult, kdk_test};

static PANICS: Test = Test::new("inner/panics", || {
    assert_eq!(6 * 7, 54, "the question\nwas another");
    Ok(())
});

fn panics_are_isolated() -> TestResult {
    let Ended::Panicked(words) = Demo.run_isolated(&PANICS) else {
        panic!("the inner test did not panic")
    };
    let words = words.as_str();
    assert!(words.contains("the question\nwas another"), "{words}");
    assert!(
        words.contains("left: 42") && words.contains("right: 54"),
        "{words}"
    );
    assert!(words.contains(concat!(" at ", file!(), ":")), "{words}");
    Ok(())
}
kdk_test!("harness/panics-are-isolated", panics_are_isolated);

fn panics_do_not_use_up_the_stack() -> TestResult {
    for _ in 0..5000 {
        assert!(matches!(Demo.run_isolated(&PANICS), Ended::Panicked(_)));
    }
    Ok(())
}
kdk_test!(
    "harness/panics-do-not-use-up-the-stack",
    panics_do_not_use_up_the_stack,
    limit_ms = 30_000,
);

fn others_run_after_a_panic() -> TestResult {
    static AFTER: Test = Test::new("inner/z-after", || Ok(()));
    let text = answer(&[&PANICS, &AFTER], "run *");
    let text = text.as_str();
    assert!(text.contains("\n# panic: "), "{text}");
    assert!(text.contains("\nnot ok 1 inner/panics\n"), "{text}");
    assert!(text.ends_with("ok 2 inner/z-after\n# done 2\n"), "{text}");
    Ok(())
}
kdk_test!("harness/others-run-after-a-panic", others_run_after_a_panic);

static PANICS_DEEPER: Test = Test::new("inner/nested", || {
    assert!(matches!(Demo.run_isolated(&PANICS), Ended::Panicked(_)));
    panic!("outer")
});

fn panics_nest() -> TestResult {
    let Ended::Panicked(words) = Demo.run_isolated(&PANICS_DEEPER) else {
        panic!("the inner test did not panic")
    };
    assert!(words.as_str().starts_with("outer at "), "{words}");
    Ok(())
}
kdk_test!("harness/panics-nest", panics_nest);

fn interrupts_come_back() -> TestResult {
    static UNDISTURBED: Test = Test::new("inner/undisturbed", || {
        hw::disable_interrupts();
        panic!("with interrupts off")
    });
    assert!(matches!(
        Demo.run_isolated(&UNDISTURBED),
        Ended::Panicked(_)
    ));
    assert!(hw::interrupts_enabled());
    let before = clock::ticks();
    clock::sleep(30);
    assert!(clock::ticks() > before);
    Ok(())
}
kdk_test!("harness/interrupts-come-back", interrupts_come_back);

fn traps_are_isolated() -> TestResult {
    static UNDEFINED: Test = Test::new("inner/undefined", || {
        let_traps_end_test();
        hw::invalid_opcode();
        Ok(())
    });
    static UNMAPPED: Test = Test::new("inner/unmapped", || {
        let_traps_end_test();
        hw::read_unmapped();
        Ok(())
    });
    for (test, trap) in [
        (&UNDEFINED, "trap 1: privileged instruction fault at 0x"),
        (&UNMAPPED, "trap 12: page fault at 0x"),
    ] {
        let Ended::Died(words) = Demo.run_isolated(test) else {
            panic!("{} did not die", test.name)
        };
        assert!(words.as_str().starts_with(trap), "{words}");
    }
    assert!(
        answer(&[&UNDEFINED], "run *")
            .as_str()
            .contains("\nnot ok 1 inner/undefined # ERROR trap 1: ")
    );
    Ok(())
}
// The demo guest uses one CPU; the host starts a machine for each number.
kdk_test!(
    "harness/traps-are-isolated",
    traps_are_isolated,
    cpus = &[1, 2]
);
