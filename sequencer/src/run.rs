//! Runs the core and the journal: recovers, starts both, and stops them in order.

use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, bounded};
use crossbeam::sync::Parker;
use gavel_exchange::{Exchange, StateHash};
use gavel_protocol::{Command, DurationNs, Found, RULES_VERSION, Resume, TimestampNs, Upgrade};
use tokio::sync::{Notify, mpsc};

use crate::alive::{Alive, last_note};
use crate::batch::Batch;
use crate::clock::Now;
use crate::core::Core;
use crate::inbox::Inbox;
use crate::journal::{Head, Journal};
use crate::limits::{
    BATCH_EVENTS_MAX, BATCH_REQUESTS_MAX, BATCHES_IN_FLIGHT_MAX, IDLE_WAKE_MAX, SPIN_BEFORE_PARK,
};
use crate::publish::Consumer;
use crate::quarantine::Quarantine;
use crate::recovery::{RecoveryError, Replayed};
use crate::restart::recover;
use crate::shadow::{Shadow, SnapshotConfig};
use crate::snapshots::Snapshots;
use crate::writer::{Committer, Sealed, Writer};

/// Where the core runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// As a task of the runtime that starts it, beside the gateway's.
    Inline,
    /// On a thread of its own.
    Thread,
}

/// What a sequencer is started with.
#[derive(Debug)]
pub struct SequencerConfig {
    /// Where the core runs.
    pub layout: Layout,
    /// How the exchange is founded, if the journal is empty.
    pub found: Found,
    /// Where to note that the exchange is alive and where its journal ends. Without it an outage is
    /// counted from the last command, and a journal that was cut off at its end is taken for whole.
    pub alive: Option<PathBuf>,
    /// How snapshots are made. Without it a start replays the whole journal.
    pub snapshots: Option<SnapshotConfig>,
    /// Where requests are noted that broke the core, so that they are refused. Without it they may
    /// break it again.
    pub quarantine: Option<PathBuf>,
}

/// Why a sequencer did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal cannot be replayed.
    #[error("cannot recover")]
    Recovering(#[from] RecoveryError),
    /// The note cannot be read that says where the journal has ended.
    #[error(
        "cannot read the note `alive` of the data directory, which says where the journal has ended: without \
         it nobody would see that the end is missing. Restore the directory from a backup; or delete \
         the note, and run `gavel verify --acks` against what clients were told before it serves again"
    )]
    Note(#[source] std::io::Error),
    /// What is kept aside cannot be read.
    #[error("cannot read the requests that broke the exchange; mend the file, or delete it")]
    Quarantine(#[source] std::io::Error),
    /// A thread cannot be started.
    #[error("cannot start a thread")]
    Spawning(#[source] std::io::Error),
}

/// What everybody may read while the sequencer runs.
#[derive(Debug, Default)]
pub struct Status {
    durable_seq: AtomicU64,
    /// Where the journal ends.
    head: Mutex<Head>,
    pub(crate) journal_lag_ns: AtomicU64,
    /// Since when the journal has answered nothing, if a commit is under way.
    committing_since: Mutex<Option<Instant>>,
    pub(crate) failed: AtomicBool,
    /// Wakes all who wait when there is more that is durable.
    pub(crate) more: Notify,
    /// Notified when another exchange has taken over.
    pub(crate) superseded: Notify,
    diverged: AtomicBool,
    /// What the shadow came to at the end.
    shadow: Mutex<Option<Audit>>,
    audit: Mutex<Option<Audit>>,
    audit_wanted: AtomicBool,
}

/// The exchange, counted afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The place of the last command.
    pub seq: u64,
    /// The sum of all balances: zero, or the ledger is broken.
    pub trial_balance: i128,
    /// The condensed state.
    pub state_hash: StateHash,
}

impl Status {
    /// Returns the place up to which commands are durable.
    pub fn durable_seq(&self) -> u64 {
        self.durable_seq.load(Ordering::Acquire)
    }

    /// Returns where the journal ends: what is before it is durable.
    pub fn head(&self) -> Head {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that everything up to `head` is durable.
    pub(crate) fn set_durable(&self, head: Head) {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
        self.durable_seq.store(head.seq, Ordering::Release);
    }

    /// Returns how long the last batch took from its place in the order to durability.
    pub fn journal_lag(&self) -> Duration {
        Duration::from_nanos(self.journal_lag_ns.load(Ordering::Relaxed))
    }

    /// Notes that the journal is waited for from now on, or not at all.
    pub(crate) fn set_committing(&self, is_committing: bool) {
        let since = is_committing.then(Instant::now);
        *self.committing_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Returns for how long the journal has not answered: since the commit began that is under way, or
    /// since the one before it was done.
    pub fn journal_waiting(&self) -> Duration {
        let since = *self.committing_since.lock().unwrap_or_else(PoisonError::into_inner);
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Returns whether the journal has failed.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Returns when another exchange has taken over the journal: this one is over, and its process
    /// should end. For one who waits.
    pub async fn superseded(&self) {
        self.superseded.notified().await;
    }

    /// Returns whether a replay beside the core came to something else than the core.
    pub fn has_diverged(&self) -> bool {
        self.diverged.load(Ordering::Acquire)
    }

    pub(crate) fn set_diverged(&self) {
        self.diverged.store(true, Ordering::Release);
    }

    /// Notes what a replay of the whole journal came to.
    pub(crate) fn set_shadow(&self, audit: Audit) {
        *self.shadow.lock().unwrap_or_else(PoisonError::into_inner) = Some(audit);
    }

    /// Compares the exchange that has stopped with what a replay came to, if there was one.
    fn compare_with_shadow(&self, exchange: &Exchange) {
        let shadow = *self.shadow.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shadow) = shadow.filter(|shadow| shadow.seq == exchange.seq()) else { return };
        let core = Audit::of(exchange);
        if core != shadow {
            self.set_diverged();
            let (core, shadow) = (core.state_hash, shadow.state_hash);
            tracing::error!(%core, %shadow, "the state that was served is not the journal's");
        }
    }
}

/// Counts a running exchange afresh on demand.
#[derive(Clone)]
pub struct Auditor {
    inbox: Inbox,
    status: Arc<Status>,
}

impl Auditor {
    /// Asks the core to count the exchange afresh, and returns the last such count.
    ///
    /// The count takes time with the number of accounts and of everything open.
    pub fn audit(&self) -> Option<Audit> {
        self.status.audit_wanted.store(true, Ordering::Release);
        self.inbox.wake();
        *self.status.audit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running sequencer.
pub struct Sequencer {
    inbox: Inbox,
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
    core: RunningCore,
    writer: JoinHandle<()>,
    _alive: Option<Alive>,
}

enum RunningCore {
    Thread(JoinHandle<Exchange>),
    Inline(Pin<Box<dyn Future<Output = Option<Exchange>> + Send>>),
}

impl Sequencer {
    /// Recovers what the journal holds, founds or resumes the exchange, and starts to serve.
    ///
    /// With [`Layout::Inline`] it must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`]; then nothing is served.
    pub async fn start<J: Journal>(
        config: SequencerConfig,
        mut journal: J,
        inbox: Inbox,
        consumer: Arc<dyn Consumer>,
    ) -> Result<Self, StartError> {
        let note = config.alive.as_deref().map(last_note).transpose();
        let note = note.map_err(StartError::Note)?.unwrap_or_default();
        let snapshots = config.snapshots.as_ref().map(|config| Snapshots::new(&config.folder));
        let recovered = recover(&mut journal, note.head, snapshots.as_ref(), &*consumer);
        let recovered = recovered.await?;
        let first = first_commands(&recovered, config.found, note.alive_at, wall_clock());
        let Replayed { exchange, head, .. } = recovered;
        if let Some(path) = &config.quarantine {
            inbox.set_quarantine(Quarantine::read(path).map_err(StartError::Quarantine)?);
        }
        let core = Core::new(exchange, inbox.clone());
        let status = Arc::new(Status::default());
        status.set_durable(head);
        let alive = config.alive.map(|path| Alive::start(path, status.clone()));
        let alive = alive.transpose().map_err(StartError::Spawning)?;
        let stop = Arc::new(AtomicBool::new(false));
        let shadow = config.snapshots.map(|shadow| Shadow::start(shadow, &journal, status.clone()));
        let shadow = shadow.transpose().map_err(StartError::Spawning)?.flatten();

        let loops = Loops {
            core,
            status: status.clone(),
            stop: stop.clone(),
            consumer,
            shadow,
            began: Instant::now(),
        };
        let (running, writer) = match config.layout {
            Layout::Thread => loops.start_thread(first, journal, head)?,
            Layout::Inline => loops.start_inline(first, journal, head)?,
        };
        Ok(Self { inbox, status, stop, core: running, writer, _alive: alive })
    }

    /// Returns the way in.
    pub fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Returns what everybody may read.
    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Returns what counts the exchange afresh on demand.
    pub fn auditor(&self) -> Auditor {
        Auditor { inbox: self.inbox.clone(), status: self.status.clone() }
    }

    /// Lets the core finish what is in the inbox, the journal commit it and the shadow make a snapshot
    /// of it, and returns the exchange. Returns `None` if the core has panicked.
    pub async fn stop(self) -> Option<Exchange> {
        self.stop.store(true, Ordering::Release);
        self.inbox.wake();
        let exchange = match self.core {
            RunningCore::Thread(thread) => join(thread).await,
            RunningCore::Inline(task) => task.await,
        };
        join(self.writer).await;
        if let Some(exchange) = &exchange {
            self.status.compare_with_shadow(exchange);
        }
        exchange
    }
}

/// Waits for a thread without holding up the runtime.
async fn join<T: Send + 'static>(thread: JoinHandle<T>) -> Option<T> {
    tokio::task::spawn_blocking(move || thread.join().ok()).await.ok().flatten()
}

/// Returns what the exchange itself asks for at start.
pub(crate) fn first_commands(
    recovered: &Replayed,
    found: Found,
    last_alive: TimestampNs,
    now: TimestampNs,
) -> Vec<Command> {
    let Replayed { exchange, rules_version: before, .. } = recovered;
    let away_since = last_alive.max(exchange.now());
    let resume = Command::Resume(Resume { gap: now.since(away_since) });
    match exchange.seq() {
        0 => vec![Command::Found(Box::new(found))],
        _ if *before == RULES_VERSION => vec![resume],
        _ => {
            tracing::warn!(before, RULES_VERSION, "the exchange is upgraded to other rules");
            vec![Command::Upgrade(Upgrade { rules_version: RULES_VERSION }), resume]
        }
    }
}

/// What both layouts work with.
struct Loops {
    core: Core,
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
    consumer: Arc<dyn Consumer>,
    shadow: Option<Shadow>,
    began: Instant,
}

/// The core's end of the way to the journal.
struct Outlet {
    sealed: mpsc::Sender<Sealed>,
    emptied: Receiver<Batch>,
}

/// What the core did.
enum Progress {
    /// Something: there may be more.
    Worked,
    /// Nothing, until this time or a wake.
    IdleUntil(Option<TimestampNs>),
    /// Nothing, until a batch comes back from the journal.
    Backlogged,
    /// It is to stop, and has nothing left to do.
    Stopped,
}

impl Loops {
    fn start_thread<J: Journal>(
        mut self,
        first: Vec<Command>,
        journal: J,
        head: Head,
    ) -> Result<(RunningCore, JoinHandle<()>), StartError> {
        let parker = Parker::new();
        let (unparker, parked) = (parker.unparker().clone(), Arc::new(AtomicBool::new(false)));
        let wake = {
            let parked = parked.clone();
            move || {
                // Unparking costs a system call only when the core sleeps.
                if parked.swap(false, Ordering::SeqCst) {
                    unparker.unpark();
                }
            }
        };
        self.core.inbox().on_wake(wake.clone());
        let (mut outlet, writer) = self.start_writer(journal, head, Box::new(wake))?;
        self.begin(first, &mut outlet);
        let run = move || {
            self.run_parking(&mut outlet, &parker, &parked);
            self.core.into_exchange()
        };
        let thread = std::thread::Builder::new().name("core".into()).spawn(run);
        Ok((RunningCore::Thread(thread.map_err(StartError::Spawning)?), writer))
    }

    fn start_inline<J: Journal>(
        mut self,
        first: Vec<Command>,
        journal: J,
        head: Head,
    ) -> Result<(RunningCore, JoinHandle<()>), StartError> {
        let notify = Arc::new(Notify::new());
        let wake = {
            let notify = notify.clone();
            move || notify.notify_one()
        };
        self.core.inbox().on_wake(wake.clone());
        let (mut outlet, writer) = self.start_writer(journal, head, Box::new(wake))?;
        self.begin(first, &mut outlet);
        let task = tokio::spawn(async move {
            self.run_notified(&mut outlet, &notify).await;
            self.core.into_exchange()
        });
        Ok((RunningCore::Inline(Box::pin(async { task.await.ok() })), writer))
    }

    fn start_writer<J: Journal>(
        &mut self,
        journal: J,
        head: Head,
        wake_core: Box<dyn Fn() + Send>,
    ) -> Result<(Outlet, JoinHandle<()>), StartError> {
        let (sealed_in, sealed) = mpsc::channel(BATCHES_IN_FLIGHT_MAX);
        let (emptied, emptied_out) = bounded(BATCHES_IN_FLIGHT_MAX);
        for _ in 0..BATCHES_IN_FLIGHT_MAX {
            let batch = Batch::with_capacity(BATCH_REQUESTS_MAX, 2 * BATCH_EVENTS_MAX);
            emptied.send(batch).expect("the channel has room for as many batches as there are");
        }
        let (consumer, status) = (self.consumer.clone(), self.status.clone());
        let (committer, shadow) = (Committer::new(journal, head), self.shadow.take());
        let groups = VecDeque::new();
        let writer =
            Writer { committer, consumer, status, sealed, groups, emptied, shadow, wake_core };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(StartError::Spawning)?;
        let run = move || {
            let _guard = AbortOnPanic;
            writer.run(&runtime);
        };
        let thread = std::thread::Builder::new().name("journal".into()).spawn(run);
        let outlet = Outlet { sealed: sealed_in, emptied: emptied_out };
        Ok((outlet, thread.map_err(StartError::Spawning)?))
    }

    /// Applies the exchange's own first requests.
    fn begin(&mut self, first: Vec<Command>, outlet: &mut Outlet) {
        let mut batch = outlet.emptied.recv().expect("batches were put there by the start");
        self.core.begin(first, self.now(), &mut batch);
        outlet.seal(batch);
    }

    fn run_parking(&mut self, outlet: &mut Outlet, parker: &Parker, parked: &AtomicBool) {
        let mut last_work = Instant::now();
        loop {
            match self.step(outlet) {
                Progress::Worked => last_work = Instant::now(),
                Progress::Stopped => return,
                Progress::IdleUntil(_) | Progress::Backlogged
                    if last_work.elapsed() < SPIN_BEFORE_PARK =>
                {
                    std::hint::spin_loop();
                }
                progress @ (Progress::IdleUntil(_) | Progress::Backlogged) => {
                    parked.store(true, Ordering::SeqCst);
                    // Whoever came before the flag was up did not unpark: look once more.
                    if !self.is_ready(outlet) {
                        parker.park_timeout(progress.sleep());
                    }
                    parked.store(false, Ordering::SeqCst);
                }
            }
        }
    }

    async fn run_notified(&mut self, outlet: &mut Outlet, notify: &Notify) {
        loop {
            let progress = self.step(outlet);
            match progress {
                // The gateway's tasks have their turn between batches.
                Progress::Worked => tokio::task::yield_now().await,
                Progress::Stopped => return,
                Progress::IdleUntil(_) | Progress::Backlogged => {
                    let sleep = progress.sleep();
                    // A notification that comes before this await is kept for it.
                    drop(tokio::time::timeout(sleep, notify.notified()).await);
                }
            }
        }
    }

    /// Fills a batch and hands it to the journal.
    fn step(&mut self, outlet: &mut Outlet) -> Progress {
        let _guard = AbortOnPanic;
        self.audit_if_wanted();
        if self.status.has_failed() {
            return match self.stop.load(Ordering::Acquire) {
                true => Progress::Stopped,
                false => Progress::Backlogged,
            };
        }
        let now = self.now();
        if !self.core.has_work(now) {
            return match self.stop.load(Ordering::Acquire) {
                true => Progress::Stopped,
                false => Progress::IdleUntil(self.core.next_look(now)),
            };
        }
        let Ok(mut batch) = outlet.emptied.try_recv() else { return Progress::Backlogged };
        self.core.fill(now, &mut batch, &*self.consumer);
        outlet.seal(batch);
        Progress::Worked
    }

    fn is_ready(&self, outlet: &Outlet) -> bool {
        let stopping = self.stop.load(Ordering::Acquire);
        let audit = self.status.audit_wanted.load(Ordering::Acquire);
        let work = self.core.has_work(self.now()) && !outlet.emptied.is_empty();
        stopping || audit || (work && !self.status.has_failed())
    }

    fn now(&self) -> Now {
        let elapsed = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Now { wall: wall_clock(), elapsed: DurationNs::from_nanos(elapsed) }
    }

    fn audit_if_wanted(&self) {
        if self.status.audit_wanted.swap(false, Ordering::AcqRel) {
            let exchange = self.core.exchange();
            let audit = Audit::of(exchange);
            let mut place = self.status.audit.lock().unwrap_or_else(PoisonError::into_inner);
            *place = Some(audit);
        }
    }
}

impl Audit {
    /// Counts an exchange afresh.
    pub fn of(exchange: &Exchange) -> Self {
        let (seq, trial_balance) = (exchange.seq(), exchange.trial_balance());
        Self { seq, trial_balance, state_hash: exchange.state_hash() }
    }
}

impl Outlet {
    fn seal(&mut self, batch: Batch) {
        let sealed = Sealed { batch, sealed_at: Instant::now() };
        // The channel has room for every batch there is; without a writer the batch is dropped,
        // and with it nothing that was acknowledged.
        if self.sealed.try_send(sealed).is_err() {
            tracing::debug!("the journal is gone; a batch is dropped");
        }
    }
}

impl Progress {
    fn sleep(&self) -> Duration {
        match self {
            Self::IdleUntil(Some(at)) => {
                let until = at.since(wall_clock());
                Duration::from_nanos(until.nanos()).min(IDLE_WAKE_MAX)
            }
            Self::IdleUntil(None) | Self::Backlogged | Self::Worked | Self::Stopped => {
                IDLE_WAKE_MAX
            }
        }
    }
}

/// Stops the process when whoever holds it panics: an exchange whose core or journal is gone must not
/// go on looking alive. Recovery brings it back.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("an invariant is broken: the process stops; start it again to recover");
            std::process::abort();
        }
    }
}

/// Reads the clock.
pub(crate) fn wall_clock() -> TimestampNs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // A clock beyond the year 2554 reads as the last instant that can be named.
    let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    TimestampNs::default().after(DurationNs::from_nanos(nanos))
}
