//! Merges the results of all shards into one report, and into the store. What is
//! missing is named, and the result is never green then.

pub mod folder;
pub(crate) mod import;
pub mod judge;
mod merge;
mod summary;

use std::path::{Path, PathBuf};

use kdk_core::cache_dir::Lock;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_report::files::ReportFiles;
use kdk_report::history::compare::Comparison;

use crate::plan_file::PlanFile;
use crate::result::JobVerdict;
use crate::store::CiStore;
use judge::{Problem, judge};

/// What is collected, and where it goes.
#[derive(Debug, Clone, Default)]
pub struct CollectRequest {
    /// The folders of results, or folders that have these as subfolders.
    pub dirs: Vec<PathBuf>,
    /// The plan that the shards followed.
    pub plan: Option<PathBuf>,
    /// The folder of the merged report.
    pub out: PathBuf,
}

/// The names of the merged report's files: JSON, JUnit and HTML.
pub const REPORT: [&str; 3] = ["report.json", "junit.xml", "report.html"];

/// Collects the results of shards: writes one report, and adds the results to
/// the store of this host.
///
/// # Errors
/// A job failed, a shard is missing or cannot be used, or another collector is
/// at work on the same report.
pub fn collect(cx: &Context, request: &CollectRequest) -> Result<(), Failure> {
    let _lock = lock(cx, request)?;
    let plan = request.plan.as_deref().map(PlanFile::read).transpose()?;
    let folders = folder::find(&request.dirs)?;
    let mut collected = judge(plan.as_ref(), &folders);
    if let Some(plan) = &plan {
        collected.problems.extend(no_longer_valid(cx, plan)?);
    }
    let report = merge::report(&collected);
    let [json, junit, html] = REPORT.map(|name| Some(request.out.join(name)));
    let written = ReportFiles { json, junit, html }.write(&report, &Comparison::default());
    let stored = import::import(cx, plan.as_ref(), &folders);
    for line in summary::lines(&collected) {
        cx.terminal.print(line);
    }
    written.and(stored)?;
    cx.terminal.print(format_args!(
        "reports: {} in {}",
        REPORT.join(", "),
        request.out.display()
    ));
    summary::failure(&collected).map_or(Ok(()), Err)
}

/// Returns the jobs that did not run because the plan takes them for passed,
/// and that failed by what the store of this host knows.
fn no_longer_valid(cx: &Context, plan: &PlanFile) -> Result<Vec<Problem>, Failure> {
    let mut problems = Vec::new();
    for job in &plan.valid {
        let base = job.id.split('/').next().unwrap_or_default();
        if !import::is_plain(Path::new(base)) || !folder::is_key(&job.key) {
            continue;
        }
        let known = CiStore::open(&cx.cache, base).results().get(&job.key)?;
        if let Some(failed) = known.filter(|known| known.verdict == JobVerdict::Failed) {
            problems.push(Problem::NoLongerValid {
                job: job.id.clone(),
                why: failed.why,
            });
        }
    }
    Ok(problems)
}

/// Locks the folder of the report. Another collector that writes it is an error
/// at once: its result is the same, so there is nothing to wait for.
fn lock(cx: &Context, request: &CollectRequest) -> Result<Lock, Failure> {
    let out = &request.out;
    let failed = |error| Failure::io("write the merged report", out, error);
    std::fs::create_dir_all(out).map_err(failed)?;
    let place = std::fs::canonicalize(out).map_err(failed)?;
    let digest = blake3::hash(place.as_os_str().as_encoded_bytes()).to_hex();
    let name = format!("ci-collect-{}", &digest[..16]);
    cx.cache.try_lock(&name)?.map_err(|owner| {
        Failure::infra(
            "collect the results",
            format!("{owner} is writing the report in {}", out.display()),
        )
        .help("wait until it has ended, or choose another folder with --out")
    })
}

#[cfg(test)]
mod tests;
