//! The session's own messages: logon, answers, subscriptions, queries, blobs.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::codec::payloads;
use crate::command::{choice, record};
use crate::event::{CapabilityListed, Outcome, Parties, StandingQuoteSet};
use crate::ids::{
    AccountId, AgentId, CapabilityId, ContractId, Digest, Nonce, PublicKey, QuoteId, RfqId,
    SessionId, SignatureBytes,
};
use crate::json::u64_text;
use crate::money::{Currency, Micros};
use crate::name::Name;
use crate::reason::RejectReason;
use crate::roles::Roles;
use crate::stream::RfqAnnounced;
use crate::template::templates;
use crate::terms::{Offer, PriceBand, RfqTerms};
use crate::time::{DurationNs, TimestampNs};

/// What a logon's signature begins with, so that it can never be taken for another signature.
pub const LOGON_CONTEXT: &[u8] = b"gavel logon 1\0";

/// Returns the bytes that a logon signs: context, nonce, key, exchange name.
pub fn logon_message(nonce: &Nonce, key: &PublicKey, exchange: &Name) -> Vec<u8> {
    [LOGON_CONTEXT, nonce.as_bytes(), key.as_bytes(), exchange.as_str().as_bytes()].concat()
}

templates! {
    /// A message from a client, apart from commands.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum ClientMessage: ClientToServer {
        /// Answers the challenge.
        1 LogonRequest(LogonRequest),
        /// Says that the client is alive; takes no number of its own.
        2 Heartbeat(Heartbeat),
        /// Ends the session.
        3 Logout(Logout),
        /// Opens the stream of a topic.
        4 Subscribe(Subscribe),
        /// Ends the stream of a topic.
        5 Unsubscribe(Unsubscribe),
        /// Asks for something without changing anything.
        6 Query(Query),
        /// Stores a blob: first frame of a blob stream, followed by the bytes.
        7 BlobPut(BlobPut),
        /// Fetches a blob: the only frame of a blob stream.
        8 BlobGet(BlobGet),
    }
}

templates! {
    /// A message from the server, apart from the events of subscriptions.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum ServerMessage: ServerToClient {
        /// The first message of a connection.
        64 Challenge(Challenge),
        /// The logon was accepted.
        65 LogonAnswer(LogonAnswer),
        /// Says that the server is alive. On a subscription its number is the stream's last one.
        66 Heartbeat(Heartbeat),
        /// The command has its place in the order. Promises order, not survival.
        67 Sequenced(SequencedAnswer),
        /// The command took effect, durably.
        68 Accepted(Accepted),
        /// The command was rejected and changed nothing.
        69 Rejected(RejectedAnswer),
        /// The topic's stream is open.
        70 Subscribed(Subscribed),
        /// The topic's stream cannot be continued from there: query the state, then subscribe afresh.
        71 ResyncRequired(ResyncRequired),
        /// The agent's state.
        72 Statement(Statement),
        /// The listed capabilities.
        73 CapabilityList(CapabilityList),
        /// The first message of a subscription's stream.
        74 StreamOpened(StreamOpened),
        /// The blob was stored.
        75 BlobStored(BlobAnswer),
        /// The blob follows.
        76 BlobReady(BlobReady),
        /// Lines of a mass quote took effect, durably, or were rejected.
        77 MassQuoteAnswer(MassQuoteAnswer),
        /// A capability's book: what its stream goes on from.
        78 Book(Book),
    }
}

record! {
    /// Answers the challenge.
    pub struct LogonRequest {
        /// The agent's key.
        pub key: PublicKey,
        /// Its signature over [`logon_message`].
        pub signature: SignatureBytes,
        /// The session to resume, if any.
        pub resume: Option<SessionId>,
        /// Whether the end of the session takes the agent's quotes with it.
        pub cancel_on_disconnect: bool,
        /// How long the session may be without a connection before it is lost.
        pub grace: DurationNs,
        /// Whether commands are also answered `Sequenced`, before they are durable.
        pub sequenced_answers: bool,
    }

    /// Says that the sender is alive.
    pub struct Heartbeat {}

    /// Ends the session.
    pub struct Logout {}

    /// Opens the stream of a topic.
    pub struct Subscribe {
        /// Which topic.
        pub topic: Topic,
        /// The first stream number wanted; without one, whatever comes next.
        pub from: Option<StreamPosition>,
    }

    /// A number of a stream.
    pub struct StreamPosition {
        /// The number, from 1.
        #[serde(with = "u64_text")]
        pub stream_seq: u64,
    }

    /// Ends the stream of a topic.
    pub struct Unsubscribe {
        /// Which topic.
        pub topic: Topic,
    }

    /// Asks for something without changing anything.
    pub struct Query {
        /// For what.
        pub kind: QueryKind,
    }

    /// Stores a blob in the agent's own place.
    pub struct BlobPut {
        /// The BLAKE3 digest of the bytes that follow.
        pub digest: Digest,
        /// How many bytes follow.
        #[serde(with = "u64_text")]
        pub length: u64,
    }

    /// Fetches a blob.
    pub struct BlobGet {
        /// Which one.
        pub source: BlobSource,
    }

    /// The first message of a connection.
    pub struct Challenge {
        /// To be signed by the logon.
        pub nonce: Nonce,
        /// The exchange's name, part of what is signed.
        pub exchange: Name,
        /// The version that every template has.
        pub template_version: u16,
        /// The rules that are applied.
        pub rules_version: u32,
        /// Sequenced time.
        pub ts_event: TimestampNs,
    }

    /// The logon was accepted.
    pub struct LogonAnswer {
        /// The session.
        pub session: SessionId,
        /// Whether it is the one that was to be resumed.
        pub resumed: bool,
        /// The agent that the key belongs to.
        pub agent: AgentId,
        /// The account it acts for.
        pub account: AccountId,
        /// What it may do.
        pub roles: Roles,
        /// The number that the session's next frame must have.
        #[serde(with = "u64_text")]
        pub session_seq_next: u64,
        /// Sequenced time.
        pub ts_event: TimestampNs,
        /// The longest time that the client may be silent.
        pub heartbeat_timeout: DurationNs,
    }

    /// The command has its place in the order.
    pub struct SequencedAnswer {
        /// When, in sequenced time.
        pub ts_event: TimestampNs,
    }

    /// The command took effect.
    pub struct Accepted {
        /// When, in sequenced time.
        pub ts_event: TimestampNs,
        /// Whether this repeats the answer to an earlier command.
        pub repeated: bool,
        /// What it brought about.
        pub outcome: Outcome,
    }

    /// The command was rejected.
    pub struct RejectedAnswer {
        /// Why.
        pub reason: RejectReason,
        /// The reason's stable number.
        pub code: u16,
        /// Whether the same command may succeed later without being changed.
        pub transient: bool,
        /// What it means, and what to do next.
        pub message: String,
    }

    /// The topic's stream is open.
    pub struct Subscribed {
        /// Which topic.
        pub topic: Topic,
        /// The number of the first event that will come.
        pub next: StreamPosition,
    }

    /// The topic's stream cannot be continued from there.
    pub struct ResyncRequired {
        /// Which topic.
        pub topic: Topic,
        /// The oldest event that can still be had.
        pub oldest: StreamPosition,
        /// The event that comes next.
        pub next: StreamPosition,
    }

    /// The first message of a subscription's stream.
    pub struct StreamOpened {
        /// Which topic.
        pub topic: Topic,
        /// The number of the first event that follows.
        pub next: StreamPosition,
    }

    /// The blob was stored.
    pub struct BlobAnswer {
        /// Its digest.
        pub digest: Digest,
    }

    /// The blob follows.
    pub struct BlobReady {
        /// Its digest.
        pub digest: Digest,
        /// How many bytes follow.
        #[serde(with = "u64_text")]
        pub length: u64,
    }

    /// An agent's state, as of one moment in the order.
    pub struct Statement {
        /// That moment, in sequenced time.
        pub ts_event: TimestampNs,
        /// The agent's reputation, in basis points.
        pub reputation_bps: u16,
        /// The agent is kept out until then, if it is.
        pub suspended_until: Option<TimestampNs>,
        /// The account's money, per currency.
        pub accounts: Vec<AccountStatement>,
        /// Open RFQs.
        pub rfqs: Vec<RfqEntry>,
        /// Live sealed quotes.
        pub quotes: Vec<QuoteEntry>,
        /// Live standing quotes.
        pub standing: Vec<StandingEntry>,
        /// Open contracts.
        pub contracts: Vec<ContractEntry>,
        /// Whether a list was cut at its limit.
        pub truncated: bool,
    }

    /// An account's money in one currency.
    pub struct AccountStatement {
        /// Which currency.
        pub currency: Currency,
        /// Free to spend.
        pub available: Micros,
        /// Set aside for open RFQs.
        pub held: Micros,
        /// In escrow for contracts in which the account is the buyer.
        pub escrow: Micros,
        /// Put up for quotes and contracts in which the account is the provider.
        pub bonds: Micros,
    }

    /// An open RFQ.
    pub struct RfqEntry {
        /// Its id.
        pub rfq: RfqId,
        /// When it closes.
        pub closes_at: TimestampNs,
        /// What it asks for.
        pub terms: RfqTerms,
    }

    /// A live sealed quote.
    pub struct QuoteEntry {
        /// Its id.
        pub quote: QuoteId,
        /// The RFQ it answers.
        pub rfq: RfqId,
        /// What is offered.
        pub offer: Offer,
    }

    /// An open contract.
    pub struct ContractEntry {
        /// Its id.
        pub contract: ContractId,
        /// Both sides.
        pub parties: Parties,
        /// Where it stands.
        pub state: ContractState,
        /// What lies in escrow.
        pub escrow: Micros,
        /// What it is paid in.
        pub currency: Currency,
        /// The next deadline: for delivery, or after the delivery for acceptance.
        pub due: TimestampNs,
    }

    /// What became of lines of a mass quote. A large one is answered in parts.
    pub struct MassQuoteAnswer {
        /// When they took effect, in sequenced time.
        pub ts_event: TimestampNs,
        /// The first of these lines, from 0.
        pub first_line: u32,
        /// Per line: why it was rejected, or nothing if it was accepted.
        pub results: Vec<Option<RejectReason>>,
        /// Whether these are the last lines.
        pub last: bool,
    }

    /// A capability's book as of one moment in the order.
    pub struct Book {
        /// Which capability.
        pub capability: CapabilityId,
        /// The number of the first event of its stream that is not in here.
        pub next: StreamPosition,
        /// The band that prices must lie in.
        pub band: Option<PriceBand>,
        /// Whether it takes no new business.
        pub halted: bool,
        /// Live standing quotes, best first, at most 256.
        pub standing: Vec<StandingEntry>,
        /// Standing quotes in all.
        pub standing_total: u32,
        /// Open RFQs that everybody may answer, oldest first, at most 256.
        pub rfqs: Vec<RfqAnnounced>,
        /// Such RFQs in all.
        pub rfqs_total: u32,
    }

    /// A page of listed capabilities.
    pub struct CapabilityList {
        /// In the order of their listing.
        pub capabilities: Vec<CapabilityEntry>,
        /// Whether there are more after the last of these.
        pub more: bool,
    }
}

/// A listed capability.
pub type CapabilityEntry = CapabilityListed;

/// A live standing quote.
pub type StandingEntry = StandingQuoteSet;

choice! {
    /// What a subscription is about.
    pub enum Topic {
        /// What happens to the agent.
        Private,
        /// What concerns everybody: capabilities, halts, outages.
        Exchange,
        /// RFQs and standing quotes of one capability.
        Capability(CapabilityId),
        /// The problems of combinatorial RFQs that admit solvers from outside; for solvers.
        Problems,
    }

    /// What a query asks for.
    pub enum QueryKind {
        /// The agent's [`Statement`].
        Statement,
        /// Listed capabilities after the given one, or from the first.
        Capabilities(Option<CapabilityId>),
        /// A capability's [`Book`].
        Book(CapabilityId),
    }

    /// Which blob, and by what right.
    pub enum BlobSource {
        /// One that the agent stored itself.
        Own(Digest),
        /// The public spec of an open RFQ.
        RfqSpec(RfqId),
        /// The terms of an open RFQ.
        RfqTerms(RfqId),
        /// The public spec of the RFQ that a contract came from; for its parties.
        ContractSpec(ContractId),
        /// The private inputs; for the parties of the contract.
        ContractInputs(ContractId),
        /// The terms of the contract; for its parties.
        ContractTerms(ContractId),
        /// What was delivered; for the parties of the contract.
        Deliverable(ContractId),
    }

    /// Where a contract stands.
    pub enum ContractState {
        /// Concluded; the provider has not started.
        Awarded,
        /// The provider works.
        Started,
        /// Delivered; the buyer may accept.
        Delivered,
    }
}

payloads!(
    LogonRequest,
    Heartbeat,
    Logout,
    Subscribe,
    Unsubscribe,
    Query,
    BlobPut,
    BlobGet,
    Challenge,
    LogonAnswer,
    SequencedAnswer,
    Accepted,
    RejectedAnswer,
    Subscribed,
    ResyncRequired,
    StreamOpened,
    BlobAnswer,
    BlobReady,
    Statement,
    CapabilityList,
    MassQuoteAnswer,
    Book,
);

impl RejectedAnswer {
    /// Returns the answer that gives `reason`.
    pub fn of(reason: RejectReason) -> Self {
        Self {
            reason,
            code: reason.code(),
            transient: reason.is_transient(),
            message: reason.to_string(),
        }
    }
}
