//! What a machine or a task used: for each quantity its now, mean and maximum, and how it went.

use std::io::{self, Write};

use cloudai_proto::v1::usage_series::Quantity;
use cloudai_proto::v1::{UsagePoint, UsageSeries, WorkerHistoryReply};
use cloudai_types::AttemptId;
use cloudai_types::resources::{Bytes, Cpu};
use serde::Serialize;

use crate::output::{Columns, View, count, facts};
use crate::times::{duration, rfc3339, seconds};
use crate::views::sparkline::sparkline;

/// What was measured longer ago than this is not how it is now.
const NOW_MS: u64 = 30_000;

/// A line of blocks, so many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    pub columns: u32,
}

/// Bytes and degrees are whole; cores and shares of the time are not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Amount {
    Whole(u64),
    Part(f64),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointView {
    /// When its step begins.
    pub at: Option<String>,
    pub mean: Amount,
    pub max: Amount,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeriesView {
    /// `cpu`, `memory`, `storage`, `busy`, `temperature`.
    pub quantity: &'static str,
    /// `cores`, `bytes`, `ratio` (of the time, 0 to 1), `celsius`.
    pub unit: &'static str,
    /// Its place in the driver's list; null: not of a GPU.
    pub gpu: Option<u32>,
    /// Null: it is not measured any more.
    pub now: Option<Amount>,
    pub mean: Amount,
    pub max: Amount,
    /// What there is of it; null: not known.
    pub of: Option<Amount>,
    pub points: Vec<PointView>,
    #[serde(skip)]
    line: Line,
}

/// `worker stats`, `task stats`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UsageView {
    pub worker: String,
    /// `JOB/INDEX.N`; null: of the whole machine.
    pub attempt: Option<String>,
    /// The worker's clock.
    pub from: Option<String>,
    pub until: Option<String>,
    /// Seconds.
    pub step: f64,
    pub series: Vec<SeriesView>,
    #[serde(skip)]
    steps: u64,
    #[serde(skip)]
    step_ms: u64,
    #[serde(skip)]
    has_picture: bool,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Default)]
struct Line {
    cells: [String; 5],
    picture: String,
}

impl UsageView {
    pub fn new(reply: WorkerHistoryReply, picture: Option<Picture>) -> Self {
        let history = reply.history.unwrap_or_default();
        let step_ms = history.step_ms.max(1);
        let steps = history.newest_ms.saturating_sub(history.from_ms) / step_ms + 1;
        let is_now = history.now_ms.saturating_sub(history.newest_ms) <= NOW_MS;
        let span = Span { from_ms: history.from_ms, step_ms, steps, is_now };
        UsageView {
            worker: reply.worker,
            attempt: reply.attempt.map(|attempt| AttemptId::from(attempt).to_string()),
            from: rfc3339(history.from_ms),
            until: rfc3339(history.newest_ms),
            step: seconds(step_ms),
            // A newer worker may know of more: what has no name here is left out.
            series: history.series.iter().filter_map(|s| SeriesView::new(s, span)).collect(),
            steps,
            step_ms,
            has_picture: picture.is_some(),
        }
    }
}

/// The steps of an answer.
#[derive(Clone, Copy)]
struct Span {
    from_ms: u64,
    step_ms: u64,
    steps: u64,
    is_now: bool,
}

impl SeriesView {
    fn new(series: &UsageSeries, span: Span) -> Option<SeriesView> {
        let kind = series.quantity();
        let (quantity, unit) = match kind {
            Quantity::CpuMillicores => ("cpu", "cores"),
            Quantity::MemoryBytes | Quantity::GpuMemoryBytes => ("memory", "bytes"),
            Quantity::StorageBytes => ("storage", "bytes"),
            Quantity::GpuBusyMillis => ("busy", "ratio"),
            Quantity::GpuCelsius => ("temperature", "celsius"),
            Quantity::Unspecified => return None,
        };
        let gpu = match kind {
            Quantity::GpuBusyMillis | Quantity::GpuMemoryBytes | Quantity::GpuCelsius => Some(series.gpu),
            Quantity::CpuMillicores | Quantity::MemoryBytes | Quantity::StorageBytes | Quantity::Unspecified => None,
        };
        let (mean, max) = (mean(&series.points), series.points.iter().map(|p| p.max).max().unwrap_or(0));
        let now = span.is_now.then_some(series.last);
        let points = series.points.iter().map(|p| PointView {
            at: rfc3339(span.from_ms.saturating_add(u64::from(p.step).saturating_mul(span.step_ms))),
            mean: amount(kind, p.mean),
            max: amount(kind, p.max),
        });
        let shown = |value: Option<u64>| value.map_or("-".to_owned(), |value| text(kind, value));
        let name = gpu.map_or(quantity.to_owned(), |n| format!("gpu {n} {quantity}"));
        let line = Line {
            cells: [name, shown(now), shown(Some(mean)), shown(Some(max)), shown(series.total)],
            picture: sparkline(means(&series.points, span.steps), max),
        };
        Some(SeriesView {
            quantity,
            unit,
            gpu,
            now: now.map(|value| amount(kind, value)),
            mean: amount(kind, mean),
            max: amount(kind, max),
            of: series.total.map(|value| amount(kind, value)),
            points: points.collect(),
            line,
        })
    }
}

/// Of all samples, as if no step had been made.
fn mean(points: &[UsagePoint]) -> u64 {
    let weight = |p: &UsagePoint| u128::from(p.samples.max(1));
    let sum: u128 = points.iter().fold(0, |sum, p| sum.saturating_add(u128::from(p.mean) * weight(p)));
    let samples: u128 = points.iter().map(weight).sum();
    sum.checked_div(samples).and_then(|mean| u64::try_from(mean).ok()).unwrap_or(0)
}

/// A mean for each step; `None` where nothing was measured.
fn means(points: &[UsagePoint], steps: u64) -> impl Iterator<Item = Option<u64>> {
    let steps = steps.min(cloudai_types::limits::HISTORY_POINTS_MAX.into()) as u32;
    let mut points = points.iter().peekable();
    (0..steps).map(move |step| points.next_if(|p| p.step == step).map(|p| p.mean))
}

fn amount(kind: Quantity, value: u64) -> Amount {
    match kind {
        Quantity::CpuMillicores | Quantity::GpuBusyMillis => Amount::Part(value as f64 / 1_000.0),
        Quantity::MemoryBytes
        | Quantity::StorageBytes
        | Quantity::GpuMemoryBytes
        | Quantity::GpuCelsius
        | Quantity::Unspecified => Amount::Whole(value),
    }
}

fn text(kind: Quantity, value: u64) -> String {
    match kind {
        Quantity::CpuMillicores => Cpu(value).to_string(),
        Quantity::GpuBusyMillis => format!("{} %", value / 10),
        Quantity::MemoryBytes | Quantity::StorageBytes | Quantity::GpuMemoryBytes => Bytes(value).to_string(),
        Quantity::GpuCelsius => format!("{value} °C"),
        Quantity::Unspecified => value.to_string(),
    }
}

impl View for UsageView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        facts(
            out,
            &[
                ("task", self.attempt.clone().unwrap_or_default()),
                ("worker", self.worker.clone()),
                ("from", self.from.clone().unwrap_or_default()),
                ("until", self.until.clone().unwrap_or_default()),
                ("steps", format!("{} of {}", count(self.steps, "step"), duration(self.step_ms))),
            ],
        )?;
        writeln!(out)?;
        let names = ["USED", "NOW", "MEAN", "MAX", "OF", "FROM 0 TO MAX"];
        let mut columns = Columns::new(&names[..if self.has_picture { 6 } else { 5 }]);
        for series in &self.series {
            let picture = self.has_picture.then(|| series.line.picture.clone());
            columns.row(series.line.cells.iter().cloned().chain(picture));
        }
        columns.write(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::sample::{T0, array_job};
    use cloudai_proto::v1::{AttemptKey, UsageHistory};

    fn series(quantity: Quantity, total: Option<u64>, means: &[(u32, u64)]) -> UsageSeries {
        let points = means.iter().map(|(step, mean)| UsagePoint { step: *step, mean: *mean, max: *mean, samples: 60 });
        let last = means.last().map_or(0, |(_, mean)| *mean);
        UsageSeries { quantity: quantity as i32, gpu: 0, total, last, points: points.collect() }
    }

    /// Six hours of a machine with a GPU, which was off for a while.
    fn machine() -> WorkerHistoryReply {
        let cpu = [500, 800, 1_200, 3_800, 3_900, 2_000, 900].into_iter().zip([0, 1, 2, 3, 4, 7, 8]);
        let cpu: Vec<(u32, u64)> = cpu.map(|(mean, step)| (step, mean)).collect();
        let gib = |n: u64| n << 30;
        WorkerHistoryReply {
            worker: "w1".into(),
            attempt: None,
            history: Some(UsageHistory {
                from_ms: T0 - 6 * 3_600_000,
                step_ms: 2_400_000,
                now_ms: T0 + 400,
                newest_ms: T0 - 1_000,
                series: vec![
                    series(Quantity::CpuMillicores, Some(4_000), &cpu),
                    series(Quantity::MemoryBytes, Some(gib(16)), &[(0, gib(2)), (4, gib(8)), (8, gib(4))]),
                    series(Quantity::StorageBytes, Some(gib(100)), &[(0, gib(40)), (8, gib(41))]),
                    series(Quantity::GpuBusyMillis, Some(1_000), &[(0, 0), (4, 980), (8, 450)]),
                    series(Quantity::GpuCelsius, None, &[(0, 35), (4, 71), (8, 60)]),
                ],
            }),
        }
    }

    fn table(view: &UsageView) -> String {
        let mut out = vec![];
        view.table(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn six_hours_of_a_machine() {
        let view = UsageView::new(machine(), Some(Picture { columns: 9 }));
        let text = table(&view);
        assert_eq!(
            text,
            "worker:  w1\n\
             from:    2026-09-21T08:13:20Z\n\
             until:   2026-09-21T14:13:19Z\n\
             steps:   9 steps of 40m0s\n\
             \n\
             USED               NOW       MEAN      MAX       OF         FROM 0 TO MAX\n\
             cpu                0.9       1.871     3.9       4          ▂▂▃██··▅▃\n\
             memory             4.0 GiB   4.6 GiB   8.0 GiB   16.0 GiB   ▃···█···▅\n\
             storage            41.0 GiB  40.5 GiB  41.0 GiB  100.0 GiB  █·······█\n\
             gpu 0 busy         45 %      47 %      98 %      100 %      ▁···█···▄\n\
             gpu 0 temperature  60 °C     55 °C     71 °C     -          ▄···█···▇\n"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let plain = table(&UsageView::new(machine(), None));
        assert!(plain.contains("\ncpu                0.9       1.871     3.9       4\n"), "{plain}");
        assert!(plain.is_ascii() || plain.replace('°', "").is_ascii(), "no blocks in a pipe: {plain}");
    }

    #[test]
    fn a_task_that_has_ended_uses_nothing_now() {
        let reply = WorkerHistoryReply {
            worker: "w1".into(),
            attempt: Some(AttemptKey { job: array_job().id, index: 3, number: 2 }),
            history: Some(UsageHistory {
                from_ms: T0 - 120_000,
                step_ms: 1_000,
                now_ms: T0,
                newest_ms: T0 - 117_000,
                series: vec![series(Quantity::MemoryBytes, None, &[(0, 1 << 20), (1, 1 << 21), (3, 1 << 21)])],
            }),
        };
        let view = UsageView::new(reply, Some(Picture { columns: 18 }));
        let text = table(&view);
        assert!(text.starts_with("task:    4affhbak/3.2\nworker:  w1\n"), "{text}");
        assert!(text.ends_with("\nmemory  -    1.6 MiB  2.0 MiB  -   ▅█·█\n"), "{text}");
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(
            json["series"][0],
            serde_json::json!({
                "quantity": "memory", "unit": "bytes", "gpu": null, "now": null,
                "mean": 1_747_626, "max": 2_097_152, "of": null,
                "points": [
                    {"at": "2026-09-21T14:11:20Z", "mean": 1_048_576, "max": 1_048_576},
                    {"at": "2026-09-21T14:11:21Z", "mean": 2_097_152, "max": 2_097_152},
                    {"at": "2026-09-21T14:11:23Z", "mean": 2_097_152, "max": 2_097_152},
                ],
            })
        );
        assert_eq!((&json["attempt"], &json["step"]), (&serde_json::json!("4affhbak/3.2"), &serde_json::json!(1.0)));
    }

    #[test]
    fn json_has_cores_and_shares_and_what_is_of_no_known_quantity_is_left_out() {
        let mut reply = machine();
        reply.history.as_mut().unwrap().series.push(UsageSeries { quantity: 99, ..Default::default() });
        let json = serde_json::to_value(UsageView::new(reply, None)).unwrap();
        let series = json["series"].as_array().unwrap();
        assert_eq!(series.len(), 5);
        let of = |n: usize, key: &str| series[n][key].clone();
        let told = serde_json::json!([of(0, "now"), of(0, "of"), of(3, "gpu"), of(3, "max")]);
        assert_eq!(told, serde_json::json!([0.9, 4.0, 0, 0.98]));
    }
}
