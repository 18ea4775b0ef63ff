//! The state of the exchange, and what can be read of it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use gavel_matcher::limits::{RFQS_OPEN_MAX, STANDING_VISITED_MAX};
use gavel_matcher::{Clearing, Rfqs, Scratch, StandingQuotes};
use gavel_protocol::{AccountId, AgentId, Currency, Name, RfqId, Settings, TimestampNs};
use gavel_risk::Exposures;
use gavel_settlement::{Balance, Contracts, Holds, Ledger};

use crate::client_ids::ClientIds;
use crate::clock::Clock;
use crate::contracts::ContractsOfAgents;
use crate::deadlines::Deadlines;
use crate::directory::Directory;
use crate::envelopes::Envelopes;
use crate::limits::AGENTS_MAX;
use crate::mint::Mint;
use crate::standbys::Standbys;
use crate::sweeps::Sweep;

/// The market as one state machine.
#[derive(Debug)]
pub struct Exchange {
    /// The place of the last command.
    pub(crate) seq: u64,
    pub(crate) clock: Clock,
    /// What the founding fixed; nothing else is accepted before it.
    pub(crate) founding: Option<Founding>,
    pub(crate) halted: bool,
    pub(crate) directory: Directory,
    pub(crate) client_ids: ClientIds,
    pub(crate) exposures: Exposures,
    pub(crate) rfqs: Rfqs,
    pub(crate) standing: StandingQuotes,
    pub(crate) clearing: Clearing,
    /// What the check of an allocation needs: empty between commands.
    pub(crate) scratch: Scratch,
    /// Providers whose standing quotes a close has found expired: empty between steps.
    pub(crate) expired: Vec<AgentId>,
    pub(crate) ledger: Ledger,
    pub(crate) holds: Holds,
    pub(crate) contracts: Contracts,
    pub(crate) contracts_of_agents: ContractsOfAgents,
    pub(crate) standbys: Standbys,
    pub(crate) envelopes: Envelopes,
    pub(crate) deadlines: Deadlines,
    /// Quotes that are being canceled.
    pub(crate) sweeps: VecDeque<Sweep>,
    /// Dutch RFQs whose deadline came while a halt stopped their clock.
    pub(crate) stopped: VecDeque<RfqId>,
    /// How many of these are to be looked at, because a halt ended.
    pub(crate) stopped_to_check: u32,
}

/// What the founding fixed.
#[derive(Debug)]
pub(crate) struct Founding {
    pub(crate) name: Name,
    pub(crate) settings: Settings,
    pub(crate) mint: Mint,
}

impl Exchange {
    /// Makes an exchange that waits to be founded, with room for everything it may hold.
    pub fn new() -> Self {
        Self {
            seq: 0,
            clock: Clock::default(),
            founding: None,
            halted: false,
            directory: Directory::new(),
            client_ids: ClientIds::new(),
            exposures: Exposures::new(),
            rfqs: Rfqs::new(AGENTS_MAX),
            standing: StandingQuotes::new(AGENTS_MAX),
            clearing: Clearing::new(),
            scratch: Scratch::new(),
            expired: Vec::with_capacity(STANDING_VISITED_MAX),
            ledger: Ledger::new(),
            holds: Holds::new(),
            contracts: Contracts::new(),
            contracts_of_agents: ContractsOfAgents::new(),
            standbys: Standbys::new(),
            envelopes: Envelopes::new(),
            deadlines: Deadlines::new(),
            sweeps: VecDeque::with_capacity(AGENTS_MAX as usize),
            stopped: VecDeque::with_capacity(RFQS_OPEN_MAX as usize),
            stopped_to_check: 0,
        }
    }

    /// Returns the place of the last command.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the time of the last command.
    pub fn now(&self) -> TimestampNs {
        self.clock.now
    }

    /// Returns the exchange's name, once it is founded.
    pub fn name(&self) -> Option<Name> {
        self.founding.as_ref().map(|founding| founding.name)
    }

    /// Returns whether a deadline is due at `ts_event` or something goes on in steps: then the next
    /// command must be `AdvanceTime`.
    pub fn is_due(&self, ts_event: TimestampNs) -> bool {
        !self.sweeps.is_empty()
            || self.stopped_to_check > 0
            || self.next_deadline().is_some_and(|at| at <= ts_event)
    }

    /// Returns whether all new business is halted.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// Returns when the next deadline is due, in sequenced time.
    pub fn next_deadline(&self) -> Option<TimestampNs> {
        self.deadlines.first(self.clock).map(|(at, _)| at)
    }

    /// Returns what the founding fixed for charges and checks.
    pub(crate) fn settings(&self) -> &Settings {
        let founding = self.founding.as_ref();
        &founding.expect("invariant: whatever asks for settings comes after the founding").settings
    }

    /// Returns what an account has in a currency.
    pub fn balance(&self, account: AccountId, currency: Currency) -> Balance {
        self.ledger.balance(account, currency)
    }

    /// Returns the sum of all balances, counted afresh: zero, or the ledger is broken.
    pub fn trial_balance(&self) -> i128 {
        self.ledger.trial_balance()
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self::new()
    }
}
