//! May this be done: what a command must look like, what an account may have open, who is halted.
//!
//! The checks of [`pretrade`] need no state, so the edge makes them before a command takes a place
//! in the order, and the core makes them again. [`Exposures`] counts what each account has open;
//! [`Reputation`] and [`Fades`] keep what an agent's outcomes say of it. What this crate does *not*
//! do: hold money or match anything.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

extern crate alloc;

mod exposure;
mod fades;
pub mod limits;
mod pretrade;
mod quote_rate;
mod reputation;

pub use exposure::{Exposure, Exposures};
pub use fades::Fades;
pub use pretrade::{permit, pretrade, standing_quote};
pub use quote_rate::QuoteRate;
pub use reputation::Reputation;
