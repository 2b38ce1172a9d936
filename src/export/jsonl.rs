//! Bodies, one a line. Of the active view the summary comes first, as `{"summary":...}`.

use std::io::Write;

use crate::export::ExportError;
use crate::export::taken::{Source, Step};

pub(super) fn write(source: &mut Source, out: &mut dyn Write) -> Result<(), ExportError> {
    while let Some(step) = source.step()? {
        match step {
            Step::Record(taken) if taken.mark.is_none() => {
                out.write_all(taken.body().as_bytes())?;
                out.write_all(b"\n")?;
            }
            Step::Summary { json, .. } => writeln!(out, "{{\"summary\":{json}}}")?,
            Step::Record(_) | Step::Gap(_) => {}
        }
    }
    Ok(())
}
