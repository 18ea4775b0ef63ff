//! The corpus: good inputs for every target, made of the project's own frames, scenarios and states.

use std::fmt::Write as _;
use std::fs;

use gavel_gateway::FanOut;
use gavel_protocol::{
    AcceptDelivery, AmendQuote, BlobGet, BlobSource, CancelQuote, CancelRfq, CancelStandingQuote,
    ClientId, ClientMessage, Codec, Command, Currency, CurvePoint, DeclineRfq, Deliver, Deposit,
    Digest, DualPrices, DurationNs, DutchTerms, EnrolAccount, FRAME_HEADER_BYTES, Format,
    GroupRule, Halt, Heartbeat, Item, ListCapability, Logout, MassCancel, MassQuote, Micros,
    NoQuoteReason, Offer, OpenRfq, PickQuote, PlaceQuote, PriceBand, ProposeAllocation, Query,
    QueryKind, QuoteBundles, QuoteId, QuoteKind, QuoteTarget, Reopen, RfqId, RfqTarget, RfqTerms,
    SetPriceBand, StartWork, StreamPosition, Subscribe, TEMPLATE_VERSION, TakeRfq, TimestampNs,
    Topic, Unsubscribe,
};
use gavel_sequencer::journal::encode_command;
use gavel_sequencer::{Replica, Saved, Snapshots};
use gavel_simulator::scenario;

use super::Verdict;
use super::session::{Manner, Sent, input};
use super::stage::{Cast, Stage, Who, logon};

/// An input of the corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seed {
    /// The name of its file.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

impl Seed {
    fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }

    /// Returns what comes of it.
    pub fn expected(&self) -> Verdict {
        if self.name.starts_with("refused-") { Verdict::Refused } else { Verdict::Read }
    }
}

/// One sample of each template, in both codecs.
const GOLDEN_FRAMES: &str = include_str!("../../../protocol/tests/templates.golden");

/// Returns a scenario's name and its text.
macro_rules! scenario_file {
    ($name:literal) => {
        ($name, include_str!(concat!("../../scenarios/", $name, ".scenario")))
    };
}

/// Scenarios of which the commands are inputs, as text and as records of the journal: each format, and
/// whatever takes more than one step.
const SCENARIOS: [(&str, &str); 8] = [
    scenario_file!("a-dutch-price-may-be-one-providers-first"),
    scenario_file!("a-lost-session-takes-its-quotes"),
    scenario_file!("a-runner-up-takes-over"),
    scenario_file!("an-outage-moves-deadlines-and-blames-nobody"),
    scenario_file!("bundles-win-that-gain-the-most-together"),
    scenario_file!("second-price-is-uniform-for-several-units"),
    scenario_file!("the-buyer-picks-from-its-book"),
    scenario_file!("window-zero-clears-against-standing-quotes"),
];

pub(super) fn frames() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let (mut id, mut name) = (0_u16, "");
    for line in GOLDEN_FRAMES.lines() {
        let (kind, text) = line.trim_start().split_once(' ').expect("two words");
        let bytes = match kind {
            "rkyv" => unhex(text),
            "json" => json_frame(id, text),
            number => {
                (id, name) = (number.parse().expect("a template's number"), text);
                continue;
            }
        };
        seeds.push(Seed::new(format!("{id:03}-{name}.{kind}"), bytes));
    }
    seeds
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap());
    digits.map(|two| u8::from_str_radix(two, 16).unwrap()).collect()
}

fn json_frame(id: u16, payload: &str) -> Vec<u8> {
    let length = u32::try_from(FRAME_HEADER_BYTES + payload.len()).unwrap();
    let mut frame = length.to_le_bytes().to_vec();
    frame.extend_from_slice(&id.to_le_bytes());
    frame.extend_from_slice(&TEMPLATE_VERSION.to_le_bytes());
    frame.extend_from_slice(&7_u64.to_le_bytes());
    frame.extend_from_slice(payload.as_bytes());
    frame
}

pub(super) fn session() -> Vec<Seed> {
    let stage = Stage::new();
    let (cast, now) = (stage.cast, stage.now);
    let mut seeds = Vec::new();
    for (codec, ending) in [(Codec::Rkyv, "rkyv"), (Codec::Json, "json")] {
        let mut seed = |name: &str, who, piece_bits, sent: &[Sent]| {
            let manner = Manner { codec, who, numbered: who.is_some(), piece_bits };
            seeds.push(Seed::new(format!("{name}.{ending}"), input(manner, sent)));
        };
        let early = Sent::Command(Command::PlaceQuote(place(cast, now, 1)));
        let logon = Sent::Bytes(logon(Who::Buyer, codec));
        let heartbeat = Sent::Message(ClientMessage::Heartbeat(Heartbeat {}));
        let before = [heartbeat, early.clone(), logon, ask(QueryKind::Statement)];
        seed("logs-on", None, 5, &before);
        seed("refused-nobody", None, 15, &[early, ask(QueryKind::Statement)]);
        seed("operator", Some(Who::Operator), 15, &operator(cast, now));
        seed("buyer", Some(Who::Buyer), 8, &buyer(cast, now));
        seed("provider", Some(Who::Provider), 6, &provider(cast, now));
        seed("solver", Some(Who::Solver), 15, &solver(cast));
    }
    seeds
}

fn ask(kind: QueryKind) -> Sent {
    Sent::Message(ClientMessage::Query(Query { kind }))
}

fn follow(topic: Topic) -> Sent {
    let from = Some(StreamPosition { stream_seq: 1 });
    Sent::Message(ClientMessage::Subscribe(Subscribe { topic, from }))
}

fn client_id(now: TimestampNs, number: u128) -> ClientId {
    ClientId::from_parts(now, number)
}

fn place(cast: Cast, now: TimestampNs, number: u128) -> PlaceQuote {
    let offer = Offer::new(Micros::new(20_000_000), TimestampNs::MAX);
    PlaceQuote { client_id: client_id(now, number), rfq: cast.rfq, offer, signature: None }
}

fn operator(cast: Cast, now: TimestampNs) -> Vec<Sent> {
    let id = |number| client_id(now, number);
    let capability = Some(cast.capability);
    let account = gavel_protocol::AccountId::EXCHANGE;
    let (amount, currency, terms) = (Micros::new(5_000_000), Currency::USD, crate::terms());
    let band = Some(PriceBand { low: Micros::new(1), high: Micros::new(60_000_000) });
    let commands = [
        Command::EnrolAccount(EnrolAccount { client_id: id(1), transaction_max: amount }),
        Command::Deposit(Deposit { client_id: id(2), account, amount, currency }),
        Command::Halt(Halt { client_id: id(3), capability }),
        Command::Reopen(Reopen { client_id: id(4), capability }),
        Command::SetPriceBand(SetPriceBand { client_id: id(5), capability: cast.capability, band }),
        Command::ListCapability(ListCapability {
            client_id: id(6),
            name: "ocr".parse().unwrap(),
            currency,
            terms,
        }),
    ];
    let mut sent = vec![follow(Topic::Exchange), ask(QueryKind::Capabilities(None))];
    sent.extend(commands.map(Sent::Command));
    sent.push(Sent::Message(ClientMessage::Logout(Logout {})));
    sent
}

fn buyer(cast: Cast, now: TimestampNs) -> Vec<Sent> {
    let id = |number| client_id(now, number);
    let plain = crate::rfq(cast.capability, 1_000);
    let open = |number, rfq| OpenRfq::plain(id(number), rfq);
    let dutch = OpenRfq {
        dutch: Some(curve()),
        ..open(2, RfqTerms { format: Format::Dutch, window: secs(60), ..plain })
    };
    let choice = RfqTerms { format: Format::BuyersChoice, pick_within: secs(5), ..plain };
    let split = RfqTerms { quantity: 5, split: true, admit_standing: true, ..plain };
    let (terms, bundles) = crate::rfq_for_items(cast.capability, 1_000, &items());
    let bundles = OpenRfq { bundles: Some(Box::new(bundles)), ..open(5, terms) };
    let directed = OpenRfq { invited: vec![cast.provider], ..open(6, plain) };
    let opened = [dutch, open(3, choice), open(4, split), bundles, directed];
    let mut sent = vec![follow(Topic::Private), follow(Topic::Capability(cast.capability))];
    sent.extend(opened.map(|open| Sent::Command(Command::OpenRfq(Box::new(open)))));
    let (target, by_client_id) = (RfqTarget::Id(cast.items), RfqTarget::ClientId(id(4)));
    let commands = [
        Command::CancelRfq(CancelRfq { client_id: id(7), target }),
        Command::CancelRfq(CancelRfq { client_id: id(8), target: by_client_id }),
        Command::AcceptDelivery(AcceptDelivery { client_id: id(9), contract: cast.contract }),
        Command::PickQuote(PickQuote { client_id: id(10), rfq: cast.rfq, quote: QuoteId::new(1) }),
    ];
    sent.extend(commands.map(Sent::Command));
    sent.push(ask(QueryKind::Statement));
    sent.push(Sent::Message(ClientMessage::BlobGet(BlobGet {
        source: BlobSource::RfqSpec(cast.rfq),
    })));
    sent
}

fn provider(cast: Cast, now: TimestampNs) -> Vec<Sent> {
    let id = |number| client_id(now, number);
    let Cast { capability, rfq, contract, .. } = cast;
    let offer = Offer::new(Micros::new(10_000_000), TimestampNs::MAX);
    let target = QuoteTarget::ClientId(id(1));
    let lines = vec![crate::standing(capability, 2, 9_000_000); 2];
    let bundles = vec![crate::bundle(&[0, 1], 8_000_000), crate::bundle(&[1], 3_000_000)];
    let group = crate::group(GroupRule::Xor);
    let signature = None;
    let commands = [
        Command::PlaceQuote(place(cast, now, 1)),
        Command::AmendQuote(AmendQuote { client_id: id(2), target, offer, signature: None }),
        Command::QuoteBundles(Box::new(QuoteBundles {
            client_id: id(3),
            rfq: cast.items,
            group,
            bundles,
            signature: None,
        })),
        Command::MassQuote(MassQuote { lines }),
        Command::CancelStandingQuote(CancelStandingQuote { capability, revision: 3 }),
        Command::SetStandingQuote(crate::standing(capability, 4, 9_000_000)),
        Command::StartWork(StartWork { client_id: id(4), contract }),
        Command::Deliver(Deliver { client_id: id(5), contract, deliverable: Digest::new([3; 32]) }),
        Command::TakeRfq(TakeRfq {
            client_id: id(6),
            rfq,
            quantity: 1,
            limit: Micros::new(1),
            signature,
        }),
        Command::DeclineRfq(DeclineRfq { client_id: id(7), rfq, reason: NoQuoteReason::Policy }),
        Command::CancelQuote(CancelQuote { client_id: id(8), target }),
        Command::MassCancel(MassCancel { client_id: id(9), what: QuoteKind::All }),
    ];
    let topic = Topic::Private;
    let mut sent = vec![follow(topic), ask(QueryKind::Book(capability))];
    sent.extend(commands.map(Sent::Command));
    sent.push(Sent::Message(ClientMessage::Unsubscribe(Unsubscribe { topic })));
    sent
}

fn solver(cast: Cast) -> Vec<Sent> {
    let propose = |winners: &[u32], surplus| ProposeAllocation {
        rfq: cast.clearing,
        winners: winners.to_vec(),
        surplus: Micros::new(surplus),
        bound: None,
        prices: None,
        payments: Vec::new(),
    };
    let prices =
        DualPrices { items: vec![Micros::new(9_000_000); 4], groups: vec![Micros::ZERO; 3] };
    let best = propose(&[1, 2], 18_000_000);
    let proven =
        ProposeAllocation { bound: Some(best.surplus), prices: Some(prices), ..best.clone() };
    let mut sent = vec![follow(Topic::Problems), ask(QueryKind::Statement)];
    let proposals = [propose(&[1], 9_000_000), best, proven];
    sent.extend(proposals.map(|one| Sent::Command(Command::ProposeAllocation(Box::new(one)))));
    sent
}

fn secs(secs: u64) -> DurationNs {
    DurationNs::from_secs(secs)
}

fn items() -> [Item; 2] {
    [Item { quantity: 1, load: 2, reserve: Micros::new(5_000_000) }; 2]
}

/// From 10.00 to what an RFQ here costs at the most.
fn curve() -> DutchTerms {
    let point = |after, price| CurvePoint { after, price: Micros::new(price) };
    DutchTerms {
        curve: vec![point(secs(0), 10_000_000), point(secs(50), 50_000_000)],
        exclusive: None,
    }
}

pub(super) fn record() -> Vec<Seed> {
    let stage: Vec<u8> = Stage::new().records().into_iter().flat_map(|r| r.commands).collect();
    let mut seeds = vec![Seed::new("a-market.record", stage)];
    for (name, text) in SCENARIOS {
        let ran = scenario::run(text).expect("a scenario that runs");
        let mut commands = Vec::new();
        ran.journal.iter().for_each(|stamped| encode_command(stamped, &mut commands));
        seeds.push(Seed::new(format!("{name}.record"), commands));
    }
    seeds
}

/// Returns what is saved of a market, before and after its deadlines.
fn saved() -> [(&'static str, Saved); 2] {
    let mut stage = Stage::new();
    let open = saved_of(&stage);
    stage.now = stage.now.after(secs(3_600));
    stage.settle();
    [("open", open), ("ended", saved_of(&stage))]
}

fn saved_of(stage: &Stage) -> Saved {
    let mut replica = Replica::new(FanOut::new());
    for record in stage.records() {
        replica.apply(record).expect("what the stage has done can be done again");
    }
    replica.saved()
}

pub(super) fn snapshot() -> Vec<Seed> {
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::new(folder.path());
    let file = |(name, saved): (&str, Saved)| {
        snapshots.write(&saved).unwrap();
        let bytes = fs::read(snapshots.path(saved.head.seq)).unwrap();
        Seed::new(format!("{name}.snapshot"), bytes)
    };
    saved().map(file).into()
}

pub(super) fn exchange_state() -> Vec<Seed> {
    saved().map(|(name, saved)| Seed::new(format!("{name}.exchange"), saved.exchange)).into()
}

pub(super) fn edge_state() -> Vec<Seed> {
    saved().map(|(name, saved)| Seed::new(format!("{name}.edge"), saved.consumer)).into()
}

pub(super) fn scenario() -> Vec<Seed> {
    let commands = |text: &str| scenario::run(text).expect("a scenario that runs").commands;
    let seed = |(name, text)| Seed::new(format!("{name}.scenario"), commands(text));
    SCENARIOS.map(seed).into()
}

pub(super) fn notation() -> Vec<Seed> {
    let id = RfqId::new(0x0123_4567_89ab_cdef);
    [
        ("rfq.txt", id.to_string()),
        ("client-id.txt", ClientId::new(u128::from(id.raw())).to_string()),
        ("digest.txt", Digest::new([0xa1; 32]).to_string()),
        ("signature.txt", gavel_protocol::SignatureBytes::new([0xb2; 64]).to_string()),
        ("amount.txt", "-9223372036854.775807".into()),
        ("units.txt", "12.5".into()),
        ("time.txt", TimestampNs::MAX.to_string()),
        ("currency.txt", Currency::USD.to_string()),
        ("name.txt", "ocr.invoice-vi_1".into()),
        ("address.txt", "postgres://gavel:secret@[::1]:5432/journal?sslmode=disable".into()),
        ("socket.txt", "postgres:///journal?host=/var/run/postgresql&user=gavel".into()),
    ]
    .map(|(name, text)| Seed::new(name, text))
    .into()
}

pub(super) fn instance() -> Vec<Seed> {
    let procurement = "wdp 1\nname small\nkind procurement\ncover exact\nitems 2\nbids 3\n\
                       groups 2\nj 0 1 100\nj 1 2 50\ng 0 xor 1000\ng 1 or 3 1000\n\
                       b 90 = 0 0\nb 40 45 1 1\nb 120 = 1 0 1\nend\n";
    let forward = "wdp 1\nname forward\nkind forward\nitems 3\nbids 2\ngroups 1\n\
                   b 10 = 0 0 2\nb 7 = - x7\nend\n";
    let mut wide = String::from("wdp 1\nname wide\nkind forward\nitems 256\nbids 40\ngroups 0\n");
    for bid in 0..40 {
        writeln!(wide, "b {bid} = - x{}", "f".repeat(1 + bid)).unwrap();
    }
    wide.push_str("end\n");
    [
        ("procurement.wdp", procurement.to_owned()),
        ("forward.wdp", forward.to_owned()),
        ("wide.wdp", wide),
    ]
    .map(|(name, text)| Seed::new(name, text))
    .into()
}
