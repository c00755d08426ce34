//! Remedies for findings: packages by system, and the command that installs
//! them.

use std::path::Path;
use std::process::Command;

use super::HostFinding;
use super::checks::State;

/// A system, by its package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Debian, with apt-get.
    Debian,
    /// Ubuntu and its derivatives: apt-get, with other package names.
    Ubuntu,
    /// Fedora, with dnf.
    Fedora,
    /// FreeBSD, with pkg.
    FreeBsd,
    /// Apple's macOS, with Homebrew.
    MacOs,
    /// Any other system.
    Other,
}

/// The properties of the host that the command depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The system of the host.
    pub system: System,
    /// The code name of the release, such as "bookworm".
    pub codename: Option<String>,
    /// Whether this user is root.
    pub root: bool,
    /// Whether rustup manages Rust.
    pub rustup: bool,
    /// Whether qemu-utils is installed (Debian).
    pub qemu_utils: bool,
}

impl Host {
    /// Detects the host that this program runs on.
    pub fn detect() -> Self {
        let os_release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        Self {
            system: detect_system(&os_release),
            codename: os_release_field(&os_release, "VERSION_CODENAME"),
            root: nix::unistd::Uid::effective().is_root(),
            rustup: super::checks::find("rustup").is_some(),
            qemu_utils: Path::new("/var/lib/dpkg/info/qemu-utils.list").exists(),
        }
    }
}

fn detect_system(os_release: &str) -> System {
    if cfg!(target_os = "freebsd") {
        return System::FreeBsd;
    }
    if cfg!(target_os = "macos") {
        return System::MacOs;
    }
    system_of(os_release)
}

/// Returns the system that an os-release(5) file describes.
fn system_of(os_release: &str) -> System {
    let id = os_release_field(os_release, "ID").unwrap_or_default();
    let like = os_release_field(os_release, "ID_LIKE").unwrap_or_default();
    let words: Vec<&str> = std::iter::once(id.as_str())
        .chain(like.split_whitespace())
        .collect();
    [
        ("ubuntu", System::Ubuntu),
        ("debian", System::Debian),
        ("fedora", System::Fedora),
    ]
    .into_iter()
    .find(|(word, _)| words.contains(word))
    .map_or(System::Other, |(_, system)| system)
}

fn os_release_field(os_release: &str, name: &str) -> Option<String> {
    let value = os_release
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

/// The packages of one dependency on each system. The list is empty where the
/// system includes it, or has no package of it.
#[derive(Debug)]
pub struct Packages {
    /// The packages on Debian and Ubuntu.
    pub debian: &'static [&'static str],
    /// The packages on Fedora.
    pub fedora: &'static [&'static str],
    /// The packages on FreeBSD.
    pub freebsd: &'static [&'static str],
    /// The packages on macOS.
    pub macos: &'static [&'static str],
}

impl Packages {
    /// Returns the packages on `system`.
    pub fn of(&self, system: System) -> &'static [&'static str] {
        match system {
            System::Debian | System::Ubuntu => self.debian,
            System::Fedora => self.fedora,
            System::FreeBsd => self.freebsd,
            System::MacOs => self.macos,
            System::Other => &[],
        }
    }
}

/// How to fix a failed check.
#[derive(Debug)]
pub enum Remedy {
    /// Install these packages.
    Install(Packages),
    /// Remove these packages.
    Remove(Packages),
    /// Load a module into FreeBSD's kernel.
    Load(&'static str),
    /// Install a Rust with the source of its library.
    Rust,
    /// No command fixes it.
    Nothing,
}

/// The remedy for a missing QEMU.
pub const QEMU: Remedy = Remedy::Install(Packages {
    debian: &["qemu-system-x86"],
    fedora: &["qemu-system-x86-core"],
    freebsd: &["qemu"],
    macos: &["qemu"],
});

/// The remedy for missing UEFI firmware for QEMU.
pub const OVMF: Remedy = Remedy::Install(Packages {
    debian: &["ovmf"],
    fedora: &["edk2-ovmf"],
    freebsd: &["edk2-qemu-x64"],
    macos: &["qemu"],
});

/// The remedy for missing clang, lld and binutils of LLVM 19.
pub const LLVM: Remedy = Remedy::Install(Packages {
    debian: &["clang-19", "lld-19", "llvm-19"],
    fedora: &["clang19", "lld19", "llvm19"],
    freebsd: &["llvm19"],
    macos: &["llvm@19", "lld@19"],
});

/// The remedy for a missing libclang of LLVM 19, which bindgen needs.
pub const LIBCLANG: Remedy = Remedy::Install(Packages {
    debian: &["libclang-19-dev"],
    fedora: &["clang19-devel"],
    freebsd: &["llvm19"],
    macos: &["llvm@19"],
});

/// The remedy for a missing makefs(8). FreeBSD includes it; the other systems
/// here have no package.
pub const MAKEFS: Remedy = Remedy::Install(Packages {
    debian: &["makefs"],
    fedora: &[],
    freebsd: &[],
    macos: &[],
});

/// The remedy for missing headers of the tree's bootstrap tools.
pub const HEADERS: Remedy = Remedy::Install(Packages {
    debian: &["libarchive-dev", "zlib1g-dev", "libssl-dev"],
    fedora: &["libarchive-devel", "zlib-devel", "openssl-devel"],
    freebsd: &[],
    macos: &["libarchive", "openssl@3"],
});

/// The remedy for missing programs of the tree's bootstrap.
pub const BOOTSTRAP: Remedy = Remedy::Install(Packages {
    debian: &["flex", "bison", "python3", "gcc", "g++", "make"],
    fedora: &["flex", "bison", "python3", "gcc", "gcc-c++", "make"],
    freebsd: &["python3"],
    macos: &["flex", "bison", "python3"],
});

/// The remedy for a missing git.
pub const GIT: Remedy = Remedy::Install(Packages {
    debian: &["git"],
    fedora: &["git-core"],
    freebsd: &["git"],
    macos: &["git"],
});

/// The remedy for a missing setpriv(1).
pub const SETPRIV: Remedy = Remedy::Install(Packages {
    debian: &["util-linux"],
    fedora: &["util-linux"],
    freebsd: &[],
    macos: &[],
});

/// The remedy for a missing perl, with the modules of the tree's style checker.
/// macOS includes it.
pub const PERL: Remedy = Remedy::Install(Packages {
    debian: &["perl"],
    fedora: &[
        "perl-interpreter",
        "perl-Getopt-Long",
        "perl-Term-ANSIColor",
    ],
    freebsd: &["perl5"],
    macos: &[],
});

/// The remedy for a missing mandoc(1). FreeBSD and macOS include it.
pub const MANDOC: Remedy = Remedy::Install(Packages {
    debian: &["mandoc"],
    fedora: &["mandoc"],
    freebsd: &[],
    macos: &[],
});

/// The remedy for a missing bubblewrap, which runs only on Linux.
pub const BUBBLEWRAP: Remedy = Remedy::Install(Packages {
    debian: &["bubblewrap"],
    fedora: &["bubblewrap"],
    freebsd: &[],
    macos: &[],
});

/// The remedy for missing programs of Slurm. munge(7) signs what they send.
pub const SLURM: Remedy = Remedy::Install(Packages {
    debian: &["slurm-client", "munge"],
    fedora: &["slurm", "munge"],
    freebsd: &["slurm-wlm", "munge"],
    macos: &[],
});

/// The remedy for missing daemons of Slurm.
pub const SLURM_TEST: Remedy = Remedy::Install(Packages {
    debian: &["slurmctld", "slurmd", "munge"],
    fedora: &["slurm-slurmctld", "slurm-slurmd", "munge"],
    freebsd: &["slurm-wlm", "munge"],
    macos: &[],
});

/// The remedy for a gelf.h that shadows that of the tree.
pub const LIBELF: Remedy = Remedy::Remove(Packages {
    debian: &["libelf-dev"],
    fedora: &["elfutils-libelf-devel"],
    freebsd: &[],
    macos: &[],
});

/// Returns one command that fixes all `findings` that a command can fix.
pub fn command(findings: &[HostFinding], host: &Host) -> Option<String> {
    let bad = || findings.iter().filter(|finding| finding.state.is_bad());
    let mut install: Vec<&str> = Vec::new();
    let mut remove: Vec<&str> = Vec::new();
    let mut load: Vec<String> = Vec::new();
    let mut rustup = None;
    for finding in bad() {
        match finding.remedy {
            Remedy::Install(packages) => install.extend(packages.of(host.system)),
            Remedy::Remove(packages) => remove.extend(packages.of(host.system)),
            Remedy::Load(module) => load.push(format!("{}kldload {module}", sudo(host))),
            Remedy::Rust => match rust(host) {
                Rust::Packages(names) => install.extend(names),
                Rust::Rustup(command) => rustup = Some(command),
            },
            Remedy::Nothing => {}
        }
    }
    for list in [&mut install, &mut remove] {
        list.sort_unstable();
        list.dedup();
    }
    if rustup == Some(BREW_RUSTUP) && !host.rustup {
        install.push("rustup");
    }
    let parts: Vec<String> = [
        removing(host, &remove),
        installing(host, &install),
        rustup.map(str::to_owned),
    ]
    .into_iter()
    .flatten()
    .chain(load)
    .collect();
    (!parts.is_empty()).then(|| parts.join(" && "))
}

enum Rust {
    Packages(&'static [&'static str]),
    Rustup(&'static str),
}

/// Homebrew does not add its rustup to PATH.
const BREW_RUSTUP: &str = "\"$(brew --prefix rustup)/bin/rustup\" toolchain install stable --component clippy,rust-src,rustfmt";

/// Returns how to install a Rust that is new enough and has the source of its
/// library.
fn rust(host: &Host) -> Rust {
    const ADD: &str = "rustup component add clippy rust-src rustfmt";
    match host.system {
        // The only release whose own packages are new enough.
        System::Debian if host.codename.as_deref() == Some("bookworm") => {
            Rust::Packages(&["cargo-web", "rust-web-clippy", "rust-web-src", "rustc-web"])
        }
        _ if host.rustup => Rust::Rustup(ADD),
        System::MacOs => Rust::Rustup(BREW_RUSTUP),
        System::Debian | System::Ubuntu => {
            Rust::Packages(&["cargo", "rust-clippy", "rust-src", "rustc", "rustfmt"])
        }
        System::Fedora => Rust::Packages(&["cargo", "clippy", "rust", "rust-src", "rustfmt"]),
        System::FreeBsd => Rust::Packages(&["rust"]),
        System::Other => Rust::Rustup(ADD),
    }
}

fn removing(host: &Host, packages: &[&str]) -> Option<String> {
    if packages.is_empty() {
        return None;
    }
    let (sudo, list) = (sudo(host), packages.join(" "));
    Some(match host.system {
        System::Debian | System::Ubuntu => format!("{sudo}apt-get remove -y {list}"),
        System::Fedora => format!("{sudo}dnf remove -y {list}"),
        System::FreeBsd => format!("{sudo}pkg delete -y {list}"),
        System::MacOs => format!("brew uninstall {list}"),
        System::Other => return None,
    })
}

fn installing(host: &Host, packages: &[&str]) -> Option<String> {
    if packages.is_empty() {
        return None;
    }
    let (sudo, list) = (sudo(host), packages.join(" "));
    Some(match host.system {
        System::Debian | System::Ubuntu => {
            let pin = qemu_utils_pin(host, packages);
            format!(
                "{sudo}apt-get update && {sudo}apt-get install -y --no-install-recommends {list}{pin}"
            )
        }
        System::Fedora => format!("{sudo}dnf install -y {list}"),
        System::FreeBsd => format!("{sudo}pkg install -y {list}"),
        System::MacOs => format!("brew install {list}"),
        System::Other => return None,
    })
}

/// Returns the option that lets apt-get downgrade qemu-utils: that of a newer
/// suite (backports) "Breaks" the QEMU of this suite, and apt-get refuses to
/// downgrade it unless the suite is named.
fn qemu_utils_pin(host: &Host, packages: &[&str]) -> String {
    match &host.codename {
        Some(codename) if host.qemu_utils && packages.contains(&"qemu-system-x86") => {
            format!(" --allow-downgrades qemu-utils/{codename}")
        }
        _ => String::new(),
    }
}

fn sudo(host: &Host) -> &'static str {
    if host.root { "" } else { "sudo " }
}

/// Returns a shell command that runs `command` without questions.
pub fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("HOMEBREW_NO_AUTO_UPDATE", "1");
    shell
}

/// Returns what to do where no command fixes `finding`.
pub fn manual_remedy(finding: &HostFinding, host: &Host) -> Option<&'static str> {
    let no_makefs = matches!(host.system, System::Fedora | System::MacOs | System::Other);
    match finding.state {
        State::Missing(_) if finding.what == super::checks::MAKEFS && no_makefs => Some(
            "this system has no package of makefs: build that of NetBSD or FreeBSD, and set \
             KDK_MAKEFS to its path",
        ),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a host of `system`.
    pub fn host(system: System) -> Host {
        Host {
            system,
            codename: (system == System::Debian).then(|| "bookworm".into()),
            root: false,
            rustup: false,
            qemu_utils: false,
        }
    }

    fn missing(remedies: &[&'static Remedy]) -> Vec<HostFinding> {
        let finding = |remedy: &&'static Remedy| HostFinding {
            what: "x",
            state: State::Missing("x".into()),
            remedy,
        };
        remedies.iter().map(finding).collect()
    }

    const SYSTEMS: [System; 6] = [
        System::Debian,
        System::Ubuntu,
        System::Fedora,
        System::FreeBsd,
        System::MacOs,
        System::Other,
    ];

    #[test]
    fn one_command_fixes_a_fresh_system() {
        let all: Vec<&Remedy> = super::super::checks::ALL
            .iter()
            .map(|c| &c.remedy)
            .collect();
        let findings = missing(&all);
        let text: Vec<String> = SYSTEMS
            .iter()
            .map(|&system| format!("{system:?}: {:?}", command(&findings, &host(system))))
            .collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn nothing_bad_needs_no_command() {
        let findings = [HostFinding {
            what: "QEMU",
            state: State::Found("x".into()),
            remedy: &QEMU,
        }];
        for system in SYSTEMS {
            assert_eq!(command(&findings, &host(system)), None);
        }
        assert_eq!(
            command(&missing(&[&Remedy::Nothing]), &host(System::Debian)),
            None
        );
    }

    #[test]
    fn a_newer_qemu_utils_is_taken_back() {
        let mut host = host(System::Debian);
        (host.qemu_utils, host.root) = (true, true);
        assert_eq!(
            command(&missing(&[&QEMU]), &host).as_deref(),
            Some(
                "apt-get update && apt-get install -y --no-install-recommends qemu-system-x86 \
                 --allow-downgrades qemu-utils/bookworm"
            )
        );
        let other = command(&missing(&[&GIT]), &host).unwrap();
        assert!(!other.contains("qemu-utils"), "{other}");
    }

    #[test]
    fn rustup_adds_the_source_where_packages_are_too_old() {
        for (system, rustup, want) in [
            (System::Debian, true, "rustc-web"),
            (
                System::Ubuntu,
                true,
                "rustup component add clippy rust-src rustfmt",
            ),
            (System::Ubuntu, false, "rust-src rustc rustfmt"),
            (System::MacOs, false, "brew install rustup && \"$(brew"),
            (
                System::MacOs,
                true,
                "rustup component add clippy rust-src rustfmt",
            ),
            (System::FreeBsd, false, "pkg install -y rust"),
        ] {
            let mut host = host(system);
            host.rustup = rustup;
            let got = command(&missing(&[&Remedy::Rust]), &host).unwrap();
            assert!(got.contains(want), "{system:?}: {got}");
        }
    }

    #[test]
    fn systems_by_their_os_release() {
        for (text, want) in [
            ("ID=debian\nVERSION_CODENAME=bookworm\n", System::Debian),
            ("ID=ubuntu\nID_LIKE=debian\n", System::Ubuntu),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", System::Ubuntu),
            ("ID=fedora\n", System::Fedora),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
                System::Fedora,
            ),
            ("ID=alpine\n", System::Other),
            ("", System::Other),
        ] {
            assert_eq!(system_of(text), want, "{text}");
        }
    }
}
