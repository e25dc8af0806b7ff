//! The life of one container. Comes in: an attempt to start, or a container that was found; signals. Goes out: `Started` and `Ended`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use cloudai_agent::Signal;
use cloudai_types::{AttemptId, EndReason, Millis, ReasonKind, Timestamp};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::body::{self, Machine};
use super::cgroups::{self, Counters};
use super::endings::Died;
use super::faults::Fault;
use super::log_stream::{self, Control, Followed};
use super::{Shared, UNPOISONED, kernel_log, labels, outputs, pulls, sandbox};
use crate::clock;
use crate::executor::{ExecutorEvent, Start};
use crate::logs::{Frame, LogWriter};

/// An ending waits for the rest of its log while it comes: this long without any, and so long at most.
const LOG_SILENCE: Duration = Duration::from_secs(5);
const LOG_REST: Duration = Duration::from_secs(60);
/// A pull and a create may race with someone who removes the image.
const CREATES_MAX: u32 = 3;

type Signals = watch::Receiver<Option<Signal>>;
type Log = JoinHandle<Option<Followed>>;

/// A container that runs.
pub struct Running {
    pub id: String,
    pub started: Timestamp,
    pub died: oneshot::Receiver<Died>,
    /// How many processes it may have.
    pub processes: u64,
}

/// How an attempt ended that never ran.
struct NeverRan {
    reason: EndReason,
    /// Something is left to be removed.
    container: bool,
}

impl NeverRan {
    fn cancelled() -> Self {
        NeverRan { reason: EndReason::new(ReasonKind::Cancelled, "stopped before it ran"), container: false }
    }
}

pub fn start(shared: Arc<Shared>, start: Start) {
    let signals = listen(&shared, start.attempt);
    shared.tasks.clone().spawn(async move {
        let attempt = start.attempt;
        let writer = open_log(&shared, attempt);
        match bring_up(&shared, &start, signals.clone()).await {
            Ok(running) => {
                let started = running.started;
                send(&shared, ExecutorEvent::Started { attempt, started });
                see_through(&shared, attempt, running, writer, signals).await;
            }
            Err(never) => {
                let ended = clock::wall();
                if let Some(mut writer) = writer {
                    let text = format!("cloudai: the container did not start: {}", never.reason);
                    writer.append(vec![Frame::marker(ended.0 * 1_000_000, text)]);
                    writer.finish(ended.0);
                }
                if !never.container {
                    cgroups::remove(&shared, attempt).await;
                    shared.options.outputs.remove(attempt).await;
                }
                end(&shared, attempt, never.reason, Timestamp(0), ended, never.container);
            }
        }
    });
}

/// Goes on with a container of an earlier run.
pub fn adopt(shared: Arc<Shared>, attempt: AttemptId, running: Running) {
    let signals = listen(&shared, attempt);
    shared.tasks.clone().spawn(async move {
        let writer = open_log(&shared, attempt);
        see_through(&shared, attempt, running, writer, signals).await;
    });
}

/// Fetches the rest of the log of a container that ended while no worker ran.
pub async fn finish_adopted_log(shared: Arc<Shared>, attempt: AttemptId, id: String) {
    if let Some(writer) = open_log(&shared, attempt) {
        let followed = log_stream::copy(&shared, &id, writer, false, &Control::default()).await;
        followed.writer.finish(clock::wall().0);
    }
}

fn listen(shared: &Shared, attempt: AttemptId) -> Signals {
    let (tx, rx) = watch::channel(None);
    shared.signals.lock().expect(UNPOISONED).insert(attempt, tx);
    rx
}

fn open_log(shared: &Shared, attempt: AttemptId) -> Option<LogWriter> {
    match shared.logs.writer(attempt) {
        Ok(writer) => Some(writer),
        Err(error) => {
            tracing::warn!(%attempt, %error, "there will be no log of this attempt");
            None
        }
    }
}

fn send(shared: &Shared, event: ExecutorEvent) {
    // The shell is gone only when the worker stops; its successor finds the container.
    let _ = shared.events.send(event);
}

fn end(
    shared: &Arc<Shared>,
    attempt: AttemptId,
    reason: EndReason,
    started: Timestamp,
    ended: Timestamp,
    container: bool,
) {
    shared.signals.lock().expect(UNPOISONED).remove(&attempt);
    shared.endings.forget(attempt);
    shared.gpus.release(attempt);
    let ran = (started.0 > 0).then(|| Millis(ended.0.saturating_sub(started.0)));
    sandbox::leave(shared, attempt, ran);
    send(shared, ExecutorEvent::Ended { attempt, reason, started, ended, container });
}

/// From nothing to a running container.
async fn bring_up(shared: &Arc<Shared>, start: &Start, mut signals: Signals) -> Result<Running, NeverRan> {
    let not_made = |reason| NeverRan { reason, container: false };
    let attempt = start.attempt;
    let rejected = |why| not_made(EndReason::new(ReasonKind::Rejected, why));
    let mut mounts = shared.mounts.check(&start.spec.mounts).map_err(rejected)?;
    tokio::select! {
        folders = outputs::mounts(shared, start) => mounts.extend(folders.map_err(not_made)?),
        () = asked_to_stop(&mut signals) => return Err(NeverRan::cancelled()),
    }
    let gpus = shared.gpus.allocate(attempt, start.spec.resources.gpus).ok_or_else(|| {
        not_made(EndReason::new(ReasonKind::EngineError, "the GPUs that were promised to it are still in use"))
    })?;
    let name = labels::container_name(&shared.options.cluster, attempt);
    let mut creates = 0;
    let mut network = None;
    let mut parent = None;
    let processes = body::processes_limit(&start.spec);
    loop {
        let permit = tokio::select! {
            permit = shared.starts.acquire() => permit.expect("this semaphore is never closed"),
            () = asked_to_stop(&mut signals) => return Err(NeverRan::cancelled()),
        };
        if creates == 0 {
            // Not before it is its turn: one may have become free.
            network = shared.sandboxes.arrive(attempt, &start.spec);
            parent = cgroups::make(shared, attempt).await;
        }
        let machine = Machine {
            cluster: &shared.options.cluster,
            worker: &shared.options.worker,
            cpu_milli: shared.engine.cpu_milli,
            init: shared.use_init(),
            network: network.as_deref(),
            cgroup_parent: parent.as_deref(),
        };
        creates += 1;
        let created = shared.engine.create(&name, body::create(&machine, start, mounts.clone(), &gpus)).await;
        let id = match created.map_err(|e| Fault::of(&e)) {
            Ok(id) => id,
            Err(Fault::NoSuchImage) if creates < CREATES_MAX => {
                // Others go on while this one waits for its image.
                drop(permit);
                tokio::select! {
                    pulled = pulls::pull(shared, &start.spec.image) => pulled.map_err(not_made)?,
                    () = asked_to_stop(&mut signals) => return Err(NeverRan::cancelled()),
                }
                continue;
            }
            Err(Fault::NameTaken) => match meet_namesake(shared, start, &name).await? {
                Namesake::Running(running) => return Ok(running),
                Namesake::Created(id) => id,
            },
            Err(Fault::NoSuchContainer | Fault::NotRunning) if network.take().is_some() => {
                sandbox::give_up(shared, attempt).await;
                continue;
            }
            Err(fault) => return Err(not_made(fault.into_reason(&start.spec.image))),
        };
        if signals.borrow().is_some() {
            return Err(NeverRan { container: true, ..NeverRan::cancelled() });
        }
        // Before the start: a program may end before the engine has answered.
        let died = shared.endings.watch(attempt);
        match shared.engine.start(&id).await.map_err(|e| Fault::of(&e)) {
            Ok(()) => return Ok(Running { id, started: clock::wall(), died, processes }),
            Err(Fault::NoInit) if shared.has_init.swap(false, Relaxed) => {
                tracing::warn!(
                    "the container engine has no init program: tasks get SIGTERM directly, and may ignore it"
                );
                shared.endings.forget(attempt);
                if let Err(error) = shared.engine.remove(&id).await {
                    return Err(NeverRan { reason: Fault::of(&error).into_reason(&name), container: true });
                }
            }
            Err(Fault::NoSuchContainer | Fault::NotRunning) if network.take().is_some() => {
                shared.endings.forget(attempt);
                sandbox::give_up(shared, attempt).await;
                if let Err(error) = shared.engine.remove(&id).await {
                    return Err(NeverRan { reason: Fault::of(&error).into_reason(&name), container: true });
                }
            }
            Err(fault) => {
                shared.endings.forget(attempt);
                return Err(NeverRan { reason: fault.into_reason(&start.spec.image), container: true });
            }
        }
    }
}

enum Namesake {
    Running(Running),
    /// Made by an earlier run of this worker, never started.
    Created(String),
}

/// A container of this name is there: ours from before, or somebody else's.
async fn meet_namesake(shared: &Shared, start: &Start, name: &str) -> Result<Namesake, NeverRan> {
    let failed = |reason| NeverRan { reason, container: false };
    let died = shared.endings.watch(start.attempt);
    let seen = match shared.engine.inspect(name).await {
        Ok(seen) => seen,
        Err(error) => return Err(failed(Fault::of(&error).into_reason(name))),
    };
    let labels = seen.config.and_then(|c| c.labels).unwrap_or_default();
    let is_ours = labels.get(labels::CLUSTER) == Some(&shared.options.cluster)
        && labels.get(labels::WORKER) == Some(&shared.options.worker)
        && labels::read(&labels)
            .is_some_and(|o| o.attempt == start.attempt && o.assigned_index == start.assigned_index);
    if !is_ours {
        shared.endings.forget(start.attempt);
        let text = format!("a container named {name} is there that this worker did not make; remove it");
        return Err(failed(EndReason::new(ReasonKind::EngineError, text)));
    }
    let id = seen.id.unwrap_or_else(|| name.to_owned());
    let processes = body::processes_limit(&start.spec);
    let state = seen.state.unwrap_or_default();
    let started = super::engine::timestamp(state.started_at.as_deref());
    if started.0 == 0 {
        shared.endings.forget(start.attempt);
        return Ok(Namesake::Created(id));
    }
    if state.running == Some(true) || state.paused == Some(true) {
        return Ok(Namesake::Running(Running { id, started, died, processes }));
    }
    shared.endings.forget(start.attempt);
    let (tx, died) = oneshot::channel();
    // The receiver is in our hand.
    let _ = tx.send(Died::of_state(&state));
    Ok(Namesake::Running(Running { id, started, died, processes }))
}

async fn asked_to_stop(signals: &mut Signals) {
    // An error means that the sender is gone, which happens only after the end.
    if signals.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// From a running container to its ending, with its log.
async fn see_through(
    shared: &Arc<Shared>,
    attempt: AttemptId,
    running: Running,
    writer: Option<LogWriter>,
    mut signals: Signals,
) {
    let Running { id, started, mut died, processes } = running;
    let control = Control::default();
    let log: Option<Log> = writer.map(|writer| {
        let (shared, id, control) = (shared.clone(), id.clone(), control.clone());
        shared.tasks.clone().spawn(async move { log_stream::copy(&shared, &id, writer, true, &control).await })
    });
    signals.mark_changed();
    let mut died = loop {
        tokio::select! {
            died = &mut died => {
                break died.unwrap_or(Died { exit_code: None, out_of_memory: false, at: clock::wall() });
            }
            changed = signals.changed() => {
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
                let signal = *signals.borrow_and_update();
                if let Some(signal) = signal && let Err(error) = shared.engine.signal(&id, signal).await {
                    // The agent asks again after the grace.
                    tracing::warn!(%attempt, %error, "a container cannot be stopped yet");
                }
            }
        }
    };
    let counted = cgroups::read(shared, attempt).await;
    match counted.and_then(|c| c.killed_for_memory) {
        Some(killed) => died.out_of_memory |= killed,
        // The engine's word about memory may come after its word about the end.
        None if died.exit_code == Some(137) && !died.out_of_memory && signals.borrow().is_none() => {
            died.out_of_memory = was_out_of_memory(shared, &id).await;
        }
        None => {}
    }
    let init_failure = finish_log(log, &control, died.at).await;
    end(shared, attempt, reason_of(&died, init_failure, counted, processes), started, died.at, true);
}

/// Asks all who may know: SIGKILL without ours behind it is most often the kernel's.
async fn was_out_of_memory(shared: &Shared, id: &str) -> bool {
    if let Ok(seen) = shared.engine.inspect(id).await
        && seen.state.is_some_and(|s| s.oom_killed == Some(true))
    {
        return true;
    }
    let id = id.to_owned();
    tokio::task::spawn_blocking(move || kernel_log::killed_for_memory(&id)).await.unwrap_or(false)
}

async fn finish_log(log: Option<Log>, control: &Control, ended: Timestamp) -> Option<String> {
    let mut log = log?;
    let begun = Instant::now();
    let mut copied = control.copied.load(Relaxed);
    let followed = loop {
        if let Ok(done) = tokio::time::timeout(LOG_SILENCE, &mut log).await {
            break done;
        }
        let so_far = control.copied.load(Relaxed);
        if so_far == copied || begun.elapsed() > LOG_REST {
            tracing::warn!("the engine does not end the log of a container that has ended; the log is cut there");
            control.enough.cancel();
        }
        copied = so_far;
    };
    // Without a value the task was ended from outside, and the writer with it.
    let mut followed = followed.ok().flatten()?;
    if !followed.complete {
        let text = "cloudai: the engine's log broke off here; something may be missing";
        followed.writer.append(vec![Frame::marker(ended.0 * 1_000_000, text)]);
    }
    followed.writer.finish(ended.0);
    followed.init_failure
}

/// `counted`: by its parent cgroup, where it has one. `processes`: how many it was allowed.
pub fn reason_of(died: &Died, init_failure: Option<String>, counted: Option<Counters>, processes: u64) -> EndReason {
    let reached = counted.is_some_and(|c| {
        c.refused_process.unwrap_or(false) || c.usage.processes_max.is_some_and(|most| most >= processes)
    });
    let reason = kind_of(died, init_failure).with_usage(counted.map(|c| c.usage));
    let is_its_own = matches!(reason.kind(), ReasonKind::ExitCode | ReasonKind::Signal) && !reason.is_success();
    if !(reached && is_its_own) {
        return reason;
    }
    // Few programs say clearly that they did not get a process.
    let said = if reason.detail.is_empty() { String::new() } else { format!("{}; ", reason.detail) };
    EndReason { detail: format!("{said}it had reached the limit of {processes} processes"), ..reason }
}

fn kind_of(died: &Died, init_failure: Option<String>) -> EndReason {
    let Some(code) = died.exit_code else {
        return EndReason::new(ReasonKind::EngineError, "the container has vanished: somebody removed it");
    };
    // A program that survives the loss of a child and says 0 has succeeded.
    if died.out_of_memory && code != 0 {
        let text = "a process was killed because the container reached its memory limit";
        return EndReason::new(ReasonKind::OutOfMemory, text).with_exit_code(code);
    }
    match (code, init_failure) {
        (126 | 127, Some(said)) => EndReason::new(ReasonKind::StartFailed, said).with_exit_code(code),
        (129..=159, _) => EndReason::new(ReasonKind::Signal, format!("signal {}", code - 128)).with_exit_code(code),
        (_, _) => EndReason::exit(code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::Usage;

    #[test]
    fn endings_have_reasons() {
        let died = |code| Died { exit_code: code, out_of_memory: false, at: Timestamp(1) };
        let kind = |d: &Died, init: Option<&str>| {
            let r = reason_of(d, init.map(str::to_owned), None, 4096);
            (r.kind(), r.exit_code)
        };
        assert_eq!(kind(&died(Some(0)), None), (ReasonKind::ExitCode, Some(0)));
        assert_eq!(kind(&died(Some(3)), None), (ReasonKind::ExitCode, Some(3)));
        assert_eq!(kind(&died(Some(127)), None), (ReasonKind::ExitCode, Some(127)), "the program itself said so");
        assert_eq!(kind(&died(Some(127)), Some("[FATAL tini]")), (ReasonKind::StartFailed, Some(127)));
        assert_eq!(kind(&died(Some(137)), None), (ReasonKind::Signal, Some(137)));
        let oom = Died { out_of_memory: true, ..died(Some(137)) };
        assert_eq!(kind(&oom, None), (ReasonKind::OutOfMemory, Some(137)));
        assert_eq!(kind(&Died { exit_code: Some(0), ..oom }, None), (ReasonKind::ExitCode, Some(0)));
        assert_eq!(kind(&died(None), None), (ReasonKind::EngineError, None));
    }

    #[test]
    fn an_ending_says_what_was_used_and_which_limit_was_reached() {
        let died = |code| Died { exit_code: Some(code), out_of_memory: false, at: Timestamp(1) };
        let usage = Usage { cpu_micros: Some(5), processes_max: Some(64), ..Usage::default() };
        let counted = Some(Counters { usage, ..Counters::default() });
        let r = reason_of(&died(2), None, counted, 64);
        assert_eq!(r.to_string(), "exit_code 2: it had reached the limit of 64 processes");
        assert_eq!(r.usage, Some(usage));
        let r = reason_of(&died(134), None, counted, 64);
        assert_eq!(r.to_string(), "signal 134: signal 6; it had reached the limit of 64 processes");
        let plain = |code, counted, limit| reason_of(&died(code), None, counted, limit).detail;
        assert_eq!(plain(0, counted, 64), "", "it succeeded all the same");
        assert_eq!(plain(2, counted, 65), "", "there was room for one more");
        assert_eq!(plain(2, None, 64), "", "nobody knows");
        let refused = Some(Counters { refused_process: Some(true), ..Counters::default() });
        assert_eq!(plain(2, refused, 64), "it had reached the limit of 64 processes");
    }
}
