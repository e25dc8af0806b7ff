//! Tests derived from CVEs of other systems, for files that somebody else wrote. Each carries the name that `docs/security-tests.md`
//! lists with its CVE.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A debug binary starts in some ten milliseconds; a bomb takes minutes, or all memory.
const LIMIT: Duration = Duration::from_secs(10);

/// The exit code of `job validate` on this text, and what it said.
fn validate(what: &str, text: &str) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("job.yaml");
    std::fs::write(&path, text).unwrap();
    let began = Instant::now();
    // Memory is bounded too: a bomb that allocates is ended by the kernel, with a signal.
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -v 2000000; exec \"$0\" job validate -f \"$1\"", env!("CARGO_BIN_EXE_cloudai")])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if began.elapsed() > LIMIT {
            child.kill().unwrap();
            panic!("{what} is still being read after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    (status.code().unwrap_or_else(|| panic!("{what} ended it by a signal: {status}, {said}")), said)
}

#[test]
fn parse_cpu_bomb() {
    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for i in 1..30 {
        let before = format!("*a{}", i - 1);
        laughs += &format!("a{i}: &a{i} [{}]\n", vec![before; 9].join(", "));
    }
    let command = format!("command: &c [{}]\n", ["x"; 9].join(", "));
    let bombs = [
        ("aliases of aliases", format!("{laughs}image: x\ncommand: *a29\n")),
        ("an alias in the fields", format!("image: x\n{command}env: {{A: *c}}\n")),
        ("merge keys", format!("{}image: x\n", "<<: {".repeat(5_000))),
        ("deep lists", format!("image: x\ncommand: {}", "[".repeat(300_000))),
        ("deep maps", format!("image: x\nenv: {}", "{a: ".repeat(200_000))),
        ("deep JSON", format!("{{\"image\": {}", "[{\"a\":".repeat(100_000))),
        ("deep blocks", (0..1_200).map(|i| format!("{}a:\n", " ".repeat(i))).collect()),
        ("a long key", format!("{}: x\nimage: x\n", "k".repeat(900_000))),
        ("many documents", "---\nimage: x\n".repeat(60_000)),
        ("many anchors", (0..50_000).map(|i| format!("- &x{i} y\n")).collect()),
        ("a tag", "!!python/object/apply:os.system [touch /tmp/owned]\n".into()),
        ("a long number", format!("image: x\npriority: {}\n", "9".repeat(500_000))),
    ];
    for (what, text) in bombs {
        let (code, said) = validate(what, &text);
        assert_eq!(code, 2, "{what}: {said}");
        assert!(
            !said.contains("panicked") && said.len() < 20_000,
            "{what}: {}",
            said.chars().take(500).collect::<String>()
        );
    }
    // What an honest file needs still works.
    let (code, said) = validate("an honest file", "image: x\ncommand: [a, b]\nenv: {A: b}\n");
    assert_eq!(code, 0, "{said}");
}
