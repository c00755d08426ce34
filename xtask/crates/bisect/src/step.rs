//! One step of a bisection that git runs: the verdict on the commit that is
//! checked out, as the exit code that `git bisect run` expects.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use crate::decide::Counts;
use crate::driver::{Kernel, Tested, Tester};
use crate::line;
use crate::request::{BisectRequest, RunOptions};
use crate::signature::Signature;
use crate::tester::{GuestTester, Inputs};
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_core::logs;
use kdk_series::base::source::Source;
use kdk_series::base::{self, record, repo, uncommitted};

const TRIED: &str = "test the commit that is checked out";

const CHECKOUT: &str =
    "run it in your checkout of FreeBSD, as `git bisect run` does, or name it with --src";

/// The exit code of a commit that cannot be tested, for `git bisect run`.
pub const SKIP: u8 = 125;

/// What is added to the exit code of a failure, so that `git bisect run` stops.
pub const STOP: u8 = 128;

/// The exit code of a defect of kdk, which stops `git bisect run`, too. The 101 of
/// a Rust program that panics would be a bad commit.
pub const PANIC: u8 = 255;

/// Returns the exit code that `run` returns, or that of a defect if it panics. The
/// message of the panic is printed already.
pub fn guarded(run: impl FnOnce() -> u8) -> u8 {
    // Nothing of what `run` has changed is used after a panic.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(PANIC)
}

/// Returns the exit code for what the tests show: 0 for a good commit, 1 for a
/// bad one, 125 for one that cannot be tested.
pub fn exit_code(counts: &Counts) -> u8 {
    match counts {
        Counts { bad: 1.., .. } => 1,
        Counts {
            good: 1..,
            other: 0,
            ..
        } => 0,
        _ => SKIP,
    }
}

/// Tests the commit that is checked out in `dir`, with its uncommitted changes
/// under sys/. The revisions of `request` do not matter.
///
/// # Errors
/// The request is wrong, or the host failed: the commit has no verdict.
pub fn step(
    cx: &Context,
    request: &BisectRequest,
    options: &RunOptions<'_>,
    dir: &Path,
) -> Result<Tested, Failure> {
    crate::stopped(cx, || test(cx, request, options, dir))
}

fn test(
    cx: &Context,
    request: &BisectRequest,
    options: &RunOptions<'_>,
    dir: &Path,
) -> Result<Tested, Failure> {
    request.check()?;
    let signature = Signature::new(request.signature.as_deref())?;
    let commit = checked_out(cx, &request.base, dir)?;
    let line = line::single(cx, request, &commit)?;
    if let Some(why) = line.conflict(0) {
        return Ok(Tested {
            counts: Counts::untested(why),
            ..Tested::default()
        });
    }
    (options.ready)()?;
    let inputs = Inputs::of(cx, &request.base)?;
    let logs = logs::folder(cx)?;
    let tester = GuestTester {
        cx,
        request,
        guest: &options.guest,
        verbose: options.verbose,
        line: &line,
        signature: &signature,
        inputs: &inputs,
        logs: &logs,
        count: AtomicUsize::new(0),
        remote: None,
        gc: Mutex::new(()),
    };
    let kernel = Kernel {
        point: 0,
        runs: request.runs,
        fresh: false,
        place: 0,
    };
    // Which tests fail on git's bad commit is not known.
    tester.test(kernel, &BTreeSet::new())
}

/// Returns the commit that is checked out in `dir`, in kdk's repository of the
/// base.
fn checked_out(cx: &Context, base: &str, dir: &Path) -> Result<String, Failure> {
    let record = record::find(&cx.cache, base)?;
    let _lock = cx.cache.lock(&base::lock_name(base), &|text| {
        cx.terminal.line(&text);
    })?;
    if !dir.is_dir() {
        let what = format!("{} is not a folder", dir.display());
        return Err(Failure::usage(TRIED, what).help(CHECKOUT));
    }
    let top = Git::discover(dir, None).run(TRIED, &["rev-parse", "--show-toplevel"])?;
    if !top.ok {
        let what = format!("{} is not in a git checkout", dir.display());
        return Err(Failure::usage(TRIED, what).help(CHECKOUT));
    }
    let source = Source::open(&PathBuf::from(top.text()))?;
    let same = match &record.src {
        Some(src) => Source::open(src)?.common_dir == source.common_dir,
        None => false,
    };
    if !same {
        let what = format!(
            "{} is not a checkout of the repository of the base {base}",
            source.dir.display()
        );
        return Err(Failure::usage(TRIED, what).help(format!(
            "check the commit out in a work tree of that repository, or take the base from this one: \
             cargo xtask base remove {base} && cargo xtask base add {base} --src {}",
            source.dir.display()
        )));
    }
    let git = repo::git(&cx.cache, base);
    repo::add_alternate(&git, &source)?;
    Ok(uncommitted::snapshot(&git, &source)?.commit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_of_git_bisect_run() {
        for (good, bad, other, want) in [
            (1, 0, 0, 0),
            (5, 0, 0, 0),
            (4, 1, 0, 1),
            (0, 1, 1, 1),
            (0, 0, 1, 125),
            (4, 0, 1, 125),
            (0, 0, 0, 125),
        ] {
            let counts = Counts {
                good,
                bad,
                other,
                ..Counts::default()
            };
            assert_eq!(exit_code(&counts), want, "{counts:?}");
        }
    }

    #[test]
    fn a_panic_is_no_verdict() {
        assert_eq!(guarded(|| 1), 1);
        let code = guarded(|| panic!("a defect"));
        // `git bisect run` takes 1 to 127, but for 125, for a bad commit.
        assert_eq!(code, 255);
    }
}
