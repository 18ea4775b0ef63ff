//! Why a load did not start.

use std::io;

use gavel_client::{ClientError, CommandError};
use gavel_protocol::{Currency, Name};

/// Why a load did not start.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The configuration breaks a rule.
    #[error("the load cannot be run: {0}")]
    Invalid(&'static str),
    /// Drawing the run's salt.
    #[error("cannot draw a random salt")]
    Salting(#[source] rand::rngs::SysError),
    /// Connecting, as the operator or as one of the agents.
    #[error("cannot connect and log on as {who}")]
    LoggingOn {
        /// Which of them.
        who: &'static str,
        /// Why.
        #[source]
        source: ClientError,
    },
    /// Listing the capabilities.
    #[error("cannot list the capabilities; the operator's key is needed")]
    Listing(#[source] CommandError),
    /// A capability is listed already, in another currency.
    #[error("the capability {name} is listed in {currency}, but the load trades in USD")]
    OtherCurrency {
        /// Its name.
        name: Name,
        /// Its currency.
        currency: Currency,
    },
    /// Enrolling the agents.
    #[error("cannot enrol an agent")]
    Enrolling(#[source] CommandError),
    /// Every key that was tried for an agent was taken.
    #[error("no free key for an agent; leave the salt out or choose another")]
    KeysTaken,
    /// Crediting the buyers.
    #[error("cannot credit a buyer's deposit")]
    Depositing(#[source] CommandError),
    /// Subscribing to an agent's streams.
    #[error("cannot subscribe an agent to its streams")]
    Subscribing(#[source] CommandError),
    /// Storing a job spec.
    #[error("cannot store a job spec")]
    Storing(#[source] CommandError),
    /// Setting a provider's first standing quote.
    #[error("cannot set a provider's first standing quote")]
    Quoting(#[source] CommandError),
    /// Starting the thread that keeps the schedules.
    #[error("cannot start the pacer's thread")]
    Pacing(#[source] io::Error),
    /// An agent's task ended before it began.
    #[error("the task that sets up an agent panicked")]
    Panicked,
}
