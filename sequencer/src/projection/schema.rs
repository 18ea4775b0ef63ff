//! What a projection's tables look like: described once, written out for either database.

use std::fmt::Write as _;

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// What a row is.
    pub(super) comment: &'static str,
    pub(super) columns: &'static [Column],
    /// The columns of the primary key.
    pub(super) key: &'static str,
    /// The columns of further indexes, for the questions that are asked often.
    pub(super) indexes: &'static [&'static str],
}

/// A view over the tables.
#[derive(Debug)]
pub(super) struct View {
    pub(super) name: &'static str,
    /// What a row is.
    pub(super) comment: &'static str,
    /// Its columns, and what they say; if there are none here, those of the table whose name its own begins with.
    pub(super) columns: &'static [(&'static str, &'static str)],
    pub(super) query: &'static str,
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) optional: bool,
    /// The table and column that its values are found in.
    pub(super) found_in: Option<&'static str>,
    /// What it says, and in which unit.
    pub(super) comment: &'static str,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number of 64 bits.
    Number,
    /// True or false.
    Flag,
    /// A text.
    Text,
    /// A JSON text.
    Json,
    /// Bytes.
    Bytes,
}

/// Returns a column that is always there.
pub(super) const fn column(name: &'static str, kind: Kind, comment: &'static str) -> Column {
    Column { name, kind, optional: false, found_in: None, comment }
}

impl Column {
    /// Makes it one that may be missing.
    pub(super) const fn or_null(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Says where its values are found.
    pub(super) const fn of(mut self, found_in: &'static str) -> Self {
        self.found_in = Some(found_in);
        self
    }
}

/// The databases that a projection can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// PostgreSQL: tables in a schema of their own.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// The schema of PostgreSQL that has the tables.
pub(super) const SCHEMA: &str = "gavel";

/// Who may read on PostgreSQL, and nothing else.
pub(super) const READER: &str = "gavel_reader";

impl Dialect {
    /// Returns the statements that make the tables, and the views over them.
    pub(super) fn definition(self, tables: &[Table], views: &[View]) -> String {
        let mut sql = String::new();
        for table in tables {
            self.define(table, &mut sql);
        }
        for view in views {
            self.define_view(view, tables, &mut sql);
        }
        sql
    }

    fn define_view(self, view: &View, tables: &[Table], sql: &mut String) {
        let View { name, comment, columns, query } = view;
        let query = match self {
            Self::Postgres => query.replace("FROM ", "FROM gavel.").replace("JOIN ", "JOIN gavel."),
            Self::Sqlite => return put(sql, format_args!("CREATE VIEW {name} AS {query};\n")),
        };
        let prefix = self.prefix();
        put(sql, format_args!("CREATE VIEW {prefix}{name} AS {query};\n"));
        put(sql, format_args!("COMMENT ON VIEW {prefix}{name} IS '{comment}';\n"));
        let of_table = tables.iter().find(|table| name.starts_with(table.name));
        let of_table = of_table.filter(|_| columns.is_empty()).into_iter();
        let of_table = of_table.flat_map(|table| table.columns).map(|of| (of.name, of.comment));
        for (column, comment) in columns.iter().copied().chain(of_table) {
            let on = format!("{prefix}{name}.{column}");
            put(sql, format_args!("COMMENT ON COLUMN {on} IS '{comment}';\n"));
        }
    }

    /// Returns what stands in front of a table's name.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Postgres => "gavel.",
            Self::Sqlite => "",
        }
    }

    fn define(self, table: &Table, sql: &mut String) {
        let (prefix, name) = (self.prefix(), table.name);
        put(sql, format_args!("CREATE TABLE {prefix}{name} (\n"));
        if self == Self::Sqlite {
            put(sql, format_args!("    -- {}\n", table.comment));
        }
        for column in table.columns {
            let Column { name, kind, optional, found_in, comment } = column;
            let null = if *optional { "" } else { " NOT NULL" };
            put(sql, format_args!("    {name} {}{null}", self.type_of(*kind)));
            if let Some(found_in) = found_in {
                put(sql, format_args!(" REFERENCES {prefix}{found_in}"));
            }
            let comment = match self {
                Self::Postgres => String::new(),
                Self::Sqlite => format!(" -- {comment}"),
            };
            put(sql, format_args!(",{comment}\n"));
        }
        put(sql, format_args!("    PRIMARY KEY ({})\n);\n", table.key));
        for columns in table.indexes {
            let index = columns.replace(", ", "_");
            let on = format!("CREATE INDEX {name}_by_{index} ON {prefix}{name} ({columns});\n");
            sql.push_str(&on);
        }
        if self == Self::Postgres {
            put(sql, format_args!("COMMENT ON TABLE {prefix}{name} IS '{}';\n", table.comment));
            for Column { name: column, comment, .. } in table.columns {
                let on = format!("{prefix}{name}.{column}");
                put(sql, format_args!("COMMENT ON COLUMN {on} IS '{comment}';\n"));
            }
        }
    }

    fn type_of(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Postgres, Kind::Number) => "bigint",
            (Self::Postgres, Kind::Flag) => "boolean",
            (Self::Postgres, Kind::Text) => "text",
            (Self::Postgres, Kind::Json) => "json",
            (Self::Postgres, Kind::Bytes) => "bytea",
            (Self::Sqlite, Kind::Number | Kind::Flag) => "INTEGER",
            (Self::Sqlite, Kind::Text | Kind::Json) => "TEXT",
            (Self::Sqlite, Kind::Bytes) => "BLOB",
        }
    }
}

fn put(sql: &mut String, text: std::fmt::Arguments<'_>) {
    sql.write_fmt(text).expect("a String takes everything");
}
