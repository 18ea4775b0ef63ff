//! The events of streams that are in a projection, for subscribers who have missed more than memory keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Row as _, SqlitePool};

use super::schema::Dialect;
use super::target::{ProjectionPlace, stored};
use crate::limits::{HISTORY_ANSWER_MAX, HISTORY_CONNECTIONS_MAX};

/// Reads what streams have had, as far as it is projected. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StreamHistory {
    database: Database,
    is_ours: IsOurs,
}

/// Whether what is in the database is known to be of the journal that is followed.
#[derive(Clone, Debug, Default)]
pub(super) struct IsOurs(Arc<AtomicBool>);

#[derive(Clone, Debug)]
enum Database {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl IsOurs {
    pub(super) fn set(&self, is_ours: bool) {
        self.0.store(is_ours, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl StreamHistory {
    /// Makes one that connects when it is asked. To be called within a runtime.
    pub(super) fn new(place: &ProjectionPlace, is_ours: IsOurs) -> Self {
        let database = match place {
            ProjectionPlace::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path).read_only(true);
                let pool = SqlitePoolOptions::new().max_connections(HISTORY_CONNECTIONS_MAX);
                Database::Sqlite(pool.connect_lazy_with(options))
            }
            ProjectionPlace::Postgres(address) => {
                let pool = PgPoolOptions::new().max_connections(HISTORY_CONNECTIONS_MAX);
                Database::Postgres(pool.connect_lazy_with(address.options()))
            }
        };
        Self { database, is_ours }
    }

    /// Returns the frames of at most `count` events of a stream that follow each other, beginning with number
    /// `from`. None if that one is not there: sealed yet, not projected yet, or out of reach.
    pub async fn read(&self, stream: &str, from: u64, count: usize) -> Vec<Vec<u8>> {
        if !self.is_ours.get() {
            return Vec::new();
        }
        let read = tokio::time::timeout(HISTORY_ANSWER_MAX, self.rows(stream, from, count)).await;
        let rows = match read {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot read streams from the projection");
                Vec::new()
            }
            Err(_) => {
                tracing::warn!("the projection does not say in time what streams have had");
                Vec::new()
            }
        };
        let followed = (stored(from)..).zip(rows).take_while(|(next, (number, _))| next == number);
        followed.map(|(_, (_, frame))| frame).collect()
    }

    async fn rows(
        &self,
        stream: &str,
        from: u64,
        count: usize,
    ) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
        let dialect = match self.database {
            Database::Sqlite(_) => Dialect::Sqlite,
            Database::Postgres(_) => Dialect::Postgres,
        };
        let query = format!(
            "SELECT stream_seq, frame FROM {}stream_events WHERE stream = $1 AND stream_seq >= $2 \
             ORDER BY stream_seq LIMIT $3",
            dialect.prefix()
        );
        macro_rules! rows {
            ($pool:expr) => {{
                let query = sqlx::query(AssertSqlSafe(query)).bind(stream).bind(stored(from));
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                let rows = query.bind(count).fetch_all($pool).await?;
                let rows = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
                rows.collect()
            }};
        }
        match &self.database {
            Database::Sqlite(pool) => rows!(pool),
            Database::Postgres(pool) => rows!(pool),
        }
    }
}
