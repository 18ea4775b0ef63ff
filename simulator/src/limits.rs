//! How many synthetic agents there may be, and how much each of them has under way.

use std::time::Duration;

/// Buyers and providers of one load.
pub const AGENTS_MAX: u32 = 4_096;

/// Capabilities that one load trades.
pub const CAPABILITIES_MAX: u32 = 64;

/// The highest rate of RFQs, and of standing-quote updates, in all.
pub const RATE_PER_S_MAX: f64 = 1_000_000.0;

/// Agents that connect at one time.
pub const CONNECTING_MAX: usize = 32;

/// Keys that are tried for one agent before the load gives up: the others were taken.
pub const KEY_ATTEMPTS_MAX: u32 = 64;

/// RFQs that a buyer keeps track of. What lies above is counted but not measured.
pub const RFQS_TRACKED_MAX: usize = 16_384;

/// Contracts that a buyer keeps track of. What lies above is left to silence.
pub const CONTRACTS_TRACKED_MAX: usize = 65_536;

/// Contracts that a provider works on at one time. What lies above expires; the exchange awards no
/// more than that to one account.
pub const JOBS_MAX: usize = 16_384;

/// Top-ups that wait for the operator. A buyer that finds no place asks again later.
pub const TOP_UPS_WAITING_MAX: usize = 1_024;

/// Acknowledgements on their way to the file; further ones wait for room.
pub const ACKS_WAITING_MAX: usize = 16_384;

/// Acknowledgements that one write to the file takes.
pub const ACKS_PER_WRITE_MAX: usize = 1_024;

/// Acknowledgements that are collected in memory. Further ones are counted as lost.
pub const ACKS_COLLECTED_MAX: usize = 1_048_576;

/// The longest latency that is told from longer ones, in nanoseconds: ten minutes.
pub const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// How long an agent tries to reconnect. Long enough for an exchange that is being restarted.
pub const RECONNECT_FOR_MAX: Duration = Duration::from_secs(300);

/// How long a load that was stopped waits for its RFQs and contracts to end.
pub const SETTLE_WAIT_MAX: Duration = Duration::from_secs(15);

/// How long a load that was stopped waits for its agents to log out.
pub const LOG_OUT_WAIT_MAX: Duration = Duration::from_secs(5);
