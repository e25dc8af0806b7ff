//! Notices a disk that hangs. A leader whose disk hangs still sends heartbeats, so nobody else would lead.
//! Comes in: since when the log's sync thread and `commit` have been busy. Goes out: first an attempt to hand the leadership
//! over, for a disk that may only be slow; later one call of `on_hung`. Runs on a thread of its own, because the async runtime may be
//! what hangs.

use std::io;
use std::sync::Weak;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cloudai_types::limits::{DISK_HANG, DISK_STALL};

/// What to do about a hung disk.
pub struct Watchdog {
    /// One fsync or one commit that takes longer than this: another master should lead, once per such stall.
    pub stall: Duration,
    /// One that takes longer than this is a hung disk.
    pub limit: Duration,
    /// Called once, from the watchdog's thread, after the leadership was offered to another master. Should end the
    /// process.
    pub on_hung: Box<dyn FnOnce(Hung) + Send + 'static>,
}

/// What hung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hung {
    pub what: HungPart,
    pub for_at_least: Duration,
}

/// Where the disk hung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HungPart {
    LogSync,
    Commit,
}

impl Watchdog {
    /// The default limits.
    pub fn new(on_hung: impl FnOnce(Hung) + Send + 'static) -> Watchdog {
        let (stall, limit) = (Duration::from_millis(DISK_STALL.0), Duration::from_millis(DISK_HANG.0));
        Watchdog { stall, limit, on_hung: Box::new(on_hung) }
    }
}

/// What the watchdog looks at, and what it may try before it calls `on_hung`.
pub(crate) trait Watched: Send + Sync + 'static {
    /// Since when each part has been inside one operation.
    fn busy_since(&self) -> [(HungPart, Option<Instant>); 2];

    /// Try to hand the leadership over; say when that is done or given up. The runtime may hang too: do not wait.
    fn offer_leadership(&self, done: mpsc::Sender<()>);
}

/// How long a hand-over may take before the process ends all the same.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);

/// A watchdog that itself comes so much too late was stopped together with the whole process (a frozen machine, a debugger): that says nothing
/// about the disk.
const PAUSED: Duration = Duration::from_secs(1);

/// Watch until `watched` is gone.
pub(crate) fn spawn<W: Watched>(watchdog: Watchdog, watched: Weak<W>) -> io::Result<()> {
    let pause = (watchdog.stall / 20).clamp(Duration::from_millis(5), Duration::from_millis(250));
    std::thread::Builder::new().name("raft-watchdog".into()).spawn(move || {
        // The leadership was offered in this stall.
        let mut offered = false;
        // What began before this moment counts from it.
        let mut since_at_least = Instant::now();
        loop {
            let before = Instant::now();
            std::thread::sleep(pause);
            let Some(w) = watched.upgrade() else { return };
            if before.elapsed() > pause + PAUSED {
                since_at_least = Instant::now();
            }
            let Some(stall) = longest(&*w, watchdog.stall, since_at_least) else {
                offered = false;
                continue;
            };
            let for_ms = stall.for_at_least.as_millis() as u64;
            if !offered {
                offered = true;
                tracing::warn!(what = ?stall.what, for_ms, "the disk stalls; another master should lead");
                offer(&*w);
            }
            if stall.for_at_least > watchdog.limit {
                tracing::error!(what = ?stall.what, for_ms, "the disk hangs; this master hands over and stops");
                offer(&*w);
                drop(w);
                (watchdog.on_hung)(stall);
                return;
            }
        }
    })?;
    Ok(())
}

/// The part that has been busy for longest, if for longer than this.
fn longest(w: &impl Watched, than: Duration, since_at_least: Instant) -> Option<Hung> {
    let now = Instant::now();
    let busy = w.busy_since().into_iter().filter_map(|(what, since)| {
        let for_at_least = now.saturating_duration_since(since?.max(since_at_least));
        (for_at_least > than).then_some(Hung { what, for_at_least })
    });
    busy.max_by_key(|hung| hung.for_at_least)
}

fn offer(w: &impl Watched) {
    let (tx, rx) = mpsc::channel();
    w.offer_leadership(tx);
    let _handed_over_or_not = rx.recv_timeout(HAND_OVER_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    struct Disk {
        since: Mutex<Option<Instant>>,
        offered: mpsc::Sender<()>,
    }

    impl Watched for Disk {
        fn busy_since(&self) -> [(HungPart, Option<Instant>); 2] {
            [(HungPart::LogSync, None), (HungPart::Commit, *self.since.lock().unwrap())]
        }

        fn offer_leadership(&self, done: mpsc::Sender<()>) {
            self.offered.send(()).unwrap();
            done.send(()).unwrap();
        }
    }

    #[test]
    fn offers_the_leadership_and_then_tells_once() {
        let (offered, offers) = mpsc::channel();
        let (told, tells) = mpsc::channel();
        let disk = Arc::new(Disk { since: Mutex::new(None), offered });
        spawn(dog(20, 60, told), Arc::downgrade(&disk)).unwrap();
        *disk.since.lock().unwrap() = Some(Instant::now());
        let hung = tells.recv().unwrap();
        assert_eq!(hung.what, HungPart::Commit);
        assert!(hung.for_at_least > Duration::from_millis(60));
        assert_eq!(offers.try_iter().count(), 2, "offered when it stalled, and again before it told");
        assert!(tells.recv().is_err(), "told once, then the thread ended");
    }

    #[test]
    fn a_stall_that_ends_costs_the_leadership_only() {
        let (offered, offers) = mpsc::channel();
        let (told, tells) = mpsc::channel();
        let disk = Arc::new(Disk { since: Mutex::new(Some(Instant::now())), offered });
        spawn(dog(20, 600_000, told), Arc::downgrade(&disk)).unwrap();
        offers.recv().unwrap();
        *disk.since.lock().unwrap() = None;
        std::thread::sleep(Duration::from_millis(60));
        *disk.since.lock().unwrap() = Some(Instant::now());
        offers.recv().unwrap();
        assert!(offers.try_recv().is_err(), "once per stall");
        drop(disk);
        assert!(tells.recv().is_err());
    }

    fn dog(stall_ms: u64, limit_ms: u64, told: mpsc::Sender<Hung>) -> Watchdog {
        let ms = Duration::from_millis;
        Watchdog { stall: ms(stall_ms), limit: ms(limit_ms), on_hung: Box::new(move |h| told.send(h).unwrap()) }
    }

    #[test]
    fn ends_with_what_it_watches_and_tells_nothing() {
        let (offered, _offers) = mpsc::channel();
        let (told, tells) = mpsc::channel::<Hung>();
        let disk = Arc::new(Disk { since: Mutex::new(None), offered });
        spawn(dog(20, 60, told), Arc::downgrade(&disk)).unwrap();
        drop(disk);
        assert!(tells.recv().is_err());
    }
}
