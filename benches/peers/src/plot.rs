//! The rates of the appends as bars, each a multiple of SQLite's; readable on a light page and on a dark one.

use std::fmt::Write as _;

use crate::peers;
use crate::report::figure;

/// A group of bars: threads, and each peer's rate as a multiple of SQLite's.
pub(crate) type Group = (usize, Vec<(&'static str, f64)>);

const BAR: f64 = 17.0;
/// Between two groups, and left of the first, where the scale is.
const GAP: f64 = 44.0;
const TOP: f64 = 52.0;
const HEIGHT: f64 = 260.0;
const LEGEND_LINE: f64 = 20.0;
const LEGEND_COLUMNS: usize = 4;

/// One colour a peer, none so light or so dark that it is lost on a page. Ours stands out; kin have kindred colours.
fn colour(name: &str) -> &'static str {
    match name {
        peers::SESSLOG => "#e0452f",
        peers::PLAIN => "#7d8590",
        "padded" => "#a3a9b3",
        "whole-file rewrite" => "#5b626c",
        peers::SQLITE => "#2f6fd0",
        peers::SQLITE_GROUP => "#6ca4ee",
        "redb" => "#8f5fd0",
        "fjall" => "#b78ce0",
        "raft-engine" => "#2f9e5f",
        _ => "#7cc49a",
    }
}

/// The powers of ten that hold all values.
struct Scale {
    low: i32,
    high: i32,
}

impl Scale {
    fn of(groups: &[Group]) -> Self {
        let values = groups.iter().flat_map(|(_, bars)| bars).map(|(_, value)| value.log10());
        let values: Vec<_> = values.filter(|value| value.is_finite()).collect();
        let low = values.iter().copied().fold(0.0, f64::min).floor() as i32;
        Self { low, high: (values.iter().copied().fold(0.0, f64::max).ceil() as i32).max(low + 1) }
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        TOP + HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }
}

pub(crate) fn svg(groups: &[Group]) -> String {
    let scale = Scale::of(groups);
    let bars = groups.first().map_or(0, |(_, bars)| bars.len());
    let group_width = bars as f64 * BAR;
    let width = GAP + groups.len() as f64 * (group_width + GAP);
    let legend_top = TOP + HEIGHT + 48.0;
    let height = legend_top + bars.div_ceil(LEGEND_COLUMNS) as f64 * LEGEND_LINE;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0} {height:.0}" font-family="system-ui, sans-serif">
<style>
text {{ fill: #1f2328; font-size: 12px }} .small {{ font-size: 9px }} .title {{ font-size: 14px; font-weight: 600 }}
.grid {{ stroke: #1f2328; stroke-opacity: 0.15 }} .one {{ stroke: #1f2328; stroke-opacity: 0.7 }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .grid, .one {{ stroke: #e6edf3 }} }}
</style>
<title>Durable appends a second, as multiples of those of SQLite</title>
<text class="title" x="{GAP}" y="20">Durable appends a second, as multiples of {}'s (logarithmic)</text>
"#,
        peers::SQLITE
    );
    let mut put = |line: String| writeln!(svg, "{line}").expect("a string takes what it is given");
    for power in scale.low..=scale.high {
        let value = 10_f64.powi(power);
        let (y, class) = (scale.y(value), if power == 0 { "one" } else { "grid" });
        put(format!(r#"<line class="{class}" x1="{GAP}" x2="{width:.0}" y1="{y:.1}" y2="{y:.1}"/>"#));
        put(format!(r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{value}</text>"#, GAP - 6.0, y + 4.0));
    }
    for (at, (threads, bars)) in groups.iter().enumerate() {
        let left = GAP + GAP / 2.0 + at as f64 * (group_width + GAP);
        for (at, (name, value)) in bars.iter().enumerate() {
            put(bar(&scale, left + at as f64 * BAR, name, *value));
        }
        let what =
            if *threads == 1 { "1 session, 1 thread".to_owned() } else { format!("{threads} sessions and threads") };
        let middle = left + group_width / 2.0;
        put(format!(r#"<text x="{middle:.1}" y="{:.1}" text-anchor="middle">{what}</text>"#, TOP + HEIGHT + 20.0));
    }
    for (at, (name, _)) in groups.iter().take(1).flat_map(|(_, bars)| bars).enumerate() {
        let x = GAP + (at % LEGEND_COLUMNS) as f64 * (width - GAP) / LEGEND_COLUMNS as f64;
        let y = legend_top + (at / LEGEND_COLUMNS) as f64 * LEGEND_LINE;
        put(format!(r#"<rect x="{x:.1}" y="{:.1}" width="11" height="11" fill="{}"/>"#, y - 10.0, colour(name)));
        put(format!(r#"<text x="{:.1}" y="{y:.1}">{name}</text>"#, x + 16.0));
    }
    svg.push_str("</svg>\n");
    svg
}

/// From the line of SQLite up or down to the value, which stands beside it.
fn bar(scale: &Scale, x: f64, name: &str, value: f64) -> String {
    let (one, end) = (scale.y(1.0), scale.y(value));
    // Of a value of one there is still something to see.
    let (top, height) = (one.min(end), (one - end).abs().max(1.5));
    let text = top - 4.0;
    format!(
        r#"<rect x="{:.1}" y="{top:.1}" width="{:.1}" height="{height:.1}" fill="{}"><title>{name}: {}</title></rect>
<text class="small" transform="translate({:.1} {text:.1}) rotate(-90)">{}</text>"#,
        x + 1.0,
        BAR - 2.0,
        colour(name),
        figure(value),
        x + BAR / 2.0 + 3.0,
        figure(value)
    )
}
