//! What the fuzz targets share: an oracle, a disk in memory, and the checks that hold for every file.
//!
//! A target hands its input to a store on a [`sesslog::sim::SimFs`] and panics when a promise is broken. It compares the crate
//! with [`forge`], which was written from `src/format.md` alone: a bug has to be made twice to be missed.

pub mod forge;

pub mod disk;

pub mod look;

pub mod memory;
