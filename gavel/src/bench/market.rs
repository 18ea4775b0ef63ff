//! A market of the pure exchange for benches: enrolled agents, open RFQs, standing quotes.

use anyhow::{Context as _, bail};
use gavel_exchange::limits::CLIENT_IDS_MAX;
use gavel_exchange::{Events, Exchange};
use gavel_protocol::limits::AMOUNT_MAX;
use gavel_protocol::{
    AccountId, AdvanceTime, AgentId, Attributes, CancelRfq, CapabilityId, ClientId, Command,
    Currency, Deposit, Digest, DurationNs, EnrolAccount, EnrolAgent, Event, Found, ListCapability,
    Micros, OpenRfq, Outcome, PosedBundle, PublicKey, Ranked, Request, RfqTarget, RfqTerms, Roles,
    SetStandingQuote, Settings, Stamped, TimestampNs,
};
use gavel_sequencer::journal::{Condenser, Head, Record, encode_command};

/// When a bench's market begins: 2026-01-01 00:00 UTC.
const BEGIN: TimestampNs = TimestampNs::from_nanos(1_767_225_600_000_000_000);

/// How much sequenced time passes between two commands.
const TICK: DurationNs = DurationNs::from_nanos(200);

/// How long quotes are valid.
const VALID: DurationNs = DurationNs::from_secs(20 * 3_600);

/// Agents that fill the table of client ids.
pub const FILLING_AGENTS: usize = 1_000;

/// What every agent begins with. All of it together must fit the ledger.
const DEPOSIT: Micros = Micros::new(100_000_000_000_000);

/// Commands of a record that is written down.
const COMMANDS_PER_RECORD: usize = 1_000;

/// What happens, as the records of a journal.
#[derive(Default)]
pub struct Tape {
    head: Head,
    condenser: Condenser,
    commands: Vec<u8>,
    count: usize,
    records: Vec<Record>,
}

impl Tape {
    fn add(
        &mut self,
        stamped: &Stamped,
        (events, ranking, posed): (&[Event], &[Ranked], &[PosedBundle]),
    ) {
        encode_command(stamped, &mut self.commands);
        self.condenser.add_all(events);
        self.condenser.add_all(ranking);
        self.condenser.add_all(posed);
        self.count += 1;
        if self.count == COMMANDS_PER_RECORD {
            let (commands, hash) = (std::mem::take(&mut self.commands), self.condenser.finish());
            let record = Record::following(&self.head, stamped.seq, commands, hash);
            self.head = record.head();
            self.records.push(record);
            self.count = 0;
        }
    }

    /// Returns the whole records since the last time.
    pub fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }
}

/// The exchange, driven by hand.
pub struct Market {
    exchange: Exchange,
    now: TimestampNs,
    events: Vec<Event>,
    ranking: Vec<Ranked>,
    posed: Vec<PosedBundle>,
    operator: AgentId,
    client_ids: u128,
    /// Writes everything down, if it is asked to.
    tape: Option<Tape>,
    /// The enrolled agents, each with an account of its own.
    pub agents: Vec<AgentId>,
    /// The listed capabilities.
    pub capabilities: Vec<CapabilityId>,
}

impl Market {
    /// Founds an exchange with so many agents and capabilities; every agent is rich.
    pub fn new(agents: u64, capabilities: u32) -> anyhow::Result<Self> {
        Self::start(agents, capabilities, None)
    }

    /// The same, with everything that happens from the founding on written down.
    pub fn start(agents: u64, capabilities: u32, tape: Option<Tape>) -> anyhow::Result<Self> {
        let mut market = Self {
            exchange: Exchange::new(),
            now: BEGIN,
            events: Vec::with_capacity(8_192),
            posed: Vec::new(),
            ranking: Vec::with_capacity(8_192),
            operator: AgentId::EXCHANGE,
            client_ids: 0,
            tape,
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

    /// Returns what was written down, if anything was to be.
    pub fn tape(&mut self) -> Option<&mut Tape> {
        self.tape.as_mut()
    }

    /// Returns the bundles of a problem that the last command has posed.
    pub fn posed(&self) -> &[PosedBundle] {
        &self.posed
    }

    /// Returns the step that is due now, with its place and its time.
    pub fn due_now(&self) -> Option<Stamped> {
        self.due().map(|request| self.stamp(request))
    }

    /// Returns a request with the next place and the time of the next tick.
    pub fn stamped(&mut self, request: Request) -> Stamped {
        self.now = self.now.after(TICK);
        self.stamp(request)
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
        while let Some(due) = self.due() {
            let stamped = self.stamp(due);
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

    /// Applies what is due and then a request, appends it all to `stream`, and shows each event, with
    /// the ranked list if it is a close.
    pub fn record(
        &mut self,
        request: Request,
        stream: &mut Vec<Stamped>,
        mut happened: impl FnMut(&Event, &[Ranked]),
    ) {
        self.now = self.now.after(TICK);
        let mut request = Some(request);
        while let Some(next) = self.due().or_else(|| request.take()) {
            let stamped = self.stamp(next);
            self.step(&stamped);
            stream.push(stamped);
            let mut rest = self.ranking.as_slice();
            for event in &self.events {
                let mut of_close: &[Ranked] = &[];
                if let Event::RfqClosed(closed) = event {
                    (of_close, rest) = rest.split_at(closed.ranked as usize);
                }
                happened(event, of_close);
            }
        }
    }

    /// Lets time pass; what falls due comes before the next request.
    pub fn wait(&mut self, duration: DurationNs) {
        self.now = self.now.after(duration);
    }

    /// Applies a recorded stream; so many commands at a time are looked ahead at.
    pub fn replay(&mut self, stream: &[Stamped], ahead: usize) {
        for few in stream.chunks(ahead) {
            self.look_ahead(few);
            for stamped in few {
                self.step(stamped);
            }
        }
    }

    /// Lets the exchange look at what comes next.
    pub fn look_ahead(&self, next: &[Stamped]) {
        self.exchange.look_ahead(next.iter().map(|stamped| &stamped.request));
    }

    /// Fills the table of client ids, evenly over the first agents: with cancels that came too early,
    /// each of which is remembered with its target.
    pub fn fill_client_ids(&mut self) -> anyhow::Result<()> {
        let agents = self.agents.len().min(FILLING_AGENTS);
        for number in 0..CLIENT_IDS_MAX.div_ceil(2) as usize {
            let request = self.early_cancel(self.agents[number % agents]);
            self.apply(request)?;
        }
        Ok(())
    }

    /// Returns a cancel of what has not been asked for yet.
    pub fn early_cancel(&mut self, agent: AgentId) -> Request {
        let (client_id, target) = (self.client_id(), RfqTarget::ClientId(self.client_id()));
        Request { agent, command: Command::CancelRfq(CancelRfq { client_id, target }) }
    }

    /// Returns the step that is due, if any.
    fn due(&self) -> Option<Request> {
        let command = Command::AdvanceTime(AdvanceTime {});
        self.exchange.is_due(self.now).then_some(Request { agent: AgentId::EXCHANGE, command })
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
        self.posed.clear();
        let mut out =
            Events { events: &mut self.events, ranking: &mut self.ranking, posed: &mut self.posed };
        self.exchange.apply(stamped, &mut out);
        self.now = stamped.ts_event;
        if let Some(tape) = &mut self.tape {
            tape.add(stamped, (&self.events, &self.ranking, &self.posed));
        }
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
        let (amount, currency) = (DEPOSIT, Currency::USD);
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
