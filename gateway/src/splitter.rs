//! Who may see what of the exchange's events: it splits them into the streams that agents subscribe to.

use gavel_protocol::limits::BOOK_SHOWN_MAX;
use gavel_protocol::{
    AgentId, BookOpened, BookShown, Bug, BundlesPosed, CancelCause, CapabilityId, Command,
    Declined, Disclosure, Event, Micros, Parties, PosedBundle, PrivateEvent, ProblemBundles,
    PublicEvent, QuoteCanceled, QuoteLost, QuoteShown, Ranked, RankedResult, RfqAnnounced,
    RfqClosed, RfqClosedPublicly, RfqEnded, RfqId, RfqOpened, RfqTaken, RfqTakenPublicly, Standby,
    StandbyEnded, StandingQuoteCanceled,
};
use gavel_sequencer::StepView;

use crate::fan_out::FanOut;
use crate::lock::lock;
use crate::streams::{StreamEvent, StreamKey};

/// Where the events of streams go, each in its order.
pub(crate) trait Sink {
    /// Takes the next event of a stream.
    fn push(&mut self, key: StreamKey, event: StreamEvent);
}

/// Splits a step, and calls `before` with each of its events before what is made of that is pushed. Returns whether
/// everybody may know that it has happened.
pub(crate) fn split_step<S: Sink>(
    fan_out: &FanOut,
    step: &StepView<'_>,
    streams: &mut S,
    mut before: impl FnMut(&mut S, &Event),
) -> bool {
    let command = &step.stamped.request.command;
    let mut out = Splitter { fan_out, streams, command, is_public: false };
    let mut posed = step.posed;
    for (event, ranking) in step.events_with_ranking() {
        before(out.streams, event);
        if let Event::BundlesPosed(e) = event {
            let (bundles, rest) = posed.split_at(event.posed());
            posed = rest;
            out.pose(e, bundles);
        }
        out.split(event, ranking);
    }
    out.is_public
}

/// Splits the core's events into what each may see of them.
struct Splitter<'a, S> {
    fan_out: &'a FanOut,
    streams: &'a mut S,
    /// What they followed from.
    command: &'a Command,
    /// Whether a public stream has told of this step, or it may be told of.
    is_public: bool,
}

impl<S: Sink> Splitter<'_, S> {
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
