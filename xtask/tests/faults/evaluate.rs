//! Evaluates whether a fault ended as it must: exit code, verdicts, report,
//! leftovers.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fault::{Fault, FaultResult, Stop, Want};
use crate::process::{Exit, Ran};

/// A row of the printed table.
pub struct Row {
    /// The name of the fault.
    pub name: String,
    /// The expected result.
    pub expected: String,
    /// The actual result.
    pub got: String,
    /// The state of the report.
    pub report: String,
    /// The files and processes that the run left behind.
    pub left: String,
    /// The status of the fault.
    pub status: Status,
}

/// The status of a fault.
pub enum Status {
    /// The fault ended as expected.
    Correct,
    /// The fault did not end as expected; the text is the reason.
    Wrong(String),
    /// The fault was skipped because this host does not support it; the text is
    /// the reason.
    Skipped(String),
}

/// Injects a fault and evaluates the result.
pub fn row(fault: &Fault) -> Row {
    let expected = sum(&fault.want.exit.to_string(), verdicts(&fault.want));
    let name = fault.name.clone();
    match (fault.inject)() {
        Ok((result, left)) => evaluate(name, expected, &fault.want, &result, &left),
        Err(Stop::Unsupported(why)) => Row {
            name,
            expected,
            got: format!("skipped: {why}"),
            report: "-".into(),
            left: "-".into(),
            status: Status::Skipped(why),
        },
        Err(Stop::Wrong(why)) => Row {
            name,
            expected,
            got: "aborted".into(),
            report: "-".into(),
            left: "-".into(),
            status: Status::Wrong(why),
        },
    }
}

fn evaluate(
    name: String,
    expected: String,
    want: &Want,
    result: &FaultResult,
    left: &[String],
) -> Row {
    let ran = &result.ran;
    let report = result
        .report
        .as_ref()
        .and_then(|text| serde_json::from_slice::<Value>(text).ok());
    let reported = report.as_ref().map_or_else(Vec::new, tests);
    let got = sum(
        &ran.exit.to_string(),
        reported.iter().map(|(_, verdict)| verdict.clone()),
    );
    let complete = match (&report, want.report) {
        (Some(report), true) => whole(report, ran),
        (None, true) => Err("there is no report".to_owned()),
        (Some(_), false) => Err("there is a report".to_owned()),
        (None, false) => Ok(()),
    };
    let mut wrong = Vec::new();
    if ran.exit != want.exit {
        wrong.push(format!("exit {} instead of {}", ran.exit, want.exit));
    }
    let (have, need) = (counted(reported), counted(wanted(want)));
    if want.report && have != need {
        wrong.push(format!("tests {have:?} instead of {need:?}"));
    }
    let said = said(report.as_ref(), ran);
    for says in want.says.iter().filter(|says| !said.contains(*says)) {
        wrong.push(format!("no message has {says:?}"));
    }
    if let Err(why) = &complete {
        wrong.push(why.clone());
    }
    if !left.is_empty() {
        wrong.push(format!("left behind: {}", left.join(", ")));
    }
    Row {
        name,
        expected,
        got,
        report: match (complete, want.report) {
            (Err(_), _) => "WRONG".into(),
            (Ok(()), true) => "complete".into(),
            (Ok(()), false) => "none".into(),
        },
        left: if left.is_empty() {
            "nothing".into()
        } else {
            left.join(", ")
        },
        status: match wrong.as_slice() {
            [] => Status::Correct,
            _ => Status::Wrong(format!("{}\n{}", wrong.join("\n"), ran.text())),
        },
    }
}

/// Checks a run that is not that of the row itself.
///
/// # Errors
/// Fails when the run did not end as expected.
pub fn holds(want: &Want, result: &FaultResult) -> Result<(), String> {
    let row = evaluate(String::new(), String::new(), want, result, &[]);
    match row.status {
        Status::Wrong(why) => Err(why),
        Status::Correct | Status::Skipped(_) => Ok(()),
    }
}

/// Formats an exit code and counts of verdicts: `5: 1 PASS, 2 NOT_RUN`.
fn sum(exit: &str, verdicts: impl IntoIterator<Item = String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for verdict in verdicts {
        *counts.entry(verdict).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(verdict, count)| format!("{count} {verdict}"))
        .collect();
    if counts.is_empty() {
        return exit.to_owned();
    }
    format!("{exit}: {}", counts.join(", "))
}

fn verdicts(want: &Want) -> Vec<String> {
    wanted(want)
        .into_iter()
        .map(|(_, verdict)| verdict)
        .collect()
}

fn wanted(want: &Want) -> Vec<(String, String)> {
    let word = |(name, verdict): &(String, kdk_vm::verdict::Verdict)| {
        (name.clone(), verdict.word().to_owned())
    };
    want.tests.iter().map(word).collect()
}

/// Sorts tests, to compare them in any order.
fn counted(mut tests: Vec<(String, String)>) -> Vec<(String, String)> {
    tests.sort();
    tests
}

/// Returns the tests of the report: name and verdict.
fn tests(report: &Value) -> Vec<(String, String)> {
    let text = |test: &Value, key: &str| test[key].as_str().unwrap_or_default().to_owned();
    let all = report["tests"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|test| (text(test, "name"), text(test, "verdict")))
        .collect()
}

/// Returns the messages of the report, or standard error if there is no report.
fn said(report: Option<&Value>, ran: &Ran) -> String {
    let Some(report) = report else {
        return ran.text();
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all = vec![text(&report["run"]["error"])];
    for test in report["tests"].as_array().into_iter().flatten() {
        all.push(text(&test["detail"]));
        all.extend(test["backtrace"].as_array().into_iter().flatten().map(text));
    }
    all.join("\n")
}

/// Checks that the report agrees with the exit code, with itself and with the
/// output.
fn whole(report: &Value, ran: &Ran) -> Result<(), String> {
    if report["schema"] != 2 {
        return Err(format!("its schema is {}", report["schema"]));
    }
    let exit = report["run"]["exit"].as_i64();
    if !matches!(ran.exit, Exit::Code(code) if exit == Some(code.into())) {
        return Err(format!("it has exit {}", report["run"]["exit"]));
    }
    let early = ran.exit != Exit::Code(0)
        && ran.exit != Exit::Code(1)
        && report["run"]["error"].as_str().is_none_or(str::is_empty);
    if early {
        return Err("it has no reason why the run ended early".into());
    }
    let reported = tests(report);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, verdict) in &reported {
        *counts.entry(verdict).or_default() += 1;
    }
    let summary = report["summary"].as_object().cloned().unwrap_or_default();
    for (verdict, count) in &summary {
        if count.as_u64() != Some(counts.remove(verdict.as_str()).unwrap_or(0)) {
            return Err(format!("its summary has {count} {verdict}"));
        }
    }
    if !counts.is_empty() {
        return Err(format!("its summary lacks {counts:?}"));
    }
    for (name, verdict) in shown(ran) {
        if !reported.contains(&(name.clone(), verdict.clone())) {
            return Err(format!("it lacks {name}, which was shown as {verdict}"));
        }
    }
    Ok(())
}

/// Returns the tests of the output: name and last verdict.
fn shown(ran: &Ran) -> BTreeMap<String, String> {
    let test = |line: &String| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["test", verdict, _, "s", name] => Some(((*name).to_owned(), (*verdict).to_owned())),
            _ => None,
        }
    };
    ran.lines.iter().filter_map(test).collect()
}

/// Renders the table.
pub fn table(rows: &[Row]) -> String {
    let head = [
        "fault",
        "expected",
        "got",
        "report",
        "left behind",
        "status",
    ];
    let line = |row: &Row| {
        let status = match &row.status {
            Status::Correct => "correct",
            Status::Wrong(_) => "WRONG",
            Status::Skipped(_) => "-",
        };
        [
            &row.name,
            &row.expected,
            &row.got,
            &row.report,
            &row.left,
            status,
        ]
        .map(str::to_owned)
    };
    let lines: Vec<[String; 6]> = [head.map(str::to_owned)]
        .into_iter()
        .chain(rows.iter().map(line))
        .collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    });
    let text = |line: &[String; 6]| {
        let cells: Vec<String> = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(text).collect::<Vec<_>>().join("\n")
}
