//! Runs nothing, for tests of scale. `sleep SECONDS` takes that long, `exit N` ends with N, anything else ends at once. A noop
//! attempt lives in this process's memory only and holds nothing.
//!
//! What ends at once costs one message and nothing else. All that sleep share one task with one timer. On demand each start and end is
//! written down as it happens ([`Record`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cloudai_agent::Signal;
use cloudai_proto::v1::worker_message::ImagePull;
use cloudai_types::{AttemptId, EndReason, Results, Timestamp};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::noop_record::Record;
use super::{Events, Executor, ExecutorEvent, Meter, Start};
use crate::clock;
use crate::tasks::Tasks;

/// A sleep longer than this is cut: a timer must not overflow.
const SLEEP_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Program {
    Exit(i32),
    Sleep(Duration),
}

fn parse(command: &[String]) -> Program {
    let text = command.join(" ");
    let mut words = text.split_ascii_whitespace();
    match (words.next(), words.next()) {
        (Some("sleep"), Some(seconds)) => match seconds.parse::<f64>() {
            Ok(s) if s > 0.0 => Program::Sleep(Duration::try_from_secs_f64(s).unwrap_or(SLEEP_MAX).min(SLEEP_MAX)),
            Ok(_) => Program::Exit(0),
            Err(_) => Program::Exit(1),
        },
        (Some("exit"), Some(code)) => Program::Exit(code.parse().unwrap_or(2)),
        _ => Program::Exit(0),
    }
}

enum Order {
    Sleep { attempt: AttemptId, until: Instant, started: Timestamp },
    Stop { attempt: AttemptId, signal: Signal },
}

pub struct NoopExecutor {
    events: Events,
    sleeper: mpsc::UnboundedSender<Order>,
    record: Option<Arc<Record>>,
}

impl NoopExecutor {
    /// Starts the one task, which ends with this value.
    pub fn new(events: Events, tasks: &Tasks, record: Option<Record>) -> Self {
        let (sleeper, orders) = mpsc::unbounded_channel();
        let record = record.map(Arc::new);
        tasks.spawn(sleep_all(orders, events.clone(), record.clone()));
        NoopExecutor { events, sleeper, record }
    }
}

impl Executor for NoopExecutor {
    fn start(&mut self, start: Start) {
        let (attempt, started) = (start.attempt, clock::wall());
        note_start(&self.record, attempt);
        // The shell or the sleeper being gone means that the worker is stopping: nobody waits for the answer.
        let _ = match parse(&start.spec.command) {
            Program::Exit(code) => {
                note_stop(&self.record, attempt);
                self.events.send(ended(attempt, EndReason::exit(code), started)).is_ok()
            }
            Program::Sleep(time) => {
                let until = Instant::now() + time;
                let told = self.events.send(ExecutorEvent::Started { attempt, started }).is_ok();
                told && self.sleeper.send(Order::Sleep { attempt, until, started }).is_ok()
            }
        };
    }

    fn stop(&mut self, attempt: AttemptId, signal: Signal) {
        let _ = self.sleeper.send(Order::Stop { attempt, signal });
    }

    /// Nothing ran, so nothing was written.
    fn store(&mut self, attempt: AttemptId, results: bool) {
        let _ = self.events.send(ExecutorEvent::Stored { attempt, stored: Ok(results.then(Results::default)) });
    }

    fn remove(&mut self, _: AttemptId) {}

    fn pulls(&self) -> Vec<ImagePull> {
        vec![]
    }

    fn images(&self) -> Arc<[u16]> {
        Arc::default()
    }

    /// Nothing runs, and nothing is used.
    fn meter(&self) -> Option<Arc<dyn Meter>> {
        None
    }

    fn trouble(&self) -> String {
        String::new()
    }

    fn has_logs(&self) -> bool {
        false
    }

    fn settled(&self) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }

    fn tidy_up(&self) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }
}

fn note_start(record: &Option<Arc<Record>>, attempt: AttemptId) {
    if let Some(record) = record {
        record.started(attempt);
    }
}

/// Before anybody hears of the end.
fn note_stop(record: &Option<Arc<Record>>, attempt: AttemptId) {
    if let Some(record) = record {
        record.stopped(attempt);
    }
}

fn ended(attempt: AttemptId, reason: EndReason, started: Timestamp) -> ExecutorEvent {
    ExecutorEvent::Ended { attempt, reason, started, ended: clock::wall(), container: false }
}

async fn sleep_all(mut orders: mpsc::UnboundedReceiver<Order>, events: Events, record: Option<Arc<Record>>) {
    let mut by_time: BTreeSet<(Instant, AttemptId)> = BTreeSet::new();
    let mut asleep: BTreeMap<AttemptId, (Instant, Timestamp)> = BTreeMap::new();
    loop {
        let next = by_time.first().map(|(at, _)| *at);
        let timer = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            order = orders.recv() => match order {
                None => return,
                Some(Order::Sleep { attempt, until, started }) => {
                    by_time.insert((until, attempt));
                    asleep.insert(attempt, (until, started));
                }
                Some(Order::Stop { attempt, signal }) => {
                    if let Some((until, started)) = asleep.remove(&attempt) {
                        by_time.remove(&(until, attempt));
                        let code = match signal {
                            Signal::Term => 143,
                            Signal::Kill => 137,
                        };
                        note_stop(&record, attempt);
                        let _ = events.send(ended(attempt, EndReason::exit(code), started));
                    }
                }
            },
            () = timer => {
                let now = Instant::now();
                while let Some((at, attempt)) = by_time.first().copied() {
                    if at > now {
                        break;
                    }
                    by_time.pop_first();
                    if let Some((_, started)) = asleep.remove(&attempt) {
                        note_stop(&record, attempt);
                        let _ = events.send(ended(attempt, EndReason::exit(0), started));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::{JobId, JobSpec};

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn three_programs_are_known() {
        assert_eq!(parse(&words("sleep 0.05")), Program::Sleep(Duration::from_millis(50)));
        assert_eq!(parse(&["sleep 0.05".to_owned()]), Program::Sleep(Duration::from_millis(50)));
        assert_eq!(parse(&words("exit 3")), Program::Exit(3));
        assert_eq!(parse(&words("sleep 1e300")), Program::Sleep(SLEEP_MAX));
        for (text, code) in [("true", 0), ("", 0), ("sleep", 0), ("sleep -1", 0), ("sleep x", 1), ("exit x", 2)] {
            assert_eq!(parse(&words(text)), Program::Exit(code), "{text}");
        }
    }

    #[tokio::test]
    async fn sleepers_end_in_their_order_and_a_stop_ends_one_early() {
        let (tx, mut events) = mpsc::unbounded_channel();
        let mut executor = NoopExecutor::new(tx, &Tasks::default(), None);
        let id = |n| AttemptId::new(JobId(1), n, 1);
        for (n, command) in ["sleep 0.2", "sleep 0.05", "sleep 5000", "exit 7"].into_iter().enumerate() {
            let spec = Arc::new(JobSpec { command: words(command), ..Default::default() });
            executor.start(Start { attempt: id(n as u32), fence: String::new(), assigned_index: 1, spec, trace: None });
        }
        executor.stop(id(2), Signal::Term);
        let mut endings = vec![];
        while endings.len() < 4 {
            if let ExecutorEvent::Ended { attempt, reason, container, .. } = events.recv().await.unwrap() {
                assert!(!container);
                endings.push((attempt.task.index, reason.exit_code));
            }
        }
        assert_eq!(endings, [(3, Some(7)), (2, Some(143)), (1, Some(0)), (0, Some(0))]);
        executor.stop(id(0), Signal::Kill);
        tokio::task::yield_now().await;
        assert!(events.try_recv().is_err(), "stopping what has ended changes nothing");
    }
}
