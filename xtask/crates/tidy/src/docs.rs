//! Doc comments of public items: full sentences.
//!
//! rustc's lint `missing_docs` reports items without a comment. This check
//! reads the first paragraph of each, which rustdoc shows in lists.

use syn::{Attribute, Expr, Fields, ImplItem, Item, Lit, Meta, TraitItem, Visibility};

use crate::{Finding, Repo, Source};

const REMEDY: &str =
    "write a full sentence: three words or more, a capital letter first, a period last";

/// Words that a sentence has at least.
const WORDS: usize = 3;

/// Finds public items whose doc comment is no sentence, and files that are
/// not Rust.
pub fn check(repo: &Repo) -> Vec<Finding> {
    repo.with_extension(&["rs"]).flat_map(in_file).collect()
}

fn in_file(source: &Source) -> Vec<Finding> {
    let file = match syn::parse_file(&source.text) {
        Ok(file) => file,
        Err(error) => {
            let line = error.span().start().line;
            return vec![Finding::new(
                &source.path,
                line,
                format!("syn cannot parse it ({error})"),
                "compile it",
            )];
        }
    };
    let mut visitor = Visitor {
        path: &source.path,
        found: Vec::new(),
    };
    visitor.comment(&file.attrs);
    visitor.items(&file.items);
    visitor.found
}

struct Visitor<'a> {
    path: &'a str,
    found: Vec<Finding>,
}

impl Visitor<'_> {
    /// Judges the comment among these attributes, if there is one.
    fn comment(&mut self, attrs: &[Attribute]) {
        let Some((line, text)) = first_paragraph(attrs) else {
            return;
        };
        if let Some(what) = fault(&text) {
            self.found.push(Finding::new(self.path, line, what, REMEDY));
        }
    }

    fn public(&mut self, vis: &Visibility, attrs: &[Attribute]) {
        if is_public(vis) {
            self.comment(attrs);
        }
    }

    fn items(&mut self, items: &[Item]) {
        for item in items {
            self.item(item);
        }
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Const(x) => self.public(&x.vis, &x.attrs),
            Item::Fn(x) => self.public(&x.vis, &x.attrs),
            Item::Static(x) => self.public(&x.vis, &x.attrs),
            Item::Type(x) => self.public(&x.vis, &x.attrs),
            Item::Struct(x) => {
                self.public(&x.vis, &x.attrs);
                self.fields(&x.fields, false);
            }
            Item::Union(x) => {
                self.public(&x.vis, &x.attrs);
                for field in &x.fields.named {
                    self.public(&field.vis, &field.attrs);
                }
            }
            Item::Enum(x) if is_public(&x.vis) => {
                self.comment(&x.attrs);
                for variant in &x.variants {
                    self.comment(&variant.attrs);
                    self.fields(&variant.fields, true);
                }
            }
            Item::Trait(x) if is_public(&x.vis) => {
                self.comment(&x.attrs);
                for item in &x.items {
                    match item {
                        TraitItem::Const(x) => self.comment(&x.attrs),
                        TraitItem::Fn(x) => self.comment(&x.attrs),
                        TraitItem::Type(x) => self.comment(&x.attrs),
                        _ => {}
                    }
                }
            }
            Item::Impl(x) if x.trait_.is_none() => {
                for item in &x.items {
                    match item {
                        ImplItem::Const(x) => self.public(&x.vis, &x.attrs),
                        ImplItem::Fn(x) => self.public(&x.vis, &x.attrs),
                        ImplItem::Type(x) => self.public(&x.vis, &x.attrs),
                        _ => {}
                    }
                }
            }
            Item::Macro(x) if has(&x.attrs, "macro_export") => self.comment(&x.attrs),
            Item::Mod(x) if !is_for_tests(&x.attrs) => {
                self.public(&x.vis, &x.attrs);
                if let Some((_, items)) = &x.content {
                    self.items(items);
                }
            }
            _ => {}
        }
    }

    /// Fields; those of a public enum's variants are public.
    fn fields(&mut self, fields: &Fields, all: bool) {
        for field in fields {
            if all || is_public(&field.vis) {
                self.comment(&field.attrs);
            }
        }
    }
}

fn is_public(vis: &Visibility) -> bool {
    matches!(vis, Visibility::Public(_))
}

fn has(attrs: &[Attribute], name: &str) -> bool {
    attrs.iter().any(|attr| attr.path().is_ident(name))
}

fn is_for_tests(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| {
        let Meta::List(list) = &attr.meta else {
            return false;
        };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

/// Returns the first paragraph of the doc comment, and its line.
fn first_paragraph(attrs: &[Attribute]) -> Option<(usize, String)> {
    let mut line = 0;
    let mut text = String::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("doc")) {
        // `#[doc = include_str!(..)]` and `#[doc(hidden)]` are no comments.
        let Meta::NameValue(meta) = &attr.meta else {
            continue;
        };
        let Expr::Lit(value) = &meta.value else {
            continue;
        };
        let Lit::Str(value) = &value.lit else {
            continue;
        };
        let value = value.value();
        // A block comment has all its lines in one attribute.
        for part in value.lines() {
            let part = part.trim();
            let part = part.strip_prefix("* ").unwrap_or(part).trim_matches('*');
            if part.is_empty() && !text.is_empty() {
                return Some((line, text));
            }
            if text.is_empty() {
                line = attr.pound_token.spans[0].start().line;
            } else {
                text.push(' ');
            }
            text.push_str(part);
        }
        if value.trim().is_empty() && !text.is_empty() {
            break;
        }
    }
    (!text.is_empty()).then_some((line, text))
}

/// Returns why this paragraph is no sentence.
fn fault(text: &str) -> Option<String> {
    let shown: String = match text.chars().count() {
        0..=50 => text.to_owned(),
        _ => text.chars().take(47).chain("...".chars()).collect(),
    };
    // A predicate and a manual page are a sentence: "Calls unlink(2)."
    let needed = if text.contains("(2).") {
        WORDS - 1
    } else {
        WORDS
    };
    if text.split_whitespace().count() < needed {
        return Some(format!("\"{shown}\" has fewer than {WORDS} words"));
    }
    if begins_small(text) {
        return Some(format!("\"{shown}\" begins with a small letter"));
    }
    // A colon ends the sentence before a list or a block of code.
    let end = text.trim_end_matches([')', '"', '*', '_']);
    if !end.ends_with(['.', '!', '?', ':']) {
        return Some(format!("\"{shown}\" ends without a period"));
    }
    None
}

/// Reports whether the first word is a word in small letters: the name of a
/// manual page or of a file stays as it is.
fn begins_small(text: &str) -> bool {
    let word = text.split_whitespace().next().unwrap_or_default();
    let is_name = word
        .trim_end_matches(['.', ':'])
        .contains(['(', '.', '/', '_']);
    text.starts_with(char::is_lowercase) && !is_name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        let repo = Repo::of(&[("src/a.rs", text)]);
        check(&repo)
            .into_iter()
            .map(|finding| (finding.line, finding.what))
            .collect()
    }

    #[test]
    fn a_paragraph_is_a_sentence_or_not() {
        let table = [
            ("Returns the name.", None),
            ("Returns the name", Some("ends without a period")),
            ("returns the name.", Some("begins with a small letter")),
            ("sendfile(2) copies nothing.", None),
            ("Calls unlink(2).", None),
            ("kdk.ko is loaded.", None),
            ("mbufs: all of them.", Some("begins with a small letter")),
            ("The name.", Some("has fewer than 3 words")),
            ("`kdk.ko` is loaded.", None),
            ("Prints a list:", None),
            ("Prints it (\"so.\")", None),
        ];
        for (text, want) in table {
            let got = fault(text);
            match want {
                None => assert_eq!(got, None, "{text}"),
                Some(want) => assert!(got.unwrap().ends_with(want), "{text}"),
            }
        }
    }

    #[test]
    fn every_kind_of_public_item_is_checked() {
        let bad = "/// bad\n";
        for item in [
            "pub const A: u8 = 1;",
            "pub fn a() {}",
            "pub static A: u8 = 1;",
            "pub type A = u8;",
            "pub struct A;",
            "pub enum A {}",
            "pub trait A {}",
            "pub mod a {}",
            "pub union A { a: u8 }",
            "#[macro_export]\nmacro_rules! a { () => {} }",
        ] {
            assert_eq!(found(&format!("{bad}{item}")).len(), 1, "{item}");
            let private = item.replace("pub ", "").replace("#[macro_export]\n", "");
            assert_eq!(found(&format!("{bad}{private}")).len(), 0, "{private}");
        }
        for body in [
            "pub struct A {\n/// bad\npub a: u8 }",
            "pub enum A {\n/// bad\nA }",
            "pub enum A { A {\n/// bad\na: u8 } }",
            "pub trait A {\n/// bad\nfn a(); }",
            "impl A {\n/// bad\npub fn a() {} }",
            "pub mod a {\n/// bad\npub fn a() {} }",
        ] {
            let found = found(body);
            assert_eq!(found.len(), 1, "{body}");
            assert_eq!(found[0].0, 2, "{body}");
        }
    }

    #[test]
    fn what_is_not_public_may_have_any_comment() {
        for text in [
            "/// bad\npub(crate) fn a() {}",
            "#[cfg(test)]\nmod tests {\n/// bad\npub fn a() {} }",
            "impl Display for A {\n/// bad\nfn fmt() {} }",
            "pub struct A {\n/// bad\na: u8 }",
            "pub fn a() {}",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }

    #[test]
    fn only_the_first_paragraph_counts() {
        let text = "/// Returns a\n/// long name.\n///\n/// and this\npub fn a() {}";
        assert_eq!(found(text), []);
        assert_eq!(found("//! bad\n\nfn a() {}").len(), 1);
        let block = "/** Returns a\n * long name.\n *\n * and this */\npub fn a() {}";
        assert_eq!(found(block), []);
    }

    #[test]
    fn what_is_not_rust_is_found() {
        assert_eq!(found("\nfn fn").len(), 1);
    }
}
