//! Events and batches for the tests of this crate.

use gavel_protocol::{
    AccountId, AgentEnrolled, AgentId, Attributes, Awarded, Breakdown, CapabilityId,
    CapabilityListed, ClientId, Command, ContractId, Currency, Delivered, Digest, Disclosure,
    DurationNs, Event, Founded, Halt, Halted, Micros, Offer, OpenRfq, Parties, PublicKey, QuoteId,
    QuotePlaced, QuoteRef, Ranked, RankedResult, Request, RfqClosed, RfqId, RfqOpened, RfqResult,
    RfqTerms, Roles, Settings, Stamped, StandingQuoteSet, TimestampNs,
};
use gavel_sequencer::{Batch, Origin};

pub(crate) const OPERATOR: AgentId = AgentId::new(1);
pub(crate) const BUYER: AgentId = AgentId::new(11);
pub(crate) const PROVIDER: AgentId = AgentId::new(12);
pub(crate) const STRANGER: AgentId = AgentId::new(13);
pub(crate) const CAPABILITY: CapabilityId = CapabilityId::new(21);
pub(crate) const RFQ: RfqId = RfqId::new(31);
pub(crate) const QUOTE: QuoteId = QuoteId::new(41);
pub(crate) const CONTRACT: ContractId = ContractId::new(51);
pub(crate) const PARTIES: Parties = Parties { buyer: BUYER, provider: PROVIDER };

pub(crate) fn digest(letter: u8) -> Digest {
    Digest::new([letter; 32])
}

pub(crate) fn usd() -> Currency {
    "USD".parse().unwrap()
}

pub(crate) fn at(nanos: u64) -> TimestampNs {
    TimestampNs::from_nanos(nanos)
}

pub(crate) fn founded(operator_key: PublicKey) -> Founded {
    Founded {
        name: "testing".parse().unwrap(),
        fees: AccountId::EXCHANGE,
        operator_account: AccountId::new(2),
        operator: OPERATOR,
        operator_key,
        settings: Settings::fee(0),
    }
}

pub(crate) fn enrolled(agent: AgentId, key: PublicKey) -> AgentEnrolled {
    AgentEnrolled {
        agent,
        account: AccountId::new(100 + agent.raw()),
        key,
        roles: Roles::TRADER,
        attributes: Attributes::default(),
    }
}

pub(crate) fn listed() -> CapabilityListed {
    CapabilityListed {
        capability: CAPABILITY,
        name: "ocr".parse().unwrap(),
        currency: usd(),
        terms: digest(b't'),
    }
}

pub(crate) fn rfq_opened() -> RfqOpened {
    RfqOpened {
        rfq: RFQ,
        buyer: BUYER,
        account: AccountId::new(111),
        closes_at: at(9_000),
        terms: RfqTerms {
            window: DurationNs::from_secs(1),
            delivery_within: DurationNs::from_secs(1),
            acceptance_within: DurationNs::from_secs(1),
            spec: digest(b's'),
            inputs: Some(digest(b'i')),
            terms: digest(b't'),
            ..RfqTerms::plain(CAPABILITY, usd(), Micros::new(40))
        },
    }
}

pub(crate) fn open_rfq() -> OpenRfq {
    OpenRfq::plain(ClientId::new(1), rfq_opened().terms)
}

pub(crate) fn rfq_closed(ranked: u32) -> RfqClosed {
    RfqClosed {
        rfq: RFQ,
        buyer: BUYER,
        capability: CAPABILITY,
        result: RfqResult::Awarded,
        awarded: 1,
        bundles: 0,
        clearing_price: Some(Micros::new(30)),
        disclosure: Disclosure::ClearingPrice,
        ranked,
    }
}

pub(crate) fn ranked(provider: AgentId, rank: u32, result: gavel_protocol::RankedResult) -> Ranked {
    let price = Micros::new(30);
    Ranked {
        provider,
        quote: QuoteRef::Sealed(QUOTE),
        price,
        score: price,
        latency_ms: 0,
        reputation_bps: 5_000,
        rank,
        result,
    }
}

pub(crate) fn quote_placed() -> QuotePlaced {
    QuotePlaced {
        quote: QUOTE,
        rfq: RFQ,
        provider: PROVIDER,
        offer: Offer::new(Micros::new(30), at(9_999)),
    }
}

pub(crate) fn standing_quote_set(revision: u64) -> StandingQuoteSet {
    StandingQuoteSet {
        capability: CAPABILITY,
        provider: PROVIDER,
        revision,
        price: Micros::new(30),
        latency_ms: 0,
        capacity: 1,
        valid_until: at(9_999),
    }
}

pub(crate) fn awarded() -> Awarded {
    Awarded {
        contract: CONTRACT,
        rfq: RFQ,
        parties: PARTIES,
        quote: QuoteRef::Sealed(QUOTE),
        breakdown: Breakdown {
            price: Micros::new(30),
            latency_ms: 0,
            latency: Micros::ZERO,
            reputation_bps: 5_000,
            reputation: Micros::ZERO,
        },
        price: Micros::new(30),
        quantity: 1,
        total: Micros::new(30),
        currency: usd(),
        bond: Micros::ZERO,
        start_due: None,
        delivery_due: at(99_999),
        takes_over: None,
        bundle: None,
    }
}

pub(crate) fn delivered() -> Delivered {
    Delivered {
        contract: CONTRACT,
        parties: PARTIES,
        deliverable: digest(b'd'),
        acceptance_due: at(99_999),
    }
}

/// A command that stands for any other.
pub(crate) fn any_command() -> Command {
    Command::Halt(Halt { client_id: ClientId::new(1), capability: None })
}

/// A batch under construction.
#[derive(Default)]
pub(crate) struct Batches {
    seq: u64,
    batch: Batch,
}

impl Batches {
    /// Adds a step at the time of its own sequence number.
    pub fn step(
        &mut self,
        origin: Option<Origin>,
        command: Command,
        events: &[Event],
    ) -> &mut Self {
        self.ranked_step(origin, command, events, &[])
    }

    /// Adds a step whose events have a ranked list.
    pub fn ranked_step(
        &mut self,
        origin: Option<Origin>,
        command: Command,
        events: &[Event],
        ranking: &[Ranked],
    ) -> &mut Self {
        self.seq += 1;
        self.batch.events.extend_from_slice(events);
        self.batch.ranking.extend_from_slice(ranking);
        let request = Request { agent: BUYER, command };
        self.batch.end_step(Stamped { seq: self.seq, ts_event: at(self.seq), request }, origin);
        self
    }

    /// Adds a step without an origin for each event.
    pub fn events(&mut self, events: &[Event]) -> &mut Self {
        for event in events {
            let command = if matches!(event, Event::RfqOpened(_)) {
                Command::OpenRfq(Box::new(open_rfq()))
            } else {
                any_command()
            };
            self.step(None, command, &[*event]);
        }
        self
    }

    /// Returns what was added since the last call.
    pub fn take(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }
}

/// Returns a history, a batch per event.
pub(crate) fn history() -> Vec<Batch> {
    let key = |n| PublicKey::new([n; 32]);
    let mut batches = Batches::default();
    let mut events = vec![
        Event::Founded(founded(key(1))),
        Event::AgentEnrolled(enrolled(BUYER, key(3))),
        Event::AgentEnrolled(enrolled(PROVIDER, key(2))),
        Event::CapabilityListed(listed()),
        Event::RfqOpened(rfq_opened()),
        Event::Awarded(awarded()),
    ];
    let mut one = |events: &[Event]| {
        batches.events(events);
        batches.take()
    };
    let mut history: Vec<_> = events.drain(..).map(|event| one(&[event])).collect();
    let ranking = [ranked(PROVIDER, 1, RankedResult::Won)];
    batches.ranked_step(None, any_command(), &[Event::RfqClosed(rfq_closed(1))], &ranking);
    history.push(batches.take());
    for event in [
        Event::Delivered(delivered()),
        Event::StandingQuoteSet(standing_quote_set(1)),
        Event::Halted(Halted { capability: None }),
    ] {
        batches.events(&[event]);
        history.push(batches.take());
    }
    history
}
