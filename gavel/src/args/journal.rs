//! Where the journal and the projection are kept, as arguments.

use std::fmt;

use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};
use gavel_sequencer::journal::{Ack, JournalPlace, PostgresAddress};
use gavel_sequencer::projection::ProjectionPlace;

use crate::data_dir::DataDir;

/// Where the journal is kept.
#[derive(Clone, Debug, Parser)]
pub struct JournalArg {
    /// A PostgreSQL database that keeps the journal, as postgres://USER@HOST:PORT/DATABASE [default:
    /// embedded, in the data directory]. Others on this machine can see an argument: put the
    /// password into ~/.pgpass or PGPASSWORD.
    #[arg(long = "journal", value_name = "URL")]
    url: Option<Secret>,
}

/// What it takes for a command to be acknowledged.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AckArg {
    /// It is on the server's own disk, whatever its replicas have.
    Local,
    /// Replicas have received it, too.
    RemoteWrite,
    /// It is on the disks of the replicas, too.
    On,
    /// Replicas show it, too.
    RemoteApply,
}

/// A database for the projection.
#[derive(Clone, Debug)]
pub struct ProjectionArg(Secret);

/// A text that may hold a password, and so is shown to nobody.
#[derive(Clone)]
struct Secret(String);

impl From<AckArg> for Ack {
    fn from(ack: AckArg) -> Self {
        match ack {
            AckArg::Local => Self::Local,
            AckArg::RemoteWrite => Self::RemoteWrite,
            AckArg::On => Self::On,
            AckArg::RemoteApply => Self::RemoteApply,
        }
    }
}

impl ProjectionArg {
    /// Returns where it is.
    pub fn place(&self) -> anyhow::Result<ProjectionPlace> {
        let Self(Secret(url)) = self;
        if PostgresAddress::is_meant_by(url) {
            let address = url.parse().context("--projection makes no sense")?;
            return Ok(ProjectionPlace::Postgres(address));
        }
        match url.strip_prefix("sqlite://") {
            Some(path) if !path.is_empty() => Ok(ProjectionPlace::Sqlite(path.into())),
            Some(_) | None => {
                bail!("--projection is postgres://USER@HOST:PORT/DATABASE or sqlite://FILE")
            }
        }
    }
}

impl From<String> for ProjectionArg {
    fn from(text: String) -> Self {
        Self(Secret(text))
    }
}

impl JournalArg {
    /// Returns where the journal of a data directory is.
    pub fn place(&self, data: &DataDir) -> anyhow::Result<JournalPlace> {
        match &self.url {
            None => Ok(JournalPlace::Folder(data.journal())),
            Some(Secret(url)) => {
                let address = url.parse().context("--journal makes no sense")?;
                Ok(JournalPlace::Postgres(address))
            }
        }
    }

    /// Returns where the journal of an exchange is that has run before.
    pub fn place_of_existing(&self, data: &DataDir) -> anyhow::Result<JournalPlace> {
        if self.url.is_none() {
            data.whereabouts()?;
        }
        self.place(data)
    }
}

// Clap would repeat what it cannot parse: so it is parsed later.
impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
