//! How much can be owed at one time.

use gavel_protocol::table;

/// Balances, one per account and currency.
pub const BALANCES_MAX: u32 = table(131_072);

/// Currencies that deposits may be in.
pub const CURRENCIES_MAX: usize = 64;

/// Holds: one per open RFQ.
pub const HOLDS_MAX: u32 = table(65_536);

/// Open contracts the core can hold.
pub const CONTRACTS_OPEN_MAX: u32 = table(262_144);
