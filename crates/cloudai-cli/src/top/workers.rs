//! Workers as rows: what they have, what tasks hold of it, and what the machines use, where somebody says that.

use std::cmp::Reverse;

use cloudai_proto::v1::{MachineUsage, WorkerInfo, WorkerState};
use cloudai_types::Resources;

use crate::times::duration;
use crate::top::bars::{bar, bytes, cores, percent};
use crate::top::columns::{Column, Row, Table};
use crate::top::model::Model;
use crate::top::theme::Tone;
use crate::views::worker::state_words;

const BAR: usize = 10;

/// What the rows are in the order of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Name,
    State,
    /// By the part of it that is held.
    Cpu,
    Memory,
    Gpu,
    Running,
    /// By what the machine uses.
    UsedCpu,
    UsedMemory,
}

impl Sort {
    pub const ALL: [Sort; 8] =
        [Sort::Name, Sort::State, Sort::Cpu, Sort::Memory, Sort::Gpu, Sort::Running, Sort::UsedCpu, Sort::UsedMemory];

    pub fn title(self) -> &'static str {
        match self {
            Sort::Name => "name",
            Sort::State => "state",
            Sort::Cpu => "cpu held",
            Sort::Memory => "memory held",
            Sort::Gpu => "gpus held",
            Sort::Running => "running",
            Sort::UsedCpu => "cpu used",
            Sort::UsedMemory => "memory used",
        }
    }

    pub fn next(self) -> Sort {
        let at = Sort::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Sort::ALL[(at + 1) % Sort::ALL.len()]
    }
}

pub fn table(model: &Model) -> Table {
    let mut workers: Vec<&WorkerInfo> = model.workers.iter().collect();
    let machine = |worker: &WorkerInfo| machine(model, worker);
    // The most first: whoever sorts looks for who is full. Stable, and they came by name.
    match model.sort {
        Sort::Name => {}
        Sort::State => workers.sort_by_key(|w| state_text(w)),
        Sort::Cpu => workers.sort_by_key(|w| Reverse(part(held(w).cpu_milli, has(w).cpu_milli))),
        Sort::Memory => workers.sort_by_key(|w| Reverse(part(held(w).memory_bytes, has(w).memory_bytes))),
        Sort::Gpu => workers.sort_by_key(|w| Reverse(held(w).gpus)),
        Sort::Running => workers.sort_by_key(|w| Reverse(w.attempts_running)),
        Sort::UsedCpu => workers.sort_by_key(|w| Reverse(machine(w).and_then(|m| m.cpu_millicores))),
        Sort::UsedMemory => workers.sort_by_key(|w| Reverse(machine(w).and_then(|m| m.memory_used_bytes))),
    }
    if model.reversed {
        workers.reverse();
    }
    Table {
        columns: vec![
            Column::new("WORKER", false, 20, 0),
            Column::new("STATE", false, 15, 0),
            Column::new("CPU", true, 11, 0),
            Column::new("MEMORY", true, 11, 0),
            Column::new("GPU", true, 5, 3),
            Column::new("RUN", true, 5, 0),
            Column::new("CPU HELD", false, BAR, 4),
            Column::new("CPU%", true, 5, 1),
            Column::new("MEM%", true, 5, 1),
            Column::new("HEARD", true, 7, 5),
            Column::new("DISK FREE", true, 9, 6),
            Column::new("LABELS", false, 60, 7),
        ],
        rows: workers.into_iter().map(|worker| row(model, worker)).collect(),
    }
}

fn row(model: &Model, worker: &WorkerInfo) -> Row {
    let (has, held) = (has(worker), held(worker));
    let machine = machine(model, worker);
    let used = |part: Option<u64>, whole: Option<u64>| part.zip(whole).map_or("-".to_owned(), |(p, w)| percent(p, w));
    let cpu = machine.map(|m| (m.cpu_millicores.map(u64::from), m.cpu_total_millicores.map(u64::from)));
    let memory = machine.map(|m| (m.memory_used_bytes, m.memory_total_bytes));
    let (cpu, memory) = (cpu.unwrap_or_default(), memory.unwrap_or_default());
    let heard = model.workers_by_leader && worker.connected;
    let labels: Vec<String> = worker.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let cells = vec![
        worker.name.clone(),
        state_text(worker).to_owned(),
        format!("{}/{}", cores(held.cpu_milli), cores(has.cpu_milli)),
        format!("{}/{}", bytes(held.memory_bytes), bytes(has.memory_bytes)),
        format!("{}/{}", held.gpus, has.gpus),
        worker.attempts_running.to_string(),
        bar(held.cpu_milli, has.cpu_milli, BAR),
        used(cpu.0, cpu.1),
        used(memory.0, memory.1),
        if heard { duration(worker.heard_ms_ago) } else { "-".to_owned() },
        machine.and_then(|m| m.storage_free_bytes).map_or("-".to_owned(), bytes),
        labels.join(","),
    ];
    let tone = match worker.state() {
        WorkerState::Lost => Tone::Bad,
        WorkerState::Revoked | WorkerState::Authorized => Tone::Faint,
        WorkerState::Ready if worker.draining || worker.leaving => Tone::Warn,
        WorkerState::Ready => Tone::Plain,
    };
    Row { key: worker.name.clone(), cells, tone }
}

/// As `worker list` says it.
fn state_text(worker: &WorkerInfo) -> &'static str {
    state_words(worker.state().name(), worker.draining, worker.evicting, worker.leaving)
}

/// What its machine uses. What a lost one used it uses no more, as far as anybody knows.
pub fn machine<'a>(model: &'a Model, worker: &WorkerInfo) -> Option<&'a MachineUsage> {
    if worker.state() != WorkerState::Ready {
        return None;
    }
    model.usage.get(&worker.name)?.machine.as_ref()
}

pub fn has(worker: &WorkerInfo) -> Resources {
    worker.capacity.unwrap_or_default()
}

pub fn held(worker: &WorkerInfo) -> Resources {
    worker.allocated.unwrap_or_default()
}

/// In millionths.
fn part(of: u64, whole: u64) -> u128 {
    (u128::from(of) * 1_000_000).checked_div(u128::from(whole)).unwrap_or(0)
}
