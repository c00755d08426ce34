//! Checks and findings.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode};

/// A check of `patches lint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The manifest parses: keys, types, layout.
    Key,
    /// The folder has the listed patch files, and no others.
    Listing,
    /// Each id and file belongs to one patch.
    Id,
    /// A patch comes after those it needs.
    Order,
    /// A patch file parses: bytes, mail, diff.
    File,
    /// The base is the one that the series is for.
    Base,
    /// Each patch applies, with fuzz 0.
    Applies,
    /// Each patch file is what `git format-patch` writes.
    Canonical,
    /// No patch has landed on the base.
    Landed,
    /// The first line of the message.
    Subject,
    /// The rest of the message.
    Body,
    /// The trailers of the message and of the manifest.
    Trailers,
    /// The patch is small enough to review.
    Size,
    /// No file belongs to another upstream than FreeBSD.
    Path,
    /// FreeBSD's own style checker.
    Style,
    /// The origin of the patch.
    Provenance,
    /// The manual pages pass mandoc.
    Mdoc,
    /// The patch names tests that prove it, and `waive` names checks.
    Tests,
}

impl Check {
    /// The list of all checks.
    pub const ALL: [Self; 18] = [
        Self::Key,
        Self::Listing,
        Self::Id,
        Self::Order,
        Self::File,
        Self::Base,
        Self::Applies,
        Self::Canonical,
        Self::Landed,
        Self::Subject,
        Self::Body,
        Self::Trailers,
        Self::Size,
        Self::Path,
        Self::Style,
        Self::Provenance,
        Self::Mdoc,
        Self::Tests,
    ];

    /// Returns the name in messages and in `waive`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Listing => "listing",
            Self::Id => "id",
            Self::Order => "order",
            Self::File => "file",
            Self::Base => "base",
            Self::Applies => "applies",
            Self::Canonical => "canonical",
            Self::Landed => "landed",
            Self::Subject => "subject",
            Self::Body => "body",
            Self::Trailers => "trailers",
            Self::Size => "size",
            Self::Path => "path",
            Self::Style => "style",
            Self::Provenance => "provenance",
            Self::Mdoc => "mdoc",
            Self::Tests => "check",
        }
    }

    /// Returns whether a patch may waive the check. The others protect the
    /// whole series, or are not for the patch to decide.
    pub fn can_be_waived(self) -> bool {
        matches!(
            self,
            Self::Subject
                | Self::Body
                | Self::Trailers
                | Self::Size
                | Self::Path
                | Self::Style
                | Self::Mdoc
                | Self::Tests
        )
    }
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It must be fixed.
    Error,
    /// It should be looked at.
    Warning,
}

impl Severity {
    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A location in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The file's name in messages.
    pub name: String,
    /// The text of the file.
    pub source: Arc<str>,
    /// The offset and length in bytes.
    pub span: (usize, usize),
}

impl Spot {
    /// Returns the line and column, from 1.
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.source.get(..self.span.0).unwrap_or(&self.source);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

/// A finding of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check that found it.
    pub check: Check,
    /// The id of the patch, if it is about one.
    pub patch: Option<String>,
    /// The severity of a finding.
    pub severity: Severity,
    /// The problem in one line, which begins with the patch's id.
    pub text: String,
    /// How to fix it.
    pub help: String,
    /// The location, if there is one.
    pub spot: Option<Spot>,
}

/// The result of all checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LintReport {
    /// The findings that are not waived.
    pub findings: Vec<Finding>,
    /// The number of waived findings.
    pub waived: usize,
    /// The checks that were not run, with the reason; one line each.
    pub not_checked: Vec<String>,
}

impl LintReport {
    /// Returns the number of findings of `severity`.
    pub fn count(&self, severity: Severity) -> usize {
        let is = |finding: &&Finding| finding.severity == severity;
        self.findings.iter().filter(is).count()
    }

    /// Returns whether there are no errors.
    pub fn is_good(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    /// Returns a summary: "2 errors, 1 warning".
    pub fn summary(&self) -> String {
        let some = |n: usize, what: &str| match n {
            1 => format!("1 {what}"),
            n => format!("{n} {what}s"),
        };
        let mut text = format!(
            "{}, {}",
            some(self.count(Severity::Error), "error"),
            some(self.count(Severity::Warning), "warning")
        );
        if self.waived > 0 {
            text.push_str(&format!(", {} waived", self.waived));
        }
        text
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Finding {}

impl Diagnostic for Finding {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let (severity, check) = (self.severity.name(), self.check.name());
        Some(Box::new(format!("{severity}: {check}")))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let spot = self.spot.as_ref()?;
        Some(spot)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.spot.as_ref()?.span;
        let label = LabeledSpan::new_primary_with_span(None, span);
        Some(Box::new(std::iter::once(label)))
    }
}

impl SourceCode for Spot {
    fn read_span<'a>(
        &'a self,
        span: &miette::SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn miette::SpanContents<'a> + 'a>, miette::MietteError> {
        let content = self.source.read_span(span, before, after)?;
        let (data, span) = (content.data(), *content.span());
        let (line, column, count) = (content.line(), content.column(), content.line_count());
        let name = self.name.clone();
        let named = miette::MietteSpanContents::new_named(name, data, span, line, column, count);
        Ok(Box::new(named))
    }
}
