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
    /// Where several apply, the one with the lowest number is given. Numbers below 100 are given by
    /// the edge before the command has a place in the order; the rest by the core.
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
        8 UnsupportedSignature permanent
            "a signature scheme that this version does not verify",
            "leave the signature out";
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
        106 AmountOverflow permanent
            "an amount or a sum does not fit",
            "use smaller amounts";
        107 AlreadyFounded permanent
            "the exchange has been founded before",
            "nothing: this happens once";
        108 ClientIdExpired permanent
            "the client id is older than what the exchange still remembers",
            "look whether the first attempt took effect, then use a new id";
        109 ClientIdInFuture permanent
            "the client id's creation time lies ahead of the exchange's clock",
            "set the clock and use a new id";
        110 IdempotencyMismatch permanent
            "the client id was used before for another command",
            "use a new id for a new command";
        111 AlreadyCanceled permanent
            "a cancel for this client id came before it",
            "use a new id if you still want it";
        112 StaleRevision permanent
            "the revision is not above the last one",
            "use a higher revision";
        113 UnknownAccount permanent
            "no such account",
            "check the account id";
        114 UnknownAgent permanent
            "no such agent",
            "check the agent id or key";
        115 UnknownCapability permanent
            "no such capability",
            "ask for the list of capabilities";
        116 UnknownRfq permanent
            "no such open RFQ",
            "check the RFQ id; a closed RFQ is forgotten";
        117 UnknownQuote permanent
            "no such live quote of this agent",
            "check the quote id; a quote ends with its RFQ";
        118 UnknownContract permanent
            "no such open contract of this agent",
            "check the contract id; a settled contract is forgotten";
        119 UnknownSession permanent
            "no such session of this agent",
            "log on again";
        120 KeyTaken permanent
            "another agent has this key",
            "make a new key: an agent has exactly one";
        121 NameTaken permanent
            "another capability has this name",
            "choose another name";
        122 CurrencyMismatch permanent
            "the currency is not the capability's",
            "use the currency that the capability is listed with";
        123 TermsNotListed permanent
            "the terms are not those that the capability is listed with",
            "name the listed terms, or open a sealed RFQ without standing quotes";
        124 SelfTrade permanent
            "buyer and provider are the same account",
            "quote for other accounts only";
        125 TooLate permanent
            "the deadline for this has passed",
            "nothing: act earlier next time";
        126 ValidUntilTooShort permanent
            "the quote would not be valid until the RFQ closes",
            "name a later valid_until";
        127 WrongState permanent
            "the contract is not in a state that allows this",
            "see the table of contract states";
        128 QuoteExists permanent
            "the account already has a live quote for this RFQ",
            "amend it instead";
        129 TransactionLimit permanent
            "the amount is above the account's limit for one transaction",
            "split it, or ask the operator for a higher limit";
        130 RfqLimit transient
            "the account has as many open RFQs as it may",
            "wait until one closes, or cancel one";
        131 QuoteLimit transient
            "the account has as many live quotes as it may",
            "wait until an RFQ closes, or cancel a quote";
        132 ContractLimit transient
            "the account has as many open contracts as it may",
            "wait until one settles";
        133 RfqFull transient
            "the RFQ holds as many quotes as it may",
            "quote earlier next time";
        134 TableFull transient
            "the exchange holds as many of these as it may",
            "try again later, or ask the operator for a larger exchange";
        135 InsufficientFunds transient
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
            "the quote was no longer valid when the RFQ closed",
            "name a later valid_until";
        4 AboveReserve permanent
            "the price is above the buyer's reserve",
            "quote lower";
        5 ContractLimit permanent
            "the provider's account holds as many contracts as it may",
            "settle what is open before quoting more";
        6 Tied permanent
            "the same price as the winner, but later",
            "quote earlier or lower";
        7 Cover permanent
            "the best of the losing quotes",
            "quote lower";
        8 Outscored permanent
            "worse than the best losing quote",
            "quote lower";
        9 Unfillable permanent
            "the standing capacity does not cover the quantity",
            "offer more capacity";
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
    fn numbers_grow_with_precedence() {
        for all in [
            RejectReason::ALL.iter().map(|r| r.code()).collect::<alloc::vec::Vec<_>>(),
            LossReason::ALL.iter().map(|r| r.code()).collect(),
            CloseReason::ALL.iter().map(|r| r.code()).collect(),
        ] {
            assert!(all.is_sorted_by(|a, b| a < b), "{all:?}");
        }
    }
}
