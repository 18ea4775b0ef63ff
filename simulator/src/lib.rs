//! Synthetic agents for load, and scenarios in virtual time.
//!
//! [`load`] drives a running exchange with buyers and providers that trade through the client
//! library. [`scenario`] runs a text of commands through the pure exchange and says what followed.
//! What this crate does *not* do: decide anything; it asks the exchange like everybody else.

pub mod limits;
pub mod load;
pub mod scenario;
