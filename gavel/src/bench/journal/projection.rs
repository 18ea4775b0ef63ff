//! The projection, beside a bare copy of the same rows into the same tables.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use gavel_gateway::FanOut;
use gavel_sequencer::journal::{JournalPlace, PostgresAddress};
use gavel_sequencer::projection::{Projection, ProjectionPlace};
use gavel_sequencer::{Reach, Source};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _};

use crate::bench::journal::flow::Flow;
use crate::bench::journal::{JournalArgs, RUNS};
use crate::bench::mixed::{MIX, Mix};
use crate::bench::rates::Rates;

/// A smaller market, so that most of what is projected is trade.
pub const SMALL_MIX: Mix =
    Mix { agents: 1_000, capabilities: 10, standing_quotes_per_capability: 1_000, ..MIX };

/// The tables, in the order in which they were made: none refers to a later one.
const TABLES: &str = "
    SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = 'gavel' AND relkind = 'r' AND relname <> 'projection_cursor' ORDER BY pg_class.oid
";

/// What a projection came to.
pub struct Projected {
    /// Rows of all tables.
    pub rows: u64,
    /// Rows that the projection adds, the replay included.
    pub rows_per_s: Rates,
    /// The same rows, copied by themselves.
    pub bare_rows_per_s: Rates,
}

/// Writes a journal into `folder`, projects it, and copies its rows again, in turns.
pub async fn measure(
    args: &JournalArgs,
    folder: &Path,
    address: &PostgresAddress,
) -> anyhow::Result<Projected> {
    let place = JournalPlace::Folder(folder.into());
    let mut flow = Flow::start(SMALL_MIX, args.seed, place.open().await?)?;
    flow.until(args.projected).await?;
    flow.stop().await?;
    let mut connection = address.options().connect().await.context("cannot reach PostgreSQL")?;
    let target = ProjectionPlace::Postgres(address.clone());
    let (mut rows_per_s, mut bare_rows_per_s) = (Rates::default(), Rates::default());
    let mut rows = 0;
    for _ in 0..RUNS {
        let begun = Instant::now();
        let source = Source { journal: place.reader(), snapshots: None, reach: Reach::default() };
        Projection::rebuild(source, FanOut::new(), &target).await?;
        let took = begun.elapsed().as_secs_f64();
        let copied = Copied::of(&mut connection).await?;
        rows = copied.rows;
        rows_per_s.push(rows as f64 / took);
        bare_rows_per_s.push(rows as f64 / copied.copy(&mut connection).await?);
    }
    connection.close().await?;
    Ok(Projected { rows, rows_per_s, bare_rows_per_s })
}

/// The rows of all tables, in PostgreSQL's binary format.
struct Copied {
    tables: Vec<(String, Vec<u8>)>,
    rows: u64,
}

impl Copied {
    async fn of(connection: &mut PgConnection) -> anyhow::Result<Self> {
        let names = sqlx::query(TABLES).fetch_all(&mut *connection).await?;
        let mut copied = Self { tables: Vec::new(), rows: 0 };
        for name in names {
            let name: String = name.try_get("relname")?;
            let count = format!("SELECT count(*) FROM gavel.{name}");
            let count = sqlx::query(AssertSqlSafe(count)).fetch_one(&mut *connection).await?;
            copied.rows += u64::try_from(count.try_get::<i64, _>(0)?)?;
            let out = format!("COPY gavel.{name} TO STDOUT WITH (FORMAT binary)");
            let mut chunks = connection.copy_out_raw(&out).await?;
            let mut bytes = Vec::new();
            while let Some(chunk) = next(&mut chunks).await {
                bytes.extend_from_slice(&chunk?);
            }
            drop(chunks);
            copied.tables.push((name, bytes));
        }
        Ok(copied)
    }

    /// Empties the tables and copies the rows into them, and returns how many seconds the copy took.
    async fn copy(self, connection: &mut PgConnection) -> anyhow::Result<f64> {
        let names: Vec<String> =
            self.tables.iter().map(|(name, _)| format!("gavel.{name}")).collect();
        let truncate = format!("TRUNCATE {}", names.join(", "));
        sqlx::raw_sql(AssertSqlSafe(truncate)).execute(&mut *connection).await?;
        let begun = Instant::now();
        let mut transaction = connection.begin().await?;
        for (name, bytes) in self.tables {
            let into = format!("COPY gavel.{name} FROM STDIN WITH (FORMAT binary)");
            let mut copying = transaction.copy_in_raw(&into).await?;
            copying.send(bytes).await?;
            copying.finish().await?;
        }
        transaction.commit().await?;
        Ok(begun.elapsed().as_secs_f64())
    }
}

async fn next<S: futures_core::Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| std::pin::Pin::new(&mut *stream).poll_next(context)).await
}
