//! Clones a base from FreeBSD's official repository: one commit without its
//! history, and only the files that a kernel needs. Each step can be
//! interrupted; the next run continues with what is there.

use std::collections::BTreeSet;

use crate::base::definition::{Definition, History};
use crate::base::{osreldate, repo, worktree};
use kdk_core::failure::Failure;
use kdk_core::git::{Git, Progress, Ran};

/// The callback that receives git's progress.
pub type Listener<'a> = &'a mut dyn FnMut(Progress);

/// The reference to the base's commit.
const UPSTREAM: &str = "refs/kdk/upstream";
/// The reference to a branch's history while a commit is searched in it.
const HISTORY: &str = "refs/kdk/history";

/// The number of files in one fetch. An interrupted fetch is lost, so they are
/// not too many.
const BATCH: usize = 4000;

/// Fetches the base's commit and its trees, without the blobs: `wanted`, or the
/// commit that the definition describes.
pub fn clone(
    git: &Git,
    definition: &Definition,
    wanted: Option<&str>,
    progress: Listener<'_>,
) -> Result<String, Failure> {
    if let Some(commit) = repo::pinned(git, UPSTREAM)?
        && wanted.is_none_or(|wanted| wanted == commit)
    {
        return Ok(commit);
    }
    repo::remove_stale_locks(git.git_dir());
    set_up(git, definition)?;
    let tip = match (wanted, &definition.history) {
        (Some(commit), _) => commit.to_owned(),
        (None, Some(history)) => search(git, definition, history, progress)?,
        (None, None) => format!("refs/heads/{}", definition.branch),
    };
    // The partial history is of no use for the base's own copy.
    let args = [
        "fetch",
        "--progress",
        "--no-tags",
        "--depth=1",
        "--filter=blob:none",
        "--refetch",
        "origin",
        &format!("+{tip}:{UPSTREAM}"),
    ];
    fetch(git, definition, &args, b"", progress)?;
    git.text(
        "read the cloned commit",
        &["rev-parse", "--verify", UPSTREAM],
    )
}

/// Fetches the blobs of the files that are checked out.
pub fn fetch_files(
    git: &Git,
    definition: &Definition,
    commit: &str,
    progress: Listener<'_>,
) -> Result<(), Failure> {
    let absent: BTreeSet<String> = worktree::absent(git, commit)?.into_iter().collect();
    let files = worktree::files(git, commit)?;
    let wanted: BTreeSet<&str> = files
        .iter()
        .filter(|(path, id)| definition.tree.contains(path) && absent.contains(*id))
        .map(|(_, id)| id.as_str())
        .collect();
    let wanted: Vec<&str> = wanted.into_iter().collect();
    let total = wanted.len() as u64;
    let args = [
        "-c",
        "fetch.negotiationAlgorithm=noop",
        "fetch",
        "--progress",
        "--no-tags",
        "--no-write-fetch-head",
        "--filter=blob:none",
        "--stdin",
        "origin",
    ];
    for (n, batch) in wanted.chunks(BATCH).enumerate() {
        let before = (n * BATCH) as u64;
        let mut listen = |step: Progress| {
            if step.what == "Receiving objects" {
                progress(Progress {
                    what: "Receiving files".into(),
                    done: (before + step.done).min(total),
                    total,
                });
            }
        };
        fetch(
            git,
            definition,
            &args,
            batch.join("\n").as_bytes(),
            &mut listen,
        )?;
    }
    Ok(())
}

fn set_up(git: &Git, definition: &Definition) -> Result<(), Failure> {
    for (name, value) in [
        ("remote.origin.url", definition.repo.as_str()),
        ("remote.origin.promisor", "true"),
        ("remote.origin.partialclonefilter", "blob:none"),
        ("extensions.partialClone", "origin"),
        ("core.repositoryFormatVersion", "1"),
    ] {
        git.text("configure the clone", &["config", name, value])?;
    }
    Ok(())
}

/// Finds the last commit of the base's version in a time window of its branch.
fn search(
    git: &Git,
    definition: &Definition,
    history: &History,
    progress: Listener<'_>,
) -> Result<String, Failure> {
    let since = format!("--shallow-since={}", history.since);
    let refspec = format!("+refs/heads/{}:{HISTORY}", definition.branch);
    let args = [
        "fetch",
        "--progress",
        "--no-tags",
        "--filter=tree:0",
        &since,
        "origin",
        &refspec,
    ];
    fetch(git, definition, &args, b"", progress)?;
    let until = format!("--until={}", history.until);
    let args = ["rev-list", "--first-parent", "--reverse", &until, HISTORY];
    let list = git.text("find the base's commit", &args)?;
    let commits: Vec<&str> = list.lines().collect();
    let found =
        last_within(&commits, |commit| {
            // Each probe fetches four objects: the path to param.h, and the
            // file.
            let version = osreldate::read(&git.clone().network(), commit)?;
            Ok(version
                .is_some_and(|version| definition.osreldate.max.is_none_or(|max| version <= max)))
        })?;
    found.map(str::to_owned).ok_or_else(|| {
        Failure::infra(
            format!("fetch the base `{}`", definition.name),
            format!(
                "no commit of {} has the expected version",
                definition.branch
            ),
        )
        .help(with_src(definition))
    })
}

/// Returns the last of `commits` (the oldest first) for which `within` is true,
/// by binary search.
fn last_within<'a>(
    commits: &[&'a str],
    mut within: impl FnMut(&str) -> Result<bool, Failure>,
) -> Result<Option<&'a str>, Failure> {
    let (mut low, mut high) = (0, commits.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if within(commits[middle])? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low.checked_sub(1).map(|last| commits[last]))
}

fn fetch(
    git: &Git,
    definition: &Definition,
    args: &[&str],
    input: &[u8],
    progress: Listener<'_>,
) -> Result<(), Failure> {
    let tried = format!(
        "fetch the base `{}` from {}",
        definition.name, definition.repo
    );
    let ran = git.clone().network().watch(&tried, args, input, progress)?;
    if ran.ok {
        return Ok(());
    }
    Err(explain(definition, &tried, &ran))
}

/// Returns the failure of a fetch.
fn explain(definition: &Definition, tried: &str, ran: &Ran) -> Failure {
    if kdk_vm::error::says_disk_full(&ran.stderr) {
        return kdk_core::git::failed(tried, ran);
    }
    let no_network = [
        "Could not resolve host",
        "Failed to connect",
        "Connection timed out",
        "Connection refused",
        "Network is unreachable",
        "Proxy",
        "unable to access",
    ];
    let happened = if no_network.iter().any(|sign| ran.stderr.contains(sign)) {
        "the server cannot be reached"
    } else {
        "git could not fetch it"
    };
    Failure::infra(tried, happened)
        .source(ran.summary())
        .help(with_src(definition))
}

fn with_src(definition: &Definition) -> String {
    format!(
        "try again (fetched files are kept), or use a checkout or git directory of yours: cargo xtask base \
            add {} --src DIR",
        definition.name
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use kdk_vm::interrupt::Interrupt;

    use super::*;
    use crate::base::fixtures::{self, commit, tree, write};
    use crate::base::{add, definition, record};
    use kdk_core::cache_dir::CacheDir;
    use kdk_core::failure::rendered;

    /// Returns a server that has one commit of this version on this branch.
    fn server(dir: &Path, branch: &str, osreldate: u32) -> String {
        let tree = tree(dir, "server", osreldate);
        fixtures::git(&tree, &["config", "uploadpack.allowFilter", "true"]);
        fixtures::git(&tree, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        fixtures::git(&tree, &["checkout", "-q", "-b", branch]);
        format!("file://{}", tree.display())
    }

    fn base(name: &str, url: &str) -> Definition {
        let mut definition = definition::find(name).unwrap();
        definition.repo = url.into();
        definition
    }

    #[test]
    fn only_the_files_that_are_checked_out_are_fetched() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let definition = base("releng-15.1", &server(dir.path(), "releng/15.1", 1_501_000));
        let record = add::from_upstream(&cache, &definition, None, &mut |_| {}).unwrap();
        assert_eq!((record.osreldate, &record.src), (1_501_000, &None));
        let git = repo::git(&cache, "releng-15.1");
        let files = worktree::files(&git, &record.commit).unwrap();
        let absent = worktree::absent(&git, &record.commit).unwrap();
        for (path, id) in files {
            assert_eq!(
                absent.contains(&id),
                !definition.tree.contains(&path),
                "{path}"
            );
        }
        // Without the server, every file that is checked out is there.
        std::fs::remove_dir_all(dir.path().join("server")).unwrap();
        let tree = worktree::prepare(&cache, &record, &definition, &[], &mut |_| {}).unwrap();
        assert!(tree.path.join("sys/kern/a.c").exists());
        assert!(!tree.path.join("tests").exists());
    }

    #[test]
    fn an_interrupted_clone_continues() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let definition = base("releng-15.1", &server(dir.path(), "releng/15.1", 1_501_000));
        let git = repo::ensure(&cache, "releng-15.1").unwrap();
        let commit = clone(&git, &definition, None, &mut |_| {}).unwrap();
        // Killed here: no record, a lock of git's left behind.
        assert!(record::all(&cache).unwrap().is_empty());
        write(&git.git_dir().join("shallow.lock"), "");
        let server = dir.path().join("server");
        write(&server.join("sys/kern/b.c"), "newer\n");
        fixtures::commit(&server, "newer");
        let record = add::from_upstream(&cache, &definition, None, &mut |_| {}).unwrap();
        assert_eq!(record.commit, commit);
    }

    #[test]
    fn a_commit_that_is_named_is_fetched_also_after_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let definition = base("releng-15.1", &server(dir.path(), "releng/15.1", 1_501_000));
        let server = dir.path().join("server");
        let mut commits = Vec::new();
        for text in ["1\n", "2\n"] {
            write(&server.join("sys/kern/b.c"), text);
            commits.push(commit(&server, "step"));
        }
        let git = repo::ensure(&cache, "releng-15.1").unwrap();
        // A clone that was interrupted, and a commit that does not exist.
        clone(&git, &definition, None, &mut |_| {}).unwrap();
        let wrong = "0".repeat(40);
        let failure =
            add::from_upstream(&cache, &definition, Some(&wrong), &mut |_| {}).unwrap_err();
        assert_eq!(failure.exit_code(), 5);
        let wanted = commits[0].as_str();
        let record = add::from_upstream(&cache, &definition, Some(wanted), &mut |_| {}).unwrap();
        assert_eq!(record.commit, wanted);
    }

    #[test]
    fn a_base_in_the_middle_of_a_branch_is_found_by_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let url = server(dir.path(), "releng/11.0", 1_100_018);
        let server = dir.path().join("server");
        let mut wanted = String::new();
        for (n, version) in [1_100_019, 1_100_020, 1_100_020, 1_100_021]
            .into_iter()
            .enumerate()
        {
            let text = format!("#define __FreeBSD_version {version}\n");
            write(&server.join("sys/sys/param.h"), &text);
            write(&server.join("sys/kern/b.c"), &n.to_string());
            let head = commit(&server, "step");
            if version == 1_100_020 {
                wanted = head;
            }
        }
        let mut definition = base("head-2014", &url);
        definition.history = Some(History {
            since: "2000-01-01".into(),
            until: "2098-01-01".into(),
        });
        let record = add::from_upstream(&cache, &definition, None, &mut |_| {}).unwrap();
        assert_eq!(record.commit, wanted);
    }

    #[test]
    fn the_last_commit_that_fits() {
        let commits = ["a", "b", "c", "d", "e"];
        for (fitting, want) in [(0, None), (1, Some("a")), (3, Some("c")), (5, Some("e"))] {
            let found = last_within(&commits, |commit| Ok(commits[..fitting].contains(&commit)));
            assert_eq!(found.unwrap(), want);
        }
        assert_eq!(last_within(&[], |_| Ok(true)).unwrap(), None);
    }

    #[test]
    fn no_network_is_one_error_that_names_src() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let definition = base("main", "https://host.invalid/src.git");
        let failure = add::from_upstream(&cache, &definition, None, &mut |_| {}).unwrap_err();
        assert_eq!(failure.exit_code(), 5);
        assert!(rendered(&failure).contains("base add main --src DIR"));
        let ran = |stderr: &str| Ran {
            ok: false,
            stdout: Vec::new(),
            stderr: stderr.into(),
        };
        let mut texts = Vec::new();
        for stderr in [
            "fatal: unable to access 'https://git.FreeBSD.org/src.git/': Could not resolve host: \
             git.FreeBSD.org\n",
            "fatal: couldn't find remote ref refs/heads/main\n",
            "fatal: write error: No space left on device\n",
        ] {
            let definition = definition::find("main").unwrap();
            texts.push(rendered(&explain(
                &definition,
                "get the base `main`",
                &ran(stderr),
            )));
        }
        insta::assert_snapshot!(texts.join("\n"));
    }
}
