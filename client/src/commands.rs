//! The exchange's commands as methods: each sends one, under a new client id, and unwraps what it
//! brought about.

use gavel_protocol::{
    AcceptDelivery, AccountId, AgentId, AmendQuote, CancelQuote, CancelRfq, CancelStandingQuote,
    CapabilityId, Command, ContractId, Currency, Deliver, Deposit, Digest, EnrolAccount,
    EnrolAgent, Halt, ListCapability, Micros, Name, OpenRfq, Outcome, PlaceQuote, PublicKey,
    QuoteId, QuoteTarget, Reopen, RfqHandle, RfqId, RfqTarget, RfqTerms, Roles, SetStandingQuote,
    StartWork, TimestampNs,
};

use crate::client::Client;
use crate::error::{ClientError, CommandError};

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

/// Every method fails if the command was rejected, or the client ended before the answer came.
impl Client {
    /// Opens an RFQ.
    pub async fn open_rfq(&self, rfq: RfqTerms) -> Result<RfqHandle, CommandError> {
        let client_id = self.next_client_id();
        let open = OpenRfq { client_id, rfq, signature: None };
        expect_outcome!(self, Command::OpenRfq(Box::new(open)), Rfq)
    }

    /// Cancels an open RFQ.
    pub async fn cancel_rfq(&self, rfq: RfqId) -> Result<(), CommandError> {
        let (client_id, target) = (self.next_client_id(), RfqTarget::Id(rfq));
        self.done(Command::CancelRfq(CancelRfq { client_id, target })).await
    }

    /// Places a sealed quote at `price` per unit.
    pub async fn place_quote(
        &self,
        rfq: RfqId,
        price: Micros,
        valid_until: TimestampNs,
    ) -> Result<QuoteId, CommandError> {
        let client_id = self.next_client_id();
        let place = PlaceQuote { client_id, rfq, price, valid_until, signature: None };
        expect_outcome!(self, Command::PlaceQuote(place), Quote)
    }

    /// Changes a live quote to `price` per unit.
    pub async fn amend_quote(
        &self,
        quote: QuoteId,
        price: Micros,
        valid_until: TimestampNs,
    ) -> Result<QuoteId, CommandError> {
        let (client_id, target) = (self.next_client_id(), QuoteTarget::Id(quote));
        let amend = AmendQuote { client_id, target, price, valid_until, signature: None };
        expect_outcome!(self, Command::AmendQuote(amend), Quote)
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
    ) -> Result<AgentId, CommandError> {
        let client_id = self.next_client_id();
        let enrol = EnrolAgent { client_id, account, key, roles };
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

    /// Halts the exchange: no new business until it is reopened (operator).
    pub async fn halt(&self) -> Result<(), CommandError> {
        let client_id = self.next_client_id();
        self.done(Command::Halt(Halt { client_id })).await
    }

    /// Reopens the exchange after a halt (operator).
    pub async fn reopen(&self) -> Result<(), CommandError> {
        let client_id = self.next_client_id();
        self.done(Command::Reopen(Reopen { client_id })).await
    }

    async fn done(&self, command: Command) -> Result<(), CommandError> {
        self.call(command).await.map(|_| ())
    }
}
