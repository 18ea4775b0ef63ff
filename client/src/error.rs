//! What can go wrong between a client and the exchange, and what the exchange itself says no to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gavel_protocol::{CloseReason, FrameError, RejectReason, RejectedAnswer, ServerMessage};

/// Why there is no connection, and will be none unless a new client is made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// A UDP socket could not be opened.
    #[error("opening a UDP socket")]
    Socket(#[source] Arc<io::Error>),
    /// The trusted roots or the cipher suites are unusable.
    #[error("preparing TLS")]
    Tls(#[source] rustls::Error),
    /// The address or the server's name cannot be connected to.
    #[error("starting a connection; check the address and the server's name")]
    Connecting(#[source] quinn::ConnectError),
    /// The server is not the one that is trusted, or speaks none of our codecs.
    #[error("the TLS handshake; check the certificate's fingerprint and the address")]
    Handshake(#[source] quinn::ConnectionError),
    /// The connection broke.
    #[error("the connection was lost")]
    Lost(#[source] quinn::ConnectionError),
    /// The exchange closed the connection and said why.
    #[error("the exchange closed the connection: {0}")]
    Closed(CloseReason),
    /// The exchange closed the connection with a code that this client does not know.
    #[error("the exchange closed the connection with the unknown code {0}; update this client")]
    ClosedWithCode(u64),
    /// The exchange ended a stream that it should have kept.
    #[error("the exchange ended a stream")]
    StreamEnded,
    /// Reading from a stream failed while its connection lived.
    #[error("reading from a stream")]
    Reading(#[source] quinn::ReadError),
    /// Writing to a stream failed while its connection lived.
    #[error("writing to a stream")]
    Writing(#[source] quinn::WriteError),
    /// The exchange's bytes cannot be cut into frames.
    #[error("cutting the exchange's bytes into frames")]
    Framing(#[source] FrameError),
    /// The exchange sent what the protocol does not allow there.
    #[error("the exchange sent {0}; client and exchange are probably of different versions")]
    Unexpected(&'static str),
    /// Connecting and logging on took too long.
    #[error("no logon within {} ms; check that the exchange is reachable", .0.as_millis())]
    TimedOut(Duration),
    /// Every attempt to reconnect failed.
    #[error("gave up reconnecting after {} ms", after.as_millis())]
    GaveUp {
        /// How long it was tried.
        after: Duration,
        /// How the last attempt failed.
        #[source]
        last: Box<ClientError>,
    },
    /// The client was closed on this side.
    #[error("the client has logged out")]
    LoggedOut,
    /// The client already has a subscription to this topic.
    #[error("there is a subscription to this topic already; read from that one")]
    AlreadySubscribed,
    /// The fetched bytes do not have the digest that was announced for them.
    #[error("the bytes of the blob do not have its digest")]
    BlobCorrupt,
}

impl ClientError {
    /// Returns whether a reconnect may help.
    pub(crate) fn is_worth_retrying(&self) -> bool {
        match self {
            Self::Lost(_)
            | Self::StreamEnded
            | Self::Reading(_)
            | Self::Writing(_)
            | Self::TimedOut(_) => true,
            Self::Closed(CloseReason::Goodbye) => false,
            Self::Closed(reason) => reason.is_transient(),
            Self::Socket(_)
            | Self::Tls(_)
            | Self::Connecting(_)
            | Self::Handshake(_)
            | Self::ClosedWithCode(_)
            | Self::Framing(_)
            | Self::Unexpected(_)
            | Self::GaveUp { .. }
            | Self::LoggedOut
            | Self::AlreadySubscribed
            | Self::BlobCorrupt => false,
        }
    }
}

/// QUIC's error codes 0x0100 to 0x01ff carry the alert of a failed TLS handshake (RFC 9001, 4.8).
const TLS_ALERTS: std::ops::RangeInclusive<u64> = 0x0100..=0x01ff;

impl From<quinn::ConnectionError> for ClientError {
    fn from(error: quinn::ConnectionError) -> Self {
        use quinn::ConnectionError as E;
        let tls_alert = match &error {
            E::ApplicationClosed(close) => {
                let code = close.error_code.into_inner();
                return CloseReason::ALL
                    .iter()
                    .find(|reason| u64::from(reason.code()) == code)
                    .map_or(Self::ClosedWithCode(code), |reason| Self::Closed(*reason));
            }
            E::TransportError(transport) => TLS_ALERTS.contains(&u64::from(transport.code)),
            E::ConnectionClosed(close) => TLS_ALERTS.contains(&u64::from(close.error_code)),
            E::VersionMismatch => true,
            E::Reset | E::TimedOut | E::LocallyClosed | E::CidsExhausted => false,
        };
        if tls_alert { Self::Handshake(error) } else { Self::Lost(error) }
    }
}

impl From<quinn::ReadError> for ClientError {
    fn from(error: quinn::ReadError) -> Self {
        match error {
            quinn::ReadError::ConnectionLost(lost) => lost.into(),
            quinn::ReadError::Reset(_)
            | quinn::ReadError::ClosedStream
            | quinn::ReadError::IllegalOrderedRead
            | quinn::ReadError::ZeroRttRejected => Self::Reading(error),
        }
    }
}

impl From<quinn::WriteError> for ClientError {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::ConnectionLost(lost) => lost.into(),
            quinn::WriteError::Stopped(_)
            | quinn::WriteError::ClosedStream
            | quinn::WriteError::ZeroRttRejected => Self::Writing(error),
        }
    }
}

/// Why a command, query, subscription or blob was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommandError {
    /// The exchange rejected it; nothing changed.
    #[error("rejected ({}): {}", .0.code, .0.message)]
    Rejected(RejectedAnswer),
    /// The connection ended for good before the answer came; it may have taken effect or not.
    #[error("no answer")]
    Connection(#[from] ClientError),
}

impl CommandError {
    /// Returns what an answer means that is not the one hoped for.
    pub(crate) fn of(answer: ServerMessage) -> Self {
        if let ServerMessage::Rejected(rejected) = answer {
            return Self::Rejected(rejected);
        }
        ClientError::Unexpected("an answer that belongs to something else").into()
    }

    /// Returns whether the same command may succeed later without being changed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Rejected(answer) => answer.transient,
            Self::Connection(_) => false,
        }
    }

    /// Returns the exchange's reason, if it rejected.
    pub fn reason(&self) -> Option<RejectReason> {
        match self {
            Self::Rejected(answer) => Some(answer.reason),
            Self::Connection(_) => None,
        }
    }
}
