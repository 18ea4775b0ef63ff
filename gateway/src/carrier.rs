//! One connection's session and subscriptions, without a socket and without a clock: whoever calls it
//! moves the bytes. `serve.rs` does so over QUIC, `pipe.rs` for a caller with a network of its own.

use std::collections::HashMap;
use std::sync::Arc;

use gavel_protocol::{
    CloseReason, Command, DurationNs, Nonce, RejectReason, Role, Subscribe, Topic,
};
use gavel_sequencer::{Origin, Submission};

use crate::connection::{Connection, Decision};
use crate::fan_out::FanOut;
use crate::gap::Gap;
use crate::lock::lock;
use crate::session::{Session, SessionRequest, SubscribeResult};
use crate::streams::{StreamKey, Subscription};
use crate::throttle::Throttle;
use crate::verify::Verifier;

/// See the module.
pub(crate) struct Carrier {
    fan_out: Arc<FanOut>,
    verifier: Arc<Verifier>,
    connection: Arc<Connection>,
    session: Session,
    submissions: Vec<Submission>,
    subscriptions: HashMap<Topic, OpenSubscription>,
    changes: Vec<Change>,
    /// Whether what is older than memory can be asked for.
    pub has_history: bool,
}

/// A stream of events that was opened, or that has ended: whoever writes it out must know.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Opened(Topic, OpenSubscription),
    /// To be answered with [`Carrier::handle_subscribed`].
    Missed(Gap),
    Ended(Topic),
}

/// A subscription and the stream that it is to.
#[derive(Clone, Debug)]
pub(crate) struct OpenSubscription {
    pub key: StreamKey,
    pub subscription: Arc<Subscription>,
}

impl Carrier {
    pub fn new(
        fan_out: &Arc<FanOut>,
        verifier: &Arc<Verifier>,
        connection: &Arc<Connection>,
        (nonce, throttle): (Nonce, Throttle),
        now: DurationNs,
    ) -> Self {
        Self {
            fan_out: Arc::clone(fan_out),
            verifier: Arc::clone(verifier),
            connection: Arc::clone(connection),
            session: Session::new(connection.id, connection.codec, nonce, throttle, now),
            submissions: Vec::new(),
            subscriptions: HashMap::new(),
            changes: Vec::new(),
            has_history: false,
        }
    }

    /// Writes the challenge: the first frame of the connection.
    ///
    /// # Errors
    ///
    /// The reason to close the connection.
    pub fn challenge(&mut self) -> Result<(), CloseReason> {
        self.session.challenge(&self.fan_out.directory, self.fan_out.ts_public())
    }

    /// Returns whether the core has opened its session.
    pub fn is_logged_on(&self) -> bool {
        self.session.member().is_some()
    }

    /// Takes bytes from the session stream.
    ///
    /// # Errors
    ///
    /// The reason to close the connection, once what came before was performed.
    pub fn handle_bytes(&mut self, now: DurationNs, bytes: &[u8]) -> Result<(), CloseReason> {
        self.session.handle_bytes(now, bytes, &self.fan_out.directory)
    }

    /// Takes the core's word on the logon.
    pub fn handle_logged_on(&mut self, now: DurationNs, decision: Decision) {
        self.session.handle_logged_on(now, decision);
    }

    /// Does what is due.
    ///
    /// # Errors
    ///
    /// The reason to close the connection.
    pub fn handle_timeout(&mut self, now: DurationNs) -> Result<(), CloseReason> {
        let others_sent = self.connection.session_stream.take_used();
        self.session.handle_timeout(now, others_sent)
    }

    /// Returns when [`Carrier::handle_timeout`] has something to do at the earliest.
    pub fn next_timeout(&self) -> DurationNs {
        self.session.next_timeout()
    }

    /// The client has said goodbye: its session has no grace.
    pub fn log_out(&self) {
        if let Some(member) = self.session.member() {
            self.fan_out.sessions.logged_out(member.agent, self.connection.id);
        }
    }

    /// Does what the session asks for, and hands over what it has written.
    ///
    /// # Errors
    ///
    /// The reason to close the connection.
    pub fn perform(&mut self) -> Result<(), CloseReason> {
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
            self.verifier.inbox().wake();
        }
        self.connection.send(&self.connection.session_stream, self.session.output());
        result
    }

    /// Takes the streams that were opened and that have ended, in their order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Answers a subscription.
    pub fn handle_subscribed(&mut self, session_seq: u64, topic: Topic, result: SubscribeResult) {
        self.session.handle_subscribed(session_seq, topic, result);
        self.connection.send(&self.connection.session_stream, self.session.output());
    }

    fn submit(&self, submission: Submission) -> Result<(), RejectReason> {
        if self.fan_out.has_journal_failed() {
            return Err(RejectReason::JournalUnavailable);
        }
        self.verifier.submit(submission, self.session.key(), &self.connection)
    }

    fn perform_request(&mut self, request: SessionRequest) -> Result<(), CloseReason> {
        match request {
            SessionRequest::Claim(claim) => self.connection.claim(claim),
            SessionRequest::Subscribe { session_seq, subscribe } => {
                if let Some(result) = self.subscribe(session_seq, &subscribe) {
                    self.session.handle_subscribed(session_seq, subscribe.topic, result);
                }
            }
            SessionRequest::Unsubscribe(topic) => self.unsubscribe(topic),
            SessionRequest::Query(query) => match self.verifier.inbox().query(query) {
                Ok(()) => self.verifier.inbox().wake(),
                Err(reason) => self.session.handle_refused(query.origin.session_seq, reason)?,
            },
        }
        Ok(())
    }

    /// Opens the stream of a topic, unless it must be asked for first. One that the session had for it already
    /// ends.
    fn subscribe(&mut self, session_seq: u64, subscribe: &Subscribe) -> Option<SubscribeResult> {
        let topic = subscribe.topic;
        self.unsubscribe(topic);
        let known = match topic {
            Topic::Capability(capability) => self.fan_out.directory.is_listed(capability),
            Topic::Private | Topic::Exchange => true,
            Topic::Problems => {
                self.session.member().is_some_and(|member| member.roles.has(Role::Solver))
            }
        };
        let Some(member) = self.session.member().filter(|_| known) else {
            return Some(SubscribeResult::UnknownTopic);
        };
        let key = StreamKey::of(topic, member.agent);
        let from = subscribe.from.as_ref().map(|from| from.stream_seq);
        let (result, subscription) =
            lock(&self.fan_out.streams).subscribe(topic, key, from, &self.connection);
        if let Some(subscription) = subscription {
            let open = OpenSubscription { key, subscription };
            self.changes.push(Change::Opened(topic, open.clone()));
            self.subscriptions.insert(topic, open);
        }
        if let (SubscribeResult::Resync { oldest, next }, Some(from)) = (&result, from)
            && self.has_history
            && (1..*oldest).contains(&from)
        {
            let gap = Gap { session_seq, topic, key, from, kept: *oldest..*next };
            self.changes.push(Change::Missed(gap));
            return None;
        }
        Some(result)
    }

    fn unsubscribe(&mut self, topic: Topic) {
        if let Some(open) = self.subscriptions.remove(&topic) {
            open.end(&self.fan_out);
        }
        // Also if it is still catching up: only whoever writes it out knows.
        self.changes.push(Change::Ended(topic));
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        for (_, open) in self.subscriptions.drain() {
            open.end(&self.fan_out);
        }
    }
}

impl OpenSubscription {
    /// Nobody gets its events any more.
    pub fn end(&self, fan_out: &FanOut) {
        lock(&fan_out.streams).unsubscribe(self.key, &self.subscription);
        self.subscription.discard();
    }
}

/// Returns how many lines of a mass quote a submission holds, if it holds any.
fn mass_quote_lines(submission: &Submission) -> Option<usize> {
    let Command::MassQuote(quote) = &submission.request.command else { return None };
    Some(quote.lines.len())
}
