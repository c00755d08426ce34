//! Where what was measured goes: the terminal, a table and a plot.

use std::path::{Path, PathBuf};

use super::plot::Sheet;
use kdk_core::cache_dir::write_atomically;
use kdk_core::context::Context;
use kdk_core::failure::Failure;

/// The user's folder for it.
#[derive(Debug, clap::Args)]
pub struct Out {
    /// Where the table and the plot go [default: the run's folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Out {
    /// The folder, which is there; `logs` is that of the run.
    pub fn folder(&self, cx: &Context, logs: &Path) -> Result<PathBuf, Failure> {
        let folder = self.out.clone().unwrap_or_else(|| logs.to_owned());
        cx.cache.create(&folder)?;
        Ok(folder)
    }
}

/// Prints the table `lines`, and writes it and the plot to `folder`.
pub fn publish(folder: &Path, name: &str, lines: &[String], plot: &Sheet) -> Result<(), Failure> {
    for line in lines {
        println!("{line}");
    }
    let text = folder.join(format!("{name}.txt"));
    write_atomically(&text, (lines.join("\n") + "\n").as_bytes())
        .map_err(|error| Failure::io("write the table", &text, error))?;
    for path in plot.write(folder, name)?.iter().chain([&text]) {
        println!("{}", path.display());
    }
    Ok(())
}

/// A test has not noted what was expected of it.
pub fn unread(test: &str, why: &str) -> Failure {
    Failure::tests(format!("{test}: {why}"))
        .help("what the guest has said is in result.N.log of the run's folder")
}
