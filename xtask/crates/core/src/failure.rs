//! The error type of the command line, and its exit codes.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};
use serde::{Deserialize, Serialize};

/// The class of a failure: what is at fault. A caller (a person, CI, `git
/// bisect run`) distinguishes the classes by the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The kernel under test failed tests.
    Tests,
    /// The command line, a manifest or a definition file is wrong.
    Usage,
    /// Something did not compile or link.
    Build,
    /// The kernel under test did not boot.
    Boot,
    /// The host: a tool is missing, the disk is full, the run was interrupted.
    Infra,
}

impl Class {
    /// Returns the process exit code that stands for this class.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Tests => 1,
            Self::Usage => 2,
            Self::Build => 3,
            Self::Boot => 4,
            Self::Infra => 5,
        }
    }

    /// Returns the class that a process exit code of kdk stands for.
    pub fn of_exit_code(code: i32) -> Option<Self> {
        [
            Self::Tests,
            Self::Usage,
            Self::Build,
            Self::Boot,
            Self::Infra,
        ]
        .into_iter()
        .find(|class| i32::from(class.exit_code()) == code)
    }
}

/// An error: what failed, why, and what to do.
///
/// `miette` renders the failed operation first, then the reason and its causes,
/// then the help.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Failure(Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Inner {
    class: Class,
    message: String,
    #[source]
    cause: Option<Cause>,
    help: Option<String>,
    spot: Option<Spot>,
}

/// The reason of a failure, and the error that caused it.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Cause {
    text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The longest line of a file that is quoted, in bytes.
const LONGEST_QUOTED: usize = 2000;

/// The place of the error in a file.
#[derive(Debug)]
struct Spot {
    source: NamedSource<String>,
    label: LabeledSpan,
}

impl Failure {
    /// Returns a failure with `message` and no reason.
    pub fn plain(class: Class, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            class,
            message: message.into(),
            cause: None,
            help: None,
            spot: None,
        }))
    }

    /// Returns a failure: "could not `tried`", because of `happened`.
    pub fn new(class: Class, tried: impl fmt::Display, happened: impl Into<String>) -> Self {
        let mut failure = Self::plain(class, format!("could not {tried}"));
        failure.0.cause = Some(Cause {
            text: happened.into(),
            source: None,
        });
        failure
    }

    /// Returns the failure of a run whose tests did not end as expected.
    pub fn tests(message: impl Into<String>) -> Self {
        Self::plain(Class::Tests, message)
    }

    /// Returns the failure for a wrong command line, manifest or definition;
    /// see [`Failure::new`].
    pub fn usage(tried: impl fmt::Display, happened: impl Into<String>) -> Self {
        Self::new(Class::Usage, tried, happened)
    }

    /// Returns the failure of a build; see [`Failure::new`].
    pub fn build(tried: impl fmt::Display, happened: impl Into<String>) -> Self {
        Self::new(Class::Build, tried, happened)
    }

    /// Returns a failure of the host; see [`Failure::new`].
    pub fn infra(tried: impl fmt::Display, happened: impl Into<String>) -> Self {
        Self::new(Class::Infra, tried, happened)
    }

    /// Returns the failure for an I/O error on `path`. It has help for common
    /// errors: a full disk, a read-only file system, missing permissions. The
    /// class is always [`Class::Infra`].
    pub fn io(tried: impl fmt::Display, path: &Path, error: io::Error) -> Self {
        let (happened, help) = explain_io(path, error.kind());
        let failure = Self::infra(tried, happened).source(error);
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }

    /// Sets the help: what the user can do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Appends a line to the help.
    pub fn and_help(self, more: impl Into<String>) -> Self {
        let more = more.into();
        let help = match &self.0.help {
            Some(help) => format!("{help}\n{more}"),
            None => more,
        };
        self.help(help)
    }

    /// Attaches the error that caused this one.
    pub fn source(mut self, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = Some(error.into());
        match &mut self.0.cause {
            Some(cause) => cause.source = source,
            None => {
                let text = source.as_ref().map(ToString::to_string);
                self.0.cause = text.map(|text| Cause { text, source: None });
            }
        }
        self
    }

    /// Adds the place of the error in a file: its name, its text, the span
    /// (byte offset and length), and a label for the span.
    pub fn at(
        mut self,
        name: impl AsRef<str>,
        text: impl Into<String>,
        span: impl Into<SourceSpan>,
        label: impl Into<String>,
    ) -> Self {
        let (text, span): (String, SourceSpan) = (text.into(), span.into());
        if text.lines().any(|line| line.len() > LONGEST_QUOTED) {
            let before = text.bytes().take(span.offset());
            let line = before.filter(|byte| *byte == b'\n').count() + 1;
            return self.and_help(format!("the place: {}, line {line}", name.as_ref()));
        }
        self.0.spot = Some(Spot {
            source: NamedSource::new(name, text),
            label: LabeledSpan::new_primary_with_span(Some(label.into()), span),
        });
        self
    }

    /// Returns the failure and its causes as one line.
    pub fn in_one_line(&self) -> String {
        let first: &(dyn Error + 'static) = self;
        std::iter::successors(Some(first), |error| (*error).source())
            .map(ToString::to_string)
            .collect::<Vec<String>>()
            .join(": ")
    }

    /// Returns the help, if there is one.
    pub fn advice(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Returns the class of the failure.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// Returns the process exit code that stands for this failure.
    pub fn exit_code(&self) -> u8 {
        self.0.class.exit_code()
    }
}

/// Returns what an error on `path` means, and the help for common errors.
fn explain_io(path: &Path, kind: io::ErrorKind) -> (String, Option<String>) {
    let at = path.display();
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            format!("no space is left on the disk of {at}"),
            Some(
                "free some space (`cargo xtask clean` removes rebuildable files), or set KDK_HOME to a \
                 folder on a larger disk"
                    .into(),
            ),
        ),
        io::ErrorKind::ReadOnlyFilesystem => (
            format!("{at} is on a read-only file system"),
            Some("set KDK_HOME to a writable directory".into()),
        ),
        io::ErrorKind::PermissionDenied => (
            format!("you have no permission to use {at}"),
            Some(format!(
                "change the permissions of {at}, or set KDK_HOME to a directory of your own"
            )),
        ),
        io::ErrorKind::NotFound => (format!("{at} does not exist"), None),
        _ => (format!("{at} cannot be used"), None),
    }
}

/// A failure as text, for another process: its class, its message with its
/// causes, and its help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFailure {
    class: Class,
    message: String,
    help: Option<String>,
}

impl From<&Failure> for SavedFailure {
    fn from(failure: &Failure) -> Self {
        Self {
            class: failure.class(),
            message: failure.in_one_line(),
            help: failure.0.help.clone(),
        }
    }
}

impl From<SavedFailure> for Failure {
    fn from(saved: SavedFailure) -> Self {
        let failure = Self::plain(saved.class, saved.message);
        match saved.help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

impl Diagnostic for Failure {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.0.help.as_ref()?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        let spot = self.0.spot.as_ref()?;
        Some(&spot.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let spot = self.0.spot.as_ref()?;
        Some(Box::new(std::iter::once(spot.label.clone())))
    }
}

/// Renders a failure without colours, 100 columns wide.
pub fn rendered(failure: &Failure) -> String {
    let mut out = String::new();
    let theme = miette::GraphicalTheme::unicode_nocolor();
    let handler = miette::GraphicalReportHandler::new_themed(theme).with_width(100);
    handler.render_report(&mut out, failure).unwrap_or_default();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_exit_code() {
        let table = [
            (Failure::tests("1 of 2 tests failed"), 1),
            (Failure::usage("read x.yaml", "no"), 2),
            (Failure::build("build the kernel", "no"), 3),
            (Failure::new(Class::Boot, "boot the kernel", "no"), 4),
            (Failure::infra("start QEMU", "no"), 5),
        ];
        for (failure, code) in table {
            assert_eq!(failure.exit_code(), code, "{failure}");
        }
    }

    #[test]
    fn a_failure_has_operation_reason_and_help() {
        let error = io::Error::from_raw_os_error(nix::libc::ENOSPC);
        let failure = Failure::io("store the kernel", Path::new("/cache/store"), error);
        insta::assert_snapshot!(rendered(&failure));
        assert_eq!(
            failure.in_one_line(),
            "could not store the kernel: no space is left on the disk of /cache/store: \
             No space left on device (os error 28)"
        );
    }

    #[test]
    fn a_saved_failure_has_what_the_exit_code_and_the_report_need() {
        let failure = Failure::build("build the kernel", "make failed").help("see the log");
        let text = serde_json::to_string(&SavedFailure::from(&failure)).unwrap();
        assert_eq!(
            text,
            r#"{"class":"build","message":"could not build the kernel: make failed","help":"see the log"}"#
        );
        let again = Failure::from(serde_json::from_str::<SavedFailure>(&text).unwrap());
        assert_eq!(again.in_one_line(), failure.in_one_line());
        assert_eq!(again.advice(), failure.advice());
        assert_eq!(again.class(), failure.class());
    }

    #[test]
    fn usual_input_output_errors_have_a_remedy() {
        use io::ErrorKind as Kind;
        for kind in [
            Kind::StorageFull,
            Kind::QuotaExceeded,
            Kind::ReadOnlyFilesystem,
            Kind::PermissionDenied,
        ] {
            let (_, help) = explain_io(Path::new("/cache"), kind);
            assert!(help.is_some_and(|help| help.contains("KDK_HOME")), "{kind}");
        }
    }

    #[test]
    fn shows_the_place_in_the_file() {
        let failure = Failure::usage("read series.yaml", "unknown field `nme`")
            .help("did you mean `name`?")
            .at("series.yaml", "nme: x\n", (0, 3), "here");
        insta::assert_snapshot!(rendered(&failure));
    }
}
