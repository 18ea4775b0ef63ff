//! Keeps a projection up with a journal.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use gavel_protocol::{Event, Ranked};

use super::history::{IsOurs, StreamHistory};
use super::quotes::add_quotes;
use super::rows::Rows;
use super::split::{Split, StreamEvent};
use super::target::{Found, ProjectionPlace, Target, is_final};
use crate::batch::StepView;
use crate::follower::{At, Cursor, Follower, Following, Product, Receiver};
use crate::journal::{AnyJournal, JournalError, JournalPlace, Whole};
use crate::limits::{
    IDLE_WAKE_MAX, PROJECTION_ANSWER_MAX, PROJECTION_CHECK_MAX, PROJECTION_ROWS_MAX,
};
use crate::recovery::RecoveryError;
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
    following: Following,
    history: StreamHistory,
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
        split: Box<dyn Split>,
        rebuild: bool,
    ) -> Result<Self, ProjectionError> {
        let mut tables = Tables::new(place.clone(), split);
        tables.rebuild = rebuild;
        let cursor = Follower::new(Box::new(Whole(journal)), tables).catch_up().await?;
        Ok(Self { seq: cursor.seq, events: cursor.position })
    }
}

impl Projector {
    /// Checks that a projection can be kept up there, or that its database is only away for now.
    ///
    /// # Errors
    ///
    /// [`ProjectionError`] if it never could.
    pub async fn check(place: &ProjectionPlace) -> Result<(), ProjectionError> {
        let found = async {
            let mut target = Target::open(place).await?;
            let found = target.found().await?;
            target.close().await.map(|()| found)
        };
        match tokio::time::timeout(PROJECTION_CHECK_MAX, found).await {
            Ok(Ok(Found::OtherShape)) => Err(ProjectionError::OtherShape),
            Ok(Err(error)) if is_final(&error) => Err(ProjectionError::Database(error)),
            Ok(Ok(Found::Nothing | Found::Cursor(_)) | Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Starts to follow the journal of a running exchange.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn start(
        journal: JournalPlace,
        place: ProjectionPlace,
        split: Box<dyn Split>,
        status: Arc<Status>,
    ) -> Result<Self, ProjectionError> {
        let tables = Tables::new(place, split);
        let history = StreamHistory::new(&tables.place, tables.is_ours.clone());
        let following = Following::start("projector", journal, tables, status);
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
    /// Whether what is there is to be made anew.
    rebuild: bool,
    rows: Rows,
    split: Box<dyn Split>,
    /// Events of streams whose own events have not come through yet, by the order of those.
    stream_events: HashMap<u64, Vec<StreamEvent>>,
    /// None while the database is away.
    target: Option<Target>,
    is_ours: IsOurs,
}

impl Tables {
    fn new(place: ProjectionPlace, split: Box<dyn Split>) -> Self {
        Self {
            place,
            rebuild: false,
            rows: Rows::new(),
            split,
            stream_events: HashMap::new(),
            target: None,
            is_ours: IsOurs::default(),
        }
    }

    fn add_event(&mut self, at: At, event: &Event, ranking: &[Ranked]) {
        self.rows.add_event(at, event, ranking);
        for event in self.stream_events.remove(&at.order).unwrap_or_default() {
            self.rows.add_stream_event(at, event);
        }
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        self.is_ours.set(false);
    }
}

impl Receiver for Tables {
    fn look(&mut self, step: &StepView<'_>, order: u64) {
        let Self { split, stream_events, .. } = self;
        split.split(step, &mut |place, event| {
            stream_events.entry(order + place).or_default().push(event);
        });
    }

    fn receive(&mut self, at: At, event: &Event, ranking: &[Ranked]) {
        self.add_event(at, event, ranking);
    }

    fn receive_held(&mut self, held: &[(At, Event)]) {
        add_quotes(held, &mut self.rows);
        for (at, event) in held {
            self.add_event(*at, event, &[]);
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
            Found::OtherShape | Found::Cursor(_) if self.rebuild => {
                in_time(target.make(true)).await?
            }
            Found::Cursor(cursor) => cursor,
            Found::OtherShape => return Err(ProjectionError::OtherShape),
        };
        self.rebuild = false;
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

    async fn tend(&mut self, _is_last: bool) -> Result<Duration, ProjectionError> {
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
