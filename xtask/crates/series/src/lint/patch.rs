//! Runs the checks of one patch that need no base.

use std::sync::Arc;

use crate::lint::finding::{Check, Finding, Spot};
use crate::lint::manifest;
use crate::lint::remark::{At, Remark};
use crate::lint::touched::Touched;
use crate::lint::{body, file, mdoc, path, proof, provenance, size, subject, touched, trailers};
use crate::load::Loaded;
use crate::mail::{self, Mail};
use crate::manifest::is_plain_name;
use crate::manifest::{Class, Patch};
use kdk_core::failure::{Class as Fault, Failure};
use kdk_core::yaml::places::{self, PathSegment};

/// A patch that was checked without a base.
#[derive(Debug)]
pub struct CheckedPatch {
    /// The findings, waived or not.
    pub findings: Vec<Finding>,
    /// The text of the file, if git can read it.
    pub text: Option<Arc<str>>,
    /// The files that it changes.
    pub touched: Vec<Touched>,
}

/// Checks patch `n`.
///
/// # Errors
/// git cannot be run.
pub fn check(series: &Loaded, n: usize) -> Result<CheckedPatch, Failure> {
    let patch = &series.manifest.patches[n];
    let mut remarks = provenance::remarks(&patch.provenance);
    remarks.extend(proof::remarks(patch));
    remarks.extend(trailers::manifest_remarks(&patch.trailers));
    // A file outside of the folder is a finding of the manifest, and is not
    // read.
    let bytes = match is_plain_name(&patch.file) {
        true => file::read(&series.path(patch)),
        false => Ok(Vec::new()),
    };
    let (mut text, mut source, mut mail, mut touched) = (None, Arc::from(""), None, Vec::new());
    match bytes {
        Err(remark) => remarks.push(remark),
        Ok(_) if !is_plain_name(&patch.file) => {}
        Ok(bytes) => {
            source = Arc::<str>::from(String::from_utf8_lossy(&bytes));
            let read = content(patch, &bytes)?;
            remarks.extend(read.remarks);
            (mail, touched) = (read.mail, read.touched);
            text = read.is_good.then(|| Arc::clone(&source));
        }
    }
    let sources = Sources {
        series,
        n,
        source,
        body: mail.as_ref().map_or("", |mail| &mail.body),
    };
    let findings = remarks.into_iter().map(|remark| sources.finding(remark));
    Ok(CheckedPatch {
        findings: findings.collect(),
        text,
        touched,
    })
}

/// The content of a patch file.
#[derive(Debug, Default)]
struct Content {
    remarks: Vec<Remark>,
    mail: Option<Mail>,
    touched: Vec<Touched>,
    is_good: bool,
}

fn content(patch: &Patch, bytes: &[u8]) -> Result<Content, Failure> {
    let mut content = Content::default();
    let text = match file::text(bytes) {
        Ok(text) => text,
        Err(remarks) => {
            content.remarks = remarks;
            return Ok(content);
        }
    };
    content.remarks.extend(file::more_mails(text));
    let (touched, wrong) = touched::of(bytes)?;
    content.remarks.extend(wrong);
    if mail::is_mail(bytes) && !touched.is_empty() {
        match mail::read(&patch.id, bytes) {
            Ok(mail) => content.mail = Some(mail),
            Err(failure) if failure.class() == Fault::Usage => {
                let said = failure.in_one_line();
                let said = said
                    .split_once("`: ")
                    .map_or(said.as_str(), |(_, said)| said);
                content.remarks.push(Remark::error(
                    Check::File,
                    At::Patch,
                    format!("is not a mail that git can read: {said}"),
                    "a patch file must have the format of `git format-patch`; `cargo xtask patches edit` \
                        writes it",
                ));
            }
            Err(failure) => return Err(failure),
        }
    }
    content.is_good = content.remarks.is_empty();
    let is_local = patch.class == Class::Local;
    if let Some(mail) = &content.mail {
        content.remarks.extend(subject::remarks(&mail.subject));
        content.remarks.extend(body::remarks(&mail.body));
        content.remarks.extend(trailers::remarks(&mail.body));
        content
            .remarks
            .extend(provenance::author(&mail.author.email));
    } else if content.is_good {
        content.remarks.push(Remark::error(
            Check::Subject,
            At::Patch,
            "has no message",
            "write one: `cargo xtask patches edit` checks out the patch as a commit",
        ));
    }
    // No one reviews a local patch.
    if !is_local {
        content.remarks.extend(size::remarks(&touched));
        content.remarks.extend(path::remarks(&touched));
    }
    if !touched.is_empty() {
        content.remarks.extend(mdoc::remarks(patch.class, &touched));
    }
    content.touched = touched;
    Ok(content)
}

/// The texts in which findings are located.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The series with the patch.
    pub series: &'a Loaded,
    /// The number of the patch in it.
    pub n: usize,
    /// The text of its file.
    pub source: Arc<str>,
    /// The body of its message.
    pub body: &'a str,
}

impl Sources<'_> {
    /// Returns `remark` as a finding about the patch.
    pub fn finding(&self, remark: Remark) -> Finding {
        let patch = &self.series.manifest.patches[self.n];
        Finding {
            check: remark.check,
            patch: Some(patch.id.clone()),
            severity: remark.severity,
            text: format!("{}: {}", patch.id, remark.text),
            help: remark.help,
            spot: self.spot(&remark.at),
        }
    }

    fn spot(&self, at: &At) -> Option<Spot> {
        match at {
            At::Patch => self.in_manifest(&[], None),
            At::Manifest(keys) => self.in_manifest(keys, None),
            At::Item(keys, item) => self.in_manifest(keys, Some(*item)),
            At::Line(line) => Some(self.in_file(line_span(&self.source, *line))),
            At::Byte(byte) => Some(self.in_file(byte_span(&self.source, *byte))),
            At::Subject => {
                let line = subject_line(&self.source);
                line.map(|line| self.in_file(line_span(&self.source, line)))
            }
            At::Body(line) => {
                let line = body_line(&self.source, self.body, *line);
                line.map(|line| self.in_file(line_span(&self.source, line)))
            }
        }
    }

    fn in_file(&self, span: (usize, usize)) -> Spot {
        let patch = &self.series.manifest.patches[self.n];
        Spot {
            name: format!("patches/{}/{}", self.series.name(), patch.file),
            source: Arc::clone(&self.source),
            span,
        }
    }

    fn in_manifest(&self, keys: &[&'static str], item: Option<usize>) -> Option<Spot> {
        let mut path = vec![PathSegment::Key("patches"), PathSegment::Item(self.n)];
        match keys {
            [] => path.push(PathSegment::Key("file")),
            keys => path.extend(keys.iter().map(|key| PathSegment::Key(key))),
        }
        path.extend(item.map(PathSegment::Item));
        Some(Spot {
            name: manifest::display_path(self.series.name()),
            source: self.series.text.as_str().into(),
            span: places::span(&self.series.text, &path),
        })
    }
}

/// Returns the span of line `line` of `text`, from 0, without its line end; or
/// of the last line.
fn line_span(text: &str, line: usize) -> (usize, usize) {
    let mut at = 0;
    let mut found = (0, 0);
    for (n, part) in text.split_inclusive('\n').enumerate() {
        found = (at, part.trim_end_matches(['\r', '\n']).len());
        if n == line {
            break;
        }
        at += part.len();
    }
    found
}

/// Returns the span of the character at a byte of the file. The text is the
/// same as the file up to its first byte that is not UTF-8.
fn byte_span(text: &str, byte: usize) -> (usize, usize) {
    let start = (0..=byte.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or_default();
    let len = text[start..].chars().next().map_or(0, char::len_utf8);
    (start, len)
}

fn subject_line(text: &str) -> Option<usize> {
    text.lines().position(|line| line.starts_with("Subject:"))
}

/// Returns the line of the file with line `line` of the message's body.
fn body_line(text: &str, body: &str, line: usize) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut at = lines.iter().position(|line| line.is_empty())?;
    for wanted in body
        .lines()
        .take(line + 1)
        .filter(|line| !line.trim().is_empty())
    {
        let rest = lines.get(at + 1..)?;
        at += 1 + rest
            .iter()
            .position(|found| found.trim_end() == wanted.trim_end())?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_file() {
        let text = "From a\nSubject: [PATCH] s\n\nOne.\n\nTwo.\nOne.\n---\n";
        let shown = |span: (usize, usize)| &text[span.0..span.0 + span.1];
        assert_eq!(shown(line_span(text, 0)), "From a");
        assert_eq!(shown(line_span(text, 99)), "---");
        assert_eq!(line_span("", 3), (0, 0));
        assert_eq!(line_span("a\r\nb\r\n", 1), (3, 1));
        assert_eq!(subject_line(text), Some(1));
        let body = "One.\n\nTwo.\nOne.";
        for (line, want) in [(0, 3), (2, 5), (3, 6)] {
            assert_eq!(body_line(text, body, line), Some(want));
        }
        assert_eq!(body_line(text, "Other.", 0), None);
        assert_eq!(body_line("", "One.", 0), None);
    }

    #[test]
    fn bytes_of_a_file() {
        assert_eq!(byte_span("aé", 2), (1, 2));
        assert_eq!(byte_span("a", 1), (1, 0));
        assert_eq!(byte_span("a", 9), (1, 0));
    }
}
