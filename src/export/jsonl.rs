//! Bodies, one a line. Of the active view the summary comes first, as `{"summary":...}`.

use std::io::Write;

use crate::export::ExportError;
use crate::export::taken::{Source, Step};

pub(super) fn write(source: &mut Source, out: &mut dyn Write) -> Result<(), ExportError> {
    source.with_marks = false;
    while let Some(step) = source.step()? {
        match step {
            Step::Record(taken) => {
                out.write_all(taken.body().as_bytes())?;
                out.write_all(b"\n")?;
            }
            Step::Summary { json, .. } => writeln!(out, "{{\"summary\":{json}}}")?,
            Step::Gap(_) => {}
        }
    }
    Ok(())
}
