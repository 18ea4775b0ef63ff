//! What came out, with its conditions and beside its limits: for people, and for machines.

use std::fmt;
use std::path::Path;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::bench::journal::projection::Projected;
use crate::bench::journal::store::StoreReport;
use crate::bench::journal::{JournalArgs, Replayed};
use crate::bench::machine::{Machine, file_system};

/// Everything that was measured.
pub struct Report {
    pub conditions: Conditions,
    pub sqlite: StoreReport,
    /// None without a server.
    pub postgres: Option<StoreReport>,
    /// None without a server.
    pub projection: Option<Projected>,
    pub replayed: Replayed,
}

/// Where and how it was measured.
#[derive(Debug, Serialize)]
pub struct Conditions {
    machine: Machine,
    file_system: String,
    seconds_per_measurement: f64,
    replayed_commands: u64,
    projected_commands: u64,
    seed: u64,
    included: &'static str,
}

impl Conditions {
    /// Describes this machine.
    pub fn here(args: &JournalArgs, folder: &Path) -> Self {
        Self {
            machine: Machine::read(),
            file_system: file_system(folder).unwrap_or_else(|| "an unknown file system".into()),
            seconds_per_measurement: args.seconds,
            replayed_commands: args.commands,
            projected_commands: args.projected,
            seed: args.seed,
            included: "standing-quote updates from the inbox to their publication, without the wire; \
                       a bare commit inserts the same record's bytes",
        }
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { conditions, sqlite, postgres, projection, replayed } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("conditions", conditions)?;
        map.serialize_entry("sqlite", sqlite)?;
        map.serialize_entry("postgres", postgres)?;
        let of = projection.as_ref();
        map.serialize_entry("projection_rows", &of.map(|of| of.rows))?;
        map.serialize_entry("projection_rows_per_s", &of.map(|of| &of.rows_per_s))?;
        map.serialize_entry("bare_copy_rows_per_s", &of.map(|of| &of.bare_rows_per_s))?;
        map.serialize_entry("replay_commands_per_s", &replayed.commands_per_s)?;
        map.serialize_entry("start_ms", &replayed.start_ms)?;
        let [alone, beside] = replayed.beside.medians();
        map.serialize_entry("core_p999_ns", &alone)?;
        map.serialize_entry("core_p999_beside_snapshots_ns", &beside)?;
        map.serialize_entry("state_hash", &replayed.state_hash)?;
        map.end()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { conditions, sqlite, postgres, projection, replayed } = self;
        let Conditions { machine, file_system, seconds_per_measurement, .. } = conditions;
        let Conditions { replayed_commands, projected_commands, included, .. } = conditions;
        writeln!(f, "{machine}; journals on {file_system}")?;
        writeln!(f, "{seconds_per_measurement} s each in turns; {included}\n")?;
        writeln!(f, "{:24}{:>14}{:>14}{:>10}", "", "gavel", "bare", "ratio")?;
        store(f, "SQLite", sqlite)?;
        match postgres {
            Some(postgres) => store(f, "PostgreSQL", postgres)?,
            None => writeln!(f, "PostgreSQL is not installed: nothing measured on it")?,
        }
        if let Some(Projected { rows, rows_per_s, bare_rows_per_s }) = projection {
            let (gavel, bare) = (rows_per_s.median(), bare_rows_per_s.median());
            row(f, "projection, rows/s", gavel, bare)?;
            writeln!(f, "  of {projected_commands} commands: {rows} rows")?;
        }
        let Replayed { commands_per_s, start_ms, beside, state_hash } = replayed;
        writeln!(
            f,
            "replay: {:.0} of {replayed_commands} commands per second",
            commands_per_s.median()
        )?;
        writeln!(f, "start from a snapshot: {:.0} ms until it serves", start_ms.median())?;
        let [alone, under_way] = beside.medians();
        writeln!(
            f,
            "p99.9 of a command in the core: {alone} ns; {under_way} ns ({:.2}) while a thread makes \
             snapshots, {} in all",
            under_way as f64 / alone as f64,
            beside.snapshots
        )?;
        write!(f, "state {state_hash}")
    }
}

fn store(f: &mut fmt::Formatter<'_>, name: &str, of: &StoreReport) -> fmt::Result {
    let (gavel, bare) = (of.commands_per_s.median(), of.bare_commands_per_s.median());
    row(f, &format!("{name}, commands/s"), gavel, bare)?;
    writeln!(f, "  {:.0} commands in a commit", of.commands_per_commit)?;
    for (quantile, gavel, bare) in [
        ("p50", of.commit_p50_ns, of.bare_commit_p50_ns),
        ("p99", of.commit_p99_ns, of.bare_commit_p99_ns),
    ] {
        row(f, &format!("{name}, commit {quantile}, µs"), gavel as f64 / 1e3, bare as f64 / 1e3)?;
    }
    Ok(())
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, gavel: f64, bare: f64) -> fmt::Result {
    writeln!(f, "{name:24}{gavel:>14.0}{bare:>14.0}{:>10.2}", gavel / bare)
}
