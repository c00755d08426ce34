//! Relative links of the documents: the file is there, and so is the heading.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

use crate::{Finding, Repo, Source};

/// Finds relative links whose file or anchor does not exist.
pub fn check(repo: &Repo) -> Vec<Finding> {
    let anchors: BTreeMap<&str, BTreeSet<String>> = repo
        .with_extension(&["md"])
        .map(|source| (source.path.as_str(), anchors(&source.text)))
        .collect();
    repo.with_extension(&["md"])
        .flat_map(|source| {
            links(&source.text).into_iter().filter_map(|(line, link)| {
                let what = dead(repo, &anchors, source, &link)?;
                Some(Finding::new(
                    &source.path,
                    line,
                    what,
                    "correct or remove the link",
                ))
            })
        })
        .collect()
}

/// Returns why the link leads nowhere.
fn dead(
    repo: &Repo,
    anchors: &BTreeMap<&str, BTreeSet<String>>,
    source: &Source,
    link: &str,
) -> Option<String> {
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() {
        source.path.clone()
    } else {
        resolve(&source.path, file)
    };
    let folder = format!("{target}/");
    let exists = target.is_empty()
        || repo
            .paths
            .iter()
            .any(|path| *path == target || path.starts_with(&folder));
    if !exists {
        return Some(format!("the link `{link}`: there is no {target}"));
    }
    let known = anchors.get(target.as_str())?;
    (!anchor.is_empty() && !known.contains(anchor))
        .then(|| format!("the link `{link}`: {target} has no heading `#{anchor}`"))
}

/// Returns the path below the root that `link` in the file `from` means.
fn resolve(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = match link.strip_prefix('/') {
        Some(_) => Vec::new(),
        None => from.split('/').collect(),
    };
    // The name of the file itself.
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn parse(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES)
}

/// Returns the relative links and images, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    parse(text)
        .into_offset_iter()
        .filter_map(|(event, range)| {
            let (Event::Start(Tag::Link {
                link_type,
                dest_url,
                ..
            })
            | Event::Start(Tag::Image {
                link_type,
                dest_url,
                ..
            })) = event
            else {
                return None;
            };
            let is_mail = link_type == LinkType::Email || dest_url.starts_with("mailto:");
            if is_mail || dest_url.contains("://") {
                return None;
            }
            let line = text[..range.start].matches('\n').count() + 1;
            Some((line, dest_url.into_string()))
        })
        .collect()
}

/// Returns the anchors that a renderer makes of the headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in parse(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let slug = slug(&heading.take().unwrap_or_default());
                let mut anchor = slug.clone();
                let mut nth = 1;
                while anchors.contains(&anchor) {
                    anchor = format!("{slug}-{nth}");
                    nth += 1;
                }
                anchors.insert(anchor);
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                let id = html
                    .split("id=\"")
                    .nth(1)
                    .and_then(|rest| rest.split('"').next());
                anchors.extend(id.map(str::to_owned));
            }
            _ => {}
        }
    }
    anchors
}

/// Makes an anchor as git's web hosts do: small letters, hyphens for spaces,
/// no punctuation.
fn slug(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c => c.is_alphanumeric().then_some(c),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_file_a_folder_or_a_heading() {
        let other = "# A title: `x`\n\n## Same\n## Same\n<a id=\"own\"></a>\n";
        let table = [
            ("[a](other.md)", None),
            ("[a](../README.md)", None),
            ("[a](/docs/other.md)", None),
            ("[a](..)", None),
            ("[a](../src)", None),
            ("[a](other.md#a-title-x)", None),
            ("[a](other.md#same-1)", None),
            ("[a](other.md#own)", None),
            ("# Here\n[a](#here)", None),
            ("[a](https://x.org/y#z) <me@x.org>", None),
            ("`[a](gone.md)`", None),
            ("[a]\n\n[a]: ../src/a.rs#L10", None),
            (
                "\n[a](gone.md)",
                Some("docs/a.md:2: the link `gone.md`: there is no docs/gone.md"),
            ),
            (
                "![a](../b.png)",
                Some("docs/a.md:1: the link `../b.png`: there is no b.png"),
            ),
            (
                "[a](other.md#gone)",
                Some("docs/a.md:1: the link `other.md#gone`: docs/other.md has no heading `#gone`"),
            ),
            (
                "[a](#gone)",
                Some("docs/a.md:1: the link `#gone`: docs/a.md has no heading `#gone`"),
            ),
        ];
        for (text, want) in table {
            let found = check(&Repo::of(&[
                ("README.md", ""),
                ("docs/a.md", text),
                ("docs/other.md", other),
                ("src/a.rs", ""),
            ]));
            let got: Vec<String> = found.iter().map(ToString::to_string).collect();
            let want: Vec<String> = want
                .iter()
                .map(|want| format!("{want}: correct or remove the link"))
                .collect();
            assert_eq!(got, want, "{text}");
        }
    }
}
