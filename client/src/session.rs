//! A session without its I/O: which number comes next, what is unanswered, what is to be sent.
//!
//! What a client asks for stays here until it is answered. A connection only lends it a number: when
//! the connection is lost, whatever is unanswered gets a new number on the next one and is sent
//! again, in the order in which it was asked. Client ids and revisions make that one effect.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use gavel_protocol::{
    ClientMessage, Codec, Command, FrameHeader, LogonAnswer, Logout, MassQuoteAnswer,
    RejectedAnswer, ResyncRequired, SequencedAnswer, ServerMessage, TEMPLATE_VERSION, Topic,
    Unsubscribe,
};
use rustc_hash::FxBuildHasher;
use slab::Slab;

use crate::error::{ClientError, CommandError};
use crate::feed::Feed;
use crate::limits::{IN_FLIGHT_MAX, SUBSCRIPTIONS_MAX};

/// What is asked of the exchange and will be answered.
#[derive(Debug)]
pub(crate) enum Request {
    /// A command.
    Command(Command),
    /// A query.
    Message(ClientMessage),
}

/// The place of a request here, until its answer is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(usize);

/// See the module.
pub(crate) struct Session {
    codec: Codec,
    identity: LogonAnswer,
    /// The number of the next frame, or nothing while there is no connection.
    session_seq_next: Option<u64>,
    /// Whole frames on their way to the connection.
    outgoing: Vec<u8>,
    asked: Slab<Asked>,
    /// Counts requests, so that they can be sent again in their order.
    asked_so_far: u64,
    unanswered: usize,
    /// Who waits for the answer to which number of this connection.
    awaited: HashMap<u64, Awaited, FxBuildHasher>,
    feeds: Vec<Arc<Feed>>,
    /// Connections that were lent to it so far.
    connections: u64,
    logging_out: bool,
    ended: Option<ClientError>,
}

struct Asked {
    request: Request,
    order: u64,
    sequenced: Option<SequencedAnswer>,
    /// What has come of the answer to a mass quote.
    parts: Vec<MassQuoteAnswer>,
    answer: Option<ServerMessage>,
    waker: Option<Waker>,
    /// Nobody wants the answer any more.
    abandoned: bool,
}

enum Awaited {
    Request(Slot),
    Feed(Arc<Feed>),
}

impl Session {
    /// Makes the session of a first logon; it is not connected before [`Session::connected`].
    pub(crate) fn new(codec: Codec, identity: LogonAnswer) -> Self {
        Self {
            codec,
            identity,
            session_seq_next: None,
            outgoing: Vec::new(),
            asked: Slab::new(),
            asked_so_far: 0,
            unanswered: 0,
            awaited: HashMap::default(),
            feeds: Vec::new(),
            connections: 0,
            logging_out: false,
            ended: None,
        }
    }

    /// Returns what the last logon said.
    pub(crate) fn identity(&self) -> &LogonAnswer {
        &self.identity
    }

    /// Returns how often a lost connection was replaced.
    pub(crate) fn reconnects(&self) -> u64 {
        self.connections.saturating_sub(1)
    }

    /// Returns whether one more request may be asked.
    ///
    /// # Errors
    ///
    /// Why not, if the session has ended.
    pub(crate) fn has_room(&self) -> Result<bool, ClientError> {
        match &self.ended {
            Some(ended) => Err(ended.clone()),
            None => Ok(self.unanswered < IN_FLIGHT_MAX),
        }
    }

    /// Returns whether frames wait to be written.
    pub(crate) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Swaps the frames to be written for an empty buffer.
    pub(crate) fn swap_outgoing(&mut self, empty: &mut Vec<u8>) {
        mem::swap(&mut self.outgoing, empty);
    }

    /// Asks for something: now, or as soon as there is a connection.
    pub(crate) fn ask(&mut self, request: Request) -> Slot {
        self.unanswered += 1;
        self.asked_so_far += 1;
        let slot = Slot(self.asked.insert(Asked {
            request,
            order: self.asked_so_far,
            sequenced: None,
            parts: Vec::new(),
            answer: None,
            waker: None,
            abandoned: false,
        }));
        self.transmit(slot);
        slot
    }

    /// Takes the answer, if it is there; the slot is free afterwards.
    pub(crate) fn poll_answer(
        &mut self,
        slot: Slot,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ServerMessage, ClientError>> {
        let asked = &mut self.asked[slot.0];
        if let Some(answer) = asked.answer.take() {
            self.asked.remove(slot.0);
            return Poll::Ready(Ok(answer));
        }
        if let Some(ended) = &self.ended {
            let ended = ended.clone();
            self.asked.remove(slot.0);
            return Poll::Ready(Err(ended));
        }
        wait(&mut asked.waker, cx);
        Poll::Pending
    }

    /// Returns the `Sequenced` answer once it is there, or `None` if it never will be.
    pub(crate) fn poll_sequenced(
        &mut self,
        slot: Slot,
        cx: &mut Context<'_>,
    ) -> Poll<Option<SequencedAnswer>> {
        let asked = &mut self.asked[slot.0];
        if asked.sequenced.is_some() || asked.answer.is_some() || self.ended.is_some() {
            return Poll::Ready(asked.sequenced.clone());
        }
        wait(&mut asked.waker, cx);
        Poll::Pending
    }

    /// Lets go of a request whose answer nobody wants. If it is unanswered it still takes effect.
    pub(crate) fn abandon(&mut self, slot: Slot) {
        let asked = &mut self.asked[slot.0];
        if asked.answer.is_some() || self.ended.is_some() {
            self.asked.remove(slot.0);
        } else {
            asked.abandoned = true;
        }
    }

    /// Opens the stream of a topic: now, or as soon as there is a connection.
    ///
    /// # Errors
    ///
    /// If there is one already, there are too many, or the session has ended.
    pub(crate) fn subscribe(&mut self, feed: Arc<Feed>) -> Result<(), CommandError> {
        if let Some(ended) = &self.ended {
            return Err(ended.clone().into());
        }
        if self.feeds.iter().any(|other| other.topic() == feed.topic()) {
            return Err(ClientError::AlreadySubscribed.into());
        }
        if self.feeds.len() == SUBSCRIPTIONS_MAX {
            let reason = gavel_protocol::RejectReason::TooManySubscriptions;
            return Err(CommandError::Rejected(RejectedAnswer::of(reason)));
        }
        self.transmit_subscribe(&feed);
        self.feeds.push(feed);
        Ok(())
    }

    /// Ends the stream of a topic.
    pub(crate) fn unsubscribe(&mut self, feed: &Arc<Feed>) {
        let before = self.feeds.len();
        self.feeds.retain(|other| !Arc::ptr_eq(other, feed));
        if self.feeds.len() < before && !feed.was_refused() {
            let unsubscribe = Unsubscribe { topic: feed.topic() };
            self.transmit_message(&ClientMessage::Unsubscribe(unsubscribe));
        }
    }

    /// Returns the subscription to `topic`.
    pub(crate) fn feed(&self, topic: Topic) -> Option<&Arc<Feed>> {
        self.feeds.iter().find(|feed| feed.topic() == topic)
    }

    /// Says goodbye; returns whether there was somebody to say it to. There will be no reconnect.
    pub(crate) fn log_out(&mut self) -> bool {
        self.logging_out = true;
        self.transmit_message(&ClientMessage::Logout(Logout {}));
        self.session_seq_next.is_some()
    }

    /// Returns whether a goodbye was said.
    pub(crate) fn is_logging_out(&self) -> bool {
        self.logging_out
    }

    /// There is a connection: subscribes again, and sends again what is unanswered.
    pub(crate) fn connected(&mut self, identity: LogonAnswer) {
        self.disconnected();
        self.connections += 1;
        self.session_seq_next = Some(identity.session_seq_next);
        self.identity = identity;
        // Streams come first, so that a topic joined afresh shows what the commands bring about.
        for feed in self.feeds.clone() {
            self.transmit_subscribe(&feed);
        }
        for (_, asked) in &mut self.asked {
            asked.parts.clear();
        }
        let mut unanswered: Vec<_> = (self.asked.iter())
            .filter(|(_, asked)| asked.answer.is_none())
            .map(|(index, asked)| (asked.order, Slot(index)))
            .collect();
        unanswered.sort_unstable_by_key(|(order, _)| *order);
        for (_, slot) in unanswered {
            self.transmit(slot);
        }
    }

    /// The connection is lost: its numbers mean nothing any more.
    pub(crate) fn disconnected(&mut self) {
        self.session_seq_next = None;
        self.outgoing.clear();
        self.awaited.clear();
    }

    /// There will be no connection any more: everything unanswered fails with `error`.
    pub(crate) fn end(&mut self, error: ClientError, woken: &mut Vec<Waker>) {
        self.disconnected();
        self.asked.retain(|_, asked| {
            woken.extend(asked.waker.take());
            !asked.abandoned
        });
        for feed in self.feeds.drain(..) {
            woken.extend(feed.fail(error.clone().into()));
        }
        self.unanswered = 0;
        self.ended = Some(error);
    }

    /// Takes a frame of the server's.
    ///
    /// # Errors
    ///
    /// If the protocol does not allow it here.
    pub(crate) fn handle_frame(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        woken: &mut Vec<Waker>,
    ) -> Result<(), ClientError> {
        let message = decode(self.codec, header, payload)?;
        match message {
            ServerMessage::Heartbeat(_) => Ok(()),
            ServerMessage::Sequenced(answer) => {
                if let Some(Awaited::Request(slot)) = self.awaited.get(&header.number) {
                    let asked = &mut self.asked[slot.0];
                    asked.sequenced = Some(answer);
                    woken.extend(asked.waker.take());
                }
                Ok(())
            }
            ServerMessage::Accepted(_)
            | ServerMessage::Rejected(_)
            | ServerMessage::Subscribed(_)
            | ServerMessage::ResyncRequired(_)
            | ServerMessage::Statement(_)
            | ServerMessage::Book(_)
            | ServerMessage::CapabilityList(_) => self.handle_answer(header.number, message, woken),
            ServerMessage::MassQuoteAnswer(part) => self.handle_part(header.number, part, woken),
            ServerMessage::Challenge(_)
            | ServerMessage::LogonAnswer(_)
            | ServerMessage::StreamOpened(_)
            | ServerMessage::BlobStored(_)
            | ServerMessage::BlobReady(_) => {
                Err(ClientError::Unexpected("a message that does not belong on the session stream"))
            }
        }
    }

    /// Takes a part of the answer to a mass quote. Parts may come in any order.
    fn handle_part(
        &mut self,
        number: u64,
        part: MassQuoteAnswer,
        woken: &mut Vec<Waker>,
    ) -> Result<(), ClientError> {
        let Some(Awaited::Request(slot)) = self.awaited.get(&number) else { return Ok(()) };
        let asked = &mut self.asked[slot.0];
        let Request::Command(Command::MassQuote(quote)) = &asked.request else {
            return Err(ClientError::Unexpected(
                "the answer to a mass quote that there was none of",
            ));
        };
        asked.parts.push(part);
        let answered: usize = asked.parts.iter().map(|part| part.results.len()).sum();
        if answered < quote.lines.len() {
            return Ok(());
        }
        let mut parts = mem::take(&mut asked.parts);
        parts.sort_unstable_by_key(|part| part.first_line);
        let answer = ServerMessage::MassQuoteAnswer(MassQuoteAnswer {
            ts_event: parts.iter().map(|part| part.ts_event).max().unwrap_or_default(),
            first_line: 0,
            results: parts.into_iter().flat_map(|part| part.results).collect(),
            last: true,
        });
        self.handle_answer(number, answer, woken)
    }

    fn handle_answer(
        &mut self,
        number: u64,
        answer: ServerMessage,
        woken: &mut Vec<Waker>,
    ) -> Result<(), ClientError> {
        match self.awaited.remove(&number) {
            Some(Awaited::Request(slot)) => {
                self.unanswered -= 1;
                let asked = &mut self.asked[slot.0];
                if asked.abandoned {
                    self.asked.remove(slot.0);
                } else {
                    asked.answer = Some(answer);
                    woken.extend(asked.waker.take());
                }
                Ok(())
            }
            Some(Awaited::Feed(feed)) => self.handle_feed_answer(&feed, answer, woken),
            // Answers to what needs none, such as the end of a subscription.
            None => Ok(()),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "three messages answer a subscription")]
    fn handle_feed_answer(
        &mut self,
        feed: &Arc<Feed>,
        answer: ServerMessage,
        woken: &mut Vec<Waker>,
    ) -> Result<(), ClientError> {
        match answer {
            ServerMessage::Subscribed(subscribed) => {
                woken.extend(feed.subscribed(subscribed.next.stream_seq));
                Ok(())
            }
            ServerMessage::ResyncRequired(ResyncRequired { next, .. }) => {
                feed.resync(next.stream_seq);
                self.transmit_subscribe(feed);
                Ok(())
            }
            ServerMessage::Rejected(answer) => {
                self.feeds.retain(|other| !Arc::ptr_eq(other, feed));
                woken.extend(feed.fail(CommandError::Rejected(answer)));
                Ok(())
            }
            _ => Err(ClientError::Unexpected("an answer that does not answer a subscription")),
        }
    }

    /// Writes a request under the connection's next number, if there is a connection.
    fn transmit(&mut self, slot: Slot) {
        let Some(number) = self.take_number() else { return };
        match &self.asked[slot.0].request {
            Request::Command(command) => command.encode(self.codec, number, &mut self.outgoing),
            Request::Message(message) => message.encode(self.codec, number, &mut self.outgoing),
        }
        self.awaited.insert(number, Awaited::Request(slot));
    }

    fn transmit_subscribe(&mut self, feed: &Arc<Feed>) {
        let Some(number) = self.take_number() else { return };
        let subscribe = ClientMessage::Subscribe(feed.request());
        subscribe.encode(self.codec, number, &mut self.outgoing);
        self.awaited.insert(number, Awaited::Feed(Arc::clone(feed)));
    }

    /// Writes a message that nobody waits for the answer of.
    fn transmit_message(&mut self, message: &ClientMessage) {
        let Some(number) = self.take_number() else { return };
        message.encode(self.codec, number, &mut self.outgoing);
    }

    fn take_number(&mut self) -> Option<u64> {
        let number = self.session_seq_next?;
        self.session_seq_next = Some(number + 1);
        Some(number)
    }
}

/// Decodes a frame of the server's, on whatever stream it came.
///
/// # Errors
///
/// [`ClientError::Unexpected`] if it is none of this version.
pub(crate) fn decode(
    codec: Codec,
    header: FrameHeader,
    payload: &[u8],
) -> Result<ServerMessage, ClientError> {
    if header.version != TEMPLATE_VERSION {
        return Err(ClientError::Unexpected("a template version that is not spoken here"));
    }
    ServerMessage::decode(codec, header.template, payload)
        .ok_or(ClientError::Unexpected("an unknown template"))?
        .map_err(|_| ClientError::Unexpected("a payload that is no value of its template"))
}

/// Remembers whom to wake.
pub(crate) fn wait(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gavel_protocol::{
        Accepted, AccountId, AgentId, ClientId, DurationNs, Frames, Halt, Outcome, RejectReason,
        Roles, SessionId, StreamPosition, Subscribed, TimestampNs,
    };

    const CODEC: Codec = Codec::Rkyv;

    fn identity(session_seq_next: u64) -> LogonAnswer {
        LogonAnswer {
            session: SessionId::new(1),
            resumed: false,
            agent: AgentId::new(2),
            account: AccountId::new(3),
            roles: Roles::TRADER,
            session_seq_next,
            ts_event: TimestampNs::from_nanos(4),
            heartbeat_timeout: DurationNs::from_secs(15),
        }
    }

    fn halt(id: u128) -> Request {
        Request::Command(Command::Halt(Halt { client_id: ClientId::new(id), capability: None }))
    }

    fn accepted() -> ServerMessage {
        let ts_event = TimestampNs::from_nanos(5);
        ServerMessage::Accepted(Accepted { ts_event, repeated: false, outcome: Outcome::Done })
    }

    /// Hands `message` to the session as the frame `number`.
    fn answer(session: &mut Session, number: u64, message: &ServerMessage) {
        let mut bytes = Vec::new();
        message.encode(CODEC, number, &mut bytes);
        let (header, payload) = Frames::new(&bytes).next_frame().unwrap().unwrap();
        session.handle_frame(header, payload, &mut Vec::new()).unwrap();
    }

    /// Takes what the session wants to send, as number and client id or topic.
    fn sent(session: &mut Session) -> Vec<(u64, String)> {
        let mut bytes = Vec::new();
        session.swap_outgoing(&mut bytes);
        let mut frames = Frames::new(&bytes);
        let mut sent = Vec::new();
        while let Some((header, payload)) = frames.next_frame().unwrap() {
            let text = match Command::decode(CODEC, header.template, payload) {
                Some(command) => command.unwrap().client_id().unwrap().raw().to_string(),
                None => {
                    let message = ClientMessage::decode(CODEC, header.template, payload);
                    format!("{:?}", message.unwrap().unwrap())
                }
            };
            sent.push((header.number, text));
        }
        sent
    }

    fn taken(session: &mut Session, slot: Slot) -> Option<Result<ServerMessage, ClientError>> {
        match session.poll_answer(slot, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    fn numbered(sent: Vec<(u64, &str)>) -> Vec<(u64, String)> {
        sent.into_iter().map(|(number, text)| (number, text.to_owned())).collect()
    }

    #[test]
    fn what_is_unanswered_is_sent_again_in_its_order_under_new_numbers() {
        let mut session = Session::new(CODEC, identity(1));
        let early = session.ask(halt(10));
        assert_eq!(sent(&mut session), [], "there is no connection yet");

        session.connected(identity(1));
        let slots = [early, session.ask(halt(11)), session.ask(halt(12))];
        assert_eq!(sent(&mut session), numbered(vec![(1, "10"), (2, "11"), (3, "12")]));
        answer(&mut session, 2, &accepted());
        assert!(taken(&mut session, slots[0]).is_none());
        assert!(taken(&mut session, slots[1]).unwrap().is_ok());

        // Takes the slot of 11, but comes last.
        session.ask(halt(13));
        session.disconnected();
        session.connected(identity(40));
        assert_eq!(sent(&mut session), numbered(vec![(40, "10"), (41, "12"), (42, "13")]));
        answer(&mut session, 41, &accepted());
        assert!(taken(&mut session, slots[2]).unwrap().is_ok());
        assert!(taken(&mut session, slots[0]).is_none(), "numbers of the old connection are void");
    }

    #[test]
    fn an_abandoned_request_is_sent_again_and_leaves_nothing_behind() {
        let mut session = Session::new(CODEC, identity(1));
        session.connected(identity(1));
        let slot = session.ask(halt(10));
        session.abandon(slot);
        session.connected(identity(5));
        assert_eq!(sent(&mut session), numbered(vec![(5, "10")]));
        answer(&mut session, 5, &accepted());
        assert_eq!(session.unanswered, 0);
        assert_eq!(session.ask(halt(11)), slot, "the slot is free");
    }

    #[test]
    fn requests_in_flight_are_bounded_and_an_answer_makes_room() {
        let mut session = Session::new(CODEC, identity(1));
        session.connected(identity(1));
        let slots: Vec<_> = (0..IN_FLIGHT_MAX).map(|_| session.ask(halt(1))).collect();
        assert!(!session.has_room().unwrap());
        answer(&mut session, 1, &accepted());
        assert!(session.has_room().unwrap());
        assert!(taken(&mut session, slots[0]).unwrap().is_ok());
    }

    #[test]
    fn the_end_fails_everything_that_is_unanswered() {
        let mut session = Session::new(CODEC, identity(1));
        session.connected(identity(1));
        let (answered, waiting) = (session.ask(halt(1)), session.ask(halt(2)));
        answer(&mut session, 1, &accepted());
        session.end(ClientError::LoggedOut, &mut Vec::new());
        assert!(taken(&mut session, answered).unwrap().is_ok());
        let error = taken(&mut session, waiting).unwrap().unwrap_err();
        assert!(matches!(error, ClientError::LoggedOut));
        assert!(session.has_room().is_err());
    }

    #[test]
    fn the_early_answer_comes_before_the_final_one() {
        let mut session = Session::new(CODEC, identity(1));
        session.connected(identity(1));
        let slot = session.ask(halt(1));
        let cx = &mut Context::from_waker(Waker::noop());
        assert_eq!(session.poll_sequenced(slot, cx), Poll::Pending);
        let early = SequencedAnswer { ts_event: TimestampNs::from_nanos(9) };
        answer(&mut session, 1, &ServerMessage::Sequenced(early.clone()));
        assert_eq!(session.poll_sequenced(slot, cx), Poll::Ready(Some(early)));
        assert!(taken(&mut session, slot).is_none());
    }

    #[test]
    fn a_subscription_is_renewed_from_its_next_number() {
        let mut session = Session::new(CODEC, identity(1));
        session.connected(identity(1));
        let feed = Arc::new(Feed::new(Topic::Private, None));
        session.subscribe(Arc::clone(&feed)).unwrap();
        let (topic, next) = (Topic::Private, StreamPosition { stream_seq: 7 });
        answer(&mut session, 1, &ServerMessage::Subscribed(Subscribed { topic, next }));
        session.connected(identity(3));
        assert!(sent(&mut session).last().unwrap().1.contains("stream_seq: 7"));

        let (oldest, next) = (StreamPosition { stream_seq: 80 }, StreamPosition { stream_seq: 90 });
        let resync = ResyncRequired { topic, oldest, next };
        answer(&mut session, 3, &ServerMessage::ResyncRequired(resync));
        assert!(sent(&mut session)[0].1.contains("stream_seq: 90"));
    }

    #[test]
    fn a_topic_is_subscribed_to_once_and_again_after_a_refusal() {
        let mut session = Session::new(CODEC, identity(1));
        session.connected(identity(1));
        let feed = || Arc::new(Feed::new(Topic::Exchange, None));
        session.subscribe(feed()).unwrap();
        let error = session.subscribe(feed()).unwrap_err();
        assert!(matches!(error, CommandError::Connection(ClientError::AlreadySubscribed)));
        let refusal = RejectedAnswer::of(RejectReason::UnknownTopic);
        answer(&mut session, 1, &ServerMessage::Rejected(refusal));
        session.subscribe(feed()).unwrap();
    }
}
