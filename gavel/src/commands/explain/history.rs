//! Everything that a journal says of one RFQ: more than anybody may see of it.

use std::collections::{HashMap, HashSet};

use gavel_protocol::{
    AccountId, AgentId, CapabilityId, Command, ContractId, Event, Movement, OpenRfq, PublicKey,
    QuoteId, QuoteTarget, Ranked, RejectReason, RfqClosed, RfqId, RfqOpened, RfqTarget, Stamped,
    TimestampNs,
};
use gavel_sequencer::StepView;

use crate::commands::explain::money::Attribution;

/// What happened to one RFQ.
pub struct History {
    rfq: RfqId,
    agents: HashMap<PublicKey, AgentId>,
    accounts: HashMap<AgentId, AccountId>,
    /// The operator, once the exchange is founded.
    pub operator: Option<AgentId>,
    /// How it was opened, if it was.
    pub opening: Option<Opening>,
    /// What happened, in order.
    pub moments: Vec<Moment>,
    /// What its buyer was shown to pick from.
    pub book: Vec<Ranked>,
    /// The ranked list of its close.
    pub ranked: Vec<Ranked>,
    /// How it ended, if it has.
    pub closed: Option<RfqClosed>,
    /// The money that moved for it.
    pub movements: Vec<(TimestampNs, Movement)>,
    contracts: HashSet<ContractId>,
    /// The place of each quote among ties: the number of its last change.
    places: HashMap<QuoteId, u64>,
    attribution: Attribution,
}

/// How an RFQ was opened.
pub struct Opening {
    /// When.
    pub ts_event: TimestampNs,
    /// What came of it.
    pub opened: RfqOpened,
    /// What was asked for.
    pub command: OpenRfq,
}

/// Something that happened to the RFQ.
pub struct Moment {
    /// When.
    pub ts_event: TimestampNs,
    /// What.
    pub what: What,
}

/// What happened.
pub enum What {
    /// An event of the exchange.
    Event(Box<Event>),
    /// A command that named the RFQ was rejected.
    Refused {
        /// Whose command.
        asker: AgentId,
        /// Which one.
        command: &'static str,
        /// Why.
        reason: RejectReason,
    },
}

impl History {
    /// Gathers what happens to an RFQ.
    pub fn of(rfq: RfqId) -> Self {
        Self {
            rfq,
            agents: HashMap::new(),
            accounts: HashMap::new(),
            operator: None,
            opening: None,
            moments: Vec::new(),
            book: Vec::new(),
            ranked: Vec::new(),
            closed: None,
            movements: Vec::new(),
            contracts: HashSet::new(),
            places: HashMap::new(),
            attribution: Attribution::default(),
        }
    }

    /// Returns the agent that has a key.
    pub fn agent(&self, key: &PublicKey) -> Option<AgentId> {
        self.agents.get(key).copied()
    }

    /// Returns the account of an agent.
    pub fn account(&self, agent: AgentId) -> Option<AccountId> {
        self.accounts.get(&agent).copied()
    }

    /// Returns the place of a quote among ties: the lower comes first.
    pub fn place(&self, quote: QuoteId) -> Option<u64> {
        self.places.get(&quote).copied()
    }

    /// Takes a step of the journal. Steps come in their order.
    pub fn add(&mut self, step: &StepView<'_>) {
        self.attribution.begin_step();
        for (event, ranking) in step.events_with_ranking() {
            self.note_agents(event);
            self.note_money(step.stamped.ts_event, event);
            if self.is_about_us(event) == Some(true) || self.concerns_us(event) {
                self.note(step.stamped, event, ranking);
            }
        }
        if let Some(Event::Rejected(rejected)) = step.events.first()
            && self.is_named_in(&step.stamped.request.command)
        {
            let Stamped { ts_event, request, .. } = step.stamped;
            let (asker, command) = (request.agent, request.command.template_name());
            let what = What::Refused { asker, command, reason: rejected.reason };
            self.moments.push(Moment { ts_event: *ts_event, what });
        }
    }

    fn note_agents(&mut self, event: &Event) {
        if let Event::Founded(founded) = event {
            self.operator = Some(founded.operator);
            self.agents.insert(founded.operator_key, founded.operator);
            self.accounts.insert(founded.operator, founded.operator_account);
        } else if let Event::AgentEnrolled(enrolled) = event {
            self.agents.insert(enrolled.key, enrolled.agent);
            self.accounts.insert(enrolled.agent, enrolled.account);
        }
    }

    fn note_money(&mut self, ts_event: TimestampNs, event: &Event) {
        let is_ours = self.is_about_us(event);
        let ours = self.attribution.add(event, is_ours);
        self.movements.extend(ours.into_iter().map(|movement| (ts_event, movement)));
    }

    fn note(&mut self, stamped: &Stamped, event: &Event, ranking: &[Ranked]) {
        let ts_event = stamped.ts_event;
        if let (Event::RfqOpened(opened), Command::OpenRfq(command)) =
            (event, &stamped.request.command)
        {
            let (opened, command) = (*opened, (**command).clone());
            self.opening = Some(Opening { ts_event, opened, command });
        } else if let Event::Awarded(awarded) = event {
            self.contracts.insert(awarded.contract);
        } else if let Event::QuotePlaced(placed) = event {
            self.places.insert(placed.quote, stamped.seq);
        } else if let Event::BundlesQuoted(quoted) = event {
            self.places.entry(quoted.quote).or_insert(stamped.seq);
        } else if let Event::QuoteAmended(amended) = event
            && !amended.kept_place
        {
            self.places.insert(amended.quote, stamped.seq);
        } else if let Event::BookShown(_) = event {
            self.book = ranking.to_vec();
        } else if let Event::RfqClosed(closed) = event {
            self.closed = Some(*closed);
            self.ranked = ranking.to_vec();
        }
        self.moments.push(Moment { ts_event, what: What::Event(Box::new(*event)) });
    }

    /// Returns whether an event that names an RFQ names this one.
    fn is_about_us(&self, event: &Event) -> Option<bool> {
        let contract = |contract: ContractId| Some(self.contracts.contains(&contract));
        let rfq = match event {
            Event::RfqOpened(e) => e.rfq,
            Event::ProviderInvited(e) => e.rfq,
            Event::RfqDeclined(e) => e.rfq,
            Event::RfqTaken(e) => e.rfq,
            Event::BookShown(e) => e.rfq,
            Event::QuotePicked(e) => e.rfq,
            Event::RfqCanceled(e) => e.rfq,
            Event::RfqClosed(e) => e.rfq,
            Event::QuotePlaced(e) => e.rfq,
            Event::BundlesQuoted(e) => e.rfq,
            Event::BundleQuoted(e) => e.rfq,
            Event::ClearingStarted(e) => e.rfq,
            Event::BundlesPosed(e) => e.rfq,
            Event::AllocationProposed(e) => e.rfq,
            Event::RfqCleared(e) => e.rfq,
            Event::BundleLost(e) => e.rfq,
            Event::QuoteAmended(e) => e.rfq,
            Event::QuoteCanceled(e) => e.rfq,
            Event::StandbyEnded(e) => e.rfq,
            Event::Awarded(e) => e.rfq,
            Event::WorkStarted(e) => return contract(e.contract),
            Event::Delivered(e) => return contract(e.contract),
            Event::ContractVerified(e) => return contract(e.contract),
            Event::ContractSettled(e) => return contract(e.contract),
            Event::ContractExpired(e) => return contract(e.contract),
            Event::ContractTakenOver(e) => return contract(e.contract),
            Event::Founded(_)
            | Event::AccountEnrolled(_)
            | Event::AgentEnrolled(_)
            | Event::CapabilityListed(_)
            | Event::Deposited(_)
            | Event::Halted(_)
            | Event::Reopened(_)
            | Event::PriceBandSet(_)
            | Event::LoggedOn(_)
            | Event::SessionEnded(_)
            | Event::StandingQuoteSet(_)
            | Event::StandingQuoteCanceled(_)
            | Event::MassQuoted(_)
            | Event::LineRejected(_)
            | Event::MassCanceled(_)
            | Event::EnvelopeSigned(_)
            | Event::CancelKept(_)
            | Event::ReputationChanged(_)
            | Event::ProviderSuspended(_)
            | Event::Moved(_)
            | Event::Rejected(_)
            | Event::Repeated(_)
            | Event::TimeAdvanced(_)
            | Event::Resumed(_)
            | Event::Upgraded(_) => return None,
        };
        Some(rfq == self.rfq)
    }

    /// Returns whether an event that names no RFQ concerns this one, because it is open.
    fn concerns_us(&self, event: &Event) -> bool {
        let Some(opening) = self.opening.as_ref().filter(|_| self.closed.is_none()) else {
            return false;
        };
        let ours = |reach: Option<CapabilityId>| {
            reach.is_none_or(|capability| capability == opening.opened.terms.capability)
        };
        if let Event::Halted(halted) = event {
            return ours(halted.capability);
        }
        if let Event::Reopened(reopened) = event {
            return ours(reopened.capability);
        }
        matches!(event, Event::Resumed(_))
    }

    /// Returns whether a command names this RFQ or one of its quotes.
    fn is_named_in(&self, command: &Command) -> bool {
        if let Command::PlaceQuote(c) = command {
            return c.rfq == self.rfq;
        }
        if let Command::QuoteBundles(c) = command {
            return c.rfq == self.rfq;
        }
        if let Command::ProposeAllocation(c) = command {
            return c.rfq == self.rfq;
        }
        if let Command::AmendQuote(c) = command {
            return self.has_quote(c.target);
        }
        if let Command::CancelQuote(c) = command {
            return self.has_quote(c.target);
        }
        if let Command::TakeRfq(c) = command {
            return c.rfq == self.rfq;
        }
        if let Command::DeclineRfq(c) = command {
            return c.rfq == self.rfq;
        }
        if let Command::PickQuote(c) = command {
            return c.rfq == self.rfq;
        }
        matches!(command, Command::CancelRfq(c) if c.target == RfqTarget::Id(self.rfq))
    }

    fn has_quote(&self, target: QuoteTarget) -> bool {
        matches!(target, QuoteTarget::Id(quote) if self.places.contains_key(&quote))
    }
}
