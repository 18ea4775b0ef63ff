//! The pure exchange, driven by hand: enrolled agents with money, one capability, virtual time.

use gavel_exchange::{Events, Exchange};
use gavel_protocol::{
    AdvanceTime, AgentId, Attributes, CapabilityId, ClientId, Command, Currency, Deposit, Digest,
    EnrolAccount, EnrolAgent, Event, Found, Founded, ListCapability, Micros, PosedBundle,
    PublicKey, Ranked, Request, Roles, Settings, Stamped, TimestampNs,
};

/// The exchange and who trades there.
pub struct Market {
    /// The exchange.
    pub exchange: Exchange,
    /// Sequenced time.
    pub now: TimestampNs,
    /// Agents, each with an account of its own and 100,000.00.
    pub agents: Vec<AgentId>,
    /// The only capability.
    pub capability: CapabilityId,
    /// What the exchange itself has allocated.
    pub allocated: u64,
    allocations: fn() -> u64,
    operator: AgentId,
    client_ids: u128,
    events: Vec<Event>,
    ranking: Vec<Ranked>,
    posed: Vec<PosedBundle>,
}

impl Market {
    /// Founds an exchange with so many agents; `allocations` counts those of this thread.
    pub fn new(agents: usize, allocations: fn() -> u64) -> Self {
        let mut market = Self {
            exchange: Exchange::new(),
            now: TimestampNs::from_nanos(1_767_225_600_000_000_000),
            agents: Vec::new(),
            capability: CapabilityId::new(0),
            allocated: 0,
            allocations,
            operator: AgentId::EXCHANGE,
            client_ids: 0,
            events: Vec::with_capacity(1_024),
            ranking: Vec::with_capacity(1_024),
            posed: Vec::with_capacity(1_024),
        };
        let found = Found {
            name: "market".parse().unwrap(),
            id_key: digest(1),
            operator_key: PublicKey::new([255; 32]),
            settings: Settings::fee(10_000),
        };
        let founded = market.apply(AgentId::EXCHANGE, Command::Found(Box::new(found)));
        let Event::Founded(Founded { operator, .. }) = founded else { panic!("{founded:?}") };
        market.operator = operator;
        let (client_id, name) = (market.client_id(), "work".parse().unwrap());
        let (currency, terms) = (Currency::USD, crate::terms());
        let list = ListCapability { client_id, name, currency, terms };
        let listed = market.apply(operator, Command::ListCapability(list));
        let Event::CapabilityListed(listed) = listed else { panic!("{listed:?}") };
        market.capability = listed.capability;
        for number in 0..agents {
            let agent = market.enrol(number);
            market.agents.push(agent);
        }
        market
    }

    /// Applies a command, and returns its first event.
    pub fn apply(&mut self, agent: AgentId, command: Command) -> Event {
        let (seq, ts_event) = (self.exchange.seq() + 1, self.now);
        let stamped = Stamped { seq, ts_event, request: Request { agent, command } };
        self.events.clear();
        self.ranking.clear();
        self.posed.clear();
        let before = (self.allocations)();
        let mut out =
            Events { events: &mut self.events, ranking: &mut self.ranking, posed: &mut self.posed };
        self.exchange.apply(&stamped, &mut out);
        self.allocated += (self.allocations)() - before;
        self.events[0]
    }

    /// Returns what followed from the last command.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns the bundles of a problem that the last command has posed.
    pub fn posed(&self) -> &[PosedBundle] {
        &self.posed
    }

    /// Lets what is due take effect.
    pub fn advance(&mut self) {
        while self.exchange.is_due(self.now) {
            self.apply(AgentId::EXCHANGE, Command::AdvanceTime(AdvanceTime {}));
        }
    }

    /// Returns a new client id.
    pub fn client_id(&mut self) -> ClientId {
        self.client_ids += 1;
        ClientId::from_parts(self.now, self.client_ids)
    }

    fn enrol(&mut self, number: usize) -> AgentId {
        let (client_id, transaction_max) = (self.client_id(), Micros::new(1_000_000_000));
        let enrol = EnrolAccount { client_id, transaction_max };
        let enrolled = self.apply(self.operator, Command::EnrolAccount(enrol));
        let Event::AccountEnrolled(account) = enrolled else { panic!("{enrolled:?}") };
        let (client_id, account) = (self.client_id(), account.account);
        let (amount, currency) = (Micros::new(100_000_000_000), Currency::USD);
        let deposit = Deposit { client_id, account, amount, currency };
        self.apply(self.operator, Command::Deposit(deposit));
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        let (client_id, key, roles) = (self.client_id(), PublicKey::new(key), Roles::TRADER);
        let enrol =
            EnrolAgent { client_id, account, key, roles, attributes: Attributes::default() };
        let enrolled = self.apply(self.operator, Command::EnrolAgent(enrol));
        let Event::AgentEnrolled(agent) = enrolled else { panic!("{enrolled:?}") };
        agent.agent
    }
}

/// Returns a digest of nothing in particular.
pub fn digest(byte: u8) -> Digest {
    Digest::new([byte; 32])
}
