//! Checks the size of a patch.

use crate::lint::finding::Check;
use crate::lint::remark::{At, Remark};
use crate::lint::touched::Touched;

/// The limits of FreeBSD's guide for pull requests.
const FILES: usize = 10;
const LINES: u64 = 200;

/// Returns a warning if the patch is too large.
pub fn remarks(touched: &[Touched]) -> Vec<Remark> {
    let files = touched.len();
    let lines: u64 = touched.iter().map(|file| file.lines).sum();
    if files <= FILES && lines <= LINES {
        return Vec::new();
    }
    vec![Remark::warning(
        Check::Size,
        At::Patch,
        format!(
            "{}, {lines} lines; the PR guide is {FILES}/{LINES}",
            some(files)
        ),
        "split it into independent changes, or waive `size` if it cannot be split",
    )]
}

fn some(files: usize) -> String {
    match files {
        1 => "1 file".into(),
        n => format!("{n} files"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::remark::texts;

    #[test]
    fn large_patches() {
        for (files, lines, want) in [
            (10, 20, None),
            (1, 200, None),
            (1, 201, Some("1 file, 201 lines; the PR guide is 10/200")),
            (11, 1, Some("11 files, 11 lines; the PR guide is 10/200")),
            (0, 0, None),
        ] {
            let file = |n| Touched {
                path: format!("sys/{n}"),
                lines,
            };
            let touched: Vec<Touched> = (0..files).map(file).collect();
            let want: Vec<&str> = want.into_iter().collect();
            assert_eq!(texts(&remarks(&touched)), want);
        }
    }
}
