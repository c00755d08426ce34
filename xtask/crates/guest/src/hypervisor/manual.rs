//! Checks every option that kdk passes to bhyve's programs against their manual
//! pages in the tree of a base, and against recorded lists.

use std::collections::{BTreeMap, BTreeSet};

use kdk_vm::bhyve::{Boot, Disk, Spec, Wiring, destroy_args, nmi_args};

use kdk_vm::interrupt::Interrupt;

use kdk_core::cache_dir::CacheDir;
use kdk_series::base::record::Record;
use kdk_series::base::{self, repo};

/// What a manual page documents.
#[derive(Debug, Default, PartialEq, Eq)]
struct Manual {
    /// Options, `-x` or `--word`, and whether they take a value.
    options: BTreeMap<String, bool>,
    /// Words that are typed as they are: devices and their options.
    words: BTreeSet<String>,
}

/// The programs' pages.
const PAGES: [&str; 3] = [
    "usr.sbin/bhyve/bhyve.8",
    "usr.sbin/bhyveload/bhyveload.8",
    "usr.sbin/bhyvectl/bhyvectl.8",
];

/// Options of FreeBSD 15.1's pages: with a value, and without.
const RECORDED: [(&[&str], &[&str]); 3] = [
    (
        &["-c", "-k", "-l", "-m", "-o", "-p", "-s", "-U", "-G"],
        &["-C", "-D", "-e", "-H", "-P", "-S", "-u", "-W", "-w", "-x"],
    ),
    (&["-c", "-d", "-e", "-h", "-l", "-m"], &["-C", "-S"]),
    (
        &["--vm"],
        &["--create", "--destroy", "--inject-nmi", "--force-reset"],
    ),
];

/// Devices and their options, of the same pages.
const WORDS: [&str; 8] = [
    "hostbridge",
    "lpc",
    "virtio-blk",
    "virtio-rnd",
    "com1",
    "com2",
    "bootrom",
    "ro",
];

/// Reads an mdoc(7) page: the options of its lists, and its words.
fn parse(page: &str) -> Manual {
    let mut manual = Manual::default();
    let mut opened = false;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix(".It Cm ").or(line.strip_prefix(".Cm ")) {
            let words = rest.split_whitespace().filter(|word| word.len() > 1);
            manual.words.extend(words.map(str::to_owned));
        }
        // A heading of several lines begins with Xo.
        let heading = line.strip_prefix(".It ");
        let macros = heading.or(line.strip_prefix('.').filter(|_| opened));
        opened = heading == Some("Xo");
        let Some(rest) = macros.and_then(|rest| rest.strip_prefix("Fl ")) else {
            continue;
        };
        let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
        let takes = !value.is_empty() || name.ends_with('=') || heading.is_none();
        let option = format!("-{}", name.trim_end_matches('='));
        *manual.options.entry(option).or_default() |= takes;
    }
    manual
}

fn recorded(program: usize) -> Manual {
    let (with, without) = RECORDED[program];
    let option = |takes: bool| move |name: &&str| ((*name).to_owned(), takes);
    Manual {
        options: with
            .iter()
            .map(option(true))
            .chain(without.iter().map(option(false)))
            .collect(),
        words: WORDS.map(str::to_owned).into(),
    }
}

/// Returns the argument vectors of the three programs, in every form they take.
fn vectors() -> [Vec<Vec<String>>; 3] {
    let load = Spec::new(Boot::Load {
        dir: "/esp".into(),
        env: vec![("a".into(), "b".into())],
    });
    let efi = Spec::new(Boot::Efi {
        firmware: "/BHYVE_UEFI.fd".into(),
        dir: "/esp".into(),
    });
    let disk = |read_only| Disk {
        path: "/disk".into(),
        read_only,
    };
    let wiring = Wiring {
        name: "vm".into(),
        console: "/dev/pts/0".into(),
        result: "/dev/pts/1".into(),
        disks: vec![disk(false), disk(true)],
    };
    let text = |args: Vec<std::ffi::OsString>| -> Vec<String> {
        args.into_iter()
            .map(|arg| arg.into_string().unwrap())
            .collect()
    };
    [
        [&load, &efi]
            .map(|spec| text(spec.run_args(&wiring)))
            .to_vec(),
        vec![text(load.load_args("vm").unwrap())],
        vec![destroy_args("vm").to_vec(), nmi_args("vm").to_vec()],
    ]
}

/// Returns what the manual lacks, or documents differently, of `args`.
fn unknown(args: &[String], manual: &Manual) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut rest = args.iter().peekable();
    while let Some(arg) = rest.next() {
        if !arg.starts_with('-') {
            continue;
        }
        let (name, inline) = arg
            .split_once('=')
            .map_or((arg.as_str(), false), |it| (it.0, true));
        match manual.options.get(name) {
            None => unknown.push(name.to_owned()),
            Some(true) if inline => {}
            Some(true) => match rest.next() {
                Some(value) => unknown.extend(unknown_words(name, value, manual)),
                None => unknown.push(format!("{name} without its value")),
            },
            Some(false) if inline => unknown.push(format!("{name} with a value")),
            Some(false) => {}
        }
    }
    unknown
}

/// Returns the devices, and their options, that the manual does not have. The
/// rest of a value are numbers and paths.
fn unknown_words(option: &str, value: &str, manual: &Manual) -> Vec<String> {
    if !["-s", "-l"].contains(&option) {
        return Vec::new();
    }
    let is_word = |part: &&str| !part.starts_with(['/', '0', '1', '2', '3', '4', '5']);
    value
        .split(',')
        .filter(is_word)
        .filter(|part| !manual.words.contains(*part))
        .map(|part| format!("{option} {part}"))
        .collect()
}

fn check(manuals: &[Manual; 3], whose: &str) {
    for ((program, vectors), manual) in PAGES.iter().zip(vectors()).zip(manuals) {
        for args in vectors {
            let unknown = unknown(&args, manual);
            assert!(unknown.is_empty(), "{program} of {whose}: {unknown:?}");
        }
    }
}

/// Returns the pages of an added modern base, from its tree.
fn pages_of_a_base() -> Option<(Record, [Manual; 3])> {
    let cache = CacheDir::open(&Interrupt::new()).ok()?;
    let record = base::modern(&cache).ok()??;
    let page = |path: &str| {
        let object = format!("{}:{path}", record.commit);
        repo::git(&cache, &record.name)
            .text("read a manual page", &["show", &object])
            .ok()
    };
    let manuals = PAGES.map(|path| page(path).map(|text| parse(&text)));
    let [Some(bhyve), Some(load), Some(control)] = manuals else {
        return None;
    };
    Some((record, [bhyve, load, control]))
}

#[test]
fn every_option_is_in_the_manual() {
    check(&[0, 1, 2].map(recorded), "the recorded lists");
    // Without a base, only the recorded lists are checked.
    if let Some((record, manuals)) = pages_of_a_base() {
        check(&manuals, &record.name);
        // The recorded lists must not become stale either.
        for (program, manual) in manuals.iter().enumerate() {
            for (option, takes) in recorded(program).options {
                let found = manual.options.get(&option);
                assert_eq!(found, Some(&takes), "{option} in {}", PAGES[program]);
            }
        }
    }
}

#[test]
fn what_the_manual_lacks_is_found() {
    let manual = recorded(0);
    for (args, want) in [
        (&["-Z", "vm"][..], "-Z"),
        (&["-s", "4,virtio-disk,/d", "vm"], "-s virtio-disk"),
        (&["-l", "com9,/dev/pts/0"], "-l com9"),
        (&["-m"], "-m without its value"),
        (&["-H=1"], "-H with a value"),
    ] {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        assert_eq!(unknown(&args, &manual), [want]);
    }
}

#[test]
fn pages_are_read() {
    let page = ".Op Fl aC\n.It Fl H\nYield.\n.It Xo\n.Fl m Ar memsize\n.Xc\nSee\n.Fl s\n\
                .It Fl l Cm help\n.It Fl -vm= Ns Ar <vmname>\n.It Fl -destroy\n\
                .It Cm virtio-blk\n.Cm com1 , com2 ,\n";
    let manual = parse(page);
    let options: Vec<(&str, bool)> = manual
        .options
        .iter()
        .map(|(name, takes)| (name.as_str(), *takes))
        .collect();
    assert_eq!(
        options,
        [
            ("--destroy", false),
            ("--vm", true),
            ("-H", false),
            ("-l", true),
            ("-m", true)
        ]
    );
    assert!(
        ["virtio-blk", "com1", "com2"]
            .iter()
            .all(|&word| manual.words.contains(word))
    );
}
