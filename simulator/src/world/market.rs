//! What agents want: commands as a market sees them, and nonsense.

use gavel_protocol::{
    AcceptDelivery, AgentId, AmendQuote, CancelQuote, CancelRfq, CancelStandingQuote, CapabilityId,
    ClientId, Command, ContractId, Currency, CurvePoint, DeclineRfq, Deliver, Digest, DurationNs,
    DutchTerms, Format, Micros, NoQuoteReason, Offer, OpenRfq, Outcome, PickQuote, PlaceQuote,
    PrivateEvent, PublicEvent, PublicTerms, QuoteId, QuoteRef, QuoteTarget, RfqId, RfqTarget,
    RfqTerms, SetStandingQuote, TakeRfq, TimestampNs,
};
use rand::{Rng, RngExt as _};

use super::plan::{Plan, comes, pick};

/// Things of a kind that an agent remembers; older ones are forgotten.
const REMEMBERED_MAX: usize = 24;

/// What an agent knows of the market.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    pub capabilities: Vec<CapabilityId>,
    announced: Vec<Announced>,
    /// What the books of its own RFQs have shown that can win.
    shown: Vec<(RfqId, QuoteId)>,
    mine: Vec<RfqId>,
    quotes: Vec<QuoteId>,
    /// Contracts to deliver, and to accept.
    to_deliver: Vec<ContractId>,
    to_accept: Vec<ContractId>,
    revision: u64,
    client_ids: u128,
}

/// An RFQ that was announced.
#[derive(Clone, Copy, Debug)]
struct Announced {
    rfq: RfqId,
    closes_at: TimestampNs,
    format: Format,
    quantity: u32,
    split: bool,
}

impl Knowledge {
    /// Learns from an event of the agent's own.
    pub fn learn_private(&mut self, me: AgentId, event: &PrivateEvent) {
        if let PrivateEvent::Awarded(awarded) = event {
            if awarded.parties.provider == me {
                remember(&mut self.to_deliver, awarded.contract);
            }
        } else if let PrivateEvent::Delivered(delivered) = event
            && delivered.parties.buyer == me
        {
            remember(&mut self.to_accept, delivered.contract);
        } else if let PrivateEvent::QuoteShown(shown) = event
            && let (QuoteRef::Sealed(quote), None) = (shown.quote, shown.barred)
        {
            remember(&mut self.shown, (shown.rfq, quote));
        }
    }

    /// Learns from a public event.
    pub fn learn_public(&mut self, event: &PublicEvent) {
        if let PublicEvent::RfqAnnounced(announced) = event {
            let PublicTerms { format, quantity, split, .. } = announced.terms;
            let (rfq, closes_at) = (announced.rfq, announced.closes_at);
            let announced = Announced { rfq, closes_at, format, quantity, split };
            remember(&mut self.announced, announced);
        } else if let PublicEvent::RfqClosedPublicly(closed) = event {
            self.announced.retain(|announced| announced.rfq != closed.rfq);
        }
    }

    /// Learns from an answer.
    pub fn learn_outcome(&mut self, outcome: &Outcome) {
        if let Outcome::Rfq(handle) = outcome {
            remember(&mut self.mine, handle.rfq);
        } else if let Outcome::Quote(quote) = outcome {
            remember(&mut self.quotes, *quote);
        }
    }

    /// Draws what the agent does next.
    pub fn draw(&mut self, rng: &mut impl Rng, plan: &Plan, now: TimestampNs) -> Command {
        let is_sane = !comes(rng, plan.hostile);
        let client_id = self.client_id(rng, now, is_sane);
        let capability = match is_sane {
            true => *pick(rng, &self.capabilities),
            false => CapabilityId::new(rng.random()),
        };
        self.announced.retain(|announced| announced.closes_at > now);
        // Before anything else: a book is open for a short time only.
        if !self.shown.is_empty() && rng.random_bool(0.5) {
            let (rfq, quote) = *pick(rng, &self.shown);
            self.shown.retain(|(other, _)| *other != rfq);
            return Command::PickQuote(PickQuote { client_id, rfq, quote });
        }
        match rng.random_range(0..100) {
            // What there is nothing of, only nonsense asks for: it quotes or asks instead.
            55..70 if !is_sane || !self.to_deliver.is_empty() => {
                let contract = any(rng, &self.to_deliver).unwrap_or(ContractId::new(rng.random()));
                self.to_deliver.retain(|other| *other != contract);
                if !comes(rng, plan.delivers) {
                    return self.cancel_standing(capability);
                }
                Command::Deliver(Deliver { client_id, contract, deliverable: DIGEST })
            }
            70..80 if !is_sane || !self.to_accept.is_empty() => {
                let contract = any(rng, &self.to_accept).unwrap_or(ContractId::new(rng.random()));
                self.to_accept.retain(|other| *other != contract);
                Command::AcceptDelivery(AcceptDelivery { client_id, contract })
            }
            80..84 if !is_sane || !self.quotes.is_empty() => {
                let quote = any(rng, &self.quotes).unwrap_or(QuoteId::new(rng.random()));
                let (target, offer) = (QuoteTarget::Id(quote), offer(rng, plan, now, None));
                Command::AmendQuote(AmendQuote { client_id, target, offer, signature: None })
            }
            84..87 if !is_sane || !self.quotes.is_empty() => {
                let quote = any(rng, &self.quotes).unwrap_or(QuoteId::new(rng.random()));
                Command::CancelQuote(CancelQuote { client_id, target: QuoteTarget::Id(quote) })
            }
            87..90 if !is_sane || !self.mine.is_empty() => {
                let rfq = any(rng, &self.mine).unwrap_or(RfqId::new(rng.random()));
                Command::CancelRfq(CancelRfq { client_id, target: RfqTarget::Id(rfq) })
            }
            90..92 => {
                let announced = any(rng, &self.announced);
                let rfq = rfq_or_nonsense(rng, announced);
                let reason = NoQuoteReason::OutsideCapability;
                Command::DeclineRfq(DeclineRfq { client_id, rfq, reason })
            }
            92..93 => self.cancel_standing(capability),
            93..100 => self.set_standing(rng, capability, now),
            0..45 if !is_sane || !self.announced.is_empty() => {
                self.place(rng, plan, (client_id, now))
            }
            _ => Command::OpenRfq(Box::new(open(rng, plan, (client_id, capability), is_sane))),
        }
    }

    fn cancel_standing(&mut self, capability: CapabilityId) -> Command {
        self.revision += 1;
        let revision = self.revision;
        Command::CancelStandingQuote(CancelStandingQuote { capability, revision })
    }

    fn place(
        &self,
        rng: &mut impl Rng,
        plan: &Plan,
        (client_id, now): (ClientId, TimestampNs),
    ) -> Command {
        let announced = any(rng, &self.announced);
        let rfq = rfq_or_nonsense(rng, announced);
        if announced.is_some_and(|found| found.format == Format::Dutch) {
            let quantity = rng.random_range(1..=5);
            let limit = Micros::new(rng.random_range(1..60) * 1_000_000);
            let take = TakeRfq { client_id, rfq, quantity, limit, signature: None };
            return Command::TakeRfq(take);
        }
        let offer = offer(rng, plan, now, announced);
        Command::PlaceQuote(PlaceQuote { client_id, rfq, offer, signature: None })
    }

    fn set_standing(
        &mut self,
        rng: &mut impl Rng,
        capability: CapabilityId,
        now: TimestampNs,
    ) -> Command {
        self.revision += 1;
        Command::SetStandingQuote(SetStandingQuote {
            capability,
            revision: self.revision - rng.random_range(0..2),
            price: Micros::new(rng.random_range(1..60) * 1_000_000),
            latency_ms: 0,
            capacity: rng.random_range(1..4),
            valid_until: now.after(DurationNs::from_millis(rng.random_range(10..100_000))),
            terms: DIGEST,
        })
    }

    fn client_id(&mut self, rng: &mut impl Rng, now: TimestampNs, is_sane: bool) -> ClientId {
        self.client_ids += 1;
        match is_sane || rng.random_range(0..4) > 0 {
            true => ClientId::from_parts(now, self.client_ids),
            false => ClientId::new(rng.random()),
        }
    }
}

const DIGEST: Digest = Digest::new([0; 32]);

fn open(
    rng: &mut impl Rng,
    plan: &Plan,
    (client_id, capability): (ClientId, CapabilityId),
    is_sane: bool,
) -> OpenRfq {
    let reserve = Micros::new(match is_sane {
        true => rng.random_range(1..60) * 1_000_000,
        false => rng.random(),
    });
    let plain = RfqTerms::plain(capability, Currency::USD, reserve);
    let window = *pick(rng, &[0, 0, 1, 5, 20, 100, 1_000]);
    let sealed = *pick(rng, &[Format::FirstPrice, Format::SecondPrice]);
    let format = match rng.random_range(0..6) {
        0 if plan.dutch && window > 0 => Format::Dutch,
        1 if plan.choice && window > 0 => Format::BuyersChoice,
        _ => sealed,
    };
    let admit_standing = format == sealed && (window == 0 || rng.random_range(0..4) == 0);
    let is_choice = format == Format::BuyersChoice;
    let terms = RfqTerms {
        window: DurationNs::from_millis(window),
        quantity: if plan.units { rng.random_range(1..=5) } else { 1 },
        split: plan.units && !is_choice && rng.random_bool(0.7),
        pick_within: DurationNs::from_millis(if is_choice {
            rng.random_range(1..2_000)
        } else {
            0
        }),
        bond_bps: if plan.bonds && !admit_standing { 500 } else { 0 },
        admit_standing,
        format,
        ..plain
    };
    let opened = OpenRfq::plain(client_id, terms);
    if format != Format::Dutch {
        return opened;
    }
    let begin = CurvePoint { after: DurationNs::ZERO, price: Micros::new(reserve.raw() / 4 + 1) };
    let curve = vec![begin, CurvePoint { after: terms.window, price: reserve }];
    OpenRfq { dutch: Some(DutchTerms { curve, exclusive: None }), ..opened }
}

fn offer(rng: &mut impl Rng, plan: &Plan, now: TimestampNs, asked: Option<Announced>) -> Offer {
    let price = match comes(rng, plan.ties) {
        true => 5,
        false => rng.random_range(1..40),
    };
    let valid_for = DurationNs::from_millis(rng.random_range(500..500_000));
    let mut offer = Offer::new(Micros::new(price * 1_000_000), now.after(valid_for));
    if plan.units {
        let quantity = asked.map_or(5, |asked| asked.quantity);
        let is_part = asked.is_none_or(|asked| asked.split) && rng.random_bool(0.6);
        offer.quantity = if is_part { rng.random_range(1..=quantity) } else { quantity };
        offer.all_or_none = is_part
            && asked.is_some_and(|asked| asked.format == Format::FirstPrice)
            && rng.random_bool(0.3);
    }
    offer
}

fn rfq_or_nonsense(rng: &mut impl Rng, announced: Option<Announced>) -> RfqId {
    announced.map_or_else(|| RfqId::new(rng.random()), |announced| announced.rfq)
}

fn any<T: Copy>(rng: &mut impl Rng, from: &[T]) -> Option<T> {
    (!from.is_empty()).then(|| *pick(rng, from))
}

fn remember<T>(list: &mut Vec<T>, what: T) {
    if list.len() == REMEMBERED_MAX {
        list.remove(0);
    }
    list.push(what);
}
