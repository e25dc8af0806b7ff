//! The binary as a user meets it, without a cluster: what it refuses, with which exit code, on which stream. With a cluster it is tested by
//! the drills in `chaos-tests`.

#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn cloudai(words: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_cloudai"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CLOUDAI_") {
            c.env_remove(name);
        }
    }
    // Nobody's own settings file.
    c.env("XDG_CONFIG_HOME", "/nonexistent").args(words).stdin(Stdio::null());
    c
}

fn run(words: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = cloudai(words).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn written(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn help_and_version_are_data_and_wrong_usage_is_talk() {
    let (code, out, err) = run(&["help", "exit-codes"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("124") && out.contains("--idempotency-key"), "{out}");
    let (code, out, _) = run(&["--version"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("cloudai "), "{out}");
    let (code, out, err) = run(&["job", "shw", "x"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("show"), "it suggests what was meant: {err}");
    let (code, out, _) = run(&["help", "job", "submit"]);
    assert_eq!(code, 0);
    assert!(out.contains("--idempotency-key"), "{out}");
}

#[test]
fn completion_scripts_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&["completion", shell]);
        assert_eq!(code, 0);
        assert!(out.contains("transfer-leader"), "{shell}");
    }
}

#[test]
fn what_watches_says_at_once_that_there_is_no_cluster() {
    for words in [&["top"][..], &["top", "--once"], &["cluster", "status", "--watch"], &["job", "watch", "abc", "abd"]]
    {
        let (code, out, err) = run(words);
        assert_eq!((code, out.as_str()), (6, ""), "{words:?}: {err}");
        assert!(err.contains("next:"), "{err}");
    }
}

#[test]
fn dead_tasks_are_not_chosen_by_leaving_a_word_out_and_mistakes_are_told_first() {
    for verb in ["replay", "drop"] {
        let (code, out, err) = run(&["dead", verb]);
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains("--all"), "{err}");
    }
    let (code, out, err) = run(&["dead", "replay", "abc/1", "--set", "colour=red"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("colour=red"), "{err}");
    let (code, _, err) = run(&["dead", "list", "--reason", "bad_luck"]);
    assert_eq!(code, 2);
    assert!(err.contains("out_of_memory"), "it lists the reasons: {err}");
}

#[test]
fn a_job_file_is_checked_without_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let good = written(dir.path(), "good.yaml", "image: busybox\ncommand: [echo, hi]\narray: 0-9\n");
    let (code, out, err) = run(&["job", "validate", "-f", &good]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let (code, out, _) = run(&["job", "validate", "-f", &good, "-o", "json"]);
    let v: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &v["valid"], &v["spec"]["count"]), (0, &true.into(), &10.into()));

    let unknown = written(dir.path(), "unknown.yaml", "image: busybox\nmemory: 32m\ncpus: 2\n");
    let (code, out, err) = run(&["job", "submit", "-f", &unknown]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("line 3") && err.contains("cpus"), "{err}");

    let torn = written(dir.path(), "torn.yaml", "image: [busybox\nname: x\n");
    let (code, _, err) = run(&["job", "submit", "-f", &torn]);
    assert_eq!(code, 2);
    assert!(err.contains("line"), "{err}");

    let (code, _, err) = run(&["job", "submit", "--name", "a b", "busybox"]);
    assert_eq!(code, 2);
    assert!(err.contains("name:"), "{err}");
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge.yaml");
    std::fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let (code, out, err) = run(&["job", "submit", "-f", path.to_str().unwrap(), "-o", "json"]);
    assert_eq!((code, out.as_str()), (2, ""));
    let v: serde_json::Value = serde_json::from_str(&err).unwrap();
    assert_eq!((&v["error"]["kind"], &v["error"]["exit_code"]), (&"too_large".into(), &2.into()));
}

#[test]
fn without_masters_or_identity_the_next_step_is_named() {
    let (code, _, err) = run(&["job", "list"]);
    assert_eq!(code, 6);
    assert!(err.contains("CLOUDAI_ADDR"), "{err}");
    let (code, _, err) = run(&["job", "list", "--addr", "127.0.0.1:9"]);
    assert_eq!(code, 4);
    assert!(err.contains("CLOUDAI_IDENTITY"), "{err}");
    let (code, _, err) = run(&["job", "list", "--addr", "127.0.0.1:9", "--identity", "/nonexistent"]);
    assert_eq!(code, 4);
    assert!(err.contains("/nonexistent"), "{err}");
    let (code, _, err) = run(&["job", "list", "--addr", "nowhere", "--identity", "/nonexistent"]);
    assert_ne!(code, 0, "{err}");
}

#[cfg(feature = "server")]
#[test]
fn masters_that_cannot_be_reached_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("c");
    let (code, out, err) = run(&["init", "--data-dir", root.to_str().unwrap(), "--name", "m1=127.0.0.1", "-o", "json"]);
    assert_eq!(code, 0, "{err}");
    let v: serde_json::Value = serde_json::from_str(&out).unwrap();
    let identity = v["admin_identity"].as_str().unwrap();
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let at = ["--addr", &address, "--identity", identity, "--retry", "300ms"];
    let (code, out, err) = run(&[&["job", "list"], &at[..]].concat());
    assert_eq!((code, out.as_str()), (6, ""));
    assert!(err.contains(&address), "{err}");
    // `run` keeps the task's codes free.
    let (code, _, _) = run(&[&["run", "busybox"], &at[..]].concat());
    assert_eq!(code, 125);
    // The three files may lie apart; nothing of them stays behind in the temporary folder.
    let tmp = dir.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let file = |name: &str| format!("{identity}/{name}");
    let (key, cert, ca) = (file("key.pem"), file("cert.pem"), file("ca.pem"));
    let apart = [
        "job",
        "list",
        "--addr",
        &address,
        "--client-key",
        &key,
        "--client-cert",
        &cert,
        "--cacert",
        &ca,
        "--retry",
        "300ms",
    ];
    let done = cloudai(&apart).env("TMPDIR", &tmp).output().unwrap();
    assert_eq!(done.status.code(), Some(6), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
    // Others may read the key: refused.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, err) = run(&[&["job", "list"], &at[..]].concat());
    assert_eq!(code, 4);
    assert!(err.contains("key.pem"), "{err}");
}

#[cfg(feature = "server")]
#[test]
fn dev_verbs_without_a_cluster_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let at = ["--data-dir", dir.path().to_str().unwrap()];
    for verb in [&["dev", "ps"][..], &["dev", "stop"], &["dev", "kill", "leader"], &["dev", "start", "--all"]] {
        let (code, out, err) = run(&[verb, &at[..]].concat());
        assert_eq!((code, out.as_str()), (3, ""), "{verb:?}: {err}");
        assert!(err.contains("cloudai dev --data-dir"), "{err}");
    }
}

#[cfg(feature = "server")]
#[test]
fn a_wrong_server_configuration_names_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(dir.path(), "m.toml", "name = \"m1\"\ndata_dir = \"d\"\nhtp_listen = \"x\"\n");
    let (code, _, err) = run(&["master", "--config", &file]);
    assert_eq!(code, 2);
    assert!(err.contains("line 3") && err.contains("htp_listen"), "{err}");
    let file = written(dir.path(), "w.toml", "data_dir = \"d\"\nmasters = [\"nowhere\"]\n");
    let (code, _, err) = run(&["worker", "--config", &file]);
    assert_eq!(code, 2);
    assert!(err.contains("nowhere"), "{err}");
    let (code, _, err) = run(&[
        "worker",
        "--data-dir",
        dir.path().to_str().unwrap(),
        "--masters",
        "127.0.0.1:9",
        "--join",
        "cloudai-join-v1.x",
    ]);
    assert_eq!(code, 2, "{err}");
    assert!(!err.contains("panicked"), "{err}");
}

#[test]
fn a_reader_that_leaves_is_no_error_to_talk_about() {
    let mut child = cloudai(&["completion", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Far more is coming than a pipe holds.
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    child.wait().unwrap();
    assert_eq!(err, "");
}

/// Three jobs on two processors: the first takes both, the second waits for it, the third is short.
const THREE_JOBS: &str = "\
{\"id\": 1, \"submit_s\": 0, \"run_s\": 100, \"processors\": 2}
{\"id\": 2, \"submit_s\": 10, \"run_s\": 90, \"processors\": 2, \"user\": \"b\"}
{\"id\": 3, \"submit_s\": 20, \"run_s\": 10}
";

#[test]
fn a_trace_is_replayed_without_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let trace = written(dir.path(), "three.jsonl", THREE_JOBS);
    let replay = |more: &[&str]| {
        let words = ["sim", "replay", "--trace", &trace, "--format", "jsonl", "--nodes", "2"];
        run(&[&words[..], more].concat())
    };
    let (code, out, err) = replay(&["--policy", "fcfs,sjf", "-o", "json"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let reports: serde_json::Value = serde_json::from_str(&out).unwrap();
    let of = |at: usize, path: &str| reports[at].pointer(path).cloned().unwrap();
    assert_eq!((of(0, "/policy"), of(1, "/policy")), ("fcfs".into(), "sjf".into()));
    // First come: waits of 0, 90 and 170 s. Shortest first: 0, 100 and 80 s.
    assert_eq!((of(0, "/wait_s/max"), of(1, "/wait_s/max")), (170.0.into(), 100.0.into()));
    assert_eq!((of(0, "/bounded_slowdown/mean"), of(1, "/bounded_slowdown/max")), (7.0.into(), 9.0.into()));
    assert_eq!((of(0, "/makespan_s"), of(1, "/jobs")), (200.0.into(), 3.into()));
    assert!(reports[0].get("cost").is_none(), "nobody has said what a node costs");
    // Two nodes for 200 s.
    let (_, priced, _) = replay(&["--policy", "fcfs", "-o", "json", "--price-per-node-hour", "13.5"]);
    let priced: serde_json::Value = serde_json::from_str(&priced).unwrap();
    assert_eq!(priced[0]["cost"], serde_json::json!({"total": 1.5, "per_job": 0.5}));
    let (_, table, _) = replay(&["--policy", "fcfs", "--price-per-node-hour", "13.5"]);
    assert!(table.ends_with("fcfs: costs 1.50, 0.5000 per job\n"), "{table}");
    let (code, _, err) = replay(&["--price-per-node-hour", "cheap"]);
    assert!(code == 2 && err.contains("'cheap' is no number"), "{err}");
    assert_eq!(replay(&["--policy", "fcfs,sjf", "-o", "json"]).1, out, "to the byte");
    let (_, table, _) = replay(&["--policy", "fcfs"]);
    assert!(table.starts_with("POLICY") && table.contains("170 s"), "{table}");
    let (_, csv, _) = replay(&["--policy", "fcfs", "-o", "csv"]);
    let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert_eq!((columns.len(), columns[0]), (2, columns[1]), "{csv}");
    assert!(csv.lines().nth(1).unwrap().starts_with("fcfs,easy,0,2,1,3,200,"), "{csv}");
    let (code, out, _) = replay(&["--policy", "fcfs", "--windows", "1", "--window-length", "2", "-o", "json"]);
    assert_eq!((code, out.contains("\"windows\": 1"), out.contains("\"jobs\": 2")), (0, true, true), "{out}");
}

#[test]
fn a_replay_draws_and_reports_and_repeats_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (svg, html, trace) = (path("p.svg"), path("r.html"), path("t.swf"));
    let made = run(&["sim", "generate", "--model", "lublin", "--jobs", "300", "--nodes", "64", "--out", &trace]);
    assert_eq!(made, (0, String::new(), String::new()));
    let (_, on_stdout, _) = run(&["sim", "generate", "--model", "lublin", "--jobs", "300", "--nodes", "64"]);
    assert_eq!(std::fs::read_to_string(&trace).unwrap(), on_stdout, "a file is what stdout would be");
    let words = ["sim", "replay", "--trace", &trace, "--policy", "fcfs,aged_area", "-o", "csv"];
    let (code, plain, err) = run(&words);
    assert_eq!((code, err.as_str()), (0, ""), "no bar in a pipe");
    let (code, out, err) = run(&[&words[..], &["--plot", &svg, "--report", &html, "--timings"]].concat());
    assert_eq!((code, out), (0, plain), "what is measured stands on stderr and in the page");
    assert_eq!(err.matches("a decision took").count(), 2, "{err}");
    let (svg, html) = (std::fs::read_to_string(svg).unwrap(), std::fs::read_to_string(html).unwrap());
    assert_eq!((svg.matches("class=\"point\"").count(), html.matches("class=\"point\"").count()), (2, 2));
    assert!(html.contains("How long one look at the queue took"), "{html}");
    let (code, _, err) = run(&[&words[..], &["--plot", &path("absent/p.svg")]].concat());
    assert!(code == 2 && err.contains("cannot be written"), "{err}");
}

#[test]
fn a_gpu_cluster_that_fills_is_drawn_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let nodes = written(dir.path(), "nodes.csv", "cpu_milli,memory_mib,gpu\n64000,262144,2\n64000,262144,2\n");
    let pods = "cpu_milli,memory_mib,num_gpu,gpu_milli\n1000,1024,1,600\n1000,1024,1,500\n1000,1024,1,1000\n";
    let pods = written(dir.path(), "pods.csv", pods);
    let (svg, html) = (path("p.svg"), path("r.html"));
    let words = ["sim", "replay", "--format", "openb", "--trace", &pods, "--node-list", &nodes];
    let more = ["--policy", "random,fgd", "--seeds", "2", "--plot", &svg, "--report", &html, "-o", "json"];
    let (code, out, err) = run(&[&words[..], &more].concat());
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let rows: serde_json::Value = serde_json::from_str(&out).unwrap();
    for row in rows.as_array().unwrap() {
        let of = |name: &str| row[name].as_f64().unwrap();
        assert!(of("gpu_allocation_at_130") + of("gpu_fragmentation_at_130") <= 100.0 + 1e-9, "{row}");
    }
    let (svg, html) = (std::fs::read_to_string(svg).unwrap(), std::fs::read_to_string(html).unwrap());
    assert_eq!((svg.matches("<polyline class=\"line\"").count(), html.matches("<polyline").count()), (4, 4));
    assert!(html.contains("fragmented at 100 %"), "{html}");
    let (code, _, err) = run(&[&words[..], &["--price-per-node-hour", "1"]].concat());
    assert!(code == 2 && err.contains("no hours to pay for"), "{err}");
}

#[test]
fn seeds_give_means_with_intervals() {
    let words = ["sim", "replay", "--generate", "poisson", "--jobs", "200", "--nodes", "4", "--seeds", "3"];
    let (code, table, err) = run(&words);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(table.lines().nth(1).unwrap().matches(" ± ").count(), 2, "{table}");
    let (_, out, _) = run(&[&words[..], &["-o", "json"]].concat());
    let reports: serde_json::Value = serde_json::from_str(&out).unwrap();
    let of = |path: &str| reports[0].pointer(path).and_then(serde_json::Value::as_f64).unwrap();
    assert_eq!((of("/seeds"), of("/jobs"), of("/over_seeds/jobs/mean")), (3.0, 600.0, 200.0));
    // Seeds have the same number of jobs: the mean over all jobs is the mean of the seeds' means.
    assert!((of("/wait_s/mean") - of("/over_seeds/wait_s_mean/mean")).abs() < 1e-6, "{out}");
    assert!(of("/over_seeds/wait_s_mean/ci95") > 0.0);
    let (_, csv, _) = run(&[&words[..], &["-o", "csv"]].concat());
    let columns: Vec<usize> = csv.lines().map(|line| line.split(',').count()).collect();
    assert_eq!((columns.len(), columns[0]), (2, columns[1]), "{csv}");
    let first =
        run(&["sim", "replay", "--generate", "poisson", "--jobs", "200", "--nodes", "4", "--seed", "2", "-o", "csv"]);
    assert!(first.0 == 0 && first.1 != csv);
}

#[test]
fn what_cannot_be_replayed_is_wrong_usage_and_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let good = written(dir.path(), "three.jsonl", THREE_JOBS);
    let torn = written(dir.path(), "torn.jsonl", "{\"id\": 1,\n");
    let replay = |trace: &str, more: &[&str]| {
        let (code, out, err) = run(&[&["sim", "replay", "--trace", trace, "--format", "jsonl"][..], more].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        err
    };
    for (said, err) in [
        ("--nodes N", replay(&good, &[])),
        ("choose from aged_area", replay(&good, &["--nodes", "2", "--policy", "magic"])),
        ("the weights are run, width", replay(&good, &["--nodes", "2", "--policy", "aged_area:depth=1"])),
        ("the same for every seed", replay(&good, &["--nodes", "2", "--seeds", "2"])),
        ("job 1 needs 2 processors", replay(&good, &["--nodes", "1"])),
        ("--window-length", replay(&good, &["--nodes", "2", "--windows", "2", "--window-length", "9"])),
        ("line 1", replay(&torn, &["--nodes", "2"])),
        ("cannot be opened", replay("absent.jsonl", &["--nodes", "2"])),
    ] {
        assert!(err.contains(said), "'{said}' is not in: {err}");
    }
}
