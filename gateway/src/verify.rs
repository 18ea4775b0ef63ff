//! Signatures, verified on threads of their own before a command takes a place in the order: one check
//! costs more than a hundred commands in the core.
//!
//! An agent's new business stays in its order: while a signed command of it is here, whatever it sends
//! into the same lane comes after it, on the same thread; so does the end of its session. Each signature
//! is checked strictly and by itself. A batch of them would cost half as much, but what passes in a
//! batch need not pass alone (a signer can see to that), and these signatures are evidence.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use ed25519_dalek::{Signature, VerifyingKey};
use gavel_protocol::{
    AgentId, Command, Digest, Name, OpenRfq, PublicBundleTerms, PublicKey, PublicTerms,
    RejectReason, RejectedAnswer, RfqSignature, ServerMessage, commitment_bytes, rfq_bytes,
};
use gavel_sequencer::{Inbox, Lane, Submission};

use crate::connection::Connection;
use crate::fan_out::FanOut;
use crate::limits::{RETRY_INTERVAL, SIGNATURES_WAITING_MAX, VERIFIER_THREADS_MAX};

/// The threads that verify, and the way past them for what needs no verifying.
pub(crate) struct Verifier {
    /// Verifies on the caller's own thread, if there is no other.
    here: Worker,
    workers: Vec<SyncSender<Waiting>>,
}

/// A command on its way into the order.
#[derive(Debug)]
struct Waiting {
    /// Of whom or about whom it is.
    agent: AgentId,
    submission: Submission,
    /// The key that must have signed it, if it is signed.
    signed: Option<VerifyingKey>,
    /// Whom to tell if it is rejected; nobody for the exchange's own.
    connection: Option<Arc<Connection>>,
}

impl Verifier {
    /// Starts a thread per core. They end with this value.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub fn start(inbox: &Inbox, fan_out: &Arc<FanOut>) -> io::Result<Self> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let here = Worker::new(inbox, fan_out);
        let workers = (0..cores.min(VERIFIER_THREADS_MAX)).map(|number| {
            let (sender, receiver) = sync_channel(SIGNATURES_WAITING_MAX);
            let worker = here.clone();
            let name = format!("verify-{number}");
            thread::Builder::new().name(name).spawn(move || worker.run(&receiver))?;
            Ok(sender)
        });
        let workers = workers.collect::<io::Result<_>>()?;
        Ok(Self { here, workers })
    }

    /// Makes one that verifies on the caller's thread.
    pub fn without_threads(inbox: &Inbox, fan_out: &Arc<FanOut>) -> Self {
        Self { here: Worker::new(inbox, fan_out), workers: Vec::new() }
    }

    /// Returns the inbox that it submits to.
    pub fn inbox(&self) -> &Inbox {
        &self.here.inbox
    }

    /// Takes a command of a connection. If it is signed, it is checked against `signer`. What is wrong
    /// with it later is said on the connection.
    ///
    /// # Errors
    ///
    /// [`RejectReason::Busy`] if too many wait, here or in the inbox.
    pub fn submit(
        &self,
        submission: Submission,
        signer: Option<VerifyingKey>,
        connection: &Arc<Connection>,
    ) -> Result<(), RejectReason> {
        let agent = submission.request.agent;
        let signed = signer.filter(|_| submission.request.command.is_signed());
        if signed.is_none() && !self.must_wait(agent, &submission) {
            return self.inbox().submit(submission);
        }
        let connection = Some(Arc::clone(connection));
        self.wait(Waiting { agent, submission, signed, connection })
    }

    /// Takes a command of the exchange's own about an agent, which comes after what the agent has sent.
    ///
    /// # Errors
    ///
    /// [`RejectReason::Busy`] if too many wait, here or in the inbox.
    pub fn submit_after(&self, agent: AgentId, submission: Submission) -> Result<(), RejectReason> {
        if !self.must_wait(agent, &submission) {
            return self.inbox().submit(submission);
        }
        self.wait(Waiting { agent, submission, signed: None, connection: None })
    }

    fn must_wait(&self, agent: AgentId, submission: &Submission) -> bool {
        Lane::of(&submission.request.command) == Lane::Business
            && self.here.waiting[number_of(agent)].load(Ordering::Acquire) > 0
    }

    fn wait(&self, waiting: Waiting) -> Result<(), RejectReason> {
        let number = number_of(waiting.agent);
        self.here.waiting[number].fetch_add(1, Ordering::AcqRel);
        if self.workers.is_empty() {
            self.here.pass_on(waiting);
            return Ok(());
        }
        let sent = self.workers[number % self.workers.len()].try_send(waiting);
        sent.map_err(|_| {
            self.here.waiting[number].fetch_sub(1, Ordering::AcqRel);
            RejectReason::Busy
        })
    }
}

/// As many numbers as agents are told apart by while they wait.
const AGENT_NUMBERS: usize = 1_024;

/// Returns an agent's number: two may have the same, and then only wait for each other.
fn number_of(agent: AgentId) -> usize {
    // Ids are evenly spread already.
    usize::try_from(agent.raw() % AGENT_NUMBERS as u64).unwrap_or(0)
}

#[derive(Clone)]
struct Worker {
    inbox: Inbox,
    fan_out: Arc<FanOut>,
    /// How many commands wait, for the agents of each number.
    waiting: Arc<[AtomicU32]>,
}

impl Worker {
    fn new(inbox: &Inbox, fan_out: &Arc<FanOut>) -> Self {
        let waiting = (0..AGENT_NUMBERS).map(|_| AtomicU32::new(0)).collect();
        Self { inbox: inbox.clone(), fan_out: Arc::clone(fan_out), waiting }
    }

    fn run(&self, receiver: &Receiver<Waiting>) {
        while let Ok(first) = receiver.recv() {
            self.pass_on(first);
            while let Ok(next) = receiver.try_recv() {
                self.pass_on(next);
            }
            self.inbox.wake();
        }
    }

    fn pass_on(&self, waiting: Waiting) {
        let Waiting { agent, submission, signed, connection } = waiting;
        match connection {
            Some(connection) => {
                let session_seq = submission.origin.map_or(0, |origin| origin.session_seq);
                let checked = self.check(&submission, signed);
                if let Err(reason) = checked.and_then(|()| self.inbox.submit(submission)) {
                    let answer = ServerMessage::Rejected(RejectedAnswer::of(reason));
                    connection.send_message(session_seq, &answer);
                }
            }
            None => self.insist(&submission),
        }
        self.waiting[number_of(agent)].fetch_sub(1, Ordering::AcqRel);
    }

    fn check(
        &self,
        submission: &Submission,
        signed: Option<VerifyingKey>,
    ) -> Result<(), RejectReason> {
        let Some(key) = signed else { return Ok(()) };
        let exchange = self.fan_out.exchange().ok_or(RejectReason::JournalUnavailable)?;
        verify(&submission.request.command, &exchange, &key)
    }

    /// Submits until there is room: nobody else would.
    fn insist(&self, submission: &Submission) {
        while self.inbox.submit(submission.clone()).is_err() {
            self.inbox.wake();
            thread::sleep(RETRY_INTERVAL);
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
    let bundles = open.bundles.as_deref().map(PublicBundleTerms::of);
    let (terms, dutch) = (PublicTerms::of(&open.rfq), open.dutch.as_ref());
    let public = rfq_bytes(&terms, dutch, bundles.as_ref(), &commitment);
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
        let digest = hash(&rfq_bytes(&PublicTerms::of(&terms), None, None, &commitment));
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
