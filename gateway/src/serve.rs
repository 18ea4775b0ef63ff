//! One connection's task: carries bytes between the QUIC streams and the session, and does what the
//! session asks for.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gavel_protocol::{
    AgentId, CloseReason, Codec, Command, DurationNs, Nonce, RejectReason, Request, Role,
    SessionId, SessionLost, Subscribe, Topic,
};
use gavel_sequencer::{Inbox, Origin, Submission};
use quinn::crypto::rustls::HandshakeData;
use quinn::{ReadError, RecvStream, SendStream, VarInt};
use rand::TryRng as _;
use rand::rngs::SysRng;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep_until, timeout};

use crate::blobs::{self, BlobStore};
use crate::connection::Connection;
use crate::fan_out::FanOut;
use crate::limits::{HEARTBEAT_INTERVAL, LOGON_TIMEOUT, RETRY_INTERVAL, SEGMENTS_PER_READ};
use crate::lock::lock;
use crate::session::{Session, SessionRequest, SubscribeResult};
use crate::streams::{StreamKey, Subscription};
use crate::throttle::Throttle;
use crate::verify::Verifier;

/// What every connection's task works with.
pub(crate) struct Edge {
    pub inbox: Inbox,
    pub verifier: Verifier,
    pub fan_out: Arc<FanOut>,
    pub blobs: BlobStore,
    pub throttle: Throttle,
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
    let throttle = edge.throttle.clone();
    let session =
        Session::new(connection.id, connection.codec, Nonce::new(nonce), throttle, edge.now());
    let reader = Reader {
        edge,
        quic,
        connection,
        session,
        submissions: Vec::new(),
        subscriptions: HashMap::new(),
        writers: JoinSet::new(),
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
    session: Session,
    submissions: Vec<Submission>,
    subscriptions: HashMap<Topic, OpenSubscription>,
    writers: JoinSet<()>,
}

struct OpenSubscription {
    key: StreamKey,
    subscription: Arc<Subscription>,
    writer: AbortHandle,
}

impl Reader<'_> {
    async fn run(mut self, mut recv: RecvStream) -> CloseReason {
        let fan_out = &self.edge.fan_out;
        let mut result = self.session.challenge(&fan_out.directory, fan_out.ts_public());
        let mut segments = [const { Bytes::new() }; SEGMENTS_PER_READ];
        let mut timer = pin!(sleep_until(self.edge.instant(self.session.next_timeout())));
        loop {
            // Whatever came before the reason to close still counts.
            let performed = self.perform();
            if let Err(reason) = result.and(performed) {
                if reason == CloseReason::Goodbye
                    && let Some(member) = self.session.member()
                {
                    fan_out.sessions.logged_out(member.agent, self.connection.id);
                }
                return reason;
            }
            result = tokio::select! {
                biased;
                decision = self.connection.decision(), if self.session.member().is_none() => {
                    self.session.handle_logged_on(self.edge.now(), decision);
                    Ok(())
                }
                () = &mut timer => {
                    let others_sent = self.connection.session_stream.take_used();
                    let result = self.session.handle_timeout(self.edge.now(), others_sent);
                    timer.as_mut().reset(self.edge.instant(self.session.next_timeout()));
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
            self.session.handle_bytes(now, &bytes, &self.edge.fan_out.directory)?;
        }
        Ok(())
    }

    /// Does what the session asks for, and hands over what it has written.
    fn perform(&mut self) -> Result<(), CloseReason> {
        let mut result = Ok(());
        for request in self.session.drain_requests() {
            result = result.and(self.perform_request(request));
        }
        let mut submissions = std::mem::take(&mut self.submissions);
        self.session.drain_submissions(&mut submissions);
        let is_idle = submissions.is_empty();
        for submission in submissions.drain(..) {
            let origin = submission.origin;
            let lines = mass_quote_lines(&submission);
            let Err(reason) = self.submit(submission) else { continue };
            match (origin, lines) {
                (Some(Origin { session_seq, part, .. }), Some(lines)) => {
                    self.session.handle_refused_part(session_seq, part, lines, reason);
                }
                _ => {
                    let session_seq = origin.map_or(0, |origin| origin.session_seq);
                    result = result.and(self.session.handle_refused(session_seq, reason));
                }
            }
        }
        self.submissions = submissions;
        if !is_idle {
            self.edge.inbox.wake();
        }
        self.connection.send(&self.connection.session_stream, self.session.output());
        result
    }

    fn submit(&self, submission: Submission) -> Result<(), RejectReason> {
        if self.edge.fan_out.has_journal_failed() {
            return Err(RejectReason::JournalUnavailable);
        }
        self.edge.verifier.submit(submission, self.session.key(), self.connection)
    }

    fn perform_request(&mut self, request: SessionRequest) -> Result<(), CloseReason> {
        match request {
            SessionRequest::Claim(claim) => self.connection.claim(claim),
            SessionRequest::Subscribe { session_seq, subscribe } => {
                let result = self.subscribe(&subscribe);
                self.session.handle_subscribed(session_seq, subscribe.topic, result);
            }
            SessionRequest::Unsubscribe(topic) => self.unsubscribe(topic),
            SessionRequest::Query(query) => match self.edge.inbox.query(query) {
                Ok(()) => self.edge.inbox.wake(),
                Err(reason) => self.session.handle_refused(query.origin.session_seq, reason)?,
            },
        }
        Ok(())
    }

    /// Opens the stream of a topic. One that the session had for it already ends.
    fn subscribe(&mut self, subscribe: &Subscribe) -> SubscribeResult {
        let (topic, fan_out) = (subscribe.topic, &self.edge.fan_out);
        self.unsubscribe(topic);
        while self.writers.try_join_next().is_some() {}
        let known = match topic {
            Topic::Capability(capability) => fan_out.directory.is_listed(capability),
            Topic::Private | Topic::Exchange => true,
            Topic::Problems => {
                self.session.member().is_some_and(|member| member.roles.has(Role::Solver))
            }
        };
        let Some(member) = self.session.member().filter(|_| known) else {
            return SubscribeResult::UnknownTopic;
        };
        let key = StreamKey::of(topic, member.agent);
        let from = subscribe.from.as_ref().map(|from| from.stream_seq);
        let (result, subscription) =
            lock(&fan_out.streams).subscribe(topic, key, from, self.connection);
        if let Some(subscription) = subscription {
            let writer = self.writers.spawn(write_subscription(
                Arc::clone(fan_out),
                self.quic.clone(),
                key,
                Arc::clone(&subscription),
            ));
            self.subscriptions.insert(topic, OpenSubscription { key, subscription, writer });
        }
        result
    }

    fn unsubscribe(&mut self, topic: Topic) {
        if let Some(open) = self.subscriptions.remove(&topic) {
            open.end(&self.edge.fan_out);
        }
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        for (_, open) in self.subscriptions.drain() {
            open.end(&self.edge.fan_out);
        }
    }
}

impl OpenSubscription {
    fn end(self, fan_out: &FanOut) {
        lock(&fan_out.streams).unsubscribe(self.key, &self.subscription);
        self.writer.abort();
        self.subscription.discard();
    }
}

/// Writes out a subscription's stream, with a heartbeat whenever it was silent for a while.
async fn write_subscription(
    fan_out: Arc<FanOut>,
    quic: quinn::Connection,
    key: StreamKey,
    subscription: Arc<Subscription>,
) {
    if let Ok(mut send) = quic.open_uni().await {
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
                break;
            }
            subscription.sent(counted);
            frames.clear();
        }
    }
    // The client has stopped this stream: events for it must not pile up.
    lock(&fan_out.streams).unsubscribe(key, &subscription);
    subscription.discard();
}

/// Asks the core to end the sessions whose grace has run out. Never returns.
pub(crate) async fn end_lost_sessions(edge: Arc<Edge>) {
    let sessions = &edge.fan_out.sessions;
    loop {
        let now = edge.now();
        let mut is_full = false;
        let next = sessions.drain_lost(now, |agent, session| {
            is_full |= !lose(&edge.verifier, agent, session);
            !is_full
        });
        edge.inbox.wake();
        let retry = tokio::time::Instant::now() + RETRY_INTERVAL;
        match next {
            Some(_) if is_full => sleep_until(retry).await,
            Some(due) => tokio::select! {
                () = sleep_until(edge.instant(due)) => {}
                () = sessions.changed.notified() => {}
            },
            None => sessions.changed.notified().await,
        }
    }
}

/// Returns how many lines of a mass quote a submission holds, if it holds any.
fn mass_quote_lines(submission: &Submission) -> Option<usize> {
    let Command::MassQuote(quote) = &submission.request.command else { return None };
    Some(quote.lines.len())
}

/// Asks the core to end a session. Returns whether the lane had room.
fn lose(verifier: &Verifier, agent: AgentId, session: SessionId) -> bool {
    let command = Command::SessionLost(SessionLost { agent, session });
    let request = Request { agent: AgentId::EXCHANGE, command };
    let submission = Submission { origin: None, sequenced_answer: false, request };
    verifier.submit_after(agent, submission).is_ok()
}
