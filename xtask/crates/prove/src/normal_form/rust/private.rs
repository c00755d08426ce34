//! The functions of a module whose names no other file can use.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, TokenTree};

use super::{IGNORED, ident};

/// Returns the names of the functions of a module that no other file can call.
/// A program's `main` is called by name.
pub fn private_functions(tokens: &[TokenTree]) -> BTreeSet<String> {
    const REACHABLE: [&str; 4] = ["pub", "extern", "no_mangle", "export_name"];
    let mut names = BTreeSet::new();
    let mut start = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => start = at + 1,
            TokenTree::Punct(punct) if punct.as_char() == ';' => start = at + 1,
            TokenTree::Ident(word) if word == "fn" => {
                let mut head = tokens[start..at].iter().map(ToString::to_string);
                let reachable = |text: String| {
                    let text = text.trim_start_matches('[').trim_start();
                    let counts = !IGNORED.iter().any(|name| text.starts_with(name));
                    counts && REACHABLE.iter().any(|word| text.contains(word))
                };
                let name = ident(tokens.get(at + 1)).filter(|name| name != "main");
                if let Some(name) = name.filter(|_| !head.any(reachable)) {
                    names.insert(name);
                }
            }
            _ => {}
        }
    }
    names
}
