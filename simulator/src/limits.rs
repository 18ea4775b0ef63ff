//! How many synthetic agents there may be, how much each has under way, how large an economy is.

use std::time::Duration;

use gavel_protocol::limits::AMOUNT_MAX;

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

/// Bytes of a population file.
pub const POPULATION_BYTES_MAX: u64 = 65_536;

/// RFQs that one economy opens.
pub const ECONOMY_RFQS_MAX: u32 = 100_000;

/// RFQs a second of one economy, on the average.
pub const ECONOMY_RFQS_PER_S_MAX: u32 = 2_000;

/// The longest period that a provider's capacity is counted in, in milliseconds.
pub const CAPACITY_PERIOD_MS_MAX: u32 = 10_000;

/// RFQs of one period, on the average. The optimum is computed period by period, in time that grows
/// with the square of this.
pub const RFQS_PER_PERIOD_MAX: u64 = 2_000;

/// Buyers of one economy.
pub const ECONOMY_BUYERS_MAX: u32 = 1_000;

/// Providers of one economy.
pub const ECONOMY_PROVIDERS_MAX: u32 = 1_000;

/// Groups of providers that behave alike.
pub const PROVIDER_GROUPS_MAX: usize = 16;

/// Answers of one economy, counting every command of a provider that floods. It bounds the time of a
/// run and everything that waits for its time in it.
pub const ANSWERS_MAX: u64 = 10_000_000;

/// Jobs that a provider may take on in one period.
pub const CAPACITY_MAX: u32 = 10_000;

/// Commands that a flooding provider sends about one RFQ.
pub const FLOOD_COMMANDS_MAX: u32 = 100;

/// The highest cost and the highest value of a job, in millionths: 10,000 units.
pub const JOB_AMOUNT_MAX: i64 = 10_000_000_000;

/// The highest fee of an economy: half the price. Providers ask for it on top of what they want.
pub const ECONOMY_FEE_PPM_MAX: u32 = 500_000;

/// The longest window, answer and work of an economy, in milliseconds.
pub const ECONOMY_MS_MAX: u32 = 10_000;

// A buyer's deposit pays for every job of an economy, and no sum over its jobs overflows.
const _: () = assert!(JOB_AMOUNT_MAX * ECONOMY_RFQS_MAX as i64 <= AMOUNT_MAX);
