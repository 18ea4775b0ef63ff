//! Bugs that are planted one at a time, so that the seeded world can be shown to find what it is for.
//!
//! Only a build with the feature `planted` has any; in every other one nothing is ever planted, and
//! the compiler leaves the bugs out.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// What is not durable yet is published.
    PublishedBeforeDurable = 1,
    /// A recovery does not show one record in eight to the edge.
    ReplaySkipsRecord = 2,
    /// The money held for an RFQ goes back twice.
    HoldClosedTwice = 3,
    /// Ties between quotes are broken by where they lie in a table.
    TieByPlaceInTable = 4,
    /// A stream that is continued begins one event too late.
    GapFillOffByOne = 5,
    /// One client id in sixteen is not found again.
    ClientIdForgotten = 6,
    /// An outage does not move the deadlines.
    OutageNotCounted = 7,
    /// A deadline takes effect after the command of its own moment.
    DeadlineAfterCommand = 8,
    /// An event about a sealed quote goes to the stream of everybody.
    SealedQuoteShown = 9,
    /// A repeated answer does not say that it is one.
    AnswerNotMarkedRepeated = 10,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 10] = [
        Self::PublishedBeforeDurable,
        Self::ReplaySkipsRecord,
        Self::HoldClosedTwice,
        Self::TieByPlaceInTable,
        Self::GapFillOffByOne,
        Self::ClientIdForgotten,
        Self::OutageNotCounted,
        Self::DeadlineAfterCommand,
        Self::SealedQuoteShown,
        Self::AnswerNotMarkedRepeated,
    ];

    /// Returns whether this one is planted.
    #[cfg(not(feature = "planted"))]
    #[inline(always)]
    pub const fn is_planted(self) -> bool {
        false
    }

    /// Returns whether this one is planted.
    #[cfg(feature = "planted")]
    pub fn is_planted(self) -> bool {
        PLANTED.load(core::sync::atomic::Ordering::Relaxed) == self as u8
    }

    /// Plants a bug in the whole process, in place of the one before.
    #[cfg(feature = "planted")]
    pub fn plant(bug: Option<Self>) {
        let number = bug.map_or(0, |bug| bug as u8);
        PLANTED.store(number, core::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(feature = "planted")]
static PLANTED: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);
