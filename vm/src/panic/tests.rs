use super::*;

/// Returns the matches of a console, as `kind: title` with the number of
/// frames.
fn matches(console: &str) -> Vec<String> {
    scan(console.lines())
        .iter()
        .map(|s| format!("{:?}: {} [{}]", s.kind, s.title, s.backtrace.len()))
        .collect()
}

const PANIC_15: &str = "\
kdk: test fault/panic
panic: mtx_lock() of spin mutex (null) @ kern/foo.c:12
cpuid = 0
time = 1732350000
KDB: stack backtrace:
db_trace_self_wrapper() at db_trace_self_wrapper+0x2b/frame 0xfffffe0007d0ab10
vpanic() at vpanic+0x136/frame 0xfffffe0007d0ac40
panic() at panic+0x43/frame 0xfffffe0007d0aca0
fork_exit() at fork_exit+0x82/frame 0xfffffe0007d0af30
fork_trampoline() at fork_trampoline+0xe/frame 0xfffffe0007d0af30
--- trap 0, rip = 0, rsp = 0, rbp = 0 ---
KDB: enter: panic
[ thread pid 0 tid 100007 ]
Stopped at      kdb_enter+0x33: movq    $0,0x1234567(%rip)
db> ";

#[test]
fn one_death_is_one_sign_however_much_it_prints() {
    let seen = scan(PANIC_15.lines());
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(
        seen[0].title,
        "panic: mtx_lock() of spin mutex (null) @ kern/foo.c:12"
    );
    insta::assert_snapshot!(seen[0].backtrace.join("\n"), @r"
    KDB: stack backtrace:
    db_trace_self_wrapper() at db_trace_self_wrapper+0x2b/frame 0xfffffe0007d0ab10
    vpanic() at vpanic+0x136/frame 0xfffffe0007d0ac40
    panic() at panic+0x43/frame 0xfffffe0007d0aca0
    fork_exit() at fork_exit+0x82/frame 0xfffffe0007d0af30
    fork_trampoline() at fork_trampoline+0xe/frame 0xfffffe0007d0af30
    --- trap 0, rip = 0, rsp = 0, rbp = 0 ---
    ");
}

#[test]
fn a_trap_keeps_its_own_title_when_the_panic_follows() {
    let console = "
Fatal trap 12: page fault while in kernel mode
cpuid = 0; apic id = 00
fault virtual address\t= 0x0
current process\t\t= 0 (kdk test)
trap number\t\t= 12
panic: page fault
cpuid = 0
time = 1
KDB: stack backtrace:
#0 0xffffffff80c0ffee at kdb_backtrace+0x65
#1 0xffffffff80c0ffff at vpanic+0x136
Uptime: 3s
";
    assert_eq!(
        matches(console),
        ["FatalTrap: Fatal trap 12: page fault while in kernel mode [3]"]
    );
}

#[test]
fn old_kernels_put_arguments_and_no_frame() {
    let console = "
Fatal double fault
rip = 0xffffffff80c0ffee
KDB: stack backtrace:
db_trace_self_wrapper(0,c0de,1) at db_trace_self_wrapper+0x2b/frame 0xfffffe00003a5f00
trap(c0de) at trap+0x5a
calltrap() at 0xffffffff80c0ffee
--- trap 0x17, rip = 0xffffffff80c0ffee, rsp = 0, rbp = 0 ---
";
    assert_eq!(matches(console), ["DoubleFault: Fatal double fault [5]"]);
}

#[test]
fn witness_complains_without_dying() {
    let console = "
lock order reversal:
 1st 0xfffff80003a4e068 kdk one (kdk one, sleep mutex) @ kdk/shim.c:12
 2nd 0xfffff80003a4e0a8 kdk two (kdk two, sleep mutex) @ kdk/shim.c:13
lock order kdk two -> kdk one established at:
#0 0xffffffff80c4a0b4 at witness_checkorder+0x314
#1 0xffffffff80ba8e64 at __mtx_lock_flags+0x94
lock order kdk one -> kdk two attempted at:
#0 0xffffffff80c4a9b2 at witness_checkorder+0xc12
one
two
three
four
five
six
seven
#9 0x1 at not_ours+0x1
panic: later
cpuid = 0
";
    assert_eq!(
        matches(console),
        [
            "LockOrder: lock order reversal: 1st kdk one (kdk one, sleep mutex) @ kdk/shim.c:12, \
             2nd kdk two (kdk two, sleep mutex) @ kdk/shim.c:13 [5]",
            "Panic: panic: later [0]",
        ]
    );
}

#[test]
fn each_text_has_its_kind() {
    for (line, kind) in [
        ("panic: Going nowhere without my init!", Kind::Panic),
        (
            "panic: Assertion x == y failed at /usr/src/sys/kern/f.c:1",
            Kind::Panic,
        ),
        (
            "Fatal trap 9: general protection fault while in kernel mode",
            Kind::FatalTrap,
        ),
        ("Fatal double fault", Kind::DoubleFault),
        ("KDB: enter: Break to debugger", Kind::Debugger),
        (
            "Stopped at      kdb_enter+0x37: movq $0,kdb_why",
            Kind::Debugger,
        ),
        ("Stopped at\tkdb_enter", Kind::Debugger),
        ("db> ", Kind::Debugger),
        ("mountroot> ", Kind::MountRoot),
        (
            "lock order reversal: (sleepable after non-sleepable)",
            Kind::LockOrder,
        ),
        (
            "acquiring duplicate lock of same type: \"kdk\"",
            Kind::LockOrder,
        ),
        ("KASSERT failed: foo", Kind::Assertion),
        (
            "uma_zalloc_debug: zone \"16\" with the following non-sleepable locks held:",
            Kind::LocksHeld,
        ),
        (
            "Thread 0xfffff800 exiting with the following locks held:",
            Kind::LocksHeld,
        ),
        (
            "KLD kdk.ko: depends on kernel - not available or version mismatch",
            Kind::Module,
        ),
        (
            "linker_load_file: /kdk.ko - unsupported file type",
            Kind::Module,
        ),
        ("link_elf_obj: symbol m_getm3 undefined", Kind::Module),
        ("kldload: /kdk.ko: Unsupported file layout", Kind::Module),
    ] {
        let mut scanner = Scanner::new();
        assert_eq!(scanner.line(line), Some(0), "{line}");
        assert_eq!(scanner.matches()[0].kind, kind, "{line}");
        assert_eq!(scanner.death().is_some(), kind.is_death(), "{line}");
    }
}

#[test]
fn what_only_looks_like_death_is_not_death() {
    for line in [
        "kern.panic_reboot_wait_time: 0",
        "KDB: debugger backends: ddb",
        "KDB: current backend: ddb",
        "KDB: stack backtrace:",
        "test panic: caught and fine",
        "sub/db> file",
        "Stopped at the first error",
        "OK",
        "OK ",
        "OK then",
        "Shell> ",
        "everything is Fatal trap free",
        "mountroot: waiting for device /dev/vtbd0...",
        "interface kdk.1 depends on nothing",
        "locks held:",
        "",
    ] {
        let mut scanner = Scanner::new();
        assert_eq!(scanner.line(line), None, "{line}");
        assert_eq!(scanner.partial(line), None, "{line}");
        assert_eq!(scanner.line("next"), None, "{line}");
    }
}

#[test]
fn a_panic_after_half_a_line_is_recognized_by_the_line_after_it() {
    let console = "loading kdk.ko...panic: bad\ncpuid = 0\nKDB: stack backtrace:\n";
    assert_eq!(matches(console), ["Panic: panic: bad [1]"]);
    assert_eq!(matches("loading kdk.ko...panic: bad\nno more\n"), [""; 0]);
}

#[test]
fn prompts_are_seen_before_their_line_ends() {
    for (partial, kind) in [("db> ", Kind::Debugger), ("mountroot> ", Kind::MountRoot)] {
        let mut scanner = Scanner::new();
        assert_eq!(scanner.partial(partial), Some(0));
        assert_eq!(scanner.death().map(|s| s.kind), Some(kind));
        assert_eq!(scanner.partial(partial), None, "seen already");
    }
}

#[test]
fn a_loader_or_firmware_that_asks_is_no_boot_but_a_later_ok_is_none() {
    for (before, prompt) in [
        ("FreeBSD/amd64 EFI loader, Revision 3.0", "OK "),
        ("UEFI Interactive Shell v2.2", "Shell> "),
    ] {
        let mut scanner = Scanner::new();
        scanner.line(before);
        assert_eq!(scanner.partial(prompt), Some(0), "{prompt}");
        assert_eq!(scanner.matches()[0].kind, Kind::NoBoot);

        let mut scanner = Scanner::new();
        scanner.line(before);
        scanner.line("---<<BOOT>>---");
        assert_eq!(
            scanner.partial(prompt),
            None,
            "{prompt} of the kernel's time"
        );
    }
}

#[test]
fn a_second_boot_banner_is_a_reboot_but_the_two_of_one_boot_are_not() {
    let boot = "---<<BOOT>>---\nCopyright (c) 1992-2025 The FreeBSD Project.\n";
    assert!(scan(boot.lines()).is_empty());
    let twice = format!("{boot}Trying to mount root\n{boot}");
    assert_eq!(
        matches(&twice),
        ["Reboot: the kernel booted a second time [0]"]
    );
}

#[test]
fn signs_and_frames_are_bounded() {
    let mut scanner = Scanner::new();
    for n in 0..1000 {
        scanner.line(&format!("KASSERT failed: {n} {}", "x".repeat(1000)));
        for _ in 0..10 {
            scanner.line("#1 0xffffffff80ba8e64 at f+0x94");
        }
    }
    assert_eq!(scanner.matches().len(), MAX_MATCHES);
    assert!(
        scanner.line("panic: at last").is_some(),
        "a death always counts"
    );
    for _ in 0..1000 {
        scanner.line("#1 0xffffffff80ba8e64 at f+0x94");
    }
    for matched in scanner.matches() {
        assert!(matched.backtrace.len() <= MAX_FRAMES && matched.title.len() <= MAX_TITLE);
    }
}
