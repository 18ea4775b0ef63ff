//! What became of a world.

use std::fmt;
use std::ops::AddAssign;

use serde::Serialize;

/// What a world went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Worlds.
    pub worlds: u64,
    /// Commands that took a place in the order.
    pub commands: u64,
    /// Answers that acknowledged one.
    pub acknowledged: u64,
    /// Of these, repeated answers to what was sent again.
    pub repeated: u64,
    /// Answers that rejected one.
    pub rejected: u64,
    /// Events that subscribers got.
    pub events: u64,
    /// Awards, and of these the ones whose winner and price the auditor said beforehand.
    pub awards: u64,
    /// See `awards`.
    pub predicted: u64,
    /// Of the awards, those of Dutch RFQs, and those that a buyer picked.
    pub taken: u64,
    /// See `taken`.
    pub picked: u64,
    /// Sealed RFQs whose units went to several providers.
    pub split: u64,
    /// Times the exchange crashed and recovered.
    pub crashes: u64,
    /// Of these, in the middle of a commit or because of the disk.
    pub crashes_in_commit: u64,
    /// Bits that were flipped, and flips that the recovery refused.
    pub flips: u64,
    /// See `flips`.
    pub flips_refused: u64,
    /// Connections that broke.
    pub cuts: u64,
    /// Readers that did not keep up, and were cut off.
    pub slow_readers: u64,
    /// Virtual time, in nanoseconds.
    pub virtual_ns: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.commands += other.commands;
        self.acknowledged += other.acknowledged;
        self.repeated += other.repeated;
        self.rejected += other.rejected;
        self.events += other.events;
        self.awards += other.awards;
        self.predicted += other.predicted;
        self.taken += other.taken;
        self.picked += other.picked;
        self.split += other.split;
        self.crashes += other.crashes;
        self.crashes_in_commit += other.crashes_in_commit;
        self.flips += other.flips;
        self.flips_refused += other.flips_refused;
        self.cuts += other.cuts;
        self.slow_readers += other.slow_readers;
        self.virtual_ns += other.virtual_ns;
    }
}

/// What came of a check: if what must not happen has happened, what that was.
pub(super) type Checked = Result<(), String>;

/// What must not happen has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("seed {seed}, step {step}: {what}")]
pub struct Failure {
    /// Which world.
    pub seed: u64,
    /// In which of its steps.
    pub step: u64,
    /// What has happened.
    pub what: String,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { worlds, commands, acknowledged, repeated, rejected, events, .. } = self;
        writeln!(
            f,
            "{worlds} worlds, {commands} commands in the order, {events} events delivered"
        )?;
        writeln!(f, "{acknowledged} acknowledged ({repeated} once more), {rejected} rejected")?;
        let Self { awards, predicted, taken, picked, split, .. } = self;
        write!(
            f,
            "{awards} awards, {predicted} of them foretold, {taken} taken, {picked} picked; "
        )?;
        writeln!(f, "{split} RFQs split")?;
        let Self { crashes, crashes_in_commit, flips, flips_refused, .. } = self;
        writeln!(f, "{crashes} crashes, {crashes_in_commit} of them in a commit or by the disk")?;
        writeln!(f, "{flips} flipped bits, {flips_refused} of them refused, none believed")?;
        writeln!(f, "{} connections broken, {} slow readers", self.cuts, self.slow_readers)?;
        write!(f, "{:.2} simulated hours", self.virtual_ns as f64 / 3.6e12)
    }
}
