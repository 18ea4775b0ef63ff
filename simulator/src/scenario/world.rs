//! The world of a scenario: the pure exchange in virtual time, and the names of everything in it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use gavel_exchange::{Events, Exchange, Snapshot};
use gavel_protocol::limits::AMOUNT_MAX;
use gavel_protocol::{
    AccountId, AdvanceTime, AgentId, Attributes, CapabilityId, ClientId, Command, ContractId,
    Currency, Digest, DurationNs, EnrolAccount, EnrolAgent, Event, Found, Micros, Outcome,
    PosedBundle, PublicKey, QuoteId, Ranked, Request, Resume, RfqId, Roles, SessionId, Settings,
    Stamped, TimestampNs,
};

use super::commands::attributes;
use super::line::{Line, ScenarioError};
use super::say::{Followed, Names, say};

/// When a scenario begins: 2026-01-01 00:00 UTC.
const BEGIN: TimestampNs = TimestampNs::from_nanos(1_767_225_600_000_000_000);

/// The fee, unless the scenario names another: one percent.
const FEE_PPM: u32 = 10_000;

/// What one transaction may cost, unless the scenario says.
pub(super) const MOST: Micros = Micros::new(AMOUNT_MAX);

/// The capability, unless the scenario names another.
pub(super) const CAPABILITY: &str = "work";

/// The exchange and the names of everything in it.
pub(super) struct World {
    pub(super) exchange: Exchange,
    pub(super) seq: u64,
    pub(super) now: TimestampNs,
    pub(super) events: Vec<Event>,
    pub(super) ranking: Vec<Ranked>,
    pub(super) posed: Vec<PosedBundle>,
    pub(super) operator: AgentId,
    pub(super) names: Names,
    pub(super) agents: HashMap<String, (AgentId, AccountId)>,
    pub(super) accounts: HashMap<String, AccountId>,
    pub(super) capabilities: HashMap<String, CapabilityId>,
    pub(super) sessions: HashMap<String, SessionId>,
    pub(super) rfqs: HashMap<String, RfqId>,
    /// By RFQ and provider; without one, the last.
    pub(super) contracts: HashMap<(RfqId, Option<AgentId>), ContractId>,
    /// Each agent's last quote per RFQ.
    pub(super) quote_ids: HashMap<(AgentId, RfqId), QuoteId>,
    pub(super) client_ids: HashMap<String, ClientId>,
    pub(super) client_ids_made: u128,
    pub(super) revisions: BTreeMap<(AgentId, CapabilityId), u64>,
    pub(super) output: String,
    journal: Vec<Stamped>,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            exchange: Exchange::new(),
            seq: 0,
            now: BEGIN,
            events: Vec::new(),
            ranking: Vec::new(),
            posed: Vec::new(),
            operator: AgentId::EXCHANGE,
            names: Names::default(),
            agents: HashMap::new(),
            accounts: HashMap::new(),
            capabilities: HashMap::new(),
            sessions: HashMap::new(),
            rfqs: HashMap::new(),
            contracts: HashMap::new(),
            quote_ids: HashMap::new(),
            client_ids: HashMap::new(),
            client_ids_made: 0,
            revisions: BTreeMap::new(),
            output: String::new(),
            journal: Vec::new(),
        }
    }

    /// Returns what followed from everything, and every request.
    pub(super) fn finish(self) -> (String, Vec<Stamped>) {
        (self.output, self.journal)
    }

    /// Executes a line.
    pub(super) fn execute(&mut self, mut line: Line<'_>) -> Result<(), ScenarioError> {
        if line.verb() == "exchange" {
            let required = [("required", true), ("optional", false)];
            let settings = Settings {
                fee_ppm: line.option("fee_ppm", "parts per million")?.unwrap_or(FEE_PPM),
                signatures_required: line.choice("signatures", &required)? == Some(true),
                quotes_per_s_max: line.option("quotes_per_s", "a number")?.unwrap_or(0),
            };
            line.finish()?;
            self.found(settings);
            return Ok(());
        }
        if self.operator == AgentId::EXCHANGE {
            self.found(Settings::fee(FEE_PPM));
        }
        match line.verb() {
            "advance" => {
                let duration = line.duration()?;
                line.finish()?;
                self.advance(duration);
            }
            "outage" => {
                let gap = line.duration()?;
                line.finish()?;
                self.now = self.now.after(gap);
                self.submit(AgentId::EXCHANGE, Command::Resume(Resume { gap }), "outage");
            }
            "snapshot" => {
                line.finish()?;
                self.pass_through_snapshot();
            }
            "agent" => {
                let name = line.argument("a name")?;
                let account = line.text_option("account").unwrap_or(name);
                let transaction_max = line.money_option("transaction_max")?.unwrap_or(MOST);
                let attributes = attributes(&mut line, "attributes")?;
                let roles = [("trader", Roles::TRADER), ("solver", Roles::SOLVER)];
                let roles = line.choice("role", &roles)?.unwrap_or(Roles::TRADER);
                let who = (roles, attributes);
                let enrolled = self.enrol(name, account, transaction_max, who);
                enrolled.ok_or_else(|| line.error(format!("{name} cannot be enrolled")))?;
                line.finish()?;
            }
            "show" => {
                let (name, account) = self.account(&mut line)?;
                line.finish()?;
                self.show(&name, account);
            }
            "reputation" => {
                let (name, agent) = self.agent(&mut line)?;
                line.finish()?;
                self.show_reputation(&name, agent);
            }
            _ => {
                let (agent, command, what) = self.command(&mut line)?;
                line.finish()?;
                self.submit(agent, command, &what);
            }
        }
        Ok(())
    }

    pub(super) fn new_client_id(&mut self) -> ClientId {
        self.client_ids_made += 1;
        ClientId::from_parts(self.now, self.client_ids_made)
    }

    /// Returns the agent of a name, which is enrolled if need be.
    pub(super) fn agent_named(
        &mut self,
        line: &Line<'_>,
        name: &str,
    ) -> Result<AgentId, ScenarioError> {
        self.ensure_enrolled(line, name)?;
        Ok(self.agents[name].0)
    }

    pub(super) fn agent(
        &mut self,
        line: &mut Line<'_>,
    ) -> Result<(String, AgentId), ScenarioError> {
        let name = line.argument("an agent's name")?.to_string();
        self.ensure_enrolled(line, &name)?;
        Ok((name.clone(), self.agents[&name].0))
    }

    pub(super) fn account(
        &mut self,
        line: &mut Line<'_>,
    ) -> Result<(String, AccountId), ScenarioError> {
        let name = line.argument("an agent's name")?.to_string();
        self.ensure_enrolled(line, &name)?;
        Ok((name.clone(), self.agents[&name].1))
    }

    fn ensure_enrolled(&mut self, line: &Line<'_>, name: &str) -> Result<(), ScenarioError> {
        if self.agents.contains_key(name) {
            return Ok(());
        }
        let enrolled = self.enrol(name, name, MOST, (Roles::TRADER, Attributes::default()));
        enrolled.ok_or_else(|| line.error(format!("{name} cannot be enrolled")))
    }

    /// Enrols an agent, and the account of that name unless there is one. Returns `None` if the
    /// exchange rejects it.
    fn enrol(
        &mut self,
        name: &str,
        account: &str,
        transaction_max: Micros,
        (roles, attributes): (Roles, Attributes),
    ) -> Option<()> {
        let account_id = match self.accounts.get(account) {
            Some(account_id) => *account_id,
            None => {
                let client_id = self.new_client_id();
                let enrol = EnrolAccount { client_id, transaction_max };
                let enrolled = self.submit(self.operator, Command::EnrolAccount(enrol), "account");
                let Some(Outcome::Account(id)) = enrolled else { return None };
                self.names.accounts.insert(id, account.into());
                self.accounts.insert(account.into(), id);
                id
            }
        };
        let client_id = self.new_client_id();
        let key = PublicKey::new(*digest(name).as_bytes());
        let enrol = EnrolAgent { client_id, account: account_id, key, roles, attributes };
        let enrolled = self.submit(self.operator, Command::EnrolAgent(enrol), "agent");
        let Some(Outcome::Agent(id)) = enrolled else { return None };
        self.names.agents.insert(id, name.into());
        self.agents.insert(name.into(), (id, account_id));
        Some(())
    }

    fn found(&mut self, settings: Settings) {
        let found = Found {
            name: "scenario".parse().expect("a plain name"),
            id_key: digest("id key"),
            operator_key: PublicKey::new(*digest("operator").as_bytes()),
            settings,
        };
        self.submit(AgentId::EXCHANGE, Command::Found(Box::new(found)), "exchange");
        if let Some(Event::Founded(founded)) = self.events.first() {
            self.operator = founded.operator;
        }
    }

    fn show(&mut self, name: &str, account: AccountId) {
        let balance = self.exchange.balance(account, Currency::USD);
        writeln!(
            self.output,
            "balance {name} available={} held={} escrow={}{}",
            balance.available,
            balance.held,
            balance.escrow,
            match balance.bonds {
                Micros::ZERO => String::new(),
                bonds => format!(" bonds={bonds}"),
            }
        )
        .expect("a String takes everything");
    }

    fn show_reputation(&mut self, name: &str, agent: AgentId) {
        let statement = self.exchange.statement(agent, self.now);
        let bps = statement.map_or(0, |statement| statement.reputation_bps);
        writeln!(self.output, "reputation {name} {bps}").expect("a String takes everything");
    }

    /// Replaces the exchange by what its snapshot makes of it.
    fn pass_through_snapshot(&mut self) {
        let hash = self.exchange.state_hash();
        let bytes = self.exchange.snapshot().to_bytes();
        let snapshot = Snapshot::from_bytes(&bytes).expect("what was just written can be read");
        self.exchange = Exchange::restore(snapshot);
        assert_eq!(self.exchange.state_hash(), hash, "a snapshot is the whole state");
        assert_eq!(self.exchange.trial_balance(), 0, "a snapshot keeps the ledger balanced");
    }

    /// Lets time pass, and each deadline take effect at its own time.
    fn advance(&mut self, duration: DurationNs) {
        let until = self.now.after(duration);
        while let Some(deadline) = self.exchange.next_deadline().filter(|at| *at <= until) {
            self.now = self.now.max(deadline);
            self.advance_due();
        }
        self.now = until;
    }

    /// Submits a command, says what followed, and returns its outcome unless it was rejected.
    pub(super) fn submit(
        &mut self,
        agent: AgentId,
        command: Command,
        what: &str,
    ) -> Option<Outcome> {
        if !matches!(command, Command::Resume(_)) {
            self.advance_due();
        }
        let hash_before = self.exchange.state_hash();
        self.apply(Request { agent, command });
        let outcome = self.events[0].outcome();
        match outcome {
            Ok(_) => self.learn(),
            Err(_) => {
                let same = self.exchange.state_hash() == hash_before;
                assert!(same, "invariant: a rejected command changes nothing: {what}");
            }
        }
        self.say(what);
        let followed = std::mem::take(&mut self.events);
        self.advance_due();
        self.events = followed;
        outcome.ok()
    }

    /// Says what followed from the last command.
    fn say(&mut self, what: &str) {
        let Self { names, events, ranking, posed, output, .. } = self;
        say(names, what, Followed { events, ranking, posed }, output);
    }

    fn advance_due(&mut self) {
        while self.exchange.is_due(self.now) {
            let command = Command::AdvanceTime(AdvanceTime {});
            self.apply(Request { agent: AgentId::EXCHANGE, command });
            self.learn();
            self.say("advance");
        }
    }

    fn apply(&mut self, request: Request) {
        self.seq += 1;
        self.events.clear();
        self.ranking.clear();
        self.posed.clear();
        let stamped = Stamped { seq: self.seq, ts_event: self.now, request };
        let mut out =
            Events { events: &mut self.events, ranking: &mut self.ranking, posed: &mut self.posed };
        self.exchange.apply(&stamped, &mut out);
        assert_eq!(self.exchange.trial_balance(), 0, "invariant: money is conserved");
        self.journal.push(stamped);
    }

    /// Remembers the ids of what was made.
    fn learn(&mut self) {
        for event in &self.events {
            if let Event::RfqOpened(opened) = event
                && let Some(label) = self.names.rfq_pending.take()
            {
                self.rfqs.insert(label.clone(), opened.rfq);
                self.names.rfqs.insert(opened.rfq, label);
            }
            if let Event::QuotePlaced(placed) = event {
                self.quote_ids.insert((placed.provider, placed.rfq), placed.quote);
            }
            if let Event::BundlesQuoted(quoted) = event {
                self.quote_ids.insert((quoted.provider, quoted.rfq), quoted.quote);
            }
            if let Event::LoggedOn(logged_on) = event
                && let Some(name) = self.names.session_pending.take()
            {
                self.sessions.insert(name, logged_on.session);
            }
            if let Event::Awarded(awarded) = event {
                let provider = awarded.parties.provider;
                self.contracts.insert((awarded.rfq, Some(provider)), awarded.contract);
                self.contracts.insert((awarded.rfq, None), awarded.contract);
                self.names.contracts.insert(awarded.contract, awarded.rfq);
            }
        }
    }
}

pub(super) fn digest(text: &str) -> Digest {
    Digest::new(blake3::hash(text.as_bytes()).into())
}
