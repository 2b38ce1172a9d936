//! One session's file: walking and judging it, reading it, recovering it, writing to it.

pub(crate) mod backward;
pub(crate) mod edge;
pub(crate) mod first_line;
pub(crate) mod ids;
pub(crate) mod padding;
pub(crate) mod reader;
pub(crate) mod recover;
pub(crate) mod scan;
pub(crate) mod seek;
pub(crate) mod source;
pub(crate) mod trail;
pub(crate) mod whole;
pub(crate) mod writer;
