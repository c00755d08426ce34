//! A kernel and what is loaded into it.

use std::path::Path;

use super::debug_file::DebugFile;
use super::{Function, Place, Sources, Spot, SymbolizeError, Symbols};

/// The debug information of a kernel and its module.
pub struct Program {
    /// The kernel, then modules.
    files: Vec<DebugFile>,
    sources: Sources,
}

impl Program {
    /// Reads the kernel's file and those of modules, whose addresses are not
    /// those that the kernel gave them.
    ///
    /// # Errors
    /// [`SymbolizeError`], of the first file that is of no use.
    pub fn open(
        kernel: &Path,
        modules: &[&Path],
        sources: Sources,
    ) -> Result<Self, SymbolizeError> {
        let paths = std::iter::once(kernel).chain(modules.iter().copied());
        let files = paths.map(DebugFile::open).collect::<Result<_, _>>()?;
        Ok(Self { files, sources })
    }
}

impl Symbols for Program {
    fn named(&self, name: &str) -> Vec<Function> {
        let of = |(at, file): (usize, &DebugFile)| {
            let found = file.named(name).map(|symbol| Function {
                start: Spot {
                    file: at,
                    address: symbol.address,
                },
                size: symbol.size,
            });
            found.collect::<Vec<_>>()
        };
        self.files.iter().enumerate().flat_map(of).collect()
    }

    fn kernel(&self, address: u64) -> Option<Spot> {
        let kernel = self.files.first()?;
        kernel.holds(address).then_some(Spot { file: 0, address })
    }

    fn places(&self, spot: Spot) -> Result<Vec<Place>, String> {
        match self.files.get(spot.file) {
            Some(file) => file.places(spot.address, &self.sources),
            None => Err("its file is not known".into()),
        }
    }

    fn files(&self) -> String {
        let names: Vec<&str> = self.files.iter().map(DebugFile::name).collect();
        names.join(" or ")
    }
}
