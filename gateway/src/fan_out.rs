//! Who gets what of what happened: answers to whoever asked, events to the agents they concern and
//! to the public topics. Nothing about a sealed quote goes to another agent before its close.
//!
//! Runs on the journal's thread once a batch is durable, and never waits for anybody: it appends to
//! buffers, and wakes each touched connection once per batch.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dashmap::DashMap;
use gavel_protocol::{
    Accepted, AgentId, CancelCause, CloseReason, Codec, Command, Disclosure, Empty, Event,
    LossReason, Name, Parties, PrivateEvent, PublicEvent, QuoteLost, Ranked, RankedResult,
    RejectedAnswer, RfqAnnounced, RfqClosed, RfqClosedPublicly, RfqEnded, SequencedAnswer,
    ServerMessage, SessionId, Stamped, StandingQuoteCanceled, TimestampNs,
};
use gavel_sequencer::{Batch, Consumer, Origin, StepView};
use rustc_hash::FxBuildHasher;

use crate::answers::Answers;
use crate::blob_index::BlobIndex;
use crate::connection::{Connection, Decision};
use crate::directory::Directory;
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::sessions::Sessions;
use crate::streams::{StreamEvent, StreamKey, Streams};

/// The edge's memory of the market, and its way out.
#[derive(Debug, Default)]
pub struct FanOut {
    pub(crate) directory: Directory,
    pub(crate) sessions: Sessions,
    pub(crate) streams: Mutex<Streams>,
    pub(crate) blobs: Mutex<BlobIndex>,
    pub(crate) metrics: Metrics,
    pub(crate) connections: Connections,
    answers: Mutex<Answers>,
    /// The latest sequenced time that everybody may know. Not simply the latest: that would tell
    /// when somebody placed a sealed quote.
    ts_public: AtomicU64,
    journal_failed: AtomicBool,
}

/// The open connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: DashMap<u64, Arc<Connection>, FxBuildHasher>,
    last: AtomicU64,
}

impl FanOut {
    /// Makes one that has seen nothing yet. It must see every batch from the first one on.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Returns the exchange's name, once it is founded.
    pub fn exchange(&self) -> Option<Name> {
        self.directory.exchange()
    }

    /// Returns whether the journal has failed: nothing is acknowledged any more.
    pub fn has_journal_failed(&self) -> bool {
        self.journal_failed.load(Ordering::Acquire)
    }

    /// Returns the latest sequenced time that everybody may know.
    pub(crate) fn ts_public(&self) -> TimestampNs {
        TimestampNs::from_nanos(self.ts_public.load(Ordering::Relaxed))
    }

    fn publish_step(&self, step: &StepView<'_>, answers: &mut Answers, streams: &mut Streams) {
        if let (Some(origin), Some(first)) = (step.origin, step.events.first()) {
            self.answer(step.stamped, origin, first, answers);
        }
        if let (Command::SessionLost(lost), Some(Event::Rejected(_))) =
            (&step.stamped.request.command, step.events.first())
        {
            // The core knows no such session: then there is nothing left to end.
            self.end_session(lost.agent, lost.session);
        }
        let mut out = Splitter { fan_out: self, streams, is_public: false };
        for (event, ranking) in step.events_with_ranking() {
            out.split(event, ranking);
        }
        if out.is_public {
            self.ts_public.store(step.stamped.ts_event.nanos(), Ordering::Relaxed);
        }
    }

    fn answer(&self, stamped: &Stamped, origin: Origin, first: &Event, answers: &mut Answers) {
        if let Command::Logon(_) = stamped.request.command {
            return self.decide(stamped.ts_event, origin, first);
        }
        let answer = match first.outcome() {
            Err(reason) => ServerMessage::Rejected(RejectedAnswer::of(reason)),
            Ok(outcome) => {
                let earlier = if let Event::Repeated(e) = first { Some(e.ts_event) } else { None };
                let repeated = earlier.is_some();
                let ts_event = earlier.unwrap_or(stamped.ts_event);
                ServerMessage::Accepted(Accepted { ts_event, repeated, outcome })
            }
        };
        answers.push(&self.connections, origin, &answer);
    }

    /// Passes the core's word on a logon to its connection.
    fn decide(&self, ts_event: TimestampNs, origin: Origin, first: &Event) {
        let Event::LoggedOn(logged_on) = first else {
            if let Some(connection) = self.connections.find(origin.connection) {
                connection.close(CloseReason::LogonRefused);
            }
            return;
        };
        let (session, resumed) = (logged_on.session, logged_on.resumed);
        let live = || self.connections.find(origin.connection);
        let entered = self.sessions.logged_on(logged_on.agent, session, live);
        if let Some(superseded) = entered.superseded {
            superseded.close(CloseReason::Superseded);
        }
        if let Some(connection) = self.connections.find(origin.connection) {
            let numbering = entered.numbering;
            connection.decide(Decision { session, resumed, ts_event, numbering });
        }
        self.count_sessions();
    }

    fn end_session(&self, agent: AgentId, session: SessionId) {
        if let Some(connection) = self.sessions.ended(agent, session) {
            // It came back too late: the core had already been asked to end the session.
            connection.close(CloseReason::HeartbeatMissed);
        }
        self.count_sessions();
    }

    fn count_sessions(&self) {
        let count = i64::try_from(self.sessions.count()).unwrap_or(i64::MAX);
        self.metrics.sessions.set(count);
    }
}

impl Consumer for FanOut {
    fn sequenced(&self, origin: Origin, ts_event: TimestampNs) {
        if let Some(connection) = self.connections.find(origin.connection) {
            let answer = ServerMessage::Sequenced(SequencedAnswer { ts_event });
            connection.send_message(origin.session_seq, &answer);
        }
    }

    fn published(&self, batch: &Batch) {
        let mut answers = lock(&self.answers);
        {
            let mut streams = lock(&self.streams);
            for step in batch.steps() {
                self.publish_step(&step, &mut answers, &mut streams);
            }
            streams.flush();
        }
        for (origin, statement) in &batch.statements {
            let statement = ServerMessage::Statement(statement.clone());
            answers.push(&self.connections, *origin, &statement);
        }
        answers.flush();
    }

    fn journal_failed(&self) {
        self.journal_failed.store(true, Ordering::Release);
        self.metrics.journal_failed.set(1);
        self.connections.close_all(CloseReason::Unavailable);
    }
}

/// Splits the core's events into what each may see of them.
struct Splitter<'a> {
    fan_out: &'a FanOut,
    streams: &'a mut Streams,
    /// Whether a public stream has told of this step, or it may be told of.
    is_public: bool,
}

impl Splitter<'_> {
    fn split(&mut self, event: &Event, ranking: &[Ranked]) {
        let edge = self.fan_out;
        let (directory, metrics) = (&edge.directory, &edge.metrics);
        match event {
            Event::Founded(e) => {
                directory.founded(e);
                self.is_public = true;
            }
            Event::AgentEnrolled(e) => directory.enrolled(e),
            Event::CapabilityListed(e) => {
                directory.listed(e);
                self.public(StreamKey::Exchange, PublicEvent::CapabilityListed(*e));
            }
            Event::Halted {} => self.public(StreamKey::Exchange, PublicEvent::Halted(Empty {})),
            Event::Reopened {} => self.public(StreamKey::Exchange, PublicEvent::Reopened(Empty {})),
            Event::Resumed(e) => self.public(StreamKey::Exchange, PublicEvent::Resumed(*e)),
            Event::SessionEnded(e) => edge.end_session(e.agent, e.session),
            Event::RfqOpened(e) => {
                metrics.rfqs_opened.inc();
                lock(&edge.blobs).opened(e);
                let announced = PublicEvent::RfqAnnounced(RfqAnnounced::of(e));
                self.public(StreamKey::Capability(e.terms.capability), announced);
            }
            Event::RfqClosed(e) => self.close(e, ranking),
            Event::QuoteCanceled(e) => {
                if e.cause != CancelCause::Agent {
                    self.private(e.provider, PrivateEvent::QuoteCanceled(*e));
                }
            }
            Event::StandingQuoteSet(e) => {
                metrics.standing_quotes_set.inc();
                let key = StreamKey::Capability(e.capability);
                self.public(key, PublicEvent::StandingQuoteSet(*e));
            }
            Event::StandingQuoteCanceled(e) => self.end_standing_quote(e),
            Event::Awarded(e) => {
                metrics.awards.inc();
                lock(&edge.blobs).awarded(e);
                self.parties(e.parties, PrivateEvent::Awarded(*e));
            }
            Event::WorkStarted(e) => self.parties(e.parties, PrivateEvent::WorkStarted(*e)),
            Event::Delivered(e) => {
                lock(&edge.blobs).delivered(e);
                self.parties(e.parties, PrivateEvent::Delivered(*e));
            }
            Event::ContractVerified(e) => {
                self.parties(e.parties, PrivateEvent::ContractVerified(*e));
            }
            Event::ContractSettled(e) => {
                metrics.contracts_settled.inc();
                lock(&edge.blobs).ended(e.contract);
                self.parties(e.parties, PrivateEvent::ContractSettled(*e));
            }
            Event::ContractExpired(e) => {
                metrics.contracts_expired.inc();
                lock(&edge.blobs).ended(e.contract);
                self.parties(e.parties, PrivateEvent::ContractExpired(*e));
            }
            // Sealed until the close, or known to whoever asked for it from the answer.
            Event::QuotePlaced(_)
            | Event::QuoteAmended(_)
            | Event::CancelKept(_)
            | Event::RfqCanceled(_)
            | Event::AccountEnrolled(_)
            | Event::Deposited(_)
            | Event::Moved(_)
            | Event::LoggedOn(_)
            | Event::Rejected(_)
            | Event::Repeated(_)
            | Event::TimeAdvanced(_) => {}
        }
    }

    /// Splits a close: the buyer learns how it went, each loser its own reason, everybody the rest.
    fn close(&mut self, closed: &RfqClosed, ranking: &[Ranked]) {
        let metrics = &self.fan_out.metrics;
        metrics.rfqs_closed.inc();
        metrics.quotes_ranked.inc_by(ranking.len() as u64);
        lock(&self.fan_out.blobs).closed(closed);
        let RfqClosed { rfq, buyer, capability, result, clearing_price, disclosure, ranked } =
            *closed;
        let disclosed = match disclosure {
            Disclosure::Nothing => None,
            Disclosure::ClearingPrice => clearing_price,
        };
        let ended = RfqEnded { rfq, result, quotes: ranked, clearing_price };
        self.private(buyer, PrivateEvent::RfqEnded(ended));
        for entry in ranking {
            let RankedResult::Lost(reason) = entry.result else { continue };
            let lost = QuoteLost {
                rfq,
                quote: entry.quote,
                reason,
                // Nothing was cleared, so nothing was ranked.
                rank: (reason != LossReason::RfqCanceled).then_some(entry.rank),
                winning_price: disclosed,
            };
            self.private(entry.provider, PrivateEvent::QuoteLost(lost));
        }
        let closed = RfqClosedPublicly { rfq, result, clearing_price: disclosed };
        self.public(StreamKey::Capability(capability), PublicEvent::RfqClosedPublicly(closed));
    }

    fn end_standing_quote(&mut self, ended: &StandingQuoteCanceled) {
        if ended.cause != CancelCause::Agent {
            self.private(ended.provider, PrivateEvent::StandingQuoteCanceled(*ended));
        }
        let key = StreamKey::Capability(ended.capability);
        self.public(key, PublicEvent::StandingQuoteEnded(*ended));
    }

    fn parties(&mut self, parties: Parties, event: PrivateEvent) {
        if parties.provider != parties.buyer {
            self.private(parties.provider, event.clone());
        }
        self.private(parties.buyer, event);
    }

    fn private(&mut self, agent: AgentId, event: PrivateEvent) {
        self.streams.push(StreamKey::Private(agent), StreamEvent::Private(event));
    }

    fn public(&mut self, key: StreamKey, event: PublicEvent) {
        self.is_public = true;
        self.streams.push(key, StreamEvent::Public(event));
    }
}

impl Connections {
    /// Enters a new connection.
    pub fn open(&self, codec: Codec) -> Arc<Connection> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let connection = Arc::new(Connection::new(id, codec));
        self.open.insert(id, Arc::clone(&connection));
        connection
    }

    /// Forgets a connection.
    pub fn remove(&self, id: u64) {
        self.open.remove(&id);
    }

    /// Returns an open connection.
    pub fn find(&self, id: u64) -> Option<Arc<Connection>> {
        self.open.get(&id).map(|entry| Arc::clone(&entry))
    }

    /// Tells every connection to end.
    pub fn close_all(&self, reason: CloseReason) {
        for entry in &self.open {
            entry.close(reason);
        }
    }
}

#[cfg(test)]
mod tests;
