//! How much the edge holds and how long it waits.

use std::time::Duration;

use gavel_protocol::DurationNs;
use gavel_protocol::limits::{BLOB_BYTES_MAX, FRAME_BYTES_MAX, HEARTBEAT_TIMEOUT};

/// Connections the edge holds before further ones are closed with `TooManyConnections`.
pub const CONNECTIONS_MAX: usize = 4_096;

/// Connections above [`CONNECTIONS_MAX`] that are told so at one time; further ones are refused
/// without a handshake, so that telling them costs a bounded part of the processor.
pub const REFUSALS_MAX: usize = 64;

/// Streams a client may have open at one time, each for one blob.
pub const BLOB_STREAMS_MAX: u32 = 16;

/// Bytes a client may send on one stream before the edge has read them.
pub const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// Bytes a client may send on all of its streams before the edge has read them.
pub const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Bytes that one connection holds until the client acknowledges them.
pub const SEND_WINDOW_BYTES: u64 = 4 * 1024 * 1024;

/// Packets that a client may get before it must acknowledge them; fewer wait for its next packet, or
/// 25 ms. Answers come in bursts, and a packet that only acknowledges costs as much as one of them.
pub const PACKETS_PER_ACK_MAX: u32 = 8;

/// Segments of a stream that one read takes, so that one chatty client does not hold the thread.
pub const SEGMENTS_PER_READ: usize = 64;

/// How long a connection may take to log on.
pub const LOGON_TIMEOUT: DurationNs = DurationNs::from_secs(5);

/// How long the server may stay silent on a stream before it sends a heartbeat.
pub const HEARTBEAT_INTERVAL: DurationNs = DurationNs::from_secs(5);

/// How long a connection may carry nothing at all before QUIC gives it up. Heartbeats come sooner.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Commands and queries a session may send per second, and at once, before they are `Throttled`.
pub const COMMANDS_PER_SECOND: u32 = 50_000;

/// Bytes that wait for one connection before it is closed as a slow consumer. What a subscription
/// catches up with comes on top; the rings bound it.
pub const SESSION_OUTPUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Topics one session may be subscribed to at one time.
pub const SUBSCRIPTIONS_PER_SESSION_MAX: usize = 64;

/// Past events that one stream keeps for subscribers that come back.
pub const EVENTS_PER_STREAM_KEPT: usize = 1_024;

/// How long the journal may take for a commit before the exchange says of itself that it waits for it.
pub const JOURNAL_WAIT_MAX: Duration = Duration::from_secs(2);

/// Past events that are read from the projection at one time.
pub const EVENTS_PER_PAGE_MAX: usize = 1_024;

/// How long a subscriber who catches up waits for its next event to be projected before it is closed as a slow
/// consumer.
pub const GAP_WAIT_MAX: Duration = Duration::from_secs(5);

/// Capabilities in one answer. In JSON an entry is below 256 bytes.
pub const CAPABILITIES_PER_PAGE: usize = 128;

/// Contracts that have ended and whose blobs their parties may still read.
pub const CLOSED_CONTRACTS_KEPT: usize = 65_536;

/// Bytes of blobs that one agent may store, unless configured otherwise.
pub const BLOB_BYTES_PER_AGENT: u64 = 1024 * 1024 * 1024;

/// What a blob counts towards its agent's quota at the least, so that empty ones are not free.
pub const BLOB_CHARGE_BYTES_MIN: u64 = 4_096;

/// Blobs in memory at one time, over all agents.
pub const BLOBS_IN_FLIGHT_MAX: usize = 16;

/// Blobs in memory at one time for one connection.
pub const BLOBS_PER_CONNECTION_MAX: usize = 4;

/// How long one blob may take.
pub const BLOB_TIMEOUT: Duration = Duration::from_secs(60);

/// How long to wait before a request of the edge's own is tried again after its lane was full.
pub const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// How long a shutdown waits for the close frames to leave.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

const _: () = assert!(HEARTBEAT_INTERVAL.nanos() < HEARTBEAT_TIMEOUT.nanos());
const _: () = assert!(CAPABILITIES_PER_PAGE * 256 < FRAME_BYTES_MAX);
const _: () = assert!(BLOBS_PER_CONNECTION_MAX < BLOBS_IN_FLIGHT_MAX);
const _: () = assert!(BLOB_BYTES_PER_AGENT >= BLOB_BYTES_MAX);

/// Lines of a mass quote that take their place in the order together.
pub const MASS_QUOTE_PART_LINES: usize = 64;

/// As how many commands a signed one counts against its session's rate: so no session alone can keep a
/// core busy with signatures, right or wrong.
pub const COMMANDS_PER_SIGNATURE: usize = 4;

/// Threads that verify signatures.
pub const VERIFIER_THREADS_MAX: usize = 8;

/// Signed commands that wait for one of these threads: some 40 ms of work.
pub const SIGNATURES_WAITING_MAX: usize = 1_024;
