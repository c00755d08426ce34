//! What became of a series on other trees, for people and for programs.

use serde::Serialize;

use crate::drift::{Clash, Outcome, Row, Why};

/// One target with what became of the patches on it.
#[derive(Debug)]
pub struct Column {
    /// The target, as the user named it.
    pub target: String,
    /// Its commit, if it has one.
    pub commit: Option<String>,
    /// A row for each patch, in order.
    pub rows: Vec<Row>,
}

/// The table: a line for each patch on each target, below a heading.
pub fn text(columns: &[Column]) -> String {
    let mut cells = vec![("patch", "target", "result".to_owned())];
    for column in columns {
        for row in &column.rows {
            cells.push((&row.id, &column.target, result(row)));
        }
    }
    let width = |of: fn(&(&str, &str, String)) -> usize| cells.iter().map(of).max().unwrap_or(0);
    let (id, target) = (width(|cell| cell.0.len()), width(|cell| cell.1.len()));
    let line = |(first, second, third): &(&str, &str, String)| {
        format!("{first:<id$}  {second:<target$}  {third}")
    };
    cells.iter().map(line).collect::<Vec<String>>().join("\n")
}

/// What became of one patch, in words.
fn result(row: &Row) -> String {
    let mut text = match &row.outcome {
        Outcome::Applies(offsets) if offsets.is_empty() => "applies".to_owned(),
        Outcome::Applies(offsets) => {
            let moved = offsets.iter().map(|moved| {
                let lines = match moved.lines.abs() {
                    1 => "line",
                    _ => "lines",
                };
                format!(
                    "hunk {} of {}: {:+} {lines}",
                    moved.hunk, moved.file, moved.lines
                )
            });
            let moved: Vec<String> = moved.collect();
            format!("applies with offset ({})", moved.join(", "))
        }
        Outcome::Merges => "merges (3-way; a rebase would take it)".to_owned(),
        Outcome::Landed(None) => "landed".to_owned(),
        Outcome::Landed(Some(commit)) => format!("landed as {commit:.12}"),
        Outcome::Conflicts { places, .. } => conflicts(places),
    };
    if let Outcome::Conflicts {
        perhaps: Some(commit),
        ..
    } = &row.outcome
    {
        text.push_str(&format!(
            "; perhaps landed as {commit:.12}, which has its subject"
        ));
    }
    if row.doubtful {
        text.push_str("; a 3-way merge gives another result: look at both");
    }
    if !row.lacks.is_empty() {
        let lacks = row.lacks.join(", ");
        text.push_str(&format!("; it needs {lacks}, left out here"));
    }
    text
}

fn conflicts(places: &[Clash]) -> String {
    let place = |clash: &Clash| {
        let file = &clash.file;
        match &clash.why {
            Why::Absent => format!("{file} is not there"),
            Why::Folder => format!("{file} is a folder there"),
            Why::Present => format!("{file} is there already, and differs"),
            Why::Changed => format!("{file} was changed there, and the patch deletes it"),
            Why::Whole => format!("{file} does not merge as a whole"),
            Why::Hunks(spots) => {
                let spot = |spot: &super::Spot| match spot.hunk {
                    Some((hunk, of)) => format!("hunk {hunk} of {of} at line {}", spot.line),
                    None => format!("at line {}", spot.line),
                };
                let spots: Vec<String> = spots.iter().map(spot).collect();
                format!("in {file} ({})", spots.join(", "))
            }
        }
    };
    let texts: Vec<String> = places.iter().map(place).collect();
    let all = texts.join("; ");
    match places.first().map(|clash| &clash.why) {
        Some(Why::Hunks(_)) => format!("conflicts {all}"),
        _ => format!("conflicts: {all}"),
    }
}

/// The table as JSON.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// Version of the form; 1.
    pub schema: u32,
    /// The series.
    pub series: &'a str,
    /// Its revision.
    pub revision: u32,
    /// The commit it is made for.
    pub base: &'a str,
    /// The targets.
    pub targets: Vec<Target<'a>>,
}

/// A target in the report.
#[derive(Debug, Serialize)]
pub struct Target<'a> {
    name: &'a str,
    commit: Option<&'a str>,
    patches: Vec<Patch<'a>>,
}

#[derive(Debug, Serialize)]
struct Patch<'a> {
    id: &'a str,
    /// `applies`, `offset`, `merges`, `landed` or `conflicts`.
    outcome: &'static str,
    /// What the table says.
    text: String,
    /// The commit that is the patch, or may be where it conflicts.
    landed_as: Option<&'a str>,
    /// Files that conflict.
    conflicts: Vec<&'a str>,
    /// Needed patches that were left out.
    lacks: &'a [String],
}

impl<'a> From<&'a Column> for Target<'a> {
    fn from(column: &'a Column) -> Self {
        Self {
            name: &column.target,
            commit: column.commit.as_deref(),
            patches: column.rows.iter().map(patch).collect(),
        }
    }
}

fn patch(row: &Row) -> Patch<'_> {
    let (outcome, landed, conflicts) = match &row.outcome {
        Outcome::Applies(offsets) if offsets.is_empty() => ("applies", &None, &[] as &[Clash]),
        Outcome::Applies(_) => ("offset", &None, &[] as &[Clash]),
        Outcome::Merges => ("merges", &None, &[] as &[Clash]),
        Outcome::Landed(landed) => ("landed", landed, &[] as &[Clash]),
        Outcome::Conflicts { places, perhaps } => ("conflicts", perhaps, places.as_slice()),
    };
    Patch {
        id: &row.id,
        outcome,
        text: result(row),
        landed_as: landed.as_deref(),
        conflicts: conflicts.iter().map(|clash| clash.file.as_str()).collect(),
        lacks: &row.lacks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::Spot;
    use crate::temp_repo::Offset;

    fn columns() -> Vec<Column> {
        let offset = |file: &str, hunk, lines| Offset {
            file: file.into(),
            hunk,
            lines,
        };
        let clash = |file: &str, why| Clash {
            file: file.into(),
            why,
        };
        let spot = |hunk, line| Spot { hunk, line };
        let hash = || Some("0123456789abcdef0123456789abcdef01234567".to_owned());
        let outcomes = [
            Outcome::Applies(vec![]),
            Outcome::Applies(vec![offset("sys/a.c", 1, -1), offset("sys/b.c", 2, 5)]),
            Outcome::Merges,
            Outcome::Landed(None),
            Outcome::Landed(hash()),
            Outcome::Conflicts {
                places: vec![
                    clash(
                        "sys/a.c",
                        Why::Hunks(vec![spot(Some((2, 3)), 120), spot(Some((3, 3)), 140)]),
                    ),
                    clash("sys/b.c", Why::Hunks(vec![spot(None, 7)])),
                    clash("sys/c.c", Why::Absent),
                ],
                perhaps: hash(),
            },
            Outcome::Conflicts {
                places: vec![
                    clash("sys/a.c", Why::Absent),
                    clash("sys/b.c", Why::Folder),
                    clash("sys/c.c", Why::Present),
                    clash("sys/d.c", Why::Changed),
                    clash("sys/e.bin", Why::Whole),
                ],
                perhaps: None,
            },
        ];
        let row = |(n, outcome)| Row {
            id: format!("patch-{n}"),
            outcome,
            lacks: match n {
                2 => vec!["patch-0".into(), "patch-1".into()],
                _ => Vec::new(),
            },
            doubtful: n == 0,
        };
        let rows = outcomes.into_iter().enumerate().map(row).collect();
        let there = Column {
            target: "main".into(),
            commit: hash(),
            rows,
        };
        let plain = Column {
            target: "../some/files".into(),
            commit: None,
            rows: there.rows[..1].to_vec(),
        };
        vec![there, plain]
    }

    #[test]
    fn every_outcome_for_people() {
        insta::assert_snapshot!(text(&columns()));
    }

    #[test]
    fn every_outcome_for_programs() {
        let columns = columns();
        let report = Report {
            schema: 1,
            series: "releng-15.1",
            revision: 2,
            base: "f00",
            targets: columns.iter().map(Target::from).collect(),
        };
        insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap());
    }
}
