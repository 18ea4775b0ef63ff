//! Synthetic agents for load, and scenarios in virtual time.
//!
//! [`scenario`] runs a text of commands through the pure exchange and says what followed. What this
//! crate does *not* do: decide anything; it asks the exchange like everybody else.

pub mod scenario;
