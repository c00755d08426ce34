//! The normal form of Rust crates.
//!
//! A crate is a set of modules. A module is identified by the shortest end of
//! its path that no other module of the crate has, so a file may move. Paths
//! that begin with `crate`, `self` or `super` are resolved to that identity.
//! `use` declarations are flattened and sorted. Visibility, lint attributes,
//! documentation and items under `#[cfg(test)]` do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kdk_core::failure::Failure;
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

mod private;

use super::{Token, render};
use private::private_functions;

/// Attributes that do not change what is compiled.
const IGNORED: [&str; 8] = [
    "doc", "allow", "expect", "warn", "deny", "forbid", "must_use", "rustfmt",
];

/// What a path can begin with instead of a name.
const ROOTS: [&str; 3] = ["crate", "self", "super"];

/// One module of a crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The file that contains it.
    pub file: PathBuf,
    /// The end of its path that identifies it; empty for the root.
    pub label: String,
    /// The conditions of its own declaration and of its parents'.
    pub conditions: BTreeSet<String>,
    /// The normal form of its content.
    pub text: String,
}

/// The modules of a crate, and the files that only its tests use.
#[derive(Debug, Default)]
pub struct Crate {
    /// The modules that are compiled into the guest's programs.
    pub modules: Vec<Module>,
    /// The files of all its modules.
    pub files: BTreeSet<PathBuf>,
    /// The files and folders of modules under `#[cfg(test)]`.
    pub tests: BTreeSet<PathBuf>,
}

/// A module's file, parsed.
struct File {
    path: PathBuf,
    module: Vec<String>,
    conditions: BTreeSet<String>,
    tokens: Vec<TokenTree>,
    /// The names of the modules that it declares and that are files.
    children: BTreeSet<String>,
}

/// Reads the crate whose root is the file `root`.
///
/// # Errors
/// A file cannot be read, or is not Rust.
pub fn read(root: &Path) -> Result<Crate, Failure> {
    let mut files = Vec::new();
    let mut tests = BTreeSet::new();
    load(root, Vec::new(), BTreeSet::new(), &mut files, &mut tests)?;
    let labels = labels(files.iter().map(|file| &file.module));
    let paths = files.iter().map(|file| file.path.clone()).collect();
    let modules = files.into_iter().filter_map(|file| {
        let text = normal_form(&file, &labels);
        // A file that only declares other modules may come and go.
        (!text.is_empty()).then(|| Module {
            label: labels.get(&file.module).cloned().unwrap_or_default(),
            file: file.path,
            conditions: file.conditions,
            text,
        })
    });
    Ok(Crate {
        modules: modules.collect(),
        files: paths,
        tests,
    })
}

/// Loads the file of one module, and the files of the modules below it.
fn load(
    path: &Path,
    module: Vec<String>,
    conditions: BTreeSet<String>,
    files: &mut Vec<File>,
    tests: &mut BTreeSet<PathBuf>,
) -> Result<(), Failure> {
    let text =
        fs::read_to_string(path).map_err(|error| Failure::io("read a source", path, error))?;
    let tokens: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| {
        Failure::usage(format!("read {}", path.display()), error.to_string())
            .help("correct the syntax of the file")
    })?;
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut children = BTreeSet::new();
    let mut below = Vec::new();
    let mut at = 0;
    // The file's own conditions are part of its text.
    let mut inherited = conditions.clone();
    while let Some(end) = inner_attribute_end(&tokens, at) {
        let attribute = &tokens[at..end];
        if named(attribute, "cfg") {
            inherited.insert(condition(&[&attribute[..1], &attribute[2..]].concat()));
        }
        at = end;
    }
    while at < tokens.len() {
        let item = Item::at(&tokens, at);
        at = item.start;
        let Some((name, end)) = module_declaration(&tokens, at) else {
            at = item.start.max(at) + 1;
            continue;
        };
        at = end;
        let has_path = item.attributes.iter().any(|one| named(one, "path"));
        let file = folder_of(path, module.is_empty()).and_then(|folder| {
            let files = [format!("{name}.rs"), format!("{name}/mod.rs")];
            let files = files.map(|file| folder.join(file));
            files.into_iter().find(|file| file.is_file())
        });
        let Some(file) = file.filter(|_| !has_path) else {
            continue;
        };
        if item.attributes.iter().any(|one| is_test_only(one)) {
            only_tests(&file, tests);
            children.insert(name);
            continue;
        }
        let mut path = module.clone();
        path.push(name.clone());
        let own = item.attributes.iter().filter(|one| counts(one));
        let own = own.map(|one| condition(one));
        let conditions = inherited.iter().cloned().chain(own).collect();
        below.push((file, path, conditions));
        children.insert(name);
    }
    files.push(File {
        path: path.to_owned(),
        module,
        conditions,
        tokens,
        children,
    });
    for (path, module, conditions) in below {
        load(&path, module, conditions, files, tests)?;
    }
    Ok(())
}

/// Renders an attribute that is a condition.
fn condition(attribute: &[TokenTree]) -> String {
    attribute.iter().map(ToString::to_string).collect()
}

/// Adds a module's file and the folder of the modules below it.
fn only_tests(file: &Path, tests: &mut BTreeSet<PathBuf>) {
    tests.insert(file.to_owned());
    tests.extend(folder_of(file, false));
}

/// Returns the folder with the files of the modules that `file` declares.
fn folder_of(file: &Path, is_root: bool) -> Option<PathBuf> {
    let folder = file.parent()?;
    match is_root || file.file_name()? == "mod.rs" {
        true => Some(folder.to_owned()),
        false => Some(folder.join(file.file_stem()?)),
    }
}

/// Returns the shortest unique end of each module's path.
fn labels<'a>(modules: impl Iterator<Item = &'a Vec<String>>) -> BTreeMap<Vec<String>, String> {
    let modules: BTreeSet<&Vec<String>> = modules.collect();
    let label = |module: &Vec<String>| {
        let ends = (1..=module.len()).map(|count| &module[module.len() - count..]);
        let is_unique =
            |end: &&[String]| modules.iter().filter(|one| one.ends_with(end)).count() == 1;
        let shortest = ends.clone().find(is_unique);
        shortest.unwrap_or(module.as_slice()).join("::")
    };
    let all = modules.iter();
    all.map(|module| ((*module).clone(), label(module)))
        .collect()
}

/// The attributes before an item.
struct Item<'a> {
    attributes: Vec<&'a [TokenTree]>,
    /// The index of the first token after them.
    start: usize,
}

impl<'a> Item<'a> {
    fn at(tokens: &'a [TokenTree], mut at: usize) -> Self {
        let mut attributes = Vec::new();
        while let Some(end) = attribute_end(tokens, at) {
            attributes.push(&tokens[at..end]);
            at = end;
        }
        Self {
            attributes,
            start: at,
        }
    }
}

fn is_punct(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is_ident(token: Option<&TokenTree>, wanted: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == wanted)
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

fn group(token: Option<&TokenTree>, delimiter: Delimiter) -> Option<Vec<TokenTree>> {
    match token {
        Some(TokenTree::Group(group)) if group.delimiter() == delimiter => {
            Some(group.stream().into_iter().collect())
        }
        _ => None,
    }
}

/// Returns the index after the attribute that begins at `at` and belongs to
/// what follows it.
fn attribute_end(tokens: &[TokenTree], at: usize) -> Option<usize> {
    let is_attribute =
        is_punct(tokens.get(at), '#') && group(tokens.get(at + 1), Delimiter::Bracket).is_some();
    is_attribute.then_some(at + 2)
}

/// Returns the index after the attribute that begins at `at` and belongs to
/// what contains it: `#![..]`.
fn inner_attribute_end(tokens: &[TokenTree], at: usize) -> Option<usize> {
    let is_attribute = is_punct(tokens.get(at), '#')
        && is_punct(tokens.get(at + 1), '!')
        && group(tokens.get(at + 2), Delimiter::Bracket).is_some();
    is_attribute.then_some(at + 3)
}

/// Returns the content of an attribute.
fn content(attribute: &[TokenTree]) -> Vec<TokenTree> {
    group(attribute.last(), Delimiter::Bracket).unwrap_or_default()
}

fn named(attribute: &[TokenTree], name: &str) -> bool {
    is_ident(content(attribute).first(), name)
}

/// Returns whether an attribute changes what is compiled.
fn counts(attribute: &[TokenTree]) -> bool {
    !IGNORED.iter().any(|name| named(attribute, name))
}

/// Returns whether an attribute is `#[cfg(test)]`.
fn is_test_only(attribute: &[TokenTree]) -> bool {
    let content = content(attribute);
    let condition = group(content.get(1), Delimiter::Parenthesis).unwrap_or_default();
    is_ident(content.first(), "cfg") && condition.len() == 1 && is_ident(condition.first(), "test")
}

fn names(tokens: &[TokenTree], all: &mut BTreeSet<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => names(&group.stream().into_iter().collect::<Vec<_>>(), all),
            other => all.extend(ident(Some(other))),
        }
    }
}

/// Returns the index after a visibility, if there is one at `at`.
fn after_visibility(tokens: &[TokenTree], at: usize) -> usize {
    if !is_ident(tokens.get(at), "pub") {
        return at;
    }
    let Some(inside) = group(tokens.get(at + 1), Delimiter::Parenthesis) else {
        return at + 1;
    };
    let root = ident(inside.first()).unwrap_or_default();
    let is_scope = root == "in" || (inside.len() == 1 && ROOTS.contains(&root.as_str()));
    at + 1 + usize::from(is_scope)
}

/// Returns the name in `mod name;` and the index after it.
fn module_declaration(tokens: &[TokenTree], at: usize) -> Option<(String, usize)> {
    let at = after_visibility(tokens, at);
    let name = ident(tokens.get(at + 1))?;
    let is_declared = is_ident(tokens.get(at), "mod") && is_punct(tokens.get(at + 2), ';');
    is_declared.then_some((name, at + 3))
}

/// Returns the index after the item that begins at `at`; `None` where no item
/// begins, such as at a field.
fn item_end(tokens: &[TokenTree], at: usize) -> Option<usize> {
    const WITH_BODY: [&str; 6] = ["fn", "mod", "impl", "trait", "struct", "enum"];
    const WITHOUT_BODY: [&str; 4] = ["use", "static", "type", "const"];
    let start = after_visibility(tokens, at);
    let mut words = tokens
        .get(start..)?
        .iter()
        .map_while(|token| ident(Some(token)));
    let first = words.next()?;
    let has_body = match first.as_str() {
        "unsafe" | "async" | "const" => words.any(|word| WITH_BODY.contains(&word.as_str())),
        word => WITH_BODY.contains(&word),
    };
    if !has_body && !WITHOUT_BODY.contains(&first.as_str()) {
        return None;
    }
    let is_end = |token: &TokenTree| match token {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Group(group) => has_body && group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    let end = tokens[start..].iter().position(is_end)?;
    Some(start + end + 1)
}

/// Renders the normal form of one module.
fn normal_form(file: &File, labels: &BTreeMap<Vec<String>, String>) -> String {
    let mut writer = Writer {
        labels,
        children: &file.children,
        imports: BTreeMap::new(),
        out: Vec::new(),
        known: BTreeSet::new(),
    };
    writer.imports(&file.tokens, &file.module);
    writer.block(&file.tokens, &file.module, Place::Module);
    let mut private = match file.children.is_empty() {
        true => private_functions(&file.tokens),
        // A module below can call all functions of this one.
        false => BTreeSet::new(),
    };
    private.retain(|name| !writer.known.contains(name));
    render(&writer.out, &private)
}

/// What a group of tokens is part of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The file's own level.
    Module,
    /// A group with braces.
    Braces,
    /// Another group.
    Other,
}

struct Writer<'a> {
    labels: &'a BTreeMap<Vec<String>, String>,
    children: &'a BTreeSet<String>,
    /// The paths of the modules that the file imports, by name.
    imports: BTreeMap<String, Vec<String>>,
    out: Vec<Token>,
    /// Names that may refer to something outside of the file.
    known: BTreeSet<String>,
}

impl Writer<'_> {
    fn text(&mut self, text: impl Into<String>) {
        self.out.push(Token::Text(text.into()));
    }

    /// Collects the modules that the file imports by their names.
    fn imports(&mut self, tokens: &[TokenTree], module: &[String]) {
        let mut at = 0;
        while at < tokens.len() {
            let item = Item::at(tokens, at);
            let start = after_visibility(tokens, item.start);
            let Some(end) = use_end(tokens, start) else {
                at = start.max(at + 1);
                continue;
            };
            at = end;
            // An import under a condition may be another one elsewhere.
            if item.attributes.iter().any(|one| counts(one)) {
                continue;
            }
            for leaf in leaves(&tokens[start + 1..end]) {
                let (path, rest) = self.split(&leaf, module);
                if let (Some(name), true, true) = (leaf.last(), rest == 0, leaf.len() > 1) {
                    self.imports.insert(name.clone(), path);
                }
            }
        }
        for name in self.children {
            let path = module.iter().chain([name]).cloned().collect();
            self.imports.insert(name.clone(), path);
        }
    }

    fn block(&mut self, tokens: &[TokenTree], module: &[String], place: Place) {
        let mut uses = BTreeSet::new();
        let mut at = 0;
        while at < tokens.len() {
            if let Some(end) = inner_attribute_end(tokens, at) {
                if counts(&tokens[at..end]) {
                    self.attribute(&tokens[at..end], module);
                }
                at = end;
                continue;
            }
            let item = Item::at(tokens, at);
            if let Some(end) = item_end(tokens, item.start)
                && item.attributes.iter().any(|one| is_test_only(one))
            {
                at = end;
                continue;
            }
            let declared = module_declaration(tokens, item.start);
            if let Some((name, end)) = declared
                && place == Place::Module
                && self.children.contains(&name)
            {
                at = end;
                continue;
            }
            let from = self.out.len();
            for attribute in item.attributes.iter().filter(|one| counts(one)) {
                self.attribute(attribute, module);
            }
            let start = after_visibility(tokens, item.start);
            if let Some(end) = use_end(tokens, start) {
                let conditions = render(&self.out.split_off(from), &BTreeSet::new());
                let is_import = place == Place::Module && conditions.is_empty();
                for leaf in leaves(&tokens[start + 1..end]) {
                    let path = self.used(&leaf, module, is_import);
                    uses.extend(path.map(|path| format!("{conditions}use {path}")));
                }
                at = end + 1;
                continue;
            }
            if start > at || !item.attributes.is_empty() {
                at = start;
                continue;
            }
            at = self.token(tokens, at, module, place);
        }
        for one in uses {
            self.text(one);
        }
    }

    /// Writes an attribute. Its names may be the compiler's.
    fn attribute(&mut self, tokens: &[TokenTree], module: &[String]) {
        names(tokens, &mut self.known);
        let mut at = 0;
        while at < tokens.len() {
            at = self.token(tokens, at, module, Place::Other);
        }
    }

    /// Writes the token at `at`, or the path that begins there. Returns the
    /// index of the next token.
    fn token(&mut self, tokens: &[TokenTree], at: usize, module: &[String], place: Place) -> usize {
        match &tokens[at] {
            TokenTree::Ident(word) => {
                let word = word.to_string();
                let begins = !(at >= 2 && is_path_separator(tokens, at - 2));
                let is_root = ROOTS.contains(&word.as_str());
                let is_module = begins && self.imports.contains_key(&word);
                if (is_root || is_module) && is_path_separator(tokens, at + 1) {
                    return self.path(tokens, at, module);
                }
                if refers_outside(tokens, at, place) {
                    self.known.insert(word.clone());
                }
                self.out.push(Token::Name(word));
            }
            TokenTree::Punct(punct) => {
                let joint = if punct.spacing() == Spacing::Joint {
                    "~"
                } else {
                    ""
                };
                self.text(format!("{}{joint}", punct.as_char()));
            }
            TokenTree::Literal(literal) => self.text(literal.to_string()),
            TokenTree::Group(group) => {
                let mut inner: Vec<TokenTree> = group.stream().into_iter().collect();
                drop_trailing_comma(
                    &mut inner,
                    group.delimiter(),
                    at.checked_sub(1).map(|i| &tokens[i]),
                );
                let (open, close, place) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")", Place::Other),
                    Delimiter::Brace => ("{", "}", Place::Braces),
                    Delimiter::Bracket => ("[", "]", Place::Other),
                    Delimiter::None => ("", "", Place::Other),
                };
                let mut module = module.to_vec();
                if at >= 2 && is_ident(tokens.get(at - 2), "mod") && place == Place::Braces {
                    module.extend(ident(tokens.get(at - 1)));
                }
                self.text(open);
                self.block(&inner, &module, place);
                self.text(close);
            }
        }
        at + 1
    }

    /// Writes the path that begins at `at` with a module, or with `crate`,
    /// `self` or `super`.
    fn path(&mut self, tokens: &[TokenTree], at: usize, module: &[String]) -> usize {
        let mut words = Vec::new();
        let mut end = at;
        while let Some(word) = ident(tokens.get(end)) {
            words.push(word);
            if !is_path_separator(tokens, end + 1) {
                end += 1;
                break;
            }
            end += 3;
        }
        let path = self.resolve(&words, module);
        self.text(path);
        end
    }

    /// Returns the module at the beginning of a path, and the number of
    /// words after it.
    fn split(&self, words: &[String], module: &[String]) -> (Vec<String>, usize) {
        let mut path = module.to_vec();
        let mut end = 0;
        if let Some(import) = words.first().and_then(|word| self.imports.get(word)) {
            path.clone_from(import);
            end = 1;
        }
        while let Some(word) = words.get(end) {
            match word.as_str() {
                "crate" => path.clear(),
                "self" => {}
                "super" => drop(path.pop()),
                name => {
                    path.push(name.to_owned());
                    if !self.labels.contains_key(&path) {
                        path.pop();
                        break;
                    }
                }
            }
            end += 1;
        }
        (path, words.len() - end)
    }

    /// Replaces the modules at the beginning of a path by their label.
    fn resolve(&mut self, words: &[String], module: &[String]) -> String {
        let (path, rest) = self.split(words, module);
        let rest = &words[words.len() - rest..];
        self.known.extend(rest.iter().cloned());
        // A module inside of a file has no label of its own.
        let label = self.labels.get(&path).cloned();
        let label = label.unwrap_or_else(|| path.join("::"));
        format!("@{label}::{}", rest.join("::"))
    }

    /// Renders one path of a `use` declaration; `None` if it only gives the
    /// file the name of a module.
    fn used(&mut self, leaf: &[String], module: &[String], is_import: bool) -> Option<String> {
        let (path, rest) = self.split(leaf, module);
        if rest == leaf.len() {
            self.known.extend(leaf.iter().cloned());
            return Some(leaf.join("::"));
        }
        let import = leaf.last().and_then(|name| self.imports.get(name));
        let is_only_name = is_import && rest == 0 && import == Some(&path);
        (!is_only_name).then(|| self.resolve(leaf, module))
    }
}

/// Returns whether the name at `at` may refer to something that another file
/// defines: a method, a field, or the end of a path. A function inside of
/// braces may be a method.
fn refers_outside(tokens: &[TokenTree], at: usize, place: Place) -> bool {
    let before = |count: usize| at.checked_sub(count).and_then(|index| tokens.get(index));
    let is_member = is_punct(before(1), '.') || is_punct(before(1), '\'');
    let in_path = is_punct(before(1), ':') && is_punct(before(2), ':');
    let is_named = is_punct(tokens.get(at + 1), ':') || is_punct(before(1), '$');
    let is_macro = is_punct(tokens.get(at + 1), '!');
    let is_binding = is_ident(before(1), "ref") || is_ident(before(1), "mut");
    let begins = at == 0 || is_punct(before(1), ',');
    let ends = at + 1 == tokens.len() || is_punct(tokens.get(at + 1), ',');
    let is_field = place == Place::Braces && begins && ends;
    let is_method = place == Place::Braces && is_ident(before(1), "fn");
    is_member || in_path || is_named || is_macro || is_binding || is_field || is_method
}

/// Drops the comma that rustfmt adds where it breaks a list into lines.
fn drop_trailing_comma(
    inner: &mut Vec<TokenTree>,
    delimiter: Delimiter,
    before: Option<&TokenTree>,
) {
    // A parenthesis after one of these does not begin a call's arguments.
    const KEYWORDS: [&str; 24] = [
        "as", "async", "await", "box", "break", "const", "do", "dyn", "else", "for", "if", "impl",
        "in", "let", "loop", "match", "move", "mut", "ref", "return", "static", "where", "while",
        "yield",
    ];
    if !is_punct(inner.last(), ',') {
        return;
    }
    let commas = inner
        .iter()
        .filter(|token| is_punct(Some(token), ','))
        .count();
    let is_call = match before {
        Some(TokenTree::Ident(word)) => !KEYWORDS.iter().any(|keyword| word == keyword),
        before => is_punct(before, '!'),
    };
    // `(a,)` is a tuple, `(a)` is not.
    if delimiter != Delimiter::Parenthesis || commas > 1 || (is_call && inner.len() > 1) {
        inner.pop();
    }
}

/// Returns the index of the semicolon of the `use` declaration at `at`.
fn use_end(tokens: &[TokenTree], at: usize) -> Option<usize> {
    if !is_ident(tokens.get(at), "use") || is_punct(tokens.get(at + 1), '<') {
        return None;
    }
    let end = tokens[at..]
        .iter()
        .position(|token| is_punct(Some(token), ';'))?;
    Some(at + end)
}

/// Splits a `use` declaration into its paths.
fn leaves(tokens: &[TokenTree]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for part in tokens.split(|token| is_punct(Some(token), ',')) {
        let mut path: Vec<String> = Vec::new();
        let mut nested = None;
        // `::name` is a crate, `name` may be a module.
        if is_punct(part.first(), ':') {
            path.push(String::new());
        }
        for token in part {
            match token {
                TokenTree::Group(group) => nested = Some(group.stream()),
                TokenTree::Punct(punct) if punct.as_char() == ':' => {}
                other => path.push(other.to_string()),
            }
        }
        let Some(nested) = nested else {
            if !path.is_empty() {
                all.push(path);
            }
            continue;
        };
        let nested: Vec<TokenTree> = nested.into_iter().collect();
        for mut rest in leaves(&nested) {
            if rest.first().is_some_and(|word| word == "self") {
                rest.remove(0);
            }
            all.push(path.iter().cloned().chain(rest).collect());
        }
    }
    all
}

#[cfg(test)]
mod tests;
