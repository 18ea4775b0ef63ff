//! One connection's task: carries bytes between the QUIC streams and the session, and does what the
//! session asks for.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gavel_protocol::{
    AgentId, CloseReason, Codec, Command, DurationNs, Nonce, Request, SessionId, SessionLost, Topic,
};
use gavel_sequencer::Submission;
use gavel_sequencer::projection::StreamHistory;
use quinn::crypto::rustls::HandshakeData;
use quinn::{ReadError, RecvStream, SendStream, VarInt};
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep_until, timeout};

use crate::blobs::{self, BlobStore};
use crate::carrier::{Carrier, Change, OpenSubscription};
use crate::connection::Connection;
use crate::fan_out::FanOut;
use crate::gap::{self, Gap, Page};
use crate::limits::{HEARTBEAT_INTERVAL, LOGON_TIMEOUT, RETRY_INTERVAL, SEGMENTS_PER_READ};
use crate::session::SubscribeResult;
use crate::streams::Subscription;
use crate::throttle::Throttle;
use crate::verify::Verifier;

/// What every connection's task works with.
pub(crate) struct Edge {
    pub verifier: Arc<Verifier>,
    pub fan_out: Arc<FanOut>,
    pub blobs: BlobStore,
    pub throttle: Throttle,
    /// What is older than memory, if it is kept.
    pub history: Option<StreamHistory>,
    pub started: Instant,
}

impl Edge {
    /// Returns the time on the edge's own clock, which begins with it.
    pub fn now(&self) -> DurationNs {
        let nanos = self.started.elapsed().as_nanos();
        DurationNs::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Returns the instant at which the edge's clock shows `time`.
    pub fn instant(&self, time: DurationNs) -> tokio::time::Instant {
        (self.started + duration(time)).into()
    }
}

/// Returns the same length of time in the standard library's type.
pub(crate) const fn duration(time: DurationNs) -> Duration {
    Duration::from_nanos(time.nanos())
}

/// Returns a close reason as QUIC carries it.
pub(crate) fn close_frame(reason: CloseReason) -> (VarInt, &'static [u8]) {
    let info = reason.info();
    (VarInt::from(info.code), info.meaning.as_bytes())
}

/// Serves a connection until it ends.
pub(crate) async fn serve(edge: Arc<Edge>, quic: quinn::Connection) {
    let Some(codec) = codec_of(&quic) else { return };
    let entry = Entry::new(Arc::clone(&edge), codec);
    let reason = carry(&edge, &quic, &entry.connection).await;
    // The client may have closed, or vanished, before: then this is no news to anybody.
    if quic.close_reason().is_none() {
        edge.fan_out.metrics.closed(reason);
        let (code, meaning) = close_frame(reason);
        quic.close(code, meaning);
    }
}

fn codec_of(quic: &quinn::Connection) -> Option<Codec> {
    let data = quic.handshake_data()?.downcast::<HandshakeData>().ok()?;
    Codec::from_alpn(&data.protocol?)
}

/// A connection's entry in the registry, taken out again however the task ends.
struct Entry {
    edge: Arc<Edge>,
    connection: Arc<Connection>,
}

impl Entry {
    fn new(edge: Arc<Edge>, codec: Codec) -> Self {
        let connection = edge.fan_out.connections.open(codec);
        edge.fan_out.metrics.connections.inc();
        Self { edge, connection }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let fan_out = &self.edge.fan_out;
        // First out of the registry: a logon that is published from now on finds no connection.
        fan_out.connections.remove(self.connection.id);
        fan_out.metrics.connections.dec();
        if let Some(claim) = self.connection.claimed() {
            fan_out.sessions.disconnected(claim.agent, self.connection.id, self.edge.now());
        }
    }
}

/// Carries frames both ways. Returns why the connection is to be closed.
async fn carry(
    edge: &Arc<Edge>,
    quic: &quinn::Connection,
    connection: &Arc<Connection>,
) -> CloseReason {
    if edge.fan_out.has_journal_failed() {
        return CloseReason::Unavailable;
    }
    let (send, recv) = match timeout(duration(LOGON_TIMEOUT), quic.open_bi()).await {
        Ok(Ok(streams)) => streams,
        Ok(Err(_)) => return CloseReason::Goodbye,
        Err(_) => return CloseReason::LogonTimeout,
    };
    let mut nonce = [0; 32];
    if SysRng.try_fill_bytes(&mut nonce).is_err() {
        return CloseReason::Unavailable;
    }
    let session = (Nonce::new(nonce), edge.throttle.clone());
    let mut carrier = Carrier::new(&edge.fan_out, &edge.verifier, connection, session, edge.now());
    carrier.has_history = edge.history.is_some();
    let reader = Reader {
        edge,
        quic,
        connection,
        carrier,
        writers: JoinSet::new(),
        handles: HashMap::new(),
    };
    tokio::select! {
        biased;
        reason = connection.closing() => reason,
        reason = reader.run(recv) => reason,
        reason = write(connection, send) => reason,
        reason = blobs::accept(edge, quic, connection) => reason,
    }
}

/// Writes out the session stream: whatever has gathered, in one piece.
async fn write(connection: &Connection, mut send: SendStream) -> CloseReason {
    let mut frames = Vec::new();
    loop {
        let counted = connection.session_stream.drain_into(&mut frames).await;
        if send.write_all(&frames).await.is_err() {
            return CloseReason::ProtocolViolation;
        }
        connection.sent(&connection.session_stream, counted);
        frames.clear();
    }
}

/// The reading side of a connection, with its session.
struct Reader<'a> {
    edge: &'a Arc<Edge>,
    quic: &'a quinn::Connection,
    connection: &'a Arc<Connection>,
    carrier: Carrier,
    /// One per open subscription.
    writers: JoinSet<()>,
    handles: HashMap<Topic, AbortHandle>,
}

impl Reader<'_> {
    async fn run(mut self, mut recv: RecvStream) -> CloseReason {
        let mut result = self.carrier.challenge();
        let mut segments = [const { Bytes::new() }; SEGMENTS_PER_READ];
        let mut timer = pin!(sleep_until(self.edge.instant(self.carrier.next_timeout())));
        loop {
            // Whatever came before the reason to close still counts.
            let performed = self.perform().await;
            if let Err(reason) = result.and(performed) {
                if reason == CloseReason::Goodbye {
                    self.carrier.log_out();
                }
                return reason;
            }
            result = tokio::select! {
                biased;
                decision = self.connection.decision(), if !self.carrier.is_logged_on() => {
                    self.carrier.handle_logged_on(self.edge.now(), decision);
                    Ok(())
                }
                () = &mut timer => {
                    let result = self.carrier.handle_timeout(self.edge.now());
                    timer.as_mut().reset(self.edge.instant(self.carrier.next_timeout()));
                    result
                }
                read = recv.read_chunks(&mut segments) => match read {
                    Ok(Some(count)) => self.receive(&mut segments[..count]),
                    Ok(None) | Err(ReadError::ConnectionLost(_)) => return CloseReason::Goodbye,
                    Err(
                        ReadError::Reset(_)
                        | ReadError::ClosedStream
                        | ReadError::IllegalOrderedRead
                        | ReadError::ZeroRttRejected,
                    ) => return CloseReason::ProtocolViolation,
                },
            };
        }
    }

    fn receive(&mut self, segments: &mut [Bytes]) -> Result<(), CloseReason> {
        let now = self.edge.now();
        for segment in segments {
            let bytes = std::mem::take(segment);
            self.carrier.handle_bytes(now, &bytes)?;
        }
        Ok(())
    }

    /// Does what the session asks for, and starts and ends the writers of its streams.
    async fn perform(&mut self) -> Result<(), CloseReason> {
        let result = self.carrier.perform();
        while self.writers.try_join_next().is_some() {}
        for change in self.carrier.take_changes() {
            match change {
                Change::Opened(topic, open) => {
                    let fan_out = Arc::clone(&self.edge.fan_out);
                    let writer = write_subscription(fan_out, self.quic.clone(), open);
                    self.handles.insert(topic, self.writers.spawn(writer));
                }
                Change::Missed(gap) => self.fill(gap).await,
                Change::Ended(topic) => {
                    if let Some(writer) = self.handles.remove(&topic) {
                        writer.abort();
                    }
                }
            }
        }
        result
    }

    /// Serves a subscription from the projection, if what it wants first is there; else it must ask for the state.
    /// What came after it on this connection waits for that long.
    async fn fill(&mut self, gap: Gap) {
        let Some(history) = &self.edge.history else { return };
        let (session_seq, topic) = (gap.session_seq, gap.topic);
        let result = match Page::read(history, &gap, self.connection.codec).await {
            None => SubscribeResult::Resync { oldest: gap.kept.start, next: gap.kept.end },
            Some(first) => {
                let next = gap.from;
                let sources = (Arc::clone(&self.edge.fan_out), history.clone());
                let (quic, connection) = (self.quic.clone(), Arc::clone(self.connection));
                let writer = async move {
                    if let Ok(send) = quic.open_uni().await {
                        gap::write_from(first, gap, sources, connection, send).await;
                    }
                };
                self.handles.insert(topic, self.writers.spawn(writer));
                SubscribeResult::Opened { next }
            }
        };
        self.carrier.handle_subscribed(session_seq, topic, result);
    }
}

/// Writes out a subscription's stream, until the client stops it: then events for it must not pile up.
async fn write_subscription(fan_out: Arc<FanOut>, quic: quinn::Connection, open: OpenSubscription) {
    if let Ok(send) = quic.open_uni().await {
        write_events(&open.subscription, send).await;
    }
    open.end(&fan_out);
}

/// Writes out what comes for a subscription, with a heartbeat whenever it was silent for a while.
pub(crate) async fn write_events(subscription: &Subscription, mut send: SendStream) {
    let mut frames = Vec::new();
    loop {
        let drained = subscription.buffer.drain_into(&mut frames);
        let counted = match timeout(duration(HEARTBEAT_INTERVAL), drained).await {
            Ok(counted) => counted,
            Err(_) => {
                subscription.heartbeat(&mut frames);
                0
            }
        };
        if send.write_all(&frames).await.is_err() {
            return;
        }
        subscription.sent(counted);
        frames.clear();
    }
}

/// Asks the core to end the sessions whose grace has run out. Never returns.
pub(crate) async fn end_lost_sessions(edge: Arc<Edge>) {
    let changed = &edge.fan_out.sessions.changed;
    loop {
        let Lost { next, is_full } = drain_lost(&edge.fan_out, &edge.verifier, edge.now());
        let retry = tokio::time::Instant::now() + RETRY_INTERVAL;
        match next {
            Some(_) if is_full => sleep_until(retry).await,
            Some(due) => tokio::select! {
                () = sleep_until(edge.instant(due)) => {}
                () = changed.notified() => {}
            },
            None => changed.notified().await,
        }
    }
}

/// What came of asking for the end of sessions.
pub(crate) struct Lost {
    /// When the next one's grace runs out.
    pub next: Option<DurationNs>,
    /// Whether the lane had no room for all.
    pub is_full: bool,
}

/// Asks the core to end the sessions whose grace has run out at `now`.
pub(crate) fn drain_lost(fan_out: &FanOut, verifier: &Verifier, now: DurationNs) -> Lost {
    let mut is_full = false;
    let next = fan_out.sessions.drain_lost(now, |agent, session| {
        is_full |= !lose(verifier, agent, session);
        !is_full
    });
    verifier.inbox().wake();
    Lost { next, is_full }
}

/// Asks the core to end a session. Returns whether the lane had room.
fn lose(verifier: &Verifier, agent: AgentId, session: SessionId) -> bool {
    let command = Command::SessionLost(SessionLost { agent, session });
    let request = Request { agent: AgentId::EXCHANGE, command };
    let submission = Submission { origin: None, sequenced_answer: false, request };
    verifier.submit_after(agent, submission).is_ok()
}
