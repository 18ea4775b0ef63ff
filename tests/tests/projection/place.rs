//! A projection's database, and what is in it.

use std::path::PathBuf;

use gavel_sequencer::projection::ProjectionPlace;
use gavel_tests::postgres::Database;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tempfile::TempDir;

/// A database of either kind.
pub enum Place {
    Sqlite(TempDir),
    Postgres(Database),
}

/// The tables of a projection and the columns that their rows are sorted by.
const TABLES: [(&str, &str); 16] = [
    ("reasons", "1"),
    ("accounts", "enrolled_at_ns, transaction_max_micros, account"),
    ("agents", "enrolled_at_ns, public_key"),
    ("capabilities", "1"),
    ("rfqs", "opened_at_ns, format, window_ns"),
    ("quotes", "placed_at_ns, price_micros, provider"),
    ("bundles", "price_micros"),
    ("rfq_ends", "ended_at_ns, result"),
    ("rankings", "price_micros, place, rfq"),
    ("contracts", "awarded_at_ns, price_micros"),
    ("contract_steps", "1"),
    ("losses", "1, 2"),
    ("standing_quotes", "1"),
    ("postings", "1, 2"),
    ("reputations", "1"),
    ("events", "1"),
];

impl Place {
    /// Returns one of each kind, empty.
    pub fn all() -> [Self; 2] {
        [Self::Sqlite(tempfile::tempdir().unwrap()), Self::Postgres(Database::shared())]
    }

    /// Returns where a projection can be made.
    pub fn projection(&self) -> ProjectionPlace {
        match self {
            Self::Sqlite(folder) => ProjectionPlace::Sqlite(file(folder)),
            Self::Postgres(database) => ProjectionPlace::Postgres(database.url().parse().unwrap()),
        }
    }

    /// Returns a query's rows, a line for each, values separated by `|`.
    pub async fn query(&self, query: &str) -> String {
        match self {
            Self::Postgres(database) => {
                database.query(&format!("SET search_path = gavel; {query}"))
            }
            Self::Sqlite(folder) => {
                let options = SqliteConnectOptions::new().filename(file(folder));
                let mut connection = options.connect().await.unwrap();
                let query = sqlx::query(AssertSqlSafe(query.to_owned()));
                let rows = query.fetch_all(&mut connection).await.unwrap();
                connection.close().await.unwrap();
                let lines: Vec<String> = rows.iter().map(line).collect();
                lines.join("\n")
            }
        }
    }

    /// Removes the projection.
    pub async fn clear(&self) {
        match self {
            Self::Sqlite(folder) => drop(std::fs::remove_file(file(folder))),
            Self::Postgres(database) => drop(database.query("DROP SCHEMA IF EXISTS gavel CASCADE")),
        }
    }

    /// Returns everything that is in the projection.
    pub async fn everything(&self) -> String {
        let mut everything = String::new();
        for (table, order) in TABLES {
            let rows = self.query(&format!("SELECT * FROM {table} ORDER BY {order}")).await;
            everything.push_str(&format!("{table}\n{rows}\n"));
        }
        everything
    }
}

impl Place {
    /// Returns the events of all streams, as their bytes in hexadecimal.
    pub async fn stream_events(&self) -> String {
        let frame = match self {
            Self::Sqlite(_) => "lower(hex(frame))",
            Self::Postgres(_) => "encode(frame, 'hex')",
        };
        let columns = format!("stream, stream_seq, position, {frame}");
        self.query(&format!("SELECT {columns} FROM stream_events ORDER BY 3, 1, 2")).await
    }

    /// Returns how many events are missing before the last one that is there, in all streams.
    pub async fn missing_stream_events(&self) -> String {
        let missing =
            "SELECT max(stream_seq) - count(*) AS missing FROM stream_events GROUP BY stream";
        self.query(&format!("SELECT sum(missing) FROM ({missing}) AS streams")).await
    }
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("projection.sqlite")
}

fn line(row: &SqliteRow) -> String {
    let values = (0..row.len()).map(|column| {
        let number = row.try_get::<Option<i64>, _>(column).map(|n| n.map(|n| n.to_string()));
        let value = number.or_else(|_| row.try_get::<Option<String>, _>(column)).unwrap();
        value.unwrap_or_default()
    });
    values.collect::<Vec<_>>().join("|")
}
