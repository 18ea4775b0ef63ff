//! What became of an award: the contract, and the money.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use super::QuoteRef;
use crate::bundles::BundleAward;
use crate::command::choice;
use crate::ids::{AccountId, AgentId, ContractId, Digest, RfqId};
use crate::money::{Currency, Micros};
use crate::reason::LossReason;
use crate::time::TimestampNs;

happened! {
    /// The two sides of a contract.
    pub struct Parties {
        /// Who pays.
        pub buyer: AgentId,
        /// Who works.
        pub provider: AgentId,
    }

    /// Work was awarded.
    pub struct Awarded {
        /// The contract that is concluded by it.
        pub contract: ContractId,
        /// The RFQ it came from.
        pub rfq: RfqId,
        /// Both sides.
        pub parties: Parties,
        /// The quote that won.
        pub quote: QuoteRef,
        /// Why it won: what it asked for, and what that scored.
        pub breakdown: Breakdown,
        /// The price per unit that is paid.
        pub price: Micros,
        /// Units of work.
        pub quantity: u32,
        /// Price times quantity: what lies in escrow.
        pub total: Micros,
        /// What it is paid in.
        pub currency: Currency,
        /// What the provider has put up.
        pub bond: Micros,
        /// The work must have been started by then, if the RFQ says so.
        pub start_due: Option<TimestampNs>,
        /// The work is due by then.
        pub delivery_due: TimestampNs,
        /// The contract that it takes the place of, if its provider failed.
        pub takes_over: Option<ContractId>,
        /// What it rests on, if it is for a bundle.
        pub bundle: Option<BundleAward>,
    }

    /// The parts of a score, per unit of work. Their sum decides.
    pub struct Breakdown {
        /// The price that the quote asked for.
        pub price: Micros,
        /// The latency it named.
        pub latency_ms: u32,
        /// What that latency costs.
        pub latency: Micros,
        /// The provider's reputation when it was decided.
        pub reputation_bps: u16,
        /// What is missing of the best reputation costs.
        pub reputation: Micros,
    }

    /// The provider started the work.
    pub struct WorkStarted {
        /// Which contract.
        pub contract: ContractId,
        /// Both sides.
        pub parties: Parties,
    }

    /// The provider delivered.
    pub struct Delivered {
        /// Which contract.
        pub contract: ContractId,
        /// Both sides.
        pub parties: Parties,
        /// The digest of the deliverable.
        pub deliverable: Digest,
        /// Silence until then accepts it.
        pub acceptance_due: TimestampNs,
    }

    /// The delivery was accepted.
    pub struct ContractVerified {
        /// Which contract.
        pub contract: ContractId,
        /// Both sides.
        pub parties: Parties,
        /// By whom.
        pub acceptance: Acceptance,
    }

    /// The provider was paid.
    pub struct ContractSettled {
        /// Which contract.
        pub contract: ContractId,
        /// Both sides.
        pub parties: Parties,
        /// What the provider got.
        pub released: Micros,
        /// What the buyer got back, because the work took longer than was quoted.
        pub penalty: Micros,
        /// What the exchange kept of it.
        pub fee: Micros,
    }

    /// The contract ended without delivery.
    pub struct ContractExpired {
        /// Which contract.
        pub contract: ContractId,
        /// Both sides.
        pub parties: Parties,
        /// What the buyer got back.
        pub refunded: Micros,
        /// What the buyer got of the provider's bond.
        pub compensation: Micros,
    }

    /// A runner-up takes over.
    pub struct ContractTakenOver {
        /// The contract that ended.
        pub contract: ContractId,
        /// Its two sides.
        pub parties: Parties,
        /// Who works now.
        pub successor: AgentId,
        /// What the defaulter's bond paid: to the successor's escrow and to the buyer.
        pub compensation: Micros,
    }

    /// A quote that stood by has its final answer.
    pub struct StandbyEnded {
        /// For which RFQ.
        pub rfq: RfqId,
        /// Whose quote.
        pub provider: AgentId,
        /// Which quote, or which bundle of it.
        pub quote: QuoteRef,
        /// Why it lost; none if it took over.
        pub reason: Option<LossReason>,
        /// Its place at the close.
        pub rank: u32,
        /// The price per unit that won, where the RFQ discloses it.
        pub winning_price: Option<Micros>,
    }

    /// One bucket of one account.
    pub struct LedgerAccount {
        /// Whose money.
        pub account: AccountId,
        /// In which bucket.
        pub bucket: Bucket,
    }

    /// A line of the ledger: two postings that cancel out.
    pub struct Movement {
        /// Why money moved.
        pub kind: MovementKind,
        /// Where it came from.
        pub from: LedgerAccount,
        /// Where it went.
        pub to: LedgerAccount,
        /// How much, never negative.
        pub amount: Micros,
        /// In what.
        pub currency: Currency,
    }
}

choice! {
    /// A part of an account's money.
    pub enum Bucket {
        /// Free to spend.
        Available,
        /// Set aside for an open RFQ.
        Held,
        /// Owed to a provider if it delivers.
        Escrow,
        /// Put up by a provider for what it offers or owes.
        Bonds,
        /// Earned by the exchange.
        Fees,
        /// The world outside: what came in, as a negative balance.
        External,
    }

    /// Why money moved.
    pub enum MovementKind {
        /// From outside to available.
        Deposit,
        /// From available to held.
        Hold,
        /// From held to escrow.
        Capture,
        /// Back to the buyer's available.
        Refund,
        /// From escrow to the provider's available.
        Release,
        /// From escrow to the exchange.
        Fee,
        /// From escrow back to the buyer, because the work took longer than was quoted.
        Penalty,
        /// From the provider's available to its bonds.
        Bond,
        /// From the provider's bonds back to its available.
        BondReturn,
        /// From the provider's bonds to the buyer's available, because the provider failed.
        Compensation,
        /// From the provider's bonds or the buyer's available to escrow, because a runner-up takes
        /// over at a higher price.
        TopUp,
    }

    /// Who accepted a delivery.
    pub enum Acceptance {
        /// The buyer.
        Buyer,
        /// Nobody objected in time.
        Silence,
    }
}
