//! Writes a study's results to the terminal, a text file and a plot.

use std::path::Path;

use kdk_core::cache_dir::write_atomically;
use kdk_core::context::Context;
use kdk_core::failure::Failure;

use crate::plot::Sheet;

/// Prints the report `lines`, and writes them and the plot to `folder`.
///
/// # Errors
/// Fails when a file cannot be written.
pub fn publish(
    cx: &Context,
    folder: &Path,
    name: &str,
    lines: &[String],
    plot: &Sheet,
) -> Result<(), Failure> {
    let report = lines.join("\n");
    cx.terminal.print(&report);
    let text = folder.join(format!("{name}.txt"));
    write_atomically(&text, (report + "\n").as_bytes())
        .map_err(|error| Failure::io("write the table", &text, error))?;
    for path in plot.write(folder, name)?.iter().chain([&text]) {
        cx.terminal.print(path.display().to_string());
    }
    Ok(())
}
