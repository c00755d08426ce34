//! Selects the tests that a prefix of a series must pass.

use std::collections::BTreeSet;

use kdk_series::manifest::Patch;

/// Returns patterns for the tests that the first `count` patches must pass:
/// every test that runs by default, except the tests of later patches.
pub fn tests_of_prefix(patches: &[Patch], count: usize) -> Vec<String> {
    let (here, later) = patches.split_at(count.min(patches.len()));
    let own: BTreeSet<&String> = here.iter().flat_map(|patch| &patch.check.tests).collect();
    let others: BTreeSet<&String> = later.iter().flat_map(|patch| &patch.check.tests).collect();
    others
        .difference(&own)
        .map(|glob| format!("!{glob}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    use kdk_series::load::{Loaded, parse};

    /// Returns a series of patches, from their ids, needs and tests.
    fn series(list: &[(&str, &str, &str)]) -> Loaded {
        let mut text = "schema: 1\nseries: {name: x, revision: 1}\nbase: {repo: r, branch: b, \
                        osreldate: 1}\npatches:\n"
            .to_owned();
        for (id, needs, tests) in list {
            text += &format!(
                "  - {{id: {id}, file: {id}.patch, class: fix, needs: [{needs}], provenance: {{origin: \
                 own, ai_assisted: false}}, check: {{tests: [{tests}]}}}}\n"
            );
        }
        parse(Path::new("/patches/x"), "x", &text).unwrap()
    }

    #[test]
    fn a_prefix_excludes_the_tests_of_later_patches() {
        let all = series(&[("a", "", "x/1"), ("b", "a", "x/1, y/2"), ("c", "", "'z/*'")]);
        let all = &all.manifest.patches;
        for (count, want) in [
            (0, vec!["!x/1", "!y/2", "!z/*"]),
            (1, vec!["!y/2", "!z/*"]),
            (2, vec!["!z/*"]),
            (3, vec![]),
            (9, vec![]),
        ] {
            assert_eq!(tests_of_prefix(all, count), want, "{count}");
        }
    }
}
