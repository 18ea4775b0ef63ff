//! The market as one state machine: a command in, events out, nothing else.
//!
//! [`Exchange::apply`] is the only way its state changes. It is total: every command yields at
//! least one event, a rejected one changes nothing but the clock. This is the only crate that
//! connects risk, matcher and settlement: hold the money, clear, open the contract. What it does
//! *not* do: I/O, read a clock, draw randomness, start a thread; it is `no_std`.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

extern crate alloc;

mod apply;
mod awards;
mod book;
mod bundles;
mod client_ids;
mod clock;
mod closing;
mod combinatorial;
mod contracts;
mod deadlines;
mod directory;
mod dutch;
mod envelopes;
mod events;
mod exchange;
pub mod limits;
mod look_ahead;
mod mint;
mod operator;
mod picking;
mod proposals;
mod quotes;
mod rfqs;
mod rules;
mod sessions;
mod snapshot;
mod standbys;
mod standing;
mod statement;
mod sweeps;

pub use events::Events;
pub use exchange::Exchange;
pub use snapshot::{Snapshot, SnapshotError, StateHash};
