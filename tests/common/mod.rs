//! What several test files share.

#![allow(dead_code, unreachable_pub, reason = "every test file uses some of it")]

pub mod faulty;

use std::fs;
use std::path::{Path, PathBuf};

use sesslog::{Item, NewRecord, Session};

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a folder with its content, sorted by path.
pub fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push((entry.path(), fs::read(entry.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// A record whose body is the number, in an object that fills a line of some length.
pub fn numbered(number: u64) -> NewRecord {
    let filling = "x".repeat(usize::try_from(number * 37 % 200).unwrap());
    NewRecord::json(&format!(r#"{{"n":{number},"filling":"{filling}"}}"#)).unwrap()
}

/// The caller's bodies in order; a gap shows as `gap`.
pub fn bodies(session: &Session) -> Vec<String> {
    session.records().unwrap().filter_map(|item| body(&item.unwrap())).collect()
}

/// A caller's body, `gap`, or nothing for a mark.
pub fn body(item: &Item) -> Option<String> {
    match item {
        Item::Record(record) if record.is_mark() => None,
        Item::Record(record) => Some(record.body().to_owned()),
        _ => Some("gap".to_owned()),
    }
}
