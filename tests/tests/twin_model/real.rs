//! The exchange, driven by the twin's operations, saying what happened in the twin's words.

mod words;

use gavel_exchange::{Events, Exchange};
use gavel_protocol::*;

use super::{ACCOUNT_OF, ACCOUNTS, AGENTS, CAPABILITIES, FEE_PPM, Money, Op, is_in_eu};

const BEGIN: u64 = 1_767_225_600_000_000_000;
/// Markets that one exchange can hold, one after another: it holds 1,024 capabilities.
const MARKETS_MAX: usize = 240;

fn digest(byte: u8) -> Digest {
    Digest::new([byte; 32])
}

fn micros(us: u64) -> DurationNs {
    DurationNs::from_nanos(us * 1_000)
}

/// The exchange, and what belongs to the market of the moment.
pub struct Real {
    exchange: Exchange,
    pub said: Vec<String>,
    now_us: u64,
    client_ids: u128,
    operator: AgentId,
    markets: usize,
    revision: u64,
    capabilities: Vec<CapabilityId>,
    accounts: Vec<AccountId>,
    agents: Vec<AgentId>,
    rfqs: Vec<RfqId>,
    quotes: Vec<QuoteId>,
    contracts: Vec<ContractId>,
}

impl Real {
    pub fn new() -> Self {
        let mut real = Self {
            exchange: Exchange::new(),
            said: Vec::new(),
            now_us: 0,
            client_ids: 0,
            operator: AgentId::EXCHANGE,
            markets: 0,
            revision: 0,
            capabilities: Vec::new(),
            accounts: Vec::new(),
            agents: Vec::new(),
            rfqs: Vec::new(),
            quotes: Vec::new(),
            contracts: Vec::new(),
        };
        let found = Found {
            name: "twin".parse().unwrap(),
            id_key: digest(1),
            operator_key: PublicKey::new([255; 32]),
            settings: Settings::fee(u32::try_from(FEE_PPM).unwrap()),
        };
        let events = real.apply(AgentId::EXCHANGE, Command::Found(Box::new(found)));
        let Event::Founded(founded) = events[0] else { panic!("{events:?}") };
        real.operator = founded.operator;
        real
    }

    /// Counts all money afresh, in one market of many: that looks at all the room there is.
    pub fn is_balanced(&self) -> bool {
        !self.markets.is_multiple_of(16) || self.exchange.trial_balance() == 0
    }

    /// Returns whether there is room for another market.
    pub fn has_room(&self) -> bool {
        self.markets < MARKETS_MAX
    }

    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Enrols everybody afresh and lists new capabilities, so that nothing is left of the market
    /// before.
    pub fn begin_market(&mut self) {
        self.markets += 1;
        let market = self.markets;
        self.capabilities = (0..CAPABILITIES).map(|at| self.list(market, at)).collect();
        self.accounts = (0..ACCOUNTS).map(|_| self.enrol_account()).collect();
        self.agents = (0..AGENTS).map(|who| self.enrol_agent(market, who)).collect();
        (self.rfqs, self.quotes, self.contracts) = (Vec::new(), Vec::new(), Vec::new());
        self.said.clear();
    }

    fn list(&mut self, market: usize, at: usize) -> CapabilityId {
        let client_id = self.client_id();
        let name = format!("work-{market}-{at}").parse().unwrap();
        let list = ListCapability { client_id, name, currency: Currency::USD, terms: digest(2) };
        let events = self.apply(self.operator, Command::ListCapability(list));
        let Event::CapabilityListed(listed) = events[0] else { panic!("{events:?}") };
        listed.capability
    }

    fn enrol_account(&mut self) -> AccountId {
        let (client_id, transaction_max) = (self.client_id(), Micros::new(1_000_000_000));
        let enrol = EnrolAccount { client_id, transaction_max };
        let events = self.apply(self.operator, Command::EnrolAccount(enrol));
        let Event::AccountEnrolled(enrolled) = events[0] else { panic!("{events:?}") };
        enrolled.account
    }

    fn enrol_agent(&mut self, market: usize, who: usize) -> AgentId {
        let (client_id, account) = (self.client_id(), self.accounts[ACCOUNT_OF[who]]);
        let mut key = [0; 32];
        (key[0], key[1]) = (u8::try_from(market).unwrap(), u8::try_from(who).unwrap());
        let key = PublicKey::new(key);
        let of_eu = Attributes::default().with(Attribute::DataInEu);
        let attributes = if is_in_eu(who) { of_eu } else { Attributes::default() };
        let enrol = EnrolAgent { client_id, account, key, roles: Roles::TRADER, attributes };
        let events = self.apply(self.operator, Command::EnrolAgent(enrol));
        let Event::AgentEnrolled(enrolled) = events[0] else { panic!("{events:?}") };
        enrolled.agent
    }

    fn client_id(&mut self) -> ClientId {
        self.client_ids += 1;
        ClientId::from_parts(self.now(), self.client_ids)
    }

    fn now(&self) -> TimestampNs {
        TimestampNs::from_nanos(BEGIN + self.now_us * 1_000)
    }

    fn in_us(at: TimestampNs) -> u64 {
        at.since(TimestampNs::from_nanos(BEGIN)).nanos() / 1_000
    }

    pub fn execute(&mut self, op: &Op) {
        match *op {
            Op::Wait { time } => self.wait(time),
            Op::Deposit { .. } | Op::Band { .. } | Op::Halt { .. } | Op::Reopen { .. } => {
                let command = self.operators_command(op);
                self.submit(self.operator, command);
            }
            _ => {
                let (who, command) = self.agents_command(op);
                self.submit(self.agents[who], command);
            }
        }
    }

    fn operators_command(&mut self, op: &Op) -> Command {
        let client_id = self.client_id();
        let capability = |at: Option<usize>| at.map(|at| self.capabilities[at]);
        match *op {
            Op::Deposit { who, amount } => Command::Deposit(Deposit {
                client_id,
                account: self.accounts[ACCOUNT_OF[who]],
                amount: Micros::new(amount),
                currency: Currency::USD,
            }),
            Op::Band { capability, band } => Command::SetPriceBand(SetPriceBand {
                client_id,
                capability: self.capabilities[capability],
                band: band.map(|(low, high)| PriceBand {
                    low: Micros::new(low),
                    high: Micros::new(high),
                }),
            }),
            Op::Halt { capability: at } => {
                Command::Halt(Halt { client_id, capability: capability(at) })
            }
            Op::Reopen { capability: at } => {
                Command::Reopen(Reopen { client_id, capability: capability(at) })
            }
            _ => panic!("an agent's: {op:?}"),
        }
    }

    fn agents_command(&mut self, op: &Op) -> (usize, Command) {
        let client_id = self.client_id();
        match *op {
            Op::Open { who, ref terms } => {
                (who, Command::OpenRfq(Box::new(self.open_rfq(client_id, terms))))
            }
            Op::CancelRfq { who, rfq } => {
                let target = RfqTarget::Id(self.rfq(rfq));
                (who, Command::CancelRfq(CancelRfq { client_id, target }))
            }
            Op::Quote { who, rfq, offer } => {
                let (rfq, offer) = (self.rfq(rfq), self.offer(offer));
                (who, Command::PlaceQuote(PlaceQuote { client_id, rfq, offer, signature: None }))
            }
            Op::Amend { who, quote, offer, .. } => {
                let (target, offer) = (QuoteTarget::Id(self.quote(quote)), self.offer(offer));
                (who, Command::AmendQuote(AmendQuote { client_id, target, offer, signature: None }))
            }
            Op::CancelQuote { who, quote } => {
                let target = QuoteTarget::Id(self.quote(quote));
                (who, Command::CancelQuote(CancelQuote { client_id, target }))
            }
            Op::Decline { who, rfq } => {
                let (rfq, reason) = (self.rfq(rfq), NoQuoteReason::NoCapacity);
                (who, Command::DeclineRfq(DeclineRfq { client_id, rfq, reason }))
            }
            Op::Take { who, rfq, quantity, limit } => {
                let (rfq, limit) = (self.rfq(rfq), Micros::new(limit));
                let take = TakeRfq { client_id, rfq, quantity, limit, signature: None };
                (who, Command::TakeRfq(take))
            }
            Op::Pick { who, rfq, quote } => {
                let (rfq, quote) = (self.rfq(rfq), self.quote(quote));
                (who, Command::PickQuote(PickQuote { client_id, rfq, quote }))
            }
            Op::Standing { who, capability, price, latency_ms, capacity, valid_for, .. } => {
                self.revision += 1;
                let set = SetStandingQuote {
                    capability: self.capabilities[capability],
                    revision: self.revision,
                    price: Micros::new(price),
                    latency_ms,
                    capacity,
                    valid_until: self.now().after(micros(valid_for)),
                    terms: digest(2),
                };
                (who, Command::SetStandingQuote(set))
            }
            Op::CancelStanding { who, capability } => {
                self.revision += 1;
                let (capability, revision) = (self.capabilities[capability], self.revision);
                let cancel = CancelStandingQuote { capability, revision };
                (who, Command::CancelStandingQuote(cancel))
            }
            Op::Start { who, contract } => {
                let contract = self.contract(contract);
                (who, Command::StartWork(StartWork { client_id, contract }))
            }
            Op::Deliver { who, contract } => {
                let (contract, deliverable) = (self.contract(contract), digest(4));
                (who, Command::Deliver(Deliver { client_id, contract, deliverable }))
            }
            Op::Accept { who, contract } => {
                let contract = self.contract(contract);
                (who, Command::AcceptDelivery(AcceptDelivery { client_id, contract }))
            }
            _ => panic!("not an agent's: {op:?}"),
        }
    }

    fn open_rfq(&self, client_id: ClientId, terms: &super::Terms) -> OpenRfq {
        let attributes = Attributes::default();
        let in_eu = attributes.with(Attribute::DataInEu);
        let rfq = RfqTerms {
            capability: self.capabilities[terms.capability],
            currency: Currency::USD,
            quantity: terms.quantity,
            split: terms.split,
            reserve: Micros::new(terms.reserve),
            format: match terms.format {
                super::Format::First => Format::FirstPrice,
                super::Format::Second => Format::SecondPrice,
                super::Format::Dutch => Format::Dutch,
                super::Format::Choice => Format::BuyersChoice,
            },
            window: micros(terms.window),
            cutoff: micros(terms.cutoff),
            close_early: terms.close_early,
            pick_within: micros(terms.pick_within),
            admit_standing: terms.admit && terms.window > 0,
            scoring: Scoring {
                latency_per_ms: Micros::new(terms.latency_per_ms),
                reputation_per_bps: Micros::new(terms.reputation_per_bps),
            },
            eligibility: Eligibility {
                reputation_min_bps: u16::try_from(terms.reputation_min).unwrap(),
                attributes: if terms.in_eu { in_eu } else { attributes },
            },
            bond_bps: u16::try_from(terms.bond_bps).unwrap(),
            top_up: terms.top_up,
            disclosure: match terms.disclose {
                true => Disclosure::ClearingPrice,
                false => Disclosure::Nothing,
            },
            start_within: micros(terms.start_within),
            delivery_within: micros(terms.delivery_within),
            acceptance_within: micros(terms.acceptance_within),
            spec: digest(3),
            inputs: None,
            terms: digest(2),
        };
        let invited = terms.invited.iter().map(|who| self.agents[*who]).collect();
        let point = |(after, price): &(u64, i64)| CurvePoint {
            after: micros(*after),
            price: Micros::new(*price),
        };
        let dutch = (terms.format == super::Format::Dutch).then(|| DutchTerms {
            curve: terms.curve.iter().map(point).collect(),
            exclusive: terms.exclusive.map(|exclusive| Exclusivity {
                provider: self.agents[exclusive.who],
                until: micros(exclusive.until),
                beatable_by_bps: u16::try_from(exclusive.beatable_by_bps).unwrap(),
            }),
        });
        OpenRfq { client_id, rfq, invited, dutch, bundles: None, signature: None }
    }

    fn offer(&self, offer: super::Offer) -> Offer {
        Offer {
            price: Micros::new(offer.price),
            quantity: offer.quantity,
            all_or_none: offer.all_or_none,
            latency_ms: offer.latency_ms,
            valid_until: self.now().after(micros(offer.valid_for)),
            standby_until: offer.standby_for.map(|time| self.now().after(micros(time))),
        }
    }

    fn rfq(&self, index: usize) -> RfqId {
        self.rfqs.get(index).copied().unwrap_or(RfqId::new(1))
    }

    fn quote(&self, index: usize) -> QuoteId {
        self.quotes.get(index).copied().unwrap_or(QuoteId::new(1))
    }

    fn contract(&self, index: usize) -> ContractId {
        self.contracts.get(index).copied().unwrap_or(ContractId::new(1))
    }

    fn wait(&mut self, time: u64) {
        let until = self.now_us + time;
        while let Some(at) = self.exchange.next_deadline() {
            let at_us = Self::in_us(at);
            if at_us > until {
                break;
            }
            self.now_us = self.now_us.max(at_us);
            self.advance();
        }
        self.now_us = until;
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
        let mut posed = Vec::new();
        let mut out = Events { events: &mut events, ranking: &mut ranking, posed: &mut posed };
        self.exchange.apply(&stamped, &mut out);
        let mut rest = ranking.as_slice();
        for event in &events {
            let (ranked, after) = rest.split_at(event.ranked());
            rest = after;
            if let Some(said) = self.words_of(event) {
                self.say(said);
            }
            match event {
                Event::RfqClosed(closed) => self.say_ranked(closed.rfq, ranked),
                Event::BookShown(shown) => self.say_book(shown.rfq, ranked),
                _ => {}
            }
        }
        events
    }

    fn who(&self, agent: AgentId) -> usize {
        self.agents.iter().position(|id| *id == agent).unwrap()
    }

    fn rfq_index(&self, rfq: RfqId) -> usize {
        self.rfqs.iter().rposition(|id| *id == rfq).unwrap()
    }

    pub fn balances(&self) -> [Money; ACCOUNTS] {
        std::array::from_fn(|account| {
            let balance = self.exchange.balance(self.accounts[account], Currency::USD);
            Money {
                available: balance.available.raw(),
                held: balance.held.raw(),
                escrow: balance.escrow.raw(),
                bonds: balance.bonds.raw(),
            }
        })
    }

    /// Returns what an agent's own statement shows: reputation, open RFQs, live quotes, contracts.
    pub fn statement(&self, who: usize) -> (i64, usize, usize, usize) {
        let statement = self.exchange.statement(self.agents[who], self.now()).unwrap();
        let reputation = i64::from(statement.reputation_bps);
        (reputation, statement.rfqs.len(), statement.quotes.len(), statement.contracts.len())
    }
}
