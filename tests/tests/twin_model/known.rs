//! Where the exchange does otherwise than the document says, or than it can be understood. Each of
//! these is to go away: once both agree, the switch is false or the pair is gone, and the test holds.

/// Another reason than the order of reasons asks for: what the exchange says, and what the twin says.
pub const OTHER_REASONS: [(&str, &str); 1] = [("rejected BelowLimit", "rejected PriceOutsideBand")];

/// In buyer's choice the band's upper end does not count as the reserve at the close, only at the pick.
pub const BOOK_KNOWS_NO_BAND: bool = true;

/// In buyer's choice the buyer learns who declined after the pick, not at the close.
pub const DECLINES_AFTER_THE_PICK: bool = true;

/// The clearing price of a Dutch RFQ is that of the last take, though one that had the first word may
/// have been paid more before.
pub const DUTCH_CLEARS_AT_THE_LAST_PRICE: bool = true;

/// A quote that changes how long it stands by keeps its place.
pub const STANDBY_KEEPS_THE_PLACE: bool = true;

/// Picking a quote of a provider that is kept out is refused as if it were not eligible.
pub const PICKS_ARE_NOT_ELIGIBLE: bool = true;

/// A standing quote is `Unbonded` if its account could not put up the bond for all the units that it,
/// and the account's cheaper standing quotes, might win: not only if it cannot with the award.
pub const BOND_FOR_WHAT_MIGHT_BE_WON: bool = true;

/// An expired standing quote that is set anew keeps its place, unless a close has come across it.
pub const EXPIRED_KEEPS_THE_PLACE: bool = true;
