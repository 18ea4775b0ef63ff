//! Contracts: what was agreed, where it stands, and how it is paid, refunded or taken over.

use gavel_protocol::{
    AccountId, Bucket, CapabilityId, ContractId, ContractState, Currency, Digest, DurationNs,
    Items, Micros, Movement, MovementKind, Parties, RejectReason, RfqId, TimestampNs,
};
use hashbrown::HashMap;
use rkyv::{Archive, Deserialize, Serialize};
use rustc_hash::FxBuildHasher;
use slab::Slab;

use crate::ledger::{Ledger, line};
use crate::limits::CONTRACTS_OPEN_MAX;
use crate::movements::Movements;

/// An open contract. Its times are on the market's own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Contract {
    /// Its id.
    pub id: ContractId,
    /// The RFQ it came from.
    pub rfq: RfqId,
    /// The kind of work.
    pub capability: CapabilityId,
    /// Both sides.
    pub parties: Parties,
    /// Whose money lies in escrow.
    pub buyer_account: AccountId,
    /// Who is paid.
    pub provider_account: AccountId,
    /// Units of work.
    pub quantity: u32,
    /// Which items of a combinatorial RFQ, if it came from one.
    pub items: Option<Items>,
    /// What lies in escrow: price times quantity.
    pub escrow: Micros,
    /// What the provider has put up.
    pub bond: Micros,
    /// What it is paid in.
    pub currency: Currency,
    /// The provider's fee, in parts per million, as it was at the award.
    pub fee_ppm: u32,
    /// What the provider has said about its latency, and what that is worth.
    pub latency: LatencyClause,
    /// The revision of the provider's standing quote that it was awarded on, if it was.
    pub standing_revision: Option<u64>,
    /// When it was concluded.
    pub awarded_at: TimestampNs,
    /// The work must have been started by then, if that was asked for.
    pub start_due: Option<TimestampNs>,
    /// The work is due by then.
    pub delivery_due: TimestampNs,
    /// How long the buyer may take to object after the delivery.
    pub acceptance_within: DurationNs,
    /// Where it stands.
    pub state: ContractState,
    /// When it was delivered.
    pub delivered_at: Option<TimestampNs>,
    /// What was delivered.
    pub deliverable: Option<Digest>,
}

/// The clause that a quoted latency becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct LatencyClause {
    /// The latency that was quoted, from the award to the delivery.
    pub quoted_ms: u32,
    /// What each whole millisecond above it costs the provider.
    pub penalty_per_ms: Micros,
}

/// What a contract's deadline means when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// The work was not started: the provider has failed.
    Start,
    /// The work was not delivered: the provider has failed.
    Delivery,
    /// Nobody objected to the delivery: the provider is paid.
    Acceptance,
}

/// How a contract was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The contract as it was.
    pub contract: Contract,
    /// What went to the provider of the escrow.
    pub released: Micros,
    /// What the exchange kept of that.
    pub fee: Micros,
    /// What went back to the buyer because the work took longer than was quoted.
    pub penalty: Micros,
    /// What else went back to the buyer of the escrow.
    pub refunded: Micros,
    /// What was charged of the provider's bond.
    pub compensation: Micros,
    /// The lines of the ledger.
    pub movements: Movements,
}

impl Contract {
    /// Returns the next deadline, and what it means.
    pub fn deadline(&self) -> (TimestampNs, Deadline) {
        match (self.state, self.start_due) {
            (ContractState::Awarded, Some(due)) if due < self.delivery_due => {
                (due, Deadline::Start)
            }
            (ContractState::Awarded | ContractState::Started, _) => {
                (self.delivery_due, Deadline::Delivery)
            }
            (ContractState::Delivered, _) => {
                let delivered_at = self.delivered_at;
                let delivered_at = delivered_at.expect("invariant: a delivery has its time");
                (delivered_at.after(self.acceptance_within), Deadline::Acceptance)
            }
        }
    }

    /// Returns what the provider owes for having taken longer than it quoted: whole milliseconds
    /// only, and never more than lies in escrow.
    fn penalty(&self) -> Micros {
        let Some(delivered_at) = self.delivered_at else { return Micros::ZERO };
        let taken_ms = delivered_at.since(self.awarded_at).nanos() / 1_000_000;
        let overrun_ms = taken_ms.saturating_sub(u64::from(self.latency.quoted_ms));
        let overrun_ms = u32::try_from(overrun_ms).unwrap_or(u32::MAX);
        let penalty = self.latency.penalty_per_ms.times(overrun_ms);
        penalty.map_or(self.escrow, |penalty| penalty.min(self.escrow))
    }
}

/// The open contracts.
#[derive(Debug)]
pub struct Contracts {
    open: Slab<Contract>,
    slots: HashMap<ContractId, u32, FxBuildHasher>,
}

impl Contracts {
    /// Makes room for every contract there may be.
    pub fn new() -> Self {
        let capacity = CONTRACTS_OPEN_MAX as usize;
        Self {
            open: Slab::with_capacity(capacity),
            // Twice the number: a map never grows by rehashing below half its capacity.
            slots: HashMap::with_capacity_and_hasher(2 * capacity, FxBuildHasher),
        }
    }

    /// Returns how many contracts are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Returns whether no contract is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Adds a contract, and returns its slot: a small number that is its own while it is open.
    pub fn conclude(&mut self, contract: Contract) -> u32 {
        assert!(self.len() < CONTRACTS_OPEN_MAX as usize, "invariant: room is kept for each award");
        let slot = u32::try_from(self.open.insert(contract)).expect("below CONTRACTS_OPEN_MAX");
        let before = self.slots.insert(contract.id, slot);
        assert!(before.is_none(), "invariant: a contract is concluded once: {}", contract.id);
        slot
    }

    /// Returns the slot of an open contract.
    pub fn slot(&self, contract: ContractId) -> Option<u32> {
        self.slots.get(&contract).copied()
    }

    /// Returns the contract in a slot.
    pub fn at(&self, slot: u32) -> &Contract {
        &self.open[slot as usize]
    }

    /// Returns every open contract, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Contract> {
        self.open.iter().map(|(_, contract)| contract)
    }

    /// Marks the work as started.
    ///
    /// # Errors
    ///
    /// [`RejectReason::WrongState`] unless the contract is awarded.
    pub fn start(&mut self, slot: u32) -> Result<&Contract, RejectReason> {
        let contract = &mut self.open[slot as usize];
        match contract.state {
            ContractState::Awarded => contract.state = ContractState::Started,
            ContractState::Started | ContractState::Delivered => {
                return Err(RejectReason::WrongState);
            }
        }
        Ok(contract)
    }

    /// Marks the work as delivered; the buyer may object until the time that the RFQ gave.
    ///
    /// # Errors
    ///
    /// [`RejectReason::WrongState`] if it was delivered before.
    pub fn deliver(
        &mut self,
        slot: u32,
        deliverable: Digest,
        now: TimestampNs,
    ) -> Result<&Contract, RejectReason> {
        let contract = &mut self.open[slot as usize];
        match contract.state {
            // Work that needs no start, such as a single call, is delivered at once.
            ContractState::Awarded | ContractState::Started => {}
            ContractState::Delivered => return Err(RejectReason::WrongState),
        }
        contract.state = ContractState::Delivered;
        contract.deliverable = Some(deliverable);
        contract.delivered_at = Some(now);
        Ok(contract)
    }

    /// Pays the provider, less penalty and fee, gives it back its bond, and closes the contract.
    pub fn settle(&mut self, ledger: &mut Ledger, slot: u32) -> Closing {
        let contract = self.close(slot);
        let penalty = contract.penalty();
        let earned = contract.escrow.minus(penalty).expect("a penalty is at most the escrow");
        let fee = earned.fee_rounded_down(contract.fee_ppm);
        let fee = fee.expect("invariant: fee rates are checked when they are set");
        let released = earned.minus(fee).expect("a fee is at most the amount");
        let mut closing = Closing { penalty, fee, released, ..Closing::new(contract) };
        let (buyer, provider) = (contract.buyer_account, contract.provider_account);
        let escrow = (buyer, Bucket::Escrow);
        let (available, fees) =
            ((provider, Bucket::Available), (AccountId::EXCHANGE, Bucket::Fees));
        closing.book(ledger, MovementKind::Release, escrow, available, released);
        closing.book(ledger, MovementKind::Fee, escrow, fees, fee);
        closing.book(ledger, MovementKind::Penalty, escrow, (buyer, Bucket::Available), penalty);
        let bonds = (provider, Bucket::Bonds);
        closing.book(ledger, MovementKind::BondReturn, bonds, available, contract.bond);
        closing
    }

    /// Refunds the buyer, charges the provider's bond, and closes the contract.
    pub fn expire(&mut self, ledger: &mut Ledger, slot: u32) -> Closing {
        let contract = self.close(slot);
        let (refunded, compensation) = (contract.escrow, contract.bond);
        let mut closing = Closing { refunded, compensation, ..Closing::new(contract) };
        let available = (contract.buyer_account, Bucket::Available);
        let escrow = (contract.buyer_account, Bucket::Escrow);
        let bonds = (contract.provider_account, Bucket::Bonds);
        closing.book(ledger, MovementKind::Refund, escrow, available, refunded);
        closing.book(ledger, MovementKind::Compensation, bonds, available, compensation);
        closing
    }

    /// Returns whether a runner-up that costs `total` can take over the contract in `slot`: what it
    /// costs more is there in the defaulter's bond or, if `top_up` allows it, in the buyer's
    /// available money.
    pub fn can_be_taken_over(
        &self,
        ledger: &Ledger,
        slot: u32,
        total: Micros,
        top_up: bool,
    ) -> bool {
        let contract = self.at(slot);
        let Some((_, from_buyer)) = contract.extra_cost(total) else { return false };
        let available = ledger.balance(contract.buyer_account, contract.currency).available;
        from_buyer == Micros::ZERO || (top_up && from_buyer <= available)
    }

    /// Closes the contract for a runner-up that costs `total`, which lies in the buyer's escrow
    /// afterwards, after [`Contracts::can_be_taken_over`]. What it costs more comes from the
    /// defaulter's bond, then from the buyer; the rest of the bond goes to the buyer.
    pub fn hand_over(&mut self, ledger: &mut Ledger, slot: u32, total: Micros) -> Closing {
        let contract = self.close(slot);
        let (buyer, provider) = (contract.buyer_account, contract.provider_account);
        let extra = contract.extra_cost(total);
        let (from_bond, from_buyer) = extra.expect("invariant: checked before it is handed over");
        let refunded = contract.escrow.minus(total).map_or(Micros::ZERO, |r| r.max(Micros::ZERO));
        let rest = contract.bond.minus(from_bond).expect("a part of the bond");
        let compensation = contract.bond;
        let mut closing = Closing { refunded, compensation, ..Closing::new(contract) };
        let (escrow, available) = ((buyer, Bucket::Escrow), (buyer, Bucket::Available));
        let bonds = (provider, Bucket::Bonds);
        closing.book(ledger, MovementKind::Refund, escrow, available, refunded);
        closing.book(ledger, MovementKind::TopUp, bonds, escrow, from_bond);
        closing.book(ledger, MovementKind::TopUp, available, escrow, from_buyer);
        closing.book(ledger, MovementKind::Compensation, bonds, available, rest);
        closing
    }

    fn close(&mut self, slot: u32) -> Contract {
        let contract = self.open.remove(slot as usize);
        self.slots.remove(&contract.id);
        contract
    }
}

impl Contract {
    /// Returns what a runner-up that costs `total` takes of the bond and of the buyer beyond what
    /// lies in escrow, or `None` if it does not fit.
    fn extra_cost(&self, total: Micros) -> Option<(Micros, Micros)> {
        let extra = total.minus(self.escrow)?.max(Micros::ZERO);
        let from_bond = extra.min(self.bond);
        Some((from_bond, extra.minus(from_bond)?))
    }
}

impl Closing {
    fn new(contract: Contract) -> Self {
        let nothing = Micros::ZERO;
        Self {
            contract,
            released: nothing,
            fee: nothing,
            penalty: nothing,
            refunded: nothing,
            compensation: nothing,
            movements: Movements::default(),
        }
    }

    fn book(
        &mut self,
        ledger: &mut Ledger,
        kind: MovementKind,
        from: (AccountId, Bucket),
        to: (AccountId, Bucket),
        amount: Micros,
    ) {
        let movement: Movement = line(kind, from, to, (amount, self.contract.currency));
        self.movements.book(ledger, movement);
    }
}

impl Default for Contracts {
    fn default() -> Self {
        Self::new()
    }
}
