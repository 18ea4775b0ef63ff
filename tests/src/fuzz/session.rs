//! A connection that sends anything, in any pieces: before the logon, or as an agent that is logged on.
//!
//! The first byte says who it is and how the rest is sent, the second one in how large pieces.

use std::collections::BTreeMap;

use gavel_gateway::{Pipe, Written};
use gavel_protocol::{
    ClientMessage, CloseReason, Codec, DurationNs, FRAME_HEADER_BYTES, Frames, PrivateEvent,
    PublicEvent, ServerMessage,
};

use super::Verdict;
use super::memory::within;
use super::stage::{Stage, Who, logon};

/// The most memory that taking a piece may hold. The largest one is a thousand empty frames; the answer to
/// each is a text of some hundred bytes, which is copied once.
const PIECE_MEMORY_MAX: usize = 4 << 20;

/// How an input is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub codec: Codec,
    /// None: nobody has logged on.
    pub who: Option<Who>,
    /// Whether the frames get the numbers that are due, whatever they say.
    pub numbered: bool,
    /// A piece is shorter than two to the power of this.
    pub piece_bits: u8,
}

/// What the client has got.
#[derive(Default)]
struct Got {
    /// By the number of the frame: how often it was answered for good.
    answers: BTreeMap<u64, u32>,
    streams: usize,
}

impl Manner {
    const PIECE_BITS_MAX: u8 = 15;

    /// Returns the two bytes that mean it.
    pub fn to_bytes(self) -> [u8; 2] {
        let codec = u8::from(self.codec == Codec::Json);
        let who = self.who.map_or(0, |who| who as u8 + 1);
        [codec | u8::from(self.numbered) << 1 | who << 2, self.piece_bits]
    }

    fn of(bytes: [u8; 2]) -> Self {
        let who = match bytes[0] >> 2 & 7 {
            1 => Some(Who::Operator),
            2 => Some(Who::Buyer),
            3 => Some(Who::Provider),
            4 => Some(Who::Solver),
            _ => None,
        };
        Self {
            codec: if bytes[0] & 1 == 1 { Codec::Json } else { Codec::Rkyv },
            who,
            numbered: bytes[0] & 2 == 2,
            piece_bits: bytes[1] % (Self::PIECE_BITS_MAX + 1),
        }
    }
}

/// Sends the input, and checks what comes of it.
pub(super) fn check(input: &[u8]) -> Verdict {
    let Some((manner, sent)) = input.split_first_chunk() else { return Verdict::Refused };
    let (manner, mut sent) = (Manner::of(*manner), sent.to_vec());
    if manner.numbered {
        number(&mut sent);
    }
    let mut stage = Stage::new();
    let mut pipe = stage.connect(manner.codec);
    let mut got = Got::default();
    if let Some(who) = manner.who {
        let logged_on = exchange(&mut stage, &mut pipe, &logon(who, manner.codec));
        assert_eq!(logged_on, Ok(()), "{who:?} logs on");
        got.take(&stage, &mut pipe, manner.codec);
    }
    let (hash, accepted) = (stage.exchange().state_hash(), stage.accepted());
    let mut ended = Ok(());
    let pieces = Pieces { rest: &sent, bits: manner.piece_bits };
    for piece in pieces {
        ended = exchange(&mut stage, &mut pipe, piece);
        got.take(&stage, &mut pipe, manner.codec);
        if ended.is_err() {
            break;
        }
    }
    if manner.who.is_some() {
        check_answers(&got, &sent, ended);
    }
    let verdict = match stage.accepted() == accepted {
        true => {
            assert_eq!(stage.exchange().state_hash(), hash, "what is refused changes nothing");
            Verdict::Refused
        }
        false => Verdict::Read,
    };
    check_end(stage, pipe);
    verdict
}

/// Gives the frames the numbers that are due.
fn number(sent: &mut [u8]) {
    let (mut at, mut next) = (0, 1_u64);
    while let Some(frame) = frame_at(sent, at) {
        if frame.0 != HEARTBEAT {
            sent[at + 8..at + FRAME_HEADER_BYTES].copy_from_slice(&next.to_le_bytes());
            next += 1;
        }
        at += frame.1;
    }
}

/// The template of a heartbeat, which has no number of its own.
const HEARTBEAT: u16 = 2;
/// The template of the end of a subscription, which is answered only if there was none.
const UNSUBSCRIBE: u16 = 5;

/// Returns the template and the length of the whole frame that begins there.
fn frame_at(bytes: &[u8], at: usize) -> Option<(u16, usize)> {
    let mut frames = Frames::new(&bytes[at..]);
    let (header, _) = frames.next_frame().ok()??;
    Some((header.template, frames.consumed()))
}

/// The client sends a piece; everybody has a turn.
fn exchange(stage: &mut Stage, pipe: &mut Pipe, piece: &[u8]) -> Result<(), CloseReason> {
    let elapsed = stage.elapsed();
    let received = within(PIECE_MEMORY_MAX, || pipe.receive(elapsed, piece));
    stage.settle();
    received.and_then(|()| pipe.wake(elapsed))
}

impl Got {
    /// Takes what is written for the client: all of it can be read.
    fn take(&mut self, stage: &Stage, pipe: &mut Pipe, codec: Codec) {
        let mut out = Vec::new();
        pipe.drain_written(stage.elapsed(), &mut out);
        for Written { topic, frames } in out {
            self.streams += usize::from(topic.is_some());
            let mut cut = Frames::new(&frames);
            while let Some((header, payload)) = cut.next_frame().expect("a length") {
                let message = ServerMessage::decode(codec, header.template, payload);
                match message {
                    Some(message) => {
                        let message = message.expect("a message that can be read");
                        self.answers
                            .entry(header.number)
                            .and_modify(|times| *times += u32::from(is_final(&message)))
                            .or_insert(u32::from(is_final(&message)));
                    }
                    None => assert!(topic.is_some() && is_event(codec, header.template, payload)),
                }
            }
            assert_eq!(cut.consumed(), frames.len(), "whole frames");
        }
    }
}

fn is_event(codec: Codec, template: u16, payload: &[u8]) -> bool {
    matches!(PrivateEvent::decode(codec, template, payload), Some(Ok(_)))
        || matches!(PublicEvent::decode(codec, template, payload), Some(Ok(_)))
}

/// Returns whether nothing more is said about a frame after this.
fn is_final(message: &ServerMessage) -> bool {
    match message {
        ServerMessage::MassQuoteAnswer(answer) => answer.last,
        ServerMessage::Accepted(_)
        | ServerMessage::Rejected(_)
        | ServerMessage::Subscribed(_)
        | ServerMessage::ResyncRequired(_)
        | ServerMessage::Statement(_)
        | ServerMessage::CapabilityList(_)
        | ServerMessage::Book(_) => true,
        _ => false,
    }
}

/// Every frame was answered once; when the connection was closed, at most once.
fn check_answers(got: &Got, sent: &[u8], ended: Result<(), CloseReason>) {
    let mut at = 0;
    let (mut number, mut numbers) = (0, 0);
    while let Some((template, length)) = frame_at(sent, at) {
        at += length;
        if template == HEARTBEAT {
            continue;
        }
        number += 1;
        numbers = number;
        let times = got.answers.get(&number).copied().unwrap_or_default();
        let least = u32::from(ended.is_ok() && template != UNSUBSCRIBE);
        assert!((least..=1).contains(&times), "frame {number} was answered {times} times");
    }
    let others = got.answers.iter().filter(|(number, times)| **number > numbers && **times > 0);
    assert_eq!(others.count(), 0, "nothing else was answered");
}

/// The client goes, and time passes: everything comes to its end, no money is lost, and the journal
/// brings about the same.
fn check_end(mut stage: Stage, pipe: Pipe) {
    stage.close(pipe);
    stage.now = stage.now.after(DurationNs::from_secs(3_600));
    stage.settle();
    let exchange = stage.exchange();
    assert_eq!(exchange.trial_balance(), 0, "the ledger is balanced");
    assert_eq!(stage.replayed().state_hash(), exchange.state_hash(), "a replay comes to the same");
}

/// Cuts bytes into pieces, whose lengths follow from the bytes.
struct Pieces<'a> {
    rest: &'a [u8],
    bits: u8,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let first = *self.rest.first()?;
        let last = *self.rest.last()?;
        let drawn = (usize::from(first) << 8 | usize::from(last)).wrapping_mul(0x9e37);
        let length = 1 + drawn % (1 << self.bits);
        let (piece, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        Some(piece)
    }
}

/// Returns an input that sends these messages.
pub(super) fn input(manner: Manner, messages: &[Sent]) -> Vec<u8> {
    let mut bytes = manner.to_bytes().to_vec();
    for (number, message) in (1..).zip(messages) {
        match message {
            Sent::Message(message) => message.encode(manner.codec, number, &mut bytes),
            Sent::Command(command) => command.encode(manner.codec, number, &mut bytes),
            Sent::Bytes(sent) => bytes.extend_from_slice(sent),
        }
    }
    bytes
}

/// What a client sends.
#[derive(Clone, Debug)]
pub(super) enum Sent {
    Message(ClientMessage),
    Command(gavel_protocol::Command),
    Bytes(Vec<u8>),
}
