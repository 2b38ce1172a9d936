//! The house rules that no compiler checks: modules use only those above them, `unsafe` stands in one file, sources are
//! ASCII and of a readable size, and only `src/fs/os.rs` touches `std::fs`.

use std::fs;
use std::path::{Path, PathBuf};

/// Ground floor first. A module may use those before it.
const ORDER: &[&str] = &[
    "format",
    "sync",
    "parallel",
    "timestamp",
    "key",
    "frame",
    "map",
    "fs",
    "atomic",
    "mark",
    "status",
    "record",
    "header",
    "damage",
    "lock",
    "layout",
    "error",
    "telemetry",
    "future",
    "registry",
    "resume",
    "transcript",
    "index",
    "store",
    "finding",
    "verify",
    "search",
    "rebuild",
    "repair",
    "fork",
    "trash",
    "restore",
    "prune",
    "import",
    "export",
    "stats",
    "quarantine",
    "doctor",
    "sim",
    "lib",
    "bin",
];

fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "md") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root.join("src")).unwrap().to_owned(), text));
            }
        }
    }
    assert!(found.len() > 30, "only {} files found", found.len());
    found
}

/// The module that a file belongs to: its first folder or its stem.
fn module(path: &Path) -> String {
    path.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

#[test]
fn a_module_uses_only_those_above_it() {
    for (path, text) in sources().iter().filter(|(path, _)| path.extension().is_some_and(|extension| extension == "rs"))
    {
        let module = module(path);
        let own = rank(&module).unwrap_or_else(|| panic!("{module} is not in the order"));
        for (line, number) in text.lines().zip(1..) {
            let code = line.split("//").next().unwrap_or_default();
            for used in code.split("crate::").skip(1) {
                let name: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                if let Some(used) = rank(&name) {
                    assert!(used <= own, "{}:{number}: {module} uses {name}, which stands below it", path.display());
                }
            }
        }
    }
}

#[test]
fn sources_are_plain_and_small() {
    for (path, text) in sources() {
        assert!(text.is_ascii(), "{} is not ASCII", path.display());
        assert!(text.lines().count() <= 600, "{} wants a room of its own for something", path.display());
        let name = path.to_string_lossy();
        let code = || text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        assert!(name == "map.rs" || name == "format.md" || !code().contains("unsafe {"), "{name} is unsafe");
        assert!(
            name == "fs/os.rs" || name == "map.rs" || name.starts_with("bin") || !code().contains("std::fs::"),
            "{name} uses std::fs"
        );
    }
}
