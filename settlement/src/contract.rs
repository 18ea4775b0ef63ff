//! Contracts: what was agreed, where it stands, and how it is paid or refunded.

use gavel_protocol::{
    AccountId, Bucket, ContractId, ContractState, Currency, Digest, DurationNs, Micros, Movement,
    MovementKind, Parties, RejectReason, RfqId, TimestampNs,
};
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use slab::Slab;

use crate::ledger::{Ledger, line};
use crate::limits::CONTRACTS_OPEN_MAX;

/// An open contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Its id.
    pub id: ContractId,
    /// The RFQ it came from.
    pub rfq: RfqId,
    /// Both sides.
    pub parties: Parties,
    /// Whose money lies in escrow.
    pub buyer_account: AccountId,
    /// Who is paid.
    pub provider_account: AccountId,
    /// What lies in escrow: price times quantity.
    pub escrow: Micros,
    /// What it is paid in.
    pub currency: Currency,
    /// The provider's fee, in parts per million, as it was at the award.
    pub fee_ppm: u32,
    /// How long the buyer may take to object after the delivery.
    pub acceptance_within: DurationNs,
    /// Where it stands.
    pub state: ContractState,
    /// The next deadline, on the market's own clock.
    pub due: TimestampNs,
    /// What was delivered.
    pub deliverable: Option<Digest>,
}

/// What a contract's deadline means when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// The work was not delivered: the buyer gets its money back.
    Delivery,
    /// Nobody objected to the delivery: the provider is paid.
    Acceptance,
}

/// How a contract was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// The contract as it was.
    pub contract: Contract,
    /// What went to the provider, or back to the buyer.
    pub paid: Movement,
    /// What went to the exchange.
    pub fee: Option<Movement>,
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
        contract.due = now.after(contract.acceptance_within);
        Ok(contract)
    }

    /// Returns what the contract's deadline means.
    pub fn deadline(&self, slot: u32) -> Deadline {
        match self.at(slot).state {
            ContractState::Awarded | ContractState::Started => Deadline::Delivery,
            ContractState::Delivered => Deadline::Acceptance,
        }
    }

    /// Pays the provider, less the fee, and closes the contract.
    pub fn settle(&mut self, ledger: &mut Ledger, slot: u32) -> Closing {
        let contract = self.close(slot);
        let amount = contract.escrow;
        let fee = amount.fee_rounded_down(contract.fee_ppm);
        let fee = fee.expect("invariant: fee rates are checked when they are set");
        let net = amount.minus(fee).expect("a fee is at most the amount");
        let escrow = (contract.buyer_account, Bucket::Escrow);
        let paid = line(
            MovementKind::Release,
            escrow,
            (contract.provider_account, Bucket::Available),
            (net, contract.currency),
        );
        let fee = line(
            MovementKind::Fee,
            escrow,
            (AccountId::EXCHANGE, Bucket::Fees),
            (fee, contract.currency),
        );
        for movement in [&paid, &fee] {
            ledger.apply(movement).expect("invariant: escrow covers what is owed");
        }
        Closing { contract, paid, fee: Some(fee) }
    }

    /// Refunds the buyer and closes the contract.
    pub fn expire(&mut self, ledger: &mut Ledger, slot: u32) -> Closing {
        let contract = self.close(slot);
        let paid = line(
            MovementKind::Refund,
            (contract.buyer_account, Bucket::Escrow),
            (contract.buyer_account, Bucket::Available),
            (contract.escrow, contract.currency),
        );
        ledger.apply(&paid).expect("invariant: escrow covers its refund");
        Closing { contract, paid, fee: None }
    }

    fn close(&mut self, slot: u32) -> Contract {
        let contract = self.open.remove(slot as usize);
        self.slots.remove(&contract.id);
        contract
    }
}

impl Default for Contracts {
    fn default() -> Self {
        Self::new()
    }
}
