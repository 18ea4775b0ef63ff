//! A market of the pure exchange for benches: enrolled agents, open RFQs, standing quotes.

use anyhow::{Context as _, bail};
use gavel_exchange::{Events, Exchange};
use gavel_protocol::limits::AMOUNT_MAX;
use gavel_protocol::{
    AccountId, AdvanceTime, AgentId, Attributes, CapabilityId, ClientId, Command, Currency,
    Deposit, Digest, DurationNs, EnrolAccount, EnrolAgent, Event, Found, ListCapability, Micros,
    OpenRfq, Outcome, PublicKey, Ranked, Request, RfqTerms, Roles, SetStandingQuote, Settings,
    Stamped, TimestampNs,
};

/// When a bench's market begins: 2026-01-01 00:00 UTC.
const BEGIN: TimestampNs = TimestampNs::from_nanos(1_767_225_600_000_000_000);

/// How much sequenced time passes between two commands.
const TICK: DurationNs = DurationNs::from_nanos(200);

/// How long quotes are valid.
const VALID: DurationNs = DurationNs::from_secs(20 * 3_600);

/// The exchange, driven by hand.
pub struct Market {
    exchange: Exchange,
    now: TimestampNs,
    events: Vec<Event>,
    ranking: Vec<Ranked>,
    operator: AgentId,
    client_ids: u128,
    /// The enrolled agents, each with an account of its own.
    pub agents: Vec<AgentId>,
    /// The listed capabilities.
    pub capabilities: Vec<CapabilityId>,
}

impl Market {
    /// Founds an exchange with so many agents and capabilities; every agent is rich.
    pub fn new(agents: u64, capabilities: u32) -> anyhow::Result<Self> {
        let mut market = Self {
            exchange: Exchange::new(),
            now: BEGIN,
            events: Vec::with_capacity(8_192),
            ranking: Vec::with_capacity(8_192),
            operator: AgentId::EXCHANGE,
            client_ids: 0,
            agents: Vec::new(),
            capabilities: Vec::new(),
        };
        market.found()?;
        for number in 0..capabilities {
            let client_id = market.client_id();
            let name = format!("capability-{number}").parse()?;
            let (currency, terms) = (Currency::USD, terms());
            let list = ListCapability { client_id, name, currency, terms };
            let Outcome::Capability(id) = market.operate(Command::ListCapability(list))? else {
                bail!("listing a capability brought about something else");
            };
            market.capabilities.push(id);
        }
        for number in 0..agents {
            let agent = market.enrol(number)?;
            market.agents.push(agent);
        }
        Ok(market)
    }

    /// Returns the events of the last command.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns a new client id.
    pub fn client_id(&mut self) -> ClientId {
        self.client_ids += 1;
        ClientId::from_parts(self.now, self.client_ids)
    }

    /// Returns a time until which a quote may be valid.
    pub fn valid_until(&self) -> TimestampNs {
        self.now.after(VALID)
    }

    /// Lets time pass, and what is due take effect.
    pub fn pass(&mut self, duration: DurationNs) {
        self.now = self.now.after(duration);
        while self.exchange.is_due(self.now) {
            let command = Command::AdvanceTime(AdvanceTime {});
            let stamped = self.stamp(Request { agent: AgentId::EXCHANGE, command });
            self.step(&stamped);
        }
    }

    /// Applies a request, and returns what it brought about.
    pub fn apply(&mut self, request: Request) -> anyhow::Result<Outcome> {
        self.pass(TICK);
        let stamped = self.stamp(request);
        self.step(&stamped);
        let first = self.events.first().context("every command yields an event")?;
        first.outcome().map_err(|reason| anyhow::anyhow!("{reason}"))
    }

    /// Gives requests their places and times, as if they came one after the other.
    pub fn stamp_all(&self, requests: Vec<Request>) -> Vec<Stamped> {
        let (seq, mut ts_event) = (self.exchange.seq(), self.now);
        (seq + 1..)
            .zip(requests)
            .map(|(seq, request)| {
                ts_event = ts_event.after(TICK);
                Stamped { seq, ts_event, request }
            })
            .collect()
    }

    /// Applies a stamped request and nothing else: what a bench measures.
    pub fn step(&mut self, stamped: &Stamped) {
        self.events.clear();
        self.ranking.clear();
        let mut out = Events { events: &mut self.events, ranking: &mut self.ranking };
        self.exchange.apply(stamped, &mut out);
        self.now = stamped.ts_event;
    }

    /// Returns an agent's update of its standing quote.
    pub fn standing(
        &self,
        agent: AgentId,
        capability: usize,
        revision: u64,
        price: i64,
    ) -> Request {
        let command = Command::SetStandingQuote(SetStandingQuote {
            capability: self.capabilities[capability],
            revision,
            price: Micros::new(price),
            latency_ms: 0,
            capacity: 1_000_000,
            valid_until: self.valid_until(),
            terms: terms(),
        });
        Request { agent, command }
    }

    /// Returns an agent's RFQ.
    pub fn rfq(&mut self, agent: AgentId, capability: usize, window: DurationNs) -> Request {
        let client_id = self.client_id();
        let rfq = RfqTerms {
            window,
            delivery_within: DurationNs::from_secs(3_600),
            acceptance_within: DurationNs::from_secs(3_600),
            spec: terms(),
            terms: terms(),
            ..RfqTerms::plain(
                self.capabilities[capability],
                Currency::USD,
                Micros::new(1_000_000_000),
            )
        };
        let open = OpenRfq::plain(client_id, rfq);
        Request { agent, command: Command::OpenRfq(Box::new(open)) }
    }

    fn stamp(&self, request: Request) -> Stamped {
        Stamped { seq: self.exchange.seq() + 1, ts_event: self.now, request }
    }

    fn found(&mut self) -> anyhow::Result<()> {
        let found = Found {
            name: "bench".parse()?,
            id_key: Digest::new([7; 32]),
            operator_key: PublicKey::new([255; 32]),
            settings: Settings::fee(10_000),
        };
        let command = Command::Found(Box::new(found));
        self.apply(Request { agent: AgentId::EXCHANGE, command })?;
        match self.events.first() {
            Some(Event::Founded(founded)) => self.operator = founded.operator,
            other => bail!("founding brought about {other:?}"),
        }
        Ok(())
    }

    fn enrol(&mut self, number: u64) -> anyhow::Result<AgentId> {
        let client_id = self.client_id();
        let enrol = EnrolAccount { client_id, transaction_max: Micros::new(AMOUNT_MAX) };
        let Outcome::Account(account) = self.operate(Command::EnrolAccount(enrol))? else {
            bail!("enrolling an account brought about something else");
        };
        self.deposit(account)?;
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_le_bytes());
        let (client_id, key, roles) = (self.client_id(), PublicKey::new(key), Roles::TRADER);
        let enrol =
            EnrolAgent { client_id, account, key, roles, attributes: Attributes::default() };
        let Outcome::Agent(agent) = self.operate(Command::EnrolAgent(enrol))? else {
            bail!("enrolling an agent brought about something else");
        };
        Ok(agent)
    }

    fn deposit(&mut self, account: AccountId) -> anyhow::Result<()> {
        let client_id = self.client_id();
        let (amount, currency) = (Micros::new(AMOUNT_MAX / 2), Currency::USD);
        let deposit = Deposit { client_id, account, amount, currency };
        self.operate(Command::Deposit(deposit)).map(drop)
    }

    fn operate(&mut self, command: Command) -> anyhow::Result<Outcome> {
        let agent = self.operator;
        self.apply(Request { agent, command })
    }
}

fn terms() -> Digest {
    Digest::new([1; 32])
}
