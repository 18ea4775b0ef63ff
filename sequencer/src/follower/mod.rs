//! What follows a journal by itself and makes something else of the events: at its own pace, each event
//! once and in order, and what is sealed only when it is decided.
//!
//! A follower takes nothing from the core, and nothing from the journal's thread but a wake. What it
//! makes is kept together with how far it goes, so after a lost connection or a crash it goes on where
//! it was.

mod text;

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gavel_exchange::Exchange;
use gavel_protocol::{Digest, RULES_VERSION};
use tokio::sync::Notify;

use crate::curtain::Receiver;
use crate::error_text::error_text;
use crate::journal::{Head, JournalError, JournalReader};
use crate::limits::{FOLLOWER_RETRY, IDLE_WAKE_MAX};
use crate::publish::Consumer;
use crate::recovery::RecoveryError;
use crate::replay::check_not_overtaken;
use crate::replica::Replica;
use crate::run::Status;
use crate::snapshots::Snapshots;

pub(crate) use text::Parts;
pub use text::{event_text, ranked_text};

/// A journal that is followed.
pub struct Source {
    /// What reads it.
    pub journal: Box<dyn JournalReader>,
    /// Snapshots of it, if there may be any.
    pub snapshots: Option<Snapshots>,
    /// To be told how far it is followed.
    pub reach: Reach,
}

/// How far a journal is followed, for whoever deletes what nobody needs. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reach(Arc<AtomicU64>);

impl Reach {
    /// Says that it is followed up to a command, for a follower that is not there now.
    pub fn at(seq: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seq)))
    }

    /// Returns the last command that its follower needs no more; zero as long as that is unknown.
    pub fn seq(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self, seq: u64) {
        self.0.store(seq, Ordering::Release);
    }
}

/// How far what is made of the events goes. It is moved with that, in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The last command that is in it.
    pub(crate) seq: u64,
    /// The events that are in it.
    pub(crate) position: i64,
    /// The journal's chain value after that command.
    pub(crate) chain: Digest,
}

impl Cursor {
    /// Where everything begins.
    pub(crate) const START: Self = Self { seq: 0, position: 0, chain: Digest::new([0; 32]) };
}

/// What is made of the events, and where it is kept.
pub(crate) trait Product: Receiver {
    /// Why it cannot be made.
    type Error: Error + From<JournalError> + From<RecoveryError>;

    /// What it is kept in, for the log.
    const STORE: &'static str;
    /// What is over if it cannot go on, for the log.
    const OVER: &'static str;

    /// Connects to where it is kept, and returns how far it goes; `None` if it was connected before.
    async fn connect(&mut self) -> Result<Option<Cursor>, Self::Error>;

    /// Takes note that the first event is still to come.
    fn begin(&mut self) {}

    /// Returns whether nothing was received that is not kept.
    fn is_empty(&self) -> bool;

    /// Returns whether enough was received to be kept before there is more.
    fn is_full(&self) -> bool;

    /// Lets go of what was received and not kept.
    fn forget(&mut self);

    /// Keeps what was received and moves the cursor, both or neither. Returns `false` if the cursor is
    /// not at `from`: somebody else has moved it.
    async fn keep(&mut self, from: &Cursor, to: &Cursor) -> Result<bool, Self::Error>;

    /// Does what is due once things are kept; at the last time everything is. `exchange` is as far as was read.
    /// Returns when it wants to be asked again at the latest.
    async fn tend(
        &mut self,
        _exchange: &Exchange,
        _is_last: bool,
    ) -> Result<Duration, Self::Error> {
        Ok(IDLE_WAKE_MAX)
    }

    /// Gives up the connection.
    fn disconnect(&mut self);

    /// Lets go of where it is kept.
    async fn close(self);

    /// Returns whether an error says that where it is kept is away, and may come back.
    fn is_away(error: &Self::Error) -> bool;

    /// Returns the error that says that what is kept is not of this journal, or not ours alone.
    fn not_ours() -> Self::Error;
}

/// Proves that a product that goes up to `cursor` can be made again with a replica, before anything of it is given up,
/// and that it is of this journal.
pub(crate) async fn prove<P: Product>(
    journal: &mut dyn JournalReader,
    mut replica: Replica,
    cursor: &Cursor,
) -> Result<(), P::Error> {
    replica.advance(journal, cursor.seq).await?;
    let is_ours = replica.head() == Head { seq: cursor.seq, chain: cursor.chain };
    if is_ours { Ok(()) } else { Err(P::not_ours()) }
}

/// Why there is a replica when something is read.
const STARTED: &str = "it is there once the product is connected";

/// What follows a journal.
pub(crate) struct Follower<P> {
    source: Source,
    consumer: Arc<dyn Consumer>,
    /// None until it is known from where it is to go on.
    replica: Option<Replica>,
    product: P,
    /// What is kept.
    cursor: Cursor,
}

impl<P: Product> Follower<P> {
    /// Makes one that goes on from what is kept of the product. Nobody listens to the consumer.
    pub(crate) fn new(source: Source, consumer: Arc<dyn Consumer>, product: P) -> Self {
        Self { source, consumer, replica: None, product, cursor: Cursor::START }
    }

    /// Keeps everything up to the end of the journal, and lets go of it. Returns how far that is.
    pub(crate) async fn catch_up(mut self) -> Result<Cursor, P::Error> {
        loop {
            if self.step(true).await?.is_some() {
                let cursor = self.cursor;
                self.close().await;
                return Ok(cursor);
            }
        }
    }

    /// Reads on and keeps what it has read. Once there is nothing more to read it does what is due, for
    /// the last time or not, and returns for how long it can wait.
    ///
    /// The cursor moves with what may be seen, and at the end: whoever can see that it moves must not learn by that
    /// that something happened.
    async fn step(&mut self, is_last: bool) -> Result<Option<Duration>, P::Error> {
        self.connect().await?;
        let has_more = self.read().await? && (is_last || !self.product.is_empty());
        if has_more {
            self.keep().await?;
        }
        let replica = self.replica.as_ref().expect(STARTED);
        let wait_max = self.product.tend(replica.exchange(), is_last && !has_more).await?;
        Ok((!has_more).then_some(wait_max))
    }

    /// Connects to where the product is kept, unless it is connected, and finds out how far it goes.
    async fn connect(&mut self) -> Result<(), P::Error> {
        let Some(cursor) = self.product.connect().await? else { return Ok(()) };
        let is_first = self.replica.is_none();
        let reached = self.replica(cursor.seq).await?.reached();
        let goes_on = if is_first { cursor.seq > reached.seq } else { cursor == self.cursor };
        if cursor == reached {
            // What was under way when the connection was lost is kept.
            self.product.forget();
        } else if !goes_on {
            return Err(P::not_ours());
        }
        self.cursor = cursor;
        if reached.seq == 0 && cursor.seq == 0 {
            self.product.begin();
        }
        Ok(())
    }

    /// Returns the replica: at first the newest one that goes no further than `until`.
    async fn replica(&mut self, until: u64) -> Result<&mut Replica, RecoveryError> {
        let replica = match (self.replica.take(), &self.source.snapshots) {
            (Some(replica), _) => replica,
            (None, None) => Replica::new(self.consumer.clone()),
            (None, Some(snapshots)) => {
                let (journal, consumer) = (&mut *self.source.journal, self.consumer.clone());
                Replica::newest_until(journal, snapshots, until, consumer).await?
            }
        };
        Ok(self.replica.insert(replica))
    }

    /// Reads on, until there is enough or nothing more. Returns whether there is something to keep.
    async fn read(&mut self) -> Result<bool, P::Error> {
        let Self { source, replica, product, cursor, .. } = self;
        let replica = replica.as_mut().expect(STARTED);
        while !product.is_full() {
            let seq = replica.head().seq;
            let was_kept = seq < cursor.seq;
            let Some(record) = source.journal.read_after(seq).await? else { break };
            if seq == 0 && record.first_seq > 1 {
                return Err(RecoveryError::HistoryGone { first_seq: record.first_seq }.into());
            }
            check_not_overtaken(&mut *source.journal, seq, &record).await?;
            if record.rules_version != RULES_VERSION && seq > cursor.seq {
                // It is for another build; what comes before it is kept first.
                break;
            }
            replica.apply_for(record, product)?;
            if was_kept {
                // The replica needs it to go on.
                product.forget();
                let reached = replica.reached();
                if reached.seq >= cursor.seq && reached != *cursor {
                    return Err(P::not_ours());
                }
            }
        }
        let reached = replica.reached();
        if reached.seq < cursor.seq {
            return Err(P::not_ours());
        }
        source.reach.set(cursor.seq);
        Ok(reached.seq > cursor.seq)
    }

    /// Keeps what was read.
    async fn keep(&mut self) -> Result<(), P::Error> {
        let to = self.replica.as_ref().expect(STARTED).reached();
        if !self.product.keep(&self.cursor, &to).await? {
            return Err(P::not_ours());
        }
        self.cursor = to;
        self.source.reach.set(to.seq);
        self.product.forget();
        Ok(())
    }

    async fn close(self) {
        self.product.close().await;
        if let Err(error) = self.source.journal.close().await {
            tracing::debug!(%error, "cannot close the journal");
        }
    }
}

/// A follower of a running exchange, on a thread of its own. Dropping it lets it go on.
pub(crate) struct Following {
    stop: Arc<Stop>,
    status: Arc<Status>,
    thread: JoinHandle<()>,
}

/// Says that a follower is to stop.
#[derive(Debug, Default)]
struct Stop {
    asked: AtomicBool,
    now: Notify,
}

impl Following {
    /// Starts to follow the journal of a running exchange.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub(crate) fn start<P: Product + Send + 'static>(
        thread: &str,
        follower: Follower<P>,
        status: Arc<Status>,
    ) -> io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = {
            let (stop, status) = (stop.clone(), status.clone());
            move || {
                if let Err(error) = runtime.block_on(follow(follower, &status, &stop)) {
                    tracing::error!(error = %error_text(&error), "{}; the exchange goes on", P::OVER);
                }
            }
        };
        let thread = std::thread::Builder::new().name(thread.into()).spawn(run)?;
        Ok(Self { stop, status, thread })
    }

    /// Lets it come to the end of the journal, unless where it keeps things is away, and ends it. To be
    /// called when nothing is appended any more. Waits.
    pub(crate) fn stop(self) {
        self.stop.asked.store(true, Ordering::Release);
        self.stop.now.notify_one();
        self.status.more.notify_waiters();
        let name = self.thread.thread().name().unwrap_or_default().to_owned();
        if self.thread.join().is_err() {
            tracing::error!("the {name}'s thread has panicked");
        }
    }
}

/// Returns when it is to stop and the journal is gone.
async fn over(status: &Status, stop: &Stop) {
    while !stop.asked.load(Ordering::Acquire) || !status.has_failed() {
        tokio::time::sleep(FOLLOWER_RETRY).await;
    }
}

/// Follows a journal until it is to stop.
async fn follow<P: Product>(
    mut follower: Follower<P>,
    status: &Status,
    stop: &Stop,
) -> Result<(), P::Error> {
    let mut is_away = false;
    loop {
        // From here on it is woken by whatever comes, even before it waits.
        let more = status.more.notified();
        // Asked before the journal is read: what it had then is kept before the end.
        let stopping = stop.asked.load(Ordering::Acquire);
        let stepped = tokio::select! {
            stepped = follower.step(stopping) => stepped,
            // What it has kept stays; without a journal there is nothing more to come.
            () = over(status, stop) => return Ok(()),
        };
        if stepped.is_ok() && is_away {
            tracing::warn!("{} is back", P::STORE);
            is_away = false;
        }
        match stepped {
            Ok(Some(_)) if stopping => {
                follower.close().await;
                return Ok(());
            }
            Ok(Some(wait_max)) => drop(tokio::time::timeout(wait_max, more).await),
            Ok(None) => {}
            Err(error) if !P::is_away(&error) => return Err(error),
            Err(_) if stopping => return Ok(()),
            Err(error) => {
                if !is_away {
                    let lag = status.durable_seq().saturating_sub(follower.cursor.seq);
                    let error = error_text(&error);
                    tracing::warn!(error, lag, "{} is away; it is tried again", P::STORE);
                    is_away = true;
                }
                follower.product.disconnect();
                drop(tokio::time::timeout(FOLLOWER_RETRY, stop.now.notified()).await);
            }
        }
    }
}
