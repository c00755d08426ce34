//! `patches/<series>/series.yaml`: what a series says of itself.

mod problem;
pub mod text;

pub use problem::{is_beside, is_id, problems};

use serde::{Deserialize, Serialize};

/// The manifest. Lists are in apply order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the file's form; 1.
    pub schema: u32,
    /// Name and revision.
    pub series: Series,
    /// What it applies to.
    pub base: Base,
    /// Branches of the repository whose drift is looked at.
    #[serde(default)]
    pub track: Vec<String>,
    /// The file, beside the manifest, that introduces the series: the first
    /// line is its title.
    #[serde(default)]
    pub cover: Option<String>,
    /// The patches.
    #[serde(default)]
    pub patches: Vec<Patch>,
}

/// Name and revision.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The directory's name, and the base's.
    pub name: String,
    /// Counts what was sent for review, from 1.
    pub revision: u32,
}

/// What a series applies to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// FreeBSD's repository.
    pub repo: String,
    /// The branch there.
    pub branch: String,
    /// A commit of it, where the series fits no other.
    #[serde(default)]
    pub commit: Option<String>,
    /// `__FreeBSD_version`.
    pub osreldate: u32,
}

/// What a patch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Lets the kit boot the kernel directly.
    Enabling,
    /// Repairs a defect.
    Fix,
    /// Adds something.
    Feature,
    /// Adds a test.
    Test,
    /// Never leaves this repository.
    Local,
}

impl Class {
    /// The name in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enabling => "enabling",
            Self::Fix => "fix",
            Self::Feature => "feature",
            Self::Test => "test",
            Self::Local => "local",
        }
    }
}

/// One patch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Its name: lower case, digits and `-`.
    pub id: String,
    /// Its file, beside the manifest.
    pub file: String,
    /// What it is for.
    pub class: Class,
    /// Ids of patches it builds on.
    #[serde(default)]
    pub needs: Vec<String>,
    /// How far it has come with FreeBSD.
    #[serde(default)]
    pub upstream: Upstream,
    /// Whose work it is.
    pub provenance: Provenance,
    /// What its message gets when it is exported.
    #[serde(default)]
    pub trailers: Trailers,
    /// What proves it.
    #[serde(default)]
    pub check: Check,
}

/// How far a patch has come with FreeBSD.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Where it stands.
    #[serde(default)]
    pub status: Status,
    /// By which way.
    #[serde(default)]
    pub channel: Option<Channel>,
    /// The review, the pull request or the commit.
    #[serde(default)]
    pub url: Option<String>,
    /// Why it was rejected, or stays here.
    #[serde(default)]
    pub reason: String,
}

/// Where a patch stands with FreeBSD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Not sent.
    #[default]
    None,
    /// Under review.
    Submitted,
    /// Accepted, not yet committed.
    Accepted,
    /// Committed.
    Landed,
    /// Turned down.
    Rejected,
    /// Not meant for FreeBSD.
    Local,
}

impl Status {
    /// The name in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Submitted => "submitted",
            Self::Accepted => "accepted",
            Self::Landed => "landed",
            Self::Rejected => "rejected",
            Self::Local => "local",
        }
    }
}

/// The way to FreeBSD's reviewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// reviews.FreeBSD.org.
    Phabricator,
    /// A pull request.
    Github,
    /// A mailing list.
    Mail,
    /// An attachment to a problem report.
    Bugzilla,
}

impl Channel {
    /// The name in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Phabricator => "phabricator",
            Self::Github => "github",
            Self::Mail => "mail",
            Self::Bugzilla => "bugzilla",
        }
    }
}

/// Whose work a patch is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// `own`, or where it was obtained from.
    pub origin: String,
    /// Whether a generative AI wrote any of it.
    pub ai_assisted: bool,
    /// The person who answers for it, as `Name <mail>`; empty if nobody does
    /// yet.
    #[serde(default)]
    pub attested_by: String,
}

/// Lines that the message gets when it is exported, by their keys in FreeBSD's
/// commit template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trailers {
    /// Numbers of problem reports, by spaces.
    #[serde(default)]
    pub pr: Option<String>,
    /// Who found it.
    #[serde(default)]
    pub reported_by: Option<String>,
    /// Who reviewed it.
    #[serde(default)]
    pub reviewed_by: Option<String>,
    /// Who tested it.
    #[serde(default)]
    pub tested_by: Option<String>,
    /// Where it comes from.
    #[serde(default)]
    pub obtained_from: Option<String>,
    /// What it mends: `HASH ("SUBJECT")`.
    #[serde(default)]
    pub fixes: Option<String>,
    /// When to merge it to stable branches: `N days|weeks|months`.
    #[serde(default)]
    pub mfc_after: Option<String>,
    /// `yes`.
    #[serde(default)]
    pub relnotes: Option<String>,
    /// Who paid for it.
    #[serde(default)]
    pub sponsored_by: Option<String>,
}

impl Trailers {
    /// Each line that is there or not: its name in the manifest, its key.
    pub fn fields(&self) -> [(&'static str, &'static str, &Option<String>); 9] {
        [
            ("pr", "PR", &self.pr),
            ("reported_by", "Reported by", &self.reported_by),
            ("reviewed_by", "Reviewed by", &self.reviewed_by),
            ("tested_by", "Tested by", &self.tested_by),
            ("obtained_from", "Obtained from", &self.obtained_from),
            ("fixes", "Fixes", &self.fixes),
            ("mfc_after", "MFC after", &self.mfc_after),
            ("relnotes", "Relnotes", &self.relnotes),
            ("sponsored_by", "Sponsored by", &self.sponsored_by),
        ]
    }
}

/// What proves a patch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Tests by name or glob.
    #[serde(default)]
    pub tests: Vec<String>,
    /// How each of them ends without the patch.
    #[serde(default)]
    pub expect_without: Without,
    /// Virtual CPUs that they need to show it, where one is not enough.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// Checks of `patches lint` that do not hold for this patch.
    #[serde(default)]
    pub waive: Vec<String>,
}

/// How a test ends without the patch that it proves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Without {
    /// It fails, or the kernel crashes or hangs in it.
    #[default]
    Fail,
    /// The kernel crashes in it.
    Crash,
    /// It does not end.
    Timeout,
    /// The kernel does not come up.
    NoBoot,
}
