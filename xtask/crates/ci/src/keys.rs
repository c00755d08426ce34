//! What the result of a job depends on, and so its key.
//!
//! A job has two keys. The key of a revision has the patches by their ids, so a
//! result stays valid when the series moves to another commit of its base. The
//! full key has the trees too; nightly runs use it. Work that has a single tree
//! has one key.

use std::collections::{BTreeMap, BTreeSet};

use crate::job::{Cpus, Job, Work};
use crate::matrix::Depth;
use crate::revision::Inputs;
use kdk_core::failure::Failure;
use kdk_series::base::definition::{BENCH, DEBUG};

/// The version of what jobs do. Increment it when a job does something else, so
/// that its old results do not count.
const RECIPE: u32 = 1;

/// The tests that show that a kernel boots.
pub const BOOT: &str = "boot/*";

/// The suite whose tests measure.
const MEASURING: &str = "bench/*";

/// What is known about a series before its jobs have keys.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The name of the base and of the series.
    pub base: String,
    /// `__FreeBSD_version` of the base.
    pub osreldate: u32,
    /// The ids of the trees with the first patches, from none to all. Empty if
    /// the series does not apply: work that needs a tree has no key then.
    pub trees: Vec<String>,
    /// The patches, in apply order.
    pub patches: Vec<PatchFacts>,
    /// The digest of how kernels are built and booted, by the configuration's
    /// name.
    pub kernels: BTreeMap<String, String>,
    /// The mutants of each suite.
    pub mutants: BTreeMap<String, MutantFacts>,
    /// The version of the checks of `patches lint`.
    pub lint_rules: String,
    /// Whether the jobs of an earlier kdk may do something else. All keys differ
    /// then.
    pub has_other_jobs: bool,
    /// Whether builds are confined. Their results are no others' results: a
    /// patch can change the later builds that are confined too.
    pub is_confined: bool,
}

/// What is known about a patch.
#[derive(Debug, Clone, Default)]
pub struct PatchFacts {
    /// The id in the manifest.
    pub id: String,
    /// The result of `git patch-id --stable`.
    pub patch_id: String,
    /// The digest of the patch file.
    pub file: String,
    /// The digest of its entry in the manifest.
    pub entry: String,
    /// The ids of the patches that it needs.
    pub needs: Vec<String>,
    /// The files that it changes.
    pub files: BTreeSet<String>,
    /// The tests that prove it.
    pub tests: Vec<String>,
    /// The digest of how they must end, and on how many CPUs.
    pub check: String,
}

/// The guest's programs, of which tests depend on parts.
pub trait Programs {
    /// Returns the digest of the parts that the tests `patterns` depend on.
    ///
    /// # Errors
    /// It cannot be computed.
    fn digest(&self, patterns: &[String]) -> Result<String, Failure>;
}

/// The mutants of a suite.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MutantFacts {
    /// The digest of their files.
    pub digest: String,
    /// The tests that can kill them, as patterns. No pattern means all tests.
    pub tests: Vec<String>,
}

/// The keys of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// The key of the result.
    pub key: String,
    /// Other keys that the result is valid for.
    pub also: Vec<String>,
    /// What the key is made from.
    pub inputs: Inputs,
}

/// Returns the keys of `work`; none if it needs a tree and there is none.
///
/// # Errors
/// A digest cannot be computed.
pub fn keyed(
    work: &Work,
    facts: &Facts,
    programs: &dyn Programs,
    depth: Depth,
) -> Result<Option<Keyed>, Failure> {
    let Some((own, more)) = inputs(work, facts, programs)? else {
        return Ok(None);
    };
    let full: Inputs = own.clone().into_iter().chain(more.clone()).collect();
    let (by_patches, by_trees) = (key(work, &own), key(work, &full));
    let (key, other, inputs) = match depth {
        Depth::Revision => (by_patches, by_trees, own),
        Depth::Nightly => (by_trees, by_patches, full),
    };
    let also = (key != other).then_some(other).into_iter().collect();
    Ok(Some(Keyed { key, also, inputs }))
}

/// Returns whether `job` still has the keys with which it was planned: whether
/// nothing that it depends on has changed since.
///
/// # Errors
/// A digest cannot be computed.
pub fn is_current(job: &Job, facts: &Facts, programs: &dyn Programs) -> Result<bool, Failure> {
    // Both depths have the same keys.
    let keys = keyed(&job.work, facts, programs, Depth::Revision)?;
    let planned: BTreeSet<&String> = job.also.iter().chain([&job.key]).collect();
    Ok(keys
        .is_some_and(|now| now.also.iter().chain([&now.key]).collect::<BTreeSet<_>>() == planned))
}

/// Returns the digest of what a result depends on.
fn key(work: &Work, inputs: &Inputs) -> String {
    let mut hash = blake3::Hasher::new();
    let mut add = |text: &str| {
        hash.update(&text.len().to_le_bytes())
            .update(text.as_bytes());
    };
    add(&RECIPE.to_string());
    add(&work.id(""));
    for (name, value) in inputs {
        add(name);
        add(value);
    }
    let mut key = hash.finalize().to_hex().to_string();
    key.truncate(32);
    key
}

/// The inputs of the key of a revision, and those that the full key adds.
type Both = (Inputs, Inputs);

fn inputs(work: &Work, facts: &Facts, programs: &dyn Programs) -> Result<Option<Both>, Failure> {
    let mut own = Inputs::from([("base".to_owned(), facts.base.clone())]);
    if facts.has_other_jobs {
        own.insert("jobs".into(), "other".into());
    }
    if facts.is_confined && work.kernel().is_some() {
        own.insert("builds".into(), "confined".into());
    }
    let mut more = Inputs::new();
    let mut add = |name: &str, value: &str| {
        own.insert(name.to_owned(), value.to_owned());
    };
    let kernel = |config: &str| facts.kernels.get(config).map_or("", String::as_str);
    match work {
        Work::Lint { patch } => {
            let Some(patch) = facts.patch(patch) else {
                return Ok(None);
            };
            add("file", &patch.file);
            add("entry", &patch.entry);
            add("rules", &facts.lint_rules);
        }
        Work::Prefix { count, .. } => {
            let tree = facts.trees.get(*count);
            add("osreldate", &facts.osreldate.to_string());
            add("kernel", kernel(DEBUG));
            if *count == 0 {
                let Some(tree) = tree else { return Ok(None) };
                add("tree", tree);
            }
            add("programs", &programs.digest(&[BOOT.to_owned()])?);
            let left_out = facts.boot_tests_after(*count);
            if !left_out.is_empty() {
                add("tests", &left_out.join(" "));
            }
            add_patches(&mut own, facts.patches.iter().take(*count));
            if let Some(tree) = tree {
                more.insert("tree".into(), tree.clone());
            }
        }
        Work::Prove { patch } => {
            let Some(patch) = facts.patch(patch) else {
                return Ok(None);
            };
            add("osreldate", &facts.osreldate.to_string());
            add("kernel", kernel(DEBUG));
            add("programs", &programs.digest(&patch.tests)?);
            add("tests", &patch.tests.join(" "));
            add("check", &patch.check);
            add("without", &facts.without(&patch.id).join(" "));
            let related = facts.related(&patch.id);
            let patches = facts.patches.iter();
            add_patches(
                &mut own,
                patches.filter(|one| related.contains(one.id.as_str())),
            );
            if let Some(tree) = facts.trees.last() {
                more.insert("tree".into(), tree.clone());
            }
        }
        Work::Suite {
            config,
            cpus,
            suite,
        }
        | Work::Base {
            config,
            cpus,
            suite,
        } => {
            let tree = match work {
                Work::Base { .. } => facts.trees.first(),
                _ => facts.trees.last(),
            };
            let Some(tree) = tree else { return Ok(None) };
            let tests = [suite.clone()];
            add("tree", tree);
            add("kernel", kernel(config));
            add("programs", &programs.digest(&tests)?);
            add("tests", &tests.join(" "));
            if let Cpus::Number(number) = cpus {
                add("cpus", &number.to_string());
            }
        }
        Work::Mutants { suite } => {
            let Some(tree) = facts.trees.last() else {
                return Ok(None);
            };
            add("tree", tree);
            add("kernel", kernel(DEBUG));
            let mutants = facts.mutants.get(suite).cloned().unwrap_or_default();
            add("programs", &programs.digest(&mutants.tests)?);
            add("mutants", &mutants.digest);
        }
        Work::Bench { .. } => {
            let Some(tree) = facts.trees.last() else {
                return Ok(None);
            };
            add("tree", tree);
            add("kernel", kernel(BENCH));
            add("programs", &programs.digest(&[MEASURING.to_owned()])?);
        }
    }
    Ok(Some((own, more)))
}

/// Adds the patch ids of `patches`, and their order.
fn add_patches<'a>(inputs: &mut Inputs, patches: impl Iterator<Item = &'a PatchFacts>) {
    let mut order = Vec::new();
    for patch in patches {
        inputs.insert(format!("patch {}", patch.id), patch.patch_id.clone());
        order.push(patch.id.as_str());
    }
    inputs.insert("order".into(), order.join(" "));
}

impl Facts {
    /// Returns the patch `id`, if the series has it.
    fn patch(&self, id: &str) -> Option<&PatchFacts> {
        self.patches.iter().find(|patch| patch.id == id)
    }

    /// Returns the patterns of boot tests that the first `count` patches need
    /// not pass, because they prove later ones.
    fn boot_tests_after(&self, count: usize) -> Vec<&str> {
        let suite = BOOT.split('/').next().unwrap_or_default();
        let can_match = |pattern: &&str| {
            let first = pattern.split('/').next().unwrap_or_default();
            first == suite || first.contains(['*', '?', '[', '{'])
        };
        let later = self.patches.iter().skip(count);
        let tests = later.flat_map(|patch| &patch.tests).map(String::as_str);
        let all: BTreeSet<&str> = tests.filter(can_match).collect();
        all.into_iter().collect()
    }

    /// Returns the patches that are left out with the patch `id`: it and those
    /// that need it.
    fn without(&self, id: &str) -> Vec<&str> {
        let mut out = Vec::new();
        // A patch comes after those it needs, so one pass finds all.
        for patch in &self.patches {
            if patch.id == id || patch.needs.iter().any(|need| out.contains(&need.as_str())) {
                out.push(&patch.id);
            }
        }
        out
    }

    /// Returns the patches that decide about the proof of the patch `id`: it,
    /// those that it needs, those that need it, and those that change a file of
    /// it.
    fn related(&self, id: &str) -> BTreeSet<&str> {
        let mut related: BTreeSet<&str> = self.without(id).into_iter().collect();
        let mut needed: BTreeSet<&str> = BTreeSet::new();
        for patch in self.patches.iter().rev() {
            if patch.id == id || needed.contains(patch.id.as_str()) {
                needed.extend(patch.needs.iter().map(String::as_str));
            }
        }
        related.extend(needed);
        if let Some(own) = self.patch(id) {
            let shares = |one: &&PatchFacts| !one.files.is_disjoint(&own.files);
            related.extend(
                self.patches
                    .iter()
                    .filter(shares)
                    .map(|one| one.id.as_str()),
            );
        }
        related
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Programs whose digest is the list of the tests, with the digests of the
    /// suites that changed.
    #[derive(Debug, Clone, Default)]
    pub struct FakePrograms(pub BTreeMap<String, String>);

    impl Programs for FakePrograms {
        fn digest(&self, patterns: &[String]) -> Result<String, Failure> {
            let of = |pattern: &String| {
                let suite = pattern.split('/').next().unwrap_or_default();
                format!("{suite}={}", self.0.get(suite).map_or("1", String::as_str))
            };
            Ok(patterns.iter().map(of).collect::<Vec<_>>().join(","))
        }
    }

    /// A patch of a series: id, needs, files, tests.
    pub type PatchRow<'a> = (&'a str, &'a [&'a str], &'a [&'a str], &'a [&'a str]);

    /// Returns a series of patches. The patch ids are
    /// `ID 1`, and the trees are made from them.
    pub fn facts(patches: &[PatchRow<'_>]) -> Facts {
        let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let patches = patches.iter().map(|(id, needs, files, tests)| PatchFacts {
            id: (*id).into(),
            patch_id: format!("{id} 1"),
            file: format!("file of {id}"),
            entry: format!("entry of {id}"),
            needs: strings(needs),
            files: files.iter().map(|file| (*file).to_owned()).collect(),
            tests: strings(tests),
            check: "fail".into(),
        });
        let mut facts = Facts {
            base: "b".into(),
            osreldate: 1_501_000,
            patches: patches.collect(),
            kernels: BTreeMap::from([
                (DEBUG.to_owned(), "debug 1".to_owned()),
                (BENCH.to_owned(), "bench 1".to_owned()),
            ]),
            lint_rules: "1".into(),
            ..Facts::default()
        };
        set_trees(&mut facts, "base");
        facts
    }

    /// Sets the trees of a series on the base's tree `base`.
    pub fn set_trees(facts: &mut Facts, base: &str) {
        let mut tree = base.to_owned();
        facts.trees = vec![tree.clone()];
        for patch in &facts.patches {
            tree = format!("{tree}+{}", patch.patch_id);
            facts.trees.push(tree.clone());
        }
    }

    /// Four patches: `b` needs `a`; `c` changes a file of `b`; `d` is alone.
    pub fn four() -> Facts {
        facts(&[
            ("a", &[], &["a.c"], &["smoke/a"]),
            ("b", &["a"], &["b.c"], &["smoke/b"]),
            ("c", &[], &["b.c", "c.c"], &["sendfile/c"]),
            ("d", &[], &["d.c"], &["kqueue/d"]),
        ])
    }

    /// All the work of [`four`].
    pub fn works() -> Vec<Work> {
        let mut works = Vec::new();
        let ids = ["a", "b", "c", "d"].map(str::to_owned);
        works.extend(ids.clone().map(|patch| Work::Lint { patch }));
        works.extend((0..=4).map(|count| Work::Prefix {
            count,
            last: ids[..count].last().cloned(),
        }));
        works.extend(ids.map(|patch| Work::Prove { patch }));
        for suite in ["smoke", "kqueue"] {
            works.push(Work::Suite {
                config: DEBUG.into(),
                cpus: Cpus::Declared,
                suite: suite.into(),
            });
        }
        works.push(Work::Base {
            config: DEBUG.into(),
            cpus: Cpus::Declared,
            suite: "smoke".into(),
        });
        works.push(Work::Mutants {
            suite: "smoke".into(),
        });
        works.push(Work::Bench {
            study: "ixgbe".into(),
        });
        works
    }

    /// Returns the works whose key differs, as ids.
    fn changed(old: &Facts, new: &Facts, programs: &FakePrograms, depth: Depth) -> Vec<String> {
        let before = FakePrograms::default();
        let differs = |work: &Work| {
            let of = |facts, programs: &FakePrograms| {
                keyed(work, facts, programs, depth).unwrap().unwrap().key
            };
            of(old, &before) != of(new, programs)
        };
        let works = works();
        works
            .iter()
            .filter(|work| differs(work))
            .map(|work| work.id(""))
            .collect()
    }

    /// The jobs with the complete series.
    const SERIES: [&str; 4] = [
        "/suite/debug/declared/smoke",
        "/suite/debug/declared/kqueue",
        "/mutants/smoke",
        "/bench/ixgbe",
    ];

    #[test]
    fn a_change_reruns_what_depends_on_it_and_nothing_else() {
        let same = FakePrograms::default();
        let patch = |n: usize| {
            let mut facts = four();
            facts.patches[n].patch_id.push('2');
            facts.patches[n].file.push('2');
            set_trees(&mut facts, "base");
            facts
        };
        let with_series = |own: &[&str]| -> Vec<String> {
            let all = own.iter().chain(&SERIES);
            all.map(|id| (*id).to_owned()).collect()
        };
        let revision = |new: &Facts| changed(&four(), new, &same, Depth::Revision);
        assert_eq!(revision(&four()), [""; 0]);
        // A line of `d`: its own jobs, the last prefix, the complete series.
        let want = with_series(&["/lint/d", "/prefix/04", "/prove/d"]);
        assert_eq!(revision(&patch(3)), want);
        // A line of `c`, which shares a file with `b`.
        let want = [
            "/lint/c",
            "/prefix/03",
            "/prefix/04",
            "/prove/b",
            "/prove/c",
        ];
        assert_eq!(revision(&patch(2)), with_series(&want));
        // A line of `a`, which `b` needs.
        let want = [
            "/lint/a",
            "/prefix/01",
            "/prefix/02",
            "/prefix/03",
            "/prefix/04",
            "/prove/a",
            "/prove/b",
        ];
        assert_eq!(revision(&patch(0)), with_series(&want));
        // The mail only: another message.
        let mut message = four();
        message.patches[1].file.push('2');
        assert_eq!(revision(&message), ["/lint/b"]);
    }

    #[test]
    fn a_rebase_alone_is_cheap() {
        let same = FakePrograms::default();
        let mut rebased = four();
        set_trees(&mut rebased, "newer base");
        let mut want = vec!["/prefix/00".to_owned()];
        want.extend(SERIES[..2].iter().map(|id| (*id).to_owned()));
        want.push("/base/debug/declared/smoke".into());
        want.extend(SERIES[2..].iter().map(|id| (*id).to_owned()));
        assert_eq!(changed(&four(), &rebased, &same, Depth::Revision), want);
        // Nightly runs have the trees in their keys.
        let nightly = changed(&four(), &rebased, &same, Depth::Nightly);
        let lint = works().iter().filter(|work| work.kind() == "lint").count();
        assert_eq!(nightly.len(), works().len() - lint);
    }

    #[test]
    fn other_programs_rerun_the_tests_of_their_suite() {
        let programs = FakePrograms([("kqueue".to_owned(), "2".to_owned())].into());
        assert_eq!(
            changed(&four(), &four(), &programs, Depth::Revision),
            ["/prove/d", "/suite/debug/declared/kqueue"]
        );
        // Tests of another suite can kill a mutant.
        let mut facts = four();
        let mutants = facts.mutants.entry("smoke".into()).or_default();
        mutants.tests = vec!["smoke".into(), "kqueue/a".into()];
        let key = |programs: &FakePrograms| {
            let work = Work::Mutants {
                suite: "smoke".into(),
            };
            keyed(&work, &facts, programs, Depth::Revision)
                .unwrap()
                .unwrap()
                .key
        };
        assert_ne!(key(&programs), key(&FakePrograms::default()));
    }

    #[test]
    fn other_boot_tests_rerun_the_prefixes() {
        let prefixes = |from: usize, to: usize| -> Vec<String> {
            (from..=to)
                .map(|count| format!("/prefix/{count:02}"))
                .collect()
        };
        let programs = FakePrograms([("boot".to_owned(), "2".to_owned())].into());
        let depth = Depth::Revision;
        assert_eq!(changed(&four(), &four(), &programs, depth), prefixes(0, 4));
        // A prefix does not run the tests of later patches.
        let mut facts = four();
        facts.patches[2].tests = vec!["boot/c".into()];
        let own = changed(&four(), &facts, &FakePrograms::default(), depth);
        let want = [prefixes(0, 2), vec!["/prove/c".to_owned()]].concat();
        assert_eq!(own, want);
    }

    #[test]
    fn another_way_to_build_a_kernel_reruns_what_is_on_it() {
        let same = FakePrograms::default();
        let mut facts = four();
        facts.kernels.insert(BENCH.into(), "bench 2".into());
        let bench = changed(&four(), &facts, &same, Depth::Revision);
        assert_eq!(bench, ["/bench/ixgbe"]);
        facts = four();
        facts.lint_rules = "2".into();
        let lint = changed(&four(), &facts, &same, Depth::Revision);
        assert_eq!(lint, ["/lint/a", "/lint/b", "/lint/c", "/lint/d"]);
        facts = four();
        facts.has_other_jobs = true;
        let all = changed(&four(), &facts, &same, Depth::Revision);
        assert_eq!(all.len(), works().len());
    }

    #[test]
    fn a_result_is_valid_for_both_depths() {
        let (facts, programs) = (four(), FakePrograms::default());
        let prove = Work::Prove { patch: "a".into() };
        let of = |work, depth| keyed(work, &facts, &programs, depth).unwrap().unwrap();
        let (revision, nightly) = (of(&prove, Depth::Revision), of(&prove, Depth::Nightly));
        assert_eq!(revision.also, std::slice::from_ref(&nightly.key));
        assert_eq!(nightly.also, [revision.key]);
        let lint = Work::Lint { patch: "a".into() };
        assert!(of(&lint, Depth::Nightly).also.is_empty());
    }

    #[test]
    fn a_job_is_current_until_something_that_it_depends_on_changes() {
        let programs = FakePrograms::default();
        let planned = |depth| -> Vec<Job> {
            let job = |work: Work| {
                let keys = keyed(&work, &four(), &programs, depth).unwrap().unwrap();
                let mut job = Job::new("b", work, keys.key, None);
                job.also = keys.also;
                job
            };
            works().into_iter().map(job).collect()
        };
        let stale = |facts: &Facts, programs: &FakePrograms, depth| -> Vec<String> {
            let mut jobs = planned(depth);
            jobs.retain(|job| !is_current(job, facts, programs).unwrap());
            jobs.iter().map(|job| job.work.id("")).collect()
        };
        for depth in [Depth::Revision, Depth::Nightly] {
            assert_eq!(stale(&four(), &programs, depth), [""; 0]);
            // The message of a patch: the revision has the same id.
            let mut facts = four();
            facts.patches[1].file.push('2');
            assert_eq!(stale(&facts, &programs, depth), ["/lint/b"]);
            // Neither key may be stored when one of them is another one.
            let boot = FakePrograms([("boot".to_owned(), "2".to_owned())].into());
            assert_eq!(stale(&four(), &boot, depth).len(), 5);
            let mut facts = four();
            facts.kernels.insert(BENCH.into(), "bench 2".into());
            assert_eq!(stale(&facts, &programs, depth), ["/bench/ixgbe"]);
            facts.patches.remove(3);
            let gone = stale(&facts, &programs, depth);
            assert!(gone.contains(&"/lint/d".to_owned()), "{gone:?}");
        }
    }

    #[test]
    fn confined_builds_have_results_of_their_own() {
        let confined = Facts {
            is_confined: true,
            ..four()
        };
        let programs = FakePrograms::default();
        let same = |work: &Work| {
            let of = |facts| {
                let keys = keyed(work, facts, &programs, Depth::Nightly)
                    .unwrap()
                    .unwrap();
                keys.also
                    .into_iter()
                    .chain([keys.key])
                    .collect::<BTreeSet<String>>()
            };
            !of(&four()).is_disjoint(&of(&confined))
        };
        let mut works = works();
        works.retain(same);
        let shared: Vec<String> = works.iter().map(|work| work.id("")).collect();
        // Nothing is built for them.
        assert_eq!(shared, ["/lint/a", "/lint/b", "/lint/c", "/lint/d"]);
    }

    #[test]
    fn work_on_a_tree_has_no_key_without_it() {
        let mut facts = four();
        facts.trees.clear();
        let programs = FakePrograms::default();
        for work in works() {
            let has = keyed(&work, &facts, &programs, Depth::Revision)
                .unwrap()
                .is_some();
            let needs_none = match work {
                Work::Lint { .. } | Work::Prove { .. } => true,
                Work::Prefix { count, .. } => count > 0,
                _ => false,
            };
            assert_eq!(has, needs_none, "{work:?}");
        }
    }
}
