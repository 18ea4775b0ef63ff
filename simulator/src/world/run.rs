//! Runs a world: step by step, with whatever its plan has in store, and then until all is quiet.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use gavel_exchange::{Exchange, Snapshot};
use gavel_gateway::{FanOut, Pipes, Written};
use gavel_protocol::{
    Attributes, ClientId, Codec, Command, Currency, Deposit, Digest, DurationNs, EnrolAccount,
    EnrolAgent, Found, Halt, ListCapability, Micros, Nonce, PublicKey, Reopen, Request, Roles,
    Settings, TimestampNs, Topic,
};
use gavel_sequencer::{
    Batch, Consumer, Inbox, Note, Now, Origin, RecoveryError, Stepper, Submission, replay_noted,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::agent::{Agent, key};
use super::auditor::Auditor;
use super::disk::{Disk, DiskJournal, Fault};
use super::plan::{Plan, comes, micros, pick};
use super::report::{Checked, Failure, Tally};

/// When every world begins: 2026-01-01 00:00 UTC.
const BEGIN: TimestampNs = TimestampNs::from_nanos(1_767_225_600_000_000_000);
/// What each account begins with.
const DEPOSIT: Micros = Micros::new(100_000_000_000);
/// The longest that a world is given to become quiet: some 20 s, if its own steps are shorter than these.
const QUIET_STEPS_MAX: u64 = 20_000;
const QUIET_STEP_US_MAX: u64 = 2_000;
/// Commands of a second that a session may send.
const COMMANDS_PER_SECOND: u32 = 100_000;
/// The most that a clock jumps.
const JUMP_MS_MAX: u64 = 600_000;

/// How likely the operator confirms a jump of the clock in a step.
const CLOCK_CONFIRMED: f64 = 0.02;

/// How long a world goes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until so many commands have a place in the order.
    pub commands: u64,
    /// Or so many steps were taken.
    pub steps: u64,
}

/// Runs the world of a seed.
///
/// # Errors
///
/// [`Failure`]: what must not happen has happened.
pub fn run(seed: u64, limits: Limits) -> Result<Tally, Failure> {
    let mut world = World::new(seed);
    let done = world.set_up().and_then(|()| world.live(limits));
    let done = done.and_then(|()| world.become_quiet()).and_then(|()| world.check_end());
    let tally = world.tally();
    done.map(|()| tally).map_err(|what| Failure { seed, step: world.step, what })
}

struct World {
    rng: ChaCha8Rng,
    plan: Plan,
    step: u64,
    /// On the edge's clock, which never jumps.
    elapsed: DurationNs,
    /// What the wall clock shows more than that, since the beginning.
    jumped: DurationNs,
    disk: Disk,
    note: Note,
    observer: Arc<Observer>,
    /// None while the process is down.
    running: Option<Running>,
    agents: Vec<Agent>,
    tally: Tally,
}

/// A process of the exchange.
struct Running {
    inbox: Inbox,
    pipes: Pipes,
    stepper: Stepper<DiskJournal>,
    commit: Option<Commit>,
}

/// A commit that has begun.
struct Commit {
    ends_at: DurationNs,
    fault: Fault,
}

/// Gets what is published: the edge, and before it the auditor.
struct Observer {
    state: Mutex<Observed>,
}

#[derive(Default)]
struct Observed {
    fan_out: Arc<FanOut>,
    auditor: Auditor,
    failed: Option<String>,
}

impl Observer {
    fn lock(&self) -> MutexGuard<'_, Observed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Consumer for Observer {
    fn sequenced(&self, origin: Origin, ts_event: TimestampNs) {
        self.lock().fan_out.sequenced(origin, ts_event);
    }

    fn published(&self, batch: &Batch) {
        let mut observed = self.lock();
        let checked = observed.auditor.published(batch);
        observed.failed = observed.failed.take().or(checked.err());
        observed.fan_out.published(batch);
    }

    fn journal_failed(&self) {
        self.lock().fan_out.journal_failed();
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            plan: Plan::draw(&mut rng),
            rng,
            step: 0,
            elapsed: DurationNs::ZERO,
            jumped: DurationNs::ZERO,
            disk: Disk::default(),
            note: Note::default(),
            observer: Arc::new(Observer { state: Mutex::default() }),
            running: None,
            agents: Vec::new(),
            tally: Tally { worlds: 1, ..Tally::default() },
        }
    }

    fn tally(&self) -> Tally {
        let of_auditor = self.observer.lock().auditor.tally;
        let mut tally = Tally { virtual_ns: self.elapsed.nanos(), ..self.tally };
        tally += of_auditor;
        tally
    }

    fn now(&self) -> TimestampNs {
        BEGIN.after(self.elapsed).after(self.jumped)
    }

    fn clocks(&self) -> Now {
        Now { wall: self.now(), elapsed: self.elapsed }
    }

    /// Founds the exchange and enrols everybody, without any trouble.
    fn set_up(&mut self) -> Checked {
        self.start()?;
        self.settle()?;
        let mut client_ids = 0_u128;
        let mut id = |now| {
            client_ids += 1;
            ClientId::from_parts(now, (1 << 79) | client_ids)
        };
        let (now, plan) = (self.now(), self.plan);
        let transaction_max = Micros::new(1_000_000_000_000);
        for _ in 0..plan.accounts {
            let client_id = id(now);
            self.operate(Command::EnrolAccount(EnrolAccount { client_id, transaction_max }))?;
        }
        for (name, client_id) in [("ocr", id(now)), ("summary", id(now))] {
            let name = name.parse().map_err(|_| "a name is one".to_owned())?;
            let (currency, terms) = (Currency::USD, Digest::new([0; 32]));
            self.operate(Command::ListCapability(ListCapability {
                client_id,
                name,
                currency,
                terms,
            }))?;
        }
        self.settle()?;
        let accounts = self.observer.lock().auditor.accounts.clone();
        let traders = &accounts[accounts.len() - plan.accounts..];
        for number in 0..plan.agents {
            let key = PublicKey::new(key(number).verifying_key().to_bytes());
            let account = traders[number % traders.len()];
            let (roles, attributes) = (Roles::TRADER, Attributes::default());
            let client_id = id(now);
            let enrol = EnrolAgent { client_id, account, key, roles, attributes };
            self.operate(Command::EnrolAgent(enrol))?;
        }
        for account in traders {
            let (client_id, amount, currency) = (id(now), DEPOSIT, Currency::USD);
            self.operate(Command::Deposit(Deposit {
                client_id,
                account: *account,
                amount,
                currency,
            }))?;
        }
        self.settle()?;
        self.make_agents()
    }

    fn make_agents(&mut self) -> Checked {
        let (agents, capabilities, exchange) = {
            let observed = self.observer.lock();
            let name = observed.fan_out.exchange().ok_or("the exchange is not founded")?;
            let auditor = &observed.auditor;
            (auditor.agents.clone(), auditor.capabilities.clone(), name)
        };
        for (number, (agent, _)) in agents.into_iter().enumerate() {
            let codec = *pick(&mut self.rng, &[Codec::Rkyv, Codec::Rkyv, Codec::Json]);
            let cancels = self.plan.cancels_on_disconnect;
            let mut agent = Agent::new((agent, exchange), key(number), codec, cancels);
            agent.knows.capabilities.clone_from(&capabilities);
            let books = capabilities.iter().map(|capability| Topic::Capability(*capability));
            agent.follow([Topic::Private, Topic::Exchange].into_iter().chain(books));
            self.agents.push(agent);
        }
        Ok(())
    }

    /// Submits a command of the operator's.
    fn operate(&mut self, command: Command) -> Checked {
        let operator = self.observer.lock().auditor.operator.ok_or("nobody operates it")?;
        let Some(running) = &self.running else { return Ok(()) };
        let request = Request { agent: operator, command };
        let submission = Submission { origin: None, sequenced_answer: false, request };
        running.inbox.submit(submission).map_err(|reason| reason.to_string())
    }

    /// Lets the core work and the journal commit until there is nothing left to do.
    fn settle(&mut self) -> Checked {
        let now = self.clocks();
        let Some(running) = &mut self.running else { return Ok(()) };
        while running.stepper.has_work(now) || !running.stepper.is_settled() {
            running.stepper.work(now);
            running.stepper.begin_commit();
            ready(running.stepper.end_commit()).map_err(|error| error.to_string())?;
        }
        self.check_published()
    }

    fn check_published(&self) -> Checked {
        self.observer.lock().failed.take().map_or(Ok(()), Err)
    }

    /// Lives through whatever its plan has in store.
    fn live(&mut self, limits: Limits) -> Checked {
        let until = self.step + limits.steps;
        while self.step < until && self.tally().commands < limits.commands {
            self.take_step(true)?;
        }
        Ok(())
    }

    /// Goes on without trouble until everybody has every answer.
    fn become_quiet(&mut self) -> Checked {
        self.plan = Plan {
            hostile: 0,
            crashes: 0,
            crashes_in_commit: 0,
            disk_fails: 0,
            disk_fills: 0,
            commits_unsaid: 0,
            flips: 0,
            cuts: 0,
            slow_readers: 0,
            clock_jumps: 0,
            core_waits: 0,
            // However small its steps are, and however far everybody is, there is time enough.
            step_us_max: self.plan.step_us_max.max(QUIET_STEP_US_MAX),
            ..self.plan
        };
        if let Some(commit) = self.running.as_mut().and_then(|running| running.commit.as_mut()) {
            commit.fault = Fault::None;
        }
        self.disk.make_room();
        // What a connection has swallowed of nonsense must not keep it from answering.
        for number in 0..self.agents.len() {
            self.cut(number);
        }
        for _ in 0..QUIET_STEPS_MAX {
            let answered =
                self.agents.iter().all(|agent| agent.is_answered() && agent.is_logged_on());
            let settled = self.running.as_ref().is_some_and(|running| running.stepper.is_settled());
            if answered && settled {
                return Ok(());
            }
            self.take_step(false)?;
        }
        let waits = |agent: &&Agent| !agent.is_answered() || !agent.is_logged_on();
        let waiting = self.agents.iter().filter(waits).count();
        Err(format!("it does not become quiet: {waiting} agents wait for what does not come"))
    }

    fn take_step(&mut self, with_trouble: bool) -> Checked {
        self.step += 1;
        let step_us = self.rng.random_range(1..=self.plan.step_us_max);
        self.elapsed = self.elapsed.plus(micros(step_us));
        if self.running.is_none() {
            self.disk.make_room();
            self.start()?;
        }
        for number in 0..self.agents.len() {
            self.attend(number, with_trouble)?;
        }
        if with_trouble {
            self.meddle()?;
        }
        self.run_exchange()?;
        self.check_published()
    }

    /// The core and the journal have their turn.
    fn run_exchange(&mut self) -> Checked {
        let (now, waits) = (self.clocks(), comes(&mut self.rng, self.plan.core_waits));
        let Some(running) = &mut self.running else { return Ok(()) };
        running.pipes.end_lost_sessions(self.elapsed);
        if !waits {
            running.stepper.work(now);
        }
        if running.commit.is_none() && running.stepper.begin_commit() {
            let takes_us = self.rng.random_range(0..=self.plan.commit_us_max);
            let ends_at = self.elapsed.plus(micros(takes_us));
            running.commit = Some(Commit { ends_at, fault: fault(&mut self.rng, &self.plan) });
        }
        let due = running.commit.take_if(|commit| commit.ends_at <= self.elapsed);
        let Some(commit) = due else { return Ok(()) };
        self.disk.set_next(commit.fault);
        if ready(running.stepper.end_commit()).is_err() {
            if commit.fault == Fault::None {
                return Err("a commit failed on a disk without fault".to_owned());
            }
            self.tally.crashes_in_commit += 1;
            self.crash();
            return Ok(());
        }
        // The note is written beside the journal now and then.
        if self.rng.random_range(0..4) == 0 {
            self.note = Note { alive_at: now.wall, head: running.stepper.head() };
        }
        Ok(())
    }

    /// What comes from outside.
    fn meddle(&mut self) -> Checked {
        let (rng, plan) = (&mut self.rng, self.plan);
        if comes(rng, plan.clock_jumps) {
            let by = DurationNs::from_millis(rng.random_range(0..JUMP_MS_MAX));
            // Forward, or back to where it was.
            self.jumped =
                if rng.random_bool(0.5) { self.jumped.plus(by) } else { DurationNs::ZERO };
        }
        // The operator confirms a jump sooner or later, also one that a crash came after.
        let jumped = |stepper: &Stepper<_>| match plan.halts {
            0 => stepper.exchange().is_halted(),
            _ => stepper.has_clock_jumped(),
        };
        let has_jumped = self.running.as_ref().is_some_and(|running| jumped(&running.stepper));
        let confirms = has_jumped && self.rng.random_bool(CLOCK_CONFIRMED);
        if comes(&mut self.rng, plan.halts) || confirms {
            let unique = u128::from(self.step) | 1 << 78;
            let (client_id, capability) = (ClientId::from_parts(self.now(), unique), None);
            let command = match !confirms && self.rng.random_bool(0.4) {
                true => Command::Halt(Halt { client_id, capability }),
                false => Command::Reopen(Reopen { client_id, capability }),
            };
            self.operate(command)?;
        }
        if comes(&mut self.rng, plan.cuts) {
            let number = self.rng.random_range(0..self.agents.len());
            self.tally.cuts += 1;
            self.cut(number);
        }
        if comes(&mut self.rng, plan.crashes) {
            self.crash();
        }
        Ok(())
    }

    /// An agent and its connection have their turn.
    fn attend(&mut self, number: usize, may_act: bool) -> Checked {
        let (elapsed, now, plan) = (self.elapsed, self.now(), self.plan);
        if self.agents[number].connection().is_none() {
            return self.connect(number);
        }
        let (rng, agent) = (&mut self.rng, &mut self.agents[number]);
        if may_act && comes(rng, plan.sends) {
            agent.act(rng, &plan, now);
        }
        let written = agent.written(elapsed);
        let travels = micros(rng.random_range(0..=plan.travel_us_max));
        let arrives_at = elapsed.plus(travels);
        let Some(connection) = agent.connection() else { return Ok(()) };
        if let Some(bytes) = written {
            connection.link.send(bytes, arrives_at);
        }
        let mut result = Ok(());
        while let Some(bytes) = connection.link.arrived(elapsed, rng) {
            result = result.and(connection.pipe.receive(elapsed, &bytes));
        }
        let result = result.and_then(|()| connection.pipe.wake(elapsed));
        let mut out = Vec::new();
        if connection.reads {
            connection.pipe.drain_written(elapsed, &mut out);
        }
        let sealed = self.check_sealed(number, &out);
        let agent = &mut self.agents[number];
        if let Some(connection) = agent.connection() {
            for Written { topic, frames } in out {
                connection.link.send_to_client(topic, frames, arrives_at);
            }
        }
        sealed?;
        if result.is_err() {
            let reads = self.agents[number].connection().is_some_and(|c| c.reads);
            self.tally.slow_readers += u64::from(!reads);
            self.cut(number);
            return Ok(());
        }
        self.read(number)
    }

    fn read(&mut self, number: usize) -> Checked {
        let (agent, rng, tally) = (&mut self.agents[number], &mut self.rng, &mut self.tally);
        while let Some(connection) = agent.connection() {
            let Some((topic, bytes)) = connection.link.arrived_at_client(self.elapsed, rng) else {
                break;
            };
            let read = agent.read(topic, &bytes, tally);
            read.map_err(|what| format!("{}: {what}", agent.agent))?;
        }
        Ok(())
    }

    /// Looks for sealed quotes of others in what is written for an agent.
    fn check_sealed(&mut self, number: usize, out: &[Written]) -> Checked {
        if out.is_empty() || self.rng.random_range(0..4) > 0 {
            return Ok(());
        }
        let agent = &self.agents[number];
        let observed = self.observer.lock();
        for (quote, knows) in observed.auditor.sealed() {
            if knows.contains(&agent.agent) {
                continue;
            }
            let bytes = quote.raw().to_le_bytes();
            let leaks = |w: &&Written| w.frames.windows(bytes.len()).any(|at| at == bytes);
            if agent.codec() == Codec::Rkyv
                && let Some(written) = out.iter().find(leaks)
            {
                let topic = written.topic;
                return Err(format!("{} learns of the sealed {quote} on {topic:?}", agent.agent));
            }
        }
        Ok(())
    }

    fn connect(&mut self, number: usize) -> Checked {
        if self.rng.random_range(0..3) == 0 {
            return Ok(());
        }
        let Some(running) = &self.running else { return Ok(()) };
        let nonce = Nonce::new(self.rng.random());
        let reads = !comes(&mut self.rng, self.plan.slow_readers);
        let agent = &mut self.agents[number];
        if let Ok(pipe) = running.pipes.open(agent.codec(), nonce, self.elapsed) {
            agent.connect(pipe, reads, self.elapsed);
        }
        Ok(())
    }

    fn cut(&mut self, number: usize) {
        if let Some(pipe) = self.agents[number].disconnect() {
            pipe.close(self.elapsed);
        }
    }

    /// The process is gone, and with it whatever was not durable.
    fn crash(&mut self) {
        self.tally.crashes += 1;
        for number in 0..self.agents.len() {
            self.cut(number);
        }
        self.running = None;
        self.disk.crash(&mut self.rng);
        let down = micros(self.rng.random_range(0..5_000_000));
        self.elapsed = self.elapsed.plus(down);
    }

    /// Starts the process: it recovers from the disk.
    fn start(&mut self) -> Checked {
        if comes(&mut self.rng, self.plan.flips) {
            self.check_flip()?;
        }
        let (fan_out, inbox) = (FanOut::new(), Inbox::new());
        {
            let mut observed = self.observer.lock();
            observed.auditor.recovering();
            observed.fan_out = Arc::clone(&fan_out);
        }
        let found = Found {
            name: "world".parse().map_err(|_| "a name is one".to_owned())?,
            id_key: Digest::new([5; 32]),
            operator_key: PublicKey::new(key(0xff).verifying_key().to_bytes()),
            settings: Settings::fee(10_000),
        };
        let consumer: Arc<dyn Consumer> = self.observer.clone();
        let (journal, of) = (self.disk.open(), (found, self.note));
        let started = Stepper::start(journal, inbox.clone(), consumer, of, self.clocks());
        let stepper = ready(started).map_err(|error| format!("it does not start: {error}"))?;
        self.check_published()?;
        self.observer.lock().auditor.recovered()?;
        let pipes = Pipes::new(&fan_out, &inbox, COMMANDS_PER_SECOND);
        self.running = Some(Running { inbox, pipes, stepper, commit: None });
        Ok(())
    }

    /// A flipped bit is noticed, or changes nothing of what was noted as durable.
    fn check_flip(&mut self) -> Checked {
        let Some(flipped) = self.disk.flip(&mut self.rng) else { return Ok(()) };
        self.tally.flips += 1;
        let replayed = self.replay();
        self.disk.flip_back(flipped);
        match replayed {
            Err(_) => self.tally.flips_refused += 1,
            Ok(exchange) if exchange.seq() < self.note.head.seq => {
                return Err(format!("after a flip at {flipped:?} it ends before what was noted"));
            }
            Ok(exchange) => {
                // What came after the note may be cut off; what is left must be as it was.
                let (whole, head) = (self.replay(), exchange.seq());
                let whole = whole.map_err(|error| format!("without a flip: {error}"))?;
                if whole.seq() == head && whole.state_hash() != exchange.state_hash() {
                    return Err(format!("a flip at {flipped:?} changed the state"));
                }
            }
        }
        Ok(())
    }

    fn replay(&self) -> Result<Exchange, RecoveryError> {
        let mut journal = self.disk.open();
        let replayed = ready(replay_noted(&mut journal, self.note.head, |_| {}))?;
        Ok(replayed.exchange)
    }

    /// What is on the disk and what is in memory are the same, and so is what a snapshot brings back.
    fn check_end(&mut self) -> Checked {
        let replayed = self.replay().map_err(|error| error.to_string())?;
        let Some(running) = &self.running else { return Err("it does not run".to_owned()) };
        let exchange = running.stepper.exchange();
        if exchange.trial_balance() != 0 {
            return Err(format!("the ledger is out of balance by {}", exchange.trial_balance()));
        }
        if exchange.seq() != replayed.seq() || exchange.state_hash() != replayed.state_hash() {
            return Err("the journal brings about another state than the one in memory".to_owned());
        }
        drop(replayed);
        if self.rng.random_range(0..8) == 0 {
            let bytes = exchange.snapshot().to_bytes();
            let snapshot = Snapshot::from_bytes(&bytes).map_err(|error| error.to_string())?;
            if Exchange::restore(snapshot).state_hash() != exchange.state_hash() {
                return Err("a snapshot brings back another state".to_owned());
            }
        }
        Ok(())
    }
}

fn fault(rng: &mut ChaCha8Rng, plan: &Plan) -> Fault {
    for (chance, fault) in [
        (plan.crashes_in_commit, Fault::CrashInside),
        (plan.disk_fails, Fault::Refused),
        (plan.disk_fills, Fault::Full),
        (plan.commits_unsaid, Fault::Unsaid),
    ] {
        if comes(rng, chance) {
            return fault;
        }
    }
    Fault::None
}

/// Returns what comes of something that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a simulated disk does not wait"),
    }
}
