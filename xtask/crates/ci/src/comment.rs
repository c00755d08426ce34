//! The result of a revision as a comment of a review: what changed, each patch
//! with its verdict, the first crash, links; at most a screen.

mod document;
mod github;
mod mail;
mod outline;
mod phabricator;

use std::str::FromStr;

pub use outline::Subject;

/// Where a comment goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The markup of reviews.FreeBSD.org: Remarkup.
    Phabricator,
    /// A pull request: Markdown.
    Github,
    /// A mailing list: a message with the headers that depend on its content.
    Mail,
}

impl Format {
    /// The names that the command line accepts.
    pub const NAMES: [&str; 3] = ["phabricator", "github", "mail"];
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "phabricator" => Ok(Self::Phabricator),
            "github" => Ok(Self::Github),
            "mail" => Ok(Self::Mail),
            _ => Err(format!("{text:?} is none of {}", Self::NAMES.join(", "))),
        }
    }
}

/// Returns the comment on `subject`.
pub fn render(subject: &Subject<'_>, format: Format) -> String {
    let document = outline::document(subject);
    match format {
        Format::Phabricator => document.render(&phabricator::Remarkup),
        Format::Github => document.render(&github::Markdown),
        Format::Mail => mail::message(&document),
    }
}

#[cfg(test)]
mod tests;
