//! Checks for files that FreeBSD imports from other projects.

use std::collections::BTreeSet;

use crate::lint::finding::Check;
use crate::lint::remark::{At, Remark};
use crate::lint::touched::Touched;

/// The folders of the tree with other projects' sources.
const VENDORS: [&str; 5] = [
    "cddl/contrib",
    "contrib",
    "crypto",
    "sys/cddl/contrib",
    "sys/contrib",
];

/// Returns a remark for each vendor's folder that the patch changes.
pub fn remarks(touched: &[Touched]) -> Vec<Remark> {
    let vendors: BTreeSet<&str> = touched
        .iter()
        .filter_map(|file| vendor(&file.path))
        .collect();
    let say = |vendor| {
        Remark::error(
            Check::Path,
            At::Patch,
            format!("touches {vendor}; send it to its upstream"),
            "FreeBSD imports these files: a change here is lost with the next import",
        )
    };
    vendors.into_iter().map(say).collect()
}

fn vendor(path: &str) -> Option<&'static str> {
    let within = |folder: &&str| {
        let rest = path.strip_prefix(folder);
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    VENDORS.into_iter().find(within)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::remark::texts;

    #[test]
    fn vendors() {
        let touched = |paths: &[&str]| -> Vec<Touched> {
            let file = |path: &&str| Touched {
                path: (*path).into(),
                lines: 1,
            };
            paths.iter().map(file).collect()
        };
        for (paths, want) in [
            (
                vec!["sys/kern/a.c", "sys/crypto/a.c", "contribution/x"],
                vec![],
            ),
            (
                vec!["sys/contrib/ck/a.c", "sys/contrib/zstd/b.c", "contrib/x"],
                vec![
                    "touches contrib; send it to its upstream",
                    "touches sys/contrib; send it to its upstream",
                ],
            ),
        ] {
            assert_eq!(texts(&remarks(&touched(&paths))), want);
        }
    }
}
