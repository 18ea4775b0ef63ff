//! The whole state as plain data: written, read back, and condensed into a hash.
//!
//! Every list has one defined order, so that equal states have equal bytes, wherever and however
//! they came about.

use alloc::vec::Vec;

use gavel_matcher::{Quote, Rfq, StandingQuote, Update};
use gavel_protocol::{
    AccountId, AgentId, CapabilityId, CapabilityListed, ClientId, ContractId, ContractState,
    Currency, Digest, DurationNs, Micros, Name, Outcome, Parties, PublicKey, QuoteId,
    RULES_VERSION, RfqId, RfqTerms, Roles, SessionId, Settings, TimestampNs,
};
use gavel_risk::Exposure;
use gavel_settlement::{Balance, Contract, Hold};
use rkyv::{Archive, Deserialize, Serialize};

use crate::client_ids::Remembered;
use crate::clock::Clock;
use crate::deadlines::Due;
use crate::directory::{Agent, Session};
use crate::exchange::{Exchange, Founding};
use crate::mint::Mint;

/// A condensed state, without its place in the order and its time: two exchanges of equal hash
/// answer alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateHash(Digest);

impl core::fmt::Display for StateHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes that are not a snapshot that this build can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The bytes are damaged.
    #[error("the bytes are not a snapshot")]
    Damaged,
    /// The snapshot was written under other rules.
    #[error("the snapshot needs a build of rules version {0}")]
    OtherRules(u32),
}

/// The whole state of an exchange.
#[derive(Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Snapshot {
    rules_version: u32,
    seq: u64,
    now: TimestampNs,
    outage: DurationNs,
    halted: bool,
    founding: Option<FoundingRecord>,
    agents: Vec<AgentRecord>,
    capabilities: Vec<CapabilityListed>,
    accounts: Vec<AccountRecord>,
    balances: Vec<BalanceRecord>,
    holds: Vec<HoldRecord>,
    deadlines: Vec<DeadlineRecord>,
    quotes: Vec<QuoteRecord>,
    standing: Vec<StandingRecord>,
    horizons: Vec<HorizonRecord>,
    client_ids: Vec<ClientIdRecord>,
    sweeps: Vec<AgentId>,
}

macro_rules! records {
    ($(struct $name:ident { $($field:ident: $type:ty,)* })+) => {$(
        #[derive(Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
        struct $name { $($field: $type,)* }
    )+};
}

records! {
    struct FoundingRecord {
        name: Name,
        settings: Settings,
        id_key: Digest,
    }

    struct AgentRecord {
        id: AgentId,
        account: AccountId,
        key: PublicKey,
        roles: Roles,
        session: Option<SessionRecord>,
    }

    struct SessionRecord {
        id: SessionId,
        cancel_on_disconnect: bool,
    }

    struct AccountRecord {
        id: AccountId,
        transaction_max: Micros,
        rfqs: u32,
        quotes: u32,
        contracts: u32,
    }

    struct BalanceRecord {
        account: AccountId,
        currency: Currency,
        available: Micros,
        held: Micros,
        escrow: Micros,
        fees: Micros,
        external: Micros,
    }

    struct HoldRecord {
        rfq: RfqId,
        account: AccountId,
        amount: Micros,
        currency: Currency,
    }

    struct RfqRecord {
        id: RfqId,
        buyer: AgentId,
        account: AccountId,
        terms: RfqTerms,
    }

    struct ContractRecord {
        id: ContractId,
        rfq: RfqId,
        parties: Parties,
        buyer_account: AccountId,
        provider_account: AccountId,
        escrow: Micros,
        currency: Currency,
        fee_ppm: u32,
        acceptance_within: DurationNs,
        state: ContractState,
        deliverable: Option<Digest>,
    }

    struct QuoteRecord {
        id: QuoteId,
        rfq: RfqId,
        provider: AgentId,
        account: AccountId,
        price: Micros,
        priority: u64,
        placed: u64,
        valid_until: TimestampNs,
    }

    struct StandingRecord {
        capability: CapabilityId,
        provider: AgentId,
        account: AccountId,
        revision: u64,
        price: Micros,
        offered: u32,
        capacity: u32,
        valid_until: TimestampNs,
        priority: u64,
        live_since: u64,
    }

    struct HorizonRecord {
        agent: AgentId,
        horizon: TimestampNs,
    }

    struct ClientIdRecord {
        agent: AgentId,
        client_id: ClientId,
        body: Option<u64>,
        ts_event: TimestampNs,
        outcome: Outcome,
    }
}

/// An open RFQ or contract with its deadline, in the order in which the deadlines were made.
#[derive(Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
struct DeadlineRecord {
    at: TimestampNs,
    of: DeadlineOf,
}

#[derive(Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
enum DeadlineOf {
    Rfq(RfqRecord),
    Contract(ContractRecord),
}

impl Snapshot {
    /// Returns the snapshot as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = rkyv::to_bytes::<rkyv::rancor::Failure>(self);
        bytes.expect("memory is the only thing that writing to a Vec needs").into_vec()
    }

    /// Reads a snapshot, validating every byte of it.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let snapshot = rkyv::from_bytes::<Self, rkyv::rancor::Failure>(bytes);
        let snapshot = snapshot.map_err(|_| SnapshotError::Damaged)?;
        match snapshot.rules_version {
            RULES_VERSION => Ok(snapshot),
            other => Err(SnapshotError::OtherRules(other)),
        }
    }
}

impl Exchange {
    /// Returns the whole state.
    pub fn snapshot(&self) -> Snapshot {
        let Clock { now, outage } = self.clock;
        Snapshot {
            rules_version: RULES_VERSION,
            seq: self.seq,
            now,
            outage,
            halted: self.halted,
            founding: self.founding.as_ref().map(|founding| FoundingRecord {
                name: founding.name,
                settings: founding.settings,
                id_key: founding.mint.key(),
            }),
            agents: self.directory.agents().iter().map(agent_record).collect(),
            capabilities: self.directory.capabilities().to_vec(),
            accounts: sorted(self.exposures.iter().map(account_record), |a| a.id),
            balances: sorted(self.ledger.balances().map(balance_record), |b| {
                (b.account, b.currency)
            }),
            holds: sorted(self.holds.iter().map(hold_record), |h| h.rfq),
            deadlines: self.deadline_records(),
            quotes: sorted(self.rfqs.quotes().map(quote_record), |q| q.placed),
            standing: sorted(self.standing.iter().map(standing_record), |s| {
                (s.live_since, s.provider, s.capability)
            }),
            horizons: sorted(
                self.client_ids
                    .horizons()
                    .map(|(agent, horizon)| HorizonRecord { agent, horizon })
                    .filter(|record| record.horizon > TimestampNs::default()),
                |h| h.agent,
            ),
            client_ids: self.client_id_records(),
            sweeps: self.sweeps.iter().copied().collect(),
        }
    }

    /// Returns the condensed state.
    pub fn state_hash(&self) -> StateHash {
        let timeless = Snapshot { seq: 0, now: TimestampNs::default(), ..self.snapshot() };
        StateHash(Digest::new(blake3::hash(&timeless.to_bytes()).into()))
    }

    /// Makes an exchange of a snapshot.
    pub fn restore(snapshot: Snapshot) -> Self {
        let mut exchange = Self::new();
        exchange.seq = snapshot.seq;
        exchange.clock = Clock { now: snapshot.now, outage: snapshot.outage };
        exchange.halted = snapshot.halted;
        exchange.founding = snapshot.founding.map(|record| Founding {
            name: record.name,
            settings: record.settings,
            mint: Mint::new(record.id_key),
        });
        for record in snapshot.agents {
            exchange.directory.enrol(agent(record));
        }
        for capability in snapshot.capabilities {
            exchange.directory.list(capability);
            exchange.standing.list(capability.capability);
        }
        exchange.restore_money(snapshot.accounts, snapshot.balances, snapshot.holds);
        for record in snapshot.deadlines {
            exchange.restore_deadline(record);
        }
        for record in snapshot.quotes {
            exchange.restore_quote(record);
        }
        for record in snapshot.standing {
            exchange.standing.restore(standing_quote(record));
        }
        for record in snapshot.client_ids {
            let ClientIdRecord { agent, client_id, body, ts_event, outcome } = record;
            let remembered = Remembered { agent, client_id, body, ts_event, outcome };
            exchange.client_ids.remember(remembered);
        }
        for HorizonRecord { agent, horizon } in snapshot.horizons {
            exchange.client_ids.restore_horizon(agent, horizon);
        }
        exchange.sweeps.extend(snapshot.sweeps);
        exchange
    }

    fn deadline_records(&self) -> Vec<DeadlineRecord> {
        let record = |(at, due)| DeadlineRecord {
            at,
            of: match due {
                Due::Rfq(slot) => DeadlineOf::Rfq(rfq_record(self.rfqs.at(slot))),
                Due::Contract(slot) => {
                    DeadlineOf::Contract(contract_record(self.contracts.at(slot)))
                }
            },
        };
        self.deadlines.in_order_of_making().into_iter().map(record).collect()
    }

    fn client_id_records(&self) -> Vec<ClientIdRecord> {
        let record = |remembered: Remembered| {
            let Remembered { agent, client_id, body, ts_event, outcome } = remembered;
            ClientIdRecord { agent, client_id, body, ts_event, outcome }
        };
        self.client_ids.iter().map(record).collect()
    }

    fn restore_money(
        &mut self,
        accounts: Vec<AccountRecord>,
        balances: Vec<BalanceRecord>,
        holds: Vec<HoldRecord>,
    ) {
        for AccountRecord { id, transaction_max, rfqs, quotes, contracts } in accounts {
            let exposure = Exposure { transaction_max, rfqs, quotes, contracts };
            self.exposures.restore(id, exposure);
        }
        for BalanceRecord { account, currency, available, held, escrow, fees, external } in balances
        {
            let balance = Balance { available, held, escrow, fees, external };
            self.ledger.restore(account, currency, balance);
        }
        for HoldRecord { rfq, account, amount, currency } in holds {
            self.holds.restore(rfq, Hold { account, amount, currency });
        }
    }

    fn restore_deadline(&mut self, record: DeadlineRecord) {
        let due = match record.of {
            DeadlineOf::Rfq(RfqRecord { id, buyer, account, terms }) => {
                let rfq = Rfq::new(id, (buyer, account), record.at, terms);
                Due::Rfq(self.rfqs.open(rfq))
            }
            DeadlineOf::Contract(contract) => {
                let parties = contract.parties;
                let slot = self.contracts.conclude(open_contract(contract, record.at));
                self.contracts_of_agents.add(slot, parties);
                Due::Contract(slot)
            }
        };
        self.deadlines.set(due, record.at);
    }

    fn restore_quote(&mut self, record: QuoteRecord) {
        let slot = self.rfqs.slot(record.rfq);
        let slot = slot.expect("a snapshot's quotes are for the snapshot's RFQs");
        let owner = (record.provider, record.account);
        let place = (record.price, record.placed);
        let mut quote = Quote::new(record.id, record.rfq, owner, place, record.valid_until);
        quote.priority = record.priority;
        self.rfqs.place(slot, quote);
    }
}

fn sorted<T, K: Ord>(records: impl Iterator<Item = T>, key: impl FnMut(&T) -> K) -> Vec<T> {
    let mut records: Vec<T> = records.collect();
    records.sort_unstable_by_key(key);
    records
}

fn agent_record(agent: &Agent) -> AgentRecord {
    let Agent { id, account, key, roles, session } = *agent;
    let session = session.map(|session| SessionRecord {
        id: session.id,
        cancel_on_disconnect: session.cancel_on_disconnect,
    });
    AgentRecord { id, account, key, roles, session }
}

fn agent(record: AgentRecord) -> Agent {
    let AgentRecord { id, account, key, roles, session } = record;
    let session = session.map(|session| Session {
        id: session.id,
        cancel_on_disconnect: session.cancel_on_disconnect,
    });
    Agent { id, account, key, roles, session }
}

fn account_record((id, exposure): (AccountId, &Exposure)) -> AccountRecord {
    let Exposure { transaction_max, rfqs, quotes, contracts } = *exposure;
    AccountRecord { id, transaction_max, rfqs, quotes, contracts }
}

fn balance_record((account, currency, balance): (AccountId, Currency, &Balance)) -> BalanceRecord {
    let Balance { available, held, escrow, fees, external } = *balance;
    BalanceRecord { account, currency, available, held, escrow, fees, external }
}

fn hold_record((rfq, hold): (RfqId, &Hold)) -> HoldRecord {
    HoldRecord { rfq, account: hold.account, amount: hold.amount, currency: hold.currency }
}

fn rfq_record(rfq: &Rfq) -> RfqRecord {
    RfqRecord { id: rfq.id, buyer: rfq.buyer, account: rfq.account, terms: rfq.terms }
}

fn contract_record(contract: &Contract) -> ContractRecord {
    let Contract {
        id,
        rfq,
        parties,
        buyer_account,
        provider_account,
        escrow,
        currency,
        fee_ppm,
        acceptance_within,
        state,
        due: _,
        deliverable,
    } = *contract;
    ContractRecord {
        id,
        rfq,
        parties,
        buyer_account,
        provider_account,
        escrow,
        currency,
        fee_ppm,
        acceptance_within,
        state,
        deliverable,
    }
}

fn open_contract(record: ContractRecord, due: TimestampNs) -> Contract {
    Contract {
        id: record.id,
        rfq: record.rfq,
        parties: record.parties,
        buyer_account: record.buyer_account,
        provider_account: record.provider_account,
        escrow: record.escrow,
        currency: record.currency,
        fee_ppm: record.fee_ppm,
        acceptance_within: record.acceptance_within,
        state: record.state,
        due,
        deliverable: record.deliverable,
    }
}

fn quote_record(quote: &Quote) -> QuoteRecord {
    QuoteRecord {
        id: quote.id,
        rfq: quote.rfq,
        provider: quote.provider,
        account: quote.account,
        price: quote.price,
        priority: quote.priority,
        placed: quote.placed,
        valid_until: quote.valid_until,
    }
}

fn standing_record(quote: StandingQuote) -> StandingRecord {
    StandingRecord {
        capability: quote.capability,
        provider: quote.provider,
        account: quote.account,
        revision: quote.revision,
        price: quote.price,
        offered: quote.offered,
        capacity: quote.capacity,
        valid_until: quote.valid_until,
        priority: quote.priority,
        live_since: quote.live_since,
    }
}

fn standing_quote(record: StandingRecord) -> StandingQuote {
    let owner = (record.provider, record.account);
    let update = Update {
        revision: record.revision,
        price: record.price,
        capacity: record.offered,
        valid_until: record.valid_until,
    };
    let places = (record.priority, record.live_since);
    let mut quote = StandingQuote::new(owner, record.capability, update, places);
    quote.capacity = record.capacity;
    quote
}
