//! Frames: how messages are cut out of a stream of bytes.
//!
//! A frame is `u32` length (of the whole frame, header included), `u16` template, `u16` version,
//! `u64` number, payload; integers are little-endian. The number is a client frame's `session_seq`,
//! the `session_seq` that a server's answer answers, or an event's `stream_seq`.

use alloc::vec::Vec;

use crate::limits::FRAME_BYTES_MAX;
use crate::template::TEMPLATE_VERSION;

/// Bytes before the payload.
pub const FRAME_HEADER_BYTES: usize = 16;

const _: () = assert!(FRAME_BYTES_MAX > FRAME_HEADER_BYTES && FRAME_BYTES_MAX <= u32::MAX as usize);

/// What a frame says of its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The template's number.
    pub template: u16,
    /// The template's version.
    pub version: u16,
    /// The frame's number in its stream.
    pub number: u64,
}

/// A length that no frame can have: the stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame length of {length} bytes is not between 16 and 65536")]
pub struct FrameError {
    /// The length that was announced.
    pub length: u32,
}

/// Cuts the whole frames off the front of a buffer.
///
/// Iterate, then drop [`Frames::consumed`] bytes from the buffer.
#[derive(Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    consumed: usize,
}

impl<'a> Frames<'a> {
    /// Starts at the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, consumed: 0 }
    }

    /// Returns how many bytes the frames so far have used.
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// Returns the next whole frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// [`FrameError`] if the announced length is impossible.
    pub fn next_frame(&mut self) -> Result<Option<(FrameHeader, &'a [u8])>, FrameError> {
        let rest = &self.bytes[self.consumed..];
        let Some((length, _)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length);
        let size = length as usize;
        if !(FRAME_HEADER_BYTES..=FRAME_BYTES_MAX).contains(&size) {
            return Err(FrameError { length });
        }
        let Some(frame) = rest.get(..size) else { return Ok(None) };
        self.consumed += size;
        Ok(Some((header(frame), &frame[FRAME_HEADER_BYTES..])))
    }
}

/// Reads the header of a frame that has at least [`FRAME_HEADER_BYTES`] bytes.
fn header(frame: &[u8]) -> FrameHeader {
    FrameHeader {
        template: u16::from_le_bytes([frame[4], frame[5]]),
        version: u16::from_le_bytes([frame[6], frame[7]]),
        number: u64::from_le_bytes([
            frame[8], frame[9], frame[10], frame[11], frame[12], frame[13], frame[14], frame[15],
        ]),
    }
}

/// Appends a frame whose payload `write_payload` appends.
pub(crate) fn write_frame(
    out: &mut Vec<u8>,
    template: u16,
    number: u64,
    write_payload: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&template.to_le_bytes());
    out.extend_from_slice(&TEMPLATE_VERSION.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    write_payload(out);
    let length = out.len() - start;
    assert!(length <= FRAME_BYTES_MAX, "invariant: template {template} fits a frame: {length}");
    let length = u32::try_from(length).expect("asserted on the line above");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_wherever_the_bytes_were_split() {
        let mut stream = Vec::new();
        write_frame(&mut stream, 7, 1, |out| out.extend_from_slice(b"first"));
        write_frame(&mut stream, 8, 2, |_| ());
        for cut in 0..stream.len() {
            let mut frames = Frames::new(&stream[..cut]);
            let mut seen = 0;
            while let Some((header, _)) = frames.next_frame().unwrap() {
                seen += 1;
                assert_eq!(header.number, seen);
            }
            assert!(frames.consumed() <= cut);
        }
        let mut frames = Frames::new(&stream);
        assert_eq!(frames.next_frame().unwrap().unwrap().1, b"first");
        assert_eq!(frames.next_frame().unwrap().unwrap().0.template, 8);
        assert_eq!(frames.next_frame().unwrap(), None);
    }

    #[test]
    fn an_impossible_length_is_an_error() {
        for length in [0_u32, 15, 524_289, u32::MAX] {
            assert_eq!(Frames::new(&length.to_le_bytes()).next_frame(), Err(FrameError { length }));
        }
    }
}
