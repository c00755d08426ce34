//! The one error type of the command line, and the exit code it stands for.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::Path;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode, SourceSpan};

/// Whose fault a failure is. A caller (a person, CI, `git bisect run`) tells
/// them apart by the exit code alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The kernel under test did not do what the tests expect.
    Tests,
    /// The command line, a manifest or a definition file is wrong.
    Usage,
    /// Something did not compile or link.
    Build,
    /// The kernel under test did not come up.
    Boot,
    /// The host: a tool is missing, the disk is full, the run was interrupted.
    Infra,
}

impl Class {
    /// The process exit code that stands for this class.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Tests => 1,
            Self::Usage => 2,
            Self::Build => 3,
            Self::Boot => 4,
            Self::Infra => 5,
        }
    }
}

/// An error for a person: what was tried, what happened, what to do next.
///
/// `miette` renders it: what was tried on top, what happened (and the error
/// that caused it) as the chain below, then the help.
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

/// One link of the chain of causes.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
struct Cause {
    text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The place in a file that is at fault.
#[derive(Debug)]
struct Spot {
    source: NamedSource<String>,
    label: LabeledSpan,
}

impl Failure {
    /// A failure whose whole text is `message`: nothing lies behind it.
    pub fn plain(class: Class, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            class,
            message: message.into(),
            cause: None,
            help: None,
            spot: None,
        }))
    }

    /// `tried` completes "could not ..."; `happened` says why it could not.
    pub fn new(class: Class, tried: impl fmt::Display, happened: impl Into<String>) -> Self {
        let mut failure = Self::plain(class, format!("could not {tried}"));
        failure.0.cause = Some(Cause {
            text: happened.into(),
            source: None,
        });
        failure
    }

    /// The tests' verdict, in one sentence.
    pub fn tests(message: impl Into<String>) -> Self {
        Self::plain(Class::Tests, message)
    }

    /// A wrong command line, manifest or definition; see [`Failure::new`].
    pub fn usage(tried: impl fmt::Display, happened: impl Into<String>) -> Self {
        Self::new(Class::Usage, tried, happened)
    }

    /// A failed build; see [`Failure::new`].
    pub fn build(tried: impl fmt::Display, happened: impl Into<String>) -> Self {
        Self::new(Class::Build, tried, happened)
    }

    /// The host's fault; see [`Failure::new`].
    pub fn infra(tried: impl fmt::Display, happened: impl Into<String>) -> Self {
        Self::new(Class::Infra, tried, happened)
    }

    /// An input or output error on `path`, with the remedy for the usual ones
    /// (disk full, read-only, no permission). Always [`Class::Infra`].
    pub fn io(tried: impl fmt::Display, path: &Path, error: io::Error) -> Self {
        let (happened, help) = explain_io(path, error.kind());
        let failure = Self::infra(tried, happened).source(error);
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }

    /// Says what to do next.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Says what more to do next.
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

    /// Shows the place in a file: its name, its text, and the span (byte
    /// offset and length) that `label` speaks of.
    pub fn at(
        mut self,
        name: impl AsRef<str>,
        text: impl Into<String>,
        span: impl Into<SourceSpan>,
        label: impl Into<String>,
    ) -> Self {
        self.0.spot = Some(Spot {
            source: NamedSource::new(name, text.into()),
            label: LabeledSpan::new_primary_with_span(Some(label.into()), span),
        });
        self
    }

    /// The failure and all that lies behind it, for a reader who sees no
    /// more than one line.
    pub fn in_one_line(&self) -> String {
        let first: &(dyn Error + 'static) = self;
        std::iter::successors(Some(first), |error| (*error).source())
            .map(ToString::to_string)
            .collect::<Vec<String>>()
            .join(": ")
    }

    /// Whose fault it is.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// The process exit code that stands for this failure.
    pub fn exit_code(&self) -> u8 {
        self.0.class.exit_code()
    }
}

/// What an error on `path` means and how it is mended, if that is known.
fn explain_io(path: &Path, kind: io::ErrorKind) -> (String, Option<String>) {
    let at = path.display();
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            format!("no space is left on the disk that holds {at}"),
            Some(
                "free some space (`cargo xtask clean` removes what can be made again), or point \
                 KDK_HOME at a larger disk"
                    .into(),
            ),
        ),
        io::ErrorKind::ReadOnlyFilesystem => (
            format!("{at} is on a read-only file system"),
            Some("set KDK_HOME to a directory that can be written".into()),
        ),
        io::ErrorKind::PermissionDenied => (
            format!("this user may not use {at}"),
            Some(format!(
                "change the permissions of {at}, or set KDK_HOME to a directory of your own"
            )),
        ),
        io::ErrorKind::NotFound => (format!("{at} does not exist"), None),
        _ => (format!("{at} cannot be used"), None),
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

/// The text a person sees, without colours, 100 columns wide.
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
    fn exit_codes_tell_whose_fault_it_was() {
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
    fn says_what_was_tried_what_happened_and_what_to_do() {
        let error = io::Error::from_raw_os_error(nix::libc::ENOSPC);
        let failure = Failure::io("store the kernel", Path::new("/cache/store"), error);
        insta::assert_snapshot!(rendered(&failure));
        assert_eq!(
            failure.in_one_line(),
            "could not store the kernel: no space is left on the disk that holds /cache/store: \
             No space left on device (os error 28)"
        );
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
