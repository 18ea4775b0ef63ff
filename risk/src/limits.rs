//! What one account may have open.

/// Accounts the core can hold.
pub const ACCOUNTS_MAX: u32 = 65_536;

/// Open RFQs of one account, before further ones are rejected `RfqLimit`.
pub const RFQS_PER_ACCOUNT_MAX: u32 = 4_096;

/// Live sealed quotes of one account, before further ones are rejected `QuoteLimit`.
pub const QUOTES_PER_ACCOUNT_MAX: u32 = 4_096;

/// Open contracts of one account as provider. What lies above loses with `ContractLimit`.
pub const CONTRACTS_PER_ACCOUNT_MAX: u32 = 16_384;
