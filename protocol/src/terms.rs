//! What is agreed on: the terms of an RFQ, an offer, an envelope, the exchange's settings.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::command::{Disclosure, Format};
use crate::ids::{AgentId, CapabilityId, Digest, SessionId};
use crate::limits::{QUANTITY_MAX, REPUTATION_BPS_MAX};
use crate::money::{Currency, Micros};
use crate::roles::Attributes;
use crate::time::{DurationNs, TimestampNs};

/// Declares plain data that is copied freely.
macro_rules! plain {
    ($($(#[$meta:meta])* pub struct $name:ident { $($body:tt)* })+) => {$(
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash,
            Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
        )]
        #[rkyv(derive(Debug))]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($body)* }
    )+};
}

pub(crate) use plain;

plain! {
    /// What an RFQ asks for, and how it is awarded.
    pub struct RfqTerms {
        /// The kind of work.
        pub capability: CapabilityId,
        /// What it is paid in: the capability's currency.
        pub currency: Currency,
        /// Units of work; 1 if the format is combinatorial: its items have units of their own.
        pub quantity: u32,
        /// Whether the units may go to several providers.
        pub split: bool,
        /// The most that the buyer pays per unit; for all items together if the format is
        /// combinatorial. Nobody else learns it, unless the format is Dutch.
        pub reserve: Micros,
        /// How it is cleared.
        pub format: Format,
        /// How long it collects quotes; zero clears at once against the standing quotes.
        pub window: DurationNs,
        /// How long before the close quotes become irrevocable.
        pub cutoff: DurationNs,
        /// Whether it closes once everybody who was invited has answered.
        pub close_early: bool,
        /// How long after the close the buyer may take to pick; only if the choice is the buyer's.
        pub pick_within: DurationNs,
        /// Whether standing quotes compete at the close too. They always do when the window is zero.
        pub admit_standing: bool,
        /// What latency and reputation are worth.
        pub scoring: Scoring,
        /// Who may compete.
        pub eligibility: Eligibility,
        /// What a provider puts up for its work, in basis points of the price it asks.
        pub bond_bps: u16,
        /// Whether a runner-up may take over at a higher price, up to the reserve.
        pub top_up: bool,
        /// What providers that lose learn of the winning price.
        pub disclosure: Disclosure,
        /// How long after the award the provider may take to start; zero: until the delivery.
        pub start_within: DurationNs,
        /// How long after the award the provider may take to deliver.
        pub delivery_within: DurationNs,
        /// How long after the delivery the buyer may take to object; silence accepts.
        pub acceptance_within: DurationNs,
        /// The public part of the job spec: whoever may answer the RFQ may read it.
        pub spec: Digest,
        /// The private inputs: only the winner may read them, after the award.
        pub inputs: Option<Digest>,
        /// The terms of the contract.
        pub terms: Digest,
    }

    /// What everybody may know of an RFQ's terms: all but the reserve, the inputs and what providers
    /// learn when they lose.
    pub struct PublicTerms {
        /// The kind of work.
        pub capability: CapabilityId,
        /// What it is paid in.
        pub currency: Currency,
        /// Units of work.
        pub quantity: u32,
        /// Whether the units may go to several providers.
        pub split: bool,
        /// How it is cleared.
        pub format: Format,
        /// How long it collects quotes; zero: it is cleared already.
        pub window: DurationNs,
        /// How long before the close quotes become irrevocable.
        pub cutoff: DurationNs,
        /// Whether it closes once everybody who was invited has answered.
        pub close_early: bool,
        /// How long after the close the buyer may take to pick.
        pub pick_within: DurationNs,
        /// Whether standing quotes compete too.
        pub admit_standing: bool,
        /// What latency and reputation are worth.
        pub scoring: Scoring,
        /// Who may compete.
        pub eligibility: Eligibility,
        /// What a provider puts up for its work, in basis points of the price it asks.
        pub bond_bps: u16,
        /// How long after the award the provider may take to start; zero: until the delivery.
        pub start_within: DurationNs,
        /// How long after the award the provider may take to deliver.
        pub delivery_within: DurationNs,
        /// How long after the delivery the buyer may take to object.
        pub acceptance_within: DurationNs,
        /// The public part of the job spec.
        pub spec: Digest,
        /// The terms of the contract.
        pub terms: Digest,
    }

    /// What is worth money besides the price, per unit of work.
    #[derive(Default)]
    pub struct Scoring {
        /// The cost of each millisecond of quoted latency. Also the penalty per millisecond of
        /// overrun.
        pub latency_per_ms: Micros,
        /// The cost of each basis point that the provider's reputation lies below 10,000.
        pub reputation_per_bps: Micros,
    }

    /// Who may compete for an RFQ, besides being invited.
    #[derive(Default)]
    pub struct Eligibility {
        /// The lowest reputation that will do, in basis points.
        pub reputation_min_bps: u16,
        /// What must be true of the provider.
        pub attributes: Attributes,
    }

    /// What a provider offers for an RFQ.
    pub struct Offer {
        /// The price per unit of quantity, above zero.
        pub price: Micros,
        /// Units it can do; may be more than asked for.
        pub quantity: u32,
        /// Whether it does all of these units or none.
        pub all_or_none: bool,
        /// How long the work takes, from the award to the delivery, in milliseconds.
        pub latency_ms: u32,
        /// The quote is firm until then; at least until the RFQ is decided.
        pub valid_until: TimestampNs,
        /// If it loses, it stands by until then, to take over from a winner that fails.
        pub standby_until: Option<TimestampNs>,
    }

    /// A point of a Dutch RFQ's price curve.
    pub struct CurvePoint {
        /// Time since the opening, without halts.
        pub after: DurationNs,
        /// The price per unit at that time.
        pub price: Micros,
    }

    /// The first word in a Dutch RFQ.
    pub struct Exclusivity {
        /// Who has it.
        pub provider: AgentId,
        /// How long after the opening, without halts.
        pub until: DurationNs,
        /// Others may take in that time for so much less, in basis points; zero: not at all.
        pub beatable_by_bps: u16,
    }

    /// The bounds of an agent's standing quote for a capability, and the session that may move it
    /// within them.
    pub struct OfferEnvelope {
        /// The kind of work.
        pub capability: CapabilityId,
        /// The terms it is offered on.
        pub terms: Digest,
        /// The lowest price per unit.
        pub price_min: Micros,
        /// The most units on offer at a time.
        pub capacity_max: u32,
        /// Nothing is offered beyond this time.
        pub valid_until: TimestampNs,
        /// The session that is mandated.
        pub session: SessionId,
    }

    /// The band that prices must lie in, ends included.
    pub struct PriceBand {
        /// The lowest price per unit.
        pub low: Micros,
        /// The highest price per unit.
        pub high: Micros,
    }

    /// What the exchange charges and asks for.
    pub struct Settings {
        /// The provider's fee, taken at release, in parts per million of the price, rounded down.
        pub fee_ppm: u32,
        /// Whether RFQs, quotes and takes must be signed, and standing quotes lie in an envelope.
        pub signatures_required: bool,
        /// Quotes that an agent may place, amend or set in a second of sequenced time; zero: any
        /// number.
        pub quotes_per_s_max: u32,
    }
}

impl RfqTerms {
    /// Returns a plain RFQ for one unit: first price, open to all, nothing but the price counts.
    pub fn plain(capability: CapabilityId, currency: Currency, reserve: Micros) -> Self {
        let nothing = Digest::new([0; 32]);
        Self {
            capability,
            currency,
            quantity: 1,
            split: false,
            reserve,
            format: Format::FirstPrice,
            window: DurationNs::ZERO,
            cutoff: DurationNs::ZERO,
            close_early: false,
            pick_within: DurationNs::ZERO,
            admit_standing: false,
            scoring: Scoring::default(),
            eligibility: Eligibility::default(),
            bond_bps: 0,
            top_up: false,
            disclosure: Disclosure::ClearingPrice,
            start_within: DurationNs::ZERO,
            delivery_within: DurationNs::from_secs(3_600),
            acceptance_within: DurationNs::from_secs(3_600),
            spec: nothing,
            inputs: None,
            terms: nothing,
        }
    }

    /// Returns whether standing quotes compete.
    pub fn admits_standing(&self) -> bool {
        self.admit_standing || self.window == DurationNs::ZERO
    }
}

impl PublicTerms {
    /// Returns what everybody may know of an RFQ's terms.
    pub fn of(terms: &RfqTerms) -> Self {
        let RfqTerms {
            capability,
            currency,
            quantity,
            split,
            reserve: _,
            format,
            window,
            cutoff,
            close_early,
            pick_within,
            admit_standing,
            scoring,
            eligibility,
            bond_bps,
            top_up: _,
            disclosure: _,
            start_within,
            delivery_within,
            acceptance_within,
            spec,
            inputs: _,
            terms,
        } = *terms;
        Self {
            capability,
            currency,
            quantity,
            split,
            format,
            window,
            cutoff,
            close_early,
            pick_within,
            admit_standing,
            scoring,
            eligibility,
            bond_bps,
            start_within,
            delivery_within,
            acceptance_within,
            spec,
            terms,
        }
    }
}

impl PriceBand {
    /// Returns whether a price for so many units lies in the band.
    pub fn admits(&self, price: Micros, units: u32) -> bool {
        // An end that is too large to multiply is above every price.
        let is_above_low = self.low.times(units).is_some_and(|low| price >= low);
        is_above_low && self.high.times(units).is_none_or(|high| price <= high)
    }
}

impl Offer {
    /// Returns an offer of all the units that are asked for.
    pub fn new(price: Micros, valid_until: TimestampNs) -> Self {
        let (quantity, all_or_none, latency_ms, standby_until) = (QUANTITY_MAX, false, 0, None);
        Self { price, quantity, all_or_none, latency_ms, valid_until, standby_until }
    }
}

impl Scoring {
    /// Returns what latency adds to a score.
    pub fn latency(&self, latency_ms: u32) -> Option<Micros> {
        self.latency_per_ms.times(latency_ms)
    }

    /// Returns what a reputation adds to a score: nothing for one of 10,000 basis points.
    pub fn reputation(&self, reputation_bps: u16) -> Option<Micros> {
        let shortfall = REPUTATION_BPS_MAX.saturating_sub(reputation_bps);
        self.reputation_per_bps.times(u32::from(shortfall))
    }
}

impl Settings {
    /// Returns settings that charge `fee_ppm` and ask for nothing.
    pub const fn fee(fee_ppm: u32) -> Self {
        Self { fee_ppm, signatures_required: false, quotes_per_s_max: 0 }
    }
}
