//! The decisions, on a program that a table describes.

use super::*;

/// name, file, address, size.
const FUNCTIONS: &[(&str, usize, u64, u64)] = &[
    ("vpanic", 0, KERNEL + 0x100, 0x80),
    ("panic", 0, KERNEL + 0x180, 0x40),
    ("calltrap", 0, KERNEL + 0x1c0, 0),
    // Two static functions of one name that their sizes distinguish.
    ("init", 0, KERNEL + 0x200, 0x10),
    ("init", 0, KERNEL + 0x300, 0x40),
    // Two that look alike.
    ("probe", 0, KERNEL + 0x400, 0x20),
    ("probe", 0, KERNEL + 0x500, 0x20),
    // Two names of one function.
    ("alias", 0, KERNEL + 0x600, 0x20),
    ("alias", 0, KERNEL + 0x600, 0),
    ("kdk_die", 1, 0x1000, 0x20),
    ("kdk_next", 1, 0x1020, 0x20),
    ("kdk_no_line", 1, 0x1040, 0x20),
];

const KERNEL: u64 = 0xffff_ffff_8000_0000;

struct Table;

impl Symbols for Table {
    fn named(&self, name: &str) -> Vec<Function> {
        let found = FUNCTIONS.iter().filter(|one| one.0 == name);
        found
            .map(|&(_, file, address, size)| Function {
                start: Spot { file, address },
                size,
            })
            .collect()
    }

    fn kernel(&self, address: u64) -> Option<Spot> {
        let inside = (KERNEL + 0x100..KERNEL + 0x700).contains(&address);
        inside.then_some(Spot { file: 0, address })
    }

    fn places(&self, spot: Spot) -> Result<Vec<SourceLocation>, String> {
        if spot.file == 1 && spot.address >= 0x1040 {
            return Err("m knows none".into());
        }
        Ok(vec![SourceLocation {
            file: Some(["k", "m"][spot.file].into()),
            line: None,
            function: Some(format!("{:#x}", spot.address & 0xffff)),
            inlined: false,
        }])
    }

    fn files(&self) -> String {
        "k or m".into()
    }
}

/// Each line's places, without the lines.
fn places(lines: &[&str]) -> Vec<String> {
    let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
    annotate(&lines, &Table)
        .into_iter()
        .filter(|line| !lines.contains(line))
        .map(|line| line.trim_start().to_owned())
        .collect()
}

#[test]
fn every_kind_of_frame_finds_its_place() {
    for (line, want) in [
        // A return address: the call is before it.
        (
            "vpanic() at vpanic+0x36/frame 0xfffffe0007d0ac40",
            "k (0x135)",
        ),
        (
            "vpanic(0,c0de,1) at vpanic+0x36/frame 0xfffffe00003a5f00",
            "k (0x135)",
        ),
        ("vpanic(c0de) at vpanic+0x36", "k (0x135)"),
        ("#1 0xffffffff80000136 at vpanic+0x36", "k (0x135)"),
        // Its function's last call never returns: what is named is the next.
        ("panic() at panic/frame 0xfffffe0007d0ac40", "k (0x17f)"),
        ("#1 0xffffffff80000180 at panic+0", "k (0x17f)"),
        (
            "kdk_next() at kdk_next/frame 0xfffffe0007d0ac40",
            "m (0x101f)",
        ),
        // In the padding after it.
        (
            "panic() at panic+0x44/frame 0xfffffe0007d0ac40",
            "k (0x1c3)",
        ),
        // A label has no size.
        (
            "calltrap() at calltrap+0x8/frame 0xfffffe0007d0ac40",
            "k (0x1c7)",
        ),
        ("??() at 0xffffffff80000136/frame 0x1", "k (0x135)"),
        ("#3 0xffffffff82a01011 at kdk_die+0x11", "m (0x1010)"),
        ("alias() at alias+0x9/frame 0x1", "k (0x608)"),
        // Only the second one is as long.
        ("init() at init+0x20/frame 0x1", "k (0x31f)"),
        ("rip = 0xffffffff80000136", "k (0x136)"),
        ("rip 0xffffffff80000136 rsp 0xfffffe00 rbp 0", "k (0x136)"),
        ("rip         0xffffffff80000136  vpanic+0x36", "k (0x136)"),
        (
            "instruction pointer\t= 0x20:0xffffffff80000136",
            "k (0x136)",
        ),
        (
            "--- trap 0xc, rip = 0xffffffff80000136, rsp = 0, rbp = 0 ---",
            "k (0x136)",
        ),
        (
            "--- interrupt, rip = 0xffffffff80000136, rsp = 0xf, rbp = 0xf ---",
            "k (0x136)",
        ),
    ] {
        assert_eq!(places(&[line]), [want], "{line}");
    }
}

#[test]
fn what_has_no_place_says_why() {
    for (line, want) in [
        (
            "foo() at foo+0x1/frame 0x1",
            "error: no function is named foo in k or m",
        ),
        (
            "??() at 0/frame 0x1",
            "error: no function is named 0 in k or m",
        ),
        (
            "kdk_no_line() at kdk_no_line+0x3",
            "error: kdk_no_line has no line: m knows none",
        ),
        (
            "--- trap 0xc, rip = 0xffffffff82a01010, rsp = 0xf, rbp = 0xf ---",
            "error: 0xffffffff82a01010 is not in the kernel's code",
        ),
    ] {
        assert_eq!(places(&[line]), [want], "{line}");
    }
}

#[test]
fn what_is_no_code_of_the_kernels_is_left_alone() {
    for line in [
        "KDB: stack backtrace:",
        "lock order kdk two -> kdk one established at:",
        "--- trap 0, rip = 0, rsp = 0, rbp = 0 ---",
        "--- trap 0xc, rip = 0, rsp = 0xfffffe00, rbp = 0xfffffe00 ---",
        "--- syscall (4, FreeBSD ELF64, write), rip = 0x2086aa, rsp = 0x1, rbp = 0x1 ---",
        "--- of nothing ---",
        "rip = 0",
        "ripe at once",
        "#include \"at x\"",
        "#1 word at word",
        "waiting (x) at home",
        "",
    ] {
        assert_eq!(places(&[line]), [""; 0], "{line}");
    }
}

#[test]
fn two_functions_that_may_both_be_meant_are_both_shown() {
    assert_eq!(
        places(&["probe() at probe+0x9/frame 0x1"]),
        [
            "error: 2 functions are named probe; it is one of",
            "k (0x408)",
            "k (0x508)",
        ]
    );
}

#[test]
fn the_frame_under_a_trap_is_no_return_address() {
    let trap = "--- trap 0xc, rip = 0xffffffff80000136, rsp = 0, rbp = 0 ---";
    let frame = "vpanic() at vpanic+0x36/frame 0x1";
    assert_eq!(
        places(&[trap, frame, "panic() at panic+0x9/frame 0x1"]),
        ["k (0x136)", "k (0x136)", "k (0x188)"]
    );
    // Nothing but the frame says where a module's code is.
    let trap = "--- trap 0xc, rip = 0xffffffff82a01010, rsp = 0, rbp = 0 ---";
    let frame = "kdk_die() at kdk_die+0x10/frame 0x1";
    assert_eq!(places(&[trap, frame]), ["m (0x1010)", "m (0x1010)"]);
}

#[test]
fn a_register_is_traced_only_where_the_backtrace_lacks_it() {
    let own = |lines: &[&str]| {
        lines
            .iter()
            .map(|&line| line.into())
            .collect::<Vec<String>>()
    };
    let registers = own(&["rip = 0xffffffff80000136", "rsp = 0xfffffe0000000000"]);
    let frames = own(&["KDB: stack backtrace:", "vpanic() at vpanic+0x36/frame 0x1"]);
    let all = trace(&registers, &frames);
    assert_eq!(all[0], registers[0]);
    assert_eq!(all[1..], frames);
    let trapped = own(&[
        "--- trap 0xc, rip = 0xffffffff80000136, rsp = 0, rbp = 0 ---",
        "vpanic() at vpanic+0x36/frame 0x1",
    ]);
    assert_eq!(trace(&registers, &trapped), trapped);
    let ddb = own(&[
        "rip         0xffffffff80000136  vpanic+0x36",
        "rflags  0x46",
    ]);
    assert_eq!(trace(&ddb, &frames), frames);
    let elsewhere = own(&["rip  0xffffffff80000138  vpanic+0x38:  movl %eax,%ebx"]);
    assert_eq!(trace(&elsewhere, &frames)[0], elsewhere[0]);
}
