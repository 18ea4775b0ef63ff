//! What a world is like, drawn from its seed: most worlds lack most troubles, so that those that have
//! one have it undisturbed (swarm testing: Groce and others 2012).

use gavel_protocol::DurationNs;
use rand::{Rng, RngExt as _};

/// Chances are per thousand steps, or per thousand occasions, as it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Agents beside the operator.
    pub agents: usize,
    /// Accounts that these act for.
    pub accounts: usize,
    /// Of thousand steps: an agent that is logged on sends something.
    pub sends: u32,
    /// Of thousand commands: they are nonsense.
    pub hostile: u32,
    /// Of thousand commands: one that was answered is sent again.
    pub repeats: u32,
    /// Of thousand steps: the exchange crashes.
    pub crashes: u32,
    /// Of thousand commits: the crash comes in their middle, the disk fails, or is full.
    pub crashes_in_commit: u32,
    pub disk_fails: u32,
    pub disk_fills: u32,
    /// Of thousand commits: made, but not said so.
    pub commits_unsaid: u32,
    /// The most that a commit takes, in microseconds.
    pub commit_us_max: u64,
    /// Of thousand starts: bits are found flipped.
    pub flips: u32,
    /// Of thousand steps: a connection breaks.
    pub cuts: u32,
    /// Of thousand connections: it is a reader that does not keep up.
    pub slow_readers: u32,
    /// The most that a message travels, in microseconds.
    pub travel_us_max: u64,
    /// Of thousand steps: the clock jumps, either way.
    pub clock_jumps: u32,
    /// The longest step, in microseconds.
    pub step_us_max: u64,
    /// Of thousand steps: the core does not get its turn.
    pub core_waits: u32,
    /// Of thousand steps: the operator halts or reopens.
    pub halts: u32,
    /// Of thousand quotes: at the same price as others, so that ties are broken.
    pub ties: u32,
    /// Of thousand deliveries: they are made at all.
    pub delivers: u32,
    /// Whether a lost session takes its quotes.
    pub cancels_on_disconnect: bool,
    /// Whether RFQs are for several units, which may be split.
    pub units: bool,
    /// Whether providers put up bonds.
    pub bonds: bool,
    /// Whether there are Dutch RFQs, and such as leave the choice to their buyer.
    pub dutch: bool,
    pub choice: bool,
}

impl Plan {
    /// Draws one.
    pub fn draw(rng: &mut impl Rng) -> Self {
        let mut sometimes = |chance: f64, most: u32| match rng.random_bool(chance) {
            true => rng.random_range(1..=most),
            false => 0,
        };
        let (hostile, repeats) = (sometimes(0.5, 200), sometimes(0.6, 150));
        let (crashes, crashes_in_commit) = (sometimes(0.5, 3), sometimes(0.3, 8));
        let (disk_fails, disk_fills) = (sometimes(0.2, 4), sometimes(0.1, 4));
        let (commits_unsaid, flips) = (sometimes(0.2, 6), sometimes(0.3, 700));
        let (cuts, slow_readers) = (sometimes(0.5, 20), sometimes(0.2, 200));
        let (clock_jumps, core_waits) = (sometimes(0.2, 3), sometimes(0.3, 600));
        let (halts, ties) = (sometimes(0.2, 8), sometimes(0.5, 800));
        let agents = rng.random_range(2..=8);
        Self {
            agents,
            accounts: rng.random_range(2..=agents),
            sends: rng.random_range(300..=1_000),
            hostile,
            repeats,
            crashes,
            crashes_in_commit,
            disk_fails,
            disk_fills,
            commits_unsaid,
            commit_us_max: *pick(rng, &[50, 500, 5_000, 100_000]),
            flips,
            cuts,
            slow_readers,
            travel_us_max: *pick(rng, &[10, 300, 20_000, 200_000]),
            clock_jumps,
            step_us_max: *pick(rng, &[100, 1_000, 20_000, 300_000]),
            core_waits,
            halts,
            ties,
            delivers: *pick(rng, &[0, 500, 1_000]),
            cancels_on_disconnect: rng.random_bool(0.5),
            units: rng.random_bool(0.4),
            bonds: rng.random_bool(0.4),
            dutch: rng.random_bool(0.4),
            choice: rng.random_bool(0.4),
        }
    }
}

/// Draws one of some.
pub(super) fn pick<'a, T>(rng: &mut impl Rng, from: &'a [T]) -> &'a T {
    &from[rng.random_range(0..from.len())]
}

/// Returns whether one of so many in a thousand has come.
pub(super) fn comes(rng: &mut impl Rng, per_thousand: u32) -> bool {
    per_thousand > 0 && rng.random_range(0..1_000) < per_thousand
}

/// Returns so many microseconds.
pub(super) fn micros(count: u64) -> DurationNs {
    DurationNs::from_nanos(count * 1_000)
}
