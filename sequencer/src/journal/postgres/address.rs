//! Where a PostgreSQL server is, so that it can be shown to anybody: without the password.

use std::fmt;
use std::str::FromStr;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

/// Where a PostgreSQL server is and how to log on to it. Shown without the password.
#[derive(Clone)]
pub struct PostgresAddress(Box<PgConnectOptions>);

/// Why a text is no address. It does not repeat the text, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It does not begin as one.
    #[error("an address of PostgreSQL begins with `postgres://`")]
    Scheme,
    /// It cannot be read.
    #[error(
        "write postgres://USER@HOST:PORT/DATABASE, or \
         postgres:///DATABASE?host=/var/run/postgresql&user=USER for a socket"
    )]
    Reading(#[source] sqlx::Error),
    /// A parameter has no meaning.
    #[error("the address has a parameter without a meaning; there are {}", KNOWN.join(", "))]
    Parameter,
}

/// The parameters that sqlx gives a meaning to. It logs others, with their values.
const KNOWN: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

impl PostgresAddress {
    /// Returns whether a text is meant to be an address of PostgreSQL.
    pub fn is_meant_by(text: &str) -> bool {
        text.starts_with("postgres://") || text.starts_with("postgresql://")
    }

    /// Returns how to connect.
    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::clone(&self.0)
    }
}

impl FromStr for PostgresAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if !Self::is_meant_by(text) {
            return Err(AddressError::Scheme);
        }
        let (_, parameters) = text.split_once('?').unwrap_or_default();
        let names = parameters.split('&').filter_map(|parameter| parameter.split('=').next());
        if !names.filter(|name| !name.is_empty()).all(|name| KNOWN.contains(&name)) {
            return Err(AddressError::Parameter);
        }
        let options: PgConnectOptions = text.parse().map_err(AddressError::Reading)?;
        Ok(Self(Box::new(options.disable_statement_logging())))
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(options) = self;
        let user = options.get_username();
        write!(f, "postgres://{user}@")?;
        match options.get_socket() {
            Some(folder) => write!(f, "{}:{}", folder.display(), options.get_port())?,
            None => write!(f, "{}:{}", options.get_host(), options.get_port())?,
        }
        write!(f, "/{}", options.get_database().unwrap_or(user))
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let written = [
            ("postgres://me:secret@db:5433/market", "postgres://me@db:5433/market"),
            ("postgresql://me:secret@db:5433", "postgres://me@db:5433/me"),
            ("postgres://me@db:5433/market?password=secret", "postgres://me@db:5433/market"),
            ("postgres://me@%2Ftmp%2Fx:5433/market", "postgres://me@/tmp/x:5433/market"),
            ("postgres:///market?host=/tmp&user=me&port=1", "postgres://me@/tmp:1/market"),
        ];
        for (text, shown) in written {
            let address: PostgresAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for text in [
            "mysql://me:secret@db",
            "postgres://me:secret@db:port/x",
            "postgres://me@db/x?pasword=secret",
            "postgres://me:pass?secret@db",
        ] {
            let error = text.parse::<PostgresAddress>().unwrap_err();
            assert!(!format!("{error}").contains("secret"), "{error}");
        }
    }
}
