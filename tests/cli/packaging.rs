//! What is packaged beside the command is what the command makes of itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Bench;

fn files(folder: &Path) -> BTreeMap<String, String> {
    let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (name(&entry), fs::read_to_string(entry.path()).unwrap())).collect()
}

/// When this fails: `sessctl man packaging/man`, and `sessctl completions bash > packaging/completions/sessctl.bash`, also for fish
/// and zsh.
#[test]
fn manual_pages_and_completions_are_current() {
    let bench = Bench::new();
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let made = tempfile::tempdir().unwrap();
    bench.run(&["man", made.path().to_str().unwrap()]).expect(0);
    let (made, kept) = (files(made.path()), files(&packaging.join("man")));
    assert_eq!(made.keys().collect::<Vec<_>>(), kept.keys().collect::<Vec<_>>());
    for (name, page) in &made {
        assert!(kept[name] == *page, "{name} is not current");
    }
    for shell in ["bash", "fish", "zsh"] {
        let made = bench.run(&["completions", shell]).expect(0).stdout;
        assert!(files(&packaging.join("completions"))[&format!("sessctl.{shell}")] == made, "{shell} is not current");
    }
    assert!(bench.run(&["man"]).expect(0).stdout.contains(".TH sessctl 1"));
}

#[test]
fn the_log_viewers_format_is_json() {
    let format = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/lnav/sesslog.json");
    let format: serde_json::Value = serde_json::from_str(&fs::read_to_string(format).unwrap()).unwrap();
    assert_eq!(format["sesslog_transcript"]["timestamp-field"], "ts");
}
