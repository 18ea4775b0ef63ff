//! Golden bytes: one sample of each template, in both codecs, as it goes over the wire.
//!
//! `protocol/tests/templates.golden` is what an implementation in another language can check itself
//! against. From 1.0 on a line of it never changes.
#![expect(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use gavel_protocol::*;

/// One sample of each template that travels.
struct Samples {
    client: Vec<ClientMessage>,
    commands: Vec<Command>,
    server: Vec<ServerMessage>,
    private: Vec<PrivateEvent>,
    public: Vec<PublicEvent>,
}

const AGENT: AgentId = AgentId::new(0x0a);
const ACCOUNT: AccountId = AccountId::new(0x0b);
const CAPABILITY: CapabilityId = CapabilityId::new(0x0c);
const RFQ: RfqId = RfqId::new(0x0d);
const QUOTE: QuoteId = QuoteId::new(0x0e);
const CONTRACT: ContractId = ContractId::new(0x0f);
const SESSION: SessionId = SessionId::new(0x10);
const DIGEST: Digest = Digest::new([0x11; 32]);
const KEY: PublicKey = PublicKey::new([0x12; 32]);
const PRICE: Micros = Micros::new(30_500_000);
const PARTIES: Parties = Parties { buyer: AGENT, provider: AgentId::new(0x13) };
const CLIENT_ID: ClientId = ClientId::new(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
const NOW: TimestampNs = TimestampNs::from_nanos(1_767_225_600_000_000_000);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn terms() -> RfqTerms {
    RfqTerms {
        capability: CAPABILITY,
        currency: Currency::USD,
        quantity: 2,
        reserve: PRICE,
        format: Format::FirstPrice,
        window: DurationNs::from_millis(500),
        admit_standing: false,
        disclosure: Disclosure::ClearingPrice,
        delivery_within: DurationNs::from_secs(60),
        acceptance_within: DurationNs::from_secs(60),
        spec: DIGEST,
        inputs: Some(DIGEST),
        terms: DIGEST,
    }
}

fn listed() -> CapabilityListed {
    let (capability, currency, terms) = (CAPABILITY, Currency::USD, DIGEST);
    CapabilityListed { capability, name: name("ocr"), currency, terms }
}

fn client_messages() -> Vec<ClientMessage> {
    vec![
        ClientMessage::LogonRequest(LogonRequest {
            key: KEY,
            signature: SignatureBytes::new([0x14; 64]),
            resume: Some(SESSION),
            cancel_on_disconnect: true,
            grace: DurationNs::from_secs(30),
            sequenced_answers: false,
        }),
        ClientMessage::Heartbeat(Heartbeat {}),
        ClientMessage::Logout(Logout {}),
        ClientMessage::Subscribe(Subscribe {
            topic: Topic::Capability(CAPABILITY),
            from: Some(StreamPosition { stream_seq: 7 }),
        }),
        ClientMessage::Unsubscribe(Unsubscribe { topic: Topic::Private }),
        ClientMessage::Query(Query { kind: QueryKind::Capabilities(None) }),
        ClientMessage::BlobPut(BlobPut { digest: DIGEST, length: 1_024 }),
        ClientMessage::BlobGet(BlobGet { source: BlobSource::Deliverable(CONTRACT) }),
    ]
}

fn commands() -> Vec<Command> {
    let client_id = CLIENT_ID;
    let valid_until = NOW;
    let signature = Some(Box::new(Signature {
        scheme: SignatureScheme::Ed25519,
        bytes: SignatureBytes::new([0x15; 64]),
    }));
    vec![
        Command::OpenRfq(Box::new(OpenRfq { client_id, rfq: terms(), signature: None })),
        Command::CancelRfq(CancelRfq { client_id, target: RfqTarget::Id(RFQ) }),
        Command::PlaceQuote(PlaceQuote {
            client_id,
            rfq: RFQ,
            price: PRICE,
            valid_until,
            signature,
        }),
        Command::AmendQuote(AmendQuote {
            client_id,
            target: QuoteTarget::Id(QUOTE),
            price: PRICE,
            valid_until,
            signature: None,
        }),
        Command::CancelQuote(CancelQuote { client_id, target: QuoteTarget::ClientId(CLIENT_ID) }),
        Command::SetStandingQuote(SetStandingQuote {
            capability: CAPABILITY,
            revision: 3,
            price: PRICE,
            capacity: 5,
            valid_until,
            terms: DIGEST,
            signature: None,
        }),
        Command::CancelStandingQuote(CancelStandingQuote { capability: CAPABILITY, revision: 4 }),
        Command::StartWork(StartWork { client_id, contract: CONTRACT }),
        Command::Deliver(Deliver { client_id, contract: CONTRACT, deliverable: DIGEST }),
        Command::AcceptDelivery(AcceptDelivery { client_id, contract: CONTRACT }),
        Command::EnrolAccount(EnrolAccount { client_id, transaction_max: PRICE }),
        Command::EnrolAgent(EnrolAgent {
            client_id,
            account: ACCOUNT,
            key: KEY,
            roles: Roles::TRADER,
        }),
        Command::ListCapability(ListCapability {
            client_id,
            name: name("ocr"),
            currency: Currency::USD,
            terms: DIGEST,
        }),
        Command::Deposit(Deposit {
            client_id,
            account: ACCOUNT,
            amount: PRICE,
            currency: Currency::USD,
        }),
        Command::Halt(Halt { client_id }),
        Command::Reopen(Reopen { client_id }),
    ]
}

fn server_messages() -> Vec<ServerMessage> {
    let (topic, next) = (Topic::Exchange, StreamPosition { stream_seq: 8 });
    vec![
        ServerMessage::Challenge(Challenge {
            nonce: Nonce::new([0x16; 32]),
            exchange: name("gavel"),
            template_version: TEMPLATE_VERSION,
            rules_version: 1,
            ts_event: NOW,
        }),
        ServerMessage::LogonAnswer(LogonAnswer {
            session: SESSION,
            resumed: false,
            agent: AGENT,
            account: ACCOUNT,
            roles: Roles::TRADER,
            session_seq_next: 1,
            ts_event: NOW,
            heartbeat_timeout: DurationNs::from_secs(15),
        }),
        ServerMessage::Heartbeat(Heartbeat {}),
        ServerMessage::Sequenced(SequencedAnswer { ts_event: NOW }),
        ServerMessage::Accepted(Accepted {
            ts_event: NOW,
            repeated: false,
            outcome: Outcome::Rfq(RfqHandle { rfq: RFQ, closes_at: NOW }),
        }),
        ServerMessage::Rejected(RejectedAnswer::of(RejectReason::InsufficientFunds)),
        ServerMessage::Subscribed(Subscribed { topic, next: next.clone() }),
        ServerMessage::ResyncRequired(ResyncRequired {
            topic,
            oldest: StreamPosition { stream_seq: 5 },
            next: next.clone(),
        }),
        ServerMessage::Statement(Statement {
            ts_event: NOW,
            accounts: vec![AccountStatement {
                currency: Currency::USD,
                available: PRICE,
                held: Micros::ZERO,
                escrow: PRICE,
            }],
            rfqs: vec![RfqEntry { rfq: RFQ, closes_at: NOW, terms: terms() }],
            quotes: vec![QuoteEntry { quote: QUOTE, rfq: RFQ, price: PRICE, valid_until: NOW }],
            standing: Vec::new(),
            contracts: vec![ContractEntry {
                contract: CONTRACT,
                parties: PARTIES,
                state: ContractState::Started,
                escrow: PRICE,
                currency: Currency::USD,
                due: NOW,
            }],
            truncated: false,
        }),
        ServerMessage::CapabilityList(CapabilityList { capabilities: vec![listed()], more: false }),
        ServerMessage::StreamOpened(StreamOpened { topic, next }),
        ServerMessage::BlobStored(BlobAnswer { digest: DIGEST }),
        ServerMessage::BlobReady(BlobReady { digest: DIGEST, length: 1_024 }),
    ]
}

fn private_events() -> Vec<PrivateEvent> {
    let (contract, parties) = (CONTRACT, PARTIES);
    vec![
        PrivateEvent::Awarded(Awarded {
            contract,
            rfq: RFQ,
            parties,
            quote: QuoteRef::Sealed(QUOTE),
            price: PRICE,
            quantity: 2,
            total: Micros::new(61_000_000),
            currency: Currency::USD,
            delivery_due: NOW,
        }),
        PrivateEvent::RfqEnded(RfqEnded {
            rfq: RFQ,
            result: RfqResult::Awarded,
            quotes: 3,
            clearing_price: Some(PRICE),
        }),
        PrivateEvent::QuoteLost(QuoteLost {
            rfq: RFQ,
            quote: QuoteRef::Standing,
            reason: LossReason::Cover,
            rank: Some(2),
            winning_price: None,
        }),
        PrivateEvent::QuoteCanceled(QuoteCanceled {
            quote: QUOTE,
            rfq: RFQ,
            provider: AGENT,
            cause: CancelCause::SessionLost,
        }),
        PrivateEvent::StandingQuoteCanceled(StandingQuoteCanceled {
            capability: CAPABILITY,
            provider: AGENT,
            revision: 3,
            cause: CancelCause::UsedUp,
        }),
        PrivateEvent::WorkStarted(WorkStarted { contract, parties }),
        PrivateEvent::Delivered(Delivered {
            contract,
            parties,
            deliverable: DIGEST,
            acceptance_due: NOW,
        }),
        PrivateEvent::ContractVerified(ContractVerified {
            contract,
            parties,
            acceptance: Acceptance::Silence,
        }),
        PrivateEvent::ContractSettled(ContractSettled {
            contract,
            parties,
            released: Micros::new(60_390_000),
            fee: Micros::new(610_000),
        }),
        PrivateEvent::ContractExpired(ContractExpired { contract, parties, refunded: PRICE }),
    ]
}

fn public_events() -> Vec<PublicEvent> {
    let opened =
        RfqOpened { rfq: RFQ, buyer: AGENT, account: ACCOUNT, closes_at: NOW, terms: terms() };
    vec![
        PublicEvent::RfqAnnounced(RfqAnnounced::of(&opened)),
        PublicEvent::RfqClosedPublicly(RfqClosedPublicly {
            rfq: RFQ,
            result: RfqResult::Passed,
            clearing_price: None,
        }),
        PublicEvent::StandingQuoteSet(StandingQuoteSet {
            capability: CAPABILITY,
            provider: AGENT,
            revision: 3,
            price: PRICE,
            capacity: 5,
            valid_until: NOW,
        }),
        PublicEvent::StandingQuoteEnded(StandingQuoteCanceled {
            capability: CAPABILITY,
            provider: AGENT,
            revision: 3,
            cause: CancelCause::Expired,
        }),
        PublicEvent::CapabilityListed(listed()),
        PublicEvent::Halted(Empty {}),
        PublicEvent::Reopened(Empty {}),
        PublicEvent::Resumed(Resumed { gap: DurationNs::from_secs(5), sessions_lost: 2 }),
    ]
}

fn samples() -> Samples {
    Samples {
        client: client_messages(),
        commands: commands(),
        server: server_messages(),
        private: private_events(),
        public: public_events(),
    }
}

/// Writes a message's frame in both codecs, and checks that both can be read back.
macro_rules! golden {
    ($out:expr, $messages:expr, $enum:ident) => {
        for message in $messages {
            let id = message.template_id();
            writeln!($out, "{id} {}", message.template_name()).unwrap();
            for codec in Codec::ALL {
                let mut bytes = Vec::new();
                message.encode(codec, 0x0102_0304, &mut bytes);
                let mut frames = Frames::new(&bytes);
                let (header, payload) = frames.next_frame().unwrap().unwrap();
                let read = $enum::decode(codec, header.template, payload).unwrap();
                assert_eq!(read.as_ref(), Ok(message), "{codec:?}");
                match codec {
                    Codec::Rkyv => writeln!($out, "  rkyv {}", hex(&bytes)).unwrap(),
                    Codec::Json => {
                        let json = std::str::from_utf8(payload).unwrap();
                        writeln!($out, "  json {json}").unwrap();
                    }
                }
            }
        }
    };
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

#[test]
fn every_template_has_its_golden_bytes() {
    let samples = samples();
    let mut out = String::new();
    golden!(out, &samples.client, ClientMessage);
    golden!(out, &samples.commands, Command);
    golden!(out, &samples.server, ServerMessage);
    golden!(out, &samples.private, PrivateEvent);
    golden!(out, &samples.public, PublicEvent);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/templates.golden");
    if std::env::var_os("GAVEL_GOLDEN").is_some_and(|value| value == "write") {
        fs::write(&path, &out).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    for (line, (found, expected)) in (1..).zip(out.lines().zip(expected.lines())) {
        assert_eq!(found, expected, "line {line}; if right: cargo xtask golden");
    }
    assert_eq!(out.lines().count(), expected.lines().count());
}

#[test]
fn every_template_that_travels_has_a_sample() {
    let samples = samples();
    let sampled = [
        samples.client.iter().map(ClientMessage::template_id).collect::<Vec<_>>(),
        samples.commands.iter().map(Command::template_id).collect(),
        samples.server.iter().map(ServerMessage::template_id).collect(),
        samples.private.iter().map(PrivateEvent::template_id).collect(),
        samples.public.iter().map(PublicEvent::template_id).collect(),
    ]
    .concat();
    let travelling = [
        ClientMessage::TEMPLATES,
        Command::TEMPLATES,
        ServerMessage::TEMPLATES,
        PrivateEvent::TEMPLATES,
        PublicEvent::TEMPLATES,
    ]
    .concat();
    // The exchange's own commands are in the journal only.
    let own = 48..=52;
    let expected: Vec<u16> =
        travelling.iter().map(|t| t.id).filter(|id| !own.contains(id)).collect();
    assert_eq!(sampled, expected);
}

#[test]
fn damaged_payloads_are_refused_or_mean_something_else() {
    for command in commands() {
        for codec in Codec::ALL {
            let mut bytes = Vec::new();
            command.encode(codec, 1, &mut bytes);
            let payload = &bytes[FRAME_HEADER_BYTES..];
            for end in 0..payload.len() {
                let cut = Command::decode(codec, command.template_id(), &payload[..end]).unwrap();
                assert_ne!(cut, Ok(command.clone()), "{codec:?} cut at {end}");
            }
            let mut unnoticed = 0;
            for bit in 0..payload.len() * 8 {
                let mut flipped = payload.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let read = Command::decode(codec, command.template_id(), &flipped).unwrap();
                unnoticed += usize::from(read.as_ref() == Ok(&command));
            }
            // Archives have unused bytes behind what is absent; hexadecimal digits have two cases.
            assert!(unnoticed < payload.len() * 4, "{codec:?}: {unnoticed} flips mean the same");
        }
    }
}
