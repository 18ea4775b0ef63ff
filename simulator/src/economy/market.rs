//! The pure exchange, driven by hand: founded, enrolled and funded for a world, in virtual time.

use gavel_exchange::{Events, Exchange};
use gavel_protocol::limits::AMOUNT_MAX;
use gavel_protocol::{
    AdvanceTime, AgentId, Attributes, CancelStandingQuote, CapabilityId, ClientId, Command,
    Currency, Deposit, Digest, DurationNs, EnrolAccount, EnrolAgent, Event, Found, ListCapability,
    Micros, Name, OpenRfq, Outcome, PosedBundle, PublicKey, Ranked, RejectReason, Request,
    RfqTerms, Roles, Scoring, SetStandingQuote, Settings, Stamped, TimestampNs,
};

use super::error::EconomyError;
use super::world::{Job, World};

/// When an economy begins: 2026-01-01 00:00 UTC.
pub(super) const BEGIN: TimestampNs = TimestampNs::from_nanos(1_767_225_600_000_000_000);

/// How long a provider may take to deliver: longer than any work, so that only who means to is late.
const DELIVERY_WITHIN: DurationNs = DurationNs::from_secs(15);

/// How long a buyer may take to accept. All of them do so at once.
const ACCEPTANCE_WITHIN: DurationNs = DurationNs::from_secs(15);

const CURRENCY: Currency = Currency::USD;

/// The exchange and who trades there.
#[derive(Debug)]
pub(super) struct Market {
    exchange: Exchange,
    now: TimestampNs,
    operator: AgentId,
    client_ids: u128,
    revisions: u64,
    capabilities: Vec<CapabilityId>,
    pub(super) buyers: Vec<AgentId>,
    pub(super) providers: Vec<AgentId>,
    /// Commands that were submitted, what is due not counted.
    pub(super) commands: u64,
    /// What followed from the last command.
    pub(super) events: Vec<Event>,
    ranking: Vec<Ranked>,
    posed: Vec<PosedBundle>,
}

impl Market {
    /// Founds an exchange for a world. Every agent has an account of its own, every buyer more money
    /// than it can spend.
    pub(super) fn found(world: &World<'_>) -> Result<Self, EconomyError> {
        let mut market = Self {
            exchange: Exchange::new(),
            now: BEGIN,
            operator: AgentId::EXCHANGE,
            client_ids: 0,
            revisions: 0,
            capabilities: Vec::new(),
            buyers: Vec::new(),
            providers: Vec::new(),
            commands: 0,
            events: Vec::new(),
            ranking: Vec::new(),
            posed: Vec::new(),
        };
        let settings = Settings::fee(world.population.fee_ppm);
        let found = Command::Found(Box::new(Found {
            name: world.population.name,
            id_key: digest(b"id key"),
            operator_key: PublicKey::new(*digest(b"operator").as_bytes()),
            settings,
        }));
        market.set_up("the founding", AgentId::EXCHANGE, found)?;
        let Some(Event::Founded(founded)) = market.events.first() else {
            return Err(EconomyError::OtherOutcome { what: "the founding" });
        };
        market.operator = founded.operator;
        market.list(world.population.capabilities)?;
        for _ in 0..world.population.buyers.count {
            let buyer = market.enrol(Some(Micros::new(AMOUNT_MAX)))?;
            market.buyers.push(buyer);
        }
        for _ in &world.providers {
            let provider = market.enrol(None)?;
            market.providers.push(provider);
        }
        market.commands = 0;
        Ok(market)
    }

    /// Returns sequenced time.
    pub(super) fn now(&self) -> TimestampNs {
        self.now
    }

    /// Returns the sum of all balances.
    pub(super) fn trial_balance(&self) -> i128 {
        self.exchange.trial_balance()
    }

    /// Returns a new client id.
    pub(super) fn client_id(&mut self) -> ClientId {
        self.client_ids += 1;
        ClientId::from_parts(self.now, self.client_ids)
    }

    /// Lets what is due next take effect at its own time, if that comes before `until` or then.
    /// Returns whether there was anything.
    pub(super) fn advance(&mut self, until: TimestampNs) -> bool {
        let next = self.exchange.next_deadline().filter(|deadline| *deadline <= until);
        let Some(deadline) = next else { return false };
        self.pass(deadline);
        self.apply(AgentId::EXCHANGE, Command::AdvanceTime(AdvanceTime {}));
        true
    }

    /// Lets time pass until `until`. Nothing may be due before.
    pub(super) fn pass(&mut self, until: TimestampNs) {
        self.now = self.now.max(until);
    }

    /// Submits a command of an agent's.
    pub(super) fn submit(
        &mut self,
        agent: AgentId,
        command: Command,
    ) -> Result<Outcome, RejectReason> {
        self.commands += 1;
        self.apply(agent, command);
        self.events[0].outcome()
    }

    /// Returns the command that opens a job's RFQ.
    pub(super) fn open_rfq(&mut self, world: &World<'_>, job: &Job, window: DurationNs) -> Command {
        let rfq = RfqTerms {
            format: world.population.format,
            scoring: Scoring {
                reputation_per_bps: world
                    .population
                    .reputation_per_bps
                    .map_or(Micros::ZERO, |amount| amount.micros()),
                ..Scoring::default()
            },
            window,
            delivery_within: DELIVERY_WITHIN,
            acceptance_within: ACCEPTANCE_WITHIN,
            spec: digest(b"spec"),
            terms: digest(b"terms"),
            ..RfqTerms::plain(self.capabilities[job.capability as usize], CURRENCY, job.reserve)
        };
        let client_id = self.client_id();
        Command::OpenRfq(Box::new(OpenRfq::plain(client_id, rfq)))
    }

    /// Returns the command that cancels a provider's standing quote.
    pub(super) fn cancel_standing_quote(&mut self, capability: u32) -> Command {
        self.revisions += 1;
        let (capability, revision) = (self.capabilities[capability as usize], self.revisions);
        Command::CancelStandingQuote(CancelStandingQuote { capability, revision })
    }

    /// Returns the command that sets a provider's standing quote anew.
    pub(super) fn standing_quote(
        &mut self,
        capability: u32,
        price: Micros,
        capacity: u32,
    ) -> Command {
        self.revisions += 1;
        Command::SetStandingQuote(SetStandingQuote {
            capability: self.capabilities[capability as usize],
            revision: self.revisions,
            price,
            latency_ms: 0,
            capacity,
            valid_until: TimestampNs::MAX,
            terms: digest(b"terms"),
        })
    }

    fn list(&mut self, capabilities: u32) -> Result<(), EconomyError> {
        for number in 0..capabilities {
            let name: Name = format!("work-{number}").parse().expect("letters, `-` and a number");
            let (client_id, terms) = (self.client_id(), digest(b"terms"));
            let list = ListCapability { client_id, name, currency: CURRENCY, terms };
            let (operator, list) = (self.operator, Command::ListCapability(list));
            let Outcome::Capability(capability) = self.set_up("a capability", operator, list)?
            else {
                return Err(EconomyError::OtherOutcome { what: "a capability" });
            };
            self.capabilities.push(capability);
        }
        Ok(())
    }

    /// Enrols an agent with an account of its own.
    fn enrol(&mut self, deposit: Option<Micros>) -> Result<AgentId, EconomyError> {
        let operator = self.operator;
        let (client_id, transaction_max) = (self.client_id(), Micros::new(AMOUNT_MAX));
        let enrol = Command::EnrolAccount(EnrolAccount { client_id, transaction_max });
        let Outcome::Account(account) = self.set_up("an account", operator, enrol)? else {
            return Err(EconomyError::OtherOutcome { what: "an account" });
        };
        if let Some(amount) = deposit {
            let (client_id, currency) = (self.client_id(), CURRENCY);
            let deposit = Command::Deposit(Deposit { client_id, account, amount, currency });
            self.set_up("a deposit", operator, deposit)?;
        }
        let (client_id, roles) = (self.client_id(), Roles::TRADER);
        let key = PublicKey::new(*digest(&client_id.raw().to_le_bytes()).as_bytes());
        let enrol = Command::EnrolAgent(EnrolAgent {
            client_id,
            account,
            key,
            roles,
            attributes: Attributes::default(),
        });
        let Outcome::Agent(agent) = self.set_up("an agent", operator, enrol)? else {
            return Err(EconomyError::OtherOutcome { what: "an agent" });
        };
        Ok(agent)
    }

    fn set_up(
        &mut self,
        what: &'static str,
        agent: AgentId,
        command: Command,
    ) -> Result<Outcome, EconomyError> {
        self.submit(agent, command).map_err(|reason| EconomyError::Founding { what, reason })
    }

    fn apply(&mut self, agent: AgentId, command: Command) {
        let (seq, ts_event) = (self.exchange.seq() + 1, self.now);
        let stamped = Stamped { seq, ts_event, request: Request { agent, command } };
        self.events.clear();
        self.ranking.clear();
        self.posed.clear();
        let mut out =
            Events { events: &mut self.events, ranking: &mut self.ranking, posed: &mut self.posed };
        self.exchange.apply(&stamped, &mut out);
    }
}

fn digest(of: &[u8]) -> Digest {
    Digest::new(blake3::hash(of).into())
}
