//! Signatures, verified on threads of their own before a command takes a place in the order: one check
//! costs more than a hundred commands in the core.
//!
//! A connection's commands all go to the same thread, so that they stay in their order. Each signature
//! is checked strictly and by itself. A batch of them would cost half as much, but what passes in a
//! batch need not pass alone (a signer can see to that), and these signatures are evidence.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use ed25519_dalek::{Signature, VerifyingKey};
use gavel_protocol::{
    Command, Digest, Name, OpenRfq, PublicKey, PublicTerms, RejectReason, RejectedAnswer,
    RfqSignature, ServerMessage, commitment_bytes, rfq_bytes,
};
use gavel_sequencer::{Inbox, Submission};

use crate::connection::Connection;
use crate::fan_out::FanOut;
use crate::limits::{SIGNATURES_WAITING_MAX, VERIFIER_THREADS_MAX};

/// The threads that verify.
#[derive(Debug)]
pub(crate) struct Verifier {
    workers: Vec<SyncSender<Signed>>,
}

/// A signed command on its way into the order.
pub(crate) struct Signed {
    pub connection: Arc<Connection>,
    /// The key that the connection has logged on with.
    pub key: VerifyingKey,
    pub submission: Submission,
}

impl Verifier {
    /// Starts a thread per core. They end with this value.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub fn start(inbox: &Inbox, fan_out: &Arc<FanOut>) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let workers = (0..cores.min(VERIFIER_THREADS_MAX)).map(|number| {
            let (sender, receiver) = sync_channel(SIGNATURES_WAITING_MAX);
            let worker = Worker { inbox: inbox.clone(), fan_out: Arc::clone(fan_out) };
            let name = format!("verify-{number}");
            thread::Builder::new().name(name).spawn(move || worker.run(&receiver))?;
            Ok(sender)
        });
        Ok(Self { workers: workers.collect::<io::Result<_>>()? })
    }

    /// Takes a signed command. It goes on into the inbox, or is rejected on its connection.
    ///
    /// # Errors
    ///
    /// [`RejectReason::Busy`] if too many wait.
    pub fn submit(&self, signed: Signed) -> Result<(), RejectReason> {
        let worker = signed.connection.id % self.workers.len() as u64;
        let worker = &self.workers[usize::try_from(worker).unwrap_or(0)];
        worker.try_send(signed).map_err(|_| RejectReason::Busy)
    }
}

struct Worker {
    inbox: Inbox,
    fan_out: Arc<FanOut>,
}

impl Worker {
    fn run(&self, receiver: &Receiver<Signed>) {
        while let Ok(first) = receiver.recv() {
            self.pass_on(first);
            while let Ok(next) = receiver.try_recv() {
                self.pass_on(next);
            }
            self.inbox.wake();
        }
    }

    fn pass_on(&self, signed: Signed) {
        let Signed { connection, key, submission } = signed;
        let session_seq = submission.origin.map_or(0, |origin| origin.session_seq);
        let exchange = self.fan_out.exchange().ok_or(RejectReason::JournalUnavailable);
        let verified = exchange.and_then(|name| verify(&submission.request.command, &name, &key));
        if let Err(reason) = verified.and_then(|()| self.inbox.submit(submission)) {
            let answer = ServerMessage::Rejected(RejectedAnswer::of(reason));
            connection.send_message(session_seq, &answer);
        }
    }
}

/// Checks that the signature is the key's, over exactly this command on this exchange.
fn verify(command: &Command, exchange: &Name, key: &VerifyingKey) -> Result<(), RejectReason> {
    let public = PublicKey::new(key.to_bytes());
    let Some((signature, message)) = command.signed(exchange, &public) else { return Ok(()) };
    if let Command::OpenRfq(open) = command
        && let Some(signed) = &open.signature
        && !is_about(open, signed)
    {
        return Err(RejectReason::InvalidSignature);
    }
    let signature = Signature::from_bytes(signature.bytes.as_bytes());
    key.verify_strict(&message, &signature).map_err(|_| RejectReason::InvalidSignature)
}

/// Returns whether commitment and digest are those of the RFQ.
fn is_about(open: &OpenRfq, signed: &RfqSignature) -> bool {
    let hash = |bytes: &[u8]| Digest::new(*blake3::hash(bytes).as_bytes());
    let commitment = hash(&commitment_bytes(&signed.salt, open));
    let public = rfq_bytes(&PublicTerms::of(&open.rfq), open.dutch.as_ref(), &commitment);
    signed.commitment == commitment && signed.digest == hash(&public)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};
    use gavel_protocol::{
        AmendQuote, CapabilityId, ClientId, Currency, Micros, Offer, OfferEnvelope, PlaceQuote,
        QuoteId, QuoteSignature, QuoteTarget, RfqId, RfqTerms, SessionId, SignEnvelope,
        SignatureBytes, SignatureScheme, TakeRfq, TimestampNs,
    };

    use super::*;

    const DIGEST: Digest = Digest::new([7; 32]);

    fn exchange() -> Name {
        "testing".parse().unwrap()
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn unsigned() -> gavel_protocol::Signature {
        let bytes = SignatureBytes::new([0; 64]);
        gavel_protocol::Signature { scheme: SignatureScheme::Ed25519, bytes }
    }

    fn of_quote() -> Option<Box<QuoteSignature>> {
        Some(Box::new(QuoteSignature { rfq_digest: DIGEST, signature: unsigned() }))
    }

    fn rfq() -> OpenRfq {
        let terms = RfqTerms::plain(CapabilityId::new(1), Currency::USD, Micros::new(30_000_000));
        let mut open = OpenRfq::plain(ClientId::new(1), terms);
        let hash = |bytes: &[u8]| Digest::new(*blake3::hash(bytes).as_bytes());
        let commitment = hash(&commitment_bytes(&DIGEST, &open));
        let digest = hash(&rfq_bytes(&PublicTerms::of(&terms), None, &commitment));
        let signature = unsigned();
        let signed = RfqSignature { salt: DIGEST, commitment, digest, signature };
        open.signature = Some(Box::new(signed));
        open
    }

    /// One command of each kind that is signed, with a signature that is not one yet.
    fn commands() -> Vec<Command> {
        let (client_id, price) = (ClientId::new(1), Micros::new(5));
        let offer = Offer::new(price, TimestampNs::MAX);
        let target = QuoteTarget::Id(QuoteId::new(3));
        let envelope = OfferEnvelope {
            capability: CapabilityId::new(1),
            terms: DIGEST,
            price_min: price,
            capacity_max: 1,
            valid_until: TimestampNs::MAX,
            session: SessionId::new(4),
        };
        let signature = of_quote();
        let rfq_id = RfqId::new(2);
        let place = PlaceQuote { client_id, rfq: rfq_id, offer, signature: signature.clone() };
        let take =
            TakeRfq { client_id, rfq: rfq_id, quantity: 1, limit: price, signature: of_quote() };
        vec![
            Command::OpenRfq(Box::new(rfq())),
            Command::PlaceQuote(place),
            Command::AmendQuote(AmendQuote { client_id, target, offer, signature }),
            Command::TakeRfq(take),
            Command::SignEnvelope(Box::new(SignEnvelope {
                client_id,
                envelope,
                signature: unsigned(),
            })),
        ]
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "these five are signed")]
    fn signature_of(command: &mut Command) -> &mut gavel_protocol::Signature {
        match command {
            Command::OpenRfq(c) => &mut c.signature.as_mut().unwrap().signature,
            Command::PlaceQuote(c) => &mut c.signature.as_mut().unwrap().signature,
            Command::AmendQuote(c) => &mut c.signature.as_mut().unwrap().signature,
            Command::TakeRfq(c) => &mut c.signature.as_mut().unwrap().signature,
            Command::SignEnvelope(c) => &mut c.signature,
            other => panic!("{other:?} is not signed"),
        }
    }

    fn sign(command: &mut Command, key: &SigningKey, exchange: &Name) {
        let public = PublicKey::new(key.verifying_key().to_bytes());
        let (_, message) = command.signed(exchange, &public).unwrap();
        signature_of(command).bytes = SignatureBytes::new(key.sign(&message).to_bytes());
    }

    /// Changes what the command says, and nothing of its signature.
    #[expect(clippy::wildcard_enum_match_arm, reason = "these five are signed")]
    fn alter(command: &mut Command) {
        match command {
            Command::OpenRfq(c) => c.rfq.reserve = Micros::new(1),
            Command::PlaceQuote(c) => c.offer.price = Micros::new(4),
            Command::AmendQuote(c) => c.offer.latency_ms = 1,
            Command::TakeRfq(c) => c.quantity = 2,
            Command::SignEnvelope(c) => c.envelope.session = SessionId::new(5),
            other => panic!("{other:?} is not signed"),
        }
    }

    #[test]
    fn a_signature_counts_for_its_key_its_command_and_its_exchange() {
        let (mine, other) = (key(1), key(2));
        let elsewhere: Name = "elsewhere".parse().unwrap();
        for mut command in commands() {
            let verified = |command: &Command, key: &SigningKey, exchange: &Name| {
                verify(command, exchange, &key.verifying_key())
            };
            let invalid = Err(RejectReason::InvalidSignature);
            assert!(command.is_signed());
            assert_eq!(verified(&command, &mine, &exchange()), invalid, "{command:?}");
            sign(&mut command, &mine, &exchange());
            assert_eq!(verified(&command, &mine, &exchange()), Ok(()), "{command:?}");
            assert_eq!(verified(&command, &other, &exchange()), invalid, "{command:?}");
            assert_eq!(verified(&command, &mine, &elsewhere), invalid, "{command:?}");
            alter(&mut command);
            assert_eq!(verified(&command, &mine, &exchange()), invalid, "{command:?}");
        }
    }

    #[test]
    fn what_the_buyer_keeps_to_itself_is_part_of_what_it_signs() {
        for change in [
            |open: &mut OpenRfq| open.rfq.reserve = Micros::new(1),
            |open: &mut OpenRfq| open.rfq.inputs = Some(DIGEST),
            |open: &mut OpenRfq| open.invited = vec![gavel_protocol::AgentId::new(9)],
            |open: &mut OpenRfq| open.rfq.quantity = 2,
        ] {
            let mut open = rfq();
            let signed = open.signature.clone().unwrap();
            assert!(is_about(&open, &signed));
            change(&mut open);
            assert!(!is_about(&open, &signed));
        }
    }
}
