//! Rows of cells on standard output, in columns.

use std::io::IsTerminal as _;

use crate::outcome::Failure;
use crate::render::Output;

/// Prints rows in columns as wide as their widest cell, without blanks at the end of a line.
///
/// The columns named in `right` hold numbers. Cells are printed as they are: whoever makes them has escaped them.
pub(crate) fn print<const N: usize>(
    header: [&str; N],
    right: &[usize],
    rows: Vec<[String; N]>,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut table = Vec::with_capacity(rows.len().saturating_add(1));
    // A program that reads the lines wants no header.
    if std::io::stdout().is_terminal() && !rows.is_empty() {
        table.push(header.map(ToOwned::to_owned));
    }
    table.extend(rows);
    let mut widths = [0; N];
    for row in &table {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &table {
        output.line(line(row, &widths, right).as_bytes())?;
    }
    Ok(())
}

fn line(row: &[String], widths: &[usize], right: &[usize]) -> String {
    let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
        if right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
    });
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let row = |cells: [&str; 3]| cells.map(ToOwned::to_owned);
        assert_eq!(line(&row(["a", "7", ""]), &[3, 2, 9], &[1]), "a     7");
        assert_eq!(line(&row(["a\u{e9}c", "17", "x"]), &[3, 2, 9], &[1]), "a\u{e9}c  17  x");
    }
}
