//! The connection's task: connects, logs on, reads, writes, and starts over when it is lost.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use ed25519_dalek::Signer as _;
use gavel_protocol::{
    Challenge, ClientMessage, CloseReason, Codec, Heartbeat, LogonAnswer, LogonRequest, Name,
    PublicKey, ServerMessage, SessionId, SignatureBytes, TEMPLATE_VERSION, logon_message,
};
use quinn::{
    AckFrequencyConfig, Connection, Endpoint, RecvStream, SendStream, TransportConfig, VarInt,
};
use rand::RngExt as _;
use rand::rngs::SmallRng;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::client::{Link, Shared};
use crate::config::Config;
use crate::error::ClientError;
use crate::feed::Opened;
use crate::frame_buffer::FrameBuffer;
use crate::limits::{
    CLOSE_REASON_WAIT_MAX, HEARTBEATS_PER_TIMEOUT, PACKETS_PER_ACK_MAX, RECONNECT_PAUSE_MAX,
    RECONNECT_PAUSE_MIN, STREAM_WINDOW_BYTES, SUBSCRIPTIONS_MAX,
};
use crate::session::decode;
use crate::tls;

/// A UDP socket that the connections of many clients share.
#[derive(Clone, Debug)]
pub struct Socket(Endpoint);

impl Socket {
    /// Opens a socket on a free port, for IPv6 and IPv4 where the machine has both.
    ///
    /// # Errors
    ///
    /// [`ClientError::Socket`] if there is none, or no tokio runtime.
    pub fn open() -> Result<Self, ClientError> {
        let any = |ip: IpAddr| Endpoint::client(SocketAddr::new(ip, 0));
        any(Ipv6Addr::UNSPECIFIED.into())
            .or_else(|_| any(Ipv4Addr::UNSPECIFIED.into()))
            .map(Self)
            .map_err(|error| ClientError::Socket(Arc::new(error)))
    }
}

/// Everything that an attempt to connect needs.
pub(crate) struct Connector {
    endpoint: Endpoint,
    quic: quinn::ClientConfig,
    config: Config,
}

/// A connection on which the server has accepted the logon.
pub(crate) struct Logon {
    pub(crate) connection: Connection,
    pub(crate) identity: LogonAnswer,
    /// The exchange's name, part of what is signed.
    pub(crate) exchange: Name,
    send: SendStream,
    recv: RecvStream,
    frames: FrameBuffer,
}

impl Connector {
    pub(crate) fn new(socket: &Socket, config: Config) -> Result<Self, ClientError> {
        let tls = tls::client_config(&config).map_err(ClientError::Tls)?;
        let mut quic = quinn::ClientConfig::new(Arc::new(tls));
        quic.transport_config(Arc::new(transport(config.silence_max)));
        Ok(Self { endpoint: socket.0.clone(), quic, config })
    }

    /// Connects and logs on, resuming `resume` if there is such a session.
    pub(crate) async fn log_on(&self, resume: Option<SessionId>) -> Result<Logon, ClientError> {
        let limit = self.config.connect_timeout;
        timeout(limit, self.try_log_on(resume)).await.unwrap_or(Err(ClientError::TimedOut(limit)))
    }

    async fn try_log_on(&self, resume: Option<SessionId>) -> Result<Logon, ClientError> {
        let Config { address, server_name, .. } = &self.config;
        let connection = self
            .endpoint
            .connect_with(self.quic.clone(), *address, server_name)
            .map_err(ClientError::Connecting)?
            .await?;
        match self.meet_challenge(&connection, resume).await {
            Ok(logon) => Ok(logon),
            Err(error) => Err(cause_of(&connection, error).await),
        }
    }

    async fn meet_challenge(
        &self,
        connection: &Connection,
        resume: Option<SessionId>,
    ) -> Result<Logon, ClientError> {
        let codec = self.config.codec;
        let (mut send, mut recv) = connection.accept_bi().await?;
        let mut frames = FrameBuffer::new();
        let ServerMessage::Challenge(challenge) =
            next_message(codec, &mut frames, &mut recv).await?
        else {
            return Err(ClientError::Unexpected("something else than a challenge"));
        };
        let request = ClientMessage::LogonRequest(self.answer_to(&challenge, resume)?);
        let mut bytes = Vec::new();
        request.encode(codec, 0, &mut bytes);
        send.write_all(&bytes).await?;
        let ServerMessage::LogonAnswer(identity) =
            next_message(codec, &mut frames, &mut recv).await?
        else {
            return Err(ClientError::Unexpected("something else than the logon's answer"));
        };
        let exchange = challenge.exchange;
        Ok(Logon { connection: connection.clone(), identity, exchange, send, recv, frames })
    }

    fn answer_to(
        &self,
        challenge: &Challenge,
        resume: Option<SessionId>,
    ) -> Result<LogonRequest, ClientError> {
        if challenge.template_version != TEMPLATE_VERSION {
            return Err(ClientError::Unexpected("a template version that is not spoken here"));
        }
        let key = PublicKey::new(self.config.key.verifying_key().to_bytes());
        let message = logon_message(&challenge.nonce, &key, &challenge.exchange);
        let signature = SignatureBytes::new(self.config.key.sign(&message).to_bytes());
        let Config { cancel_on_disconnect, grace, sequenced_answers, .. } = self.config;
        Ok(LogonRequest { key, signature, resume, cancel_on_disconnect, grace, sequenced_answers })
    }

    /// Tries to log on again, with growing pauses, until it succeeds, cannot succeed, or has lasted
    /// too long.
    async fn log_on_again(
        &self,
        session: SessionId,
        cause: ClientError,
        pauses: &mut Pauses,
    ) -> Result<Logon, ClientError> {
        let after = self.config.give_up_after;
        let deadline = Instant::now() + after;
        let mut last = cause;
        loop {
            let pause = pauses.next();
            let attempt = async {
                sleep(pause).await;
                self.log_on(Some(session)).await
            };
            match timeout_at(deadline, attempt).await {
                Ok(Ok(logon)) => return Ok(logon),
                Ok(Err(error)) if error.is_worth_retrying() => last = error,
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(ClientError::GaveUp { after, last: Box::new(last) }),
            }
            tracing::debug!(error = %last, "an attempt to reconnect failed");
        }
    }
}

fn transport(silence_max: Duration) -> TransportConfig {
    let subscriptions = u32::try_from(SUBSCRIPTIONS_MAX).unwrap_or(u32::MAX);
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements.ack_eliciting_threshold(VarInt::from_u32(PACKETS_PER_ACK_MAX));
    let mut transport = TransportConfig::default();
    transport
        .ack_frequency_config(Some(acknowledgements))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        // Twice, because a stream that was ended may still be read while the next one opens.
        .max_concurrent_uni_streams(VarInt::from_u32(subscriptions.saturating_mul(2)))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .max_idle_timeout(silence_max.try_into().ok())
        .keep_alive_interval(Some(silence_max / HEARTBEATS_PER_TIMEOUT));
    transport
}

/// Keeps the session connected until that is over; then everything unanswered fails.
pub(crate) async fn drive(shared: Arc<Shared>, connector: Connector, logon: Logon) {
    let error = tokio::select! {
        error = stay_connected(&shared, &connector, logon) => error,
        () = shared.stop.notified() => ClientError::LoggedOut,
    };
    tracing::debug!(%error, "the client has ended");
    let mut woken = Vec::new();
    shared.session().end(error.clone(), &mut woken);
    if let Link::Up(connection) = shared.link.send_replace(Link::Ended(error)) {
        close(&connection, CloseReason::Goodbye);
    }
    woken.into_iter().for_each(Waker::wake);
    shared.room.notify_waiters();
}

async fn stay_connected(shared: &Shared, connector: &Connector, mut logon: Logon) -> ClientError {
    let mut pauses = Pauses::new();
    loop {
        let (session, since) = (logon.identity.session, Instant::now());
        let cause = serve(shared, connector.config.codec, logon).await;
        if shared.session().is_logging_out() {
            return ClientError::LoggedOut;
        }
        if !cause.is_worth_retrying() {
            return cause;
        }
        tracing::info!(%session, error = %cause, "reconnecting");
        pauses.connection_lasted(since.elapsed());
        logon = match connector.log_on_again(session, cause, &mut pauses).await {
            Ok(logon) => logon,
            Err(error) => return error,
        };
        tracing::info!(%session, resumed = logon.identity.resumed, "reconnected");
        shared.session().connected(logon.identity.clone());
        shared.link.send_replace(Link::Up(logon.connection.clone()));
        shared.outgoing.notify_one();
    }
}

/// Serves one connection until it ends, and returns why it did.
async fn serve(shared: &Shared, codec: Codec, logon: Logon) -> ClientError {
    let Logon { connection, identity, mut send, mut recv, frames, .. } = logon;
    let timeout = Duration::from_nanos(identity.heartbeat_timeout.nanos());
    let heartbeat = timeout / HEARTBEATS_PER_TIMEOUT;
    let error = tokio::select! {
        error = read_answers(shared, &mut recv, frames) => error,
        error = write_requests(shared, codec, &mut send, heartbeat) => error,
        error = accept_streams(shared, codec, &connection) => error,
    };
    let error = cause_of(&connection, error).await;
    shared.link.send_replace(Link::Down);
    shared.session().disconnected();
    close(&connection, CloseReason::ProtocolViolation);
    error
}

/// Returns why a connection is of no use any more, after `error` on one of its streams: the reason
/// that the server gives for closing it tells more, but may come a moment later.
async fn cause_of(connection: &Connection, error: ClientError) -> ClientError {
    let broken_off = matches!(
        error,
        ClientError::StreamEnded | ClientError::Reading(_) | ClientError::Writing(_)
    );
    if broken_off {
        _ = timeout(CLOSE_REASON_WAIT_MAX, connection.closed()).await;
    }
    connection.close_reason().map_or(error, ClientError::from)
}

/// Closes a connection, unless it is closed already.
fn close(connection: &Connection, reason: CloseReason) {
    connection.close(VarInt::from(u32::from(reason.code())), b"");
}

async fn read_answers(
    shared: &Shared,
    recv: &mut RecvStream,
    mut frames: FrameBuffer,
) -> ClientError {
    let mut woken: Vec<Waker> = Vec::new();
    loop {
        let outcome = handle_frames(shared, &mut frames, &mut woken);
        woken.drain(..).for_each(Waker::wake);
        if let Err(error) = outcome {
            return error;
        }
        if let Err(error) = frames.fill(recv).await {
            return error;
        }
    }
}

/// Takes every whole frame that has come, under one lock.
fn handle_frames(
    shared: &Shared,
    frames: &mut FrameBuffer,
    woken: &mut Vec<Waker>,
) -> Result<(), ClientError> {
    let mut session = shared.session();
    let was_full = !session.has_room()?;
    while let Some((header, payload)) = frames.next_frame()? {
        session.handle_frame(header, payload, woken)?;
    }
    if was_full && session.has_room()? {
        shared.room.notify_waiters();
    }
    if session.has_outgoing() {
        shared.outgoing.notify_one();
    }
    Ok(())
}

/// Writes whatever has gathered in one go, and a heartbeat when nothing has for a while.
async fn write_requests(
    shared: &Shared,
    codec: Codec,
    send: &mut SendStream,
    heartbeat: Duration,
) -> ClientError {
    let mut batch = Vec::new();
    loop {
        if timeout(heartbeat, shared.outgoing.notified()).await.is_err() {
            ClientMessage::Heartbeat(Heartbeat {}).encode(codec, 0, &mut batch);
        } else {
            shared.session().swap_outgoing(&mut batch);
        }
        if let Err(error) = send.write_all(&batch).await {
            return error.into();
        }
        batch.clear();
    }
}

/// Hands the streams that the server opens to the subscriptions they belong to.
async fn accept_streams(shared: &Shared, codec: Codec, connection: &Connection) -> ClientError {
    loop {
        let mut stream = match connection.accept_uni().await {
            Ok(stream) => stream,
            Err(error) => return error.into(),
        };
        let mut frames = FrameBuffer::new();
        let opened = match next_message(codec, &mut frames, &mut stream).await {
            Ok(ServerMessage::StreamOpened(opened)) => opened,
            // Nothing but a lost connection or a subscription that has ended: the loop finds out.
            Err(ClientError::StreamEnded | ClientError::Reading(_) | ClientError::Lost(_)) => {
                continue;
            }
            Err(error) => return error,
            Ok(_) => {
                return ClientError::Unexpected("a subscription that begins without its topic");
            }
        };
        let feed = shared.session().feed(opened.topic).cloned();
        let next = opened.next.stream_seq;
        let woken = feed.and_then(|feed| feed.hand_over(Opened { stream, frames, next }));
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Reads the next message of a stream.
pub(crate) async fn next_message(
    codec: Codec,
    frames: &mut FrameBuffer,
    stream: &mut RecvStream,
) -> Result<ServerMessage, ClientError> {
    loop {
        if let Some((header, payload)) = frames.next_frame()? {
            return decode(codec, header, payload);
        }
        frames.fill(stream).await?;
    }
}

/// The pauses between attempts to reconnect: none at first, then doubling, each drawn between half
/// and all of its length, so that the clients of a restarted exchange do not come all at once.
struct Pauses {
    length: Duration,
    random: SmallRng,
}

impl Pauses {
    fn new() -> Self {
        Self { length: Duration::ZERO, random: rand::make_rng() }
    }

    fn next(&mut self) -> Duration {
        let length = self.length;
        self.length = (2 * length).clamp(RECONNECT_PAUSE_MIN, RECONNECT_PAUSE_MAX);
        if length.is_zero() { length } else { self.random.random_range(length / 2..=length) }
    }

    /// Begins anew after a connection that was of use. One that was lost at once does not count:
    /// an exchange that turns its clients away must not be hammered.
    fn connection_lasted(&mut self, time: Duration) {
        if time >= RECONNECT_PAUSE_MAX {
            self.length = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_limit_and_begin_anew_after_a_connection_of_use() {
        let mut pauses = Pauses::new();
        assert_eq!(pauses.next(), Duration::ZERO);
        let first = pauses.next();
        assert!((RECONNECT_PAUSE_MIN / 2..=RECONNECT_PAUSE_MIN).contains(&first), "{first:?}");
        for _ in 0..20 {
            assert!(pauses.next() <= RECONNECT_PAUSE_MAX);
        }
        pauses.connection_lasted(Duration::from_millis(1));
        assert!(pauses.next() >= RECONNECT_PAUSE_MAX / 2);
        pauses.connection_lasted(RECONNECT_PAUSE_MAX);
        assert_eq!(pauses.next(), Duration::ZERO);
    }
}
