//! The manifest of a series: `patches/<series>/series.yaml`.

mod problem;
pub mod text;

pub use problem::{is_id, is_plain_name, problems};

use serde::{Deserialize, Serialize};

/// A manifest. Its patches are in apply order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the file's format: 1.
    pub schema: u32,
    /// The name and revision of the series.
    pub series: Series,
    /// The base that it applies to.
    pub base: Base,
    /// The branches on which `patches lint` looks for landed patches.
    #[serde(default)]
    pub track: Vec<String>,
    /// The file with the cover letter, beside the manifest. Its first line is
    /// the title.
    #[serde(default)]
    pub cover: Option<String>,
    /// The patches of the series.
    #[serde(default)]
    pub patches: Vec<Patch>,
}

/// The name and revision of the series.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The name of the folder, and of the base.
    pub name: String,
    /// The number of the revision that is sent for review, from 1.
    pub revision: u32,
}

/// The base of a series.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// The URL of FreeBSD's repository.
    pub repo: String,
    /// The branch of the base.
    pub branch: String,
    /// The commit, if the series applies to no other.
    #[serde(default)]
    pub commit: Option<String>,
    /// The `__FreeBSD_version` of the base.
    pub osreldate: u32,
}

/// The class of a patch: what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Lets QEMU boot the kernel directly.
    Enabling,
    /// Fixes a defect.
    Fix,
    /// Adds a feature.
    Feature,
    /// Adds a test.
    Test,
    /// Never leaves this repository.
    Local,
}

impl std::str::FromStr for Class {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [
            Self::Enabling,
            Self::Fix,
            Self::Feature,
            Self::Test,
            Self::Local,
        ]
        .into_iter()
        .find(|class| class.name() == text)
        .ok_or_else(|| format!("{text:?} is none of {}", Self::NAMES.join(", ")))
    }
}

impl Class {
    /// The names that the command line accepts.
    pub const NAMES: [&str; 5] = ["enabling", "fix", "feature", "test", "local"];

    /// Returns the name in the manifest.
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

/// A patch of the series.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// The id: lower case letters, digits and `-`.
    pub id: String,
    /// The name of the patch file, beside the manifest.
    pub file: String,
    /// The class of the patch.
    pub class: Class,
    /// The ids of the patches that it needs.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The state of its review in FreeBSD.
    #[serde(default)]
    pub upstream: Upstream,
    /// The origin of the patch, and who attests it.
    pub provenance: Provenance,
    /// The trailers that an export adds to its message.
    #[serde(default)]
    pub trailers: Trailers,
    /// The tests that prove it.
    #[serde(default)]
    pub check: Check,
}

/// The state of a patch's review in FreeBSD.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The status of the review.
    #[serde(default)]
    pub status: Status,
    /// Where it is reviewed.
    #[serde(default)]
    pub channel: Option<Channel>,
    /// The URL of the review, pull request or commit.
    #[serde(default)]
    pub url: Option<String>,
    /// The reason why it was rejected or is local.
    #[serde(default)]
    pub reason: String,
}

/// The status of a patch in FreeBSD.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was not submitted.
    #[default]
    None,
    /// It is under review.
    Submitted,
    /// It is accepted and not yet committed.
    Accepted,
    /// It is committed.
    Landed,
    /// It was rejected.
    Rejected,
    /// It is not meant for FreeBSD.
    Local,
}

impl Status {
    /// Returns the name in the manifest.
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

/// Where FreeBSD reviews a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A review on reviews.FreeBSD.org.
    Phabricator,
    /// A pull request on GitHub.
    Github,
    /// A mailing list.
    Mail,
    /// An attachment to a problem report.
    Bugzilla,
}

impl Channel {
    /// Returns the name in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Phabricator => "phabricator",
            Self::Github => "github",
            Self::Mail => "mail",
            Self::Bugzilla => "bugzilla",
        }
    }
}

/// The origin of a patch.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// `own`, or where the patch was obtained from.
    pub origin: String,
    /// Whether a generative AI wrote any part of it.
    pub ai_assisted: bool,
    /// The person who is responsible for it, as `Name <mail>`; empty if no one
    /// is yet.
    #[serde(default)]
    pub attested_by: String,
}

/// The trailers that an export adds to the message, by their keys in FreeBSD's
/// commit template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trailers {
    /// The numbers of problem reports, separated by spaces.
    #[serde(default)]
    pub pr: Option<String>,
    /// Who reported the problem.
    #[serde(default)]
    pub reported_by: Option<String>,
    /// Who reviewed it.
    #[serde(default)]
    pub reviewed_by: Option<String>,
    /// Who tested it.
    #[serde(default)]
    pub tested_by: Option<String>,
    /// Where the patch was obtained from.
    #[serde(default)]
    pub obtained_from: Option<String>,
    /// The commit that it fixes: `HASH ("SUBJECT")`.
    #[serde(default)]
    pub fixes: Option<String>,
    /// When to merge it to stable branches: `N days|weeks|months`.
    #[serde(default)]
    pub mfc_after: Option<String>,
    /// The word `yes`, for the release notes.
    #[serde(default)]
    pub relnotes: Option<String>,
    /// Who sponsored it.
    #[serde(default)]
    pub sponsored_by: Option<String>,
}

impl Trailers {
    /// Returns each trailer: its name in the manifest, its key, its value.
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

/// The tests that prove a patch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The tests, by name or glob.
    #[serde(default)]
    pub tests: Vec<String>,
    /// The expected verdict of each test without the patch.
    #[serde(default)]
    pub expect_without: Without,
    /// The number of virtual CPUs that the tests run on, instead of those that
    /// they declare.
    #[serde(default)]
    pub cpus: Option<u32>,
    /// The checks of `patches lint` that are waived for this patch.
    #[serde(default)]
    pub waive: Vec<String>,
}

/// The expected verdict of a test without the patch that it proves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Without {
    /// The test fails, or the kernel crashes or hangs in it.
    #[default]
    Fail,
    /// The kernel crashes in the test.
    Crash,
    /// The test times out.
    Timeout,
    /// The kernel does not boot.
    NoBoot,
}
