//! The session without any I/O: frames in, frames and submissions out.

use std::sync::{Arc, Mutex};

use ed25519_dalek::{Signer as _, SigningKey};
use gavel_protocol::{
    AgentId, BlobGet, BlobSource, CancelRfq, ClientId, FRAME_HEADER_BYTES, Logout, Micros, Name,
    PublicKey, Query, RfqId, RfqTarget, SessionId, SetStandingQuote, SignatureBytes, Subscribe,
    Unsubscribe,
};

use super::*;
use crate::samples::{BUYER, CAPABILITY, OPERATOR, at, digest, enrolled, founded, listed};
use crate::sessions::Numbering;

const CONNECTION: u64 = 5;
const COMMANDS_PER_SECOND: u32 = 10;
const START: DurationNs = DurationNs::from_secs(100);

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public_key(key: &SigningKey) -> PublicKey {
    PublicKey::new(key.verifying_key().to_bytes())
}

/// A session and the client's end of it.
struct Pair {
    directory: Directory,
    session: Session,
    nonce: Nonce,
    codec: Codec,
    now: DurationNs,
    session_seq: u64,
    numbering: SharedNumbering,
}

impl Pair {
    fn new() -> Self {
        Self::with_codec(Codec::Rkyv)
    }

    fn with_codec(codec: Codec) -> Self {
        let directory = Directory::default();
        directory.founded(&founded(public_key(&signing_key(1))));
        directory.enrolled(&enrolled(BUYER, public_key(&signing_key(2))));
        directory.listed(&listed());
        let nonce = Nonce::new([9; 32]);
        let throttle = Throttle::new(COMMANDS_PER_SECOND);
        let session = Session::new(CONNECTION, codec, nonce, throttle, START);
        let numbering = Arc::new(Mutex::new(Numbering::default()));
        Self { directory, session, nonce, codec, now: START, session_seq: 0, numbering }
    }

    fn logged_on() -> Self {
        let mut pair = Self::new();
        pair.log_on();
        pair
    }

    fn log_on(&mut self) {
        let request = self.logon_request(&signing_key(2));
        self.send_message(0, &ClientMessage::LogonRequest(request)).unwrap();
        self.submissions();
        self.session.drain_requests();
        self.session.handle_logged_on(self.now, self.decision());
        self.answers();
    }

    fn decision(&self) -> Decision {
        Decision {
            session: SessionId::new(70),
            resumed: false,
            ts_event: at(1),
            numbering: Arc::clone(&self.numbering),
        }
    }

    fn logon_request(&self, key: &SigningKey) -> LogonRequest {
        let exchange: Name = "testing".parse().unwrap();
        let message = logon_message(&self.nonce, &public_key(key), &exchange);
        LogonRequest {
            key: public_key(key),
            signature: SignatureBytes::new(key.sign(&message).to_bytes()),
            resume: None,
            cancel_on_disconnect: true,
            grace: DurationNs::from_secs(1_000_000),
            sequenced_answers: true,
        }
    }

    fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        self.session.handle_bytes(self.now, bytes, &self.directory)
    }

    fn send_message(&mut self, number: u64, message: &ClientMessage) -> Result<(), CloseReason> {
        let mut frame = Vec::new();
        message.encode(self.codec, number, &mut frame);
        self.send_bytes(&frame)
    }

    fn send(&mut self, message: &ClientMessage) -> Result<(), CloseReason> {
        self.session_seq += 1;
        self.send_message(self.session_seq, message)
    }

    fn command_frame(&mut self, command: &Command) -> Vec<u8> {
        self.session_seq += 1;
        let mut frame = Vec::new();
        command.encode(self.codec, self.session_seq, &mut frame);
        frame
    }

    fn command(&mut self, command: &Command) -> Result<(), CloseReason> {
        let frame = self.command_frame(command);
        self.send_bytes(&frame)
    }

    fn answers(&mut self) -> Vec<(u64, ServerMessage)> {
        let bytes = std::mem::take(self.session.output());
        let mut frames = Frames::new(&bytes);
        let mut answers = Vec::new();
        while let Some((header, payload)) = frames.next_frame().unwrap() {
            let answer = ServerMessage::decode(self.codec, header.template, payload);
            answers.push((header.number, answer.unwrap().unwrap()));
        }
        answers
    }

    /// The one answer there is, which must be a rejection.
    fn rejection(&mut self) -> (u64, RejectReason) {
        match self.answers().as_slice() {
            [(number, ServerMessage::Rejected(rejected))] => (*number, rejected.reason),
            answers => panic!("one rejection expected: {answers:?}"),
        }
    }

    fn submissions(&mut self) -> Vec<Submission> {
        let mut submissions = Vec::new();
        self.session.drain_submissions(&mut submissions);
        submissions
    }
}

fn standing_quote() -> Command {
    Command::SetStandingQuote(SetStandingQuote {
        capability: CAPABILITY,
        revision: 1,
        price: Micros::new(1),
        latency_ms: 0,
        capacity: 1,
        valid_until: at(2),
        terms: digest(b't'),
    })
}

fn cancel() -> Command {
    let target = RfqTarget::Id(RfqId::new(1));
    Command::CancelRfq(CancelRfq { client_id: ClientId::new(1), target })
}

#[test]
fn a_logon_is_verified_and_submitted_and_answered_once_the_core_agrees() {
    for codec in Codec::ALL {
        let mut pair = Pair::with_codec(codec);
        pair.session.challenge(&pair.directory, at(7)).unwrap();
        let answers = pair.answers();
        let [(0, ServerMessage::Challenge(challenge))] = answers.as_slice() else {
            panic!("{answers:?}")
        };
        assert_eq!((challenge.nonce, challenge.ts_event), (pair.nonce, at(7)));

        let request = pair.logon_request(&signing_key(2));
        pair.send_message(0, &ClientMessage::LogonRequest(request)).unwrap();
        let requests = pair.session.drain_requests();
        let [SessionRequest::Claim(claim)] = requests.as_slice() else { panic!("{requests:?}") };
        assert_eq!(*claim, Claim { agent: BUYER, grace: SESSION_GRACE_MAX });
        let submissions = pair.submissions();
        assert_eq!(submissions.len(), 1);
        assert_eq!(submissions[0].request.agent, BUYER);
        let logon = Logon { resume: None, cancel_on_disconnect: true };
        assert_eq!(submissions[0].request.command, Command::Logon(logon));
        assert!(pair.session.member().is_none(), "not before the core agrees");

        lock(&pair.numbering).next = 42;
        pair.session.handle_logged_on(pair.now, pair.decision());
        let answers = pair.answers();
        let [(0, ServerMessage::LogonAnswer(answer))] = answers.as_slice() else {
            panic!("{answers:?}")
        };
        assert_eq!((answer.agent, answer.session_seq_next), (BUYER, 42));
        assert_eq!(pair.session.member().unwrap().agent, BUYER);
    }
}

#[test]
fn the_operators_key_is_known_from_the_founding() {
    let mut pair = Pair::new();
    let request = pair.logon_request(&signing_key(1));
    pair.send_message(0, &ClientMessage::LogonRequest(request)).unwrap();
    assert_eq!(pair.submissions()[0].request.agent, OPERATOR);
}

#[test]
fn a_logon_that_proves_nothing_is_refused() {
    let unknown_key = Pair::new().logon_request(&signing_key(3));
    let mut wrong_signature = Pair::new().logon_request(&signing_key(2));
    wrong_signature.signature = SignatureBytes::new([1; 64]);
    let mut borrowed_key = Pair::new().logon_request(&signing_key(3));
    borrowed_key.key = public_key(&signing_key(2));
    let mut overheard = Pair::new();
    overheard.nonce = Nonce::new([8; 32]);
    let overheard = overheard.logon_request(&signing_key(2));
    let mut weak_key = Pair::new().logon_request(&signing_key(2));
    weak_key.key = PublicKey::new([0; 32]);
    for request in [unknown_key, wrong_signature, borrowed_key, overheard, weak_key] {
        let mut pair = Pair::new();
        let sent = pair.send_message(0, &ClientMessage::LogonRequest(request));
        assert_eq!(sent, Err(CloseReason::LogonRefused));
        assert!(pair.submissions().is_empty());
    }
}

#[test]
fn nobody_logs_on_twice_or_with_a_number() {
    let logon = |pair: &Pair| ClientMessage::LogonRequest(pair.logon_request(&signing_key(2)));
    let mut numbered = Pair::new();
    let message = logon(&numbered);
    assert_eq!(numbered.send_message(1, &message), Err(CloseReason::SequenceGap));
    let mut pending = Pair::new();
    pending.send_message(0, &message).unwrap();
    assert_eq!(pending.send_message(0, &message), Err(CloseReason::ProtocolViolation));
    let mut again = Pair::logged_on();
    assert_eq!(again.send_message(0, &message), Err(CloseReason::ProtocolViolation));
}

#[test]
fn before_the_logon_everything_else_is_rejected_and_the_connection_stays() {
    let mut pair = Pair::new();
    pair.command(&cancel()).unwrap();
    assert_eq!(pair.rejection(), (1, RejectReason::NotLoggedOn));
    pair.send(&ClientMessage::Logout(Logout {})).unwrap();
    assert_eq!(pair.rejection(), (2, RejectReason::NotLoggedOn));
    assert!(pair.submissions().is_empty());
    pair.session_seq = 0;
    pair.log_on();
    pair.command(&cancel()).unwrap();
    assert_eq!(pair.submissions().len(), 1);
}

#[test]
fn commands_are_submitted_in_their_order_however_the_bytes_were_split() {
    let mut whole = Pair::logged_on();
    let mut bytes = whole.command_frame(&cancel());
    bytes.extend(whole.command_frame(&standing_quote()));
    for cut in 0..=bytes.len() {
        let mut pair = Pair::logged_on();
        pair.send_bytes(&bytes[..cut]).unwrap();
        pair.send_bytes(&bytes[cut..]).unwrap();
        let submissions = pair.submissions();
        let seqs: Vec<_> = submissions.iter().map(|s| s.origin.unwrap().session_seq).collect();
        assert_eq!(seqs, [1, 2], "cut at {cut}");
        assert_eq!(submissions[0].request.command, cancel());
        assert!(submissions.iter().all(|s| s.request.agent == BUYER && s.sequenced_answer));
        assert!(pair.answers().is_empty());
    }
}

#[test]
fn a_gap_in_the_numbers_closes_the_connection_and_what_came_before_counts() {
    for wrong in [0, 1, 3, u64::MAX] {
        let mut pair = Pair::logged_on();
        let mut bytes = pair.command_frame(&cancel());
        cancel().encode(pair.codec, wrong, &mut bytes);
        assert_eq!(pair.send_bytes(&bytes), Err(CloseReason::SequenceGap));
        assert_eq!(pair.submissions().len(), 1);
    }
}

#[test]
fn an_impossible_length_closes_the_connection() {
    for length in [0_u32, 15, 524_289, u32::MAX] {
        let sent = Pair::logged_on().send_bytes(&length.to_le_bytes());
        assert_eq!(sent, Err(CloseReason::FrameLength));
        let sent = Pair::new().send_bytes(&length.to_le_bytes());
        assert_eq!(sent, Err(CloseReason::FrameLength));
    }
}

#[test]
fn what_cannot_be_read_is_rejected_and_takes_its_number() {
    let header = |template: u16, version: u16| {
        move |frame: &mut Vec<u8>| {
            frame[4..6].copy_from_slice(&template.to_le_bytes());
            frame[6..8].copy_from_slice(&version.to_le_bytes());
        }
    };
    let cut_payload = |frame: &mut Vec<u8>| {
        frame.truncate(FRAME_HEADER_BYTES + 3);
        frame[..4].copy_from_slice(&19_u32.to_le_bytes());
    };
    type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);
    let found = header(48, 1);
    let cases: [(Damage<'_>, RejectReason); 6] = [
        (&header(999, 1), RejectReason::UnknownTemplate),
        (&header(65, 1), RejectReason::UnknownTemplate),
        (&header(999, 2), RejectReason::UnknownTemplate),
        (&header(17, 2), RejectReason::UnsupportedVersion),
        (&header(6, 0), RejectReason::UnsupportedVersion),
        (&cut_payload, RejectReason::MalformedPayload),
    ];
    for (damage, reason) in
        cases.into_iter().chain([(&found as Damage<'_>, RejectReason::MalformedPayload)])
    {
        let mut pair = Pair::logged_on();
        let mut frame = pair.command_frame(&cancel());
        damage(&mut frame);
        pair.send_bytes(&frame).unwrap();
        assert_eq!(pair.rejection(), (1, reason));
        assert!(pair.submissions().is_empty());
        pair.command(&cancel()).unwrap();
        assert_eq!(pair.submissions().len(), 1, "the number was taken");
    }
}

#[test]
fn random_payloads_under_every_template_never_panic() {
    let templates = ClientMessage::TEMPLATES.iter().chain(Command::TEMPLATES);
    for template in templates.filter(|template| ![LOGON_REQUEST, HEARTBEAT].contains(&template.id))
    {
        for codec in Codec::ALL {
            let mut pair = Pair::with_codec(codec);
            pair.log_on();
            for len in 0..200_usize {
                let payload: Vec<u8> =
                    (0..len).map(|n| (n * 31 + len * 17 + n * n).to_le_bytes()[0]).collect();
                pair.session_seq += 1;
                let mut frame = Vec::new();
                frame.extend_from_slice(&u32::try_from(16 + len).unwrap().to_le_bytes());
                frame.extend_from_slice(&template.id.to_le_bytes());
                frame.extend_from_slice(&1_u16.to_le_bytes());
                frame.extend_from_slice(&pair.session_seq.to_le_bytes());
                frame.extend_from_slice(&payload);
                let sent = pair.send_bytes(&frame);
                assert!(matches!(sent, Ok(()) | Err(CloseReason::Goodbye)), "{sent:?}");
            }
        }
    }
}

#[test]
fn commands_of_the_exchange_itself_are_unknown_on_the_wire() {
    let logon = Command::Logon(Logon { resume: None, cancel_on_disconnect: false });
    let advance = Command::AdvanceTime(gavel_protocol::AdvanceTime {});
    let resume = Command::Resume(gavel_protocol::Resume { gap: DurationNs::ZERO });
    let lost = gavel_protocol::SessionLost { agent: AgentId::new(1), session: SessionId::new(1) };
    for command in [logon, advance, resume, Command::SessionLost(lost)] {
        let mut pair = Pair::logged_on();
        pair.command(&command).unwrap();
        assert_eq!(pair.rejection(), (1, RejectReason::UnknownTemplate));
        assert!(pair.submissions().is_empty());
    }
}

#[test]
fn over_its_rate_a_session_is_throttled_until_time_has_passed() {
    let mut pair = Pair::logged_on();
    for _ in 0..COMMANDS_PER_SECOND {
        pair.command(&cancel()).unwrap();
    }
    assert!(pair.answers().is_empty());
    pair.command(&cancel()).unwrap();
    assert_eq!(pair.rejection(), (11, RejectReason::Throttled));
    pair.send(&ClientMessage::Query(Query { kind: QueryKind::Statement })).unwrap();
    assert_eq!(pair.rejection(), (12, RejectReason::Throttled));
    pair.now = pair.now.plus(DurationNs::from_millis(100));
    pair.command(&cancel()).unwrap();
    assert!(pair.answers().is_empty());
}

#[test]
fn a_newer_connection_of_the_same_session_takes_the_numbering_over() {
    let mut pair = Pair::logged_on();
    pair.command(&cancel()).unwrap();
    assert_eq!(lock(&pair.numbering).next, 2);
    lock(&pair.numbering).connection = CONNECTION + 1;
    assert_eq!(pair.command(&cancel()), Err(CloseReason::Superseded));
    assert_eq!(lock(&pair.numbering).next, 2);
    assert_eq!(pair.submissions().len(), 1);
}

#[test]
fn a_refused_submission_is_rejected_and_a_refused_logon_closes() {
    let mut pair = Pair::logged_on();
    pair.session.handle_refused(3, RejectReason::Busy).unwrap();
    assert_eq!(pair.rejection(), (3, RejectReason::Busy));
    let mut pair = Pair::new();
    let request = pair.logon_request(&signing_key(2));
    pair.send_message(0, &ClientMessage::LogonRequest(request)).unwrap();
    let refused = pair.session.handle_refused(0, RejectReason::Busy);
    assert_eq!(refused, Err(CloseReason::Unavailable));
}

#[test]
fn subscriptions_are_asked_for_answered_and_counted() {
    let mut pair = Pair::logged_on();
    let subscribe = |raw| {
        let topic = Topic::Capability(gavel_protocol::CapabilityId::new(raw));
        ClientMessage::Subscribe(Subscribe { topic, from: None })
    };
    for raw in 0..SUBSCRIPTIONS_PER_SESSION_MAX as u64 {
        pair.now = pair.now.plus(DurationNs::from_secs(1));
        pair.send(&subscribe(raw)).unwrap();
    }
    let requests = pair.session.drain_requests();
    assert_eq!(requests.len(), SUBSCRIPTIONS_PER_SESSION_MAX);
    pair.send(&subscribe(1_000)).unwrap();
    assert_eq!(pair.rejection(), (65, RejectReason::TooManySubscriptions));
    pair.send(&subscribe(0)).unwrap();
    assert_eq!(pair.session.drain_requests().len(), 1, "one that it has already is no further one");

    let topic = Topic::Capability(gavel_protocol::CapabilityId::new(5));
    pair.session.handle_subscribed(6, topic, SubscribeResult::Resync { oldest: 3, next: 9 });
    let answers = pair.answers();
    let [(6, ServerMessage::ResyncRequired(resync))] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    assert_eq!((resync.oldest.stream_seq, resync.next.stream_seq), (3, 9));
    pair.send(&subscribe(1_000)).unwrap();
    assert_eq!(pair.session.drain_requests().len(), 1, "there is room again");
}

#[test]
fn only_what_was_subscribed_can_be_unsubscribed() {
    let mut pair = Pair::logged_on();
    let unsubscribe = ClientMessage::Unsubscribe(Unsubscribe { topic: Topic::Private });
    pair.send(&unsubscribe).unwrap();
    assert_eq!(pair.rejection(), (1, RejectReason::UnknownTopic));
    let subscribe = Subscribe { topic: Topic::Private, from: None };
    pair.send(&ClientMessage::Subscribe(subscribe)).unwrap();
    pair.session.handle_subscribed(2, Topic::Private, SubscribeResult::Opened { next: 1 });
    assert!(matches!(pair.answers()[..], [(2, ServerMessage::Subscribed(_))]));
    pair.send(&unsubscribe).unwrap();
    assert!(matches!(
        pair.session.drain_requests()[..],
        [_, SessionRequest::Unsubscribe(Topic::Private)]
    ));
}

#[test]
fn queries_go_to_the_core_or_are_answered_from_the_directory() {
    let mut pair = Pair::logged_on();
    let query = |kind| ClientMessage::Query(Query { kind });
    pair.send(&query(QueryKind::Statement)).unwrap();
    let requests = pair.session.drain_requests();
    let [SessionRequest::Query(request)] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.agent, request.origin.session_seq), (BUYER, 1));
    pair.send(&query(QueryKind::Capabilities(None))).unwrap();
    let answers = pair.answers();
    let [(2, ServerMessage::CapabilityList(list))] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    assert_eq!(list.capabilities, [listed()]);
    let unknown = Some(gavel_protocol::CapabilityId::new(999));
    pair.send(&query(QueryKind::Capabilities(unknown))).unwrap();
    assert_eq!(pair.rejection(), (3, RejectReason::UnknownCapability));
}

#[test]
fn blobs_have_no_place_on_the_session_stream() {
    let mut pair = Pair::logged_on();
    let source = BlobSource::Own(digest(b'x'));
    pair.send(&ClientMessage::BlobGet(BlobGet { source })).unwrap();
    assert_eq!(pair.rejection(), (1, RejectReason::UnknownTemplate));
}

#[test]
fn a_logout_closes_with_goodbye_after_what_came_before_it() {
    let mut pair = Pair::logged_on();
    let mut bytes = pair.command_frame(&cancel());
    ClientMessage::Logout(Logout {}).encode(pair.codec, 2, &mut bytes);
    assert_eq!(pair.send_bytes(&bytes), Err(CloseReason::Goodbye));
    assert_eq!(pair.submissions().len(), 1);
}

#[test]
fn a_connection_that_does_not_log_on_is_closed_in_time() {
    let mut pair = Pair::new();
    assert_eq!(pair.session.next_timeout(), START.plus(LOGON_TIMEOUT));
    pair.now = START.plus(DurationNs::from_secs(4));
    pair.send(&ClientMessage::Heartbeat(Heartbeat {})).unwrap();
    assert_eq!(pair.session.handle_timeout(pair.now, false), Ok(()));
    let due = START.plus(LOGON_TIMEOUT);
    assert_eq!(pair.session.handle_timeout(due, false), Err(CloseReason::LogonTimeout));
}

#[test]
fn a_silent_client_is_closed_and_a_heartbeat_keeps_it() {
    let mut pair = Pair::logged_on();
    let almost = DurationNs::from_secs(14);
    pair.now = pair.now.plus(almost);
    // Heartbeats take no number of their own.
    pair.send_message(0, &ClientMessage::Heartbeat(Heartbeat {})).unwrap();
    pair.now = pair.now.plus(almost);
    assert_eq!(pair.session.handle_timeout(pair.now, true), Ok(()));
    pair.command(&cancel()).unwrap();
    pair.now = pair.now.plus(HEARTBEAT_TIMEOUT);
    let timeout = pair.session.handle_timeout(pair.now, true);
    assert_eq!(timeout, Err(CloseReason::HeartbeatMissed));
}

#[test]
fn the_server_sends_a_heartbeat_only_when_nothing_else_was_sent() {
    let mut pair = Pair::logged_on();
    let due = pair.session.next_timeout();
    assert_eq!(due, START.plus(HEARTBEAT_INTERVAL));
    pair.session.handle_timeout(due, true).unwrap();
    assert!(pair.answers().is_empty());
    let due = pair.session.next_timeout();
    pair.session.handle_timeout(due, false).unwrap();
    assert!(matches!(pair.answers()[..], [(0, ServerMessage::Heartbeat(_))]));
}
