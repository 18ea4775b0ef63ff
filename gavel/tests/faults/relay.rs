//! What lies between the load and the exchange: a way for datagrams, as bad as it is asked to be.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

use crate::load::from_outside;
use crate::process::Served;

/// What may happen to a datagram, each drawn by itself.
#[derive(Clone, Copy, Default)]
pub struct Weather {
    /// The longest that one takes, in milliseconds. They arrive in their order.
    pub delay_ms_max: u64,
    /// The share that never arrives.
    pub dropped: f64,
    /// The share that arrives twice.
    pub doubled: f64,
    /// The share that arrives after others that were sent later.
    pub overtaken: f64,
}

/// How much later one arrives that is overtaken, or that arrives a second time.
const LATER: Duration = Duration::from_millis(20);

/// How long a way waits for a datagram before it looks whether it is to end.
const QUIET_MAX: Duration = Duration::from_millis(50);

/// Longer than any datagram.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// Which datagrams are swallowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Those from the exchange: what it does, it does, but nobody hears of it.
    Answers,
    /// All of them.
    Both,
}

/// Passes datagrams on. Dropping it ends it.
pub struct Relay {
    shared: Arc<Shared>,
    ways: Vec<JoinHandle<()>>,
}

struct Shared {
    near_load: UdpSocket,
    near_exchange: UdpSocket,
    /// From where the load sent last.
    load: Mutex<Option<SocketAddr>>,
    weather: Weather,
    cut: Mutex<Option<Cut>>,
    passed: AtomicU64,
    /// Those that something happened to.
    hit: AtomicU64,
    swallowed: AtomicU64,
    ended: AtomicBool,
}

impl Relay {
    /// Starts a way to an exchange.
    pub fn start(served: &Served, weather: Weather) -> Self {
        let socket = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (near_load, near_exchange) = (socket(), socket());
        near_exchange.connect(served.quic()).unwrap();
        let shared = Arc::new(Shared {
            near_load,
            near_exchange,
            load: Mutex::default(),
            weather,
            cut: Mutex::default(),
            passed: AtomicU64::default(),
            hit: AtomicU64::default(),
            swallowed: AtomicU64::default(),
            ended: AtomicBool::default(),
        });
        let ways = [Direction::ToExchange, Direction::ToLoad].map(|direction| {
            let way = Way::new(shared.clone(), direction);
            thread::spawn(move || way.carry())
        });
        Self { shared, ways: ways.into() }
    }

    /// Makes a data directory by which a load finds the exchange through this.
    pub fn data(&self, served: &Served) -> TempDir {
        let (folder, file) = (tempfile::tempdir().unwrap(), "exchange.json");
        let whereabouts = std::fs::read_to_string(served.path().join(file)).unwrap();
        let mut whereabouts: serde_json::Value = serde_json::from_str(&whereabouts).unwrap();
        whereabouts["quic"] = self.shared.near_load.local_addr().unwrap().to_string().into();
        std::fs::write(folder.path().join(file), whereabouts.to_string()).unwrap();
        std::fs::create_dir(folder.path().join("keys")).unwrap();
        let key = "keys/operator.key";
        std::fs::copy(served.path().join(key), folder.path().join(key)).unwrap();
        folder
    }

    /// Swallows datagrams from now on.
    pub fn cut(&self, cut: Cut) {
        *self.shared.cut.lock().unwrap() = Some(cut);
    }

    /// Passes everything on again, if the weather is good.
    pub fn mend(&self) {
        *self.shared.cut.lock().unwrap() = None;
    }

    /// Returns how many datagrams have come, without those that a cut has swallowed.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::Relaxed)
    }

    /// Returns to how many of them the weather did something.
    pub fn hit(&self) -> u64 {
        self.shared.hit.load(Ordering::Relaxed)
    }

    /// Returns how many datagrams cuts have swallowed.
    pub fn swallowed(&self) -> u64 {
        self.shared.swallowed.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for way in self.ways.drain(..) {
            // One that has panicked has said so.
            drop(way.join());
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToExchange,
    ToLoad,
}

impl Shared {
    fn is_cut(&self, direction: Direction) -> bool {
        match *self.cut.lock().unwrap() {
            None => false,
            Some(Cut::Answers) => direction == Direction::ToLoad,
            Some(Cut::Both) => true,
        }
    }

    /// Returns the length of the datagram that comes within a time, if one does.
    fn receive(&self, direction: Direction, wait: Duration, bytes: &mut [u8]) -> Option<usize> {
        let socket = match direction {
            Direction::ToExchange => &self.near_load,
            Direction::ToLoad => &self.near_exchange,
        };
        socket.set_read_timeout(Some(wait)).unwrap();
        let (length, from) = socket.recv_from(bytes).ok()?;
        if direction == Direction::ToExchange {
            *self.load.lock().unwrap() = Some(from);
        }
        Some(length)
    }

    fn send(&self, direction: Direction, datagram: &[u8]) {
        let load = *self.load.lock().unwrap();
        // What cannot be sent is lost: such is the nature of datagrams.
        drop(match (direction, load) {
            (Direction::ToExchange, _) => self.near_exchange.send(datagram),
            (Direction::ToLoad, Some(load)) => self.near_load.send_to(datagram, load),
            (Direction::ToLoad, None) => Ok(0),
        });
    }
}

/// One direction of a relay.
struct Way {
    shared: Arc<Shared>,
    direction: Direction,
    random: ChaCha8Rng,
    /// By when they arrive; those of one time in the order in which they came.
    under_way: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    last_arrival: Instant,
    came: u64,
}

impl Way {
    fn new(shared: Arc<Shared>, direction: Direction) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(from_outside("GAVEL_FAULT_SEED", 1));
        random.set_stream(direction as u64);
        let (under_way, last_arrival) = (BinaryHeap::new(), Instant::now());
        Self { shared, direction, random, under_way, last_arrival, came: 0 }
    }

    fn carry(mut self) {
        let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
        while !self.shared.ended.load(Ordering::Relaxed) {
            let wait = self.deliver();
            if let Some(length) = self.shared.receive(self.direction, wait, &mut bytes) {
                self.take(&bytes[..length]);
            }
        }
    }

    /// Delivers what has arrived, and returns how long to wait for the next.
    fn deliver(&mut self) -> Duration {
        while let Some(Reverse((arrival, ..))) = self.under_way.peek() {
            let wait = arrival.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                return wait.min(QUIET_MAX);
            }
            let Some(Reverse((_, _, datagram))) = self.under_way.pop() else { break };
            self.shared.send(self.direction, &datagram);
        }
        QUIET_MAX
    }

    /// Draws what happens to a datagram.
    fn take(&mut self, datagram: &[u8]) {
        if self.shared.is_cut(self.direction) {
            self.shared.swallowed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let Weather { delay_ms_max, dropped, doubled, overtaken } = self.shared.weather;
        let delay = Duration::from_millis(self.random.random_range(0..=delay_ms_max));
        let [is_dropped, is_doubled, is_overtaken] =
            [dropped, doubled, overtaken].map(|share| self.random.random_bool(share));
        self.shared.passed.fetch_add(1, Ordering::Relaxed);
        if is_dropped || is_doubled || is_overtaken || !delay.is_zero() {
            self.shared.hit.fetch_add(1, Ordering::Relaxed);
        }
        if is_dropped {
            return;
        }
        self.last_arrival = self.last_arrival.max(Instant::now() + delay);
        let later = self.last_arrival + LATER;
        self.send_at(if is_overtaken { later } else { self.last_arrival }, datagram);
        if is_doubled {
            self.send_at(later, datagram);
        }
    }

    fn send_at(&mut self, arrival: Instant, datagram: &[u8]) {
        self.came += 1;
        self.under_way.push(Reverse((arrival, self.came, datagram.to_vec())));
    }
}
