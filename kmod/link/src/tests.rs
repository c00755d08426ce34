use crate::elf::{Flaw, check, missing, rewrite_plt, set_u32};
use crate::{Link, LinkError, Linked, arguments, finish, fixture, link, link_debug, llvm};
use object::elf as types;
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::path::{Path, PathBuf};

#[test]
fn the_linker_keeps_what_the_entry_reaches() {
    let args = arguments(
        Path::new("kdk.ld"),
        &["a.a".into(), "b.o".into()],
        Path::new("kdk.ko"),
    );
    let args: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
    assert_eq!(
        args.join(" "),
        "-r -T kdk.ld -T kdk-loaded.ld --gc-sections -e kdk_modevent -u kdk_modevent -o kdk.ko --start-lib a.a b.o --end-lib"
    );
}

#[test]
fn plt_relocations_are_rewritten() {
    let mut module = fixture::module(&[
        (types::R_X86_64_PLT32, "printf", ".text"),
        (types::R_X86_64_64, "M_KDK", ".data"),
        (types::R_X86_64_PLT32, "panic", ".text"),
    ]);
    assert_eq!(check(&module).unwrap().len(), 2);
    assert_eq!(rewrite_plt(&mut module), Ok(2));
    assert_eq!(check(&module), Ok(vec![]));
    assert_eq!(rewrite_plt(&mut module), Ok(0));
}

#[test]
fn a_variable_gets_another_value() {
    let before = fixture::with_variable("version", &7_u32.to_le_bytes());
    let mut after = before.clone();
    assert_eq!(set_u32(&mut after, "version", 8), Ok(()));
    assert_eq!(
        after,
        fixture::with_variable("version", &8_u32.to_le_bytes())
    );
    assert_ne!(after, before);
}

#[test]
fn only_an_initialised_variable_of_four_bytes_gets_a_value() {
    for mut module in [
        fixture::with_variable("other", &[0; 4]),
        fixture::with_variable("version", &[0; 8]),
        fixture::with_common("version"),
        fixture::module(&[(types::R_X86_64_64, "version", ".data")]),
    ] {
        let before = module.clone();
        let error = set_u32(&mut module, "version", 8).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no initialised variable `version` in it"
        );
        assert_eq!(module, before);
    }
    assert!(set_u32(&mut [0; 3], "version", 8).is_err());
}

#[test]
fn relocations_are_those_every_kernel_linker_knows() {
    for r_type in [
        types::R_X86_64_64,
        types::R_X86_64_PC32,
        types::R_X86_64_32S,
    ] {
        assert_eq!(
            check(&fixture::module(&[(r_type, "known", ".text")])),
            Ok(vec![]),
            "{r_type}"
        );
    }
    for (r_type, name) in [
        (types::R_X86_64_32, "R_X86_64_32"),
        (types::R_X86_64_PC64, "R_X86_64_PC64"),
        (types::R_X86_64_GOTPCREL, "R_X86_64_GOTPCREL"),
        (types::R_X86_64_GOTPCRELX, "R_X86_64_GOTPCRELX"),
        (types::R_X86_64_REX_GOTPCRELX, "R_X86_64_REX_GOTPCRELX"),
        (types::R_X86_64_TPOFF32, "type 23"),
    ] {
        let flaws = check(&fixture::module(&[(r_type, "curthread", ".text")])).unwrap();
        let reported: Vec<_> = flaws.iter().map(ToString::to_string).collect();
        assert_eq!(
            reported,
            [format!("relocation {name} against `curthread` in .text")]
        );
    }
}

#[test]
fn other_flaws_are_reported() {
    let unloaded = fixture::module(&[(types::R_X86_64_64, "x", ".debug_info")]);
    assert_eq!(
        check(&unloaded),
        Ok(vec![Flaw::Unloaded {
            section: ".debug_info".into()
        }])
    );
    let common = fixture::with_common("all_cpus");
    assert_eq!(
        check(&common),
        Ok(vec![Flaw::Common {
            symbol: "all_cpus".into()
        }])
    );
    let odd = fixture::with_section(".init_array", types::SHT_INIT_ARRAY);
    let flaw = Flaw::SectionType {
        section: ".init_array".into(),
        sh_type: types::SHT_INIT_ARRAY,
    };
    assert_eq!(check(&odd), Ok(vec![flaw]));
}

#[test]
fn missing_symbols_are_named_once_and_sorted() {
    let relocations = ["uiomove", "panic", "bogus", "absent", "bogus"];
    let module =
        fixture::module(&relocations.map(|symbol| (types::R_X86_64_PC32, symbol, ".text")));
    let kernel = fixture::kernel(&["panic", "uiomove"]);
    assert_eq!(
        missing(&module, &kernel),
        Ok(vec!["absent".into(), "bogus".into()])
    );
}

#[test]
fn bounds_of_the_modules_own_linker_sets_are_not_missing() {
    let kernel = fixture::kernel(&["x"]);
    let bounds = ["__start_set_kdk_tests", "__stop_set_kdk_tests"]
        .map(|name| (types::R_X86_64_32S, name, ".text"));
    assert_eq!(
        missing(&fixture::module(&bounds), &kernel).unwrap().len(),
        2
    );
    let mut with_set = bounds.to_vec();
    with_set.push((types::R_X86_64_64, "x", "set_kdk_tests"));
    assert_eq!(missing(&fixture::module(&with_set), &kernel), Ok(vec![]));
}

#[test]
fn what_is_no_module_is_refused() {
    let kernel = fixture::kernel(&["x"]);
    let module = fixture::module(&[(types::R_X86_64_64, "x", ".data")]);
    for bytes in [&b""[..], b"#!/bin/sh\n", &kernel, &module[..70]] {
        assert!(check(bytes).is_err());
        assert!(rewrite_plt(&mut bytes.to_vec()).is_err());
        assert!(missing(bytes, &kernel).is_err());
    }
    // A kernel without a dynamic symbol table takes no modules.
    assert!(
        missing(&module, &module)
            .unwrap_err()
            .to_string()
            .contains("dynamic symbol table")
    );
}

/// A folder with something "linked", and a kernel that exports `panic`.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new(linked: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("made"), linked).unwrap();
        std::fs::write(dir.path().join("kernel"), fixture::kernel(&["panic"])).unwrap();
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn finish(&self) -> Result<Linked, LinkError> {
        let (kernel, out) = (self.path("kernel"), self.path("kdk.ko"));
        let link = Link {
            ld: Path::new("ld"),
            script: Path::new("kdk.ld"),
            inputs: &[],
            out: &out,
            kernel: Some(&kernel),
        };
        finish(&link, &self.path("made"))
    }
}

#[test]
fn a_good_module_is_written() {
    let linked = fixture::module(&[(types::R_X86_64_PLT32, "panic", ".text")]);
    let scene = Scene::new(&linked);
    let made = scene.finish().unwrap();
    assert_eq!(
        made,
        Linked {
            bytes: linked.len() as u64,
            rewritten: 1
        }
    );
    let written = std::fs::read(scene.path("kdk.ko")).unwrap();
    assert_eq!(check(&written), Ok(vec![]));
}

#[test]
fn a_bad_module_is_not_written() {
    for (linked, reported) in [
        (
            fixture::module(&[(types::R_X86_64_GOTPCREL, "panic", ".text")]),
            "R_X86_64_GOTPCREL against `panic`",
        ),
        (
            fixture::module(&[(types::R_X86_64_PLT32, "no_such_function", ".text")]),
            "no_such_function",
        ),
        (b"not ELF".to_vec(), "not a usable kernel module"),
    ] {
        let scene = Scene::new(&linked);
        let error = scene.finish().unwrap_err().to_string();
        assert!(error.contains(reported), "{error}");
        assert!(!scene.path("kdk.ko").exists());
    }
}

#[test]
fn a_broken_kernel_is_distinguished() {
    let scene = Scene::new(&fixture::module(&[(
        types::R_X86_64_PLT32,
        "panic",
        ".text",
    )]));
    std::fs::write(scene.path("kernel"), b"cut").unwrap();
    let error = scene.finish().unwrap_err().to_string();
    assert!(error.contains("not a usable FreeBSD kernel"), "{error}");
    std::fs::remove_file(scene.path("kernel")).unwrap();
    let error = scene.finish().unwrap_err().to_string();
    assert!(error.starts_with("cannot read "), "{error}");
}

#[test]
fn a_linker_that_does_not_start_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let (ld, out) = (dir.path().join("no-such-ld"), dir.path().join("kdk.ko"));
    let link_it = Link {
        ld: &ld,
        script: Path::new("kdk.ld"),
        inputs: &[],
        out: &out,
        kernel: None,
    };
    let error = link(&link_it).unwrap_err().to_string();
    assert!(
        error.contains("no-such-ld") && error.contains("cargo xtask doctor"),
        "{error}"
    );
}

/// What a module may look like: functions of their own sections, one that
/// nothing calls, calls into the kernel, and data.
const SOURCE: &str = "
void panic(const char *, ...) __attribute__((noreturn));
int uiomove(void *, int, void *);
static int table[] = { 1, 2, 3 };
static __attribute__((noinline)) int small(int at) { return (table[at]); }
static __attribute__((noinline)) void fatal(int at) { panic(\"at %d\", small(at)); }
int unused(int at) { return (small(at) * 7); }
int kdk_modevent(void *m, int what, void *arg)
{
	if (what > 7)
		fatal(what);
	return (uiomove(m, small(what), arg));
}
";

/// Each function's name, offset from the first one, and size.
fn functions(elf: &[u8]) -> Vec<(u64, String, u64)> {
    let file = object::File::parse(elf).unwrap();
    let mut all: Vec<_> = file
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text)
        .map(|symbol| {
            (
                symbol.address(),
                symbol.name().unwrap().to_owned(),
                symbol.size(),
            )
        })
        .collect();
    all.sort();
    let first = all[0].0;
    for function in &mut all {
        function.0 -= first;
    }
    all
}

#[test]
fn the_debug_copy_has_the_modules_functions_and_lines() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let bin = llvm::find().expect("LLVM 19; `cargo xtask doctor --fix` installs it");
    std::fs::write(at("m.c"), SOURCE).unwrap();
    std::fs::write(at("kernel"), fixture::kernel(&["panic", "uiomove"])).unwrap();
    let flags = "--target=x86_64-unknown-freebsd15.1 -c -O2 -g -fno-pic -mcmodel=kernel -ffunction-sections";
    let compiled = std::process::Command::new(bin.join("clang"))
        .args(flags.split(' '))
        .args([at("m.c").as_os_str(), "-o".as_ref(), at("m.o").as_os_str()])
        .status();
    assert!(compiled.unwrap().success());

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kdk.ld");
    let (ld, inputs) = (bin.join("ld.lld"), [at("m.o")]);
    let (module, copy) = (at("kdk.ko"), at("kdk.ko.debug"));
    let link_it = Link {
        ld: &ld,
        script: &script,
        inputs: &inputs,
        out: &module,
        kernel: Some(&at("kernel")),
    };
    link(&link_it).unwrap();
    link_debug(&ld, &script, &inputs, &copy).unwrap();

    let (module, copy) = (std::fs::read(module).unwrap(), std::fs::read(copy).unwrap());
    let names: Vec<String> = functions(&module).into_iter().map(|f| f.1).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(functions(&module), functions(&copy));
    let sections = |elf: &[u8]| -> Vec<(String, u64)> {
        let file = object::File::parse(elf).unwrap();
        let sections = file.sections();
        sections
            .map(|s| (s.name().unwrap().to_owned(), s.size()))
            .filter(|(name, _)| name == ".text" || name == ".debug_line")
            .collect()
    };
    let (loaded, read) = (sections(&module), sections(&copy));
    assert_eq!(
        loaded[..],
        read[..1],
        "the same code, and only one has lines"
    );
    assert_eq!(read.len(), 2);
}
