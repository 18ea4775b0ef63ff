//! What signatures are made over: canonical bytes, the same in every language.
//!
//! Integers are little-endian and as wide as their type: ids, times, durations and amounts 8 bytes,
//! client ids 16. A flag is one byte, a choice one byte with the number of its variant from 0, an
//! option a flag and then the value if there is one, a list its length as 4 bytes and then its
//! entries. Fields come in the order of their declaration. Every message begins with a context of its
//! own and the exchange's name, so that no signature can be taken for another or to another exchange.

use alloc::vec::Vec;

use crate::bundles::{Bundle, BundleGroup, GroupRule, NewGroup, PublicBundleTerms};
use crate::command::{
    AmendQuote, Command, DutchTerms, OpenRfq, PlaceQuote, QuoteTarget, Signature, TakeRfq,
};
use crate::ids::{AgentId, ClientId, Digest, PublicKey, RfqId};
use crate::name::Name;
use crate::roles::Attributes;
use crate::terms::{Offer, OfferEnvelope, PublicTerms};

/// Canonical bytes under construction.
#[derive(Debug)]
struct Canonical(Vec<u8>);

impl Canonical {
    /// Begins a message of an agent.
    fn message(context: &[u8], exchange: &Name, key: &PublicKey, client_id: ClientId) -> Self {
        Self(context.to_vec())
            .text(exchange)
            .bytes(key.as_bytes())
            .bytes(&client_id.raw().to_le_bytes())
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(self, name: &Name) -> Self {
        let text = name.as_str().as_bytes();
        let length = u8::try_from(text.len()).expect("names are at most NAME_BYTES_MAX long");
        self.bytes(&[length]).bytes(text)
    }

    fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    fn i64(self, value: i64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    fn flag(self, value: bool) -> Self {
        self.bytes(&[u8::from(value)])
    }

    fn option<T>(self, value: Option<T>, write: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => write(self.flag(true), value),
            None => self.flag(false),
        }
    }

    fn list<T>(self, values: &[T], write: impl Fn(Self, &T) -> Self) -> Self {
        let length = u32::try_from(values.len()).expect("a frame holds fewer than 2^32 entries");
        values.iter().fold(self.u32(length), write)
    }

    fn attributes(self, attributes: Attributes) -> Self {
        self.u32(attributes.bits())
    }

    fn terms(self, terms: &PublicTerms) -> Self {
        self.u64(terms.capability.raw())
            .bytes(terms.currency.as_str().as_bytes())
            .u32(terms.quantity)
            .flag(terms.split)
            .bytes(&[terms.format as u8])
            .u64(terms.window.nanos())
            .u64(terms.cutoff.nanos())
            .flag(terms.close_early)
            .u64(terms.pick_within.nanos())
            .flag(terms.admit_standing)
            .i64(terms.scoring.latency_per_ms.raw())
            .i64(terms.scoring.reputation_per_bps.raw())
            .u16(terms.eligibility.reputation_min_bps)
            .attributes(terms.eligibility.attributes)
            .u16(terms.bond_bps)
            .u64(terms.start_within.nanos())
            .u64(terms.delivery_within.nanos())
            .u64(terms.acceptance_within.nanos())
            .bytes(terms.spec.as_bytes())
            .bytes(terms.terms.as_bytes())
    }

    fn dutch(self, dutch: &DutchTerms) -> Self {
        self.list(&dutch.curve, |out, point| out.u64(point.after.nanos()).i64(point.price.raw()))
            .option(dutch.exclusive, |out, first| {
                out.u64(first.provider.raw()).u64(first.until.nanos()).u16(first.beatable_by_bps)
            })
    }

    fn offer(self, offer: &Offer) -> Self {
        self.i64(offer.price.raw())
            .u32(offer.quantity)
            .flag(offer.all_or_none)
            .u32(offer.latency_ms)
            .u64(offer.valid_until.nanos())
            .option(offer.standby_until, |out, until| out.u64(until.nanos()))
    }

    fn bundle_terms(self, terms: &PublicBundleTerms) -> Self {
        self.list(&terms.items, |out, item| out.u32(item.quantity).u32(item.load))
            .flag(terms.free_disposal)
            .flag(terms.all_or_none)
            .bytes(&[terms.payment as u8])
            .u64(terms.clearing_within.nanos())
            .flag(terms.external_solvers)
    }

    fn rule(self, rule: GroupRule) -> Self {
        match rule {
            GroupRule::Xor => self.bytes(&[0]),
            GroupRule::Or(capacity) => self.bytes(&[1]).u32(capacity),
        }
    }

    fn group(self, group: &BundleGroup) -> Self {
        match group {
            BundleGroup::New(NewGroup { rule, valid_until, standby_until }) => self
                .bytes(&[0])
                .rule(*rule)
                .u64(valid_until.nanos())
                .option(*standby_until, |out, until| out.u64(until.nanos())),
            BundleGroup::Existing(quote) => self.bytes(&[1]).u64(quote.raw()),
        }
    }

    /// Items are four words of 8 bytes: item `i` is bit `i % 64` of word `i / 64`.
    fn bundle(self, bundle: &Bundle) -> Self {
        let items = bundle.items.words().iter().fold(self, |out, word| out.u64(*word));
        items.i64(bundle.price.raw()).u32(bundle.latency_ms)
    }

    fn envelope(self, envelope: &OfferEnvelope) -> Self {
        self.u64(envelope.capability.raw())
            .bytes(envelope.terms.as_bytes())
            .i64(envelope.price_min.raw())
            .u32(envelope.capacity_max)
            .u64(envelope.valid_until.nanos())
            .u64(envelope.session.raw())
    }
}

/// Returns what the commitment of an RFQ is the BLAKE3 hash of: what its buyer keeps to itself, and a
/// salt, without which a reserve could be guessed.
pub fn commitment_bytes(salt: &Digest, open: &OpenRfq) -> Vec<u8> {
    let terms = &open.rfq;
    Canonical(b"gavel rfq private 1\0".to_vec())
        .bytes(salt.as_bytes())
        .i64(terms.reserve.raw())
        .option(terms.inputs, |out, inputs| out.bytes(inputs.as_bytes()))
        .flag(terms.top_up)
        .bytes(&[terms.disclosure as u8])
        .list(&open.invited, |out, agent: &AgentId| out.u64(agent.raw()))
        .option(open.bundles.as_deref(), |out, bundles| {
            out.list(&bundles.items, |out, item| out.i64(item.reserve.raw()))
        })
        .0
}

/// Returns what the digest of an RFQ is the BLAKE3 hash of: what everybody who may answer it knows of
/// it, and the commitment to the rest.
pub fn rfq_bytes(
    terms: &PublicTerms,
    dutch: Option<&DutchTerms>,
    bundles: Option<&PublicBundleTerms>,
    commitment: &Digest,
) -> Vec<u8> {
    Canonical(b"gavel rfq public 1\0".to_vec())
        .terms(terms)
        .option(dutch, Canonical::dutch)
        .option(bundles, Canonical::bundle_terms)
        .bytes(commitment.as_bytes())
        .0
}

/// Returns what a buyer signs: the digest of its RFQ.
pub fn rfq_message(
    exchange: &Name,
    key: &PublicKey,
    client_id: ClientId,
    digest: &Digest,
) -> Vec<u8> {
    Canonical::message(b"gavel rfq 1\0", exchange, key, client_id).bytes(digest.as_bytes()).0
}

impl Command {
    /// Returns whether the command carries a signature.
    pub fn is_signed(&self) -> bool {
        if let Self::OpenRfq(c) = self {
            return c.signature.is_some();
        }
        if let Self::QuoteBundles(c) = self {
            return c.signature.is_some();
        }
        if let Self::PlaceQuote(PlaceQuote { signature, .. })
        | Self::AmendQuote(AmendQuote { signature, .. })
        | Self::TakeRfq(TakeRfq { signature, .. }) = self
        {
            return signature.is_some();
        }
        matches!(self, Self::SignEnvelope(_))
    }

    /// Returns the signature that the command carries, and what it must be over; `None` if it carries
    /// none. An RFQ's digest and commitment are to be checked besides.
    pub fn signed(&self, exchange: &Name, key: &PublicKey) -> Option<(&Signature, Vec<u8>)> {
        let message = |context, client_id| Canonical::message(context, exchange, key, client_id);
        let about = |out: Canonical, digest: &Digest, rfq: RfqId| {
            out.bytes(digest.as_bytes()).u64(rfq.raw())
        };
        match self {
            Self::OpenRfq(c) => {
                let signed = c.signature.as_deref()?;
                let bytes = rfq_message(exchange, key, c.client_id, &signed.digest);
                Some((&signed.signature, bytes))
            }
            Self::PlaceQuote(c) => {
                let signed = c.signature.as_deref()?;
                let out = message(b"gavel quote 1\0", c.client_id);
                let out = about(out, &signed.rfq_digest, c.rfq).offer(&c.offer);
                Some((&signed.signature, out.0))
            }
            Self::QuoteBundles(c) => {
                let signed = c.signature.as_deref()?;
                let out = message(b"gavel bundles 1\0", c.client_id);
                let out = about(out, &signed.rfq_digest, c.rfq).group(&c.group);
                Some((&signed.signature, out.list(&c.bundles, Canonical::bundle).0))
            }
            Self::AmendQuote(c) => {
                let signed = c.signature.as_deref()?;
                let out = message(b"gavel amend 1\0", c.client_id);
                let out = out.bytes(signed.rfq_digest.as_bytes());
                let out = match c.target {
                    QuoteTarget::Id(quote) => out.bytes(&[0]).u64(quote.raw()),
                    QuoteTarget::ClientId(id) => out.bytes(&[1]).bytes(&id.raw().to_le_bytes()),
                };
                Some((&signed.signature, out.offer(&c.offer).0))
            }
            Self::TakeRfq(c) => {
                let signed = c.signature.as_deref()?;
                let out = message(b"gavel take 1\0", c.client_id);
                let out = about(out, &signed.rfq_digest, c.rfq);
                Some((&signed.signature, out.u32(c.quantity).i64(c.limit.raw()).0))
            }
            Self::SignEnvelope(c) => {
                let out = message(b"gavel envelope 1\0", c.client_id).envelope(&c.envelope);
                Some((&c.signature, out.0))
            }
            Self::CancelRfq(_)
            | Self::CancelQuote(_)
            | Self::ProposeAllocation(_)
            | Self::SetStandingQuote(_)
            | Self::CancelStandingQuote(_)
            | Self::StartWork(_)
            | Self::Deliver(_)
            | Self::AcceptDelivery(_)
            | Self::DeclineRfq(_)
            | Self::PickQuote(_)
            | Self::MassQuote(_)
            | Self::MassCancel(_)
            | Self::EnrolAccount(_)
            | Self::EnrolAgent(_)
            | Self::ListCapability(_)
            | Self::Deposit(_)
            | Self::Halt(_)
            | Self::Reopen(_)
            | Self::SetPriceBand(_)
            | Self::Found(_)
            | Self::Logon(_)
            | Self::SessionLost(_)
            | Self::AdvanceTime(_)
            | Self::Resume(_)
            | Self::Upgrade(_) => None,
        }
    }
}
