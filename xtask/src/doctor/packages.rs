//! Packages by system, and the command that installs them.

use std::path::Path;

use super::Finding;
use super::checks::State;

/// A kind of system, by its package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Debian, Ubuntu: apt-get.
    Debian,
    /// Fedora: dnf.
    Fedora,
    /// FreeBSD: pkg.
    FreeBsd,
    /// macOS: Homebrew.
    MacOs,
    /// None of these.
    Other,
}

impl System {
    /// The system this program runs on.
    pub fn detect() -> Self {
        if cfg!(target_os = "freebsd") {
            Self::FreeBsd
        } else if cfg!(target_os = "macos") {
            Self::MacOs
        } else if Path::new("/usr/bin/apt-get").exists() {
            Self::Debian
        } else if Path::new("/usr/bin/dnf").exists() {
            Self::Fedora
        } else {
            Self::Other
        }
    }
}

/// The packages of one need, on each system.
#[derive(Debug)]
pub struct Packages {
    /// Debian, Ubuntu.
    pub debian: &'static [&'static str],
    /// Fedora.
    pub fedora: &'static [&'static str],
    /// FreeBSD.
    pub freebsd: &'static [&'static str],
    /// macOS.
    pub macos: &'static [&'static str],
}

impl Packages {
    /// Those of `system`.
    pub fn of(&self, system: System) -> &'static [&'static str] {
        match system {
            System::Debian => self.debian,
            System::Fedora => self.fedora,
            System::FreeBsd => self.freebsd,
            System::MacOs => self.macos,
            System::Other => &[],
        }
    }
}

/// No package mends it.
pub const NONE: Packages = Packages {
    debian: &[],
    fedora: &[],
    freebsd: &[],
    macos: &[],
};

/// QEMU for x86 guests.
pub const QEMU: Packages = Packages {
    debian: &["qemu-system-x86"],
    fedora: &["qemu-system-x86-core"],
    freebsd: &["qemu-nox11"],
    macos: &["qemu"],
};

/// UEFI firmware for it.
pub const OVMF: Packages = Packages {
    debian: &["ovmf"],
    fedora: &["edk2-ovmf"],
    freebsd: &["edk2-qemu-x64"],
    macos: &["qemu"],
};

/// clang, lld and the binutils of LLVM 19.
pub const LLVM: Packages = Packages {
    debian: &["clang-19", "lld-19", "llvm-19"],
    fedora: &["clang19", "lld19", "llvm19"],
    freebsd: &["llvm19"],
    macos: &["llvm@19", "lld@19"],
};

/// libclang of LLVM 19, for bindgen.
pub const LIBCLANG: Packages = Packages {
    debian: &["libclang-19-dev"],
    fedora: &["clang19-devel"],
    freebsd: &["llvm19"],
    macos: &["llvm@19"],
};

/// makefs(8).
pub const MAKEFS: Packages = Packages {
    debian: &["makefs"],
    fedora: &["makefs"],
    freebsd: &[],
    macos: &["makefs"],
};

/// A Rust with the source of its library.
pub const RUST: Packages = Packages {
    debian: &["rustc-web", "cargo-web", "rust-web-src"],
    fedora: &["rust", "cargo", "rust-src"],
    freebsd: &["rust-nightly"],
    macos: &["rustup"],
};

/// Headers for the tree's bootstrap tools.
pub const HEADERS: Packages = Packages {
    debian: &["libarchive-dev", "zlib1g-dev", "libssl-dev"],
    fedora: &["libarchive-devel", "zlib-devel", "openssl-devel"],
    freebsd: &[],
    macos: &["libarchive", "openssl"],
};

/// Programs the tree's bootstrap runs.
pub const BOOTSTRAP: Packages = Packages {
    debian: &["flex", "bison", "python3", "gcc", "g++", "make"],
    fedora: &["flex", "bison", "python3", "gcc", "gcc-c++", "make"],
    freebsd: &["python3"],
    macos: &["flex", "bison", "python3"],
};

/// git.
pub const GIT: Packages = Packages {
    debian: &["git"],
    fedora: &["git"],
    freebsd: &["git"],
    macos: &["git"],
};

/// The one command that mends all of `findings` that a package can mend.
pub fn command(findings: &[Finding], system: System) -> Option<String> {
    let mut install: Vec<&str> = Vec::new();
    let mut remove: Vec<&str> = Vec::new();
    for finding in findings.iter().filter(|finding| finding.state.is_bad()) {
        match &finding.state {
            State::Trap(_, package) => remove.push(package),
            _ => install.extend(&finding.packages),
        }
    }
    install.sort_unstable();
    install.dedup();
    if install.is_empty() && remove.is_empty() {
        return None;
    }
    let pinned = if system == System::Debian && install.contains(&"qemu-system-x86") {
        qemu_utils_pin()
    } else {
        None
    };
    Some(sentence(
        system,
        &install,
        &remove,
        pinned.as_deref(),
        is_root(),
    ))
}

/// Debian: a qemu-utils from a newer suite forbids this suite's QEMU, and apt
/// would rather refuse than go back. Naming the suite's own lets it.
fn qemu_utils_pin() -> Option<String> {
    let installed = Path::new("/var/lib/dpkg/info/qemu-utils.list").exists();
    if !installed {
        return None;
    }
    let release = std::fs::read_to_string("/etc/os-release").ok()?;
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(format!("qemu-utils/{}", codename.trim_matches('"')))
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

fn sentence(
    system: System,
    install: &[&str],
    remove: &[&str],
    pinned: Option<&str>,
    root: bool,
) -> String {
    let sudo = if root { "" } else { "sudo " };
    let list = install.join(" ");
    let mut parts: Vec<String> = Vec::new();
    if !remove.is_empty() {
        let gone = remove.join(" ");
        parts.push(match system {
            System::Debian => format!("{sudo}apt-get remove -y {gone}"),
            System::Fedora => format!("{sudo}dnf remove -y {gone}"),
            System::FreeBsd => format!("{sudo}pkg delete -y {gone}"),
            System::MacOs | System::Other => format!("brew uninstall {gone}"),
        });
    }
    if !install.is_empty() {
        parts.push(match system {
            System::Debian => {
                let pin = pinned.map_or_else(String::new, |pin| format!(" --allow-downgrades {pin}"));
                format!(
                    "{sudo}apt-get update && {sudo}apt-get install -y --no-install-recommends {list}{pin}"
                )
            }
            System::Fedora => format!("{sudo}dnf install -y {list}"),
            System::FreeBsd => format!("{sudo}pkg install -y {list}"),
            System::MacOs | System::Other => format!("brew install {list}"),
        });
    }
    parts.join(" && ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_for_every_system() {
        let systems = [
            System::Debian,
            System::Fedora,
            System::FreeBsd,
            System::MacOs,
        ];
        let text: Vec<String> = systems
            .iter()
            .map(|&system| sentence(system, QEMU.of(system), &["libelf-dev"], None, false))
            .collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn a_newer_qemu_utils_is_taken_back() {
        let text = sentence(
            System::Debian,
            &["qemu-system-x86"],
            &[],
            Some("qemu-utils/bookworm"),
            true,
        );
        assert!(
            text.ends_with("qemu-system-x86 --allow-downgrades qemu-utils/bookworm"),
            "{text}"
        );
    }
}
