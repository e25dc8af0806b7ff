//! Which attempts get a network namespace that is there already. Comes in: which attempts begin and how they ended. Goes out: a sandbox
//! for an attempt, and what is to be made or removed. Pure: it knows no engine, and time is told to it.
//!
//! A sandbox belongs to at most one attempt at a time, and it is used again only when the last one left it untouched. Only tasks of a
//! kind that has shown to be short and to send nothing get one: for others a sandbox would cost more than it saves.

use std::collections::{BTreeMap, HashMap};

use cloudai_types::{AttemptId, JobSpec, Millis, Timestamp, limits};
use xxhash_rust::xxh3::Xxh3;

/// Tasks that can be expected to behave alike: the same image and program.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Kind(u64);

impl Kind {
    pub fn of(spec: &JobSpec) -> Kind {
        let mut hash = Xxh3::new();
        hash.update(spec.image.as_bytes());
        hash.update(&[0]);
        hash.update(spec.command.first().map_or("", String::as_str).as_bytes());
        Kind(hash.digest())
    }
}

/// How the latest tasks of a kind behaved.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Habit {
    Short,
    Long,
    /// They use the network, or write where a container's network is described: each needs a sandbox of its own.
    Touching,
}

/// An attempt that has begun, with what it holds.
#[derive(Debug)]
pub struct Tenant<S> {
    /// Unknown of a container that was found.
    kind: Option<Kind>,
    pub sandbox: Option<S>,
}

/// What is to be done now.
#[derive(PartialEq, Debug)]
pub struct Orders<S> {
    /// One more is to be made; [`Pool::made`] or [`Pool::not_made`] follows.
    pub make: bool,
    pub remove: Option<S>,
}

struct Idle<S> {
    sandbox: S,
    since: Timestamp,
}

pub struct Pool<S> {
    idle: Vec<Idle<S>>,
    tenants: BTreeMap<AttemptId, Tenant<S>>,
    making: usize,
    /// After a failure none is made before this.
    not_before: Timestamp,
    habits: HashMap<Kind, (Habit, Timestamp)>,
}

impl<S> Pool<S> {
    pub fn new() -> Self {
        Pool { idle: vec![], tenants: BTreeMap::new(), making: 0, not_before: Timestamp(0), habits: HashMap::new() }
    }

    /// An attempt begins. Its sandbox, if there is one for it; otherwise the engine makes it a network of its own.
    pub fn arrive(&mut self, attempt: AttemptId, kind: Kind) -> Option<&S> {
        // One that was found, created and never started, may be started now, in the sandbox that it was made for.
        if self.tenants.contains_key(&attempt) {
            return self.tenants.get(&attempt).and_then(|t| t.sandbox.as_ref());
        }
        let suits = self.habits.get(&kind).is_some_and(|(habit, _)| *habit == Habit::Short);
        let sandbox = if suits { self.idle.pop().map(|i| i.sandbox) } else { None };
        self.tenants.insert(attempt, Tenant { kind: Some(kind), sandbox });
        self.tenants.get(&attempt).and_then(|t| t.sandbox.as_ref())
    }

    /// An attempt of an earlier run of this worker lives in this sandbox.
    pub fn found(&mut self, attempt: AttemptId, sandbox: S) {
        self.tenants.insert(attempt, Tenant { kind: None, sandbox: Some(sandbox) });
    }

    /// No process of the attempt is left. `None` when that was said before.
    pub fn leave(&mut self, attempt: AttemptId) -> Option<Tenant<S>> {
        self.tenants.remove(&attempt)
    }

    /// After [`Self::leave`]: how long its program ran, if it did, and whether it left its sandbox as it was.
    pub fn judge(&mut self, tenant: Tenant<S>, ran: Option<Millis>, untouched: bool, now: Timestamp) -> Orders<S> {
        // A start that failed may have been a late answer: its container could come up after all, beside a second tenant.
        let is_reusable = untouched && tenant.kind.is_some() && ran.is_some();
        let touched = tenant.sandbox.is_some() && !untouched;
        if let (Some(kind), Some(ran)) = (tenant.kind, ran) {
            self.learn(kind, ran, touched, now);
        }
        let remove = match tenant.sandbox {
            Some(sandbox) if is_reusable => {
                self.idle.push(Idle { sandbox, since: now });
                None
            }
            other => other,
        };
        let wanted = tenant.kind.and_then(|k| self.habits.get(&k)).is_some_and(|(habit, _)| *habit == Habit::Short)
            && self.idle.is_empty()
            && self.making < limits::NETWORK_SANDBOXES_MADE_AT_ONCE
            && self.there_are() < limits::NETWORK_SANDBOXES_MAX
            && now >= self.not_before;
        self.making += usize::from(wanted);
        Orders { make: wanted, remove }
    }

    /// Idle ones, rented ones, and those that come.
    fn there_are(&self) -> usize {
        self.idle.len() + self.tenants.values().filter(|t| t.sandbox.is_some()).count() + self.making
    }

    fn learn(&mut self, kind: Kind, ran: Millis, touched: bool, now: Timestamp) {
        let habit = match self.habits.get(&kind) {
            _ if touched => Habit::Touching,
            // Without a sandbox nobody can tell whether it would have touched one.
            Some((Habit::Touching, _)) => Habit::Touching,
            _ if ran <= limits::NETWORK_SANDBOX_TASK_MAX => Habit::Short,
            _ => Habit::Long,
        };
        self.habits.insert(kind, (habit, now));
        if self.habits.len() > limits::NETWORK_SANDBOX_KINDS_MAX
            && let Some(oldest) = self.habits.iter().min_by_key(|(_, (_, at))| *at).map(|(kind, _)| *kind)
        {
            self.habits.remove(&oldest);
        }
    }

    /// One that was ordered is there.
    pub fn made(&mut self, sandbox: S, now: Timestamp) {
        self.making -= 1;
        self.idle.push(Idle { sandbox, since: now });
    }

    pub fn not_made(&mut self, now: Timestamp) {
        self.making -= 1;
        self.not_before = Timestamp(now.0 + limits::NETWORK_SANDBOX_RETRY.0);
    }

    /// Those that nobody has needed for a while.
    pub fn expire(&mut self, now: Timestamp) -> Vec<S> {
        let old = |i: &mut Idle<S>| now.0.saturating_sub(i.since.0) >= limits::NETWORK_SANDBOX_IDLE_MAX.0;
        self.idle.extract_if(.., old).map(|i| i.sandbox).collect()
    }

    /// Those that an attempt is in.
    pub fn rented(&self) -> impl Iterator<Item = &S> {
        self.tenants.values().filter_map(|t| t.sandbox.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudai_types::JobId;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const SHORT: Millis = Millis(100);

    fn id(n: u32) -> AttemptId {
        AttemptId::new(JobId(1), n, 1)
    }

    fn kind(program: &str) -> Kind {
        Kind::of(&JobSpec { image: "i".into(), command: vec![program.into(), "x".into()], ..JobSpec::default() })
    }

    fn run(pool: &mut Pool<u32>, n: u32, kind: Kind, ran: Millis, untouched: bool) -> (Option<u32>, Orders<u32>) {
        let got = pool.arrive(id(n), kind).copied();
        let tenant = pool.leave(id(n)).unwrap();
        (got, pool.judge(tenant, Some(ran), untouched, Timestamp(1)))
    }

    #[test]
    fn a_short_task_brings_one_for_those_after_it_and_an_untouched_one_is_used_again() {
        let mut pool = Pool::new();
        let (got, orders) = run(&mut pool, 0, kind("a"), SHORT, true);
        assert_eq!((got, orders), (None, Orders { make: true, remove: None }));
        pool.made(7, Timestamp(1));
        for n in 1..4 {
            assert_eq!(run(&mut pool, n, kind("a"), SHORT, true), (Some(7), Orders { make: false, remove: None }));
        }
        assert_eq!(run(&mut pool, 4, kind("unknown"), SHORT, true).0, None, "a kind that nobody knows yet");
        assert!(pool.leave(id(4)).is_none(), "an attempt leaves once");
    }

    #[test]
    fn a_touched_one_is_removed_and_its_kind_gets_none_any_more() {
        let mut pool = Pool::new();
        run(&mut pool, 0, kind("a"), SHORT, true);
        pool.made(7, Timestamp(1));
        assert_eq!(run(&mut pool, 1, kind("a"), SHORT, false), (Some(7), Orders { make: false, remove: Some(7) }));
        assert_eq!(run(&mut pool, 2, kind("a"), SHORT, true), (None, Orders { make: false, remove: None }));
        assert!(run(&mut pool, 3, kind("b"), SHORT, true).1.make, "another program of the same image is another kind");
    }

    #[test]
    fn what_was_not_seen_to_end_shares_with_nobody() {
        let mut pool = Pool::new();
        run(&mut pool, 0, kind("a"), SHORT, true);
        pool.made(7, Timestamp(1));
        assert_eq!(pool.arrive(id(1), kind("a")), Some(&7));
        let tenant = pool.leave(id(1)).unwrap();
        assert_eq!(pool.judge(tenant, None, true, Timestamp(1)).remove, Some(7), "its start failed, or so it seemed");
    }

    #[test]
    fn long_tasks_hold_none() {
        let mut pool = Pool::new();
        run(&mut pool, 0, kind("a"), SHORT, true);
        pool.made(7, Timestamp(1));
        let long = Millis(limits::NETWORK_SANDBOX_TASK_MAX.0 + 1);
        assert!(!run(&mut pool, 1, kind("a"), long, true).1.make);
        assert_eq!(run(&mut pool, 2, kind("a"), SHORT, true).0, None);
        assert_eq!(run(&mut pool, 3, kind("a"), SHORT, true).0, Some(7), "the latest one counts");
    }

    #[test]
    fn what_was_found_is_removed_after_its_attempt_and_idle_ones_go_after_a_while() {
        let mut pool = Pool::new();
        pool.found(id(0), 1);
        assert_eq!(pool.rented().collect::<Vec<_>>(), [&1]);
        let tenant = pool.leave(id(0)).unwrap();
        assert_eq!(pool.judge(tenant, Some(SHORT), true, Timestamp(1)), Orders { make: false, remove: Some(1) });
        run(&mut pool, 1, kind("a"), SHORT, true);
        pool.made(2, Timestamp(5));
        assert_eq!(pool.expire(Timestamp(limits::NETWORK_SANDBOX_IDLE_MAX.0 + 4)), Vec::<u32>::new());
        assert_eq!(pool.expire(Timestamp(limits::NETWORK_SANDBOX_IDLE_MAX.0 + 5)), [2]);
        run(&mut pool, 2, kind("a"), SHORT, true);
        pool.not_made(Timestamp(10));
        assert!(!run(&mut pool, 3, kind("a"), SHORT, true).1.make, "not at once after a failure");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Arrive(u32, u8),
        Leave(u32, bool, bool),
        Made(bool),
        Expire,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..20u32, 0..3u8).prop_map(|(n, k)| Step::Arrive(n, k)),
            4 => (0..20u32, any::<bool>(), any::<bool>()).prop_map(|(n, short, clean)| Step::Leave(n, short, clean)),
            2 => any::<bool>().prop_map(Step::Made),
            1 => Just(Step::Expire),
        ]
    }

    proptest! {
        /// Whatever happens: nobody shares, nobody gets what was touched or removed, and there are never too many.
        #[test]
        fn a_sandbox_has_one_tenant_and_a_touched_one_none(steps in prop::collection::vec(step(), 1..200)) {
            let mut pool: Pool<u32> = Pool::new();
            let (mut next, mut now, mut ordered) = (0, 0, 0);
            let mut gone: BTreeSet<u32> = BTreeSet::new();
            let mut held: BTreeMap<u32, Option<u32>> = BTreeMap::new();
            for step in steps {
                now += 7_000;
                match step {
                    Step::Arrive(n, k) if !held.contains_key(&n) => {
                        let got = pool.arrive(id(n), kind(&k.to_string())).copied();
                        if let Some(s) = got {
                            prop_assert!(!gone.contains(&s), "{} was given away after its end", s);
                            prop_assert!(!held.values().any(|h| *h == Some(s)), "{} has two tenants", s);
                        }
                        held.insert(n, got);
                    }
                    Step::Leave(n, short, clean) if held.contains_key(&n) => {
                        let had = held.remove(&n).unwrap();
                        let tenant = pool.leave(id(n)).unwrap();
                        let ran = if short { SHORT } else { Millis(3_600_000) };
                        let orders = pool.judge(tenant, Some(ran), clean, Timestamp(now));
                        prop_assert_eq!(orders.remove, had.filter(|_| !clean));
                        gone.extend(orders.remove);
                        ordered += u32::from(orders.make);
                    }
                    Step::Made(well) if ordered > 0 => {
                        ordered -= 1;
                        if well {
                            pool.made(next, Timestamp(now));
                            next += 1;
                        } else {
                            pool.not_made(Timestamp(now));
                        }
                    }
                    Step::Expire => gone.extend(pool.expire(Timestamp(now))),
                    Step::Arrive(..) | Step::Leave(..) | Step::Made(_) => {}
                }
                prop_assert!((next as usize - gone.len()) <= limits::NETWORK_SANDBOXES_MAX);
            }
        }
    }
}
