//! Keeps a projection up with a journal.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use gavel_exchange::Exchange;
use gavel_protocol::Ranked;

use super::history::{IsOurs, StreamHistory};
use super::quotes::add_quotes;
use super::rows::Rows;
use super::target::{Found, ProjectionPlace, Target, is_final};
use crate::curtain::{Passed, Receiver};
use crate::follower::{Cursor, Follower, Following, Product, Source, prove};
use crate::journal::JournalError;
use crate::limits::{
    IDLE_WAKE_MAX, PROJECTION_ANSWER_MAX, PROJECTION_CHECK_MAX, PROJECTION_ROWS_MAX,
};
use crate::publish::{Consumer, Unheard};
use crate::recovery::RecoveryError;
use crate::replica::Replica;
use crate::run::Status;
use crate::snapshots::Snapshots;

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
    #[error(
        "the projection was made by another build: `gavel project --rebuild` makes it anew, if the journal \
         still has its first command"
    )]
    OtherShape,
    /// The tables are of another journal, or another projector writes them.
    #[error(
        "the projection does not belong to this journal, or goes further than it, or somebody else writes \
         it. Nothing was changed. Name another database, or restore this one from the same time as the \
         journal, or remove its tables by hand: then they are made anew, if the journal still has its \
         first command"
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
    following: Following,
    history: StreamHistory,
}

impl Projection {
    /// Brings a projection up to the end of a journal, from where it is. The consumer is one that knows what
    /// subscribers get, and nobody listens to it.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`]; what was committed stays.
    pub async fn catch_up(
        source: Source,
        consumer: Arc<dyn Consumer>,
        place: &ProjectionPlace,
    ) -> Result<Self, ProjectionError> {
        let follower = Follower::new(source, consumer, Tables::new(place.clone()));
        let Cursor { seq, position: events, .. } = follower.catch_up().await?;
        Ok(Self { seq, events })
    }

    /// Makes a projection anew up to the end of a journal, as far back as this build can: from the first command
    /// if the journal still has it, and these rules brought it about; else from the oldest snapshot that these
    /// rules go on from, and older rows stay as they are.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`], [`RecoveryError::HistoryGone`] or [`RecoveryError::OtherRules`] among them if there is
    /// no such snapshot, or the projection has never come as far as that.
    pub async fn rebuild(
        mut source: Source,
        consumer: Arc<dyn Consumer>,
        place: &ProjectionPlace,
    ) -> Result<Self, ProjectionError> {
        let mut target = in_time(Target::open(place)).await?;
        let found = in_time(target.found()).await?;
        let first = source.journal.read_after(0).await?;
        match first.as_ref().and_then(RecoveryError::at_beginning) {
            Some(why) => {
                let Found::Cursor(cursor) = found else { return Err(why.into()) };
                go_back(&mut source, why, &mut target, &cursor).await?;
            }
            None => {
                if let Found::Cursor(cursor) | Found::OtherShape(cursor) = found {
                    let beginning = Replica::new(Arc::new(Unheard));
                    prove::<Tables>(&mut *source.journal, beginning, &cursor).await?;
                }
                target.make(true).await.map_err(ProjectionError::Database)?;
            }
        }
        in_time(target.close()).await?;
        Self::catch_up(source, consumer, place).await
    }
}

/// Takes a projection back to the oldest snapshot that these rules go on from. `why` says why it cannot be made from the
/// first command on.
async fn go_back(
    source: &mut Source,
    why: RecoveryError,
    target: &mut Target,
    cursor: &Cursor,
) -> Result<(), ProjectionError> {
    let Source { journal, snapshots: Some(snapshots), .. } = source else {
        return Err(why.into());
    };
    let oldest = Replica::oldest(&mut **journal, snapshots, Arc::new(Unheard)).await?;
    let oldest = oldest.filter(|replica| replica.head().seq <= cursor.seq);
    let Some(oldest) = oldest else { return Err(why.into()) };
    let reached = oldest.reached();
    prove::<Tables>(&mut **journal, oldest, cursor).await?;
    // It may take as long as it takes.
    match target.go_back(cursor, &reached).await.map_err(ProjectionError::Database)? {
        true => Ok(()),
        false => Err(ProjectionError::NotOurs),
    }
}

impl Projector {
    /// Checks that a projection can be kept up there, or that its database is only away for now.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`] if it never could.
    pub async fn check(
        source: &mut Source,
        place: &ProjectionPlace,
    ) -> Result<(), ProjectionError> {
        let Some(cursor) = Self::cursor(place).await? else { return Ok(()) };
        let first = source.journal.read_after(0).await?;
        let Some(why) = first.as_ref().and_then(RecoveryError::at_beginning) else { return Ok(()) };
        let snapshots = source.snapshots.as_ref().map(Snapshots::list).transpose();
        let snapshots = snapshots.map_err(RecoveryError::Snapshots)?.unwrap_or_default();
        // Those of other builds stay, and are of no use here.
        let is_good = |seq: &u64| source.snapshots.as_ref().is_some_and(|s| s.read(*seq).is_ok());
        match snapshots.iter().rev().filter(|seq| **seq <= cursor.seq).any(is_good) {
            true => Ok(()),
            false => Err(why.into()),
        }
    }

    /// Returns how far a projection goes that can be gone on with; `None` if its database is away.
    async fn cursor(place: &ProjectionPlace) -> Result<Option<Cursor>, ProjectionError> {
        let found = async {
            let mut target = Target::open(place).await?;
            let found = target.found().await?;
            target.close().await.map(|()| found)
        };
        match tokio::time::timeout(PROJECTION_CHECK_MAX, found).await {
            Ok(Ok(Found::OtherShape(_))) => Err(ProjectionError::OtherShape),
            Ok(Ok(Found::Cursor(cursor))) => Ok(Some(cursor)),
            Ok(Ok(Found::Nothing)) => Ok(Some(Cursor::START)),
            Ok(Err(error)) if is_final(&error) => Err(ProjectionError::Database(error)),
            Ok(Err(_)) | Err(_) => Ok(None),
        }
    }

    /// Starts to follow the journal of a running exchange. The consumer is one that knows what subscribers get, and
    /// nobody listens to it.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn start(
        source: Source,
        consumer: Arc<dyn Consumer>,
        place: ProjectionPlace,
        status: Arc<Status>,
    ) -> Result<Self, ProjectionError> {
        let tables = Tables::new(place);
        let history = StreamHistory::new(&tables.place, tables.is_ours.clone());
        let follower = Follower::new(source, consumer, tables);
        let following = Following::start("projector", follower, status);
        let following = following.map_err(ProjectionError::Spawning)?;
        Ok(Self { following, history })
    }

    /// Returns what reads the events of streams that are projected.
    pub fn history(&self) -> StreamHistory {
        self.history.clone()
    }

    /// Lets it come to the end of the journal, unless its database is away, and ends it. To be called
    /// when nothing is appended any more. Waits.
    pub fn stop(self) {
        self.following.stop();
    }
}

/// The tables of a projection, and the rows that are still to come into them.
struct Tables {
    place: ProjectionPlace,
    rows: Rows,
    /// None while the database is away.
    target: Option<Target>,
    is_ours: IsOurs,
}

impl Tables {
    fn new(place: ProjectionPlace) -> Self {
        Self { place, rows: Rows::new(), target: None, is_ours: IsOurs::default() }
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        self.is_ours.set(false);
    }
}

impl Receiver for Tables {
    const TAKES_STREAMS: bool = true;

    fn receive(&mut self, passed: Passed, ranking: &[Ranked]) {
        self.rows.add(passed, ranking);
    }

    fn receive_held(&mut self, held: Vec<Passed>) {
        add_quotes(&held, &mut self.rows);
        for passed in held {
            self.rows.add(passed, &[]);
        }
    }
}

impl Product for Tables {
    type Error = ProjectionError;

    const STORE: &'static str = "the projection's database";
    const OVER: &'static str = "nothing is projected any more";

    async fn connect(&mut self) -> Result<Option<Cursor>, ProjectionError> {
        if self.target.is_some() {
            return Ok(None);
        }
        let mut target = in_time(Target::open(&self.place)).await?;
        let cursor = match in_time(target.found()).await? {
            Found::Nothing => in_time(target.make(false)).await?,
            Found::Cursor(cursor) => cursor,
            Found::OtherShape(_) => return Err(ProjectionError::OtherShape),
        };
        self.target = Some(target);
        Ok(Some(cursor))
    }

    fn begin(&mut self) {
        self.rows.clear();
        self.rows.add_reasons();
    }

    fn is_empty(&self) -> bool {
        self.rows.count() == 0
    }

    fn is_full(&self) -> bool {
        self.rows.count() >= PROJECTION_ROWS_MAX
    }

    fn forget(&mut self) {
        self.rows.clear();
    }

    async fn keep(&mut self, from: &Cursor, to: &Cursor) -> Result<bool, ProjectionError> {
        let target = self.target.as_mut().expect("it is connected before anything is kept");
        in_time(target.add(&self.rows, from, to)).await
    }

    async fn tend(&mut self, _: &Exchange, _: bool) -> Result<Duration, ProjectionError> {
        // The cursor was found to be of this journal, or what is there was made by us.
        self.is_ours.set(true);
        Ok(IDLE_WAKE_MAX)
    }

    fn disconnect(&mut self) {
        self.target = None;
    }

    async fn close(mut self) {
        // Everything that was committed is there all the same.
        if let Some(target) = self.target.take()
            && let Err(error) = target.close().await
        {
            tracing::debug!(%error, "cannot close the projection");
        }
    }

    fn is_away(error: &ProjectionError) -> bool {
        matches!(error, ProjectionError::Database(error) if !is_final(error))
    }

    fn not_ours() -> ProjectionError {
        ProjectionError::NotOurs
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
