//! What was agreed and what is owed: the ledger, the money held for RFQs, and the contracts.
//!
//! Every movement of money is a line of the [`Ledger`] whose two postings cancel out. A hold is
//! opened with an RFQ and closed exactly once: captured into a contract's escrow or refunded. What
//! this crate does *not* do: decide who wins, or know when a deadline is due.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

extern crate alloc;

mod bond;
mod contract;
mod hold;
mod ledger;
pub mod limits;
mod movements;

pub use bond::{post_bond, return_bond};
pub use contract::{Closing, Contract, Contracts, Deadline, LatencyClause};
pub use hold::{Hold, Holds};
pub use ledger::{Balance, Ledger, LedgerError};
pub use movements::Movements;
