//! Prepares an EFI boot: the firmware, and a directory with FreeBSD's loader,
//! its script and the kernel.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::InfraError;
use crate::image;

/// The environment variable that names a firmware file.
const OVERRIDE: &str = "KDK_OVMF";

/// The paths of the firmware's code on several systems, the preferred one
/// first: Debian and Ubuntu, Fedora, Arch, FreeBSD's edk2-qemu, QEMU's own copy
/// (Homebrew, FreeBSD), and whole ROMs.
const PLACES: &[&str] = &[
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/share/OVMF/OVMF_CODE.fd",
    "/usr/share/edk2/ovmf/OVMF_CODE.fd",
    "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
    "/usr/local/share/edk2-qemu/QEMU_UEFI_CODE-x86_64.fd",
    "/opt/homebrew/share/qemu/edk2-x86_64-code.fd",
    "/usr/local/share/qemu/edk2-x86_64-code.fd",
    "/usr/share/qemu/edk2-x86_64-code.fd",
    "/usr/share/ovmf/OVMF.fd",
    "/usr/share/qemu/OVMF.fd",
];

/// Returns the path of the firmware.
///
/// # Errors
/// Fails with [`InfraError::OvmfMissing`].
pub fn find_firmware() -> Result<PathBuf, InfraError> {
    first_of(OVERRIDE, PLACES).map_err(|tried| InfraError::OvmfMissing { tried })
}

/// Returns the file that the environment variable `named` names, or else the
/// first of `places` that exists. The error has the paths that were tried.
pub(crate) fn first_of(named: &str, places: &[&str]) -> Result<PathBuf, Vec<PathBuf>> {
    let places = match std::env::var_os(named).filter(|path| !path.is_empty()) {
        Some(path) => vec![PathBuf::from(path)],
        None => places.iter().map(PathBuf::from).collect(),
    };
    match places.iter().find(|place| place.is_file()) {
        Some(found) => Ok(found.clone()),
        None => Err(places),
    }
}

/// The script of bhyveload(8)'s loader, which runs Lua. A command that fails
/// ends the loader, which would otherwise wait at its prompt.
pub const LOADER_LUA: &str = "\
-- bhyveload(8) reads this; firmware's loader reads boot/loader.rc.
if loader.perform(\"load /boot/kernel/kernel\") == 0 then
\tloader.perform(\"boot\")
end
print(loader.command_error())
loader.exit(1)
";

/// The directory that firmware sees as a FAT disk, and bhyveload(8) as the
/// guest's root directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The path of FreeBSD's `loader_simp.efi`.
    pub loader: PathBuf,
    /// The path of the kernel.
    pub kernel: PathBuf,
    /// The kernel's environment. A value may use the loader's own variables,
    /// such as `${acpi.rsdp}`.
    pub env: Vec<(String, String)>,
}

/// A variable that the loader's language cannot express.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the loader cannot set {name:?} to {value:?}: {why}")]
pub struct BadVariable {
    /// The name of the variable.
    pub name: String,
    /// The value of the variable.
    pub value: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Returns the loader's script, `/boot/loader.rc`, in the language of
/// stand/common/interp_parse.c.
///
/// # Errors
/// Fails with [`BadVariable`].
pub fn loader_rc(env: &[(String, String)]) -> Result<String, BadVariable> {
    let mut text = String::new();
    for (name, value) in env {
        let bad = |why| BadVariable {
            name: name.clone(),
            value: value.clone(),
            why,
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(bad(
                "its name is not made of letters, digits, '.', '_' and '-'",
            ));
        }
        if value.contains(['"', '\'', '\\']) || value.contains(char::is_control) {
            return Err(bad("it has a quote, a backslash or a control character"));
        }
        let quote = if value.is_empty() || value.contains(' ') {
            "\""
        } else {
            ""
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "set {name}={quote}{value}{quote}");
    }
    text.push_str("load /boot/kernel/kernel\nboot\n");
    Ok(text)
}

impl Layout {
    /// Writes the layout into `dir`, which must exist and be empty. The files
    /// are hard links if the file system allows it.
    ///
    /// # Errors
    /// Fails with [`InfraError::Io`] or [`InfraError::DiskFull`].
    pub fn write(&self, dir: &Path) -> Result<(), InfraError> {
        let orders = loader_rc(&self.env)
            .map_err(|e| InfraError::sys("write the loader's orders", std::io::Error::other(e)))?;
        for sub in ["EFI/BOOT", "boot/kernel", "boot/lua"] {
            let sub = dir.join(sub);
            fs::create_dir_all(&sub).map_err(|e| InfraError::io("create", &sub, e))?;
        }
        image::place(&self.loader, &dir.join("EFI/BOOT/BOOTX64.EFI"))?;
        image::place(&self.kernel, &dir.join("boot/kernel/kernel"))?;
        for (file, text) in [
            ("boot/loader.rc", orders.as_str()),
            ("boot/lua/loader.lua", LOADER_LUA),
        ] {
            let file = dir.join(file);
            fs::write(&file, text).map_err(|e| InfraError::io("write", &file, e))?;
        }
        Ok(())
    }
}

/// Returns the kernel's environment as the command line of a PVH boot. The
/// kernel splits it at spaces, commas, tabs and newlines.
///
/// # Errors
/// Fails with [`BadVariable`].
pub fn command_line(env: &[(String, String)]) -> Result<String, BadVariable> {
    let mut words = Vec::new();
    for (name, value) in env {
        if name.is_empty() || name.contains('=') || [name, value].iter().any(|s| splits(s)) {
            return Err(BadVariable {
                name: name.clone(),
                value: value.clone(),
                why: "a command line has no place for white space and commas",
            });
        }
        words.push(format!("{name}={value}"));
    }
    Ok(words.join(" "))
}

fn splits(text: &str) -> bool {
    text.contains([' ', ',', '\t', '\n'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn missing_firmware_lists_where_it_was_looked_for() {
        let tried = first_of("", &["/nonexistent/a.fd", "/nonexistent/b.fd"]).unwrap_err();
        assert_eq!(
            InfraError::OvmfMissing { tried }.to_string(),
            "no OVMF firmware was found; looked at /nonexistent/a.fd, /nonexistent/b.fd"
        );
    }

    #[test]
    fn variables_that_the_loader_would_misread_are_refused() {
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a=b", "x"),
            ("a", "say \"x\""),
            ("a", "x'"),
            ("a", "c:\\x"),
            ("a", "x\nboot"),
        ] {
            assert!(loader_rc(&env(&[(name, value)])).is_err(), "{name}={value}");
        }
        for (name, value) in [
            ("a", "x y"),
            ("a", "x,y"),
            ("a\t", "x"),
            ("", ""),
            ("a", "x\n"),
        ] {
            assert!(
                command_line(&env(&[(name, value)])).is_err(),
                "{name}={value}"
            );
        }
    }

    #[test]
    fn the_orders() {
        let env = env(&[
            ("hint.acpi.0.rsdp", "${acpi.rsdp}"),
            ("vfs.root.mountfrom", "ufs:/dev/vtbd0"),
            ("motd", "two words"),
            ("empty", ""),
        ]);
        insta::assert_snapshot!(loader_rc(&env).unwrap(), @r#"
        set hint.acpi.0.rsdp=${acpi.rsdp}
        set vfs.root.mountfrom=ufs:/dev/vtbd0
        set motd="two words"
        set empty=""
        load /boot/kernel/kernel
        boot
        "#);
    }

    #[test]
    fn the_command_line() {
        let env = env(&[("boot_serial", "YES"), ("hw.uart.console", "io:0x3f8")]);
        assert_eq!(
            command_line(&env).unwrap(),
            "boot_serial=YES hw.uart.console=io:0x3f8"
        );
    }

    #[test]
    fn the_layout_is_what_firmware_looks_for() {
        let dir = tempfile::tempdir().unwrap();
        let (loader, kernel) = (dir.path().join("l"), dir.path().join("k"));
        fs::write(&loader, "L").unwrap();
        fs::write(&kernel, "K").unwrap();
        let esp = dir.path().join("esp");
        fs::create_dir(&esp).unwrap();
        let layout = Layout {
            loader,
            kernel,
            env: Vec::new(),
        };
        layout.write(&esp).unwrap();
        assert_eq!(fs::read(esp.join("EFI/BOOT/BOOTX64.EFI")).unwrap(), b"L");
        assert_eq!(fs::read(esp.join("boot/kernel/kernel")).unwrap(), b"K");
        fs::remove_dir_all(&esp).unwrap();
        let gone = Layout {
            kernel: "/nonexistent/kernel".into(),
            ..layout
        };
        let error = gone.write(&esp).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("could not read /nonexistent/kernel: No such file"));
    }
}
