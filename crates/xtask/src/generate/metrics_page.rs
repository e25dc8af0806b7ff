//! docs/metrics.md. Comes in: the table of metrics. Goes out: the same, for people.

use std::fmt::Write as _;

use cloudai_telemetry::names::ALL;

const HEAD: &str = "\
# Metrics

Made by `cargo xtask generate` from the table in `crates/cloudai-telemetry/src/names.rs`, which registries, dashboards and alerts share. How to
collect them: [monitoring.md](monitoring.md).

Beside these each process has Prometheus's own `process_…`: CPU, memory, open files, start. A histogram has series with `_bucket`, `_sum` and `_count`. No label
grows without bound: none is a task, a job, a user or an image. What the leader exports of the cluster is on its page alone, so ask `max` of it and not `sum`;
counters and histograms of the leader stay with the process that counted, so `sum` is right for those.
";

pub fn text() -> String {
    let mut out = HEAD.to_owned();
    for (title, metrics) in ALL {
        let _ = write!(out, "\n## {title}\n\n| metric | kind | labels | |\n|---|---|---|---|\n");
        for m in metrics {
            let labels = m.labels.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
            let _ = writeln!(out, "| `{}` | {} | {labels} | {} |", m.name, m.kind.name(), m.help);
        }
    }
    out
}
