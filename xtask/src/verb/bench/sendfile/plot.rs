//! The figures as a picture: four charts on one sheet, as SVG and as PNG.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::figures::{Clock, Quantity, cpu, p50, p99, throughput};
use super::notes::{Case, Method, Pace};
use crate::failure::Failure;

/// The sheet, in pixels of the PNG.
const SIZE: (u32, u32) = (1500, 1060);
/// The name under which the drawing crate knows the font.
const FONT: &str = "sans-serif";

/// A chart's content.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows.
    title: String,
    /// The axis that goes right: a power of two each step.
    x: &'static str,
    /// The axis that goes up.
    y: String,
    /// Its lines.
    lines: Vec<Line>,
}

/// A line of a chart.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    name: String,
    method: Method,
    /// Drawn with rings instead of discs.
    second: bool,
    points: Vec<(f64, f64)>,
}

/// The charts that these cases can fill; what is on four workers stands in the
/// table alone.
pub fn charts(cases: &[Case], clock: Clock) -> Vec<Chart> {
    let free = |case: &&Case| case.setup.pace == Pace::Free;
    let plain: Vec<&Case> = cases
        .iter()
        .filter(|case| case.setup.workers == 1)
        .collect();
    let by_sockets: Vec<&Case> = {
        let known = ["-1", "-64", "-1024"];
        let named = |case: &&&Case| known.iter().any(|end| case.name.ends_with(end));
        plain.iter().copied().filter(|case| named(&case)).collect()
    };
    let rated: Vec<&Case> = by_sockets
        .iter()
        .copied()
        .filter(|case| !free(case))
        .collect();
    let unthrottled: Vec<&Case> = by_sockets.into_iter().filter(free).collect();
    let sizes: Vec<&Case> = plain
        .into_iter()
        .filter(|case| free(case) && case.setup.sockets == 64)
        .collect();
    let sockets = |case: &Case| case.setup.sockets as f64;
    let mib = |run: &super::notes::Run| throughput(run) / f64::from(1 << 20);
    let unit = clock.unit();
    let charts = [
        Chart {
            title: "Readers rate-limited: throughput".into(),
            x: "sockets of one worker",
            y: "MiB/s".into(),
            lines: lines(&rated, sockets, mib, "", false),
        },
        Chart {
            title: "Readers unthrottled: throughput".into(),
            x: "sockets of one worker",
            y: "MiB/s".into(),
            lines: lines(&unthrottled, sockets, mib, "", false),
        },
        Chart {
            title: "Readers unthrottled, 64 sockets: CPU".into(),
            x: "KiB of a buffer",
            y: format!("{unit} per byte, whole machine"),
            lines: lines(
                &sizes,
                |case| case.setup.chunk as f64 / 1024.0,
                cpu,
                "",
                false,
            )
            .into_iter()
            .map(|line| line.told_in(clock))
            .collect(),
        },
        Chart {
            title: "Readers rate-limited: until a buffer can be used again".into(),
            x: "sockets of one worker",
            y: "ms".into(),
            lines: [
                lines(&rated, sockets, p50, ", median", false),
                lines(&rated, sockets, p99, ", 99 %", true),
            ]
            .concat(),
        },
    ];
    let is_full = |chart: &Chart| chart.lines.iter().any(|line| !line.points.is_empty());
    charts.into_iter().filter(is_full).collect()
}

fn lines(
    cases: &[&Case],
    x: impl Fn(&Case) -> f64,
    y: Quantity,
    suffix: &str,
    second: bool,
) -> Vec<Line> {
    let line = |method: Method| {
        let point = |case: &&Case| (x(case), case.median(method, y));
        let mut points: Vec<(f64, f64)> = cases.iter().map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Line {
            name: format!("{}{suffix}", method.name()),
            method,
            second,
            points,
        }
    };
    Method::ALL.map(line).to_vec()
}

impl Line {
    fn told_in(mut self, clock: Clock) -> Self {
        for point in &mut self.points {
            point.1 = clock.of_ns(point.1);
        }
        self
    }
}

/// Writes `bench-sendfile.svg` and `bench-sendfile.png`; their paths.
pub fn write(charts: &[Chart], caption: &str, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
        .map_err(|_| failed("the font that the kit carries cannot be read"))?;
    let svg = folder.join("bench-sendfile.svg");
    draw(
        &SVGBackend::new(&svg, SIZE).into_drawing_area(),
        charts,
        caption,
    )?;
    let png = folder.join("bench-sendfile.png");
    draw(
        &BitMapBackend::new(&png, SIZE).into_drawing_area(),
        charts,
        caption,
    )?;
    Ok(vec![svg, png])
}

fn failed(why: impl Display) -> Failure {
    Failure::infra("draw the plot", why.to_string())
        .help("`--out DIR` names another folder for it; the table is complete without")
}

fn draw<B: DrawingBackend>(
    sheet: &DrawingArea<B, Shift>,
    charts: &[Chart],
    caption: &str,
) -> Result<(), Failure> {
    sheet.fill(&WHITE).map_err(failed)?;
    let sheet = sheet.margin(12, 0, 0, 0);
    let title = "sendfile(2) from shared memory: SF_KQUEUE, SF_SYNC, and write(2)";
    let rest = sheet.titled(title, (FONT, 28)).map_err(failed)?;
    let rest = rest
        .titled(caption, (FONT, 16).into_font().color(&BLACK.mix(0.6)))
        .map_err(failed)?;
    let rows = charts.len().div_ceil(2).max(1);
    for (area, chart) in rest.split_evenly((rows, 2)).iter().zip(charts) {
        draw_chart(area, chart)?;
    }
    sheet.present().map_err(failed)
}

fn colour(method: Method) -> RGBColor {
    match method {
        Method::Kqueue => RGBColor(0, 114, 178),
        Method::Sync => RGBColor(213, 94, 0),
        Method::Write => RGBColor(90, 90, 90),
    }
}

/// Of a point's disc: where methods come to the same, each is seen.
fn radius(method: Method) -> i32 {
    match method {
        Method::Kqueue => 8,
        Method::Sync => 6,
        Method::Write => 4,
    }
}

fn draw_chart<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    chart: &Chart,
) -> Result<(), Failure> {
    let points = || chart.lines.iter().flat_map(|line| &line.points);
    let ends = |value: fn(&(f64, f64)) -> f64| {
        let values = || points().map(value).filter(|value| *value > 0.0);
        let least = values().fold(f64::INFINITY, f64::min);
        (least, values().fold(least, f64::max))
    };
    let ((left, right), (low, high)) = (ends(|point| point.0), ends(|point| point.1));
    let mut context = ChartBuilder::on(area)
        .caption(&chart.title, (FONT, 20))
        .margin(18)
        .x_label_area_size(50)
        .y_label_area_size(76)
        .build_cartesian_2d(
            (left / 1.3..right * 1.3).log_scale().base(2.0),
            (low / 1.6..high * 2.4).log_scale(),
        )
        .map_err(failed)?;
    context
        .configure_mesh()
        .x_desc(chart.x)
        .y_desc(&chart.y)
        .axis_desc_style((FONT, 17))
        .label_style((FONT, 15))
        .x_label_formatter(&|value| number(*value))
        .y_label_formatter(&|value| number(*value))
        .light_line_style(BLACK.mix(0.04))
        .bold_line_style(BLACK.mix(0.14))
        .draw()
        .map_err(failed)?;
    for line in &chart.lines {
        let colour = colour(line.method);
        let filled = if line.second {
            colour.stroke_width(2)
        } else {
            colour.filled()
        };
        context
            .draw_series(LineSeries::new(
                line.points.iter().copied(),
                colour.stroke_width(if line.second { 1 } else { 2 }),
            ))
            .map_err(failed)?
            .label(&line.name)
            .legend(move |(x, y)| {
                EmptyElement::at((x, y))
                    + PathElement::new([(0, 0), (24, 0)], colour.stroke_width(2))
                    + Circle::new((12, 0), 4, filled)
            });
        context
            .draw_series(PointSeries::of_element(
                line.points.iter().copied(),
                radius(line.method),
                filled,
                &|at, size, style| EmptyElement::at(at) + Circle::new((0, 0), size, style),
            ))
            .map_err(failed)?;
    }
    context
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .margin(8)
        .legend_area_size(34)
        .label_font((FONT, 15))
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .draw()
        .map_err(failed)
}

/// A number of an axis, no longer than need be.
fn number(value: f64) -> String {
    match value {
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}").replace(".0", ""),
        value => format!("{value:.3}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::{sample, setup};
    use super::*;

    fn cases() -> Vec<Case> {
        let rounds = [[8_000_000, 1_000_000, 9_000_000]];
        let mut many = setup(Pace::Rated(1), 16 << 10);
        many.sockets = 1024;
        let mut four = setup(Pace::Free, 64 << 10);
        four.workers = 4;
        vec![
            sample("bench/free-64", setup(Pace::Free, 64 << 10), &rounds),
            sample("bench/free-64-4k", setup(Pace::Free, 4 << 10), &rounds),
            sample("bench/free-64-own", four, &rounds),
            sample("bench/rated-1024", many, &rounds),
            sample("bench/rated-64", setup(Pace::Rated(1), 16 << 10), &rounds),
        ]
    }

    #[test]
    fn charts_hold_what_was_measured() {
        let charts = charts(&cases(), Clock::Instructions(8));
        let told: Vec<String> = charts
            .iter()
            .flat_map(|chart| {
                chart.lines.iter().map(move |line| {
                    let Line { name, points, .. } = line;
                    format!(
                        "{} | {} | {}: {name} {points:?}",
                        chart.title, chart.x, chart.y
                    )
                })
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
        assert!(super::charts(&[], Clock::Time).is_empty());
    }

    #[test]
    fn a_sheet_is_drawn_in_both_forms_without_the_systems_fonts() {
        let folder = tempfile::tempdir().unwrap();
        let charts = charts(&cases(), Clock::Time);
        let paths = write(&charts, "caption", folder.path()).unwrap();
        let svg = std::fs::read_to_string(&paths[0]).unwrap();
        assert!(svg.contains("sockets of one worker") && svg.contains("SF_KQUEUE"));
        let png = std::fs::read(&paths[1]).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000);
    }

    #[test]
    fn a_sheet_that_cannot_be_written_says_so() {
        let failure = write(&[], "", Path::new("/nonexistent")).unwrap_err();
        assert!(failure.in_one_line().contains("draw the plot"));
    }

    #[test]
    fn numbers_of_axes_are_short() {
        for (value, text) in [
            (1024.0, "1024"),
            (4.0, "4"),
            (2.5, "2.5"),
            (0.25, "0.25"),
            (0.125, "0.125"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
