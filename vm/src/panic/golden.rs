//! Consoles of our own guests on real kernels: above the first empty line of
//! each stands what must be seen in the lines below it. `fault/*` of kdk.ko
//! print them.

use std::fmt::Write;
use std::path::Path;

use super::{ConsoleMatch, scan};

/// Returns what stands above a console.
fn heading(matches: &[ConsoleMatch]) -> String {
    if matches.is_empty() {
        return "no match\n".into();
    }
    let mut text = String::new();
    for matched in matches {
        let _ = writeln!(text, "kind: {:?}\ntitle: {}", matched.kind, matched.title);
        for (what, lines) in [
            ("register", &matched.registers),
            ("frame", &matched.backtrace),
        ] {
            for line in lines {
                let _ = writeln!(text, "{what}: {line}");
            }
        }
    }
    text
}

#[test]
fn every_signature_is_read_from_a_real_console() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/panic/golden");
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let mut wrong = String::new();
    for path in &names {
        let text = std::fs::read_to_string(path).unwrap();
        let (want, console) = text.split_once("\n\n").unwrap();
        let seen = heading(&scan(console.lines()));
        if seen.trim_end() != want {
            let name = path.file_name().unwrap().display();
            let _ = writeln!(wrong, "{name} shows:\n{seen}");
        }
    }
    assert!(names.len() >= 16, "{names:?}");
    assert!(wrong.is_empty(), "{wrong}");
}
