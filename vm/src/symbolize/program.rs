//! A kernel and its loaded modules.

use std::path::Path;

use super::debug_file::DebugFile;
use super::{Function, SourceLocation, Sources, Spot, SymbolizeError, Symbols};

/// The debug information of a kernel and its modules.
pub struct Program {
    /// The kernel, then the modules: each with its debug information, or the
    /// reason why it has none.
    files: Vec<Result<DebugFile, SymbolizeError>>,
    sources: Sources,
}

impl Program {
    /// Reads the debug files of the kernel and of modules, whose addresses are
    /// not those that the kernel assigned. A file that cannot be used is one of
    /// the [`problems`](Self::problems), and does not affect the others.
    pub fn open(kernel: &Path, modules: &[&Path], sources: Sources) -> Self {
        let paths = std::iter::once(kernel).chain(modules.iter().copied());
        let files = paths.map(DebugFile::open).collect();
        Self { files, sources }
    }

    /// Returns the reasons why files cannot be used.
    pub fn problems(&self) -> impl Iterator<Item = &SymbolizeError> {
        self.files.iter().filter_map(|file| file.as_ref().err())
    }

    fn usable(&self) -> impl Iterator<Item = (usize, &DebugFile)> {
        let files = self.files.iter().enumerate();
        files.filter_map(|(at, file)| Some((at, file.as_ref().ok()?)))
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
        self.usable().flat_map(of).collect()
    }

    fn kernel(&self, address: u64) -> Option<Spot> {
        let kernel = self.files.first()?.as_ref().ok()?;
        kernel
            .contains(address)
            .then_some(Spot { file: 0, address })
    }

    fn places(&self, spot: Spot) -> Result<Vec<SourceLocation>, String> {
        match self.files.get(spot.file) {
            Some(Ok(file)) => file.places(spot.address, &self.sources),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("its file is not known".into()),
        }
    }

    fn files(&self) -> String {
        let names: Vec<&str> = self.usable().map(|(_, file)| file.name()).collect();
        match names.as_slice() {
            [] => "any file that could be read".into(),
            names => names.join(" or "),
        }
    }
}
