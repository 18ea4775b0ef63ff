//! Who gets the work, and at what price: RFQs, sealed quotes, standing quotes, clearing.
//!
//! [`clear`] is the market's rule: a pure function from what competes to a ranked list. The rest
//! keeps what competes. What this crate does *not* do: hold money, count limits per account, or
//! know when an RFQ's deadline is due.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

extern crate alloc;

mod allocation;
mod book;
mod bundles;
mod chain;
mod clearing;
mod dutch;
mod first_answer;
mod heap;
pub mod index;
mod invitations;
pub mod limits;
mod owner;
mod rfqs;
mod singles;
mod standing;
mod sums;

pub use allocation::{Problem, Scratch, load_of, worth_of};
pub use bundles::{
    Allocation, BundleBook, BundleBookRecord, BundleBooks, BundleClearing, BundleRules,
    BundlesOfQuote, Fate, GroupAtClose, Phase, PlacedBundle,
};
pub use chain::{Chain, Links};
pub use clearing::{Candidate, Clearing, Fill, clear, rank};
pub use dutch::{Dutch, Exclusive};
pub use first_answer::{FirstAnswer, units_of};
pub use heap::{IndexedHeap, Positions};
pub use invitations::Invitations;
pub use owner::{Owner, Slots};
pub use rfqs::{Quote, Rfq, Rfqs, Taken};
pub use standing::{StandingQuote, StandingQuotes, Update};
