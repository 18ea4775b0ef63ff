//! The exchange's commands as methods: each sends one, under a new client id, and unwraps what it
//! brought about.

use gavel_protocol::{
    AcceptDelivery, AccountId, AgentId, AmendQuote, Attributes, Bundle, BundleGroup, BundleTerms,
    CancelQuote, CancelRfq, CancelStandingQuote, CapabilityId, Command, ContractId, Currency,
    DeclineRfq, Deliver, Deposit, Digest, DutchTerms, EnrolAccount, EnrolAgent, Halt,
    ListCapability, MassCancel, Micros, Name, NoQuoteReason, Offer, OpenRfq, Outcome, PickQuote,
    PlaceQuote, PriceBand, ProposeAllocation, PublicKey, QuoteBundles, QuoteId, QuoteKind,
    QuoteSignature, QuoteTarget, Reopen, RfqHandle, RfqId, RfqTaken, RfqTarget, RfqTerms, Roles,
    SetPriceBand, SetStandingQuote, StartWork, TakeRfq,
};

use crate::client::Client;
use crate::error::{ClientError, CommandError};
use crate::signing::{Envelope, RfqRef};

/// Unwraps the one outcome that a command can have.
macro_rules! expect_outcome {
    ($client:ident, $command:expr, $outcome:ident) => {
        if let Outcome::$outcome(value) = $client.call($command).await?.outcome {
            Ok(value)
        } else {
            Err(ClientError::Unexpected("the outcome of another command").into())
        }
    };
}

/// An RFQ that is to be opened: its terms, who is invited (nobody: open to all), its price curve if it
/// is Dutch, and its items if it is combinatorial.
#[derive(Clone, Debug)]
pub struct NewRfq {
    /// What is asked for, and how it is awarded.
    pub terms: RfqTerms,
    /// Who may answer.
    pub invited: Vec<AgentId>,
    /// How the price rises.
    pub dutch: Option<DutchTerms>,
    /// The items, if it is combinatorial.
    pub bundles: Option<BundleTerms>,
}

impl From<RfqTerms> for NewRfq {
    fn from(terms: RfqTerms) -> Self {
        Self { terms, invited: Vec::new(), dutch: None, bundles: None }
    }
}

/// Every method fails if the command was rejected, or the client ended before the answer came.
impl Client {
    /// Opens an RFQ.
    pub async fn open_rfq(&self, rfq: impl Into<NewRfq>) -> Result<RfqHandle, CommandError> {
        let NewRfq { terms: rfq, invited, dutch, bundles } = rfq.into();
        let client_id = self.next_client_id();
        let bundles = bundles.map(Box::new);
        let open = OpenRfq { client_id, rfq, invited, dutch, bundles, signature: None };
        expect_outcome!(self, self.signed(Command::OpenRfq(Box::new(open))), Rfq)
    }

    /// Cancels an open RFQ.
    pub async fn cancel_rfq(&self, rfq: RfqId) -> Result<(), CommandError> {
        let (client_id, target) = (self.next_client_id(), RfqTarget::Id(rfq));
        self.done(Command::CancelRfq(CancelRfq { client_id, target })).await
    }

    /// Places a sealed quote; signed, if the RFQ is named by its announcement and was signed
    /// itself.
    pub async fn place_quote(
        &self,
        rfq: impl Into<RfqRef>,
        offer: Offer,
    ) -> Result<QuoteId, CommandError> {
        let (client_id, rfq) = (self.next_client_id(), rfq.into());
        let signature = self.place_for_signature(rfq);
        let place = PlaceQuote { client_id, rfq: rfq.rfq, offer, signature };
        expect_outcome!(self, self.signed(Command::PlaceQuote(place)), Quote)
    }

    /// Changes a live quote for that RFQ; signed like a new one.
    pub async fn amend_quote(
        &self,
        rfq: impl Into<RfqRef>,
        quote: QuoteId,
        offer: Offer,
    ) -> Result<QuoteId, CommandError> {
        let (client_id, target) = (self.next_client_id(), QuoteTarget::Id(quote));
        let signature = self.place_for_signature(rfq.into());
        let amend = AmendQuote { client_id, target, offer, signature };
        expect_outcome!(self, self.signed(Command::AmendQuote(amend)), Quote)
    }

    /// Quotes bundles for a combinatorial RFQ, and returns their group; signed like a quote.
    pub async fn quote_bundles(
        &self,
        rfq: impl Into<RfqRef>,
        group: BundleGroup,
        bundles: Vec<Bundle>,
    ) -> Result<QuoteId, CommandError> {
        let (client_id, rfq) = (self.next_client_id(), rfq.into());
        let signature = self.place_for_signature(rfq);
        let quote = QuoteBundles { client_id, rfq: rfq.rfq, group, bundles, signature };
        expect_outcome!(self, self.signed(Command::QuoteBundles(Box::new(quote))), Quote)
    }

    /// Proposes which bundles of a problem win (solver).
    pub async fn propose_allocation(
        &self,
        proposal: ProposeAllocation,
    ) -> Result<(), CommandError> {
        self.done(Command::ProposeAllocation(Box::new(proposal))).await
    }

    /// Answers an RFQ without a quote.
    pub async fn decline_rfq(&self, rfq: RfqId, reason: NoQuoteReason) -> Result<(), CommandError> {
        let client_id = self.next_client_id();
        self.done(Command::DeclineRfq(DeclineRfq { client_id, rfq, reason })).await
    }

    /// Takes at most `quantity` units of a Dutch RFQ, if its price has come to `limit` per unit;
    /// signed like a quote.
    pub async fn take_rfq(
        &self,
        rfq: impl Into<RfqRef>,
        quantity: u32,
        limit: Micros,
    ) -> Result<RfqTaken, CommandError> {
        let (client_id, rfq) = (self.next_client_id(), rfq.into());
        let signature = self.place_for_signature(rfq);
        let take = TakeRfq { client_id, rfq: rfq.rfq, quantity, limit, signature };
        expect_outcome!(self, self.signed(Command::TakeRfq(take)), Taken)
    }

    /// Signs the bounds within which this session may move the agent's standing quote. A reconnect
    /// that opens a new session ends the mandate: `identity` tells the session.
    pub async fn sign_envelope(&self, envelope: Envelope) -> Result<(), CommandError> {
        let (client_id, session) = (self.next_client_id(), self.identity().session);
        self.done(self.signer().envelope(client_id, envelope, session)).await
    }

    /// Picks one of the quotes that a buyer's-choice RFQ has shown.
    pub async fn pick_quote(&self, rfq: RfqId, quote: QuoteId) -> Result<(), CommandError> {
        let client_id = self.next_client_id();
        self.done(Command::PickQuote(PickQuote { client_id, rfq, quote })).await
    }

    /// Cancels all of the agent's quotes of a kind.
    pub async fn mass_cancel(&self, what: QuoteKind) -> Result<(), CommandError> {
        let client_id = self.next_client_id();
        self.done(Command::MassCancel(MassCancel { client_id, what })).await
    }

    /// Cancels a live quote.
    pub async fn cancel_quote(&self, quote: QuoteId) -> Result<(), CommandError> {
        let (client_id, target) = (self.next_client_id(), QuoteTarget::Id(quote));
        self.done(Command::CancelQuote(CancelQuote { client_id, target })).await
    }

    /// Sets or replaces the agent's standing quote for a capability.
    pub async fn set_standing_quote(&self, quote: SetStandingQuote) -> Result<(), CommandError> {
        self.done(Command::SetStandingQuote(quote)).await
    }

    /// Cancels the agent's standing quote for a capability; `revision` is above its last one.
    pub async fn cancel_standing_quote(
        &self,
        capability: CapabilityId,
        revision: u64,
    ) -> Result<(), CommandError> {
        let cancel = CancelStandingQuote { capability, revision };
        self.done(Command::CancelStandingQuote(cancel)).await
    }

    /// Says that the work of a contract has started.
    pub async fn start_work(&self, contract: ContractId) -> Result<(), CommandError> {
        let client_id = self.next_client_id();
        self.done(Command::StartWork(StartWork { client_id, contract })).await
    }

    /// Delivers the work of a contract: a blob that was stored before.
    pub async fn deliver(
        &self,
        contract: ContractId,
        deliverable: Digest,
    ) -> Result<(), CommandError> {
        let client_id = self.next_client_id();
        self.done(Command::Deliver(Deliver { client_id, contract, deliverable })).await
    }

    /// Accepts what was delivered, so that the provider is paid.
    pub async fn accept_delivery(&self, contract: ContractId) -> Result<(), CommandError> {
        let client_id = self.next_client_id();
        self.done(Command::AcceptDelivery(AcceptDelivery { client_id, contract })).await
    }

    /// Enrols an account whose transactions may cost `transaction_max` each (operator).
    pub async fn enrol_account(&self, transaction_max: Micros) -> Result<AccountId, CommandError> {
        let client_id = self.next_client_id();
        let enrol = EnrolAccount { client_id, transaction_max };
        expect_outcome!(self, Command::EnrolAccount(enrol), Account)
    }

    /// Enrols an agent that acts for an account (operator).
    pub async fn enrol_agent(
        &self,
        account: AccountId,
        key: PublicKey,
        roles: Roles,
        attributes: Attributes,
    ) -> Result<AgentId, CommandError> {
        let client_id = self.next_client_id();
        let enrol = EnrolAgent { client_id, account, key, roles, attributes };
        expect_outcome!(self, Command::EnrolAgent(enrol), Agent)
    }

    /// Lists a capability (operator).
    pub async fn list_capability(
        &self,
        name: Name,
        currency: Currency,
        terms: Digest,
    ) -> Result<CapabilityId, CommandError> {
        let client_id = self.next_client_id();
        let list = ListCapability { client_id, name, currency, terms };
        expect_outcome!(self, Command::ListCapability(list), Capability)
    }

    /// Credits money that reached the exchange by hand (operator).
    pub async fn deposit(
        &self,
        account: AccountId,
        amount: Micros,
        currency: Currency,
    ) -> Result<(), CommandError> {
        let client_id = self.next_client_id();
        self.done(Command::Deposit(Deposit { client_id, account, amount, currency })).await
    }

    /// Halts the exchange or a capability: no new business until it is reopened (operator).
    pub async fn halt(&self, capability: Option<CapabilityId>) -> Result<(), CommandError> {
        let client_id = self.next_client_id();
        self.done(Command::Halt(Halt { client_id, capability })).await
    }

    /// Ends a halt of the same reach (operator).
    pub async fn reopen(&self, capability: Option<CapabilityId>) -> Result<(), CommandError> {
        let client_id = self.next_client_id();
        self.done(Command::Reopen(Reopen { client_id, capability })).await
    }

    /// Sets or lifts the band that prices of a capability must lie in (operator).
    pub async fn set_price_band(
        &self,
        capability: CapabilityId,
        band: Option<PriceBand>,
    ) -> Result<(), CommandError> {
        let client_id = self.next_client_id();
        self.done(Command::SetPriceBand(SetPriceBand { client_id, capability, band })).await
    }

    /// Signs what can be signed, unless the client does not sign.
    fn signed(&self, mut command: Command) -> Command {
        if self.signs() {
            self.signer().sign(&mut command);
        }
        command
    }

    fn place_for_signature(&self, rfq: RfqRef) -> Option<Box<QuoteSignature>> {
        if self.signs() { rfq.unsigned() } else { None }
    }

    async fn done(&self, command: Command) -> Result<(), CommandError> {
        self.call(command).await.map(|_| ())
    }
}
