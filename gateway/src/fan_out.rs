//! Who gets what of what happened: answers to whoever asked, events to the agents they concern and
//! to the public topics. Nothing about a sealed quote goes to another agent before its close.
//!
//! Runs on the journal's thread once a batch is durable, and never waits for anybody: it appends to
//! buffers, and wakes each touched connection once per batch.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dashmap::DashMap;
use gavel_protocol::limits::BOOK_SHOWN_MAX;
use gavel_protocol::{
    Accepted, AgentId, Book, BookOpened, BookShown, Bug, BundlesPosed, CancelCause, CapabilityId,
    CloseReason, Codec, Command, Declined, Disclosure, Event, MassQuote, MassQuoteAnswer, Micros,
    Name, Parties, PosedBundle, PrivateEvent, ProblemBundles, PublicEvent, QuoteCanceled,
    QuoteLost, QuoteShown, Ranked, RankedResult, RejectedAnswer, RfqAnnounced, RfqClosed,
    RfqClosedPublicly, RfqEnded, RfqId, RfqOpened, RfqTaken, RfqTakenPublicly, SequencedAnswer,
    ServerMessage, SessionId, Standby, StandbyEnded, StandingQuoteCanceled, StreamPosition,
    TimestampNs,
};
use gavel_sequencer::{Batch, Consumer, Origin, Part, QueryAnswer, RestoreError, StepView};
use prometheus_client::metrics::counter::Counter;
use rustc_hash::FxBuildHasher;

use crate::answers::Answers;
use crate::blob_index::BlobIndex;
use crate::connection::{Connection, Decision};
use crate::directory::Directory;
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::problems::{Problems, Solvers};
use crate::saved::{Edge, Saved};
use crate::sessions::Sessions;
use crate::streams::{StreamEvent, StreamKey, Streams};

/// The edge's memory of the market, and its way out.
#[derive(Debug, Default)]
pub struct FanOut {
    pub(crate) directory: Directory,
    pub(crate) sessions: Sessions,
    pub(crate) streams: Mutex<Streams>,
    pub(crate) blobs: Mutex<BlobIndex>,
    pub(crate) problems: Problems,
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
    /// Makes one that has seen nothing yet. It must see every batch from the first one on, or be
    /// restored to what another had seen.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Lets `solvers` solve the problems of combinatorial RFQs, those first that wait already.
    pub fn set_solvers(&self, solvers: Box<dyn Solvers>) {
        self.problems.set_solvers(solvers);
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
            self.answer(step, origin, first, answers);
        }
        if let (Command::SessionLost(lost), Some(Event::Rejected(_))) =
            (&step.stamped.request.command, step.events.first())
        {
            // The core knows no such session: then there is nothing left to end.
            self.end_session(lost.agent, lost.session);
        }
        let command = &step.stamped.request.command;
        let mut out = Splitter { fan_out: self, streams, command, is_public: false };
        let mut posed = step.posed;
        for (event, ranking) in step.events_with_ranking() {
            if let Event::BundlesPosed(e) = event {
                let (bundles, rest) = posed.split_at(event.posed());
                posed = rest;
                out.pose(e, bundles);
            }
            out.split(event, ranking);
        }
        if out.is_public {
            self.ts_public.store(step.stamped.ts_event.nanos(), Ordering::Relaxed);
        }
    }

    fn answer(&self, step: &StepView<'_>, origin: Origin, first: &Event, answers: &mut Answers) {
        let stamped = step.stamped;
        if let Command::Logon(_) = stamped.request.command {
            return self.decide(stamped.ts_event, origin, first);
        }
        if let Command::MassQuote(quote) = &stamped.request.command {
            let answer = mass_quote_answer(step, quote, origin.part);
            return answers.push(&self.connections, origin, &answer);
        }
        let answer = match first.outcome() {
            Err(reason) => ServerMessage::Rejected(RejectedAnswer::of(reason)),
            Ok(outcome) => {
                let earlier = if let Event::Repeated(e) = first { Some(e.ts_event) } else { None };
                let repeated = earlier.is_some() && !Bug::AnswerNotMarkedRepeated.is_planted();
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

    fn query_answer(&self, answer: &QueryAnswer, streams: &Streams) -> ServerMessage {
        match answer {
            QueryAnswer::Statement(statement) => ServerMessage::Statement((**statement).clone()),
            QueryAnswer::Book(book) => {
                let key = StreamKey::Capability(book.capability);
                let next = StreamPosition { stream_seq: streams.next(key) };
                ServerMessage::Book(Book { next, ..(**book).clone() })
            }
            QueryAnswer::Rejected(reason) => ServerMessage::Rejected(RejectedAnswer::of(*reason)),
        }
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
            // Queries are answered as of the end of the batch, and so are the streams' numbers.
            for (origin, answer) in &batch.query_answers {
                answers.push(&self.connections, *origin, &self.query_answer(answer, &streams));
            }
        }
        answers.flush();
    }

    fn journal_failed(&self) {
        self.journal_failed.store(true, Ordering::Release);
        self.metrics.journal_failed.set(1);
        self.connections.close_all(CloseReason::Unavailable);
    }

    /// Saves what depends on history. Who is connected does not, and what the exchange's own solvers
    /// have taken is not here any more: save one that has neither.
    fn snapshot(&self) -> Vec<u8> {
        let edge = Edge {
            directory: self.directory.saved(),
            blobs: lock(&self.blobs).saved(),
            problems: self.problems.saved(),
            ts_public: self.ts_public(),
            counted: self.metrics.history().map(Counter::get),
        };
        edge.to_bytes(lock(&self.streams).saved())
    }

    fn restore(&self, bytes: &[u8]) -> Result<(), RestoreError> {
        let Saved { edge, streams } = Saved::from_bytes(bytes)?;
        let Edge { directory, blobs, problems, ts_public, counted } = edge;
        self.directory.restore(directory);
        *lock(&self.blobs) = BlobIndex::restored(blobs);
        self.problems.restore(problems);
        self.ts_public.store(ts_public.nanos(), Ordering::Relaxed);
        for (counter, count) in self.metrics.history().into_iter().zip(counted) {
            counter.inner().store(count, Ordering::Relaxed);
        }
        *lock(&self.streams) = streams;
        Ok(())
    }
}

/// Splits the core's events into what each may see of them.
struct Splitter<'a> {
    fan_out: &'a FanOut,
    streams: &'a mut Streams,
    /// What they followed from.
    command: &'a Command,
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
            Event::Halted(e) => self.public(reach(e.capability), PublicEvent::Halted(*e)),
            Event::Reopened(e) => self.public(reach(e.capability), PublicEvent::Reopened(*e)),
            Event::PriceBandSet(e) => {
                self.public(StreamKey::Capability(e.capability), PublicEvent::PriceBandSet(*e));
            }
            Event::Resumed(e) => self.public(StreamKey::Exchange, PublicEvent::Resumed(*e)),
            Event::Upgraded(e) => self.public(StreamKey::Exchange, PublicEvent::Upgraded(*e)),
            Event::SessionEnded(e) => edge.end_session(e.agent, e.session),
            Event::RfqOpened(e) => {
                metrics.rfqs_opened.inc();
                self.open(e);
            }
            Event::RfqTaken(e) => self.take(e),
            Event::BookShown(e) => self.show_book(e, ranking),
            Event::RfqClosed(e) => self.close(e, ranking),
            Event::ClearingStarted(e) => {
                if let Some(posed) = edge.problems.started(e) {
                    let event = PublicEvent::ProblemPosed(Box::new(posed));
                    self.streams.push(StreamKey::Problems, StreamEvent::Public(event));
                }
            }
            Event::RfqCleared(e) => self.private(e.buyer, PrivateEvent::RfqCleared(*e)),
            Event::BundleLost(e) => self.private(e.provider, PrivateEvent::BundleLost(*e)),
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
            Event::ContractTakenOver(e) => {
                metrics.contracts_taken_over.inc();
                lock(&edge.blobs).ended(e.contract);
                self.parties(e.parties, PrivateEvent::ContractTakenOver(*e));
                self.private(e.successor, PrivateEvent::ContractTakenOver(*e));
            }
            Event::StandbyEnded(e) => self.end_standby(e),
            Event::ReputationChanged(e) => {
                self.private(e.agent, PrivateEvent::ReputationChanged(*e));
            }
            Event::ProviderSuspended(e) => {
                self.private(e.provider, PrivateEvent::ProviderSuspended(*e));
            }
            Event::QuotePlaced(e) if Bug::SealedQuoteShown.is_planted() => {
                let cause = CancelCause::Expired;
                let (quote, rfq, provider) = (e.quote, e.rfq, e.provider);
                let canceled = QuoteCanceled { quote, rfq, provider, cause };
                let event = StreamEvent::Private(PrivateEvent::QuoteCanceled(canceled));
                self.streams.push(StreamKey::Exchange, event);
            }
            // Sealed until the close, or known to whoever asked for it from the answer.
            Event::QuotePlaced(_)
            | Event::BundlesQuoted(_)
            | Event::BundleQuoted(_)
            | Event::AllocationProposed(_)
            // Its bundles have gone to solvers.
            | Event::BundlesPosed(_)
            | Event::QuoteAmended(_)
            | Event::QuotePicked(_)
            | Event::RfqDeclined(_)
            | Event::ProviderInvited(_)
            | Event::MassQuoted(_)
            | Event::LineRejected(_)
            | Event::MassCanceled(_)
            | Event::EnvelopeSigned(_)
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

    /// Announces an RFQ to whoever may answer it.
    fn open(&mut self, opened: &RfqOpened) {
        let Command::OpenRfq(command) = self.command else { return };
        lock(&self.fan_out.blobs).opened(opened, &command.invited);
        if let Some(terms) = &command.bundles {
            self.fan_out.problems.opened(opened.rfq, terms);
        }
        let announced = Box::new(RfqAnnounced::of(opened, command));
        if command.invited.is_empty() {
            let key = StreamKey::Capability(opened.terms.capability);
            return self.public(key, PublicEvent::RfqAnnounced(announced));
        }
        for provider in &command.invited {
            self.private(*provider, PrivateEvent::Invited(announced.clone()));
        }
    }

    /// Passes bundles of a problem to solvers.
    fn pose(&mut self, posed: &BundlesPosed, bundles: &[PosedBundle]) {
        if self.fan_out.problems.add(posed, bundles) {
            let (rfq, first, bundles) = (posed.rfq, posed.first, bundles.to_vec());
            let bundles = ProblemBundles { rfq, first, bundles };
            let event = PublicEvent::ProblemBundles(Box::new(bundles));
            self.streams.push(StreamKey::Problems, StreamEvent::Public(event));
        }
    }

    /// Tells those who may take what is left of a Dutch RFQ.
    fn take(&mut self, taken: &RfqTaken) {
        let RfqTaken { rfq, capability, price, quantity, remaining, .. } = *taken;
        let taken = RfqTakenPublicly { rfq, price, quantity, remaining };
        let invited = lock(&self.fan_out.blobs).invited(rfq);
        if invited.is_empty() {
            let key = StreamKey::Capability(capability);
            return self.public(key, PublicEvent::RfqTakenPublicly(taken));
        }
        for provider in invited {
            self.private(provider, PrivateEvent::InvitedRfqTaken(taken));
        }
    }

    /// Splits a close: the buyer learns how it went, each loser its own reason, everybody the rest.
    fn close(&mut self, closed: &RfqClosed, ranking: &[Ranked]) {
        let metrics = &self.fan_out.metrics;
        metrics.rfqs_closed.inc();
        metrics.quotes_ranked.inc_by(ranking.len() as u64);
        let invited = lock(&self.fan_out.blobs).closed(closed);
        self.fan_out.problems.closed(closed.rfq);
        let RfqClosed { rfq, buyer, capability, result, awarded, clearing_price, .. } = *closed;
        let disclosed = match closed.disclosure {
            Disclosure::Nothing => None,
            Disclosure::ClearingPrice => clearing_price,
        };
        let declined = ranking.iter().filter(|e| matches!(e.result, RankedResult::Declined(_)));
        let declined = u32::try_from(declined.count()).unwrap_or(u32::MAX);
        // Of a combinatorial RFQ only what stands by or was declined is in the list.
        let quotes = match closed.bundles {
            0 => closed.ranked.saturating_sub(declined),
            bundles => bundles,
        };
        let ended = RfqEnded { rfq, result, quotes, awarded, clearing_price };
        self.private(buyer, PrivateEvent::RfqEnded(ended));
        for entry in ranking {
            self.tell(buyer, rfq, entry, disclosed);
        }
        let closed = RfqClosedPublicly { rfq, result, awarded, clearing_price: disclosed };
        if invited.is_empty() {
            let key = StreamKey::Capability(capability);
            return self.public(key, PublicEvent::RfqClosedPublicly(closed));
        }
        for provider in invited {
            self.private(provider, PrivateEvent::InvitedRfqEnded(closed));
        }
    }

    /// Tells one of those who answered what became of the answer.
    fn tell(&mut self, buyer: AgentId, rfq: RfqId, entry: &Ranked, disclosed: Option<Micros>) {
        let Ranked { provider, quote, rank, .. } = *entry;
        match entry.result {
            RankedResult::Lost(reason) => {
                // Where nothing was cleared, nothing was ranked.
                let rank = (rank > 0).then_some(rank);
                let lost = QuoteLost { rfq, quote, reason, rank, winning_price: disclosed };
                self.private(provider, PrivateEvent::QuoteLost(lost));
            }
            RankedResult::Standby(_) => {
                self.private(provider, PrivateEvent::Standby(Standby { rfq, quote, rank }));
            }
            RankedResult::Declined(reason) => {
                let declined = Declined { rfq, provider, reason };
                self.private(buyer, PrivateEvent::Declined(declined));
            }
            // A winner gets its award.
            RankedResult::Won | RankedResult::Shown => {}
        }
    }

    /// Shows a buyer the best of its book.
    fn show_book(&mut self, shown: &BookShown, ranking: &[Ranked]) {
        let BookShown { rfq, buyer, pick_until, ranked } = *shown;
        let opened =
            BookOpened { rfq, pick_until, shown: ranked.min(BOOK_SHOWN_MAX), quotes: ranked };
        self.private(buyer, PrivateEvent::BookOpened(opened));
        for entry in ranking.iter().take(BOOK_SHOWN_MAX as usize) {
            let Ranked { quote, provider, price, latency_ms, reputation_bps, score, .. } = *entry;
            let barred =
                if let RankedResult::Lost(reason) = entry.result { Some(reason) } else { None };
            self.private(
                buyer,
                PrivateEvent::QuoteShown(QuoteShown {
                    rfq,
                    quote,
                    provider,
                    price,
                    latency_ms,
                    reputation_bps,
                    score,
                    rank: entry.rank,
                    barred,
                }),
            );
        }
    }

    /// Tells a quote that stood by why it has lost for good; one that takes over gets its award.
    fn end_standby(&mut self, ended: &StandbyEnded) {
        let StandbyEnded { rfq, provider, quote, rank, winning_price, .. } = *ended;
        if let Some(reason) = ended.reason {
            let rank = Some(rank);
            let lost = QuoteLost { rfq, quote, reason, rank, winning_price };
            self.private(provider, PrivateEvent::QuoteLost(lost));
        }
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

/// Returns the stream that a halt concerns.
fn reach(capability: Option<CapabilityId>) -> StreamKey {
    capability.map_or(StreamKey::Exchange, StreamKey::Capability)
}

/// Answers the lines of a part of a mass quote.
fn mass_quote_answer(step: &StepView<'_>, quote: &MassQuote, part: Part) -> ServerMessage {
    let mut results = vec![None; quote.lines.len()];
    for event in step.events {
        if let Event::Rejected(rejected) = event {
            results.fill(Some(rejected.reason));
        } else if let Event::LineRejected(rejected) = event {
            results[rejected.line as usize] = Some(rejected.reason);
        }
    }
    ServerMessage::MassQuoteAnswer(MassQuoteAnswer {
        ts_event: step.stamped.ts_event,
        first_line: part.first_line,
        results,
        last: part.last,
    })
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
