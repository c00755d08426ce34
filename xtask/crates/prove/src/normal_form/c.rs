//! The normal form of C sources and linker scripts.
//!
//! Included files count by their names without folders, so a file may move.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Token, render};

/// Renders the normal form of a header: other files use all of its names.
pub fn header(text: &str) -> String {
    render(&scan(&joined(text)).tokens, &BTreeSet::new())
}

/// Renders the normal form of `text`.
pub fn normal_form(text: &str) -> String {
    let text = joined(text);
    let scanner = scan(&text);
    let mut private = static_functions(&scanner.tokens);
    private.retain(|name| !scanner.known.contains(name));
    render(&scanner.tokens, &private)
}

/// Joins the lines that end with a backslash.
fn joined(text: &str) -> String {
    text.replace("\\\r\n", "").replace("\\\n", "")
}

fn scan(text: &str) -> Scanner<'_> {
    let mut scanner = Scanner {
        rest: text,
        at_line_start: true,
        in_directive: false,
        glued: false,
        tokens: Vec::new(),
        parentheses: Vec::new(),
        known: BTreeSet::new(),
    };
    scanner.run();
    scanner
}

/// Words before a name that is not a function's.
const TAGS: [&str; 4] = ["struct", "union", "enum", "goto"];

/// Words that a parenthesis can follow and that are not a function's name.
const KEYWORDS: [&str; 34] = [
    "auto", "bool", "break", "case", "char", "const", "continue", "default", "do", "double",
    "else", "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register",
    "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef",
    "typeof", "unsigned", "void", "while",
];

/// Returns whether a name looks like that of a macro, or is reserved.
fn is_macro(name: &str) -> bool {
    name.starts_with("__") || !name.chars().any(|c| c.is_ascii_lowercase())
}

struct Scanner<'a> {
    rest: &'a str,
    at_line_start: bool,
    in_directive: bool,
    /// Whether no white space separates the next token from the last one.
    glued: bool,
    tokens: Vec<Token>,
    /// For each open parenthesis, whether it is part of a macro's arguments.
    parentheses: Vec<bool>,
    /// Names that may refer to something outside of the file.
    known: BTreeSet<String>,
}

impl<'a> Scanner<'a> {
    fn run(&mut self) {
        while let Some(first) = self.rest.chars().next() {
            if self.white_space(first) {
                continue;
            }
            if first == '#' && self.at_line_start {
                self.in_directive = true;
            }
            let at_line_start = std::mem::replace(&mut self.at_line_start, false);
            match first {
                '"' | '\'' => {
                    let literal = self.literal(first);
                    let included = self.is_include();
                    self.text(match included {
                        true => file_name(literal),
                        false => literal.to_owned(),
                    });
                }
                '<' if self.is_include() => {
                    let len = self.rest.find('>').map_or(self.rest.len(), |end| end + 1);
                    // The base's own headers have their folders.
                    let header = self.take(len).to_owned();
                    self.text(header);
                }
                _ if first == '_' || first.is_ascii_alphabetic() => self.name(),
                _ if first.is_ascii_digit() => {
                    let in_number = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
                    let len = self.rest.find(|c| !in_number(c)).unwrap_or(self.rest.len());
                    let number = self.take(len).to_owned();
                    self.text(number);
                }
                other => {
                    self.take(other.len_utf8());
                    self.parenthesis(other);
                    // `a++ + b` is not `a + ++b`.
                    let glue = if self.glued && !at_line_start {
                        "~"
                    } else {
                        ""
                    };
                    self.text(format!("{glue}{other}"));
                }
            }
            self.glued = true;
        }
    }

    /// Skips white space or a comment, if there is one.
    fn white_space(&mut self, first: char) -> bool {
        let len = if self.rest.starts_with("/*") {
            self.rest.find("*/").map_or(self.rest.len(), |end| end + 2)
        } else if self.rest.starts_with("//") {
            self.rest.find('\n').unwrap_or(self.rest.len())
        } else if first == '\n' {
            if std::mem::take(&mut self.in_directive) {
                self.text("\u{2}");
            }
            self.at_line_start = true;
            1
        } else if first.is_whitespace() {
            first.len_utf8()
        } else {
            return false;
        };
        self.take(len);
        self.glued = false;
        true
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn text(&mut self, text: impl Into<String>) {
        self.tokens.push(Token::Text(text.into()));
    }

    fn parenthesis(&mut self, token: char) {
        match token {
            '(' => {
                let is_macro =
                    matches!(self.tokens.last(), Some(Token::Name(name)) if is_macro(name));
                let inside = self.parentheses.last().copied().unwrap_or_default();
                self.parentheses.push(is_macro || inside);
            }
            ')' => drop(self.parentheses.pop()),
            _ => {}
        }
    }

    fn literal(&mut self, quote: char) -> &'a str {
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, c)| {
            let is_end = *c == quote && !escaped;
            escaped = *c == '\\' && !escaped;
            is_end
        });
        let len = end.map_or(self.rest.len(), |(at, _)| at + 1);
        self.take(len)
    }

    fn name(&mut self) {
        let in_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        let len = self.rest.find(|c| !in_name(c)).unwrap_or(self.rest.len());
        let name = self.take(len).to_owned();
        let is_outside = match self.tokens.last() {
            Some(Token::Text(text)) => matches!(text.trim_start_matches('~'), "." | ">"),
            Some(Token::Name(word)) => TAGS.contains(&word.as_str()),
            None => false,
        };
        // A macro may paste or quote its arguments.
        let in_macro = self.in_directive || self.parentheses.last() == Some(&true);
        if is_outside || in_macro {
            self.known.insert(name.clone());
        }
        self.tokens.push(Token::Name(name));
    }

    fn is_include(&self) -> bool {
        let last = self.tokens.last();
        self.in_directive && last == Some(&Token::Name("include".into()))
    }
}

/// Returns a quoted path without its folders.
fn file_name(quoted: &str) -> String {
    let path = quoted.trim_matches('"');
    let name = Path::new(path).file_name().unwrap_or_default();
    format!("\"{}\"", name.to_string_lossy())
}

/// Returns the names of the functions that no other file can call. A file that
/// uses `__func__` has none: its functions' names are data.
fn static_functions(tokens: &[Token]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let (mut depth, mut is_static) = (0_usize, false);
    for (at, token) in tokens.iter().enumerate() {
        let text = match token {
            Token::Text(text) => text.trim_start_matches('~'),
            Token::Name(name) if name == "__func__" || name == "__FUNCTION__" => {
                return BTreeSet::new();
            }
            Token::Name(name) => {
                let is_keyword = KEYWORDS.contains(&name.as_str());
                if depth == 0 && name == "static" {
                    is_static = true;
                } else if is_static
                    && depth == 0
                    && !is_keyword
                    && !is_macro(name)
                    && is_function(&tokens[at + 1..])
                {
                    names.insert(name.clone());
                    is_static = false;
                }
                continue;
            }
        };
        match text {
            "{" | "(" => depth += 1,
            "}" | ")" => depth = depth.saturating_sub(1),
            ";" | "=" if depth == 0 => is_static = false,
            _ => {}
        }
    }
    names
}

/// Returns whether parameters, and then a body or the end of a declaration,
/// follow a name.
fn is_function(tokens: &[Token]) -> bool {
    let mut depth = 0_usize;
    let mut signs = tokens.iter().map(|token| match token {
        Token::Text(text) => text.trim_start_matches('~'),
        Token::Name(_) => "",
    });
    for sign in signs.by_ref() {
        match sign {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ if depth == 0 => return false,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    matches!(signs.next(), Some("{" | ";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "#include \"shim/a.h\"\n#define F(x) \\\n\tg(x)\nstatic int\nhelper(int x)\n{\n\treturn (x + 1);\n}\nint\nrun(struct s *s)\n{\n\treturn (helper(2) - s->n);\n}\n";

    #[test]
    fn what_does_not_change_the_program_does_not_change_the_form() {
        for (what, after) in [
            (
                "a comment",
                format!("/* A comment. */\n{BEFORE}// and another"),
            ),
            (
                "lines",
                BEFORE
                    .replace(")\n{", ") {")
                    .replace("static int\n", "static int "),
            ),
            (
                "a static function's name",
                BEFORE.replace("helper", "add_one"),
            ),
            ("a header's folder", BEFORE.replace("shim/a.h", "a.h")),
            ("a macro's lines", BEFORE.replace("\\\n\t", "")),
        ] {
            assert_eq!(normal_form(BEFORE), normal_form(&after), "{what}");
        }
    }

    #[test]
    fn what_changes_the_program_changes_the_form() {
        for (what, after) in [
            ("a number", BEFORE.replace("+ 1", "+ 2")),
            ("an operator", BEFORE.replace("x + 1", "x - 1")),
            ("a function's name", BEFORE.replace("run", "walk")),
            ("a member", BEFORE.replace("s->n", "s->m")),
            ("a macro's parameters", BEFORE.replace("F(x)", "F (x)")),
            ("a header", BEFORE.replace("a.h", "b.h")),
            ("a storage class", BEFORE.replace("static int", "int")),
            ("a line of a directive", BEFORE.replace("g(x)\n", "g(x) ")),
        ] {
            assert_ne!(normal_form(BEFORE), normal_form(&after), "{what}");
        }
    }

    #[test]
    fn other_files_use_the_functions_of_a_header() {
        let (before, after) = ("static int a(void) { }", "static int b(void) { }");
        assert_eq!(normal_form(before), normal_form(after));
        assert_ne!(header(before), header(after));
    }

    #[test]
    fn a_name_that_may_mean_something_else_is_not_private() {
        for (before, after) in [
            (
                "static int len(void) { return (len() + s->len); }",
                "static int num(void) { return (num() + s->num); }",
            ),
            (
                "#define X #a\nstatic int a(void) { }",
                "#define X #b\nstatic int b(void) { }",
            ),
            (
                "static int a(void) { log(__func__); }",
                "static int b(void) { log(__func__); }",
            ),
            ("static int a(void) { } X(a)", "static int b(void) { } X(b)"),
            (
                "static int a(struct a *p) { }",
                "static int b(struct b *p) { }",
            ),
            // No function's name is in front of these parentheses.
            (
                "static int (*f)(void);\nint x(void) { return (1); }",
                "static long (*f)(void);\nlong x(void) { return (1); }",
            ),
            (
                "static char b[sizeof(int)];",
                "static char b[_Alignof(int)];",
            ),
            ("static char b[sizeof(x)];", "static char b[typeof(x)];"),
            (
                "static char b[up(1)];\nint c = up(2);",
                "static char b[down(1)];\nint c = down(2);",
            ),
            (
                "static int a(b) c;\nint d = a(1);",
                "static int e(b) c;\nint d = e(1);",
            ),
            ("a = \"/* x */\";", "a = \"/* y */\";"),
            ("a++ + b", "a + ++b"),
        ] {
            assert_ne!(normal_form(before), normal_form(after), "{before}");
        }
    }
}
