//! The gateway itself: binds the sockets, accepts connections, and shuts down.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Weak};
use std::time::Instant;

use gavel_protocol::CloseReason;
use gavel_sequencer::audit::LatestHead;
use gavel_sequencer::projection::StreamHistory;
use gavel_sequencer::{Inbox, Status};
use object_store::ObjectStore;
use quinn::{
    AckFrequencyConfig, AsyncUdpSocket, Endpoint, EndpointConfig, IdleTimeout, Incoming, Runtime,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use tokio::net::TcpListener;
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use crate::blobs::BlobStore;
use crate::fan_out::FanOut;
use crate::http;
use crate::limits::{
    BLOB_BYTES_PER_AGENT, BLOB_STREAMS_MAX, COMMANDS_PER_SECOND, CONNECTION_WINDOW_BYTES,
    CONNECTIONS_MAX, IDLE_TIMEOUT, PACKETS_PER_ACK_MAX, REFUSALS_MAX, SEND_WINDOW_BYTES,
    SHUTDOWN_TIMEOUT, STREAM_WINDOW_BYTES,
};
use crate::serve::{Edge, close_frame, end_lost_sessions, serve};
use crate::throttle::Throttle;
use crate::tls::{Identity, IdentityError};
use crate::verify::Verifier;

/// What a gateway is started with.
pub struct GatewayConfig {
    /// Where to listen for QUIC; port 0 takes any.
    pub quic_addr: SocketAddr,
    /// Where to listen for HTTP; port 0 takes any.
    pub http_addr: SocketAddr,
    /// The server's certificate and key.
    pub identity: Identity,
    /// Connections held before further ones are closed with `TooManyConnections`.
    pub connections_max: usize,
    /// Commands and queries a session may send per second, and at once.
    pub commands_per_second: u32,
    /// Bytes of blobs that one agent may store.
    pub blob_bytes_per_agent: u64,
    /// What is to be read of the sequencer: whether it waits for its journal.
    pub status: Arc<Status>,
    /// Where to find the newest head of the audit log, if one is kept.
    pub audit: Option<LatestHead>,
    /// What has older events of streams than memory, if a projection is kept.
    pub history: Option<StreamHistory>,
}

/// The network edge, while it runs. Dropping it ends it at once.
pub struct Gateway {
    endpoint: Endpoint,
    socket: Weak<dyn AsyncUdpSocket>,
    quic_addr: SocketAddr,
    http_addr: SocketAddr,
    fingerprint: String,
    fan_out: Arc<FanOut>,
    tasks: JoinSet<()>,
}

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Setting up TLS.
    #[error("cannot set up TLS")]
    Tls(#[source] IdentityError),
    /// Starting the threads that verify signatures.
    #[error("cannot start the threads that verify signatures")]
    Verifier(#[source] io::Error),
    /// Listening for QUIC.
    #[error("cannot listen for QUIC on {addr}")]
    Quic {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Listening for HTTP.
    #[error("cannot listen for HTTP on {addr}")]
    Http {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl GatewayConfig {
    /// Returns the usual configuration: loopback, any port.
    pub fn new(identity: Identity) -> Self {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            quic_addr: loopback,
            http_addr: loopback,
            identity,
            connections_max: CONNECTIONS_MAX,
            commands_per_second: COMMANDS_PER_SECOND,
            blob_bytes_per_agent: BLOB_BYTES_PER_AGENT,
            status: Arc::default(),
            audit: None,
            history: None,
        }
    }
}

impl Gateway {
    /// Starts serving on the current tokio runtime. `fan_out` must be the consumer of the same
    /// sequencer that drains `inbox`, and must have seen its recovery.
    ///
    /// # Errors
    ///
    /// [`GatewayError`] if a socket cannot be bound or the identity cannot be used.
    pub async fn start(
        config: GatewayConfig,
        inbox: Inbox,
        fan_out: Arc<FanOut>,
        blobs: Arc<dyn ObjectStore>,
    ) -> Result<Self, GatewayError> {
        let fingerprint = config.identity.fingerprint();
        let server = server_config(config.identity)?;
        let addr = config.quic_addr;
        let quic = |source| GatewayError::Quic { addr, source };
        let socket =
            TokioRuntime.wrap_udp_socket(UdpSocket::bind(addr).map_err(quic)?).map_err(quic)?;
        let endpoint = endpoint(server, Arc::clone(&socket)).map_err(quic)?;
        let socket = Arc::downgrade(&socket);
        let quic_addr = endpoint.local_addr().map_err(quic)?;
        let addr = config.http_addr;
        let http = |source| GatewayError::Http { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(http)?;
        let http_addr = listener.local_addr().map_err(http)?;

        let registry = fan_out.metrics.registry();
        let router = http::router(Arc::clone(&fan_out), registry, config.status, config.audit);
        let verifier = Verifier::start(&inbox, &fan_out).map_err(GatewayError::Verifier)?;
        let edge = Arc::new(Edge {
            verifier: Arc::new(verifier),
            fan_out: Arc::clone(&fan_out),
            blobs: BlobStore::new(blobs, config.blob_bytes_per_agent),
            throttle: Throttle::new(config.commands_per_second),
            history: config.history,
            started: Instant::now(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(endpoint.clone(), Arc::clone(&edge), config.connections_max));
        tasks.spawn(end_lost_sessions(edge));
        tasks.spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "HTTP ended");
            }
        });
        tracing::info!(%quic_addr, %http_addr, "the gateway listens");
        Ok(Self { endpoint, socket, quic_addr, http_addr, fingerprint, fan_out, tasks })
    }

    /// Returns where it listens for QUIC.
    pub fn quic_addr(&self) -> SocketAddr {
        self.quic_addr
    }

    /// Returns where it listens for HTTP.
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// Returns the fingerprint of the certificate that clients are to pin.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Closes every connection with `ShuttingDown`, and ends; then its address is free again.
    pub async fn shutdown(self) {
        let Self { endpoint, socket, fan_out, mut tasks, .. } = self;
        fan_out.connections.close_all(CloseReason::ShuttingDown);
        let (code, meaning) = close_frame(CloseReason::ShuttingDown);
        endpoint.close(code, meaning);
        if timeout(SHUTDOWN_TIMEOUT, endpoint.wait_idle()).await.is_err() {
            tracing::warn!("some connections did not hear of the shutdown");
        }
        tasks.shutdown().await;
        drop(endpoint);
        if timeout(SHUTDOWN_TIMEOUT, closed(&socket)).await.is_err() {
            tracing::warn!("the socket is still open");
        }
    }
}

fn endpoint(server: ServerConfig, socket: Arc<dyn AsyncUdpSocket>) -> io::Result<Endpoint> {
    let config = EndpointConfig::default();
    Endpoint::new_with_abstract_socket(config, Some(server), socket, Arc::new(TokioRuntime))
}

/// Waits until the endpoint's driver, a task of its own, has let go of the socket.
async fn closed(socket: &Weak<dyn AsyncUdpSocket>) {
    while socket.strong_count() > 0 {
        yield_now().await;
    }
}

fn server_config(identity: Identity) -> Result<ServerConfig, GatewayError> {
    let tls = identity.quic_config().map_err(GatewayError::Tls)?;
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements.ack_eliciting_threshold(VarInt::from_u32(PACKETS_PER_ACK_MAX));
    let mut transport = TransportConfig::default();
    transport
        .ack_frequency_config(Some(acknowledgements))
        .max_concurrent_bidi_streams(VarInt::from_u32(BLOB_STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(IDLE_TIMEOUT).ok());
    let mut server = ServerConfig::with_crypto(Arc::new(tls));
    server.transport_config(Arc::new(transport));
    Ok(server)
}

/// Accepts connections until the endpoint is closed. Each has a task of its own, so that a panic in
/// one ends that one alone.
async fn accept(endpoint: Endpoint, edge: Arc<Edge>, connections_max: usize) {
    let mut tasks = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        while let Some(ended) = tasks.try_join_next() {
            if ended.is_err_and(|error: tokio::task::JoinError| error.is_panic()) {
                tracing::error!("a session panicked");
            }
        }
        match endpoint.open_connections() {
            open if open >= connections_max + REFUSALS_MAX => incoming.refuse(),
            open if open >= connections_max => _ = tasks.spawn(refuse(incoming, Arc::clone(&edge))),
            _ => _ = tasks.spawn(admit(incoming, Arc::clone(&edge))),
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn admit(incoming: Incoming, edge: Arc<Edge>) {
    match incoming.await {
        Ok(quic) => serve(edge, quic).await,
        Err(error) => tracing::debug!(%error, "a handshake failed"),
    }
}

/// Tells a client that there are too many.
async fn refuse(incoming: Incoming, edge: Arc<Edge>) {
    if let Ok(quic) = incoming.await {
        edge.fan_out.metrics.closed(CloseReason::TooManyConnections);
        let (code, meaning) = close_frame(CloseReason::TooManyConnections);
        quic.close(code, meaning);
    }
}

#[cfg(test)]
mod tests;
