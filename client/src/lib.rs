//! The async client of the exchange: typed commands and events over a connection that heals itself.
//!
//! A [`Client`] connects over QUIC, proves the server by its certificate's fingerprint (or by
//! roots) and itself by an Ed25519 signature, numbers what it sends and matches what comes back.
//! When the connection is lost it reconnects, resumes the session, sends everything unanswered
//! again (client ids and revisions make that one effect) and goes on with every subscription where
//! its reader was. What ends a client for good is a typed error, and nothing that waits is left
//! waiting. Unless it is told otherwise it signs what binds its agent: RFQs, and answers to RFQs
//! that are signed.
//!
//! What this crate does *not* do: decide what to trade, repeat a command that was rejected, or keep
//! anything on disk.
//!
//! ```no_run
//! # async fn example(
//! #     address: std::net::SocketAddr,
//! #     key: gavel_client::SigningKey,
//! #     terms: gavel_protocol::RfqTerms,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! use gavel_client::{Client, Config, Trust};
//! use gavel_protocol::Topic;
//!
//! let trust = Trust::Fingerprint(std::fs::read_to_string("fingerprint")?.trim().parse()?);
//! let client = Client::connect(Config::new(address, trust, key)).await?;
//! let mut events = client.subscribe(Topic::Private, None).await?;
//! let rfq = client.open_rfq(terms).await?;
//! while let Some(item) = events.next().await {
//!     tracing::info!(rfq = %rfq.rfq, event = ?item?, "something happened to us");
//! }
//! # Ok(())
//! # }
//! ```

mod blob;
mod client;
mod commands;
mod config;
mod connection;
mod error;
mod feed;
mod frame_buffer;
pub mod limits;
mod pending;
mod session;
mod signing;
mod tls;

pub use client::Client;
pub use commands::NewRfq;
pub use config::{Config, Fingerprint, ParseFingerprintError, Trust};
pub use connection::Socket;
pub use ed25519_dalek::SigningKey;
pub use error::{ClientError, CommandError};
pub use feed::{EventStream, StreamEvent, StreamItem};
pub use pending::Pending;
pub use rustls::pki_types::CertificateDer;
pub use signing::{Envelope, RfqRef, Signer};
