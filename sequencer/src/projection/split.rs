//! How the exchange's events become the events that subscribers get.

use crate::batch::StepView;

/// Splits what happens into the numbered streams of events that subscribers get. Only the edge knows who gets
/// what.
pub trait Split: Send {
    /// Takes the next step, and puts out each event of a stream that follows from it, with the place among the
    /// step's events of the one that it is made of, from 0.
    fn split(&mut self, step: &StepView<'_>, put: &mut dyn FnMut(u64, StreamEvent));
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEvent {
    /// The stream's name.
    pub stream: String,
    /// Its number in the stream, from 1.
    pub stream_seq: u64,
    /// The event as a frame.
    pub frame: Vec<u8>,
}
