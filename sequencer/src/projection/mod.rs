//! The projection: what happened, as tables that people can ask in SQL.
//!
//! A projector reads the journal by itself and makes the exchange again beside the real one, so it
//! takes nothing from the core or from the journal's thread, and may be as slow as its database. Rows
//! and the cursor that says how far they go are committed together: each event is in the tables once,
//! in order. What concerns a sealed quote comes when its RFQ is decided, and nothing before shows that
//! there was anything.

mod history;
mod projector;
mod quotes;
mod rows;
mod schema;
mod tables;
mod target;

pub use history::StreamHistory;
pub use projector::{Projection, ProjectionError, Projector};
pub use target::ProjectionPlace;
