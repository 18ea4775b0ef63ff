//! What an agent signs, so that an award binds it: RFQs, answers to them, envelopes.

use ed25519_dalek::{Signer as _, SigningKey};
use gavel_protocol::{
    AmendQuote, CapabilityId, ClientId, Command, Digest, Micros, Name, OfferEnvelope, OpenRfq,
    PlaceQuote, PublicBundleTerms, PublicKey, PublicTerms, QuoteSignature, RfqAnnounced, RfqId,
    RfqSignature, SessionId, SignEnvelope, Signature, SignatureBytes, SignatureScheme, TakeRfq,
    TimestampNs, commitment_bytes, rfq_bytes,
};

/// Keeps the key's use for salts apart from its use for signatures.
const SALT_CONTEXT: &str = "gavel 2026-11 rfq salt 1";

/// Signs the commands of one agent on one exchange.
#[derive(Clone, Debug)]
pub struct Signer {
    key: SigningKey,
    public: PublicKey,
    exchange: Name,
}

/// An RFQ that is answered. If its digest is known, the answer can be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RfqRef {
    /// Which RFQ.
    pub rfq: RfqId,
    /// The digest that it was announced with, if its buyer has signed it.
    pub digest: Option<Digest>,
}

/// The bounds of a standing quote that a session is to be mandated to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The kind of work.
    pub capability: CapabilityId,
    /// The terms it is offered on: those the capability is listed with.
    pub terms: Digest,
    /// The lowest price per unit.
    pub price_min: Micros,
    /// The most units on offer at a time.
    pub capacity_max: u32,
    /// Nothing is offered beyond this time.
    pub valid_until: TimestampNs,
}

impl Signer {
    /// Makes one that signs with `key` for the exchange of that name.
    pub fn new(key: &SigningKey, exchange: Name) -> Self {
        let public = PublicKey::new(key.verifying_key().to_bytes());
        Self { key: key.clone(), public, exchange }
    }

    /// Signs an RFQ, an envelope, or an answer that names the digest of its RFQ (see
    /// [`RfqRef::unsigned`]). Any other command stays as it is.
    pub fn sign(&self, command: &mut Command) {
        if let Command::OpenRfq(open) = command {
            open.signature = Some(Box::new(self.about(open)));
        }
        let Some((_, message)) = command.signed(&self.exchange, &self.public) else { return };
        if let Some(signature) = signature_of(command) {
            signature.bytes = SignatureBytes::new(self.key.sign(&message).to_bytes());
        }
    }

    /// Returns the command that mandates `session`, signed.
    pub fn envelope(&self, client_id: ClientId, of: Envelope, session: SessionId) -> Command {
        let Envelope { capability, terms, price_min, capacity_max, valid_until } = of;
        let envelope =
            OfferEnvelope { capability, terms, price_min, capacity_max, valid_until, session };
        let signature = unsigned();
        let sign = SignEnvelope { client_id, envelope, signature };
        let mut command = Command::SignEnvelope(Box::new(sign));
        self.sign(&mut command);
        command
    }

    /// Returns what a signature on an RFQ is about, with the signature still to be made.
    fn about(&self, open: &OpenRfq) -> RfqSignature {
        let salt = self.salt(open.client_id);
        let commitment = digest_of(&commitment_bytes(&salt, open));
        let bundles = open.bundles.as_deref().map(PublicBundleTerms::of);
        let (terms, dutch) = (PublicTerms::of(&open.rfq), open.dutch.as_ref());
        let public = rfq_bytes(&terms, dutch, bundles.as_ref(), &commitment);
        RfqSignature { salt, commitment, digest: digest_of(&public), signature: unsigned() }
    }

    /// Returns the salt of an RFQ: nobody can tell it without the key, and whoever has the key can
    /// make it again to prove what its RFQ kept to itself.
    fn salt(&self, client_id: ClientId) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key(SALT_CONTEXT);
        hasher.update(self.key.as_bytes()).update(&client_id.raw().to_le_bytes());
        Digest::new(*hasher.finalize().as_bytes())
    }
}

impl RfqRef {
    /// Returns the place for the signature of an answer, if there is a digest to sign.
    pub fn unsigned(&self) -> Option<Box<QuoteSignature>> {
        let rfq_digest = self.digest?;
        Some(Box::new(QuoteSignature { rfq_digest, signature: unsigned() }))
    }
}

impl From<RfqId> for RfqRef {
    /// An RFQ of which nothing but the id is known: answers to it are not signed.
    fn from(rfq: RfqId) -> Self {
        Self { rfq, digest: None }
    }
}

impl From<&RfqAnnounced> for RfqRef {
    fn from(announced: &RfqAnnounced) -> Self {
        Self { rfq: announced.rfq, digest: announced.signed.map(|signed| signed.digest) }
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    Digest::new(*blake3::hash(bytes).as_bytes())
}

/// Returns a signature that is still to be made.
fn unsigned() -> Signature {
    Signature { scheme: SignatureScheme::Ed25519, bytes: SignatureBytes::new([0; 64]) }
}

fn signature_of(command: &mut Command) -> Option<&mut Signature> {
    if let Command::OpenRfq(open) = command {
        return Some(&mut open.signature.as_mut()?.signature);
    }
    if let Command::QuoteBundles(quote) = command {
        return Some(&mut quote.signature.as_mut()?.signature);
    }
    if let Command::SignEnvelope(sign) = command {
        return Some(&mut sign.signature);
    }
    if let Command::PlaceQuote(PlaceQuote { signature, .. })
    | Command::AmendQuote(AmendQuote { signature, .. })
    | Command::TakeRfq(TakeRfq { signature, .. }) = command
    {
        return Some(&mut signature.as_mut()?.signature);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_protocol::{
        Bundle, BundleGroup, BundleTerms, Currency, DurationNs, Item, Items, Offer, PaymentRule,
        QuoteBundles, QuoteId, QuoteTarget, RfqTerms,
    };

    fn exchange() -> Name {
        "test".parse().unwrap()
    }

    fn signer(seed: u8) -> Signer {
        Signer::new(&SigningKey::from_bytes(&[seed; 32]), exchange())
    }

    fn open(client_id: u128) -> Command {
        let terms = RfqTerms::plain(CapabilityId::new(1), Currency::USD, Micros::new(30_000_000));
        Command::OpenRfq(Box::new(OpenRfq::plain(ClientId::new(client_id), terms)))
    }

    /// An RFQ for two items, of these reserves.
    fn open_for_items(client_id: u128, reserves: [i64; 2]) -> Command {
        let Command::OpenRfq(mut open) = open(client_id) else { panic!("it opens an RFQ") };
        let item = |reserve| Item { quantity: 1, load: 2, reserve: Micros::new(reserve) };
        open.bundles = Some(Box::new(BundleTerms {
            items: reserves.into_iter().map(item).collect(),
            free_disposal: false,
            all_or_none: false,
            payment: PaymentRule::PayAsBid,
            clearing_within: DurationNs::from_millis(1),
            external_solvers: false,
        }));
        Command::OpenRfq(open)
    }

    fn signature_on(command: &Command) -> RfqSignature {
        let Command::OpenRfq(open) = command else { panic!("{command:?}") };
        *open.signature.clone().unwrap()
    }

    /// One command of each kind that is signed.
    fn commands(signer: &Signer) -> Vec<Command> {
        let rfq = RfqRef { rfq: RfqId::new(2), digest: Some(Digest::new([7; 32])) };
        let (client_id, offer) = (ClientId::new(1), Offer::new(Micros::new(5), TimestampNs::MAX));
        let (quantity, limit, signature) = (3, offer.price, rfq.unsigned());
        let target = QuoteTarget::ClientId(ClientId::new(9));
        let envelope = Envelope {
            capability: CapabilityId::new(1),
            terms: Digest::new([1; 32]),
            price_min: limit,
            capacity_max: 4,
            valid_until: TimestampNs::MAX,
        };
        let place = PlaceQuote { client_id, rfq: rfq.rfq, offer, signature: signature.clone() };
        let amend = AmendQuote { client_id, target, offer, signature: signature.clone() };
        let bundle = Bundle { items: Items::first(2), price: limit, latency_ms: 0 };
        let (group, bundles) = (BundleGroup::Existing(QuoteId::new(3)), vec![bundle]);
        let quote =
            QuoteBundles { client_id, rfq: rfq.rfq, group, bundles, signature: signature.clone() };
        let mut commands = vec![
            open(1),
            open_for_items(1, [5, 6]),
            Command::QuoteBundles(Box::new(quote)),
            Command::PlaceQuote(place),
            Command::AmendQuote(amend),
            Command::TakeRfq(TakeRfq { client_id, rfq: rfq.rfq, quantity, limit, signature }),
            signer.envelope(client_id, envelope, SessionId::new(8)),
        ];
        commands.iter_mut().for_each(|command| signer.sign(command));
        commands
    }

    /// Returns whether the command's signature is by this seed's key for that exchange.
    fn verifies(command: &Command, seed: u8, exchange: &str) -> bool {
        let key = SigningKey::from_bytes(&[seed; 32]).verifying_key();
        let public = PublicKey::new(key.to_bytes());
        let (signature, message) = command.signed(&exchange.parse().unwrap(), &public).unwrap();
        let signature = ed25519_dalek::Signature::from_bytes(signature.bytes.as_bytes());
        key.verify_strict(&message, &signature).is_ok()
    }

    #[test]
    fn what_is_signed_verifies_strictly_for_this_key_and_exchange_only() {
        for command in commands(&signer(1)) {
            assert!(verifies(&command, 1, "test"), "{command:?}");
            assert!(!verifies(&command, 2, "test"), "{command:?}");
            assert!(!verifies(&command, 1, "elsewhere"), "{command:?}");
        }
    }

    #[test]
    fn an_rfq_is_signed_with_its_digests_and_a_salt_of_its_own() {
        let signer = signer(1);
        let [mut first, mut other] = [open(1), open(2)];
        signer.sign(&mut first);
        signer.sign(&mut other);
        let (signed, of_other) = (signature_on(&first), signature_on(&other));
        assert_ne!(signed.salt, of_other.salt, "the same reserve must not look the same twice");
        let Command::OpenRfq(open) = &first else { panic!("{first:?}") };
        assert_eq!(signed.commitment, digest_of(&commitment_bytes(&signed.salt, open)));
        let public = rfq_bytes(&PublicTerms::of(&open.rfq), None, None, &signed.commitment);
        assert_eq!(signed.digest, digest_of(&public));
        let again = signature_on(&first);
        signer.sign(&mut first);
        assert_eq!(signature_on(&first), again, "the same command again is the same command");
    }

    #[test]
    fn the_reserves_of_items_are_committed_to_and_kept_out_of_what_is_public() {
        let signer = signer(1);
        let [mut first, mut other] = [open_for_items(1, [5, 6]), open_for_items(1, [6, 5])];
        signer.sign(&mut first);
        signer.sign(&mut other);
        let (signed, of_other) = (signature_on(&first), signature_on(&other));
        assert_eq!(signed.salt, of_other.salt, "of the same command");
        assert_ne!(signed.commitment, of_other.commitment);
        let public = |command: &Command| {
            let Command::OpenRfq(open) = command else { panic!("{command:?}") };
            let bundles = open.bundles.as_deref().map(PublicBundleTerms::of);
            rfq_bytes(&PublicTerms::of(&open.rfq), None, bundles.as_ref(), &signed.commitment)
        };
        assert_eq!(public(&first), public(&other));
        assert_eq!(signed.digest, digest_of(&public(&first)));
    }

    #[test]
    fn without_a_digest_there_is_nothing_to_sign() {
        let rfq = RfqRef::from(RfqId::new(2));
        assert_eq!(rfq.unsigned(), None);
        let offer = Offer::new(Micros::new(5), TimestampNs::MAX);
        let (client_id, signature) = (ClientId::new(1), rfq.unsigned());
        let place = PlaceQuote { client_id, rfq: rfq.rfq, offer, signature };
        let mut command = Command::PlaceQuote(place.clone());
        signer(1).sign(&mut command);
        assert_eq!(command, Command::PlaceQuote(place));
    }
}
