//! The network between hosts: calls (each on its own, so they may overtake one another) and streams (in order, until they break).
//! Comes in: messages with somebody who waits. Goes out: the same messages, later, or never, or "it broke". Delay, loss, cuts
//! in either direction and dead hosts are its business; what a message says is not.
//!
//! A stream behaves like HTTP/2 over TCP: nothing on it is lost or reordered, a loss costs a retransmission, a cut holds
//! everything back, and a peer that is silent for [`KEEPALIVE_MS`] breaks it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{mpsc, oneshot};
use tonic::Status;

use crate::dice::Dice;
use crate::message::{Answer, Frame, Question, Topic};

pub type HostId = u8;

/// One run of one host: what a dead process sent to nobody never arrives at its successor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    pub host: HostId,
    pub run: u32,
}

/// A peer that does not answer pings for this long is taken for dead.
pub const KEEPALIVE_MS: u64 = 8_000;
/// What a lost segment costs a stream.
const RETRANSMISSION_MS: u64 = 200;
/// Undelivered messages: more means that somebody sends without limit (I10).
pub const IN_FLIGHT_MAX: usize = 20_000;

/// What a listening process hears.
pub enum Inbound {
    Call { question: Question, reply: ReplyTo },
    Open { topic: Topic, stream: Duplex },
}

/// How bad the network is now.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Weather {
    pub delay_ms: (u64, u64),
    pub loss_per_thousand: u64,
}

pub const CALM: Weather = Weather { delay_ms: (1, 4), loss_per_thousand: 0 };

struct HostState {
    run: u32,
    inbox: Option<mpsc::UnboundedSender<Inbound>>,
    paused: bool,
}

type Deliver = Box<dyn FnOnce(&mut Inner, Fate) + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrived,
    /// Nobody listens there.
    Refused,
}

struct Flight {
    from: HostId,
    to: Place,
    /// Any run of the target will do.
    any_run: bool,
    stream: Option<(u64, Side)>,
    deliver: Deliver,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Side {
    Dialler,
    Listener,
}

struct Conn {
    dialler: Place,
    listener: Place,
    /// What each side hears through: to the dialler, to the listener.
    ears: [Option<mpsc::UnboundedSender<Result<Frame, Status>>>; 2],
    /// The last delivery time in each direction: order is kept.
    last_us: [u64; 2],
    held: [VecDeque<Flight>; 2],
    silent_since_us: Option<u64>,
}

struct Inner {
    now_us: u64,
    dice: Dice,
    sequence: u64,
    flights: BTreeMap<(u64, u64), Flight>,
    hosts: BTreeMap<HostId, HostState>,
    cuts: BTreeSet<(HostId, HostId)>,
    weather: Weather,
    conns: BTreeMap<u64, Conn>,
    delivered: u64,
}

/// Cheap to clone; all clones are the same network.
#[derive(Clone)]
pub struct Net(Arc<Mutex<Inner>>);

impl Net {
    pub fn new(dice: Dice) -> Self {
        Net(Arc::new(Mutex::new(Inner {
            now_us: 0,
            dice,
            sequence: 0,
            flights: BTreeMap::new(),
            hosts: BTreeMap::new(),
            cuts: BTreeSet::new(),
            weather: CALM,
            conns: BTreeMap::new(),
            delivered: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("the network does not panic")
    }

    // ---- For the simulation itself ------------------------------------------------------------------------------------

    /// A new run of `host`, and what it hears.
    pub fn up(&self, host: HostId) -> (Place, mpsc::UnboundedReceiver<Inbound>) {
        let (tx, rx) = mpsc::unbounded_channel();
        let mut inner = self.lock();
        let run = inner.hosts.get(&host).map_or(1, |h| h.run + 1);
        inner.hosts.insert(host, HostState { run, inbox: Some(tx), paused: false });
        (Place { host, run }, rx)
    }

    /// The process of `host` has died. Its kernel tells the peers, unless the machine died with it (`silently`).
    pub fn down(&self, host: HostId, silently: bool) {
        let mut inner = self.lock();
        let Some(state) = inner.hosts.get_mut(&host) else { return };
        state.run += 1;
        state.inbox = None;
        state.paused = false;
        let touched: Vec<u64> = inner
            .conns
            .iter()
            .filter(|(_, c)| c.dialler.host == host || c.listener.host == host)
            .map(|(id, _)| *id)
            .collect();
        for id in touched {
            let Some(conn) = inner.conns.get_mut(&id) else { continue };
            let from = if conn.dialler.host == host { Side::Dialler } else { Side::Listener };
            conn.ears[from as usize] = None;
            if silently {
                continue;
            }
            inner.post_on_stream(
                id,
                from,
                Box::new(move |inner, _| inner.break_stream(id, "connection reset by peer")),
            );
        }
    }

    pub fn pause(&self, host: HostId, paused: bool) {
        if let Some(state) = self.lock().hosts.get_mut(&host) {
            state.paused = paused;
        }
    }

    /// Nothing goes from `from` to `to` any more; the other direction is another cut.
    pub fn cut(&self, from: HostId, to: HostId) {
        self.lock().cuts.insert((from, to));
    }

    pub fn mend(&self, from: HostId, to: HostId) {
        self.lock().cuts.remove(&(from, to));
    }

    pub fn mend_all(&self) {
        self.lock().cuts.clear();
    }

    pub fn set_weather(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    pub fn in_flight(&self) -> usize {
        self.lock().flights.len()
    }

    pub fn delivered(&self) -> u64 {
        self.lock().delivered
    }

    /// Delivers everything that is due.
    pub fn deliver(&self, now_ms: u64) {
        let mut inner = self.lock();
        inner.now_us = now_ms * 1_000;
        inner.look_at_streams();
        while let Some(entry) = inner.flights.first_entry()
            && entry.key().0 <= now_ms * 1_000
        {
            let flight = entry.remove();
            inner.arrive(flight);
        }
    }

    // ---- For what runs on hosts ---------------------------------------------------------------------------------------

    /// Asks one question. May never return: the caller has the deadline.
    pub async fn call(&self, from: Place, to: HostId, question: Question) -> Result<Answer, Status> {
        let (tx, rx) = oneshot::channel();
        let net = self.clone();
        self.lock().post(from, to, move |inner, fate| {
            let reply = ReplyTo { net, asker: from, answerer: to, answer: Some(tx) };
            match fate {
                Fate::Arrived => {
                    if let Some(inbox) = inner.hosts.get(&to).and_then(|h| h.inbox.as_ref()) {
                        let _ = inbox.send(Inbound::Call { question, reply });
                    }
                }
                Fate::Refused => reply.refuse(inner),
            }
        });
        match rx.await {
            Ok(answer) => answer,
            // The one who was to answer died: nothing will come, and nobody says so.
            Err(_) => std::future::pending().await,
        }
    }

    /// Opens a stream. Messages may be sent at once; a listener that is not there breaks it.
    pub fn open(&self, from: Place, to: HostId, topic: Topic) -> Duplex {
        let (to_dialler, dialler_hears) = mpsc::unbounded_channel();
        let (to_listener, listener_hears) = mpsc::unbounded_channel();
        let mut inner = self.lock();
        inner.sequence += 1;
        let id = inner.sequence;
        let listener = Place { host: to, run: inner.hosts.get(&to).map_or(0, |h| h.run) };
        let conn = Conn {
            dialler: from,
            listener,
            ears: [Some(to_dialler), Some(to_listener)],
            last_us: [0, 0],
            held: [VecDeque::new(), VecDeque::new()],
            silent_since_us: None,
        };
        inner.conns.insert(id, conn);
        let net = self.clone();
        let deliver: Deliver = Box::new(move |inner, fate| match fate {
            Fate::Arrived => {
                let stream = Duplex::new(&net, id, Side::Listener, listener_hears);
                match inner.hosts.get(&to).and_then(|h| h.inbox.as_ref()) {
                    Some(inbox) => {
                        let sent = inbox.send(Inbound::Open { topic, stream });
                        if let Err(mpsc::error::SendError(Inbound::Open { stream, .. })) = sent {
                            stream.forget();
                        }
                    }
                    None => stream.forget(),
                }
            }
            Fate::Refused => inner.break_stream(id, "connection refused"),
        });
        inner.post_on_stream(id, Side::Dialler, deliver);
        drop(inner);
        Duplex::new(self, id, Side::Dialler, dialler_hears)
    }
}

impl Inner {
    fn delay_us(&mut self) -> u64 {
        let (low, high) = self.weather.delay_ms;
        self.dice.between(low * 1_000, high * 1_000)
    }

    fn is_live(&self, place: Place) -> bool {
        self.hosts.get(&place.host).is_some_and(|h| h.run == place.run && h.inbox.is_some())
    }

    fn post(&mut self, from: Place, to: HostId, deliver: impl FnOnce(&mut Inner, Fate) + Send + 'static) {
        if !self.is_live(from) {
            return;
        }
        let flight = Flight {
            from: from.host,
            to: Place { host: to, run: 0 },
            any_run: true,
            stream: None,
            deliver: Box::new(deliver),
        };
        if self.dice.below(1_000) < self.weather.loss_per_thousand {
            // Lost with everything that hangs on it: the asker's time-out says so.
            return;
        }
        let at = self.now_us + self.delay_us();
        self.launch(at, flight);
    }

    fn launch(&mut self, at_us: u64, flight: Flight) {
        self.sequence += 1;
        self.flights.insert((at_us, self.sequence), flight);
    }

    fn post_on_stream(&mut self, id: u64, from: Side, deliver: Deliver) {
        let mut at = self.now_us + self.delay_us();
        if self.dice.below(1_000) < self.weather.loss_per_thousand {
            at += RETRANSMISSION_MS * 1_000;
        }
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let direction = from as usize;
        let at = at.max(conn.last_us[direction] + 1);
        conn.last_us[direction] = at;
        let (sender, to) = match from {
            Side::Dialler => (conn.dialler, conn.listener),
            Side::Listener => (conn.listener, conn.dialler),
        };
        let flight = Flight { from: sender.host, to, any_run: false, stream: Some((id, from)), deliver };
        self.launch(at, flight);
    }

    fn arrive(&mut self, flight: Flight) {
        let is_cut = self.cuts.contains(&(flight.from, flight.to.host));
        if let Some((id, side)) = flight.stream {
            let Some(conn) = self.conns.get_mut(&id) else { return };
            if is_cut || !conn.held[side as usize].is_empty() {
                conn.held[side as usize].push_back(flight);
                return;
            }
        } else if is_cut {
            return;
        }
        let listens = match flight.any_run {
            true => self.hosts.get(&flight.to.host).is_some_and(|h| h.inbox.is_some()),
            false => self.is_live(flight.to),
        };
        self.delivered += 1;
        (flight.deliver)(self, if listens { Fate::Arrived } else { Fate::Refused });
    }

    /// Lets go what a mended cut had held back, and breaks streams whose other end is silent.
    fn look_at_streams(&mut self) {
        let ids: Vec<u64> = self.conns.keys().copied().collect();
        for id in ids {
            let Some(conn) = self.conns.get(&id) else { continue };
            let (a, b) = (conn.dialler, conn.listener);
            let cut = |x: Place, y: Place| self.cuts.contains(&(x.host, y.host));
            let absent = |p: Place| !self.is_live(p) || self.hosts.get(&p.host).is_some_and(|h| h.paused);
            let silent = cut(a, b) || cut(b, a) || absent(a) || absent(b);
            let open = [!cut(a, b), !cut(b, a)];
            let now = self.now_us;
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            if !silent {
                conn.silent_since_us = None;
            } else if *conn.silent_since_us.get_or_insert(now) + KEEPALIVE_MS * 1_000 < now {
                self.break_stream(id, "keep-alive: the peer does not answer");
                continue;
            }
            let mut freed = vec![];
            for (direction, is_open) in open.into_iter().enumerate() {
                if is_open {
                    freed.extend(conn.held[direction].drain(..).map(|flight| (direction, flight)));
                }
            }
            // What is under way in the same direction was sent later: it must not arrive before what was held.
            for direction in BTreeSet::from_iter(freed.iter().map(|(direction, _)| *direction)) {
                let under_way = |f: &Flight| f.stream.is_some_and(|(s, side)| s == id && side as usize == direction);
                let keys: Vec<_> = self.flights.iter().filter(|(_, f)| under_way(f)).map(|(key, _)| *key).collect();
                freed.extend(keys.iter().filter_map(|key| self.flights.remove(key)).map(|flight| (direction, flight)));
            }
            for (direction, flight) in freed {
                let at = now + self.delay_us();
                let Some(conn) = self.conns.get_mut(&id) else { break };
                let at = at.max(conn.last_us[direction] + 1);
                conn.last_us[direction] = at;
                self.launch(at, flight);
            }
        }
    }

    fn break_stream(&mut self, id: u64, why: &str) {
        let Some(conn) = self.conns.remove(&id) else { return };
        for (ear, place) in conn.ears.into_iter().zip([conn.dialler, conn.listener]) {
            if let Some(ear) = ear
                && self.is_live(place)
            {
                let _ = ear.send(Err(Status::unavailable(why)));
            }
        }
    }
}

/// The way back to whoever asked. Dropping it answers nothing.
pub struct ReplyTo {
    net: Net,
    asker: Place,
    answerer: HostId,
    answer: Option<oneshot::Sender<Result<Answer, Status>>>,
}

impl ReplyTo {
    pub fn send(mut self, from: Place, result: Result<Answer, Status>) {
        let Some(answer) = self.answer.take() else { return };
        let asker = self.asker;
        self.net.lock().post(from, asker.host, move |inner, fate| {
            if fate == Fate::Arrived && inner.is_live(asker) {
                let _ = answer.send(result);
            }
        });
    }

    /// The kernel of a host without that process says so, if it can.
    fn refuse(mut self, inner: &mut Inner) {
        let Some(answer) = self.answer.take() else { return };
        let (asker, answerer) = (self.asker, self.answerer);
        if inner.cuts.contains(&(answerer, asker.host)) || !inner.is_live(asker) {
            return;
        }
        let at = inner.now_us + inner.delay_us();
        let deliver: Deliver = Box::new(move |inner, _| {
            if inner.is_live(asker) {
                let _ = answer.send(Err(Status::unavailable("connection refused")));
            }
        });
        inner.launch(at, Flight { from: answerer, to: asker, any_run: true, stream: None, deliver });
    }
}

/// One end of a stream.
pub struct Duplex {
    pub out: StreamOut,
    pub hears: mpsc::UnboundedReceiver<Result<Frame, Status>>,
}

impl Duplex {
    fn new(net: &Net, id: u64, side: Side, hears: mpsc::UnboundedReceiver<Result<Frame, Status>>) -> Self {
        Duplex { out: StreamOut { net: Some(net.clone()), id, side }, hears }
    }

    fn forget(mut self) {
        self.out.net = None;
    }
}

/// The sending half. Dropping it closes this direction, after what was sent: the other one goes on.
pub struct StreamOut {
    net: Option<Net>,
    id: u64,
    side: Side,
}

impl StreamOut {
    /// False when the stream is broken.
    pub fn send(&self, frame: Frame) -> bool {
        let Some(net) = &self.net else { return false };
        let mut inner = net.lock();
        let (id, ear) = (self.id, 1 - self.side as usize);
        let Some(conn) = inner.conns.get(&id) else { return false };
        let own = if self.side == Side::Dialler { conn.dialler } else { conn.listener };
        if !inner.is_live(own) {
            return false;
        }
        let deliver: Deliver = Box::new(move |inner, fate| match fate {
            Fate::Arrived => {
                let ear = match ear {
                    0 => Ear::Dialler,
                    _ => Ear::Listener,
                };
                inner.hear(id, ear, frame);
            }
            Fate::Refused => inner.break_stream(id, "connection reset by peer"),
        });
        inner.post_on_stream(id, self.side, deliver);
        true
    }
}

#[derive(Clone, Copy)]
enum Ear {
    Dialler,
    Listener,
}

impl Inner {
    fn hear(&mut self, id: u64, ear: Ear, frame: Frame) {
        let Some(conn) = self.conns.get(&id) else { return };
        if let Some(ear) = &conn.ears[ear as usize] {
            let _ = ear.send(Ok(frame));
        }
    }
}

impl Drop for StreamOut {
    fn drop(&mut self) {
        let Some(net) = self.net.take() else { return };
        let id = self.id;
        let mut inner = net.lock();
        let Some(conn) = inner.conns.get(&id) else { return };
        let own = if self.side == Side::Dialler { conn.dialler } else { conn.listener };
        if !inner.is_live(own) {
            return;
        }
        let ear = 1 - self.side as usize;
        let deliver: Deliver = Box::new(move |inner, _| {
            let Some(conn) = inner.conns.get_mut(&id) else { return };
            conn.ears[ear] = None;
            if conn.ears.iter().all(Option::is_none) {
                inner.conns.remove(&id);
            }
        });
        inner.post_on_stream(id, self.side, deliver);
    }
}
