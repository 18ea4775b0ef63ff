//! How much the sequencer holds.

use std::time::Duration;

use gavel_protocol::{DurationNs, table};

/// Requests that a lane of the agents' own holds before further ones are rejected `Busy`.
pub const LANE_REQUESTS_MAX: usize = table(16_384) as usize;

/// The same for a lane that only few write to: the operator's and the solvers'.
pub const NARROW_LANE_REQUESTS_MAX: usize = 1_024;

/// Queries that wait for the core at one time.
pub const QUERIES_MAX: usize = 1_024;

/// Requests that one batch takes from the inbox.
pub const BATCH_REQUESTS_MAX: usize = 1_024;

/// Batches on their way through the journal. With all of them under way the core stops taking
/// requests, the lanes fill, and the edge says `Busy`: the backlog that is not durable is bounded.
pub const BATCHES_IN_FLIGHT_MAX: usize = 8;

/// Events, or entries of ranked lists, after which a batch takes no further request. It has room for
/// twice as many: only a step that closes several of the largest RFQs makes it grow, once.
pub const BATCH_EVENTS_MAX: usize = 4 * BATCH_REQUESTS_MAX;

/// How far the wall clock may run ahead of the time that has passed before it counts as a jump.
pub const CLOCK_JUMP_MAX: DurationNs = DurationNs::from_secs(10);

/// How often a wall clock that has jumped is looked at again.
pub const CLOCK_LOOK_EVERY: DurationNs = DurationNs::from_secs(1);

/// How long the core's own thread looks for further requests before it parks.
pub const SPIN_BEFORE_PARK: Duration = Duration::from_micros(20);

/// The longest sleep of an idle core.
pub const IDLE_WAKE_MAX: Duration = Duration::from_secs(60);

/// How often the exchange notes that it is alive: an outage is known to this much.
pub const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Commands whose records one step of a truncation deletes at the most: some 4 MiB, between two commits.
pub const TRUNCATED_COMMANDS_MAX: u64 = 16_384;

/// Bytes of commands that a replay reads before it passes them on together.
pub const REPLAYED_GROUP_BYTES: usize = 1024 * 1024;

/// Records that a replay reads before it passes them on together.
pub const REPLAYED_GROUP_RECORDS_MAX: usize = 64;

/// Bytes of commands up to which threads would cost a replay more than they save.
pub const REPLAYED_ALONE_BYTES_MAX: usize = 256 * 1024;

/// Records that a reader beside the writer takes at a time.
pub const RECORDS_READ_AHEAD: u32 = 16;

/// Commands after which a snapshot is made, unless configured otherwise.
pub const SNAPSHOT_EVERY: u64 = 1_000_000;

/// Snapshots that are kept, unless configured otherwise.
pub const SNAPSHOTS_KEPT: usize = 3;

/// Bytes of one command in the journal: no frame is longer, and the archive of a command is at most
/// twice its frame.
pub const COMMAND_BYTES_MAX: usize = 2 * gavel_protocol::limits::FRAME_BYTES_MAX;

/// Queries answered with one batch: a book is some 60 KiB.
pub const BATCH_QUERIES_MAX: usize = 64;

/// How long a journal's server may take to answer before it is asked again by way of a new session.
pub const JOURNAL_ANSWER_MAX: Duration = Duration::from_secs(10);

/// How long a journal's server may be away before the journal fails.
pub const JOURNAL_OUTAGE_MAX: Duration = Duration::from_secs(30);

/// Records on their way to a journal's server at one time, each by way of a session of its own: one is
/// being committed, and the next one waits there for that.
pub const JOURNAL_RECORDS_IN_FLIGHT_MAX: usize = 2;

/// Commands of a record up to which the next one is sent while it is on its way. A larger one is waited for: so much
/// gathers meanwhile that one record of it costs less than two.
pub const JOURNAL_PIPELINED_COMMANDS_MAX: u64 = 1_024;

/// Records that are read from a journal's server at a time.
pub const JOURNAL_READ_AHEAD_RECORDS: i64 = 16;

/// How long the lock of an exchange that has just ended is waited for.
pub const JOURNAL_LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

/// The waits between attempts to reach a journal's server: the first, doubled each time, and the
/// longest.
pub const JOURNAL_RETRY_FIRST: Duration = Duration::from_millis(10);
/// See [`JOURNAL_RETRY_FIRST`].
pub const JOURNAL_RETRY_MAX: Duration = Duration::from_secs(1);

/// Leaves that an audit log can have: numbers up to here are exact in JSON in every language.
pub const AUDIT_TREE_MAX: u64 = 1 << 53;

/// Rows of a projection after which no further record is read before they are committed.
pub const PROJECTION_ROWS_MAX: usize = 16_384;

/// Rows that one statement inserts into a projection on SQLite, which binds at most 32,766 values.
pub const PROJECTION_STATEMENT_ROWS_MAX: usize = 256;

/// How long a projection's database may take to answer before it counts as away.
pub const PROJECTION_ANSWER_MAX: Duration = Duration::from_secs(60);

/// How long a start waits to learn whether a projection's database is the right one.
pub const PROJECTION_CHECK_MAX: Duration = Duration::from_secs(5);

/// How long a projection's database may take to say what a stream has had, before the subscriber is told to ask
/// for the state instead.
pub const HISTORY_ANSWER_MAX: Duration = Duration::from_secs(1);

/// Connections to a projection's database that subscribers' gaps are filled over.
pub const HISTORY_CONNECTIONS_MAX: u32 = 2;

/// How long what follows a journal waits before it tries again to reach where it keeps things.
pub const FOLLOWER_RETRY: Duration = Duration::from_secs(1);

/// Leaves of the audit log after which no further record is read before they are committed.
pub const AUDIT_LEAVES_MAX: usize = 16_384;

/// How often heads of the audit log are signed at the most while there are new leaves.
pub const AUDIT_HEAD_EVERY: Duration = Duration::from_secs(1);

/// Entries of the audit log that are read at a time.
pub const AUDIT_READ_AHEAD_ENTRIES: u32 = 1_024;
