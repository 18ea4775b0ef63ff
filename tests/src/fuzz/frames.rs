//! Frames in both codecs: wherever the stream is cut, they are the same ones; and what a payload is read
//! as is written so that it is read as the same again.

use gavel_protocol::{
    ClientMessage, Codec, Command, FrameHeader, Frames, PrivateEvent, PublicEvent, ServerMessage,
};

use super::memory::within;
use super::{Verdict, memory_for};

/// Cuts the input into frames, and reads each as whatever it may be, in either codec.
pub(super) fn check(input: &[u8]) -> Verdict {
    let frames = cut(input);
    let half = cut(&input[..input.len() / 2]);
    assert!(frames.starts_with(&half), "what has come first is the same without the rest");
    let mut verdict = Verdict::Refused;
    for (header, payload) in frames {
        for codec in Codec::ALL {
            if is_read(codec, header, payload) {
                verdict = Verdict::Read;
            }
        }
    }
    verdict
}

fn cut(bytes: &[u8]) -> Vec<(FrameHeader, &[u8])> {
    let (mut cut, mut frames) = (Vec::new(), Frames::new(bytes));
    let mut consumed = 0;
    while let Ok(Some((header, payload))) = frames.next_frame() {
        assert!(frames.consumed() > consumed && frames.consumed() <= bytes.len());
        consumed = frames.consumed();
        cut.push((header, payload));
    }
    cut
}

/// Reads a payload as a message of one kind, and checks that it is the same in the other codec, too.
macro_rules! reads {
    ($enum:ident, $codec:expr, $header:expr, $payload:expr) => {{
        let most = memory_for($payload.len());
        let read = within(most, || $enum::decode($codec, $header.template, $payload));
        if let Some(Ok(message)) = &read {
            for codec in Codec::ALL {
                let mut bytes = Vec::new();
                message.encode(codec, $header.number, &mut bytes);
                let mut frames = Frames::new(&bytes);
                let (header, payload) = frames.next_frame().expect("a length").expect("a frame");
                assert_eq!(frames.consumed(), bytes.len(), "it is one frame");
                assert_eq!((header.number, header.template), ($header.number, $header.template));
                let again = $enum::decode(codec, header.template, payload);
                assert_eq!(again.as_ref(), Some(&Ok(message.clone())), "in {codec:?}");
            }
        }
        matches!(read, Some(Ok(_)))
    }};
}

fn is_read(codec: Codec, header: FrameHeader, payload: &[u8]) -> bool {
    reads!(ClientMessage, codec, header, payload)
        || reads!(Command, codec, header, payload)
        || reads!(ServerMessage, codec, header, payload)
        || reads!(PrivateEvent, codec, header, payload)
        || reads!(PublicEvent, codec, header, payload)
}
