//! Order, time and durability: the inbox, the run loop, the journal, recovery, and what leaves.
//!
//! The sequencer gives every request its place and its time, applies it to the exchange, commits it
//! to the journal beside the core, and publishes what followed once it is durable. A shadow makes
//! snapshots of what the journal says. What this crate does *not* do: decide anything about the market, or know what a socket is.

mod alive;
pub mod audit;
mod batch;
mod clock;
mod core;
mod curtain;
mod error_text;
mod follower;
mod inbox;
pub mod journal;
pub mod limits;
pub mod projection;
mod publish;
mod quarantine;
mod recovery;
mod replay;
mod replica;
mod restart;
mod run;
mod shadow;
mod snapshots;
mod stepper;
mod writer;

pub use alive::{Note, last_note};
pub use batch::{Batch, QueryAnswer, Step, StepView};
pub use clock::Now;
pub use error_text::error_text;
pub use follower::{Reach, Source};
pub use inbox::{Inbox, Lane, Origin, Part, QueryRequest, StateQuery, Submission};
pub use publish::{Consumer, RestoreError, StreamEvent};
pub use recovery::{RecoveryError, Replayed, Replayer};
pub use replay::{replay, replay_from, replay_noted};
pub use replica::Replica;
pub use restart::{make_snapshot, recover};
pub use run::{Audit, Auditor, Layout, Sequencer, SequencerConfig, StartError, Status};
pub use shadow::{SnapshotConfig, give_way};
pub use snapshots::{Saved, Snapshots, SnapshotsError};
pub use stepper::Stepper;
