//! Plots: charts on one sheet, with logarithmic axes, as SVG and PNG.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use kdk_core::failure::Failure;

/// The name of the font in the drawing crate.
const FONT: &str = "sans-serif";

/// A sheet of charts.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// The title of all charts.
    pub title: &'static str,
    /// What was measured, and on which machine.
    pub caption: String,
    /// The size of the PNG in pixels.
    pub size: (u32, u32),
    /// The number of charts side by side.
    pub columns: usize,
    /// The charts, row by row.
    pub charts: Vec<Chart>,
}

/// A chart with logarithmic axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// The title of the chart.
    pub title: String,
    /// The name of the horizontal axis, whose steps are powers of two.
    pub x: &'static str,
    /// The name of the vertical axis.
    pub y: String,
    /// The place of the legend, where no line is.
    pub legend: Legend,
    /// The lines to draw.
    pub lines: Vec<Line>,
}

/// The place of a legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Legend {
    /// At the top, on the left.
    Top,
    /// Half way up, on the left.
    Middle,
}

/// A line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The name in the legend.
    pub name: String,
    /// How it looks.
    pub look: Look,
    /// Whether its points are rings instead of discs.
    pub hollow: bool,
    /// The points, in the order in which they are joined.
    pub points: Vec<(f64, f64)>,
}

/// The colour and size of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The variant that the study is about: blue, with large discs that are
    /// visible below others.
    Subject,
    /// The variant that it is compared with: red.
    Rival,
    /// Another variant: grey, with small discs.
    Other,
}

impl Look {
    fn colour(self) -> RGBColor {
        match self {
            Self::Subject => RGBColor(0, 114, 178),
            Self::Rival => RGBColor(213, 94, 0),
            Self::Other => RGBColor(90, 90, 90),
        }
    }

    /// Returns the radius of a point's disc.
    fn radius(self) -> i32 {
        match self {
            Self::Subject => 8,
            Self::Rival => 6,
            Self::Other => 4,
        }
    }
}

impl Sheet {
    /// Writes `NAME.svg` and `NAME.png`, and returns their paths.
    ///
    /// # Errors
    /// Fails when a file cannot be written.
    pub fn write(&self, folder: &Path, name: &str) -> Result<Vec<PathBuf>, Failure> {
        register_font(FONT, FontStyle::Normal, dejavu::sans::regular())
            .map_err(|_| failed("the built-in font cannot be read"))?;
        let svg = folder.join(format!("{name}.svg"));
        self.draw(&SVGBackend::new(&svg, self.size).into_drawing_area())?;
        let png = folder.join(format!("{name}.png"));
        self.draw(&BitMapBackend::new(&png, self.size).into_drawing_area())?;
        Ok(vec![svg, png])
    }

    fn draw<B: DrawingBackend>(&self, sheet: &DrawingArea<B, Shift>) -> Result<(), Failure> {
        sheet.fill(&WHITE).map_err(failed)?;
        let sheet = sheet.margin(12, 0, 0, 0);
        let rest = sheet.titled(self.title, (FONT, 28)).map_err(failed)?;
        let small = (FONT, 16).into_font().color(&BLACK.mix(0.6));
        let rest = rest.titled(&self.caption, small).map_err(failed)?;
        let rows = self.charts.len().div_ceil(self.columns).max(1);
        let areas = rest.split_evenly((rows, self.columns));
        for (area, chart) in areas.iter().zip(&self.charts) {
            draw_chart(area, chart)?;
        }
        sheet.present().map_err(failed)
    }
}

fn failed(why: impl Display) -> Failure {
    Failure::infra("draw the plot", why.to_string())
        .help("the table is complete; use `--out DIR` to write the plot to another folder")
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
        let colour = line.look.colour();
        let filled = if line.hollow {
            colour.stroke_width(2)
        } else {
            colour.filled()
        };
        context
            .draw_series(LineSeries::new(
                line.points.iter().copied(),
                colour.stroke_width(if line.hollow { 1 } else { 2 }),
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
                line.look.radius(),
                filled,
                &|at, size, style| EmptyElement::at(at) + Circle::new((0, 0), size, style),
            ))
            .map_err(failed)?;
    }
    context
        .configure_series_labels()
        .position(match chart.legend {
            Legend::Top => SeriesLabelPosition::UpperLeft,
            Legend::Middle => SeriesLabelPosition::MiddleLeft,
        })
        .margin(8)
        .legend_area_size(34)
        .label_font((FONT, 15))
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .draw()
        .map_err(failed)
}

/// Returns a short form of a number on an axis.
fn number(value: f64) -> String {
    match value {
        value if value >= 8192.0 && (value as u64).is_power_of_two() => {
            format!("{}Ki", value as u64 >> 10)
        }
        value if value >= 1e9 => format!("{:.0}G", value / 1e9),
        value if value >= 1e6 => format!("{:.0}M", value / 1e6),
        value if value >= 1e4 => format!("{:.0}k", value / 1e3),
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}").replace(".0", ""),
        value => format!("{value:.3}").trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet(charts: Vec<Chart>) -> Sheet {
        Sheet {
            title: "title",
            caption: "caption".into(),
            size: (1500, 1060),
            columns: 2,
            charts,
        }
    }

    #[test]
    fn a_sheet_is_drawn_in_both_forms_without_the_systems_fonts() {
        let folder = tempfile::tempdir().unwrap();
        let looks = [Look::Subject, Look::Rival, Look::Other];
        let chart = Chart {
            title: "one".into(),
            x: "buckets",
            y: "instructions".into(),
            legend: Legend::Top,
            lines: looks
                .map(|look| Line {
                    name: format!("{look:?}"),
                    look,
                    hollow: look == Look::Other,
                    points: vec![(1.0, 5.0), (1024.0, 9000.0)],
                })
                .to_vec(),
        };
        let sheet = sheet(vec![chart.clone(), chart.clone(), chart]);
        let paths = sheet.write(folder.path(), "bench-x").unwrap();
        assert!(paths[0].ends_with("bench-x.svg") && paths[1].ends_with("bench-x.png"));
        let svg = std::fs::read_to_string(&paths[0]).unwrap();
        for text in ["title", "caption", "buckets", "instructions", "Rival"] {
            assert!(svg.contains(text), "{text}");
        }
        let png = std::fs::read(&paths[1]).unwrap();
        assert!(png.starts_with(b"\x89PNG") && png.len() > 10_000);
    }

    #[test]
    fn a_sheet_that_cannot_be_written_says_so() {
        let failure = sheet(Vec::new())
            .write(Path::new("/nonexistent"), "x")
            .unwrap_err();
        assert!(failure.in_one_line().contains("draw the plot"));
    }

    #[test]
    fn numbers_of_axes_are_short() {
        for (value, text) in [
            (1e9, "1G"),
            (1e7, "10M"),
            (1e4, "10k"),
            (65536.0, "64Ki"),
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
