//! The database that a projection is in: its tables, its cursor, and rows that are added with it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use gavel_protocol::{Digest, TEMPLATE_VERSION};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, Row as _, SqliteConnection,
};

use super::rows::{Rows, Value};
use super::schema::{Dialect, READER, SCHEMA, Table};
use super::tables::{POSITION, TABLES, VIEWS};
use crate::follower::Cursor;
use crate::journal::{self, PostgresAddress};
use crate::limits::PROJECTION_STATEMENT_ROWS_MAX;

/// Where a projection is.
#[derive(Clone, Debug)]
pub enum ProjectionPlace {
    /// In a file.
    Sqlite(PathBuf),
    /// On a server.
    Postgres(PostgresAddress),
}

/// A connection to a projection.
pub(super) enum Target {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// What the database has of a projection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// One that another build has made.
    OtherShape(Cursor),
    /// One that can be gone on with.
    Cursor(Cursor),
}

/// The one row that says how far a projection has come. Readers may not see it: it counts commands.
const CURSOR: &str = "
    (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), seq BIGINT NOT NULL, position BIGINT NOT NULL,
    chain TEXT NOT NULL, shape TEXT NOT NULL)
";

/// What its columns say.
const CURSOR_COMMENTS: [(&str, &str); 5] = [
    ("only_row", "1: there is one row."),
    ("seq", "The last command that is projected."),
    ("position", "The last position of the events that is."),
    ("chain", "The value of the chain of the journal there (BLAKE3, hex)."),
    ("shape", "What tells these tables from those of another build."),
];

/// What begins and ends a binary copy; see PostgreSQL's documentation of COPY.
const COPY_BEGIN: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COPY_END: i16 = -1;

/// Changes rows and moves the cursor, both or neither. Ends with `false` if the cursor is not where it should be. It comes
/// first: whoever else moves it waits.
macro_rules! moving {
    ($connection:expr, $dialect:expr, $from:expr => $to:expr, |$transaction:ident| $change:expr) => {{
        let mut $transaction = $connection.begin().await?;
        let move_cursor = format!(
            "UPDATE {}projection_cursor SET seq = $1, position = $2, chain = $3 \
             WHERE seq = $4 AND position = $5",
            $dialect.prefix()
        );
        let query = sqlx::query(AssertSqlSafe(move_cursor))
            .bind(stored($to.seq))
            .bind($to.position)
            .bind($to.chain.to_string())
            .bind(stored($from.seq))
            .bind($from.position);
        if query.execute(&mut *$transaction).await?.rows_affected() != 1 {
            return Ok(false);
        }
        $change;
        $transaction.commit().await?;
        Ok(true)
    }};
}

impl Target {
    /// Connects.
    pub(super) async fn open(place: &ProjectionPlace) -> Result<Self, sqlx::Error> {
        Ok(match place {
            ProjectionPlace::Sqlite(path) => Self::Sqlite(open_file(path).await?),
            ProjectionPlace::Postgres(address) => {
                Self::Postgres(address.options().connect().await?)
            }
        })
    }

    /// Finds out what there is.
    pub(super) async fn found(&mut self) -> Result<Found, sqlx::Error> {
        let dialect = self.dialect();
        let exists = match dialect {
            Dialect::Sqlite => {
                "SELECT count(*) AS tables FROM sqlite_master WHERE name = 'projection_cursor'"
            }
            Dialect::Postgres => "SELECT count(to_regclass('gavel.projection_cursor')) AS tables",
        };
        if self.number(exists, "tables").await? == 0 {
            return Ok(Found::Nothing);
        }
        let from = format!("{}projection_cursor", dialect.prefix());
        let shape = self.text(&format!("SELECT shape AS found FROM {from}")).await?;
        let seq = self.number(&format!("SELECT seq FROM {from}"), "seq").await?;
        let position = self.number(&format!("SELECT position FROM {from}"), "position").await?;
        let chain = self.text(&format!("SELECT chain AS found FROM {from}")).await?;
        let seq = u64::try_from(seq).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let chain = chain.parse().map_err(|_| sqlx::Error::Decode("no digest".into()))?;
        let cursor = Cursor { seq, position, chain };
        Ok(if shape == shape_of(dialect) {
            Found::Cursor(cursor)
        } else {
            Found::OtherShape(cursor)
        })
    }

    /// Makes the tables, empty; those of a projection that is replaced go.
    pub(super) async fn make(&mut self, replaces: bool) -> Result<Cursor, sqlx::Error> {
        let dialect = self.dialect();
        let prefix = dialect.prefix();
        let (chain, shape) = (Cursor::START.chain, shape_of(dialect));
        let drop = if replaces { drop_all(dialect) } else { String::new() };
        let schema = match dialect {
            Dialect::Postgres => format!("CREATE SCHEMA IF NOT EXISTS {SCHEMA};"),
            Dialect::Sqlite => String::new(),
        };
        let definition = dialect.definition(TABLES, VIEWS);
        let cursor = format!(
            "CREATE TABLE {prefix}projection_cursor {CURSOR};
             INSERT INTO {prefix}projection_cursor VALUES (1, 0, 0, '{chain}', '{shape}');"
        );
        let all = format!("BEGIN; {drop} {schema} {definition} {cursor} COMMIT;");
        self.run(&all).await?;
        if dialect == Dialect::Postgres {
            self.run(&reader_role()).await?;
            let comments = CURSOR_COMMENTS.map(|(column, comment)| {
                format!("COMMENT ON COLUMN {prefix}projection_cursor.{column} IS '{comment}';")
            });
            self.run(&comments.concat()).await?;
            let role = format!("SELECT count(*) AS roles FROM pg_roles WHERE rolname = '{READER}'");
            if self.number(&role, "roles").await? == 0 {
                tracing::warn!(
                    role = READER,
                    "its user may not make the role of the projection's readers"
                );
            }
        }
        Ok(Cursor::START)
    }

    /// Adds rows and moves the cursor, both or neither. Returns `false` if the cursor is not at `from`:
    /// somebody else has moved it.
    pub(super) async fn add(
        &mut self,
        rows: &Rows,
        from: &Cursor,
        to: &Cursor,
    ) -> Result<bool, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                moving!(connection, Dialect::Sqlite, from => to, |transaction| {
                    for (table, values) in rows.by_table() {
                        insert(&mut transaction, table, values).await?;
                    }
                })
            }
            Self::Postgres(connection) => {
                moving!(connection, Dialect::Postgres, from => to, |transaction| {
                    for (table, values) in rows.by_table() {
                        copy(&mut transaction, table, values).await?;
                    }
                })
            }
        }
    }

    /// Takes away all rows that came after `to` and moves the cursor there from `from`, all or nothing. Returns
    /// `false` if the cursor is not at `from`.
    pub(super) async fn go_back(
        &mut self,
        from: &Cursor,
        to: &Cursor,
    ) -> Result<bool, sqlx::Error> {
        let prefix = self.dialect().prefix();
        // None refers to a later one; the rows of a table without positions never change.
        let tables = TABLES.iter().rev();
        let tables = tables.filter(|table| table.columns.iter().any(|c| c.name == POSITION.name));
        let delete = |table: &Table| {
            format!("DELETE FROM {prefix}{} WHERE position > {};", table.name, to.position)
        };
        let deletes = sqlx::raw_sql(AssertSqlSafe(tables.map(delete).collect::<String>()));
        match self {
            Self::Sqlite(connection) => {
                moving!(connection, Dialect::Sqlite, from => to, |transaction| {
                    deletes.execute(&mut *transaction).await?
                })
            }
            Self::Postgres(connection) => {
                moving!(connection, Dialect::Postgres, from => to, |transaction| {
                    deletes.execute(&mut *transaction).await?
                })
            }
        }
    }

    /// Lets go of the database.
    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }

    fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    async fn run(&mut self, statements: &str) -> Result<(), sqlx::Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        match self {
            Self::Sqlite(connection) => query.execute(connection).await.map(drop),
            Self::Postgres(connection) => query.execute(connection).await.map(drop),
        }
    }

    async fn number(&mut self, query: &str, column: &str) -> Result<i64, sqlx::Error> {
        let query = AssertSqlSafe(query.to_owned());
        match self {
            Self::Sqlite(connection) => {
                sqlx::query(query).fetch_one(connection).await?.try_get(column)
            }
            Self::Postgres(connection) => {
                sqlx::query(query).fetch_one(connection).await?.try_get(column)
            }
        }
    }

    async fn text(&mut self, query: &str) -> Result<String, sqlx::Error> {
        let query = AssertSqlSafe(query.to_owned());
        match self {
            Self::Sqlite(connection) => {
                sqlx::query(query).fetch_one(connection).await?.try_get("found")
            }
            Self::Postgres(connection) => {
                sqlx::query(query).fetch_one(connection).await?.try_get("found")
            }
        }
    }
}

/// Returns whether asking again would be answered the same: it is not that the database is away.
pub(super) fn is_final(error: &sqlx::Error) -> bool {
    const AUTHORIZATION: &str = "28";
    const CATALOG_NAME: &str = "3D";
    const SQLITE_CANNOT_OPEN: &str = "14";
    let code = error.as_database_error().and_then(|error| error.code());
    let class = code.as_ref().and_then(|code| code.get(..2));
    journal::is_final(error)
        || class.is_some_and(|class| [AUTHORIZATION, CATALOG_NAME].contains(&class))
        || code.is_some_and(|code| code == SQLITE_CANNOT_OPEN)
}

/// Opens the file, which its owner alone may read if it is made now.
async fn open_file(path: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let mut file = OpenOptions::new();
    file.append(true).create(true).mode(0o600);
    // If it cannot be made, SQLite says so.
    drop(file.open(path));
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        // It can be made again; a crash may cost its end, never its order.
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    options.connect().await
}

/// Inserts rows, many at a time.
async fn insert(
    connection: &mut SqliteConnection,
    table: &Table,
    values: &[Value],
) -> Result<(), sqlx::Error> {
    let width = table.columns.len();
    let row = format!("({})", vec!["?"; width].join(", "));
    for some in values.chunks(width * PROJECTION_STATEMENT_ROWS_MAX) {
        let count = some.len() / width;
        let rows = vec![row.as_str(); count].join(", ");
        let statement = format!("INSERT INTO {} VALUES {rows}", table.name);
        // Only full statements come again.
        let mut query = sqlx::query(AssertSqlSafe(statement))
            .persistent(count == PROJECTION_STATEMENT_ROWS_MAX);
        for value in some {
            query = match value {
                Value::Null => query.bind(None::<i64>),
                Value::Number(number) => query.bind(number),
                Value::Flag(flag) => query.bind(flag),
                Value::Text(text) => query.bind(text),
                Value::Bytes(bytes) => query.bind(bytes),
            };
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Copies rows in PostgreSQL's binary format.
async fn copy(
    connection: &mut PgConnection,
    table: &Table,
    values: &[Value],
) -> Result<(), sqlx::Error> {
    let statement = format!("COPY {SCHEMA}.{} FROM STDIN WITH (FORMAT binary)", table.name);
    let mut bytes = COPY_BEGIN.to_vec();
    for row in values.chunks(table.columns.len()) {
        let width = i16::try_from(row.len()).expect("a table has a few dozen columns at most");
        bytes.extend_from_slice(&width.to_be_bytes());
        for value in row {
            match value {
                Value::Null => bytes.extend_from_slice(&(-1_i32).to_be_bytes()),
                Value::Number(number) => put_field(&number.to_be_bytes(), &mut bytes),
                Value::Flag(flag) => put_field(&[u8::from(*flag)], &mut bytes),
                Value::Text(text) => put_field(text.as_bytes(), &mut bytes),
                Value::Bytes(field) => put_field(field, &mut bytes),
            }
        }
    }
    bytes.extend_from_slice(&COPY_END.to_be_bytes());
    let mut copying = connection.copy_in_raw(&statement).await?;
    copying.send(bytes).await?;
    copying.finish().await.map(drop)
}

fn put_field(field: &[u8], bytes: &mut Vec<u8>) {
    let length = i32::try_from(field.len()).expect("an event is as short as a few frames");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(field);
}

/// Returns what tells one build's tables from another's.
fn shape_of(dialect: Dialect) -> String {
    let definition = dialect.definition(TABLES, VIEWS);
    let shape = format!("{definition}-- frames of version {TEMPLATE_VERSION}");
    Digest::new(blake3::hash(shape.as_bytes()).into()).to_string()
}

fn drop_all(dialect: Dialect) -> String {
    let prefix = dialect.prefix();
    let views = VIEWS.iter().map(|view| format!("DROP VIEW IF EXISTS {prefix}{};", view.name));
    let tables = TABLES.iter().rev().map(|table| table.name).chain(["projection_cursor"]);
    let cascade = if dialect == Dialect::Postgres { " CASCADE" } else { "" };
    let tables = tables.map(|name| format!("DROP TABLE IF EXISTS {prefix}{name}{cascade};"));
    views.chain(tables).collect()
}

/// Returns what lets [`READER`] read everything but what shows that something is sealed. Without the right to
/// make roles the projection does without.
fn reader_role() -> String {
    format!(
        "DO $$ BEGIN
             IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{READER}') THEN
                 CREATE ROLE {READER} NOLOGIN;
             END IF;
             GRANT USAGE ON SCHEMA {SCHEMA} TO {READER};
             GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {READER};
             REVOKE ALL ON {SCHEMA}.projection_cursor, {SCHEMA}.stream_events FROM {READER};
         EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
             RAISE NOTICE 'there is no role {READER}';
         END $$"
    )
}

/// SQL's integers are signed.
pub(super) fn stored(seq: u64) -> i64 {
    i64::try_from(seq).expect("sequence numbers fit 44 bits, as the exchange asserts")
}
