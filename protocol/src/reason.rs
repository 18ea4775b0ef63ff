//! The three designed enumerations of "no": why a command was rejected, why a quote lost, why a
//! connection was closed. Numbers are stable; the order is the order of precedence.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

/// What the documentation says of one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonInfo {
    /// The stable number.
    pub code: u16,
    /// The name, as in JSON.
    pub name: &'static str,
    /// Whether the same command may succeed later without being changed.
    pub transient: bool,
    /// What it means.
    pub meaning: &'static str,
    /// What to do next.
    pub remedy: &'static str,
}

macro_rules! reasons {
    (
        $(#[$doc:meta])*
        $enum:ident {
            $($code:literal $name:ident $transient:ident $meaning:literal, $remedy:literal;)+
        }
    ) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            Archive, RkyvSerialize, RkyvDeserialize, serde::Serialize, serde::Deserialize,
        )]
        #[rkyv(derive(Debug))]
        #[repr(u16)]
        pub enum $enum {
            $(#[doc = concat!($meaning, ".")] $name = $code,)+
        }

        impl $enum {
            /// Every reason, in order of precedence.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Returns the documentation's row for this reason.
            pub const fn info(self) -> ReasonInfo {
                match self {
                    $(Self::$name => ReasonInfo {
                        code: $code,
                        name: stringify!($name),
                        transient: reasons!(@transient $transient),
                        meaning: $meaning,
                        remedy: $remedy,
                    },)+
                }
            }

            /// Returns the stable number.
            pub const fn code(self) -> u16 {
                self.info().code
            }

            /// Returns whether the same command may succeed later without being changed.
            pub const fn is_transient(self) -> bool {
                self.info().transient
            }
        }

        impl core::fmt::Display for $enum {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let info = self.info();
                write!(f, "{}: {}", info.meaning, info.remedy)
            }
        }
    };
    (@transient transient) => { true };
    (@transient permanent) => { false };
}

reasons! {
    /// Why a command was rejected; the state is unchanged.
    ///
    /// Where several apply, the one that comes first here is given. Numbers never change; those below 100 are given by
    /// the edge before the command has a place in the order, the rest by the core.
    RejectReason {
        1 MalformedPayload permanent
            "the payload is not a value of its template",
            "encode it as the template's table in the protocol document says";
        2 UnknownTemplate permanent
            "no template has this number, or it does not travel in this direction",
            "use a template of the protocol document";
        3 UnsupportedVersion permanent
            "the template's version is not spoken here",
            "use the version that the challenge announces";
        4 NotLoggedOn permanent
            "the connection has not logged on",
            "send a logon request first";
        5 Throttled transient
            "the session sends faster than its throttle allows",
            "wait a second and send slower";
        6 Busy transient
            "the inbox lane of this command is full",
            "send it again with the same client id after a short pause";
        7 JournalUnavailable transient
            "the journal cannot take further commands",
            "send it again with the same client id once the exchange is healthy";
        8 InvalidSignature permanent
            "the signature is not the agent's over the canonical bytes of this command",
            "sign the bytes that the protocol document defines, with the key of the logon";
        9 TooManySubscriptions permanent
            "the session has as many subscriptions as it may",
            "end one of them first";
        10 UnknownTopic permanent
            "no such topic",
            "ask for the list of capabilities";
        11 UnknownBlob permanent
            "no such blob, or not one that this agent may read",
            "check the source; inputs open to the winner after the award";
        12 DigestMismatch permanent
            "the bytes do not have the digest that was announced",
            "compute the BLAKE3 digest of exactly the bytes sent";
        13 BlobTooLarge permanent
            "the blob is larger than the largest allowed",
            "split it, or pass a manifest of parts";
        14 StorageFailed transient
            "the blob store did not answer",
            "try again after a pause";
        15 BlobQuota transient
            "the agent has stored as many bytes as it may",
            "reuse what is stored, or ask the operator";
        16 Quarantined permanent
            "the same request once broke the exchange, and was kept aside",
            "tell the operator; ask for the same thing in another way";
        100 NotPermitted permanent
            "the agent has no role for this command",
            "use an agent that was enrolled with the role";
        101 Halted transient
            "the exchange takes no new business",
            "wait until the public stream says Reopened";
        102 InvalidAmount permanent
            "an amount is zero, negative or above the largest allowed",
            "name an amount above zero and at most a billion units";
        103 InvalidQuantity permanent
            "a quantity or capacity is zero or above the largest allowed",
            "name a quantity between 1 and a million";
        104 InvalidDuration permanent
            "a window or a time for work is outside its limits",
            "keep to the limits of the protocol document";
        105 InvalidSettings permanent
            "a setting is outside its limits",
            "keep to the limits of the protocol document";
        106 InvalidScoring permanent
            "a weight is negative, or a score could not fit",
            "use smaller weights";
        107 InvalidCurve permanent
            "the price curve does not rise from point to point to the reserve within the window",
            "name 2 to 16 points, later and not lower each, the last one at the reserve";
        153 InvalidItems permanent
            "a combinatorial RFQ has no items or too many, one is outside its limits, or their reserves are not the RFQ's",
            "name 1 to 256 items whose reserves add up to the RFQ's, and loads of at most 1,048,576";
        154 InvalidBundle permanent
            "a bundle is empty, or names an item that the RFQ does not have",
            "name at least one of the RFQ's items, each once";
        108 InvalidBand permanent
            "the price band is empty or inverted",
            "name a lowest price above zero and a highest not below it";
        109 InvalidInvitation permanent
            "too many providers are invited, one twice, two of one account, one that cannot answer, or nobody where somebody must be",
            "invite 1 to 64 providers, each of another account, and not your own";
        110 FormatNotAllowed permanent
            "the format does not go with another term of the RFQ",
            "see the table of formats in the protocol document";
        155 PaymentRuleNotAllowed permanent
            "VCG payments do not go with an RFQ that awards all or none: they can be more than is held",
            "ask for core payments or pay as bid";
        111 AmountOverflow permanent
            "an amount or a sum does not fit",
            "use smaller amounts";
        112 AlreadyFounded permanent
            "the exchange has been founded before",
            "nothing: this happens once";
        113 ClientIdExpired permanent
            "the client id is older than what the exchange still remembers",
            "look whether the first attempt took effect, then use a new id";
        114 ClientIdInFuture permanent
            "the client id's creation time lies ahead of the exchange's clock",
            "set the clock and use a new id";
        115 IdempotencyMismatch permanent
            "the client id was used before for another command",
            "use a new id for a new command";
        116 AlreadyCanceled permanent
            "a cancel for this client id came before it",
            "use a new id if you still want it";
        117 StaleRevision permanent
            "the revision is not above the last one",
            "use a higher revision";
        118 SignatureMissing permanent
            "the exchange asks for a signature",
            "sign the RFQ, the quote, the take, or an envelope for standing quotes";
        119 UnknownAccount permanent
            "no such account",
            "check the account id";
        120 UnknownAgent permanent
            "no such agent",
            "check the agent id or key";
        121 UnknownCapability permanent
            "no such capability",
            "ask for the list of capabilities";
        122 UnknownRfq permanent
            "no such open RFQ",
            "check the RFQ id; a closed RFQ is forgotten";
        123 UnknownQuote permanent
            "no such live quote of this agent",
            "check the quote id; a quote ends with its RFQ";
        124 UnknownContract permanent
            "no such open contract of this agent",
            "check the contract id; a settled contract is forgotten";
        125 UnknownSession permanent
            "no such session of this agent",
            "log on again";
        126 KeyTaken permanent
            "another agent has this key",
            "make a new key: an agent has exactly one";
        127 NameTaken permanent
            "another capability has this name",
            "choose another name";
        128 CurrencyMismatch permanent
            "the currency is not the capability's",
            "use the currency that the capability is listed with";
        129 TermsNotListed permanent
            "the terms are not those that the capability is listed with",
            "name the listed terms, or open a sealed RFQ without standing quotes";
        130 RfqDigestMismatch permanent
            "the signature is for an RFQ of another digest",
            "sign the digest that the RFQ was announced with";
        131 EnvelopeExceeded permanent
            "the standing quote lies outside its envelope, or another session is mandated",
            "sign a new envelope";
        132 WrongFormat permanent
            "the RFQ's format does not take this command",
            "take a Dutch RFQ, pick in a buyer's choice, quote for the others";
        133 NotInvited permanent
            "the RFQ is for others",
            "nothing: wait for an invitation";
        134 NotEligible permanent
            "the provider does not have the reputation or the attributes that the RFQ asks for",
            "quote for RFQs that ask for less";
        135 ProviderSuspended transient
            "the provider has failed and is kept out for a time",
            "wait until the time that ProviderSuspended named";
        136 SelfTrade permanent
            "buyer and provider are the same account",
            "quote for other accounts only";
        137 TooLate permanent
            "the deadline for this has passed",
            "nothing: act earlier next time";
        138 ValidUntilTooShort permanent
            "the quote would not be valid until the RFQ closes",
            "name a later valid_until";
        139 QuantityTooSmall permanent
            "the RFQ's units go to one provider, and the quote does not offer all of them",
            "offer the whole quantity";
        140 PriceOutsideBand permanent
            "the price is outside the capability's band",
            "quote within the band";
        141 BelowLimit transient
            "the Dutch price has not reached the take's limit",
            "wait for the price to rise, or lower the limit";
        142 Exclusive transient
            "another provider has the first word",
            "wait until its time is over";
        156 NotClearing transient
            "the RFQ still takes quotes, or its problem is not out yet",
            "wait for its problem";
        157 InfeasibleAllocation permanent
            "the winners may not all win: one does not compete, one comes twice, an item is awarded twice, a group or its capacity is overdrawn, or not all items are awarded where all or none are",
            "name bundles of the problem that go together";
        158 SurplusMismatch permanent
            "the surplus is not what the winners come to",
            "recompute it: reserves of the awarded items, each once, less the scores";
        159 FalseBound permanent
            "the bound is below what can be reached, or its prices do not prove it",
            "name a bound that the prices prove";
        160 InvalidPayments permanent
            "payments are not one per winner, or one is below what is asked or above the reserves",
            "name one for each winner, between its price and the reserves of its items";
        161 NotBetter permanent
            "the allocation is no better than the best so far, and proves no more",
            "propose a better one";
        143 WrongState permanent
            "the contract is not in a state that allows this",
            "see the table of contract states";
        144 QuoteExists permanent
            "the account already has a live quote for this RFQ",
            "amend it instead";
        145 TransactionLimit permanent
            "the amount is above the account's limit for one transaction",
            "split it, or ask the operator for a higher limit";
        146 RfqLimit transient
            "the account has as many open RFQs as it may",
            "wait until one closes, or cancel one";
        147 QuoteRate transient
            "the agent has quoted as often as it may in this second",
            "wait a second and quote slower";
        148 QuoteLimit transient
            "the account has as many live quotes, or bundles for this RFQ, as it may",
            "wait until an RFQ closes, or cancel a quote";
        149 ContractLimit transient
            "the account has as many open contracts as it may",
            "wait until one settles";
        150 RfqFull transient
            "the RFQ holds as many quotes as it may",
            "quote earlier next time";
        151 TableFull transient
            "the exchange holds as many of these as it may",
            "try again later, or ask the operator for a larger exchange";
        152 InsufficientFunds transient
            "the account's available money does not cover it",
            "deposit money, or ask for less";
    }
}

reasons! {
    /// Why a quote that competed did not win.
    LossReason {
        1 RfqCanceled permanent
            "the buyer canceled the RFQ before its close",
            "nothing: the quote is released";
        2 SelfTrade permanent
            "buyer and provider are the same account",
            "quote for other accounts only";
        3 QuoteExpired permanent
            "the quote was no longer valid when the RFQ was decided",
            "name a later valid_until";
        4 ProviderSuspended transient
            "the provider has failed and is kept out for a time",
            "deliver what is awarded";
        5 Ineligible permanent
            "the provider does not have the reputation or the attributes that the RFQ asks for",
            "quote for RFQs that ask for less";
        6 AboveReserve permanent
            "the price is above the buyer's reserve",
            "quote lower";
        7 ContractLimit permanent
            "the provider's account holds as many contracts as it may",
            "settle what is open before quoting more";
        9 Unfillable permanent
            "the units that were left did not fit the quote, or the other way round",
            "offer more capacity, or units one by one";
        10 RfqPassed permanent
            "the buyer picked nothing in its time",
            "nothing: the quote is released";
        11 DoneAway permanent
            "the buyer picked another quote",
            "quote lower, or be better in what the buyer can see";
        12 Tied permanent
            "the same score as the last winner, but later",
            "quote earlier or lower";
        15 BundleLost permanent
            "the bundle's items went to bundles that gain the buyer more",
            "quote lower, or on other items";
        16 GroupUsedUp permanent
            "another bundle of its group won, or those that won use up its capacity",
            "nothing: the group got what it may";
        13 Cover permanent
            "the best of the losing quotes",
            "quote lower";
        14 Outscored permanent
            "worse than the best losing quote",
            "quote lower";
    }
}

impl LossReason {
    /// Returns the loss reason code of OpenRTB (IAB Tech Lab, OpenRTB 2.6, list "Loss Reason Codes")
    /// that comes closest. There, the highest price wins; here, the lowest score.
    pub const fn openrtb(self) -> u16 {
        match self {
            // Impression opportunity expired.
            Self::RfqCanceled | Self::RfqPassed => 2,
            // Invalid bid response.
            Self::QuoteExpired | Self::Unfillable => 3,
            // Bid was below auction floor.
            Self::AboveReserve => 100,
            // Lost to higher bid.
            Self::Tied | Self::Cover | Self::Outscored | Self::BundleLost | Self::GroupUsedUp => {
                102
            }
            // Lost to a bid for a PMP deal.
            Self::DoneAway => 103,
            // Buyer seat blocked.
            Self::SelfTrade | Self::ProviderSuspended | Self::Ineligible | Self::ContractLimit => {
                104
            }
        }
    }
}

reasons! {
    /// Why the server closed a connection: the application error code of its QUIC close frame.
    CloseReason {
        0 Goodbye transient
            "the client logged out",
            "log on again when needed";
        1 FrameLength permanent
            "a frame's length is below its header's or above the largest allowed",
            "frame as the protocol document says";
        2 SequenceGap permanent
            "a session_seq is not the last one plus one",
            "number the frames of a session without gaps";
        3 LogonTimeout transient
            "no logon request within the time allowed",
            "answer the challenge at once";
        4 LogonRefused permanent
            "the logon's key is unknown or its signature is wrong",
            "sign the challenge's nonce with the key of an enrolled agent";
        5 Superseded permanent
            "the agent logged on elsewhere",
            "keep one session per agent";
        6 SlowConsumer transient
            "the client does not read what it subscribed to",
            "read faster, or subscribe to less; resume by stream number";
        7 HeartbeatMissed transient
            "nothing came from the client for too long",
            "send heartbeats; resume by stream number";
        8 ShuttingDown transient
            "the exchange is shutting down",
            "reconnect after a pause";
        9 Unavailable transient
            "the exchange cannot acknowledge anything now",
            "reconnect after a pause";
        10 ProtocolViolation permanent
            "streams were opened or used in a way that the protocol does not know",
            "follow the protocol document";
        11 TooManyConnections transient
            "the exchange holds as many connections as it may",
            "reconnect after a pause";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_for_one_reason() {
        for mut all in [
            RejectReason::ALL.iter().map(|r| r.code()).collect::<alloc::vec::Vec<_>>(),
            LossReason::ALL.iter().map(|r| r.code()).collect(),
            CloseReason::ALL.iter().map(|r| r.code()).collect(),
        ] {
            let reasons = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), reasons, "{all:?}");
        }
    }
}
