//! Manifests and patch files as editors, mail programs and full disks leave
//! them: nothing panics, and what cannot be used is said.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::finding::{Check, Finding, Severity};
use super::{manifest, patch};
use crate::load;

const MANIFEST: &str = "\
# A series.
schema: 1
series: {name: x, revision: 1}
base: {repo: https://git.FreeBSD.org/src.git, branch: releng/15.1, commit: null, osreldate: 1501000}
track: [main, stable/15]
patches:
  - id: count
    file: count.patch
    class: fix
    needs: []
    upstream: {status: none, channel: null, url: null, reason: \"\"}
    provenance: {origin: own, ai_assisted: false, attested_by: \"\"}
    trailers: {mfc_after: 1 week, sponsored_by: null}
    check: {tests: [\"kern/*\"], expect_without: fail, waive: []}
  - {id: next, file: next.patch, class: test, needs: [count], provenance: {origin: own, ai_assisted: false}}
";

const PATCH: &str = "\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: =?UTF-8?q?J=C3=BCrgen?= <j@example.org>
Date: Wed, 25 Nov 2026 10:00:00 +0100
Subject: [PATCH] kern: Count all lines
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit

The last one was left out, über and out.

PR:\t\t1
MFC after:\t1 week
---

diff --git a/sys/kern/a.c b/sys/kern/a.c
index 4cb29ea38f70d7c61b2a3a25b02e3bdf44905402..d68dd4031d2ad5b7a3829ad7df6635e27a7daa22 100644
--- a/sys/kern/a.c
+++ b/sys/kern/a.c
@@ -1,3 +1,3 @@
 one
-two
+2
 three
diff --git a/sys/kern/b.c b/sys/kern/b.c
new file mode 100644
index 0000000000000000000000000000000000000000..61780798228d17af2d34fce4cfbdf35556832472
--- /dev/null
+++ b/sys/kern/b.c
@@ -0,0 +1 @@
+b
";

/// What happens to files.
#[derive(Debug, Clone)]
enum Mishap {
    Cut(usize),
    Flip(usize, u8),
    CrLf,
    Insert(usize, String),
    Remove(usize),
    Twice(usize),
    Swap(usize, usize),
}

impl Mishap {
    /// Positions are taken modulo what is there.
    fn befall(&self, text: &[u8]) -> Vec<u8> {
        let mut lines: Vec<Vec<u8>> = text
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        let at = |n: usize, len: usize| n % len.max(1);
        let count = lines.len();
        match self {
            Self::Cut(n) => return text[..at(*n, text.len() + 1)].to_vec(),
            Self::Flip(n, bits) => {
                let mut text = text.to_vec();
                let n = at(*n, text.len());
                if let Some(byte) = text.get_mut(n) {
                    *byte ^= bits;
                }
                return text;
            }
            Self::CrLf => {
                for line in &mut lines {
                    if line.ends_with(b"\n") {
                        line.insert(line.len() - 1, b'\r');
                    }
                }
            }
            Self::Insert(n, line) => {
                let line = format!("{line}\n").into_bytes();
                lines.insert(at(*n, count + 1), line);
            }
            Self::Remove(n) if count > 0 => {
                lines.remove(at(*n, count));
            }
            Self::Twice(n) if count > 0 => {
                let n = at(*n, count);
                lines.insert(n, lines[n].clone());
            }
            Self::Swap(a, b) if count > 0 => lines.swap(at(*a, count), at(*b, count)),
            Self::Remove(_) | Self::Twice(_) | Self::Swap(..) => {}
        }
        lines.concat()
    }
}

fn mishaps() -> impl Strategy<Value = Vec<Mishap>> {
    let line = prop_oneof![
        "[ -~]{0,80}",
        "\\PC{0,20}",
        Just("@@ -1 +1 @@".to_owned()),
        Just("  id: [a, {b: c".to_owned()),
        Just("patches: &a [*a]".to_owned()),
        Just("diff --git a/x b/x".to_owned()),
        Just("rename from x".to_owned()),
        Just("GIT binary patch".to_owned()),
        Just("Reviewed-by: x".to_owned()),
    ];
    let one = prop_oneof![
        any::<usize>().prop_map(Mishap::Cut),
        (any::<usize>(), 1..=255_u8).prop_map(|(n, bits)| Mishap::Flip(n, bits)),
        Just(Mishap::CrLf),
        (any::<usize>(), line).prop_map(|(n, line)| Mishap::Insert(n, line)),
        any::<usize>().prop_map(Mishap::Remove),
        any::<usize>().prop_map(Mishap::Twice),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Mishap::Swap(a, b)),
    ];
    prop::collection::vec(one, 1..4)
}

fn befallen(text: &str, mishaps: &[Mishap]) -> Vec<u8> {
    let start = text.as_bytes().to_vec();
    mishaps
        .iter()
        .fold(start, |text, mishap| mishap.befall(&text))
}

/// A finding can be shown, and its place is in the text.
fn is_sound(finding: &Finding) {
    assert!(
        !finding.text.is_empty() && !finding.help.is_empty(),
        "{finding:?}"
    );
    if let Some(spot) = &finding.spot {
        let (start, len) = spot.span;
        assert!(spot.source.get(start..start + len).is_some(), "{finding:?}");
        assert!(spot.line_column() >= (1, 1));
    }
    let mut out = String::new();
    let theme = miette::GraphicalTheme::unicode_nocolor();
    miette::GraphicalReportHandler::new_themed(theme)
        .render_report(&mut out, finding)
        .unwrap();
    assert!(out.contains(finding.check.name()), "{out}");
}

fn errors(findings: &[Finding]) -> Vec<&Finding> {
    let is_error = |finding: &&Finding| finding.severity == Severity::Error;
    findings.iter().filter(is_error).collect()
}

/// Returns a series whose first patch file holds `bytes`.
fn series(dir: &Path, bytes: &[u8]) -> load::Loaded {
    fs::write(dir.join("count.patch"), bytes).unwrap();
    load::parse(dir, "x", MANIFEST).unwrap()
}

#[test]
fn what_is_broken_here_was_good() {
    let dir = tempfile::tempdir().unwrap();
    let series = series(dir.path(), PATCH.as_bytes());
    assert_eq!(patch::check(&series, 0).unwrap().findings, []);
    assert_eq!(manifest::parse(dir.path(), "x", MANIFEST).findings, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn manifests(mishaps in mishaps()) {
        let bytes = befallen(MANIFEST, &mishaps);
        let text = String::from_utf8_lossy(&bytes);
        let dir = Path::new("/nonexistent");
        let read = manifest::parse(dir, "x", &text);
        read.findings.iter().for_each(is_sound);
        // Every other command treats it the same.
        let good = load::parse(dir, "x", &text).is_ok();
        prop_assert_eq!(good, read.findings.is_empty() && read.series.is_some());
    }

    #[test]
    fn manifests_of_anything(text in "\\PC{0,200}") {
        let read = manifest::parse(Path::new("/nonexistent"), "x", &text);
        read.findings.iter().for_each(is_sound);
        prop_assert!(read.series.is_none() && !read.findings.is_empty());
    }
}

proptest! {
    // git runs for each.
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patches(mishaps in mishaps()) {
        let bytes = befallen(PATCH, &mishaps);
        let dir = tempfile::tempdir().unwrap();
        let checked = patch::check(&series(dir.path(), &bytes), 0).unwrap();
        checked.findings.iter().for_each(is_sound);
        let errors = errors(&checked.findings);
        let is_unread = errors.iter().any(|finding| finding.check == Check::File);
        prop_assert_eq!(checked.text.is_none(), is_unread, "{:?}", errors);
        if let Some(text) = checked.text {
            prop_assert_eq!(text.as_bytes(), &bytes);
            prop_assert!(!checked.touched.is_empty());
        }
    }

    #[test]
    fn patches_of_anything(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        let checked = patch::check(&series(dir.path(), &bytes), 0).unwrap();
        checked.findings.iter().for_each(is_sound);
        prop_assert!(checked.text.is_none() && !errors(&checked.findings).is_empty());
    }
}
