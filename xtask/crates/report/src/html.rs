//! The report as one HTML page. The page includes everything and loads nothing
//! from the network. Without scripts it can be read, but not filtered.

mod summary;
mod tests;
mod text;
mod timeline;

use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub use text::{duration, visible};

use super::json::Report;
use crate::history::compare::Comparison;
use kdk_core::cache_dir::write_atomically;
use kdk_core::failure::Failure;

/// The style sheet of pages.
const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/page.js");

/// The content policy of the page: it loads nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      img-src data:";

/// Writes the page atomically, with the names of the run's log files.
pub fn write(path: &Path, report: &Report, changes: &Comparison) -> Result<(), Failure> {
    let logs = report.run.logs.as_deref().map(names_in).unwrap_or_default();
    let text = page(report, changes, &logs).into_string();
    write_atomically(path, text.as_bytes())
        .map_err(|error| Failure::io("write the HTML report", path, error))
}

/// Returns the head of a page: its title and style, and a policy that lets it load
/// nothing.
pub fn head(title: &str) -> Markup {
    head_with(title, "")
}

/// Returns the same head with more rules of style.
pub fn head_with(title: &str, style: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(POLICY);
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (title) " - fbsd-kdk" }
            link rel="icon" href="data:,";
            style { (PreEscaped(STYLE)) (PreEscaped(style)) }
        }
    }
}

/// Returns the page; `logs` are the names of the log files.
fn page(report: &Report, changes: &Comparison, logs: &[String]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{}: {}", report.run.base, summary::state(report))))
            body {
                a.to-tests href="#tests" { "Skip to the tests" }
                (summary::header(report))
                main {
                    (summary::failures(report))
                    div.columns {
                        (summary::facts(report))
                        (summary::notes(report, changes))
                    }
                    (timeline::section(report))
                    (tests::section(report))
                    (log_files(report, logs))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn log_files(report: &Report, names: &[String]) -> Markup {
    let folder = report.run.logs.as_deref();
    html! {
        @if let Some(folder) = folder {
            section aria-labelledby="logs" {
                h2 id="logs" { "Log files" }
                p.muted { "In " code { (text::visible(&folder.display().to_string())) } }
                ul.files { @for name in names { li { code { (text::visible(name)) } } } }
            }
        }
    }
}

/// Returns the names of the files in the folder `dir`; none if it does not
/// exist.
fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod checks {
    use super::*;
    use crate::fixtures::{failing_run, good_run, report};
    use crate::history::compare::compare;

    fn text_of(report: &Report) -> String {
        page(report, &Comparison::default(), &[]).into_string()
    }

    #[test]
    fn the_output_of_a_guest_is_text_never_markup() {
        let hostile = "</pre></script><script>alert('x')</script><img src=x onerror=\"y\">";
        let mut run = failing_run();
        run.run.base = hostile.into();
        run.run.uname = hostile.into();
        run.run.error = Some(hostile.into());
        run.run.patches = vec![hostile.into()];
        run.run.selection = vec![hostile.into()];
        run.run.logs = Some(hostile.into());
        for phase in &mut run.phases {
            phase.why = hostile.into();
            phase.error = Some(hostile.into());
        }
        for test in &mut run.tests {
            test.name = format!("{hostile}/{hostile}");
            test.detail = hostile.into();
            test.backtrace = vec![hostile.into()];
            test.console = vec![hostile.into()];
        }
        let changes = compare(&report(run.tests.clone()), &good_run());
        let page = page(&run, &changes, &[hostile.into()]).into_string();
        // The page's own script is the only one.
        assert_eq!(page.matches("<script").count(), 1);
        assert_eq!(page.matches("</script").count(), 1);
        assert!(!page.contains("<img"));
        assert!(page.contains("&lt;script&gt;alert"));
    }

    #[test]
    fn the_page_loads_nothing_from_the_network() {
        for text in [
            STYLE,
            SCRIPT,
            &text_of(&good_run()),
            &text_of(&failing_run()),
        ] {
            for far in [
                "http:", "https:", "=\"//", "url(", "@import", " src=", "fetch(",
            ] {
                assert!(!text.contains(far), "{far}");
            }
        }
    }

    #[test]
    fn each_test_has_all_its_details() {
        let run = failing_run();
        let page = text_of(&run);
        for (at, test) in run.tests.iter().enumerate() {
            assert!(page.contains(&format!("id=\"t{at}\"")), "{}", test.name);
            assert!(page.contains(test.verdict.word()), "{}", test.name);
        }
        assert!(page.contains("vpanic() at vpanic+0x136/frame 0xfffffe00"));
        assert!(page.contains("sys/kern/kern_shutdown.c:962 (vpanic)"));
        assert!(page.contains("KDB: stack backtrace:"));
        assert!(page.contains("and a second line"));
    }

    #[test]
    fn the_log_files_are_named_and_a_missing_folder_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("console.1.log"), "x").unwrap();
        let mut run = good_run();
        run.run.logs = Some(dir.path().to_owned());
        let out = dir.path().join("out/report.html");
        write(&out, &run, &Comparison::default()).unwrap();
        let page = std::fs::read_to_string(&out).unwrap();
        assert!(page.contains("<code>console.1.log</code>"));
        run.run.logs = Some(dir.path().join("gone"));
        write(&out, &run, &Comparison::default()).unwrap();
    }
}
