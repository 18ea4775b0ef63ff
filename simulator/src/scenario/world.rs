//! The world of a scenario: the pure exchange in virtual time, and the names of everything in it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use gavel_exchange::{Events, Exchange, Snapshot};
use gavel_protocol::limits::AMOUNT_MAX;
use gavel_protocol::{
    AcceptDelivery, AccountId, AdvanceTime, AgentId, AmendQuote, CancelQuote, CancelRfq,
    CancelStandingQuote, CapabilityId, ClientId, Command, ContractId, Currency, Deliver, Deposit,
    Digest, Disclosure, DurationNs, EnrolAccount, EnrolAgent, Event, Format, Found, Halt,
    ListCapability, Logon, Micros, Name, OpenRfq, Outcome, PlaceQuote, PublicKey, QuoteTarget,
    Ranked, Reopen, Request, Resume, RfqId, RfqTarget, RfqTerms, Roles, SessionId, SessionLost,
    SetStandingQuote, Settings, Stamped, StartWork, TimestampNs,
};

use super::line::{Line, ScenarioError};
use super::say::{Names, say};

/// When a scenario begins: 2026-01-01 00:00 UTC.
const BEGIN: TimestampNs = TimestampNs::from_nanos(1_767_225_600_000_000_000);

/// The fee, unless the scenario names another: one percent.
const FEE_PPM: u32 = 10_000;

/// What one transaction may cost, unless the scenario says.
const MOST: Micros = Micros::new(AMOUNT_MAX);

/// The capability, unless the scenario names another.
const CAPABILITY: &str = "work";

/// The exchange and the names of everything in it.
pub(super) struct World {
    exchange: Exchange,
    seq: u64,
    now: TimestampNs,
    events: Vec<Event>,
    ranking: Vec<Ranked>,
    operator: AgentId,
    names: Names,
    agents: HashMap<String, (AgentId, AccountId)>,
    capabilities: HashMap<String, CapabilityId>,
    sessions: HashMap<String, SessionId>,
    rfqs: HashMap<String, RfqId>,
    contracts: HashMap<RfqId, ContractId>,
    /// The client id of each agent's last quote per RFQ.
    quotes: HashMap<(AgentId, RfqId), ClientId>,
    client_ids: HashMap<String, ClientId>,
    client_ids_made: u128,
    revisions: BTreeMap<(AgentId, CapabilityId), u64>,
    output: String,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            exchange: Exchange::new(),
            seq: 0,
            now: BEGIN,
            events: Vec::new(),
            ranking: Vec::new(),
            operator: AgentId::EXCHANGE,
            names: Names::default(),
            agents: HashMap::new(),
            capabilities: HashMap::new(),
            sessions: HashMap::new(),
            rfqs: HashMap::new(),
            contracts: HashMap::new(),
            quotes: HashMap::new(),
            client_ids: HashMap::new(),
            client_ids_made: 0,
            revisions: BTreeMap::new(),
            output: String::new(),
        }
    }

    /// Returns what followed from everything.
    pub(super) fn finish(self) -> String {
        self.output
    }

    /// Executes a line.
    pub(super) fn execute(&mut self, mut line: Line<'_>) -> Result<(), ScenarioError> {
        if line.verb() == "exchange" {
            let fee_ppm = line.option("fee_ppm", "parts per million")?;
            line.finish()?;
            self.found(fee_ppm.unwrap_or(FEE_PPM));
            return Ok(());
        }
        if self.operator == AgentId::EXCHANGE {
            self.found(FEE_PPM);
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
                let transaction_max = line.money_option("transaction_max")?;
                let enrolled = self.enrol(name, account, transaction_max.unwrap_or(MOST));
                enrolled.ok_or_else(|| line.error(format!("{name} cannot be enrolled")))?;
                line.finish()?;
            }
            "show" => {
                let (name, account) = self.account(&mut line)?;
                line.finish()?;
                self.show(&name, account);
            }
            _ => {
                let (agent, command, what) = self.command(&mut line)?;
                line.finish()?;
                self.submit(agent, command, &what);
            }
        }
        Ok(())
    }

    /// Makes the command of a line. Returns who sends it, and how its outcome is called.
    fn command(
        &mut self,
        line: &mut Line<'_>,
    ) -> Result<(AgentId, Command, String), ScenarioError> {
        let verb = line.verb();
        if let Some(command) = self.operator_command(line)? {
            return Ok((self.operator, command, verb.into()));
        }
        let (name, agent) = self.agent(line)?;
        let mut what = format!("{verb} {name}");
        let command = match verb {
            "logon" => self.logon(line, &name)?,
            "lost" => {
                let session = self.sessions.remove(&name).unwrap_or(SessionId::new(0));
                let command = Command::SessionLost(SessionLost { agent, session });
                return Ok((AgentId::EXCHANGE, command, what));
            }
            "standing" => self.standing(line, agent)?,
            "cancel-standing" => {
                let capability = self.capability(line)?;
                let revision = self.revision(line, agent, capability)?;
                Command::CancelStandingQuote(CancelStandingQuote { capability, revision })
            }
            _ => {
                let label = line.argument("an RFQ such as #1")?;
                write!(what, " {label}").expect("a String takes everything");
                self.command_on_rfq(line, agent, label)?
            }
        };
        Ok((agent, command, what))
    }

    fn operator_command(&mut self, line: &mut Line<'_>) -> Result<Option<Command>, ScenarioError> {
        Ok(Some(match line.verb() {
            "deposit" => {
                let (_, account) = self.account(line)?;
                let amount = line.money("an amount")?;
                let currency = line.option("currency", "a currency such as USD")?;
                let currency = currency.unwrap_or(Currency::USD);
                Command::Deposit(Deposit {
                    client_id: self.client_id(line),
                    account,
                    amount,
                    currency,
                })
            }
            "halt" => Command::Halt(Halt { client_id: self.client_id(line) }),
            "reopen" => Command::Reopen(Reopen { client_id: self.client_id(line) }),
            _ => return Ok(None),
        }))
    }

    fn command_on_rfq(
        &mut self,
        line: &mut Line<'_>,
        agent: AgentId,
        label: &str,
    ) -> Result<Command, ScenarioError> {
        let client_id = self.client_id(line);
        let rfq = self.rfqs.get(label).copied().unwrap_or(RfqId::new(0));
        let contract = self.contracts.get(&rfq).copied().unwrap_or(ContractId::new(0));
        Ok(match line.verb() {
            "rfq" => {
                self.names.rfq_pending = Some(label.to_string());
                let rfq = self.rfq_terms(line)?;
                Command::OpenRfq(Box::new(OpenRfq { client_id, rfq, signature: None }))
            }
            "cancel-rfq" => {
                let target = match line.text_option("target") {
                    Some(target) => RfqTarget::ClientId(self.named_client_id(target)),
                    None => RfqTarget::Id(rfq),
                };
                Command::CancelRfq(CancelRfq { client_id, target })
            }
            "quote" => {
                let price = line.money("a price")?;
                let valid_until = self.valid_until(line)?;
                self.quotes.entry((agent, rfq)).or_insert(client_id);
                let signature = None;
                Command::PlaceQuote(PlaceQuote { client_id, rfq, price, valid_until, signature })
            }
            "amend" => {
                let target = self.quote_target(line, agent, rfq);
                let price = line.money("a price")?;
                let valid_until = self.valid_until(line)?;
                let signature = None;
                Command::AmendQuote(AmendQuote { client_id, target, price, valid_until, signature })
            }
            "cancel-quote" => {
                let target = self.quote_target(line, agent, rfq);
                self.quotes.remove(&(agent, rfq));
                Command::CancelQuote(CancelQuote { client_id, target })
            }
            "start" => Command::StartWork(StartWork { client_id, contract }),
            "deliver" => {
                let text = line.optional_argument().unwrap_or("deliverable");
                let deliverable = digest(text);
                Command::Deliver(Deliver { client_id, contract, deliverable })
            }
            "accept" => Command::AcceptDelivery(AcceptDelivery { client_id, contract }),
            verb => return Err(line.error(format!("no verb `{verb}` in the language"))),
        })
    }

    fn rfq_terms(&mut self, line: &mut Line<'_>) -> Result<RfqTerms, ScenarioError> {
        let hour = DurationNs::from_secs(3_600);
        let reserve = line.money_option("reserve")?;
        let reserve = reserve.ok_or_else(|| line.error("`rfq` needs reserve=PRICE"))?;
        let disclosures = [("nothing", Disclosure::Nothing), ("price", Disclosure::ClearingPrice)];
        let format = line.choice("format", &[("first_price", Format::FirstPrice)])?;
        let terms = line.text_option("terms").unwrap_or("terms");
        Ok(RfqTerms {
            capability: self.capability(line)?,
            currency: line.option("currency", "a currency")?.unwrap_or(Currency::USD),
            quantity: line.option("quantity", "a number of units")?.unwrap_or(1),
            reserve,
            format: format.unwrap_or(Format::FirstPrice),
            window: line.duration_option("window")?.unwrap_or(DurationNs::ZERO),
            admit_standing: line.choice("standing", &[("yes", true), ("no", false)])? == Some(true),
            disclosure: line.choice("disclose", &disclosures)?.unwrap_or(Disclosure::ClearingPrice),
            delivery_within: line.duration_option("delivery")?.unwrap_or(hour),
            acceptance_within: line.duration_option("acceptance")?.unwrap_or(hour),
            spec: digest("spec"),
            inputs: None,
            terms: digest(terms),
        })
    }

    fn standing(&mut self, line: &mut Line<'_>, agent: AgentId) -> Result<Command, ScenarioError> {
        let price = line.money("a price")?;
        let capability = self.capability(line)?;
        Ok(Command::SetStandingQuote(SetStandingQuote {
            capability,
            revision: self.revision(line, agent, capability)?,
            price,
            capacity: line.option("capacity", "a number of units")?.unwrap_or(1),
            valid_until: self.valid_until(line)?,
            terms: digest(line.text_option("terms").unwrap_or("terms")),
            signature: None,
        }))
    }

    fn logon(&mut self, line: &mut Line<'_>, name: &str) -> Result<Command, ScenarioError> {
        let yes_no = [("yes", true), ("no", false)];
        let cancel_on_disconnect = line.choice("cancel_on_disconnect", &yes_no)? == Some(true);
        let resume = match line.choice("resume", &yes_no)? {
            Some(true) => self.sessions.get(name).copied(),
            Some(false) | None => None,
        };
        self.names.session_pending = Some(name.to_string());
        Ok(Command::Logon(Logon { resume, cancel_on_disconnect }))
    }

    fn valid_until(&self, line: &mut Line<'_>) -> Result<TimestampNs, ScenarioError> {
        let valid = line.duration_option("valid")?.unwrap_or(DurationNs::from_secs(24 * 3_600));
        Ok(self.now.after(valid))
    }

    fn quote_target(&mut self, line: &mut Line<'_>, agent: AgentId, rfq: RfqId) -> QuoteTarget {
        if let Some(target) = line.text_option("target") {
            return QuoteTarget::ClientId(self.named_client_id(target));
        }
        match self.quotes.get(&(agent, rfq)) {
            Some(client_id) => QuoteTarget::ClientId(*client_id),
            None => QuoteTarget::Id(gavel_protocol::QuoteId::new(0)),
        }
    }

    fn revision(
        &mut self,
        line: &mut Line<'_>,
        agent: AgentId,
        capability: CapabilityId,
    ) -> Result<u64, ScenarioError> {
        let last = self.revisions.entry((agent, capability)).or_default();
        let revision = line.option("revision", "a number")?.unwrap_or(*last + 1);
        *last = revision.max(*last);
        Ok(revision)
    }

    /// Takes the option `id`, or makes an id that was never used.
    fn client_id(&mut self, line: &mut Line<'_>) -> ClientId {
        match line.text_option("id") {
            Some(name) => self.named_client_id(name),
            None => self.new_client_id(),
        }
    }

    fn named_client_id(&mut self, name: &str) -> ClientId {
        if let Some(known) = self.client_ids.get(name) {
            return *known;
        }
        let made = self.new_client_id();
        self.client_ids.insert(name.into(), made);
        made
    }

    fn new_client_id(&mut self) -> ClientId {
        self.client_ids_made += 1;
        ClientId::from_parts(self.now, self.client_ids_made)
    }

    fn capability(&mut self, line: &mut Line<'_>) -> Result<CapabilityId, ScenarioError> {
        let name = line.text_option("capability").unwrap_or(CAPABILITY);
        if let Some(known) = self.capabilities.get(name) {
            return Ok(*known);
        }
        let parsed: Name = name.parse().map_err(|error| line.error(format!("{error}")))?;
        let client_id = self.new_client_id();
        let terms = digest("terms");
        let list = ListCapability { client_id, name: parsed, currency: Currency::USD, terms };
        let listed = self.submit(self.operator, Command::ListCapability(list), "capability");
        let Some(Outcome::Capability(id)) = listed else {
            return Err(line.error(format!("the capability {name} cannot be listed")));
        };
        self.capabilities.insert(name.into(), id);
        self.names.capabilities.insert(id, name.into());
        Ok(id)
    }

    fn agent(&mut self, line: &mut Line<'_>) -> Result<(String, AgentId), ScenarioError> {
        let name = line.argument("an agent's name")?.to_string();
        self.ensure_enrolled(line, &name)?;
        Ok((name.clone(), self.agents[&name].0))
    }

    fn account(&mut self, line: &mut Line<'_>) -> Result<(String, AccountId), ScenarioError> {
        let name = line.argument("an agent's name")?.to_string();
        self.ensure_enrolled(line, &name)?;
        Ok((name.clone(), self.agents[&name].1))
    }

    fn ensure_enrolled(&mut self, line: &Line<'_>, name: &str) -> Result<(), ScenarioError> {
        if self.agents.contains_key(name) {
            return Ok(());
        }
        self.enrol(name, name, MOST).ok_or_else(|| line.error(format!("{name} cannot be enrolled")))
    }

    /// Enrols an agent, and its account unless an agent of that name has one. Returns `None` if the
    /// exchange rejects it.
    fn enrol(&mut self, name: &str, account: &str, transaction_max: Micros) -> Option<()> {
        let account_id = match self.agents.get(account) {
            Some((_, account_id)) => *account_id,
            None => {
                let client_id = self.new_client_id();
                let enrol = EnrolAccount { client_id, transaction_max };
                let enrolled = self.submit(self.operator, Command::EnrolAccount(enrol), "account");
                let Some(Outcome::Account(id)) = enrolled else { return None };
                self.names.accounts.insert(id, account.into());
                id
            }
        };
        let client_id = self.new_client_id();
        let key = PublicKey::new(*digest(name).as_bytes());
        let roles = Roles::TRADER;
        let enrol = EnrolAgent { client_id, account: account_id, key, roles };
        let enrolled = self.submit(self.operator, Command::EnrolAgent(enrol), "agent");
        let Some(Outcome::Agent(id)) = enrolled else { return None };
        self.names.agents.insert(id, name.into());
        self.agents.insert(name.into(), (id, account_id));
        Some(())
    }

    fn found(&mut self, fee_ppm: u32) {
        let found = Found {
            name: "scenario".parse().expect("a plain name"),
            id_key: digest("id key"),
            operator_key: PublicKey::new(*digest("operator").as_bytes()),
            settings: Settings { fee_ppm },
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
            "balance {name} available={} held={} escrow={}",
            balance.available, balance.held, balance.escrow
        )
        .expect("a String takes everything");
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
    fn submit(&mut self, agent: AgentId, command: Command, what: &str) -> Option<Outcome> {
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
        say(&self.names, what, &self.events, &self.ranking, &mut self.output);
        let followed = std::mem::take(&mut self.events);
        self.advance_due();
        self.events = followed;
        outcome.ok()
    }

    fn advance_due(&mut self) {
        while self.exchange.is_due(self.now) {
            let command = Command::AdvanceTime(AdvanceTime {});
            self.apply(Request { agent: AgentId::EXCHANGE, command });
            self.learn();
            say(&self.names, "advance", &self.events, &self.ranking, &mut self.output);
        }
    }

    fn apply(&mut self, request: Request) {
        self.seq += 1;
        self.events.clear();
        self.ranking.clear();
        let stamped = Stamped { seq: self.seq, ts_event: self.now, request };
        let mut out = Events { events: &mut self.events, ranking: &mut self.ranking };
        self.exchange.apply(&stamped, &mut out);
        assert_eq!(self.exchange.trial_balance(), 0, "invariant: money is conserved");
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
            if let Event::LoggedOn(logged_on) = event
                && let Some(name) = self.names.session_pending.take()
            {
                self.sessions.insert(name, logged_on.session);
            }
            if let Event::Awarded(awarded) = event {
                self.contracts.insert(awarded.rfq, awarded.contract);
                self.names.contracts.insert(awarded.contract, awarded.rfq);
            }
        }
    }
}

fn digest(text: &str) -> Digest {
    Digest::new(blake3::hash(text.as_bytes()).into())
}
