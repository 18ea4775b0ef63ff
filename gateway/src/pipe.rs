//! Connections for a caller that has a network and a clock of its own, such as a simulated one: the
//! same sessions, streams and checks as over QUIC, and nothing moves unless it is called.

use std::sync::Arc;

use gavel_protocol::{CloseReason, Codec, DurationNs, Nonce, Topic};
use gavel_sequencer::Inbox;

use crate::carrier::{Carrier, Change, OpenSubscription};
use crate::connection::Connection;
use crate::fan_out::FanOut;
use crate::limits::HEARTBEAT_INTERVAL;
use crate::serve::drain_lost;
use crate::throttle::Throttle;
use crate::verify::Verifier;

/// Where connections are opened.
pub struct Pipes {
    fan_out: Arc<FanOut>,
    verifier: Arc<Verifier>,
    throttle: Throttle,
}

/// One connection. It must be closed, or its session will not know that it has ended.
pub struct Pipe {
    fan_out: Arc<FanOut>,
    connection: Arc<Connection>,
    carrier: Carrier,
    /// In the order in which they were opened: whoever simulates must see the same thing twice.
    streams: Vec<EventStream>,
}

struct EventStream {
    topic: Topic,
    open: OpenSubscription,
    written_at: DurationNs,
}

/// What is to be carried to the client, on one of its streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The topic of a stream of events; none: the session stream.
    pub topic: Option<Topic>,
    /// Whole frames.
    pub frames: Vec<u8>,
}

impl Pipes {
    /// Makes the edge of a sequencer whose consumer is `fan_out` and that drains `inbox`. Signatures
    /// are verified on the caller's thread.
    pub fn new(fan_out: &Arc<FanOut>, inbox: &Inbox, commands_per_second: u32) -> Self {
        Self {
            fan_out: Arc::clone(fan_out),
            verifier: Arc::new(Verifier::without_threads(inbox, fan_out)),
            throttle: Throttle::new(commands_per_second),
        }
    }

    /// Opens a connection, and writes the challenge to it.
    ///
    /// # Errors
    ///
    /// Why there is no service.
    pub fn open(&self, codec: Codec, nonce: Nonce, now: DurationNs) -> Result<Pipe, CloseReason> {
        if self.fan_out.has_journal_failed() {
            return Err(CloseReason::Unavailable);
        }
        let connection = self.fan_out.connections.open(codec);
        let session = (nonce, self.throttle.clone());
        let mut pipe = Pipe {
            fan_out: Arc::clone(&self.fan_out),
            carrier: Carrier::new(&self.fan_out, &self.verifier, &connection, session, now),
            connection,
            streams: Vec::new(),
        };
        let challenged = pipe.carrier.challenge().and_then(|()| pipe.carrier.perform());
        match challenged {
            Ok(()) => Ok(pipe),
            Err(reason) => {
                pipe.close(now);
                Err(reason)
            }
        }
    }

    /// Asks for the end of the sessions whose grace has run out; those for which the lane had no room are
    /// asked for the next time.
    pub fn end_lost_sessions(&self, now: DurationNs) {
        drain_lost(&self.fan_out, &self.verifier, now);
    }
}

impl Pipe {
    /// Takes bytes that the client wrote on its session stream, wherever they were split.
    ///
    /// # Errors
    ///
    /// Why the connection is to be closed.
    pub fn receive(&mut self, now: DurationNs, bytes: &[u8]) -> Result<(), CloseReason> {
        let result = self.carrier.handle_bytes(now, bytes);
        // Whatever came before the reason to close still counts.
        let performed = self.perform(now);
        let result = result.and(performed);
        if result == Err(CloseReason::Goodbye) {
            self.carrier.log_out();
        }
        result
    }

    /// Takes what the core has decided meanwhile, and does what is due.
    ///
    /// # Errors
    ///
    /// Why the connection is to be closed.
    pub fn wake(&mut self, now: DurationNs) -> Result<(), CloseReason> {
        if let Some(reason) = self.connection.close_reason() {
            return Err(reason);
        }
        if let Some(decision) = self.connection.take_decision() {
            self.carrier.handle_logged_on(now, decision);
        }
        if self.carrier.next_timeout() <= now {
            self.carrier.handle_timeout(now)?;
        }
        self.perform(now)
    }

    /// Returns when [`Pipe::wake`] has something to do, whatever happens.
    pub fn next_timeout(&self) -> DurationNs {
        let silent = self.streams.iter().map(|stream| stream.written_at.plus(HEARTBEAT_INTERVAL));
        silent.fold(self.carrier.next_timeout(), DurationNs::min)
    }

    /// Takes what is to be carried to the client. What is not taken counts as what a slow reader leaves.
    pub fn drain_written(&mut self, now: DurationNs, out: &mut Vec<Written>) {
        let mut frames = Vec::new();
        let counted = self.connection.session_stream.drain_now(&mut frames);
        self.connection.sent(&self.connection.session_stream, counted);
        if !frames.is_empty() {
            out.push(Written { topic: None, frames });
        }
        for stream in &mut self.streams {
            let mut frames = Vec::new();
            let subscription = &stream.open.subscription;
            let counted = subscription.buffer.drain_now(&mut frames);
            if frames.is_empty() && stream.written_at.plus(HEARTBEAT_INTERVAL) <= now {
                subscription.heartbeat(&mut frames);
            }
            subscription.sent(counted);
            if !frames.is_empty() {
                stream.written_at = now;
                out.push(Written { topic: Some(stream.topic), frames });
            }
        }
    }

    /// The connection is gone: the grace of its session begins.
    pub fn close(self, now: DurationNs) {
        let Self { fan_out, connection, .. } = &self;
        fan_out.connections.remove(connection.id);
        if let Some(claim) = connection.claimed() {
            fan_out.sessions.disconnected(claim.agent, connection.id, now);
        }
    }

    fn perform(&mut self, now: DurationNs) -> Result<(), CloseReason> {
        let result = self.carrier.perform();
        for change in self.carrier.take_changes() {
            match change {
                Change::Opened(topic, open) => {
                    self.streams.push(EventStream { topic, open, written_at: now });
                }
                // A pipe has no history to ask.
                Change::Missed(_) => {}
                Change::Ended(topic) => {
                    self.streams.retain(|stream| stream.topic != topic);
                }
            }
        }
        result
    }
}
