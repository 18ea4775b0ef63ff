//! The limit of the wire: a bare QUIC echo, laid out as the exchange is.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::PrivateKeyDer;
use quinn::{ClientConfig, Connection, Endpoint, Incoming, RecvStream, SendStream, ServerConfig};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::bench::wire::threads::{Beside, Stop};

/// Bytes of a frame: about as many as a command has.
const FRAME_BYTES: usize = 128;

/// Bytes that one read takes.
const READ_BYTES: usize = 64 * 1_024;

/// The name in the certificate.
const SERVER_NAME: &str = "localhost";

/// A server that sends back what it gets, and a client of it.
pub struct Echo {
    server: Beside,
    endpoint: Endpoint,
    address: SocketAddr,
    standing: Standing,
}

/// A standing stream to the server.
struct Standing {
    _connection: Connection,
    send: SendStream,
    recv: RecvStream,
    read: Vec<u8>,
}

impl Echo {
    /// Starts the server on its own thread, and connects from this one.
    pub async fn start() -> anyhow::Result<Self> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([String::from(SERVER_NAME)])?;
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::with_single_cert(vec![cert.der().clone()], key)?;
        let (ready, bound) = oneshot::channel();
        let server = Beside::start("echo", move |stop| serve(config, ready, stop))?;
        let address = bound.await.context("the echo server did not start")?;

        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone())?;
        let mut endpoint = Endpoint::client(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        endpoint.set_default_client_config(ClientConfig::with_root_certificates(Arc::new(roots))?);
        let standing = Standing::open(&endpoint, address).await?;
        Ok(Self { server, endpoint, address, standing })
    }

    /// Sends a frame, waits until it is back, and returns how long that took.
    pub async fn round_trip(&mut self) -> anyhow::Result<Duration> {
        let sent = Instant::now();
        self.standing.send(1).await?;
        let mut bytes = 0;
        while bytes < FRAME_BYTES {
            bytes += self.standing.receive().await?;
        }
        Ok(sent.elapsed())
    }

    /// Keeps so many frames in flight on each of so many connections. Returns how many came back
    /// per second.
    pub async fn throughput(
        &self,
        connections: usize,
        in_flight: usize,
        slice: Duration,
    ) -> anyhow::Result<f64> {
        let mut standing = Vec::new();
        for _ in 0..connections {
            standing.push(Standing::open(&self.endpoint, self.address).await?);
        }
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for standing in standing {
            tasks.spawn(standing.keep_in_flight(in_flight, begun + slice));
        }
        let mut frames = 0;
        while let Some(task) = tasks.join_next().await {
            frames += task.context("a connection of the echo panicked")??;
        }
        Ok(frames as f64 / slice.as_secs_f64())
    }

    /// Stops the server.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.server.stop().await
    }
}

impl Standing {
    async fn open(endpoint: &Endpoint, address: SocketAddr) -> anyhow::Result<Self> {
        let connection = endpoint.connect(address, SERVER_NAME)?.await?;
        let (send, recv) = connection.open_bi().await?;
        let mut standing = Self { _connection: connection, send, recv, read: vec![0; READ_BYTES] };
        // The server does not know of the stream before something comes on it.
        standing.send(1).await?;
        let mut bytes = 0;
        while bytes < FRAME_BYTES {
            bytes += standing.receive().await?;
        }
        Ok(standing)
    }

    /// Sends frames in one piece.
    async fn send(&mut self, frames: usize) -> anyhow::Result<()> {
        const FRAMES: [u8; 64 * FRAME_BYTES] = [7; 64 * FRAME_BYTES];
        for start in (0..frames).step_by(64) {
            let frames = (frames - start).min(64);
            self.send.write_all(&FRAMES[..frames * FRAME_BYTES]).await?;
        }
        Ok(())
    }

    async fn receive(&mut self) -> anyhow::Result<usize> {
        let read = self.recv.read(&mut self.read).await?;
        read.context("the echo server has ended the stream")
    }

    /// Returns how many frames came back before `end`.
    async fn keep_in_flight(mut self, in_flight: usize, end: Instant) -> anyhow::Result<u64> {
        self.send(in_flight).await?;
        let (mut frames, mut rest) = (0, 0);
        while Instant::now() < end {
            let bytes = rest + self.receive().await?;
            let whole = bytes / FRAME_BYTES;
            rest = bytes % FRAME_BYTES;
            frames += whole as u64;
            self.send(whole).await?;
        }
        Ok(frames)
    }
}

async fn serve(
    config: ServerConfig,
    ready: oneshot::Sender<SocketAddr>,
    mut stop: Stop,
) -> anyhow::Result<()> {
    let endpoint = Endpoint::server(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    if ready.send(endpoint.local_addr()?).is_err() {
        return Ok(());
    }
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            Some(incoming) = endpoint.accept() => {
                tasks.spawn(echo(incoming));
            }
            _ = &mut stop => return Ok(()),
        }
        while tasks.try_join_next().is_some() {}
    }
}

/// Sends back what comes, without a copy, until the client is gone. Whatever has come by the time
/// that it is this task's turn goes back together: QUIC's own task only sends after this one waits.
async fn echo(incoming: Incoming) -> anyhow::Result<()> {
    let connection = incoming.await?;
    let (mut send, mut recv) = connection.accept_bi().await?;
    while let Some(chunk) = recv.read_chunk(READ_BYTES, true).await? {
        send.write_chunk(chunk.bytes).await?;
    }
    Ok(())
}
