//! The whole state as plain data: written, read back, and condensed into a hash.
//!
//! Every list has one defined order, so that equal states have equal bytes, wherever and however
//! they came about.

mod records;

use alloc::vec::Vec;

use gavel_matcher::Dutch;
use gavel_protocol::{
    AccountId, AgentId, ContractId, Currency, Digest, DurationNs, Name, OfferEnvelope,
    RULES_UPGRADED_FROM, RULES_VERSION, RfqId, Settings, TimestampNs,
};
use gavel_risk::Exposure;
use gavel_settlement::{Balance, Contract, Hold};
use rkyv::{Archive, Deserialize, Serialize};

use crate::client_ids::Remembered;
use crate::clock::Clock;
use crate::deadlines::Due;
use crate::directory::{Agent, Capability};
use crate::exchange::{Exchange, Founding};
use crate::mint::Mint;
use crate::sweeps::Sweep;

use records::{GroupRecord, QuoteRecord, RfqRecord, StandbyRecord, StandingRecord};

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
    accounts: Vec<(AccountId, Exposure)>,
    agents: Vec<Agent>,
    capabilities: Vec<Capability>,
    balances: Vec<(AccountId, Currency, Balance)>,
    holds: Vec<(RfqId, Hold)>,
    rfqs: Vec<RfqRecord>,
    contracts: Vec<Contract>,
    groups: Vec<GroupRecord>,
    deadlines: Vec<DeadlineRecord>,
    stopped: Vec<RfqId>,
    stopped_to_check: u32,
    quotes: Vec<QuoteRecord>,
    standing: Vec<StandingRecord>,
    envelopes: Vec<(AgentId, OfferEnvelope)>,
    horizons: Vec<(AgentId, TimestampNs)>,
    client_ids: Vec<Remembered>,
    sweeps: Vec<Sweep>,
}

#[derive(Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
struct FoundingRecord {
    name: Name,
    settings: Settings,
    id_key: Digest,
}

/// What has a deadline, in the order in which the deadlines were made.
#[derive(Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
struct DeadlineRecord {
    at: TimestampNs,
    of: DeadlineOf,
}

#[derive(Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
enum DeadlineOf {
    Rfq(RfqId),
    Contract(ContractId),
    /// Added to those of its RFQ in the same order.
    Standby(StandbyRecord),
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
            RULES_UPGRADED_FROM..=RULES_VERSION => Ok(snapshot),
            other => Err(SnapshotError::OtherRules(other)),
        }
    }
}

impl Exchange {
    /// Returns the whole state.
    pub fn snapshot(&self) -> Snapshot {
        let Clock { now, outage } = self.clock;
        let (stopped, stopped_to_check) = self.stopped_records();
        let balances = self.ledger.balances().map(|(account, currency, b)| (account, currency, *b));
        let envelopes = self.envelopes.iter().map(|(agent, envelope)| (agent, *envelope));
        let horizons = self.client_ids.horizons();
        // What refers to an id comes after the founding.
        let made = |id: u64| self.founding.as_ref().map_or(0, |founding| founding.mint.order(id));
        let rfqs = self.rfqs.slots().map(|slot| RfqRecord::of(&self.rfqs, slot));
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
            accounts: self.exposures.iter().map(|(id, exposure)| (id, *exposure)).collect(),
            agents: self.directory.agents().to_vec(),
            capabilities: self.directory.capabilities().to_vec(),
            balances: sorted(balances, |(account, currency, _)| (*account, *currency)),
            holds: sorted(self.holds.iter().map(|(rfq, hold)| (rfq, *hold)), |(rfq, _)| *rfq),
            rfqs: sorted(rfqs, |rfq| made(rfq.id.raw())),
            contracts: sorted(self.contracts.iter().copied(), |contract| made(contract.id.raw())),
            groups: sorted(self.standbys.groups().map(GroupRecord::of), |group| group.rfq),
            deadlines: self.deadline_records(),
            stopped,
            stopped_to_check,
            quotes: sorted(self.rfqs.quotes().map(QuoteRecord::of), |quote| quote.placed),
            standing: self.standing_records(),
            envelopes: sorted(envelopes, |(agent, envelope)| (*agent, envelope.capability)),
            horizons: sorted(
                horizons.filter(|(_, horizon)| *horizon > TimestampNs::default()),
                |(agent, _)| *agent,
            ),
            client_ids: self.client_ids.iter().collect(),
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
        exchange.founding = snapshot.founding.map(|record| {
            let mint = Mint::new(record.id_key);
            exchange.client_ids.set_seed(mint.seed());
            Founding { name: record.name, settings: record.settings, mint }
        });
        for (account, exposure) in snapshot.accounts {
            exchange.exposures.restore(account, exposure);
        }
        for agent in snapshot.agents {
            exchange.directory.enrol(agent);
        }
        for capability in snapshot.capabilities {
            exchange.directory.list(capability);
            exchange.standing.list(capability.listed.capability);
        }
        for (account, currency, balance) in snapshot.balances {
            exchange.ledger.restore(account, currency, balance);
        }
        for (rfq, hold) in snapshot.holds {
            exchange.holds.restore(rfq, hold);
        }
        for record in snapshot.rfqs {
            exchange.restore_rfq(&record);
        }
        for contract in snapshot.contracts {
            let slot = exchange.contracts.conclude(contract);
            exchange.contracts_of_agents.add(slot, contract.parties);
        }
        for record in snapshot.groups {
            exchange.standbys.add_group(record.rfq, record.group());
        }
        for record in snapshot.deadlines {
            exchange.restore_deadline(record);
        }
        exchange.stopped.extend(snapshot.stopped);
        exchange.stopped_to_check = snapshot.stopped_to_check;
        for record in snapshot.quotes {
            let slot = exchange.rfqs.slot(record.rfq);
            let slot = slot.expect("a snapshot's quotes are for the snapshot's RFQs");
            exchange.rfqs.place(slot, record.quote());
        }
        for record in snapshot.standing {
            exchange.standing.restore(record.quote());
        }
        for (agent, envelope) in snapshot.envelopes {
            let signed = exchange.envelopes.sign(agent, envelope);
            signed.expect("a snapshot holds no more envelopes than there may be");
        }
        for remembered in snapshot.client_ids {
            exchange.client_ids.remember(remembered);
        }
        for (agent, horizon) in snapshot.horizons {
            exchange.client_ids.restore_horizon(agent, horizon);
        }
        exchange.sweeps.extend(snapshot.sweeps);
        exchange
    }

    /// Returns the open standing quotes in the order of their agents' chains, and then the ended ones.
    fn standing_records(&self) -> Vec<StandingRecord> {
        let agents = (0..).zip(self.directory.agents());
        let open = agents.flat_map(|(slot, _)| self.standing.open_of(slot));
        let mut records: Vec<_> = open.map(StandingRecord::of).collect();
        let ended = self.standing.iter().filter(|quote| !quote.is_open());
        records.extend(sorted(ended.map(StandingRecord::of), |s| (s.provider, s.capability)));
        records
    }

    fn deadline_records(&self) -> Vec<DeadlineRecord> {
        let record = |(at, due)| DeadlineRecord {
            at,
            of: match due {
                Due::Rfq(slot) => DeadlineOf::Rfq(self.rfqs.at(slot).id),
                Due::Contract(slot) => DeadlineOf::Contract(self.contracts.at(slot).id),
                Due::Standby(slot) => {
                    DeadlineOf::Standby(StandbyRecord::of(self.standbys.at(slot)))
                }
            },
        };
        self.deadlines.in_order_of_making().into_iter().map(record).collect()
    }

    /// Returns the Dutch RFQs that a halt has stopped, and how many of them are to be looked at.
    /// Those that were canceled in the meantime are left out.
    fn stopped_records(&self) -> (Vec<RfqId>, u32) {
        let (mut records, mut to_check) = (Vec::new(), 0);
        for (place, rfq) in (0..).zip(&self.stopped) {
            if self.rfqs.slot(*rfq).is_none() {
                continue;
            }
            records.push(*rfq);
            to_check += u32::from(place < self.stopped_to_check);
        }
        (records, to_check)
    }

    fn restore_deadline(&mut self, record: DeadlineRecord) {
        let due = match record.of {
            DeadlineOf::Rfq(rfq) => {
                Due::Rfq(self.rfqs.slot(rfq).expect("a snapshot's deadlines are of its RFQs"))
            }
            DeadlineOf::Contract(contract) => {
                let slot = self.contracts.slot(contract);
                Due::Contract(slot.expect("a snapshot's deadlines are of its contracts"))
            }
            DeadlineOf::Standby(standby) => Due::Standby(self.standbys.add(standby.standby())),
        };
        self.deadlines.set(due, record.at);
    }

    fn restore_rfq(&mut self, record: &RfqRecord) {
        let slot = self.rfqs.open(record.rfq(), record.dutch.as_ref().map(Dutch::new), None);
        if let Some(bundles) = &record.bundles {
            let book = self.rfqs.books.restore(bundles);
            self.rfqs.at_mut(slot).bundles = Some(book);
        }
        for (provider, answered) in &record.invited {
            self.rfqs.invite(slot, *provider);
            let rfq = *self.rfqs.at(slot);
            self.rfqs.invitations.set_answered(&rfq, *provider, *answered);
        }
    }
}

fn sorted<T, K: Ord>(records: impl Iterator<Item = T>, key: impl FnMut(&T) -> K) -> Vec<T> {
    let mut records: Vec<T> = records.collect();
    records.sort_unstable_by_key(key);
    records
}
