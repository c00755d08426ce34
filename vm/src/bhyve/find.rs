//! The programs and the firmware of bhyve.

use std::path::{Path, PathBuf};

use crate::efi;
use crate::error::InfraError;

/// The environment variable that names a firmware file.
const FIRMWARE: &str = "KDK_BHYVE_UEFI";

/// The paths at which the package sysutils/bhyve-firmware (its parts:
/// uefi-edk2-bhyve and edk2-bhyve) installs the firmware, code and variables in
/// one file.
const PLACES: &[&str] = &[
    "/usr/local/share/uefi-firmware/BHYVE_UEFI.fd",
    "/usr/local/share/edk2-bhyve/BHYVE_UEFI.fd",
];

/// The programs of bhyve, found on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bhyve {
    /// The path of bhyve(8).
    pub bhyve: PathBuf,
    /// The path of bhyveload(8).
    pub bhyveload: PathBuf,
    /// The path of bhyvectl(8).
    pub bhyvectl: PathBuf,
    /// The directory in which vmm(4) shows the virtual machines.
    pub vmm: PathBuf,
}

impl Bhyve {
    /// Returns the programs of the base system.
    ///
    /// # Errors
    /// Fails with [`InfraError::BhyveMissing`].
    pub fn find() -> Result<Self, InfraError> {
        Self::at(Path::new("/usr/sbin"), Path::new("/dev/vmm"))
    }

    /// Returns the programs in `dir`, whose machines vmm(4) shows in `vmm`.
    ///
    /// # Errors
    /// Fails with [`InfraError::BhyveMissing`].
    pub fn at(dir: &Path, vmm: &Path) -> Result<Self, InfraError> {
        let program = |name: &str| {
            let path = dir.join(name);
            match path.is_file() {
                true => Ok(path),
                false => Err(InfraError::BhyveMissing { tried: path }),
            }
        };
        Ok(Self {
            bhyve: program("bhyve")?,
            bhyveload: program("bhyveload")?,
            bhyvectl: program("bhyvectl")?,
            vmm: vmm.to_owned(),
        })
    }
}

/// Returns the firmware for UEFI boots: the file that `KDK_BHYVE_UEFI` names,
/// or else the package's.
///
/// # Errors
/// Fails with [`InfraError::BhyveFirmwareMissing`].
pub fn find_firmware() -> Result<PathBuf, InfraError> {
    efi::first_of(FIRMWARE, PLACES).map_err(|tried| InfraError::BhyveFirmwareMissing { tried })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["bhyve", "bhyvectl"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let error = Bhyve::at(dir.path(), dir.path()).unwrap_err();
        let lacking = dir.path().join("bhyveload");
        assert_eq!(
            error.to_string(),
            format!("bhyve was not found: there is no {}", lacking.display())
        );
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("--vmm qemu"), "{help}");
    }
}
