//! What one account may have open, and the figures of reputation and fade breaker.

use gavel_protocol::{DurationNs, table};

/// Accounts the core can hold.
pub const ACCOUNTS_MAX: u32 = table(65_536);

/// Open RFQs of one account, before further ones are rejected `RfqLimit`.
pub const RFQS_PER_ACCOUNT_MAX: u32 = table(4_096);

/// Live sealed quotes of one account, before further ones are rejected `QuoteLimit`.
pub const QUOTES_PER_ACCOUNT_MAX: u32 = 4_096;

/// Open contracts of one account as provider. What lies above loses with `ContractLimit`.
pub const CONTRACTS_PER_ACCOUNT_MAX: u32 = table(16_384);

/// Contracts that the open RFQs of one account may become, before further ones are rejected
/// `RfqLimit`: a small part of all there may be, so that nobody can promise them all to itself.
pub const CONTRACTS_PROMISED_PER_ACCOUNT_MAX: u32 = table(16_384);

/// The reputation of a newcomer, in basis points.
pub const REPUTATION_START_BPS: u16 = 5_000;

/// The lowest reputation, in basis points: nobody sinks so low that there is nothing left to lose.
pub const REPUTATION_FLOOR_BPS: u16 = 1_000;

/// How often a reputation moves towards the start.
pub const REPUTATION_DECAY_EVERY: DurationNs = DurationNs::from_secs(24 * 3_600);

/// Moves after which any reputation has come as close to the start as it ever will.
pub const REPUTATION_DECAY_STEPS_MAX: u64 = 1_024;

/// How long the first failure keeps a provider out.
pub const SUSPENSION_FIRST: DurationNs = DurationNs::from_secs(60);

/// Failures that count at most: the 11th keeps out for 1,024 times as long as the first.
pub const FADES_MAX: u8 = 11;

/// How long without a failure forgives one.
pub const FADE_FORGIVEN_EVERY: DurationNs = DurationNs::from_secs(24 * 3_600);
