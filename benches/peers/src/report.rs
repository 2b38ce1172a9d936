//! Tables, printed as markdown as soon as they are known.

use std::fmt::Write as _;

use crate::stats::Spread;

/// One table of the report.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    /// What was measured, and how.
    note: String,
    head: Vec<String>,
    lines: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, note: impl Into<String>, head: &[&str]) -> Self {
        let head = head.iter().map(ToString::to_string).collect();
        Self { title: title.into(), note: note.into(), head, lines: Vec::new() }
    }

    pub(crate) fn line(&mut self, cells: impl IntoIterator<Item = String>) {
        self.lines.push(cells.into_iter().collect());
    }

    /// The table as markdown; its first column is text, the others are figures.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n{}\n\n", self.title, self.note);
        let columns = self.head.len();
        let widths: Vec<_> = (0..columns).map(|at| self.width(at)).collect();
        let mut row = |cells: &[String]| {
            for (at, width) in widths.iter().enumerate() {
                let cell = cells.get(at).map_or("", String::as_str);
                let fill = " ".repeat(width - cell.chars().count());
                let (before, after) = if at == 0 { ("", fill.as_str()) } else { (fill.as_str(), "") };
                write!(text, "| {before}{cell}{after} ").expect("a string takes what it is given");
            }
            text.push_str("|\n");
        };
        row(&self.head);
        let rule =
            |(at, width): (usize, &usize)| if at == 0 { "-".repeat(*width) } else { "-".repeat(width - 1) + ":" };
        row(&widths.iter().enumerate().map(rule).collect::<Vec<_>>());
        for line in &self.lines {
            row(line);
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.lines.iter().filter_map(|line| line.get(column));
        cells.chain(self.head.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
    }
}

/// Three digits that matter: `12300`, `12.3`, `0.0123`.
pub(crate) fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let exponent = value.abs().log10().floor() as i32;
    let unit = 10_f64.powi(exponent - 2);
    let rounded = (value / unit).round() * unit;
    let decimals = usize::try_from(2 - exponent).unwrap_or(0);
    format!("{rounded:.decimals$}")
}

pub(crate) fn seconds(value: f64) -> String {
    match value {
        value if !value.is_finite() => "-".to_owned(),
        value if value < 1e-3 => format!("{} us", figure(value * 1e6)),
        value if value < 1.0 => format!("{} ms", figure(value * 1e3)),
        value => format!("{} s", figure(value)),
    }
}

/// A ratio: `x1.23`.
pub(crate) fn times(value: f64) -> String {
    if value.is_finite() { format!("x{}", figure(value)) } else { "-".to_owned() }
}

pub(crate) fn percent(value: f64) -> String {
    if value.is_finite() { format!("{:.0} %", value * 100.0) } else { "-".to_owned() }
}

/// A median and the middle half around it, in seconds.
pub(crate) fn spread_of_seconds(spread: &Spread) -> [String; 2] {
    let (low, high) = spread.quartiles;
    [seconds(spread.median), format!("{} to {}", seconds(low), seconds(high))]
}
