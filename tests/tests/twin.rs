//! A naive twin: the market's rules once more, in plain lists, without any of the exchange's code.
//! On random scripts both must say the same of every command, every award, every loss and every
//! balance.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

mod twin_model;

use std::collections::HashMap;

use gavel_exchange::{Events, Exchange};
use gavel_protocol::*;
use proptest::prelude::*;
use twin_model::{FEE_PPM, Op, TRADERS, Twin};

const BEGIN: u64 = 1_767_225_600_000_000_000;

fn digest(byte: u8) -> Digest {
    Digest::new([byte; 32])
}

/// The exchange, driven by the twin's operations, saying what happened in the twin's words.
struct Real {
    exchange: Exchange,
    now_ms: u64,
    client_ids: u128,
    operator: AgentId,
    capability: CapabilityId,
    traders: Vec<(AgentId, AccountId)>,
    rfqs: Vec<RfqId>,
    contracts: HashMap<RfqId, ContractId>,
    revision: u64,
    said: Vec<String>,
}

impl Real {
    fn new() -> Self {
        let mut real = Self {
            exchange: Exchange::new(),
            now_ms: 0,
            client_ids: 0,
            operator: AgentId::EXCHANGE,
            capability: CapabilityId::new(0),
            traders: Vec::new(),
            rfqs: Vec::new(),
            contracts: HashMap::new(),
            revision: 0,
            said: Vec::new(),
        };
        let found = Found {
            name: "twin".parse().unwrap(),
            id_key: digest(1),
            operator_key: PublicKey::new([255; 32]),
            settings: Settings::fee(FEE_PPM),
        };
        let events = real.apply(AgentId::EXCHANGE, Command::Found(Box::new(found)));
        let Event::Founded(founded) = events[0] else { panic!("{events:?}") };
        real.operator = founded.operator;
        let (client_id, name) = (real.client_id(), "work".parse().unwrap());
        let list = ListCapability { client_id, name, currency: Currency::USD, terms: digest(2) };
        let events = real.apply(real.operator, Command::ListCapability(list));
        let Event::CapabilityListed(listed) = events[0] else { panic!("{events:?}") };
        real.capability = listed.capability;
        for trader in 0..TRADERS {
            let (client_id, transaction_max) = (real.client_id(), Micros::new(1_000_000_000));
            let enrol = EnrolAccount { client_id, transaction_max };
            let events = real.apply(real.operator, Command::EnrolAccount(enrol));
            let Event::AccountEnrolled(account) = events[0] else { panic!("{events:?}") };
            let (client_id, account) = (real.client_id(), account.account);
            let key = PublicKey::new([u8::try_from(trader).unwrap(); 32]);
            let enrol = EnrolAgent {
                client_id,
                account,
                key,
                roles: Roles::TRADER,
                attributes: Attributes::default(),
            };
            let events = real.apply(real.operator, Command::EnrolAgent(enrol));
            let Event::AgentEnrolled(agent) = events[0] else { panic!("{events:?}") };
            real.traders.push((agent.agent, account));
        }
        real.said.clear();
        real
    }

    fn client_id(&mut self) -> ClientId {
        self.client_ids += 1;
        ClientId::from_parts(self.now(), self.client_ids)
    }

    fn now(&self) -> TimestampNs {
        TimestampNs::from_nanos(BEGIN + self.now_ms * 1_000_000)
    }

    fn execute(&mut self, op: &Op) {
        let client_id = self.client_id();
        let valid_until = self.now().after(DurationNs::from_secs(3_600));
        let (who, command) = match *op {
            Op::Wait { ms } => return self.wait(ms),
            Op::Deposit { who, amount } => {
                let (account, amount) = (self.traders[who].1, Micros::new(amount));
                let currency = Currency::USD;
                let deposit = Deposit { client_id, account, amount, currency };
                return self.submit(self.operator, Command::Deposit(deposit));
            }
            Op::Open { who, reserve, quantity, window_ms, admit } => {
                let rfq = RfqTerms {
                    quantity,
                    window: DurationNs::from_millis(window_ms),
                    admit_standing: admit,
                    disclosure: Disclosure::Nothing,
                    delivery_within: DurationNs::from_millis(twin_model::DELIVERY_MS),
                    acceptance_within: DurationNs::from_millis(twin_model::ACCEPTANCE_MS),
                    spec: digest(3),
                    terms: digest(2),
                    ..RfqTerms::plain(self.capability, Currency::USD, Micros::new(reserve))
                };
                (who, Command::OpenRfq(Box::new(OpenRfq::plain(client_id, rfq))))
            }
            Op::Quote { who, rfq, price } => {
                let (rfq, price) = (self.rfq(rfq), Micros::new(price));
                let place = PlaceQuote {
                    client_id,
                    rfq,
                    offer: Offer::new(price, valid_until),
                    signature: None,
                };
                (who, Command::PlaceQuote(place))
            }
            Op::Amend { who, rfq, price } => {
                let (target, price) = (self.quote(who, rfq), Micros::new(price));
                let amend = AmendQuote {
                    client_id,
                    target,
                    offer: Offer::new(price, valid_until),
                    signature: None,
                };
                (who, Command::AmendQuote(amend))
            }
            Op::CancelQuote { who, rfq } => {
                let target = self.quote(who, rfq);
                (who, Command::CancelQuote(CancelQuote { client_id, target }))
            }
            Op::CancelRfq { who, rfq } => {
                let target = RfqTarget::Id(self.rfq(rfq));
                (who, Command::CancelRfq(CancelRfq { client_id, target }))
            }
            Op::Standing { who, price, capacity } => {
                self.revision += 1;
                let set = SetStandingQuote {
                    capability: self.capability,
                    revision: self.revision,
                    price: Micros::new(price),
                    latency_ms: 0,
                    capacity,
                    valid_until: self.now().after(DurationNs::from_secs(1_000_000)),
                    terms: digest(2),
                };
                (who, Command::SetStandingQuote(set))
            }
            Op::CancelStanding { who } => {
                self.revision += 1;
                let (capability, revision) = (self.capability, self.revision);
                let cancel = CancelStandingQuote { capability, revision };
                (who, Command::CancelStandingQuote(cancel))
            }
            Op::Deliver { who, rfq } => {
                let (contract, deliverable) = (self.contract(rfq), digest(4));
                (who, Command::Deliver(Deliver { client_id, contract, deliverable }))
            }
            Op::Accept { who, rfq } => {
                let contract = self.contract(rfq);
                (who, Command::AcceptDelivery(AcceptDelivery { client_id, contract }))
            }
        };
        self.submit(self.traders[who].0, command);
    }

    fn rfq(&self, index: usize) -> RfqId {
        self.rfqs.get(index).copied().unwrap_or(RfqId::new(1))
    }

    fn contract(&self, index: usize) -> ContractId {
        self.contracts.get(&self.rfq(index)).copied().unwrap_or(ContractId::new(1))
    }

    /// Returns the trader's live quote for an RFQ, as its own statement shows it.
    fn quote(&self, who: usize, rfq: usize) -> QuoteTarget {
        let statement = self.exchange.statement(self.traders[who].0, self.now()).unwrap();
        let rfq = self.rfq(rfq);
        let quote = statement.quotes.iter().find(|quote| quote.rfq == rfq);
        QuoteTarget::Id(quote.map_or(QuoteId::new(1), |quote| quote.quote))
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        let begin = TimestampNs::from_nanos(BEGIN);
        while let Some(at) = self.exchange.next_deadline() {
            let at_ms = at.since(begin).nanos() / 1_000_000;
            if at_ms > until {
                break;
            }
            self.now_ms = self.now_ms.max(at_ms);
            self.advance();
        }
        self.now_ms = until;
    }

    fn submit(&mut self, agent: AgentId, command: Command) {
        self.apply(agent, command);
        self.advance();
    }

    fn advance(&mut self) {
        while self.exchange.is_due(self.now()) {
            self.apply(AgentId::EXCHANGE, Command::AdvanceTime(AdvanceTime {}));
        }
    }

    /// Applies a command, says what followed in the twin's words, and returns its events.
    fn apply(&mut self, agent: AgentId, command: Command) -> Vec<Event> {
        let (seq, ts_event) = (self.exchange.seq() + 1, self.now());
        let stamped = Stamped { seq, ts_event, request: Request { agent, command } };
        let (mut events, mut ranking) = (Vec::new(), Vec::new());
        let mut out = Events { events: &mut events, ranking: &mut ranking };
        self.exchange.apply(&stamped, &mut out);
        let mut rest = ranking.as_slice();
        for event in &events {
            if let Event::RfqClosed(closed) = event {
                let (ranked, after) = rest.split_at(closed.ranked as usize);
                rest = after;
                self.say_lost(closed.rfq, ranked);
            } else {
                self.say(event);
            }
        }
        events
    }

    fn say_lost(&mut self, rfq: RfqId, ranked: &[Ranked]) {
        for entry in ranked {
            let (rfq, who) = (self.rfq_index(rfq), self.who(entry.provider));
            if let RankedResult::Lost(reason) = entry.result {
                self.said.push(format!("lost {rfq} {who} {}", reason.info().name));
            }
        }
    }

    fn say(&mut self, event: &Event) {
        let said = match event {
            Event::RfqOpened(opened) => return self.rfqs.push(opened.rfq),
            Event::Rejected(rejected) => format!("rejected {}", rejected.reason.info().name),
            Event::Awarded(awarded) => {
                self.contracts.insert(awarded.rfq, awarded.contract);
                let (rfq, who) = (self.rfq_index(awarded.rfq), self.who(awarded.parties.provider));
                format!("awarded {rfq} {who} {} x{}", awarded.price.raw(), awarded.quantity)
            }
            Event::ContractSettled(settled) => {
                let who = self.who(settled.parties.provider);
                format!("settled {who} {} {}", settled.released.raw(), settled.fee.raw())
            }
            Event::ContractExpired(expired) => {
                let who = self.who(expired.parties.buyer);
                format!("expired {who} {}", expired.refunded.raw())
            }
            _ => return,
        };
        self.said.push(said);
    }

    fn who(&self, agent: AgentId) -> usize {
        self.traders.iter().position(|(id, _)| *id == agent).unwrap()
    }

    fn rfq_index(&self, rfq: RfqId) -> usize {
        self.rfqs.iter().position(|id| *id == rfq).unwrap()
    }

    fn balances(&self) -> Vec<(i64, i64, i64)> {
        let balance = |account| {
            let balance = self.exchange.balance(account, Currency::USD);
            (balance.available.raw(), balance.held.raw(), balance.escrow.raw())
        };
        self.traders.iter().map(|(_, account)| balance(*account)).collect()
    }
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..TRADERS;
    let rfq = 0_usize..8;
    let price = 1_i64..40;
    prop_oneof![
        1 => (who.clone(), 1_i64..300).prop_map(|(who, amount)| Op::Deposit { who, amount }),
        3 => (who.clone(), price.clone(), 1_u32..4, 0_u64..4, any::<bool>()).prop_map(
            |(who, reserve, quantity, window, admit)| Op::Open {
                who,
                reserve,
                quantity,
                window_ms: window * 100,
                admit,
            }
        ),
        6 => (who.clone(), rfq.clone(), price.clone())
            .prop_map(|(who, rfq, price)| Op::Quote { who, rfq, price }),
        2 => (who.clone(), rfq.clone(), price.clone())
            .prop_map(|(who, rfq, price)| Op::Amend { who, rfq, price }),
        1 => (who.clone(), rfq.clone()).prop_map(|(who, rfq)| Op::CancelQuote { who, rfq }),
        1 => (who.clone(), rfq.clone()).prop_map(|(who, rfq)| Op::CancelRfq { who, rfq }),
        3 => (who.clone(), price, 1_u32..6)
            .prop_map(|(who, price, capacity)| Op::Standing { who, price, capacity }),
        1 => who.clone().prop_map(|who| Op::CancelStanding { who }),
        2 => (who.clone(), rfq.clone()).prop_map(|(who, rfq)| Op::Deliver { who, rfq }),
        2 => (who, rfq).prop_map(|(who, rfq)| Op::Accept { who, rfq }),
        4 => (0_u64..300).prop_map(|ms| Op::Wait { ms }),
        1 => Just(Op::Wait { ms: 70_000 }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_twin_says_the_same(ops in proptest::collection::vec(op(), 0..80)) {
        let (mut real, mut twin) = (Real::new(), Twin::new());
        // Money for everybody, so that more than rejections happens.
        let rich = (0..TRADERS).map(|who| Op::Deposit { who, amount: 500 });
        for op in rich.chain(ops).chain([Op::Wait { ms: 10_000 }]) {
            real.execute(&op);
            twin.execute(&op);
            prop_assert_eq!(&real.said, &twin.said, "after {:?}", op);
            real.said.clear();
            twin.said.clear();
            prop_assert_eq!(real.balances(), twin.balances(), "after {:?}", op);
            prop_assert_eq!(real.exchange.trial_balance(), 0);
        }
    }
}
