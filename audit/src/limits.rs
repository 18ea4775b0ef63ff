//! How much an audit holds.

/// Leaves that a tree can have: numbers up to here are exact in JSON in every language.
pub const LEAVES_MAX: u64 = 1 << 53;
