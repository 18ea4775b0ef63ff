//! Load: synthetic buyers and providers that trade with a running exchange, and what it costs them.
//!
//! Open loop: when each of them sends is fixed in advance by the seed and the rates, and latency
//! counts from that moment. An exchange that falls behind, or a generator that does, shows up in the
//! figures instead of slowing the load down. Everything goes through the client library over QUIC;
//! agents reconnect, resume and carry on by themselves, and what is rejected is counted.
//!
//! ```no_run
//! # async fn example(
//! #     address: std::net::SocketAddr,
//! #     trust: gavel_client::Trust,
//! #     operator_key: gavel_client::SigningKey,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use gavel_simulator::load::{AckSink, Load, LoadConfig, Sinks};
//!
//! let config = LoadConfig { rfqs_per_s: 50.0, ..LoadConfig::new(address, trust, operator_key) };
//! let acks = AckSink::file(std::path::Path::new("acks.jsonl"))?;
//! let load = Load::start(config, Sinks { acks: Some(acks) }).await?;
//! tracing::info!("{}", load.progress());
//! tracing::info!("{}", load.stop().await);
//! # Ok(())
//! # }
//! ```

mod ack_sink;
mod acks;
mod blobs;
mod book;
mod buyer;
mod config;
mod desk;
mod enrol;
mod error;
mod operator;
mod pacer;
mod provider;
mod report;
mod run;
mod schedule;
mod seed;
mod tally;

pub use ack_sink::AckSink;
pub use acks::{Ack, AckKey, ReadAckError, read_acks};
pub use config::LoadConfig;
pub use error::LoadError;
pub use report::{Conditions, Latencies, Percentiles, Progress, Report};
pub use run::{Load, Sinks};
