//! The files with which an existing engine runs the shards: GitHub Actions,
//! GitLab CI, Jenkins, or Slurm.
//!
//! They are thin. Each has a job that writes the plan, one job for each shard,
//! and one that collects the results. What a job runs is decided by kdk, when the
//! pipeline runs.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::str::FromStr;

use crate::cache_key::CacheKey;
use kdk_core::failure::Failure;

/// An engine that runs jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// GitHub Actions: a workflow.
    Github,
    /// GitLab CI: a `.gitlab-ci.yml`.
    Gitlab,
    /// Jenkins: a declarative Jenkinsfile.
    Jenkins,
    /// Slurm: a script that submits job arrays.
    Slurm,
}

/// What `ci plan` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The pipeline of an engine.
    Pipeline(Engine),
    /// The plan file, which the jobs of every pipeline read.
    Json,
}

impl Format {
    /// The names on the command line.
    pub const NAMES: [&str; 5] = ["github", "gitlab", "jenkins", "slurm", "json"];
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "github" => Self::Pipeline(Engine::Github),
            "gitlab" => Self::Pipeline(Engine::Gitlab),
            "jenkins" => Self::Pipeline(Engine::Jenkins),
            "slurm" => Self::Pipeline(Engine::Slurm),
            "json" => Self::Json,
            _ => return Err(format!("{text:?} is no format")),
        })
    }
}

/// What a pipeline's file depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// The number of shards.
    pub shards: NonZeroUsize,
    /// The commit of each base.
    pub bases: BTreeMap<String, String>,
    /// What names the caches.
    pub cache: CacheKey,
    /// The machines that run the jobs: a label of GitHub's or Jenkins's, a tag
    /// of GitLab's. None for the engine's own default.
    pub runner: Option<String>,
    /// Whether the shards confine their builds.
    pub sandbox: bool,
}

const GITHUB: &str = include_str!("github.yml");
const GITLAB: &str = include_str!("gitlab.yml");
const JENKINS: &str = include_str!("Jenkinsfile");
const SLURM: &str = include_str!("slurm.sh");

/// Returns the file for an engine.
///
/// # Errors
/// A name has characters that the file's language would interpret.
pub fn text(engine: Engine, pipeline: &Pipeline) -> Result<String, Failure> {
    check_names(pipeline)?;
    Ok(match engine {
        Engine::Github => github(pipeline),
        Engine::Gitlab => gitlab(pipeline),
        Engine::Jenkins => jenkins(pipeline),
        Engine::Slurm => slurm(pipeline),
    })
}

/// Fails if a name could be anything but a plain word in the file.
fn check_names(pipeline: &Pipeline) -> Result<(), Failure> {
    let plain = |text: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        !text.is_empty() && text.chars().all(is_plain)
    };
    let bases = pipeline
        .bases
        .iter()
        .flat_map(|(name, commit)| [name, commit]);
    let Some(wrong) = bases.chain(&pipeline.runner).find(|text| !plain(text)) else {
        return Ok(());
    };
    Err(Failure::usage(
        "write the pipeline",
        format!("the name {wrong:?} has other characters than letters, digits and `-._`"),
    ))
}

/// Replaces the placeholders `@NAME@` of a template.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    text
}

fn github(pipeline: &Pipeline) -> String {
    let numbers: Vec<String> = numbers(pipeline).collect();
    let mut values = common(
        pipeline,
        "#",
        &["Put it into .github/workflows/."],
        "ubuntu-24.04",
    );
    values.push(("NUMBERS", numbers.join(", ")));
    values.push(("SETUP", set_up(pipeline, "          ")));
    fill(GITHUB, &values)
}

fn gitlab(pipeline: &Pipeline) -> String {
    let mut values = common(pipeline, "#", &["Name it .gitlab-ci.yml."], "");
    let tags = pipeline.runner.as_ref();
    let tags = tags.map(|tag| format!("  tags: [{tag}]\n"));
    values.push(("TAGS", tags.unwrap_or_default()));
    values.push(("SETUP", set_up(pipeline, "    - ")));
    fill(GITLAB, &values)
}

fn jenkins(pipeline: &Pipeline) -> String {
    let numbers: Vec<String> = numbers(pipeline).map(|one| format!("'{one}'")).collect();
    let mut values = common(
        pipeline,
        "//",
        &[
            "Name it Jenkinsfile. It needs a multibranch pipeline, and the plugins of the",
            "usual set: pipeline, JUnit.",
        ],
        "kdk",
    );
    values.push(("NUMBERS", numbers.join(", ")));
    values.push(("SETUP", set_up(pipeline, &" ".repeat(20))));
    values.push(("DEEP_SETUP", set_up(pipeline, &" ".repeat(32))));
    fill(JENKINS, &values)
}

fn slurm(pipeline: &Pipeline) -> String {
    let bases: Vec<&str> = pipeline.bases.keys().map(String::as_str).collect();
    let mut values = common(pipeline, "#", &[], "");
    values.push(("NAME", format!("kdk-ci-{}", bases.join("-"))));
    fill(SLURM, &values)
}

/// Returns the values that all templates use. `comment` begins a comment, and
/// `more` are lines of the header.
fn common(
    pipeline: &Pipeline,
    comment: &str,
    more: &[&str],
    runner: &str,
) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        "Written by `cargo xtask ci plan`; do not edit it. Write it again after a change"
            .to_owned(),
        "of what names the caches:".to_owned(),
    ];
    for (name, value) in &pipeline.cache.inputs {
        lines.push(format!("  {name}: {value}"));
    }
    lines.extend(more.iter().map(|&line| line.to_owned()));
    let header: Vec<String> = lines
        .iter()
        .map(|line| format!("{comment} {line}"))
        .collect();
    let sandbox = match pipeline.sandbox {
        true => " --sandbox",
        false => "",
    };
    let runner = pipeline.runner.clone().unwrap_or_else(|| runner.to_owned());
    vec![
        ("HEADER", header.join("\n")),
        ("SHARDS", pipeline.shards.to_string()),
        ("SANDBOX", sandbox.to_owned()),
        ("RUNNER", runner),
        ("BASES", pipeline.cache.bases.clone()),
        ("TOOLCHAIN", pipeline.cache.toolchain.clone()),
        ("FULL", pipeline.cache.full.clone()),
    ]
}

fn numbers(pipeline: &Pipeline) -> impl Iterator<Item = String> {
    (1..=pipeline.shards.get()).map(|number| number.to_string())
}

/// Returns the commands that set up the host and the bases, each after `indent`.
fn set_up(pipeline: &Pipeline, indent: &str) -> String {
    let bases = pipeline.bases.iter();
    let bases =
        bases.map(|(name, commit)| format!("cargo xtask base add {name} --commit {commit}"));
    let lines: Vec<String> = std::iter::once("cargo xtask doctor --fix -y".to_owned())
        .chain(bases)
        .map(|line| format!("{indent}{line}"))
        .collect();
    lines.join("\n")
}
