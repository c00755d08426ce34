//! Tests the symbolizer on files that clang builds.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

/// `inner` is inlined into `middle`, from which `outer` never gets back.
const SOURCE: &str = "\
volatile int sink;
static inline __attribute__((always_inline)) void inner(int at)
{
	sink = at;
	__builtin_trap();
}
static __attribute__((noinline)) void middle(int at)
{
	sink = 1;
	inner(at);
}
void outer(int at)
{
	sink = 2;
	middle(at);
}
void _start(void) { outer(sink); }
";

struct Built {
    dir: tempfile::TempDir,
}

impl Built {
    fn new(flags: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bin = kdk_kmod_link::llvm::find().expect("LLVM 19; `cargo xtask doctor --fix`");
        std::fs::write(dir.path().join("f.c"), SOURCE).unwrap();
        let map = format!(
            "-fdebug-prefix-map={}=/usr/src/sys/kern",
            dir.path().display()
        );
        let done = Command::new(bin.join("clang"))
            .current_dir(dir.path())
            .args(
                "--target=x86_64-unknown-freebsd15.1 -O1 -ffreestanding -nostdlib -static"
                    .split(' '),
            )
            .arg(format!("--ld-path={}", bin.join("ld.lld").display()))
            .args([
                &map,
                "-Wl,-Ttext=0xffffffff80200000",
                "-mcmodel=kernel",
                "-fno-pic",
            ])
            .args(flags.split_whitespace())
            .args(["f.c", "-o", "kernel.debug"])
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        Self { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("kernel.debug")
    }

    fn program(&self) -> Program {
        let sources = Sources::new().map("/usr/src", "/home/me/freebsd");
        Program::open(&self.path(), &[], sources)
    }
}

fn refused(path: &Path) -> String {
    let program = Program::open(path, &[], Sources::new());
    let dir = path.parent().unwrap().display().to_string();
    program
        .problems()
        .next()
        .unwrap()
        .to_string()
        .replace(&dir, "DIR")
}

#[test]
fn a_file_that_is_of_no_use_says_why() {
    let built = Built::new("-g0");
    insta::assert_snapshot!(refused(&built.path()), @"no source lines from DIR/kernel.debug: it was built without debug information");
    insta::assert_snapshot!(refused(&built.dir.path().join("gone")), @"no source lines from DIR/gone: it cannot be read (No such file or directory (os error 2))");
    insta::assert_snapshot!(refused(&built.dir.path().join("f.c")), @"no source lines from DIR/f.c: it is not a complete ELF file (Unknown file magic)");
}

#[test]
fn a_file_that_was_cut_off_is_refused_or_knows_less_but_never_panics() {
    let built = Built::new("-g");
    let whole = std::fs::read(built.path()).unwrap();
    let cut = built.dir.path().join("cut");
    for end in (0..whole.len()).step_by(97) {
        std::fs::write(&cut, &whole[..end]).unwrap();
        let program = Program::open(&cut, &[], Sources::new());
        let lines = annotate(&["outer() at outer+0x10/frame 0x1".into()], &program);
        assert!(lines.len() > 1, "{end}");
    }
}

/// Returns the places of `function`'s call or trap, found by trying every
/// offset.
fn all_places(program: &Program, function: &str) -> Vec<String> {
    let size = program.named(function)[0].size;
    let mut seen: Vec<String> = Vec::new();
    for offset in 1..=size {
        let line = format!("{function}() at {function}+{offset:#x}/frame 0x1");
        let places = annotate(&[line], program)[1..]
            .join("\n")
            .replace("    ", "");
        if seen.last() != Some(&places) {
            seen.push(places);
        }
    }
    seen
}

#[test]
fn lines_and_inlined_functions_come_from_the_debug_information() {
    let program = Built::new("-g").program();
    insta::assert_snapshot!(all_places(&program, "middle").join("\n--\n"), @r"
    /home/me/freebsd/sys/kern/f.c:8 (middle)
    --
    /home/me/freebsd/sys/kern/f.c:9 (middle)
    --
    /home/me/freebsd/sys/kern/f.c:4 (inner, inlined)
    /home/me/freebsd/sys/kern/f.c:10 (middle)
    --
    /home/me/freebsd/sys/kern/f.c:5 (inner, inlined)
    /home/me/freebsd/sys/kern/f.c:10 (middle)
    ");
}

#[test]
fn line_tables_alone_will_do() {
    let program = Built::new("-gline-tables-only").program();
    insta::assert_snapshot!(all_places(&program, "middle").join("\n--\n"), @r"
    /home/me/freebsd/sys/kern/f.c:8 (middle)
    --
    /home/me/freebsd/sys/kern/f.c:9 (middle)
    --
    /home/me/freebsd/sys/kern/f.c:4 (inner, inlined)
    /home/me/freebsd/sys/kern/f.c:10 (middle)
    --
    /home/me/freebsd/sys/kern/f.c:5 (inner, inlined)
    /home/me/freebsd/sys/kern/f.c:10 (middle)
    ");
}

#[test]
fn compressed_debug_information_is_read() {
    let program = Built::new("-g -gz=zlib").program();
    assert!(!all_places(&program, "middle")[0].contains("error"));
}

#[test]
fn a_call_that_never_returns_belongs_to_its_caller() {
    let program = Built::new("-g").program();
    let size = program.named("outer")[0].size;
    let line = format!("outer() at outer+{size:#x}/frame 0x1");
    let places = annotate(&[line], &program);
    assert_eq!(places[1], "    /home/me/freebsd/sys/kern/f.c:15 (outer)");
}

#[test]
fn addresses_are_found_in_the_code_only() {
    let program = Built::new("-g").program();
    assert!(program.kernel(0xffff_ffff_8020_0000).is_some());
    for outside in [0, 0xffff_ffff_801f_ffff, 0xffff_ffff_8030_0000, u64::MAX] {
        assert_eq!(program.kernel(outside), None, "{outside:#x}");
    }
}

#[test]
fn what_has_no_line_is_reported_with_the_files_name() {
    let program = Built::new("-g").program();
    let lines = annotate(&["missing() at missing+0x1".into()], &program);
    assert_eq!(
        lines[1],
        "    error: no function is named missing in kernel.debug"
    );
}

#[test]
fn one_file_of_no_use_leaves_the_other_of_use() {
    let built = Built::new("-g");
    let gone = built.dir.path().join("gone");
    let line = ["outer() at outer+0x8/frame 0x1".to_owned()];
    for (kernel, module) in [(built.path(), gone.clone()), (gone, built.path())] {
        let program = Program::open(&kernel, &[&module], Sources::new());
        assert_eq!(program.problems().count(), 1);
        let place = &annotate(&line, &program)[1];
        assert!(place.ends_with("(outer)"), "{place}");
    }
}
