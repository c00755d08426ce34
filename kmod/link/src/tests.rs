use crate::elf::{Flaw, check, missing, rewrite_plt};
use crate::{Link, LinkError, Linked, arguments, finish, fixture, link};
use object::elf as types;
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
        "-r --gc-sections --strip-debug -e kdk_modevent -u kdk_modevent -T kdk.ld -o kdk.ko a.a b.o"
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
        let told: Vec<_> = flaws.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [format!("relocation {name} against `curthread` in .text")]
        );
    }
}

#[test]
fn other_flaws_are_told() {
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
    for (linked, told) in [
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
        assert!(error.contains(told), "{error}");
        assert!(!scene.path("kdk.ko").exists());
    }
}

#[test]
fn a_broken_kernel_is_told_apart() {
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
fn a_linker_that_does_not_start_is_told() {
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
