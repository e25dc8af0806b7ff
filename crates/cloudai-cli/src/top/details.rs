//! All that is known of one row, in the words of `worker show`, `task show` and `job show`. Comes in: the model, and the row's key. Goes out: lines.

use cloudai_proto::v1::UsageSample;
use cloudai_types::JobId;

use crate::output::{View, facts};
use crate::times::{duration, rfc3339};
use crate::top::bars::{bytes, cores, percent};
use crate::top::input::Answer;
use crate::top::masters;
use crate::top::model::{Model, Page};
use crate::views::task::TaskDetail;
use crate::views::worker::WorkerDetail;

pub fn lines(model: &Model, key: &str) -> Vec<String> {
    match model.page {
        Page::Cluster => master(model, key),
        Page::Queue => job(model, key),
        Page::Workers | Page::Tasks => answered(model, key),
    }
}

fn answered(model: &Model, key: &str) -> Vec<String> {
    match &model.details {
        None => vec!["asking the masters ...".to_owned()],
        Some(Answer::Nothing(why)) => vec![format!("nothing can be said of {key}: {why}")],
        Some(Answer::Worker(reply)) => {
            let mut lines = text(&WorkerDetail::from((**reply).clone()));
            if let Some(sample) = model.usage.get(key) {
                lines.push(String::new());
                lines.extend(usage(sample, model.now_ms));
            }
            lines
        }
        Some(Answer::Task(reply)) => text(&TaskDetail::from((**reply).clone())),
    }
}

fn text(view: &impl View) -> Vec<String> {
    let mut out = vec![];
    match view.table(&mut out) {
        Ok(()) => String::from_utf8_lossy(&out).lines().map(str::to_owned).collect(),
        Err(e) => vec![format!("it cannot be shown: {e}")],
    }
}

fn facts_lines(pairs: &[(&str, String)]) -> Vec<String> {
    let mut out = vec![];
    match facts(&mut out, pairs) {
        Ok(()) => String::from_utf8_lossy(&out).lines().map(str::to_owned).collect(),
        Err(e) => vec![format!("it cannot be shown: {e}")],
    }
}

/// What the machine uses, whoever does.
fn usage(sample: &UsageSample, now_ms: u64) -> Vec<String> {
    let machine = sample.machine.unwrap_or_default();
    let of = |part: Option<u64>, whole: Option<u64>, show: fn(u64) -> String| match (part, whole) {
        (Some(part), Some(whole)) => format!("{} of {} ({})", show(part), show(whole), percent(part, whole)),
        _ => String::new(),
    };
    let milli = |n: Option<u32>| n.map(u64::from);
    let used_storage =
        machine.storage_total_bytes.zip(machine.storage_free_bytes).map(|(all, free)| all.saturating_sub(free));
    let mut pairs = vec![
        ("machine uses", format!("as of {} ago", duration(now_ms.saturating_sub(sample.at_ms)))),
        ("cpu", of(milli(machine.cpu_millicores), milli(machine.cpu_total_millicores), cores)),
        ("memory", of(machine.memory_used_bytes, machine.memory_total_bytes, bytes)),
        ("storage", of(used_storage, machine.storage_total_bytes, bytes)),
    ];
    for gpu in &sample.gpus {
        let busy =
            gpu.busy_millis.map_or(String::new(), |millis| format!(", {} busy", percent(u64::from(millis), 1000)));
        let memory = of(gpu.memory_used_bytes, gpu.memory_total_bytes, bytes);
        let celsius = gpu.celsius.map_or(String::new(), |degrees| format!(", {degrees} C"));
        pairs.push(("gpu", format!("{}{busy}, {memory}{celsius}", gpu.model)));
    }
    facts_lines(&pairs)
}

fn master(model: &Model, key: &str) -> Vec<String> {
    let Some(member) = model.status.members.iter().find(|member| member.name == key) else {
        return vec![format!("{key} is no master any more")];
    };
    facts_lines(&[
        ("master", member.name.clone()),
        ("node id", member.node_id.to_string()),
        ("role", masters::role(member)),
        ("behind", member.lag_entries.map_or(String::new(), |lag| format!("{lag} entries"))),
        ("grpc", member.grpc.clone()),
        ("raft", member.raft.clone()),
        ("http", member.http.clone()),
    ])
}

fn job(model: &Model, key: &str) -> Vec<String> {
    let Some(job) = model.jobs.iter().find(|job| JobId(job.id).to_string() == key) else {
        return vec![format!("{key} waits no more")];
    };
    let counts = crate::views::job::CountsView::from(job.counts.unwrap_or_default());
    facts_lines(&[
        ("job", key.to_owned()),
        ("name", job.name.clone()),
        ("namespace", job.namespace.clone()),
        ("image", job.image.clone()),
        ("priority", job.priority.to_string()),
        ("tasks", format!("{}: {}", job.count, counts.text())),
        ("submitted", rfc3339(job.submitted_ms).unwrap_or_default()),
        ("waits", model.whys.get(&job.id).map_or("...".to_owned(), |(why, _)| why.clone())),
    ])
}
