//! The life of one container. Comes in: an attempt to start, or a container that was found; signals. Goes out: `Started` and `Ended`.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use cloudai_agent::Signal;
use cloudai_types::{AttemptId, EndReason, Millis, PullPolicy, ReasonKind, Timestamp, limits, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::body::{self, Machine};
use super::bounds::Bounds;
use super::endings::Died;
use super::faults::Fault;
use super::log_stream::{self, Control, End, Followed};
use super::policy::{self, Image, Network};
use super::storage::{self, Watch};
use super::{
    Shared, UNPOISONED, cgroups, images, kernel_log, labels, outputs, pulls, reason, sandbox, secrets, users, volumes,
};
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
    pub bounds: Bounds,
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
    let tasks = shared.tasks.clone();
    let lines = start.trace.map_or_else(tracing::Span::none, |trace| trace.log_span());
    let life = async move {
        let attempt = start.attempt;
        let writer = open_log(&shared, attempt, &start.spec.namespace);
        match bring_up_when_there(&shared, &start, signals.clone()).await {
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
    };
    tasks.spawn(life.instrument(lines));
}

/// Goes on with a container of an earlier run.
pub fn adopt(shared: Arc<Shared>, attempt: AttemptId, namespace: &str, running: Running) {
    let signals = listen(&shared, attempt);
    // At once: what is written is not stored meanwhile.
    let writer = open_log(&shared, attempt, namespace);
    shared.tasks.clone().spawn(async move {
        see_through(&shared, attempt, running, writer, signals).await;
    });
}

/// Fetches the rest of the log of a container that ended while no worker ran.
pub async fn finish_adopted_log(shared: Arc<Shared>, attempt: AttemptId, namespace: &str, id: String) {
    if let Some(writer) = open_log(&shared, attempt, namespace) {
        let followed = log_stream::copy(&shared, &id, writer, false, &Control::default()).await;
        followed.writer.finish(clock::wall().0);
    }
}

fn listen(shared: &Shared, attempt: AttemptId) -> Signals {
    let (tx, rx) = watch::channel(None);
    shared.signals.lock().expect(UNPOISONED).insert(attempt, tx);
    rx
}

fn open_log(shared: &Shared, attempt: AttemptId, namespace: &str) -> Option<LogWriter> {
    match shared.logs.writer(attempt) {
        Ok(writer) => Some(writer.of_namespace(namespace)),
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
    // Nobody reads them any more, also while results are stored.
    shared.options.secret_files.remove(&labels::cgroup_name(attempt));
    let ran = (started.0 > 0).then(|| Millis(ended.0.saturating_sub(started.0)));
    sandbox::leave(shared, attempt, ran);
    send(shared, ExecutorEvent::Ended { attempt, reason, started, ended, container });
}

/// A start that fails because the engine is away is tried again when it is back: what a restart of the engine interrupts is no
/// ending, and a machine whose engine is away for a while must not use up what the queue has.
async fn bring_up_when_there(shared: &Arc<Shared>, start: &Start, signals: Signals) -> Result<Running, NeverRan> {
    let begun = Instant::now();
    loop {
        let never = match bring_up(shared, start, signals.clone()).await {
            Err(never) if never.reason.kind() == ReasonKind::EngineError => never,
            other => return other,
        };
        if shared.engine.answers().await {
            return Err(never);
        }
        tracing::warn!(attempt = %start.attempt, reason = %never.reason, "the engine is away; the attempt starts when it is back");
        while !shared.engine.answers().await {
            if begun.elapsed() > limits::ENGINE_AWAY_MAX.as_duration() {
                return Err(never);
            }
            let mut signals = signals.clone();
            tokio::select! {
                () = tokio::time::sleep(limits::ENGINE_AWAY_LOOK.as_duration()) => {}
                () = asked_to_stop(&mut signals) => return Err(NeverRan { container: never.container, ..NeverRan::cancelled() }),
            }
        }
        shared.gpus.release(start.attempt);
        sandbox::leave(shared, start.attempt, None);
    }
}

/// From nothing to a running container.
async fn bring_up(shared: &Arc<Shared>, start: &Start, mut signals: Signals) -> Result<Running, NeverRan> {
    let not_made = |reason| NeverRan { reason, container: false };
    let (attempt, spec) = (start.attempt, &start.spec);
    let rejected = |why: String| not_made(EndReason::new(ReasonKind::Rejected, why));
    let settle =
        |image: &Image| policy::settings(spec, image, &shared.options.policy).map_err(|refusal| refusal.to_string());
    // As far as that can be known without the image, which need not be pulled for a refusal.
    settle(&Image::default()).map_err(rejected)?;
    let mut mounts = shared.mounts.check(&spec.mounts).map_err(rejected)?;
    tokio::select! {
        folders = outputs::mounts(shared, start) => mounts.extend(folders.map_err(not_made)?),
        () = asked_to_stop(&mut signals) => return Err(NeverRan::cancelled()),
    }
    let given = tokio::select! {
        given = secrets::fetch(shared, start) => given.map_err(not_made)?,
        () = asked_to_stop(&mut signals) => return Err(NeverRan::cancelled()),
    };
    let unplaced = |why: String| not_made(EndReason::new(ReasonKind::EngineError, why));
    mounts.extend(given.mount(shared, attempt).map_err(unplaced)?);
    tokio::select! {
        made = volumes::mounts(shared, start) => mounts.extend(made.map_err(not_made)?),
        () = asked_to_stop(&mut signals) => return Err(NeverRan::cancelled()),
    }
    let gpus = shared.gpus.allocate(attempt, start.spec.resources.gpus).ok_or_else(|| {
        not_made(EndReason::new(ReasonKind::EngineError, "the GPUs that were promised to it are still in use"))
    })?;
    let name = labels::container_name(&shared.options.cluster, attempt);
    // The content that was found at admission, where it was looked for.
    let wanted = spec.pinned_image();
    // From here to the container nobody removes it to make room.
    let _held = images::hold(shared, &wanted);
    let mut creates = 0;
    // Whether its turn has come: what the machine has for it is taken then.
    let mut has_arrived = false;
    let mut network = None;
    let mut parent = None;
    let mut must_pull = spec.pull() == PullPolicy::Always;
    let mut looked = Instant::now();
    let mut pulls_since = None;
    loop {
        if std::mem::take(&mut must_pull) {
            pulls_since.get_or_insert(SystemTime::now());
            // Others go on while this one waits for its image.
            let pull = async { pulls::pull(shared, &wanted, secrets::login(shared, attempt).await, looked).await };
            tokio::select! {
                pulled = pull => pulled.map_err(not_made)?,
                () = asked_to_stop(&mut signals) => return Err(NeverRan::cancelled()),
            }
        }
        let _permit = tokio::select! {
            permit = shared.starts.acquire() => permit.expect("this semaphore is never closed"),
            () = asked_to_stop(&mut signals) => return Err(NeverRan::cancelled()),
        };
        creates += 1;
        looked = Instant::now();
        let looks_since = SystemTime::now();
        let image = match shared.engine.image(&wanted).await {
            Ok(Some(image)) => image,
            Ok(None) if spec.pull() == PullPolicy::Never => {
                let text = format!("'{wanted}' is not on this worker, and the job says never to pull it");
                return Err(not_made(EndReason::new(ReasonKind::ImageNotFound, text)));
            }
            Ok(None) if creates < CREATES_MAX => {
                must_pull = true;
                continue;
            }
            Ok(None) => return Err(not_made(Fault::NoSuchImage.into_reason(&wanted))),
            Err(error) => return Err(not_made(Fault::of(&error).into_reason(&wanted))),
        };
        let settings = settle(&image).map_err(rejected)?;
        if !std::mem::replace(&mut has_arrived, true) {
            let traces = &shared.options.traces;
            traces.has_image(attempt, pulls_since.unwrap_or(looks_since), pulls_since.is_some());
            // Not before it is its turn: one may have become free.
            if settings.network == Network::Own {
                network = shared.sandboxes.arrive(attempt, spec);
            }
            parent = cgroups::make(shared, attempt).await;
        }
        given.place(shared, attempt, &settings.user).map_err(unplaced)?;
        let mode = match &settings.network {
            Network::Own => network.as_deref(),
            Network::Mode(mode) => Some(mode.as_str()),
        };
        let (has_quota, has_open_files) = (shared.storage.has_quota(), shared.has_open_files.load(Relaxed));
        let machine = Machine {
            cluster: &shared.options.cluster,
            worker: &shared.options.worker,
            cpu_milli: shared.engine.cpu_milli,
            init: shared.use_init(),
            network: mode,
            image: &image.id,
            settings: &settings,
            has_quota,
            has_open_files,
            cgroup_parent: parent.as_deref(),
            secrets: &given.variables,
        };
        let created = shared.engine.create(&name, body::create(&machine, start, mounts.clone(), &gpus)).await;
        let id = match created.map_err(|e| Fault::of(&e)) {
            Ok(id) => id,
            // Somebody has removed it in between: it is looked for again.
            Err(Fault::NoSuchImage) if creates < CREATES_MAX => continue,
            Err(Fault::NoQuota) if has_quota => {
                shared.storage.on_no_quota();
                continue;
            }
            Err(Fault::NameTaken) => match meet_namesake(shared, start, &name).await? {
                Namesake::Running(running) => return Ok(running),
                // By an earlier run, perhaps by other rules or of another image: this one makes its own.
                Namesake::Created(id) => {
                    take_back(shared, attempt, &id).await?;
                    continue;
                }
            },
            Err(Fault::NoSuchContainer | Fault::NotRunning) if network.take().is_some() => {
                sandbox::give_up(shared, attempt).await;
                continue;
            }
            Err(fault) => return Err(not_made(fault.into_reason(&wanted))),
        };
        shared.options.images.used(&image.id, clock::wall());
        let left = |reason| NeverRan { reason, container: true };
        if settings.is_named {
            let known = users::look_up(shared, &image.id, &id, &settings.user).await;
            let known = known.map_err(|e| left(Fault::of(&e).into_reason(&name)))?;
            policy::named(&settings.user, known)
                .map_err(|refusal| left(EndReason::new(ReasonKind::Rejected, refusal.to_string())))?;
        }
        let watch = storage::prepare(shared, &id, spec).await;
        let watch = watch.map_err(|e| left(Fault::of(&e).into_reason(&name)))?;
        if signals.borrow().is_some() {
            return Err(NeverRan { container: true, ..NeverRan::cancelled() });
        }
        // Before the start: a program may end before the engine has answered. What ended until now was another container of it.
        shared.endings.forget(attempt);
        let died = shared.endings.watch(attempt);
        match shared.engine.start(&id).await.map_err(|e| Fault::of(&e)) {
            Ok(()) => return Ok(Running { id, started: clock::wall(), died, bounds: Bounds::of(spec, watch) }),
            Err(Fault::NoInit) if shared.has_init.swap(false, Relaxed) => {
                tracing::warn!(
                    "the container engine has no init program: tasks get SIGTERM directly, and may ignore it"
                );
                take_back(shared, attempt, &id).await?;
            }
            Err(Fault::NoOpenFiles) if spec.open_files == 0 && has_open_files => {
                if shared.has_open_files.swap(false, Relaxed) {
                    tracing::warn!("the container engine has few open files: tasks get as many as it has itself");
                }
                take_back(shared, attempt, &id).await?;
            }
            Err(Fault::NoSuchContainer | Fault::NotRunning) if network.take().is_some() => {
                sandbox::give_up(shared, attempt).await;
                take_back(shared, attempt, &id).await?;
            }
            Err(fault) => {
                shared.endings.forget(attempt);
                return Err(NeverRan { reason: fault.into_reason(&wanted), container: true });
            }
        }
    }
}

/// What was made is not what is needed: another one takes its place.
async fn take_back(shared: &Shared, attempt: AttemptId, id: &str) -> Result<(), NeverRan> {
    shared.endings.forget(attempt);
    shared.engine.remove(id).await.map_err(|e| NeverRan { reason: Fault::of(&e).into_reason(id), container: true })
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
    let bounds = Bounds::of(&start.spec, Watch::of(&seen, start.spec.resources.storage_bytes));
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
    let state = seen.state.unwrap_or_default();
    let started = super::engine::timestamp(state.started_at.as_deref());
    if started.0 == 0 {
        shared.endings.forget(start.attempt);
        return Ok(Namesake::Created(id));
    }
    if state.running == Some(true) || state.paused == Some(true) {
        return Ok(Namesake::Running(Running { id, started, died, bounds }));
    }
    shared.endings.forget(start.attempt);
    let (tx, died) = oneshot::channel();
    // The receiver is in our hand.
    let _ = tx.send(Died::of_state(&state));
    Ok(Namesake::Running(Running { id, started, died, bounds }))
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
    let Running { id, started, mut died, bounds: Bounds { processes, stop_signal, watch } } = running;
    let control = Control::default();
    let log: Option<Log> = writer.map(|writer| {
        let (shared, id, control) = (shared.clone(), id.clone(), control.clone());
        shared.tasks.clone().spawn(async move { log_stream::follow(&shared, &id, writer, &control).await })
    });
    signals.mark_changed();
    let written = shared.metered.begin(attempt);
    let watched = storage::until_over(shared, watch, &written);
    tokio::pin!(watched);
    let mut over = None;
    let mut kill_at = tokio::time::Instant::now();
    let mut died = loop {
        tokio::select! {
            died = &mut died => {
                break died.unwrap_or_else(|_| Died::vanished());
            }
            changed = signals.changed() => {
                if changed.is_err() {
                    std::future::pending::<()>().await;
                }
                let number = match *signals.borrow_and_update() {
                    None => continue,
                    Some(Signal::Term) => stop_signal,
                    Some(Signal::Kill) => signal::KILL,
                };
                if let Err(error) = shared.engine.signal(&id, number).await {
                    // The agent asks again after the grace.
                    tracing::warn!(%attempt, %error, "a container cannot be stopped yet");
                }
            }
            words = &mut watched, if over.is_none() => {
                tracing::info!(%attempt, words, "it is over its storage, and ends");
                over = Some(words);
                kill_at = tokio::time::Instant::now();
            }
            () = tokio::time::sleep_until(kill_at), if over.is_some() => {
                kill_at += limits::STORAGE_KILL_RETRY.as_duration();
                if let Err(error) = shared.engine.signal(&id, signal::KILL).await {
                    tracing::warn!(%attempt, %error, "a container that is over its storage cannot be killed yet");
                }
            }
        }
    };
    shared.metered.end(attempt);
    if signals.borrow().is_some() || over.is_some() {
        // It was this worker.
        died.outside = None;
    }
    let counted = cgroups::read(shared, attempt).await;
    match counted.and_then(|c| c.killed_for_memory) {
        Some(killed) => died.out_of_memory |= killed,
        // The engine's word about memory may come after its word about the end.
        None if died.exit_code == Some(137) && !died.out_of_memory && signals.borrow().is_none() && over.is_none() => {
            died.out_of_memory = was_out_of_memory(shared, &id).await;
        }
        None => {}
    }
    let init_failure = finish_log(log, &control, died.at).await;
    let reason = storage::reason_of(over, reason::of(&died, init_failure, counted, processes));
    end(shared, attempt, reason, started, died.at, true);
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
    if followed.end != End::Complete {
        let text = "cloudai: the engine's log broke off here; something may be missing";
        followed.writer.append(vec![Frame::marker(ended.0 * 1_000_000, text)]);
    }
    followed.writer.finish(ended.0);
    followed.init_failure
}
