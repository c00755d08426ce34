//! The guest's faults with their expected verdicts. The tests of the runner and
//! of the command line share these tables.

use kdk_vm::phase::Phase;
use kdk_vm::verdict::Verdict::{self, Crash, Fail, Pass, Timeout};

/// A fault in a test.
#[derive(Debug)]
pub struct InTest {
    /// The test, without its suite `fault/`.
    pub name: &'static str,
    /// The expected verdict.
    pub verdict: Verdict,
    /// A text that its detail must contain.
    pub detail: &'static str,
    /// A text that its backtrace must contain.
    pub frame: &'static str,
}

/// A fault that prevents a boot.
#[derive(Debug)]
pub struct AtBoot {
    /// The name on the guest's command line.
    pub name: &'static str,
    /// The phase that the boot must have reached.
    pub phase: Phase,
    /// A text that the error must contain.
    pub says: &'static str,
}

const fn fault(
    name: &'static str,
    verdict: Verdict,
    detail: &'static str,
    frame: &'static str,
) -> InTest {
    InTest {
        name,
        verdict,
        detail,
        frame,
    }
}

const fn boot(name: &'static str, phase: Phase, says: &'static str) -> AtBoot {
    AtBoot { name, phase, says }
}

const FRAME: &str = "/frame 0x";
const HUNG: &str = "demo_hang() at demo_hang+";
const LATE: &str = "no end within";

/// The faults in tests.
#[rustfmt::skip]
pub const IN_TESTS: &[InTest] = &[
    fault("panic", Crash, "panic: demo: this panic was asked for", FRAME),
    fault("trap", Crash, "Fatal trap 12: page fault while in kernel mode", FRAME),
    fault("double-fault", Crash, "Fatal double fault", ""),
    fault("kassert", Crash, "panic: Assertion m->m_len >= 0 failed", FRAME),
    fault("ddb-prompt", Crash, "panic: demo: this panic stays in the debugger", FRAME),
    fault("witness-lor", Fail, "lock order reversal: 1st demo b", "#0 0xffffffff80b1c2d3"),
    fault("hang-cli", Timeout, LATE, HUNG),
    fault("hang-alive", Timeout, LATE, FRAME),
    fault("hang-locked", Timeout, "owned locks:", HUNG),
    fault("hang-deaf", Timeout, "the kernel debugger did not answer an NMI within", ""),
    fault("triple", Crash, "reset the machine (reboot or triple fault)", ""),
    fault("reboot", Crash, "reset the machine", ""),
    fault("exit-early", Crash, "debug exit 42", ""),
    fault("silent-close", Timeout, LATE, ""),
    fault("garbage", Fail, "garbage inside of the document", ""),
    fault("wrong-name", Fail, "results for fault/somebody-else instead of fault/wrong-name", ""),
    fault("no-plan", Fail, "no plan", ""),
    fault("duplicate-result", Fail, "more results than the 1 planned", ""),
    fault("after-done", Pass, "", ""),
    fault("rust-panic", Fail, "this assertion was meant to fail", ""),
    fault("leak", Fail, "leak: demo objects +5", ""),
    fault("leak-mbufs", Fail, "leak: mbufs +3", ""),
    fault("leak-thread", Fail, "leak: threads +1", ""),
    fault("held-lock", Fail, "leak: held locks +1", ""),
    fault("timeout", Timeout, LATE, FRAME),
];

/// Before the guest's hello, in it, and in its list.
#[rustfmt::skip]
pub const AT_BOOT: &[AtBoot] = &[
    boot("boot-panic", Phase::Kernel, "panic: demo: cannot go on booting"),
    boot("boot-hang", Phase::Kernel, "it printed nothing for"),
    boot("no-hello", Phase::Kernel, "it was not up after"),
    boot("bad-version", Phase::Kernel, "the guest has protocol version 99, and this host has 2"),
    boot("reboot-loop", Phase::Kernel, "reset the machine"),
    boot("early-exit", Phase::Kernel, "debug exit 16"),
    boot("mountroot", Phase::MountRoot, "root file system"),
    boot("init-missing", Phase::Init, "panic: no init"),
    boot("init-crash", Phase::Init, "panic: Going nowhere without my init!"),
    boot("load-panic", Phase::Init, "panic: demo: cannot load the module"),
    boot("kmod-refused", Phase::Init, "the test module was refused with errno 8: KLD kdk.ko: depends on kernel"),
    boot("list-hang", Phase::Init, "no end of the list within"),
];
