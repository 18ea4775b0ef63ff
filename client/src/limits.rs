//! How much a client holds, and how long it waits.

use std::time::Duration;

use gavel_protocol::limits::FRAME_BYTES_MAX;

/// Commands and queries without an answer; sending one more waits until one is answered.
pub const IN_FLIGHT_MAX: usize = 8_192;

/// Subscriptions of one client: the private stream, the exchange's, and capabilities.
pub const SUBSCRIPTIONS_MAX: usize = 64;

/// Bytes of one stream that may wait here unread. A reader that falls behind stops the server there.
pub const STREAM_WINDOW_BYTES: u32 = 1_048_576;

/// Packets that the server may get before it must acknowledge them; fewer wait for its next packet,
/// or 25 ms. Commands come in bursts, and a packet that only acknowledges costs as much as one.
pub const PACKETS_PER_ACK_MAX: u32 = 8;

/// Bytes of a read buffer while little comes; it doubles as needed.
pub const READ_BUFFER_BYTES_MIN: usize = 4_096;

/// Bytes of a read buffer at the most.
pub const READ_BUFFER_BYTES_MAX: usize = 524_288;

// A buffer that is full without holding one whole frame could never make progress.
const _: () = assert!(READ_BUFFER_BYTES_MAX >= FRAME_BYTES_MAX);
const _: () = assert!(READ_BUFFER_BYTES_MIN <= READ_BUFFER_BYTES_MAX);

/// The pause before the second attempt to reconnect (the first is made at once); it doubles.
pub const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(20);

/// The longest pause between two attempts to reconnect.
pub const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long a logout waits for the server's goodbye before the connection is closed regardless.
pub const LOGOUT_WAIT_MAX: Duration = Duration::from_secs(2);

/// How long a connection whose session stream broke off is given to say why it is being closed.
pub const CLOSE_REASON_WAIT_MAX: Duration = Duration::from_secs(1);

/// Keep-alives and heartbeats per time that silence may last: with three, two may be lost.
pub const HEARTBEATS_PER_TIMEOUT: u32 = 3;
