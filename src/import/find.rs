//! The files below the paths that were named. Nothing is changed by looking, not even the times of a folder where the system allows
//! that.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use crate::fs::{FileKind, Fs as _, OsFs, PathError};
use crate::import::finding::{Finding, FindingKind};
use crate::import::lines::failed;

/// What is below the paths.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order of the paths, those of a folder by name.
    pub(crate) files: Vec<File>,
    pub(crate) findings: Vec<Finding>,
    /// Files in folders that no system wants.
    pub(crate) passed_over: u64,
}

/// A file that may be a source.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Where it is, spelled as the path was given.
    pub(crate) path: PathBuf,
    /// The same without symbolic links.
    pub(crate) resolved: PathBuf,
}

/// Looks below the paths for files that are wanted by their names; what was named itself is wanted.
pub(crate) fn find(paths: &[PathBuf], is_wanted: &dyn Fn(&str) -> bool) -> Found {
    let mut found = Found::default();
    let mut seen = HashSet::new();
    for path in paths {
        // What was named may be a link; what is in it may not.
        let resolved = match path.canonicalize().map_err(failed("open", path)) {
            Ok(resolved) => resolved,
            Err(error) => {
                found.findings.push(Finding::new(path, FindingKind::Unreadable(error)));
                continue;
            }
        };
        let mut folders = Vec::new();
        found.look(&mut seen, &mut folders, (path.clone(), resolved), true, is_wanted);
        while let Some((path, resolved)) = folders.pop() {
            match names(&resolved) {
                Ok(mut names) => {
                    names.sort();
                    let mut below = Vec::new();
                    for name in names {
                        let both = (path.join(&name), resolved.join(&name));
                        found.look(&mut seen, &mut below, both, false, is_wanted);
                    }
                    folders.extend(below.into_iter().rev());
                }
                Err(source) => {
                    let error = PathError { operation: "list", path: path.clone(), source: source.into() };
                    found.findings.push(Finding::new(path, FindingKind::Unreadable(error)));
                }
            }
        }
    }
    found
}

impl Found {
    fn look(
        &mut self,
        seen: &mut HashSet<PathBuf>,
        folders: &mut Vec<(PathBuf, PathBuf)>,
        (path, resolved): (PathBuf, PathBuf),
        is_named: bool,
        is_wanted: &dyn Fn(&str) -> bool,
    ) {
        let finding = match OsFs.stat(&resolved) {
            // Two of the paths may lead to one file.
            Ok(_) if !seen.insert(resolved.clone()) => return,
            Ok(stat) if stat.kind == FileKind::Directory => return folders.push((path, resolved)),
            Ok(_) if is_link(&resolved) => FindingKind::SymbolicLink,
            Ok(stat) => {
                let name = resolved.file_name().unwrap_or_default().to_string_lossy();
                if !is_named && !is_wanted(&name) {
                    self.passed_over = self.passed_over.saturating_add(1);
                    return;
                }
                if stat.kind == FileKind::Regular {
                    return self.files.push(File { path, resolved });
                }
                FindingKind::NotAFile
            }
            Err(source) => {
                FindingKind::Unreadable(PathError { operation: "stat", path: path.clone(), source: source.into() })
            }
        };
        self.findings.push(Finding::new(path, finding));
    }
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink())
}

/// Lists a folder. Names are bytes: a source is not ours to call well named.
fn names(folder: &Path) -> std::io::Result<Vec<OsString>> {
    use rustix::fs::{Dir, Mode, OFlags, open};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    #[cfg(target_os = "linux")]
    let opened = open(folder, flags | OFlags::NOATIME, Mode::empty()).or_else(|_| open(folder, flags, Mode::empty()));
    #[cfg(not(target_os = "linux"))]
    let opened = open(folder, flags, Mode::empty());
    let mut names = Vec::new();
    for entry in Dir::new(opened?)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    Ok(names)
}
