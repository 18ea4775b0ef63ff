//! The sizes that both ends of the wire rely on.

use crate::time::DurationNs;

/// Bytes of a [`crate::Name`].
pub const NAME_BYTES_MAX: usize = 40;

/// Bytes of one frame, its header included. Sized for a mass quote of [`MASS_QUOTE_LINES_MAX`] lines
/// in either codec.
pub const FRAME_BYTES_MAX: usize = 524_288;

/// Lines of a mass quote.
pub const MASS_QUOTE_LINES_MAX: usize = 1_000;

/// Providers that one RFQ may invite.
pub const INVITED_MAX: usize = 64;

/// Items of a combinatorial RFQ.
pub const ITEMS_MAX: usize = 256;

/// Bundles of one command.
pub const BUNDLES_PER_COMMAND_MAX: usize = 256;

/// Bundles of one account for one RFQ: a sixteenth of all.
pub const BUNDLES_PER_ACCOUNT_MAX: usize = 256;

/// Proposals with prices that one RFQ accepts: each check of them looks at every item of every bundle.
pub const PRICE_CHECKS_PER_RFQ_MAX: u32 = 16;

/// Bundles that one RFQ may collect.
pub const BUNDLES_PER_RFQ_MAX: usize = 4_096;

/// The largest load of an item, and the largest capacity of a group. The loads of as many items as
/// there may be fit a `u32`.
pub const LOAD_MAX: u32 = 1_048_576;

const _: () = assert!(ITEMS_MAX as u64 * LOAD_MAX as u64 <= u32::MAX as u64);

/// The longest time that an allocation of bundles may be sought.
pub const CLEARING_MAX: DurationNs = DurationNs::from_secs(60);

/// Points of a Dutch RFQ's price curve.
pub const CURVE_POINTS_MAX: usize = 16;

/// Providers that the units of one RFQ may go to.
pub const AWARDS_PER_RFQ_MAX: u32 = 64;

/// Quotes of a buyer's-choice RFQ that the buyer is shown: the best ones.
pub const BOOK_SHOWN_MAX: u32 = 256;

/// Losers of one RFQ that may stand by: the best of those that offer to.
pub const STANDBYS_PER_RFQ_MAX: u32 = 8;

/// The best reputation, in basis points.
pub const REPUTATION_BPS_MAX: u16 = 10_000;

/// All of a price, in basis points: the highest bond.
pub const BPS_MAX: u16 = 10_000;

/// The longest latency a quote may name, in milliseconds: an hour.
pub const LATENCY_MS_MAX: u32 = 3_600_000;

/// Standing quotes, and open RFQs, in a snapshot of a capability's book.
pub const BOOK_LINES_MAX: usize = 256;

/// Items of all the RFQs in such a snapshot: with them it fits a frame.
pub const BOOK_ITEMS_MAX: usize = 4_096;

/// Bytes of one blob.
pub const BLOB_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Units of work one RFQ may ask for.
pub const QUANTITY_MAX: u32 = 1_000_000;

/// The largest amount a single command may name, in millionths: one billion units. A quantity of
/// [`QUANTITY_MAX`] at a smaller price is still checked for overflow.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000_000;

/// The longest window of an RFQ.
pub const WINDOW_MAX: DurationNs = DurationNs::from_secs(24 * 3_600);

/// The longest time for delivery, and for acceptance.
pub const WORK_TIME_MAX: DurationNs = DurationNs::from_secs(90 * 24 * 3_600);

/// The longest time a session may be without a connection before it counts as lost.
pub const SESSION_GRACE_MAX: DurationNs = DurationNs::from_secs(300);

/// The highest fee: all of the price.
pub const FEE_PPM_MAX: u32 = 1_000_000;

/// How long a client id is remembered at the most, in sequenced time.
pub const CLIENT_ID_HORIZON: DurationNs = DurationNs::from_secs(24 * 3_600);

/// How far the creation time of a client id may lie ahead of sequenced time.
pub const CLIENT_ID_AHEAD_MAX: DurationNs = DurationNs::from_secs(60);

/// Lines in one list of a statement; a longer list ends with `truncated`.
pub const STATEMENT_LINES_MAX: usize = 40;

/// The longest time a session may stay silent before the server closes its connection.
pub const HEARTBEAT_TIMEOUT: DurationNs = DurationNs::from_secs(15);
