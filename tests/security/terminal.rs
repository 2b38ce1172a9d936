//! What strangers wrote - keys, titles, bodies, file names, the text of a lock - is shown to a terminal and never obeyed by it.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use sesslog::{NewRecord, Store};

use crate::{forge, sessctl, transcript};

/// Begin a command or end a line, in 7 and in 8 bits; hide or reorder text.
const HARMFUL: [&str; 9] = [
    "\u{1b}[2J",
    "\u{1b}]0;title\u{7}",
    "\u{9b}2J",
    "\u{9d}0;t\u{9c}",
    "\u{7f}",
    "\r",
    "\u{8}",
    "\u{202e}",
    "\u{2066}",
];

fn is_harmful(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n' || "\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}".contains(c))
}

/// Runs with a terminal as standard output and error, and returns all that it was sent.
fn on_a_terminal(store: &Path, args: &[&str]) -> String {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let open = || fs::OpenOptions::new().read(true).write(true).open(&name).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sessctl"));
    command.env("NO_COLOR", "1").env("TERM", "xterm").arg("--store").arg(store).args(args);
    let mut child = command.stdin(std::process::Stdio::null()).stdout(open()).stderr(open()).spawn().unwrap();
    // Else this process keeps the terminal open, and the read below never ends.
    drop(command);
    let reader = std::thread::spawn(move || {
        let (mut bytes, mut master) = (Vec::new(), fs::File::from(master));
        // The end of a terminal is an error.
        master.read_to_end(&mut bytes).ok();
        bytes
    });
    child.wait().unwrap();
    // The terminal itself makes the newline two bytes.
    String::from_utf8(reader.join().unwrap()).unwrap().replace("\r\n", "\n")
}

#[test]
fn nothing_of_a_key_a_title_or_a_body_reaches_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let key = format!("k{}", HARMFUL.concat());
    let body = serde_json::to_string(&HARMFUL.concat()).unwrap();
    // JSON text may hold DEL, C1 and marks of direction as they are.
    assert!(body.contains('\u{9b}') && body.contains('\u{7f}'));
    let opened = Store::open(&store).unwrap();
    opened.session(&key).unwrap().append(NewRecord::json(&body).unwrap().id("\u{9b}2J").unwrap()).unwrap();
    opened.close().unwrap();
    // A title, and a body that is no JSON, by another program.
    let (text, seed, prev) = forge::transcript("titled", &[&body]);
    let title = forge::line(seed, (2, 1, prev), "mark", &format!(r#"{{"mark":"title","title":{body}}}"#));
    let raw = forge::line(seed, (3, 2, forge::stored(&title)), "message", "\u{1b}[2J\u{9b}2J");
    fs::write(transcript(&store, "titled", 1), format!("{text}{title}{raw}")).unwrap();
    // Damage and a torn tail, so that there are findings that name the key.
    let torn = transcript(&store, &key, 1);
    fs::write(&torn, [&fs::read(&torn).unwrap()[..], b"{\"seq\":2"].concat()).unwrap();
    let commands: [&[&str]; 14] = [
        &["list"],
        &["--json", "list"],
        &["info", &key],
        &["--json", "info", &key],
        &["info", "titled"],
        &["show", &key],
        &["show", "--frames", "--marks", "titled"],
        &["--json", "show", "--frames", &key],
        &["tail", "-n", "5", "titled"],
        &["verify", "--deep"],
        &["--json", "verify", "--deep"],
        &["show", "absent\u{1b}[2J\u{9b}"],
        &["repair", &key],
        &["rebuild-index"],
    ];
    for args in commands {
        let shown = on_a_terminal(&store, args);
        assert!(!shown.is_empty() && !is_harmful(&shown), "{args:?}: {shown:?}");
    }
    // The same value to a program, and the same bytes.
    let shown = on_a_terminal(&store, &["show", &key]);
    assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), HARMFUL.concat());
    assert_eq!(sessctl(&store, &["show", &key]).stdout, format!("{body}\n"));
}

#[test]
fn nothing_of_a_file_name_or_of_a_lock_reaches_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    crate::filled(&store, "k", 1);
    let hash = "0123456789abcdef0123456789abcdef";
    for harmful in HARMFUL {
        // All that is asked of a transcript's name is its end.
        fs::write(store.join("transcripts").join(format!("{harmful}~{hash}.1.jsonl")), "x\n").unwrap();
    }
    fs::write(store.join("transcripts").join(format!("header~{hash}.1.jsonl")), forge::header(&HARMFUL.concat(), 1))
        .unwrap();
    for args in [&["list"][..], &["verify"], &["rebuild-index", "--dry-run"], &["rebuild-index"], &["--json", "verify"]]
    {
        let shown = on_a_terminal(&store, args);
        assert!(shown.contains(hash) && !is_harmful(&shown), "{args:?}: {shown:?}");
        let piped = sessctl(&store, args);
        let piped = if args[0] == "--json" { piped.stderr } else { piped.stdout + &piped.stderr };
        assert!(!is_harmful(&piped), "{args:?}, to a pipe: {piped:?}");
    }
    // Who holds a lock says so itself.
    let opened = Store::open(&store).unwrap();
    opened.session("k").unwrap().append(NewRecord::new(&2).unwrap()).unwrap();
    let lock = crate::lock_file(&store, "k");
    let host = serde_json::to_string(&HARMFUL.concat()).unwrap();
    fs::write(&lock, format!(r#"{{"pid":1,"host":{host},"since":"2026-11-22T08:15:30.123Z"}}"#)).unwrap();
    let shown = on_a_terminal(&store, &["repair", "k"]);
    assert!(shown.contains("process 1 on") && !is_harmful(&shown), "{shown:?}");
    let holder = opened.session("k").unwrap();
    drop((holder, opened));
}
