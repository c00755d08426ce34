//! Renders the drift of a series as text and as JSON.

use serde::Serialize;

use crate::drift::{ConflictKind, DriftResult, FileConflict, Row};

/// The results of all patches on one target.
#[derive(Debug)]
pub struct Column {
    /// The target, as the user named it.
    pub target: String,
    /// The commit of the target, if it has one.
    pub commit: Option<String>,
    /// The result of each patch, in order.
    pub rows: Vec<Row>,
}

/// Returns the table as text: a heading, then a line for each patch on each
/// target.
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

/// Describes the result of one patch.
fn result(row: &Row) -> String {
    let mut text = match &row.outcome {
        DriftResult::Applies(offsets) if offsets.is_empty() => "applies".to_owned(),
        DriftResult::Applies(offsets) => {
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
        DriftResult::Merges => "merges (3-way; a rebase merges it)".to_owned(),
        DriftResult::Landed(None) => "landed".to_owned(),
        DriftResult::Landed(Some(commit)) => format!("landed as {commit:.12}"),
        DriftResult::Conflicts { places, .. } => conflicts(places),
    };
    if let DriftResult::Conflicts {
        perhaps: Some(commit),
        ..
    } = &row.outcome
    {
        text.push_str(&format!(
            "; may have landed as {commit:.12}, which has its subject"
        ));
    }
    if row.doubtful {
        text.push_str("; a 3-way merge gives another result: compare them");
    }
    if !row.lacks.is_empty() {
        let lacks = row.lacks.join(", ");
        text.push_str(&format!("; it needs {lacks}, skipped here"));
    }
    text
}

fn conflicts(places: &[FileConflict]) -> String {
    let place = |conflict: &FileConflict| {
        let file = &conflict.file;
        match &conflict.why {
            ConflictKind::Absent => format!("{file} does not exist there"),
            ConflictKind::Folder => format!("{file} is a folder there"),
            ConflictKind::Present => format!("{file} exists there, and differs"),
            ConflictKind::Changed => format!("{file} was changed there, and the patch deletes it"),
            ConflictKind::Whole => format!("{file} does not merge"),
            ConflictKind::Hunks(spots) => {
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
    match places.first().map(|conflict| &conflict.why) {
        Some(ConflictKind::Hunks(_)) => format!("conflicts {all}"),
        _ => format!("conflicts: {all}"),
    }
}

/// The table as JSON.
#[derive(Debug, Serialize)]
pub struct DriftReport<'a> {
    /// The version of the format: 1.
    pub schema: u32,
    /// The name of the series.
    pub series: &'a str,
    /// The revision of the series.
    pub revision: u32,
    /// The commit of its base.
    pub base: &'a str,
    /// The results on each target.
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
    /// The text in the table.
    text: String,
    /// The commit as which the patch has landed, or may have if it conflicts.
    landed_as: Option<&'a str>,
    /// The files with conflicts.
    conflicts: Vec<&'a str>,
    /// The needed patches that were skipped.
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
        DriftResult::Applies(offsets) if offsets.is_empty() => {
            ("applies", &None, &[] as &[FileConflict])
        }
        DriftResult::Applies(_) => ("offset", &None, &[] as &[FileConflict]),
        DriftResult::Merges => ("merges", &None, &[] as &[FileConflict]),
        DriftResult::Landed(landed) => ("landed", landed, &[] as &[FileConflict]),
        DriftResult::Conflicts { places, perhaps } => ("conflicts", perhaps, places.as_slice()),
    };
    Patch {
        id: &row.id,
        outcome,
        text: result(row),
        landed_as: landed.as_deref(),
        conflicts: conflicts
            .iter()
            .map(|conflict| conflict.file.as_str())
            .collect(),
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
        let conflict = |file: &str, why| FileConflict {
            file: file.into(),
            why,
        };
        let spot = |hunk, line| Spot { hunk, line };
        let hash = || Some("0123456789abcdef0123456789abcdef01234567".to_owned());
        let outcomes = [
            DriftResult::Applies(vec![]),
            DriftResult::Applies(vec![offset("sys/a.c", 1, -1), offset("sys/b.c", 2, 5)]),
            DriftResult::Merges,
            DriftResult::Landed(None),
            DriftResult::Landed(hash()),
            DriftResult::Conflicts {
                places: vec![
                    conflict(
                        "sys/a.c",
                        ConflictKind::Hunks(vec![spot(Some((2, 3)), 120), spot(Some((3, 3)), 140)]),
                    ),
                    conflict("sys/b.c", ConflictKind::Hunks(vec![spot(None, 7)])),
                    conflict("sys/c.c", ConflictKind::Absent),
                ],
                perhaps: hash(),
            },
            DriftResult::Conflicts {
                places: vec![
                    conflict("sys/a.c", ConflictKind::Absent),
                    conflict("sys/b.c", ConflictKind::Folder),
                    conflict("sys/c.c", ConflictKind::Present),
                    conflict("sys/d.c", ConflictKind::Changed),
                    conflict("sys/e.bin", ConflictKind::Whole),
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
        let report = DriftReport {
            schema: 1,
            series: "releng-15.1",
            revision: 2,
            base: "f00",
            targets: columns.iter().map(Target::from).collect(),
        };
        insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap());
    }
}
