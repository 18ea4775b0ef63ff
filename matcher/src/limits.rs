//! How much the market holds.

use gavel_protocol::limits::INVITED_MAX;
use gavel_protocol::table;

/// Open RFQs the core can hold.
pub const RFQS_OPEN_MAX: u32 = table(65_536);

/// Combinatorial RFQs that can be open: a full one takes a megabyte and a half.
pub const BUNDLE_RFQS_OPEN_MAX: usize = 256;

/// Quotes one RFQ may collect before further ones are rejected `RfqFull`.
pub const QUOTES_PER_RFQ_MAX: u32 = 4_096;

/// Live sealed quotes the core can hold, over all RFQs.
pub const QUOTES_LIVE_MAX: u32 = table(262_144);

/// Invitations to open RFQs the core can hold: as many as all of them may have.
pub const INVITATIONS_MAX: usize = RFQS_OPEN_MAX as usize * INVITED_MAX;

/// Standing quotes the core can hold, over all capabilities.
pub const STANDING_QUOTES_MAX: u32 = table(1_048_576);

/// Standing quotes of one capability that an RFQ considers: the best ones that can win. Only these,
/// and those that cannot win among as many of the best, are told why they lost.
pub const STANDING_CONSIDERED_MAX: usize = 32;

/// Standing quotes of one capability that a close looks at, to find those that can win.
pub const STANDING_VISITED_MAX: usize = 256;

/// Capabilities that can be listed.
pub const CAPABILITIES_MAX: u32 = 1_024;

/// Everything that may compete at one close.
pub const CANDIDATES_MAX: usize = QUOTES_PER_RFQ_MAX as usize + 2 * STANDING_CONSIDERED_MAX;
