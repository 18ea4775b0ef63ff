//! What each account has open, and how much more it may.

use alloc::vec::Vec;

use gavel_protocol::{AccountId, Micros, RejectReason};
use hashbrown::HashMap;
use rkyv::{Archive, Deserialize, Serialize};
use rustc_hash::FxBuildHasher;

use crate::limits::{
    ACCOUNTS_MAX, CONTRACTS_PER_ACCOUNT_MAX, CONTRACTS_PROMISED_PER_ACCOUNT_MAX,
    QUOTES_PER_ACCOUNT_MAX, RFQS_PER_ACCOUNT_MAX,
};

/// What one account has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Exposure {
    /// The most that one transaction may cost.
    pub transaction_max: Micros,
    /// Open RFQs.
    pub rfqs: u32,
    /// Contracts that these may still become.
    pub promised: u32,
    /// Live sealed quotes.
    pub quotes: u32,
    /// Open contracts, as provider.
    pub contracts: u32,
}

/// What every account has open. An account's slot is its place in the order of enrolment.
#[derive(Debug)]
pub struct Exposures {
    accounts: Vec<(AccountId, Exposure)>,
    /// Contracts that the open RFQs of all accounts may still become.
    promised: u64,
    slots: HashMap<AccountId, u32, FxBuildHasher>,
}

impl Exposures {
    /// Makes room for every account there may be.
    pub fn new() -> Self {
        // Twice the number of accounts: a map never grows by rehashing below half its capacity.
        let capacity = 2 * ACCOUNTS_MAX as usize;
        Self {
            accounts: Vec::with_capacity(ACCOUNTS_MAX as usize),
            promised: 0,
            slots: HashMap::with_capacity_and_hasher(capacity, FxBuildHasher),
        }
    }

    /// Adds an account with nothing open.
    ///
    /// # Errors
    ///
    /// [`RejectReason::TableFull`] if there are as many as may be.
    pub fn enrol(
        &mut self,
        account: AccountId,
        transaction_max: Micros,
    ) -> Result<(), RejectReason> {
        if self.accounts.len() >= ACCOUNTS_MAX as usize {
            return Err(RejectReason::TableFull);
        }
        let nothing = Exposure { transaction_max, rfqs: 0, promised: 0, quotes: 0, contracts: 0 };
        self.restore(account, nothing);
        Ok(())
    }

    /// Puts back an account as it was, behind those that are there.
    pub fn restore(&mut self, account: AccountId, exposure: Exposure) {
        let slot = u32::try_from(self.accounts.len()).expect("fewer than ACCOUNTS_MAX");
        self.accounts.push((account, exposure));
        self.promised += u64::from(exposure.promised);
        let before = self.slots.insert(account, slot);
        assert!(before.is_none(), "invariant: an account is enrolled once: {account}");
    }

    /// Returns the slot of an account.
    ///
    /// # Errors
    ///
    /// [`RejectReason::UnknownAccount`].
    pub fn slot(&self, account: AccountId) -> Result<u32, RejectReason> {
        self.slots.get(&account).copied().ok_or(RejectReason::UnknownAccount)
    }

    /// Returns what the account in a slot has open.
    pub fn at(&self, slot: u32) -> &Exposure {
        &self.accounts[slot as usize].1
    }

    /// Returns how many contracts the open RFQs of all accounts may still become.
    pub fn promised(&self) -> u64 {
        self.promised
    }

    /// Checks that the account may open an RFQ that costs at most `total` and may become so many
    /// contracts.
    ///
    /// # Errors
    ///
    /// [`RejectReason::TransactionLimit`] or `RfqLimit`.
    pub fn check_rfq(&self, slot: u32, total: Micros, contracts: u32) -> Result<(), RejectReason> {
        let exposure = self.at(slot);
        if total > exposure.transaction_max {
            return Err(RejectReason::TransactionLimit);
        }
        if exposure.rfqs >= RFQS_PER_ACCOUNT_MAX
            || exposure.promised + contracts > CONTRACTS_PROMISED_PER_ACCOUNT_MAX
        {
            return Err(RejectReason::RfqLimit);
        }
        Ok(())
    }

    /// Checks that the account may place another sealed quote.
    ///
    /// # Errors
    ///
    /// [`RejectReason::QuoteLimit`].
    pub fn check_quote(&self, slot: u32) -> Result<(), RejectReason> {
        if self.at(slot).quotes >= QUOTES_PER_ACCOUNT_MAX {
            return Err(RejectReason::QuoteLimit);
        }
        Ok(())
    }

    /// Returns whether the account may take on another contract as provider.
    pub fn may_contract(&self, slot: u32) -> bool {
        self.at(slot).contracts < CONTRACTS_PER_ACCOUNT_MAX
    }

    /// Counts an RFQ that was opened, and the contracts that it may become.
    pub fn rfq_opened(&mut self, slot: u32, contracts: u32) {
        self.change(slot, |exposure| &mut exposure.rfqs, 1);
        self.accounts[slot as usize].1.promised += contracts;
        self.promised += u64::from(contracts);
    }

    /// Counts an RFQ that ended.
    pub fn rfq_ended(&mut self, slot: u32) {
        self.change(slot, |exposure| &mut exposure.rfqs, -1);
    }

    /// Counts contracts that an RFQ of the account has become, or will not become any more.
    pub fn promise_ended(&mut self, slot: u32, contracts: u32) {
        let promised = &mut self.accounts[slot as usize].1.promised;
        let left = promised.checked_sub(contracts);
        *promised = left.expect("invariant: nothing ends that was not promised");
        self.promised -= u64::from(contracts);
    }

    /// Counts a sealed quote that was placed.
    pub fn quote_placed(&mut self, slot: u32) {
        self.change(slot, |exposure| &mut exposure.quotes, 1);
    }

    /// Counts a sealed quote that ended.
    pub fn quote_ended(&mut self, slot: u32) {
        self.change(slot, |exposure| &mut exposure.quotes, -1);
    }

    /// Counts a contract that the account took on as provider.
    pub fn contract_opened(&mut self, slot: u32) {
        self.change(slot, |exposure| &mut exposure.contracts, 1);
    }

    /// Counts a contract of the provider that ended.
    pub fn contract_ended(&mut self, slot: u32) {
        self.change(slot, |exposure| &mut exposure.contracts, -1);
    }

    /// Returns every account in the order of enrolment.
    pub fn iter(&self) -> impl Iterator<Item = (AccountId, &Exposure)> {
        self.accounts.iter().map(|(account, exposure)| (*account, exposure))
    }

    fn change(&mut self, slot: u32, count: impl FnOnce(&mut Exposure) -> &mut u32, by: i32) {
        let count = count(&mut self.accounts[slot as usize].1);
        let changed = count.checked_add_signed(by);
        *count = changed.expect("invariant: nothing ends that was not counted");
    }
}

impl Default for Exposures {
    fn default() -> Self {
        Self::new()
    }
}
