//! Every fault of a guest, each as a test that runs only when it is named.

use crate::objects::Kind;
use crate::{clock, console, debugger, guest, hw, log, objects, panic, results};
use kdk_harness::{Stop, TestResult, kdk_test};

/// The code for isa-debug-exit in the middle of a test.
const EXIT_IN_TEST: u8 = 0x2a;
/// The limit of long tests, in milliseconds.
const LONG: u32 = 600_000;

/// Registers a fault as a test.
macro_rules! fault {
    ($name:literal, $run:expr $(, $option:ident = $value:expr)* $(,)?) => {
        kdk_test!(concat!("fault/", $name), $run, default = false $(, $option = $value)*);
    };
}

fault!("panic", || hw::demo_panic(format_args!(
    "demo: this panic was asked for"
)));

fault!("kassert", || hw::demo_panic(format_args!(
    "Assertion m->m_len >= 0 failed at demo-guest/fault.c:42"
)));

fault!("trap", || {
    hw::read_unmapped();
    Ok(())
});

fault!("double-fault", || hw::overflow_stack());

fault!("triple", || hw::triple_fault());

fault!("ddb-prompt", || {
    panic::announce_panic(format_args!("demo: this panic stays in the debugger"), None);
    panic::enter_debugger()
});

fault!("reboot", || {
    log!("demo: rebooting without being asked");
    hw::reset()
});

fault!("exit-early", || hw::exit(EXIT_IN_TEST));

fault!("hang-cli", || hw::stop_for_good());

// Its debugger does not answer either.
fault!("hang-deaf", || {
    debugger::ignore_nmis();
    hw::stop_for_good()
});

fault!("hang-locked", || {
    let _guard = objects::lock().ok_or(Stop::Fail("the lock is already locked"))?;
    hw::stop_for_good()
});

fault!(
    "hang-alive",
    || clock::tick_on("demo: fault/hang-alive"),
    limit_ms = 1000,
);

fault!(
    "timeout",
    || clock::tick_on("demo: fault/timeout"),
    limit_ms = 300
);

fault!("rust-panic", || {
    let found = objects::lock().is_none();
    assert!(found, "this assertion was meant to fail");
    Ok(())
});

fault!("witness-lor", || {
    log!("lock order reversal:");
    log!(" 1st 0xfffff80003a1b2c0 demo b (demo b, sleep mutex) @ demo-guest/fault.c:101");
    log!(" 2nd 0xfffff80003a1b300 demo a (demo a, sleep mutex) @ demo-guest/fault.c:102");
    log!("lock order demo a -> demo b established at:");
    log!("#0 0xffffffff80b1c2d3 at witness_checkorder+0x363");
    log!("lock order demo b -> demo a attempted at:");
    log!("#0 0xffffffff80b1c9f0 at witness_checkorder+0xa80");
    Ok(())
});

fault!("silent-close", || {
    log!("demo: the result channel goes silent");
    results::mute();
    Ok(())
});

fault!("garbage", || {
    results::send(b"\0\xff\xfe\x80not text\x1b[31m\r\n\n\xc3(\n");
    for round in 0..16 {
        // All byte values, newlines among them, ending with one.
        let bytes: [u8; 256] = core::array::from_fn(|at| (at as u8).wrapping_mul(round * 2 + 1));
        results::send(&bytes);
    }
    results::send(b"\n");
    Ok(())
});

// These pass; `inject` changes their answers.
fn passes() -> TestResult {
    Ok(())
}
fault!("wrong-name", passes);
fault!("no-plan", passes);
fault!("duplicate-result", passes);
fault!("after-done", passes);
// After this test's answer the guest reads no more commands.
fault!("deaf", passes);

fault!(
    "flood",
    || {
        let line = "demo: flood: the console says this over and over, as some do..\n";
        let lines = u64::from(guest::options().flood_mib) * (1 << 20) / (line.len() as u64 + 1);
        for _ in 0..=lines {
            console::write(format_args!("{line}"));
        }
        Ok(())
    },
    limit_ms = LONG,
);

fault!(
    "megaline",
    || {
        for _ in 0..1 << 14 {
            results::send(&[b'm'; 64]);
        }
        results::send(b"\n");
        Ok(())
    },
    limit_ms = LONG,
);

fault!("leak", || {
    objects::take(Kind::Object, 5);
    Ok(())
});

fault!("leak-mbufs", || {
    objects::take(Kind::Mbuf, 3);
    Ok(())
});

fault!("leak-thread", || {
    objects::take(Kind::Thread, 1);
    Ok(())
});

fault!("held-lock", || {
    let guard = objects::lock().ok_or(Stop::Fail("the lock is already locked"))?;
    core::mem::forget(guard);
    Ok(())
});
