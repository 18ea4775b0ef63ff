//! A market day, command by command, as the records that a journal would hold.

use gavel_exchange::Exchange;
use gavel_protocol::{
    AcceptDelivery, AdvanceTime, AgentId, AmendQuote, Attributes, CancelQuote, CancelRfq,
    CancelStandingQuote, CapabilityId, ClientId, Command, ContractId, Currency, CurvePoint,
    DeclineRfq, Deliver, Deposit, Digest, DurationNs, DutchTerms, EnrolAccount, EnrolAgent, Event,
    Format, Found, GroupRule, Item, ListCapability, MassCancel, Micros, NoQuoteReason, Offer,
    OpenRfq, PickQuote, PlaceQuote, PublicKey, QuoteBundles, QuoteId, QuoteKind, QuoteTarget,
    Request, RfqId, RfqTarget, RfqTerms, Roles, Settings, Stamped, StartWork, TakeRfq, TimestampNs,
};
use gavel_sequencer::Batch;
use gavel_sequencer::journal::{Condenser, Head, Record, encode_command};

use crate::{bundle, group, rfq, rfq_for_items, standing};

/// An exchange, and the records of what was asked of it.
pub struct Story {
    /// A record for each command.
    pub records: Vec<Record>,
    exchange: Exchange,
    now: TimestampNs,
    client_ids: u128,
    operator: AgentId,
    agents: Vec<AgentId>,
    capability: CapabilityId,
}

/// Whether sealed quotes are placed in the first part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// They are.
    Placed,
    /// As many commands are, and all are rejected: ids come out the same.
    Refused,
    /// Nobody quotes.
    None,
}

/// Requests that place sealed quotes, change them, and take them back, in the first part.
const SEALED_REQUESTS: usize = 12;
/// Commands of the exchange's own that end what they began.
const SEALED_STEPS: usize = 1;

const BUYER: usize = 0;
const SECOND: u64 = 1_000;

impl Story {
    /// Founds an exchange with a capability, a buyer and three providers with money.
    pub fn begin() -> Self {
        let mut story = Self {
            records: Vec::new(),
            exchange: Exchange::new(),
            now: TimestampNs::from_nanos(1_767_225_600_000_000_000),
            client_ids: 0,
            operator: AgentId::EXCHANGE,
            agents: Vec::new(),
            capability: CapabilityId::new(0),
        };
        let found = Found {
            name: "test".parse().unwrap(),
            id_key: Digest::new([1; 32]),
            operator_key: PublicKey::new([255; 32]),
            settings: Settings::fee(10_000),
        };
        let events = story.apply(AgentId::EXCHANGE, Command::Found(Box::new(found)));
        let Event::Founded(founded) = events[0] else { panic!("{events:?}") };
        story.operator = founded.operator;
        let (name, currency, terms) = ("ocr".parse().unwrap(), Currency::USD, crate::terms());
        let client_id = story.client_id();
        let list = ListCapability { client_id, name, currency, terms };
        let events = story.apply(story.operator, Command::ListCapability(list));
        let Event::CapabilityListed(listed) = events[0] else { panic!("{events:?}") };
        story.capability = listed.capability;
        for key in 1..=4 {
            let agent = story.enrol(key);
            story.agents.push(agent);
        }
        story
    }

    /// Opens two RFQs, and lets their time begin; `quotes` says whether anybody quotes. Other business
    /// goes on meanwhile. Neither is closed at the end.
    pub fn before_the_close(&mut self, quotes: Quotes) {
        let terms = RfqTerms { bond_bps: 1_000, ..rfq(self.capability, 60 * SECOND) };
        let sealed = self.open(terms);
        let items = [item(10), item(20), item(30)];
        let (bundled, bundles) = rfq_for_items(self.capability, 60 * SECOND, &items);
        let bundled = self.open_with(OpenRfq {
            bundles: Some(Box::new(bundles)),
            ..OpenRfq::plain(ClientId::from_parts(self.now, 0), bundled)
        });
        self.set_standing(1, 1, 40);
        let before = self.records.len();
        match quotes {
            Quotes::Placed => self.quote(sealed, bundled),
            Quotes::Refused => {
                let none = RfqId::new(0);
                (0..SEALED_REQUESTS).for_each(|_| assert_eq!(self.try_place(1, none, 1), None));
                for _ in 0..SEALED_STEPS {
                    self.journal(AgentId::EXCHANGE, Command::AdvanceTime(AdvanceTime {}));
                }
            }
            Quotes::None => {}
        }
        let expected = if quotes == Quotes::None { 0 } else { SEALED_REQUESTS + SEALED_STEPS };
        assert_eq!(self.records.len() - before, expected);
        self.wait(SECOND);
        self.set_standing(1, 2, 41);
        self.set_standing(3, 1, 39);
        let at_once = self.open(rfq(self.capability, 0));
        assert!(at_once != sealed);
        let client_id = self.client_id();
        let cancel = CancelStandingQuote { capability: self.capability, revision: 3 };
        self.apply(self.agents[1], Command::CancelStandingQuote(cancel));
        self.apply(
            self.operator,
            Command::EnrolAccount(EnrolAccount { client_id, transaction_max: Micros::new(5) }),
        );
    }

    fn quote(&mut self, sealed: RfqId, bundled: RfqId) {
        self.place(1, sealed, 30);
        let quote = self.place(2, sealed, 29);
        self.amend(2, quote, 28);
        self.amend(2, quote, 35);
        let quote = self.place(3, sealed, 45);
        self.cancel(3, quote);
        self.place(3, sealed, 44);
        self.mass_cancel(3);
        self.decline(3, sealed);
        // What is rejected tells as much.
        assert_eq!(self.try_place(2, sealed, 1), None);
        self.quote_bundles(1, bundled, &[(&[0, 1], 20), (&[0], 15)]);
        self.quote_bundles(2, bundled, &[(&[1, 2], 40), (&[2], 22), (&[0, 1, 2], 55)]);
    }

    /// Lets the RFQs close and the work be done, and then some more of every kind.
    pub fn the_close_and_after(&mut self) {
        self.wait(120 * SECOND);
        let contracts = self.contracts();
        assert!(contracts.len() >= 3, "{contracts:?}");
        for (contract, provider) in &contracts[1..] {
            self.work(*contract, *provider);
        }

        let canceled = self.open(rfq(self.capability, 60 * SECOND));
        self.place(1, canceled, 20);
        let cancel = CancelRfq { client_id: self.client_id(), target: RfqTarget::Id(canceled) };
        self.apply(self.agents[BUYER], Command::CancelRfq(cancel));

        let passed = self.open(rfq(self.capability, SECOND));
        self.place(2, passed, 500);
        self.decline(3, passed);

        let shown = self.open(RfqTerms {
            format: Format::BuyersChoice,
            pick_within: DurationNs::from_secs(60),
            ..rfq(self.capability, 2 * SECOND)
        });
        self.place(1, shown, 20);
        let picked = self.place(2, shown, 21);
        self.wait(3 * SECOND);
        let pick = PickQuote { client_id: self.client_id(), rfq: shown, quote: picked };
        self.apply(self.agents[BUYER], Command::PickQuote(pick));

        let curve = [(0, 5), (10, 50)].map(|(secs, price)| CurvePoint {
            after: DurationNs::from_secs(secs),
            price: units(price),
        });
        let dutch = self.open_with(OpenRfq {
            dutch: Some(DutchTerms { curve: curve.to_vec(), exclusive: None }),
            ..OpenRfq::plain(
                ClientId::from_parts(self.now, 0),
                RfqTerms { format: Format::Dutch, ..rfq(self.capability, 10 * SECOND) },
            )
        });
        self.wait(5 * SECOND);
        let limit = units(10);
        let client_id = self.client_id();
        let take = TakeRfq { client_id, rfq: dutch, quantity: 1, limit, signature: None };
        self.apply(self.agents[3], Command::TakeRfq(take));

        let open = self.open(rfq(self.capability, 9_000 * SECOND));
        self.place(1, open, 20);
        // Nobody does the work that is left: it expires.
        self.wait(5_000 * SECOND);
    }

    fn contracts(&mut self) -> Vec<(ContractId, usize)> {
        let mut found = Vec::new();
        let mut exchange = Exchange::new();
        for record in &self.records {
            for stamped in gavel_sequencer::journal::decode_commands(&record.commands).unwrap() {
                let mut batch = Batch::default();
                exchange.apply(&stamped, &mut batch.out());
                for event in batch.events {
                    if let Event::Awarded(awarded) = event {
                        let provider = awarded.parties.provider;
                        let place = self.agents.iter().position(|agent| *agent == provider);
                        found.push((awarded.contract, place.unwrap()));
                    }
                }
            }
        }
        found
    }

    fn work(&mut self, contract: ContractId, provider: usize) {
        let provider = self.agents[provider];
        let start = StartWork { client_id: self.client_id(), contract };
        self.apply(provider, Command::StartWork(start));
        self.wait(SECOND);
        let deliverable = Digest::new([7; 32]);
        let deliver = Deliver { client_id: self.client_id(), contract, deliverable };
        self.apply(provider, Command::Deliver(deliver));
        let accept = AcceptDelivery { client_id: self.client_id(), contract };
        self.apply(self.agents[BUYER], Command::AcceptDelivery(accept));
    }

    fn open(&mut self, terms: RfqTerms) -> RfqId {
        self.open_with(OpenRfq::plain(ClientId::from_parts(self.now, 0), terms))
    }

    fn open_with(&mut self, open: OpenRfq) -> RfqId {
        let open = OpenRfq { client_id: self.client_id(), ..open };
        let events = self.apply(self.agents[BUYER], Command::OpenRfq(Box::new(open)));
        let Event::RfqOpened(opened) = events[0] else { panic!("{events:?}") };
        opened.rfq
    }

    fn place(&mut self, agent: usize, rfq: RfqId, price: i64) -> QuoteId {
        self.try_place(agent, rfq, price).expect("the quote is accepted")
    }

    fn try_place(&mut self, agent: usize, rfq: RfqId, price: i64) -> Option<QuoteId> {
        let client_id = self.client_id();
        let offer = Offer::new(units(price), TimestampNs::MAX);
        let place = PlaceQuote { client_id, rfq, offer, signature: None };
        let events = self.apply(self.agents[agent], Command::PlaceQuote(place));
        if let Event::QuotePlaced(placed) = events[0] { Some(placed.quote) } else { None }
    }

    fn amend(&mut self, agent: usize, quote: QuoteId, price: i64) {
        let (client_id, target) = (self.client_id(), QuoteTarget::Id(quote));
        let offer = Offer::new(units(price), TimestampNs::MAX);
        let amend = AmendQuote { client_id, target, offer, signature: None };
        let events = self.apply(self.agents[agent], Command::AmendQuote(amend));
        assert!(matches!(events[0], Event::QuoteAmended(_)), "{events:?}");
    }

    fn cancel(&mut self, agent: usize, quote: QuoteId) {
        let (client_id, target) = (self.client_id(), QuoteTarget::Id(quote));
        let events =
            self.apply(self.agents[agent], Command::CancelQuote(CancelQuote { client_id, target }));
        assert!(matches!(events[0], Event::QuoteCanceled(_)), "{events:?}");
    }

    fn mass_cancel(&mut self, agent: usize) {
        let (client_id, what) = (self.client_id(), QuoteKind::Sealed);
        self.apply(self.agents[agent], Command::MassCancel(MassCancel { client_id, what }));
    }

    fn decline(&mut self, agent: usize, rfq: RfqId) {
        let (client_id, reason) = (self.client_id(), NoQuoteReason::NoCapacity);
        let decline = DeclineRfq { client_id, rfq, reason };
        let events = self.apply(self.agents[agent], Command::DeclineRfq(decline));
        assert!(matches!(events[0], Event::RfqDeclined(_)), "{events:?}");
    }

    fn quote_bundles(&mut self, agent: usize, rfq: RfqId, offered: &[(&[u8], i64)]) {
        let bundles = offered.iter().map(|(items, price)| bundle(items, units(*price).raw()));
        let quote = QuoteBundles {
            client_id: self.client_id(),
            rfq,
            group: group(GroupRule::Xor),
            bundles: bundles.collect(),
            signature: None,
        };
        let events = self.apply(self.agents[agent], Command::QuoteBundles(Box::new(quote)));
        assert!(matches!(events[0], Event::BundlesQuoted(_)), "{events:?}");
    }

    fn set_standing(&mut self, agent: usize, revision: u64, price: i64) {
        let standing = standing(self.capability, revision, units(price).raw());
        let events = self.apply(self.agents[agent], Command::SetStandingQuote(standing));
        assert!(matches!(events[0], Event::StandingQuoteSet(_)), "{events:?}");
    }

    fn enrol(&mut self, key: u8) -> AgentId {
        self.wait(1);
        let (client_id, transaction_max) = (self.client_id(), Micros::new(1_000_000_000));
        let enrol = EnrolAccount { client_id, transaction_max };
        let events = self.apply(self.operator, Command::EnrolAccount(enrol));
        let Event::AccountEnrolled(enrolled) = events[0] else { panic!("{events:?}") };
        let account = enrolled.account;
        let (client_id, amount, currency) = (self.client_id(), units(100_000), Currency::USD);
        let deposit = Deposit { client_id, account, amount, currency };
        self.apply(self.operator, Command::Deposit(deposit));
        let (client_id, key, roles) = (self.client_id(), PublicKey::new([key; 32]), Roles::TRADER);
        let attributes = Attributes::default();
        let enrol = EnrolAgent { client_id, account, key, roles, attributes };
        let events = self.apply(self.operator, Command::EnrolAgent(enrol));
        let Event::AgentEnrolled(enrolled) = events[0] else { panic!("{events:?}") };
        enrolled.agent
    }

    fn client_id(&mut self) -> ClientId {
        self.client_ids += 1;
        ClientId::from_parts(self.now, self.client_ids)
    }

    /// Lets time pass, and what is due meanwhile take effect.
    fn wait(&mut self, time_ms: u64) {
        let until = self.now.after(DurationNs::from_millis(time_ms));
        while let Some(due) = self.exchange.next_deadline().filter(|due| *due <= until) {
            self.now = due.max(self.now);
            self.advance();
        }
        self.now = until;
        self.advance();
    }

    fn advance(&mut self) {
        while self.exchange.is_due(self.now) {
            self.journal(AgentId::EXCHANGE, Command::AdvanceTime(AdvanceTime {}));
        }
    }

    fn apply(&mut self, agent: AgentId, command: Command) -> Vec<Event> {
        self.advance();
        self.journal(agent, command)
    }

    fn journal(&mut self, agent: AgentId, command: Command) -> Vec<Event> {
        let (seq, ts_event) = (self.exchange.seq() + 1, self.now);
        let stamped = Stamped { seq, ts_event, request: Request { agent, command } };
        let mut batch = Batch::default();
        self.exchange.apply(&stamped, &mut batch.out());
        let mut commands = Vec::new();
        encode_command(&stamped, &mut commands);
        batch.end_step(stamped, None);
        let mut condenser = Condenser::default();
        batch.steps().for_each(|step| condenser.add(&step));
        let head = self.records.last().map_or(Head::EMPTY, Record::head);
        self.records.push(Record::following(&head, seq, commands, condenser.finish()));
        batch.events
    }
}

fn units(count: i64) -> Micros {
    Micros::new(count * 1_000_000)
}

fn item(reserve: i64) -> Item {
    Item { quantity: 1, load: 1, reserve: units(reserve) }
}
