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
const BAND: PriceBand = PriceBand { low: Micros::new(1_000_000), high: PRICE };
const NOW: TimestampNs = TimestampNs::from_nanos(1_767_225_600_000_000_000);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn terms() -> RfqTerms {
    RfqTerms {
        quantity: 2,
        window: DurationNs::from_millis(500),
        split: true,
        cutoff: DurationNs::from_millis(100),
        scoring: Scoring {
            latency_per_ms: Micros::new(1_000),
            reputation_per_bps: Micros::new(200),
        },
        eligibility: Eligibility { reputation_min_bps: 4_000, attributes: attributes() },
        bond_bps: 500,
        delivery_within: DurationNs::from_secs(60),
        acceptance_within: DurationNs::from_secs(60),
        spec: DIGEST,
        inputs: Some(DIGEST),
        terms: DIGEST,
        ..RfqTerms::plain(CAPABILITY, Currency::USD, PRICE)
    }
}

fn offer() -> Offer {
    Offer {
        price: PRICE,
        quantity: 2,
        all_or_none: true,
        latency_ms: 150,
        valid_until: NOW,
        standby_until: Some(NOW),
    }
}

fn standing_quote(revision: u64) -> SetStandingQuote {
    SetStandingQuote {
        capability: CAPABILITY,
        revision,
        price: PRICE,
        latency_ms: 150,
        capacity: 5,
        valid_until: NOW,
        terms: DIGEST,
    }
}

fn dutch() -> DutchTerms {
    let point = |secs, price| CurvePoint { after: DurationNs::from_secs(secs), price };
    let until = DurationNs::from_secs(1);
    DutchTerms {
        curve: vec![point(0, Micros::new(10_000_000)), point(5, PRICE)],
        exclusive: Some(Exclusivity { provider: AGENT, until, beatable_by_bps: 50 }),
    }
}

fn signature() -> Signature {
    let (scheme, bytes) = (SignatureScheme::Ed25519, SignatureBytes::new([0x15; 64]));
    Signature { scheme, bytes }
}

fn attributes() -> Attributes {
    [Attribute::DataInEu, Attribute::NoTraining].into_iter().collect()
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
    let quote_signature =
        Some(Box::new(QuoteSignature { rfq_digest: DIGEST, signature: signature() }));
    vec![
        Command::OpenRfq(Box::new(OpenRfq {
            client_id,
            rfq: terms(),
            invited: vec![AGENT, AgentId::new(0x13)],
            dutch: Some(dutch()),
            bundles: Some(Box::new(bundle_terms())),
            signature: Some(Box::new(RfqSignature {
                salt: DIGEST,
                commitment: DIGEST,
                digest: DIGEST,
                signature: signature(),
            })),
        })),
        Command::CancelRfq(CancelRfq { client_id, target: RfqTarget::Id(RFQ) }),
        Command::PlaceQuote(PlaceQuote {
            client_id,
            rfq: RFQ,
            offer: offer(),
            signature: quote_signature.clone(),
        }),
        Command::AmendQuote(AmendQuote {
            client_id,
            target: QuoteTarget::Id(QUOTE),
            offer: Offer::new(PRICE, NOW),
            signature: None,
        }),
        Command::CancelQuote(CancelQuote { client_id, target: QuoteTarget::ClientId(CLIENT_ID) }),
        Command::SetStandingQuote(standing_quote(3)),
        Command::CancelStandingQuote(CancelStandingQuote { capability: CAPABILITY, revision: 4 }),
        Command::StartWork(StartWork { client_id, contract: CONTRACT }),
        Command::Deliver(Deliver { client_id, contract: CONTRACT, deliverable: DIGEST }),
        Command::AcceptDelivery(AcceptDelivery { client_id, contract: CONTRACT }),
        Command::DeclineRfq(DeclineRfq { client_id, rfq: RFQ, reason: NoQuoteReason::NoCapacity }),
        Command::TakeRfq(TakeRfq {
            client_id,
            rfq: RFQ,
            quantity: 2,
            limit: PRICE,
            signature: quote_signature.clone(),
        }),
        Command::PickQuote(PickQuote { client_id, rfq: RFQ, quote: QUOTE }),
        Command::MassQuote(MassQuote { lines: vec![standing_quote(3), standing_quote(4)] }),
        Command::MassCancel(MassCancel { client_id, what: QuoteKind::Standing }),
        Command::SignEnvelope(Box::new(SignEnvelope {
            client_id,
            envelope: OfferEnvelope {
                capability: CAPABILITY,
                terms: DIGEST,
                price_min: PRICE,
                capacity_max: 5,
                valid_until,
                session: SESSION,
            },
            signature: signature(),
        })),
        Command::EnrolAccount(EnrolAccount { client_id, transaction_max: PRICE }),
        Command::EnrolAgent(EnrolAgent {
            client_id,
            account: ACCOUNT,
            key: KEY,
            roles: Roles::TRADER,
            attributes: attributes(),
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
        Command::Halt(Halt { client_id, capability: Some(CAPABILITY) }),
        Command::Reopen(Reopen { client_id, capability: None }),
        Command::SetPriceBand(SetPriceBand { client_id, capability: CAPABILITY, band: Some(BAND) }),
        Command::QuoteBundles(Box::new(QuoteBundles {
            client_id,
            rfq: RFQ,
            group: BundleGroup::New(NewGroup {
                rule: GroupRule::Or(10),
                valid_until,
                standby_until: Some(NOW),
            }),
            bundles: vec![Bundle { items: items(), price: PRICE, latency_ms: 150 }],
            signature: quote_signature,
        })),
        Command::ProposeAllocation(Box::new(ProposeAllocation {
            rfq: RFQ,
            winners: vec![0, 2],
            surplus: PRICE,
            bound: Some(PRICE),
            prices: Some(DualPrices { items: vec![PRICE], groups: vec![Micros::ZERO] }),
            payments: vec![ProposedPayment { low: PRICE, high: PRICE }; 2],
        })),
    ]
}

fn server_messages() -> Vec<ServerMessage> {
    let (topic, next) = (Topic::Exchange, StreamPosition { stream_seq: 8 });
    vec![
        ServerMessage::Challenge(Challenge {
            nonce: Nonce::new([0x16; 32]),
            exchange: name("gavel"),
            template_version: TEMPLATE_VERSION,
            rules_version: 2,
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
            reputation_bps: 5_000,
            suspended_until: Some(NOW),
            accounts: vec![AccountStatement {
                currency: Currency::USD,
                available: PRICE,
                held: Micros::ZERO,
                escrow: PRICE,
                bonds: Micros::ZERO,
            }],
            rfqs: vec![RfqEntry { rfq: RFQ, closes_at: NOW, terms: terms() }],
            quotes: vec![QuoteEntry { quote: QUOTE, rfq: RFQ, offer: offer() }],
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
        ServerMessage::MassQuoteAnswer(MassQuoteAnswer {
            ts_event: NOW,
            first_line: 0,
            results: vec![None, Some(RejectReason::StaleRevision)],
            last: true,
        }),
        ServerMessage::Book(Book {
            capability: CAPABILITY,
            next: StreamPosition { stream_seq: 8 },
            band: Some(BAND),
            halted: false,
            standing: vec![standing_set()],
            standing_total: 1,
            rfqs: vec![announced()],
            rfqs_total: 1,
        }),
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
            breakdown: Breakdown {
                price: PRICE,
                latency_ms: 150,
                latency: Micros::new(150_000),
                reputation_bps: 5_000,
                reputation: Micros::new(1_000_000),
            },
            price: PRICE,
            quantity: 2,
            total: Micros::new(61_000_000),
            currency: Currency::USD,
            bond: Micros::new(3_050_000),
            start_due: None,
            delivery_due: NOW,
            takes_over: None,
            bundle: Some(BundleAward {
                items: items(),
                gap: Some(Micros::ZERO),
                payment: PaymentRule::Core,
                payment_high: PRICE,
            }),
        }),
        PrivateEvent::RfqEnded(RfqEnded {
            rfq: RFQ,
            result: RfqResult::Awarded,
            quotes: 3,
            awarded: 2,
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
            penalty: Micros::ZERO,
            fee: Micros::new(610_000),
        }),
        PrivateEvent::ContractExpired(ContractExpired {
            contract,
            parties,
            refunded: PRICE,
            compensation: Micros::new(3_050_000),
        }),
        PrivateEvent::Invited(Box::new(announced())),
        PrivateEvent::InvitedRfqEnded(closed()),
        PrivateEvent::Declined(Declined {
            rfq: RFQ,
            provider: AGENT,
            reason: NoQuoteReason::Policy,
        }),
        PrivateEvent::BookOpened(BookOpened { rfq: RFQ, pick_until: NOW, shown: 1, quotes: 1 }),
        PrivateEvent::QuoteShown(QuoteShown {
            rfq: RFQ,
            quote: QuoteRef::Sealed(QUOTE),
            provider: AGENT,
            price: PRICE,
            latency_ms: 150,
            reputation_bps: 5_000,
            score: Micros::new(31_650_000),
            rank: 1,
            barred: None,
        }),
        PrivateEvent::Standby(Standby { rfq: RFQ, quote: QuoteRef::Sealed(QUOTE), rank: 2 }),
        PrivateEvent::ContractTakenOver(ContractTakenOver {
            contract,
            parties,
            successor: AGENT,
            compensation: Micros::new(3_050_000),
        }),
        PrivateEvent::ReputationChanged(ReputationChanged {
            agent: AGENT,
            from_bps: 5_000,
            to_bps: 3_750,
            cause: ReputationCause::Failed,
        }),
        PrivateEvent::ProviderSuspended(ProviderSuspended {
            provider: AGENT,
            until: NOW,
            fades: 1,
        }),
        PrivateEvent::InvitedRfqTaken(taken()),
        PrivateEvent::RfqCleared(RfqCleared {
            rfq: RFQ,
            buyer: AGENT,
            solver: Some(AgentId::EXCHANGE),
            surplus: PRICE,
            bound: Some(PRICE),
            payment: PaymentRule::Core,
            winners: 2,
            items: items(),
        }),
        PrivateEvent::BundleLost(BundleLost {
            rfq: RFQ,
            provider: AGENT,
            bundle: BundleRef { quote: QUOTE, number: 1 },
            reason: LossReason::BundleLost,
            lost_on: items(),
            price_to_win: Some(PRICE),
        }),
    ]
}

fn items() -> Items {
    [0, 64, 255].into_iter().collect()
}

fn bundle_terms() -> BundleTerms {
    BundleTerms {
        items: vec![Item { quantity: 2, load: 3, reserve: PRICE }],
        free_disposal: false,
        all_or_none: true,
        payment: PaymentRule::Core,
        clearing_within: DurationNs::from_millis(1),
        external_solvers: true,
    }
}

fn announced() -> RfqAnnounced {
    RfqAnnounced {
        rfq: RFQ,
        buyer: AGENT,
        closes_at: NOW,
        terms: PublicTerms::of(&terms()),
        dutch: Some(dutch()),
        bundles: Some(PublicBundleTerms::of(&bundle_terms())),
        signed: Some(SignedRfq { commitment: DIGEST, digest: DIGEST }),
    }
}

fn taken() -> RfqTakenPublicly {
    RfqTakenPublicly { rfq: RFQ, price: PRICE, quantity: 1, remaining: 1 }
}

fn closed() -> RfqClosedPublicly {
    let (result, awarded) = (RfqResult::Passed, 0);
    RfqClosedPublicly { rfq: RFQ, result, awarded, clearing_price: None }
}

fn standing_set() -> StandingQuoteSet {
    StandingQuoteSet {
        capability: CAPABILITY,
        provider: AGENT,
        revision: 3,
        price: PRICE,
        latency_ms: 150,
        capacity: 5,
        valid_until: NOW,
    }
}

fn public_events() -> Vec<PublicEvent> {
    vec![
        PublicEvent::RfqAnnounced(Box::new(announced())),
        PublicEvent::RfqClosedPublicly(closed()),
        PublicEvent::StandingQuoteSet(standing_set()),
        PublicEvent::StandingQuoteEnded(StandingQuoteCanceled {
            capability: CAPABILITY,
            provider: AGENT,
            revision: 3,
            cause: CancelCause::Expired,
        }),
        PublicEvent::CapabilityListed(listed()),
        PublicEvent::Halted(Halted { capability: Some(CAPABILITY) }),
        PublicEvent::Reopened(Reopened { capability: None }),
        PublicEvent::Resumed(Resumed { gap: DurationNs::from_secs(5), sessions_lost: 2 }),
        PublicEvent::RfqTakenPublicly(taken()),
        PublicEvent::PriceBandSet(PriceBandSet { capability: CAPABILITY, band: Some(BAND) }),
        PublicEvent::ProblemPosed(Box::new(ProblemPosed {
            rfq: RFQ,
            ends_at: NOW,
            items: vec![PosedItem { load: 3, reserve: PRICE }],
            free_disposal: false,
            all_or_none: true,
            payment: PaymentRule::Core,
            external_solvers: true,
            bundles: 1,
            groups: 1,
        })),
        PublicEvent::ProblemBundles(Box::new(ProblemBundles {
            rfq: RFQ,
            first: 0,
            bundles: vec![PosedBundle {
                items: items(),
                score: PRICE,
                price: PRICE,
                group: 0,
                rule: GroupRule::Or(10),
                account: 0,
            }],
        })),
        PublicEvent::Upgraded(Upgraded { rules_version: 4 }),
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
    let own = 48..=53;
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
