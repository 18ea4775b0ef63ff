//! Synthetic agents for load, and scenarios and economies in virtual time.
//!
//! [`load`] drives a running exchange with buyers and providers that trade through the client
//! library. [`scenario`] runs a text of commands through the pure exchange and says what followed.
//! [`economy`] lets populations with costs and values of their own trade, and says what the market
//! made of them. [`world`] runs the real sessions, sequencer and exchange against a simulated network,
//! disk and clock, and checks them.
//! What this crate does *not* do: decide anything; it asks the exchange like everybody else.

pub mod economy;
pub mod limits;
pub mod load;
pub mod scenario;
pub mod world;
