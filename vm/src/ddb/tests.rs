use super::*;

/// Consoles that kernels printed, without most of their idle threads.
const HANG_15: &str = include_str!("consoles/15.1-hang-of-two-cpus.txt");
const USER_SPACE_15: &str = include_str!("consoles/15.1-hang-in-user-space.txt");
const HANG_2014: &str = include_str!("consoles/2014-hang-on-the-other-cpu.txt");

/// Replays a console against the script: where the console shows a command, it
/// must be the one that the script says now.
fn replay(console: &str) -> Dialogue {
    let mut dialogue = Dialogue::new();
    for line in console.lines() {
        if let Some(command) = line.strip_prefix(PROMPT) {
            let turn = dialogue.partial(PROMPT);
            assert_eq!(turn, Turn::Say(command.to_owned()));
            assert_eq!(dialogue.partial(PROMPT), Turn::Listen, "not echoed yet");
            assert_eq!(dialogue.partial("db> b"), Turn::Listen);
        }
        dialogue.line(line);
    }
    dialogue
}

fn findings(console: &str) -> Findings {
    let mut dialogue = replay(console);
    assert_eq!(dialogue.partial(PROMPT), Turn::Over);
    dialogue.findings()
}

/// Returns the functions of a backtrace, under their headings.
fn functions(backtrace: &[String]) -> String {
    let lines = backtrace
        .iter()
        .map(|line| match line.split_once("() at ") {
            Some((function, _)) => format!("  {:.40}", function),
            None => format!("{line:.40}"),
        });
    lines.collect::<Vec<String>>().join("\n")
}

#[test]
fn a_debugger_that_says_nothing_leaves_nothing() {
    let mut dialogue = Dialogue::new();
    assert_eq!(dialogue.partial(""), Turn::Listen);
    assert_eq!(dialogue.partial("login: "), Turn::Listen);
    assert_eq!(dialogue.unanswered(), None);
    dialogue.line("still here after 3 s");
    assert_eq!(dialogue.findings(), Findings::default());
}

#[test]
fn findings_before_a_silence_are_kept() {
    let (until, _) = USER_SPACE_15.split_once("db> show alllocks").unwrap();
    let whole = findings(USER_SPACE_15);
    let cut = replay(until);
    assert_eq!(cut.unanswered().as_deref(), Some("bt 16"));
    assert_eq!(cut.findings().backtrace, whole.backtrace);

    let (until, _) = HANG_15.split_once("db> ps").unwrap();
    let cut = replay(until);
    assert_eq!(cut.unanswered().as_deref(), Some("show registers"));
    let findings = cut.findings();
    assert_eq!(findings.backtrace[0], "thread:");
    assert_eq!(findings.registers.len(), 24);
}

#[test]
fn a_kernel_that_takes_the_nmi_for_a_failure_has_its_panics_backtrace() {
    let findings = replay(
        "NMI ISA 30, EISA ff\npanic: NMI\ncpuid = 0\ntime = 2\nKDB: stack backtrace:\n\
         panic() at panic+0x43/frame 0xfffffe0007d0aca0\n\
         --- trap 0x13, rip = 0xffffffff81a185f2, rsp = 0, rbp = 0 ---\n\
         kdk_hang() at kdk_hang+0x12/frame 0xfffffe0045efbc70\nUptime: 2s\n",
    )
    .findings();
    assert_eq!(findings.backtrace.len(), 4, "{findings:?}");
}

#[test]
fn a_cpu_that_hangs_is_reported_with_its_registers() {
    let findings = findings(HANG_15);
    insta::assert_snapshot!(functions(&findings.backtrace), @r"
    thread kdk test (100051) on cpu 0:
      kdk_hang
      _RNvNtNtCs3li0oadDTUp_3kdk3kpi5fault5pan
      _RNvYNCNvNvNtNtCs3li0oadDTUp_3kdk5tests7
      _RNvNtNtCs3li0oadDTUp_3kdk3kpi7kthread4m
      fork_exit
      fork_trampoline
    --- trap 0, rip = 0, rsp = 0, rbp = 0 --
    ");
    assert!(
        findings
            .registers
            .iter()
            .any(|line| line.starts_with("rip ") && line.ends_with("kdk_hang+0x12")),
        "{:?}",
        findings.registers
    );
    assert_eq!(findings.locks, [""; 0]);
}

#[test]
fn the_registers_of_an_idle_cpu_are_not_those_of_the_hang() {
    let findings = findings(HANG_2014);
    insta::assert_snapshot!(functions(&findings.backtrace), @r"
    thread kdk test (100036) on cpu 1:
      cpustop_handler
      ipi_nmi_handler
      trap
      nmi_calltrap
    --- trap 0x13, rip = 0xffffffff81211532,
      kdk_hang
      _RNvNtNtCs3li0oadDTUp_3kdk3kpi5fault5pan
      _RNvYNCNvNvNtNtCs3li0oadDTUp_3kdk5tests7
      _RNvNtNtCs3li0oadDTUp_3kdk3kpi7kthread4m
      fork_exit
      fork_trampoline
    --- trap 0, rip = 0, rsp = 0xfffffe001e4
    ");
    assert_eq!(findings.registers, [""; 0]);
}

#[test]
fn when_every_cpu_is_idle_the_tests_threads_are_reported() {
    let findings = findings(USER_SPACE_15);
    insta::assert_snapshot!(functions(&findings.backtrace), @r"
    thread smoke (17):
      sched_ule_sswitch
      mi_switch
      sleepq_switch
      sleepq_catch_signals
      sleepq_timedwait_sig
      _sleep
      kern_clock_nanosleep
      sys_nanosleep
      amd64_syscall
      fast_syscall_common
    --- syscall (240, FreeBSD ELF64, nanosle
    thread smoke (16):
      sched_ule_sswitch
      mi_switch
      sleepq_switch
      sleepq_catch_signals
      sleepq_timedwait_sig
      _sleep
      kqueue_scan
      kqueue_kevent
      kern_kevent_fp
      kern_kevent
      kern_kevent_generic
      freebsd11_kevent
      amd64_syscall
      fast_syscall_common
    --- syscall (363, FreeBSD ELF64, compat1
    ");
}

#[test]
fn held_locks_are_reported() {
    let locks = "\
Process 0 (kernel) thread 0xfffff800024fe780 (100048)
exclusive sleep mutex kdk module (kdk module) r = 0 (0xffffffff81a2bc88) locked @ kdk:0
";
    let console = HANG_15.replace(
        "db> show alllocks\n",
        &format!("db> show alllocks\n{locks}"),
    );
    let locked = findings(&console).locks;
    assert_eq!(locked, locks.lines().collect::<Vec<&str>>());
}

#[test]
fn threads_of_a_list() {
    type Row = (
        &'static str,
        Option<(&'static str, &'static str, bool, bool)>,
    );
    let table: [Row; 9] = [
        (
            "  pid  ppid  pgrp   uid  state   wmesg   wchan               cmd",
            None,
        ),
        (
            "    0     0     0     0  RLs     (threaded)                  [kernel]",
            None,
        ),
        ("db_more", None),
        ("", None),
        (
            "    1     0     0     0  DL      kdkwait 0xffffffff81a2bd10  [init]",
            Some(("1", "thread init (1):", false, false)),
        ),
        (
            "100044                   D       launds  0xffffffff80fe8d54  [laundry: dom0]",
            Some(("100044", "thread laundry: dom0 (100044):", false, false)),
        ),
        (
            "100004                   Run     CPU 12                      [idle: cpu12]",
            Some((
                "100004",
                "thread idle: cpu12 (100004) on cpu 12:",
                true,
                false,
            )),
        ),
        (
            "100051                   D       kdktest 0xffffffff81a2bd10  [kdk test]",
            Some(("100051", "thread kdk test (100051):", false, true)),
        ),
        (
            "   17    16    17     0  R       CPU 0                       smoke",
            Some(("17", "thread smoke (17) on cpu 0:", false, true)),
        ),
    ];
    for (line, want) in table {
        let thread = Thread::parse(line.trim());
        let got = thread.as_ref().map(|thread| {
            (
                thread.id.as_str(),
                thread.heading(),
                thread.is_idle(),
                thread.is_of_test(),
            )
        });
        let want = want.map(|(id, heading, idle, test)| (id, heading.to_owned(), idle, test));
        assert_eq!(got, want, "{line}");
    }
}

#[test]
fn an_answer_of_any_length_is_bounded() {
    let mut console = String::from("db> set $lines=0\ndb> show allpcpu\ndb> bt\n");
    for n in 0..100_000 {
        console.push_str(&format!("f() at f+0x{n:x}/frame 0xfffffe0045efbc70\n"));
    }
    assert_eq!(replay(&console).findings().backtrace.len(), MAX_LINES + 1);
}
