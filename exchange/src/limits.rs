//! How much the exchange holds, and how much one step does.

use gavel_matcher::limits::RFQS_OPEN_MAX;
use gavel_protocol::table;
use gavel_settlement::limits::{CONTRACTS_OPEN_MAX, HOLDS_MAX};

/// Agents the core can hold.
pub const AGENTS_MAX: u32 = table(65_536);

/// Client ids the core remembers, over all agents.
pub const CLIENT_IDS_MAX: u32 = table(524_288);

/// Client ids remembered of one agent. The oldest makes room for the newest, and with it everything
/// created before it expires.
pub const CLIENT_IDS_PER_AGENT_MAX: u32 = 16_384;

/// Deadlines that one step lets take effect. Each may be a close.
pub const DEADLINES_PER_STEP_MAX: u32 = 4;

/// Bundles that one step of a clearing scores and makes part of the problem.
pub const BUNDLES_POSED_PER_STEP_MAX: u32 = 128;

/// Winning bundles that one step of a clearing awards.
pub const BUNDLES_AWARDED_PER_STEP_MAX: u32 = 4;

/// Bundles that one step of a clearing tells why they lost.
pub const BUNDLES_TOLD_PER_STEP_MAX: u32 = 32;

/// Quotes that one step cancels for agents whose session ended, or that asked for it.
pub const SWEPT_PER_STEP_MAX: u32 = 64;

/// Dutch RFQs that one step looks at, to let them go on after a halt.
pub const STOPPED_PER_STEP_MAX: u32 = 64;

/// Quotes that can stand by, over all RFQs.
pub const STANDBYS_MAX: u32 = table(65_536);

/// Offer envelopes the core can hold. They live on; a new one replaces that of the same agent and
/// capability.
pub const ENVELOPES_MAX: u32 = table(65_536);

/// Deadlines that can be open: one per RFQ, one per contract, one per standby.
pub const DEADLINES_MAX: u32 = RFQS_OPEN_MAX + CONTRACTS_OPEN_MAX + STANDBYS_MAX;

/// Requests that are looked ahead at: a few dozen waits for memory at once are what a processor
/// can have, and what is read must still be near when its turn comes.
pub const LOOK_AHEAD_MAX: usize = 16;

// Every open RFQ has a hold.
const _: () = assert!(HOLDS_MAX >= RFQS_OPEN_MAX);
// An RFQ is opened only while there is room for the contract it may become.
const _: () = assert!(CONTRACTS_OPEN_MAX > RFQS_OPEN_MAX);
