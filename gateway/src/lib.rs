//! The network edge of the exchange: sessions over QUIC, event streams, blobs, and HTTP for those
//! who look after it.
//!
//! The gateway decodes frames, proves who sends them, numbers them, throttles, and submits commands;
//! the [`FanOut`] takes what became durable and gives each agent its side of it and the public what
//! is public. What this crate does *not* do: decide anything about the market. It may reject; only
//! the sequenced core accepts. It keeps no state that the journal (or a snapshot, which stands for a
//! part of it) does not rebuild, except who is
//! connected and the blobs themselves.

mod answers;
mod blob_index;
mod blobs;
mod carrier;
mod connection;
mod decode;
mod directory;
mod endpoint;
mod fan_out;
mod gap;
mod http;
pub mod limits;
mod lock;
mod metrics;
mod overheard;
mod pipe;
mod problems;
#[cfg(test)]
mod samples;
mod saved;
mod serve;
mod session;
mod sessions;
mod splitter;
mod streams;
mod throttle;
mod tls;
mod verify;

pub use endpoint::{Gateway, GatewayConfig, GatewayError};
pub use fan_out::FanOut;
pub use pipe::{Pipe, Pipes, Written};
pub use problems::Solvers;
pub use tls::{Identity, IdentityError};
