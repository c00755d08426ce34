//! What a check says.

use std::fmt;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, SourceCode};

/// A check of `patches lint`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The manifest can be read: keys, types, form.
    Key,
    /// The folder holds the listed files, and no others.
    Listing,
    /// Each id and file is of one patch.
    Id,
    /// What a patch needs comes before it.
    Order,
    /// A patch file can be read: bytes, mail, diff.
    File,
    /// The base is the one the series was written for.
    Base,
    /// Each patch applies, exactly.
    Applies,
    /// Each patch file is what git writes of its commit.
    Canonical,
    /// No patch is there already.
    Landed,
    /// The first line of the message.
    Subject,
    /// The rest of the message.
    Body,
    /// The lines at the end of the message, and those of the manifest.
    Trailers,
    /// A reviewer can read it at a sitting.
    Size,
    /// No file has another upstream than FreeBSD.
    Path,
    /// FreeBSD's own style checker.
    Style,
    /// Whose work it is.
    Provenance,
    /// Manual pages.
    Mdoc,
    /// Something proves the patch; `waive` names checks.
    Tests,
}

impl Check {
    /// All of them.
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

    /// The name in messages and in `waive`.
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

    /// Whether a patch may do without it. The others hold the series together,
    /// or are not the patch's to decide.
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

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Has to be mended.
    Error,
    /// Worth a look.
    Warning,
}

impl Severity {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The file's name in messages.
    pub name: String,
    /// Its text.
    pub source: Arc<str>,
    /// Bytes in it: offset and length.
    pub span: (usize, usize),
}

impl Spot {
    /// Line and column, from 1.
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.source.get(..self.span.0).unwrap_or(&self.source);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Who found it.
    pub check: Check,
    /// The id of the patch it is about.
    pub patch: Option<String>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one line; begins with the patch's id.
    pub text: String,
    /// What to do.
    pub help: String,
    /// Where.
    pub spot: Option<Spot>,
}

/// What came of all checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What was found.
    pub findings: Vec<Finding>,
    /// How many findings were waived.
    pub waived: usize,
    /// What could not be checked, and why; a line each.
    pub not_checked: Vec<String>,
}

impl Report {
    /// How many findings are `severity`.
    pub fn count(&self, severity: Severity) -> usize {
        let is = |finding: &&Finding| finding.severity == severity;
        self.findings.iter().filter(is).count()
    }

    /// Whether nothing has to be mended.
    pub fn is_good(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    /// "2 errors, 1 warning".
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
