//! Bytes of a stream on their way to becoming frames: one buffer, reused, growing with the traffic.

use std::task::{Context, Poll, ready};

use gavel_protocol::{FrameHeader, Frames};

use crate::error::ClientError;
use crate::limits::{READ_BUFFER_BYTES_MAX, READ_BUFFER_BYTES_MIN};

/// What was read of a stream and not yet used.
pub(crate) struct FrameBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl FrameBuffer {
    /// Makes an empty buffer.
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; READ_BUFFER_BYTES_MIN], start: 0, end: 0 }
    }

    /// Returns the next whole frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// [`ClientError::Framing`] if a frame's length is impossible.
    pub(crate) fn next_frame(&mut self) -> Result<Option<(FrameHeader, &[u8])>, ClientError> {
        let mut frames = Frames::new(&self.bytes[self.start..self.end]);
        let frame = frames.next_frame().map_err(ClientError::Framing)?;
        self.start += frames.consumed();
        Ok(frame)
    }

    /// Takes the bytes that no frame has used.
    pub(crate) fn take_rest(&mut self) -> &[u8] {
        let rest = self.start..self.end;
        (self.start, self.end) = (0, 0);
        &self.bytes[rest]
    }

    /// Waits for more bytes of the stream.
    ///
    /// # Errors
    ///
    /// Why there will be none; [`ClientError::StreamEnded`] if the server finished the stream.
    pub(crate) async fn fill(&mut self, stream: &mut quinn::RecvStream) -> Result<(), ClientError> {
        std::future::poll_fn(|cx| self.poll_fill(cx, stream)).await
    }

    /// The same as [`FrameBuffer::fill`], for those who poll.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut quinn::RecvStream,
    ) -> Poll<Result<(), ClientError>> {
        let space = self.space();
        let (room, read) = (space.len(), ready!(stream.poll_read(cx, space))?);
        if read == 0 {
            return Poll::Ready(Err(ClientError::StreamEnded));
        }
        self.end += read;
        if read == room {
            self.grow();
        }
        Poll::Ready(Ok(()))
    }

    /// Returns where the next bytes go: never empty.
    fn space(&mut self) -> &mut [u8] {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end == self.bytes.len() {
            self.grow();
        }
        &mut self.bytes[self.end..]
    }

    fn grow(&mut self) {
        let doubled = (2 * self.bytes.len()).min(READ_BUFFER_BYTES_MAX);
        self.bytes.resize(doubled, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_protocol::{ClientId, ContractId, Digest};
    use gavel_protocol::{Codec, Command, Deliver};

    fn frame(number: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        Command::Deliver(Deliver {
            client_id: ClientId::new(7),
            contract: ContractId::new(8),
            deliverable: Digest::new([9; 32]),
        })
        .encode(Codec::Rkyv, number, &mut bytes);
        bytes
    }

    #[test]
    fn frames_come_out_however_the_bytes_come_in() {
        let stream: Vec<u8> = (1..=200).flat_map(frame).collect();
        assert!(stream.len() > READ_BUFFER_BYTES_MIN);
        for step in [1, 7, 100, 5_000] {
            let (mut buffer, mut fed, mut seen) = (FrameBuffer::new(), 0, 0);
            while fed < stream.len() {
                let space = buffer.space();
                let read = space.len().min(step).min(stream.len() - fed);
                space[..read].copy_from_slice(&stream[fed..fed + read]);
                buffer.end += read;
                fed += read;
                while let Some((header, _)) = buffer.next_frame().unwrap() {
                    seen += 1;
                    assert_eq!(header.number, seen);
                }
            }
            assert_eq!(seen, 200);
            assert!(buffer.take_rest().is_empty());
        }
    }
}
