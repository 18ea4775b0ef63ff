//! The vocabulary of the exchange and its wire: ids, money, time, commands, events, reasons, frames.
//!
//! Every other crate speaks in these types, and both codecs (`gavel/1` and `gavel-json/1`) carry
//! exactly them. What this crate does *not* do: decide anything. It holds no state, reads no clock,
//! draws no randomness and opens no socket; it is `no_std`, so it could not.
#![no_std]
#![deny(clippy::float_arithmetic)]

extern crate alloc;

mod bundles;
mod codec;
mod command;
mod event;
mod frame;
mod ids;
mod json;
pub mod limits;
mod message;
mod money;
mod name;
mod planted;
mod reason;
mod roles;
mod signing;
mod stream;
mod tables;
mod template;
mod terms;
mod time;

pub use bundles::*;
pub use codec::{Codec, DecodeError};
pub use command::*;
pub use event::*;
pub use frame::{FRAME_HEADER_BYTES, FrameError, FrameHeader, Frames};
pub use ids::*;
pub use message::*;
pub use money::{Currency, Micros, ParseCurrencyError, ParseMoneyError};
pub use name::{Name, NameError};
pub use planted::Bug;
pub use reason::{CloseReason, LossReason, ReasonInfo, RejectReason};
pub use roles::{Attribute, Attributes, Role, Roles};
pub use signing::{commitment_bytes, rfq_bytes, rfq_message};
pub use stream::*;
pub use tables::table;
pub use template::{Direction, TEMPLATE_VERSION, Template};
pub use terms::*;
pub use time::{DurationNs, TimestampNs};

/// The rules that this build applies. A journal is replayed only by a build of the same number. (The
/// feature `next-rules` makes a build for the test of an upgrade.)
pub const RULES_VERSION: u32 = if cfg!(feature = "next-rules") { 4 } else { 3 };

/// The oldest rules that an exchange can be upgraded from: this build reads their snapshots.
pub const RULES_UPGRADED_FROM: u32 = 3;
