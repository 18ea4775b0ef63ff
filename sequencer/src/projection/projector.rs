//! Follows a journal and keeps a projection up with it.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tokio::sync::Notify;

use super::held::Curtain;
use super::rows::Rows;
use super::target::{Cursor, Found, ProjectionPlace, Target};
use crate::journal::{AnyJournal, JournalError, JournalPlace, JournalReader, Whole};
use crate::limits::{IDLE_WAKE_MAX, PROJECTION_ANSWER_MAX, PROJECTION_RETRY, PROJECTION_ROWS_MAX};
use crate::recovery::{RecoveryError, Replayer};
use crate::run::Status;

/// Why a projection cannot be kept up.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// The journal cannot be opened.
    #[error("cannot project")]
    Journal(#[from] JournalError),
    /// The journal cannot be replayed.
    #[error("cannot project")]
    Replaying(#[from] RecoveryError),
    /// The database cannot be used.
    #[error("cannot use the projection's database")]
    Database(#[source] sqlx::Error),
    /// The tables were made by another build.
    #[error("the projection was made by another build: `gavel project --rebuild` makes it anew")]
    OtherShape,
    /// The tables are of another journal, or another projector writes them.
    #[error(
        "the projection does not belong to this journal, or somebody else writes it: \
         `gavel project --rebuild` makes it anew"
    )]
    NotOurs,
    /// A thread cannot be started.
    #[error("cannot start the projector")]
    Spawning(#[source] std::io::Error),
}

/// What a projection came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The last command that is in it.
    pub seq: u64,
    /// The events that are in it.
    pub events: i64,
}

/// A projector on a thread of its own. Dropping it lets it go on; [`Projector::stop`] ends it.
pub struct Projector {
    stop: Arc<Stop>,
    status: Arc<Status>,
    thread: JoinHandle<()>,
}

/// Says that a projector is to stop.
#[derive(Debug, Default)]
struct Stop {
    asked: AtomicBool,
    now: Notify,
}

/// What follows a journal.
struct Follower {
    journal: Box<dyn JournalReader>,
    replayer: Replayer,
    curtain: Curtain,
    rows: Rows,
    place: ProjectionPlace,
    /// None while the database is away.
    target: Option<Target>,
    /// What is in the database.
    cursor: Cursor,
}

impl Projection {
    /// Brings a projection up to the end of a journal: from where it is, or from the beginning.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`]; what was committed stays.
    pub async fn catch_up(
        journal: AnyJournal,
        place: &ProjectionPlace,
        rebuild: bool,
    ) -> Result<Self, ProjectionError> {
        let mut follower = Follower::open(Box::new(Whole(journal)), place.clone(), rebuild).await?;
        while follower.read().await? {
            follower.commit().await?;
        }
        let Cursor { seq, position: events, .. } = follower.cursor;
        follower.close().await;
        Ok(Self { seq, events })
    }
}

impl Projector {
    /// Starts to follow the journal of a running exchange.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub fn start(
        journal: JournalPlace,
        place: ProjectionPlace,
        status: Arc<Status>,
    ) -> Result<Self, ProjectionError> {
        let stop = Arc::new(Stop::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ProjectionError::Spawning)?;
        let run = {
            let (stop, status) = (stop.clone(), status.clone());
            move || {
                if let Err(error) = runtime.block_on(follow(journal, place, &status, &stop)) {
                    let error: &dyn std::error::Error = &error;
                    tracing::error!(error, "nothing is projected any more; the exchange goes on");
                }
            }
        };
        let thread = std::thread::Builder::new().name("projector".into()).spawn(run);
        Ok(Self { stop, status, thread: thread.map_err(ProjectionError::Spawning)? })
    }

    /// Lets it come to the end of the journal, unless its database is away, and ends it. To be called
    /// when nothing is appended any more. Waits.
    pub fn stop(self) {
        self.stop.asked.store(true, Ordering::Release);
        self.stop.now.notify_one();
        self.status.more.notify_one();
        if self.thread.join().is_err() {
            tracing::error!("the projector has panicked");
        }
    }
}

/// Follows a journal until it is to stop.
async fn follow(
    journal: JournalPlace,
    place: ProjectionPlace,
    status: &Status,
    stop: &Stop,
) -> Result<(), ProjectionError> {
    let journal = journal.reader().await?;
    let mut follower = Follower::new(journal, place);
    let mut is_away = false;
    loop {
        // Asked before the journal is read: what it had then is projected before the end.
        let stopping = stop.asked.load(Ordering::Acquire);
        let result = match follower.connect(false).await {
            Ok(()) => match follower.read().await? {
                true => follower.commit().await,
                false if stopping => {
                    follower.close().await;
                    return Ok(());
                }
                false => {
                    let more = status.more.notified();
                    drop(tokio::time::timeout(IDLE_WAKE_MAX, more).await);
                    Ok(())
                }
            },
            Err(error) => Err(error),
        };
        match result {
            Ok(()) if is_away => {
                tracing::warn!("the projection's database is back");
                is_away = false;
            }
            Ok(()) => {}
            Err(ProjectionError::Database(_)) if stopping => return Ok(()),
            Err(ProjectionError::Database(error)) => {
                if !is_away {
                    let lag = status.durable_seq().saturating_sub(follower.cursor.seq);
                    tracing::warn!(%error, lag, "the projection's database is away; it is tried again");
                    is_away = true;
                }
                follower.target = None;
                drop(tokio::time::timeout(PROJECTION_RETRY, stop.now.notified()).await);
            }
            Err(error) => return Err(error),
        }
    }
}

impl Follower {
    fn new(journal: Box<dyn JournalReader>, place: ProjectionPlace) -> Self {
        let replayer = Replayer::default();
        let cursor = Cursor { seq: 0, position: 0, chain: replayer.head().chain };
        let (curtain, rows) = (Curtain::default(), Rows::new());
        Self { journal, replayer, curtain, rows, place, target: None, cursor }
    }

    async fn open(
        journal: Box<dyn JournalReader>,
        place: ProjectionPlace,
        rebuild: bool,
    ) -> Result<Self, ProjectionError> {
        let mut follower = Self::new(journal, place);
        follower.connect(rebuild).await?;
        Ok(follower)
    }

    /// Connects to the database, unless it is connected, and finds out how far the projection is.
    async fn connect(&mut self, rebuild: bool) -> Result<(), ProjectionError> {
        if self.target.is_some() {
            return Ok(());
        }
        let mut target = in_time(Target::open(&self.place)).await?;
        let cursor = match in_time(target.found()).await? {
            Found::Nothing => in_time(target.make(false)).await?,
            Found::OtherShape | Found::Cursor(_) if rebuild => in_time(target.make(true)).await?,
            Found::Cursor(cursor) => cursor,
            Found::OtherShape => return Err(ProjectionError::OtherShape),
        };
        self.target = Some(target);
        if cursor == self.reached() {
            // What was under way when the database went is in it.
            self.rows.clear();
        } else if cursor.seq < self.cursor.seq || (self.reached().seq > 0 && cursor != self.cursor)
        {
            return Err(ProjectionError::NotOurs);
        }
        self.cursor = cursor;
        if cursor.seq == 0 && self.reached().seq == 0 {
            self.rows.clear();
            self.rows.add_reasons();
        }
        Ok(())
    }

    /// Returns how far it has read.
    fn reached(&self) -> Cursor {
        let head = self.replayer.head();
        Cursor { seq: head.seq, position: self.curtain.position(), chain: head.chain }
    }

    /// Reads on, until there are rows enough or nothing more. Returns whether there is something to
    /// commit.
    async fn read(&mut self) -> Result<bool, ProjectionError> {
        while self.rows.count() < PROJECTION_ROWS_MAX {
            let seq = self.replayer.head().seq;
            let Some(record) = self.journal.read_after(seq).await? else { break };
            self.replayer.apply(&record)?;
            let batch = self.replayer.batch();
            self.curtain.pass(batch, &mut self.rows);
            let reached = self.reached();
            if reached.seq <= self.cursor.seq {
                // It is in the tables; the replayer needs it to go on.
                self.rows.clear();
                if reached.seq == self.cursor.seq && reached != self.cursor {
                    return Err(ProjectionError::NotOurs);
                }
            }
        }
        let reached = self.reached();
        if reached.seq < self.cursor.seq {
            return Err(ProjectionError::NotOurs);
        }
        Ok(reached.seq > self.cursor.seq)
    }

    /// Commits what was read.
    async fn commit(&mut self) -> Result<(), ProjectionError> {
        let to = self.reached();
        let Some(target) = &mut self.target else { return Ok(()) };
        if !in_time(target.add(&self.rows, &self.cursor, &to)).await? {
            return Err(ProjectionError::NotOurs);
        }
        self.cursor = to;
        self.rows.clear();
        Ok(())
    }

    async fn close(self) {
        // Everything that was committed is there all the same.
        if let Some(target) = self.target
            && let Err(error) = target.close().await
        {
            tracing::debug!(%error, "cannot close the projection");
        }
        if let Err(error) = self.journal.close().await {
            tracing::debug!(%error, "cannot close the journal");
        }
    }
}

/// Gives up a database that does not answer.
async fn in_time<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, ProjectionError> {
    let answer = tokio::time::timeout(PROJECTION_ANSWER_MAX, answer).await;
    let timed_out = || sqlx::Error::Io(io::ErrorKind::TimedOut.into());
    answer.unwrap_or_else(|_| Err(timed_out())).map_err(ProjectionError::Database)
}
