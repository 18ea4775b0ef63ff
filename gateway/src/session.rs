//! The session protocol without a socket and without a clock: bytes and times go in; frames,
//! submissions and requests to the edge come out.

use std::collections::HashSet;

use ed25519_dalek::{Signature, VerifyingKey};
use gavel_protocol::limits::{HEARTBEAT_TIMEOUT, SESSION_GRACE_MAX};
use gavel_protocol::{
    Challenge, ClientMessage, CloseReason, Codec, Command, DurationNs, FrameHeader, Frames,
    Heartbeat, Logon, LogonAnswer, LogonRequest, MassQuote, MassQuoteAnswer, Nonce, QueryKind,
    RULES_VERSION, RejectReason, RejectedAnswer, Request, ResyncRequired, ServerMessage,
    StreamPosition, Subscribe, Subscribed, TEMPLATE_VERSION, TimestampNs, Topic, logon_message,
};
use gavel_risk::pretrade;
use gavel_sequencer::{Origin, Part, QueryRequest, StateQuery, Submission};

use crate::connection::{Claim, Decision};
use crate::decode::{HEARTBEAT, LOGON_REQUEST, decode_command, decode_message};
use crate::directory::{Directory, Member};
use crate::limits::{
    COMMANDS_PER_SIGNATURE, HEARTBEAT_INTERVAL, LOGON_TIMEOUT, MASS_QUOTE_PART_LINES,
    SUBSCRIPTIONS_PER_SESSION_MAX,
};
use crate::lock::lock;
use crate::sessions::SharedNumbering;
use crate::throttle::Throttle;

/// One connection's side of the session protocol.
#[derive(Debug)]
pub(crate) struct Session {
    connection: u64,
    codec: Codec,
    nonce: Nonce,
    state: State,
    /// The beginning of a frame whose rest has not come yet.
    partial: Vec<u8>,
    throttle: Throttle,
    topics: HashSet<Topic>,
    /// The key that it has logged on with.
    key: Option<VerifyingKey>,
    opened_at: DurationNs,
    received_at: DurationNs,
    sent_at: DurationNs,
    /// Frames for the session stream.
    output: Vec<u8>,
    submissions: Vec<Submission>,
    requests: Vec<SessionRequest>,
}

#[derive(Debug)]
enum State {
    /// The challenge is out.
    Challenged,
    /// The logon is with the core.
    LoggingOn { member: Member, sequenced_answers: bool },
    /// The core has opened or resumed the session.
    LoggedOn { member: Member, sequenced_answers: bool, numbering: SharedNumbering },
}

/// What a session asks of the edge around it.
#[derive(Debug)]
pub(crate) enum SessionRequest {
    /// A logon was verified. Its submission follows among the submissions.
    Claim(Claim),
    /// Open the stream of a topic, then call [`Session::handle_subscribed`].
    Subscribe { session_seq: u64, subscribe: Subscribe },
    /// End the stream of a topic.
    Unsubscribe(Topic),
    /// Put the query to the core.
    Query(QueryRequest),
}

/// What became of a subscription.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SubscribeResult {
    /// Its stream begins with this number.
    Opened { next: u64 },
    /// It cannot begin where it was asked to.
    Resync { oldest: u64, next: u64 },
    /// There is no such topic.
    UnknownTopic,
}

impl Session {
    pub fn new(
        connection: u64,
        codec: Codec,
        nonce: Nonce,
        throttle: Throttle,
        now: DurationNs,
    ) -> Self {
        Self {
            connection,
            codec,
            nonce,
            state: State::Challenged,
            partial: Vec::new(),
            throttle,
            topics: HashSet::new(),
            key: None,
            opened_at: now,
            received_at: now,
            sent_at: now,
            output: Vec::new(),
            submissions: Vec::new(),
            requests: Vec::new(),
        }
    }

    /// Writes the challenge: the first frame of the connection.
    ///
    /// # Errors
    ///
    /// The reason to close the connection: without a name nobody can log on.
    pub fn challenge(
        &mut self,
        directory: &Directory,
        ts_event: TimestampNs,
    ) -> Result<(), CloseReason> {
        let exchange = directory.exchange().ok_or(CloseReason::Unavailable)?;
        let challenge = ServerMessage::Challenge(Challenge {
            nonce: self.nonce,
            exchange,
            template_version: TEMPLATE_VERSION,
            rules_version: RULES_VERSION,
            ts_event,
        });
        self.answer(0, &challenge);
        Ok(())
    }

    /// Takes bytes from the session stream, wherever they were split.
    ///
    /// # Errors
    ///
    /// The reason to close the connection.
    pub fn handle_bytes(
        &mut self,
        now: DurationNs,
        bytes: &[u8],
        directory: &Directory,
    ) -> Result<(), CloseReason> {
        self.received_at = now;
        if self.partial.is_empty() {
            let consumed = self.handle_frames(now, bytes, directory)?;
            self.partial.extend_from_slice(&bytes[consumed..]);
            return Ok(());
        }
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(bytes);
        let consumed = self.handle_frames(now, &partial, directory)?;
        partial.drain(..consumed);
        self.partial = partial;
        Ok(())
    }

    /// Takes the whole frames at the front of `bytes`. Returns how many bytes they used.
    fn handle_frames(
        &mut self,
        now: DurationNs,
        bytes: &[u8],
        directory: &Directory,
    ) -> Result<usize, CloseReason> {
        // Once per arrival and not per frame: whatever a newer connection of the same session
        // numbers comes after all of it.
        let numbering = match &self.state {
            State::LoggedOn { numbering, .. } => Some(SharedNumbering::clone(numbering)),
            State::Challenged | State::LoggingOn { .. } => None,
        };
        let mut numbering = numbering.as_deref().map(lock);
        if numbering.as_ref().is_some_and(|n| n.connection != self.connection) {
            return Err(CloseReason::Superseded);
        }
        let mut frames = Frames::new(bytes);
        while let Some((header, payload)) =
            frames.next_frame().map_err(|_| CloseReason::FrameLength)?
        {
            match &mut numbering {
                Some(numbering) => {
                    self.handle_numbered(now, header, payload, directory, &mut numbering.next)?;
                }
                None => self.handle_before_logon(header, payload, directory)?,
            }
        }
        Ok(frames.consumed())
    }

    fn handle_before_logon(
        &mut self,
        header: FrameHeader,
        payload: &[u8],
        directory: &Directory,
    ) -> Result<(), CloseReason> {
        match decode_message(self.codec, header, payload) {
            Ok(ClientMessage::LogonRequest(request)) => {
                self.handle_logon(header, &request, directory)
            }
            Ok(ClientMessage::Heartbeat(_)) => Ok(()),
            Ok(
                ClientMessage::Logout(_)
                | ClientMessage::Subscribe(_)
                | ClientMessage::Unsubscribe(_)
                | ClientMessage::Query(_)
                | ClientMessage::BlobPut(_)
                | ClientMessage::BlobGet(_),
            ) => {
                self.reject(header.number, RejectReason::NotLoggedOn);
                Ok(())
            }
            Err(reason) => {
                let is_command = Command::TEMPLATES.iter().any(|t| t.id == header.template);
                let reason = if is_command { RejectReason::NotLoggedOn } else { reason };
                self.reject(header.number, reason);
                Ok(())
            }
        }
    }

    fn handle_logon(
        &mut self,
        header: FrameHeader,
        request: &LogonRequest,
        directory: &Directory,
    ) -> Result<(), CloseReason> {
        if header.number != 0 {
            return Err(CloseReason::SequenceGap);
        }
        if !matches!(self.state, State::Challenged) {
            return Err(CloseReason::ProtocolViolation);
        }
        let verified = self.verified(request, directory);
        let (key, member) = verified.ok_or(CloseReason::LogonRefused)?;
        self.key = Some(key);
        self.state = State::LoggingOn { member, sequenced_answers: request.sequenced_answers };
        let grace = request.grace.min(SESSION_GRACE_MAX);
        self.requests.push(SessionRequest::Claim(Claim { agent: member.agent, grace }));
        let logon =
            Logon { resume: request.resume, cancel_on_disconnect: request.cancel_on_disconnect };
        self.submit(member, 0, false, Command::Logon(logon));
        Ok(())
    }

    /// Returns which key the request proves to hold, and whose that is. The nonce is this connection's own, so a
    /// logon that was overheard elsewhere proves nothing.
    fn verified(
        &self,
        request: &LogonRequest,
        directory: &Directory,
    ) -> Option<(VerifyingKey, Member)> {
        let key = VerifyingKey::from_bytes(request.key.as_bytes()).ok()?;
        let signature = Signature::from_bytes(request.signature.as_bytes());
        let message = logon_message(&self.nonce, &request.key, &directory.exchange()?);
        key.verify_strict(&message, &signature).ok()?;
        Some((key, directory.member(&request.key)?))
    }

    /// Takes the core's word: the session is open.
    pub fn handle_logged_on(&mut self, now: DurationNs, decision: Decision) {
        let State::LoggingOn { member, sequenced_answers } = self.state else { return };
        let Decision { session, resumed, ts_event, numbering } = decision;
        let session_seq_next = {
            let mut numbering = lock(&numbering);
            numbering.connection = self.connection;
            numbering.next
        };
        self.state = State::LoggedOn { member, sequenced_answers, numbering };
        self.received_at = now;
        let answer = ServerMessage::LogonAnswer(LogonAnswer {
            session,
            resumed,
            agent: member.agent,
            account: member.account,
            roles: member.roles,
            session_seq_next,
            ts_event,
            heartbeat_timeout: HEARTBEAT_TIMEOUT,
        });
        self.answer(0, &answer);
    }

    fn handle_numbered(
        &mut self,
        now: DurationNs,
        header: FrameHeader,
        payload: &[u8],
        directory: &Directory,
        next: &mut u64,
    ) -> Result<(), CloseReason> {
        if header.template == HEARTBEAT {
            return Ok(());
        }
        if header.template == LOGON_REQUEST {
            return Err(CloseReason::ProtocolViolation);
        }
        if header.number != *next {
            return Err(CloseReason::SequenceGap);
        }
        *next += 1;
        if let Some(command) = decode_command(self.codec, header, payload) {
            self.handle_command(now, header.number, command);
            return Ok(());
        }
        match decode_message(self.codec, header, payload) {
            Ok(message) => self.handle_message(now, header.number, message, directory),
            Err(reason) => {
                self.reject(header.number, reason);
                Ok(())
            }
        }
    }

    fn handle_command(
        &mut self,
        now: DurationNs,
        session_seq: u64,
        command: Result<Command, RejectReason>,
    ) {
        let State::LoggedOn { member, sequenced_answers, .. } = self.state else { return };
        // What cannot be read costs as much as what can.
        let tokens = command.as_ref().map_or(1, commands_in);
        let checked = if self.throttle.take(now, tokens) {
            // The core checks this again; here it takes no place in the order.
            command.and_then(|command| pretrade(&command).map(|()| command))
        } else {
            Err(RejectReason::Throttled)
        };
        match checked {
            Ok(Command::MassQuote(quote)) => {
                self.submit_parts(member, session_seq, sequenced_answers, quote);
            }
            Ok(command) => self.submit(member, session_seq, sequenced_answers, command),
            Err(reason) => self.reject(session_seq, reason),
        }
    }

    /// Takes a mass quote apart, so that no step of the core is long.
    fn submit_parts(
        &mut self,
        member: Member,
        session_seq: u64,
        sequenced: bool,
        quote: MassQuote,
    ) {
        let parts = quote.lines.chunks(MASS_QUOTE_PART_LINES);
        let (mut first_line, last_part) = (0, parts.len() - 1);
        for (index, lines) in parts.enumerate() {
            let part = Part { first_line, last: index == last_part };
            first_line += u32::try_from(lines.len()).expect("at most MASS_QUOTE_PART_LINES");
            let command = Command::MassQuote(MassQuote { lines: lines.to_vec() });
            self.submit_part(member, (session_seq, part), sequenced, command);
        }
    }

    fn handle_message(
        &mut self,
        now: DurationNs,
        session_seq: u64,
        message: ClientMessage,
        directory: &Directory,
    ) -> Result<(), CloseReason> {
        match message {
            ClientMessage::Logout(_) => return Err(CloseReason::Goodbye),
            ClientMessage::Unsubscribe(unsubscribe) => {
                self.handle_unsubscribe(session_seq, unsubscribe.topic);
            }
            ClientMessage::Subscribe(_) | ClientMessage::Query(_)
                if !self.throttle.take(now, 1) =>
            {
                self.reject(session_seq, RejectReason::Throttled);
            }
            ClientMessage::Subscribe(subscribe) => self.handle_subscribe(session_seq, subscribe),
            ClientMessage::Query(query) => self.handle_query(session_seq, query.kind, directory),
            // These two belong on streams of their own.
            ClientMessage::BlobPut(_) | ClientMessage::BlobGet(_) => {
                self.reject(session_seq, RejectReason::UnknownTemplate);
            }
            ClientMessage::LogonRequest(_) | ClientMessage::Heartbeat(_) => {}
        }
        Ok(())
    }

    fn handle_subscribe(&mut self, session_seq: u64, subscribe: Subscribe) {
        let known = self.topics.contains(&subscribe.topic);
        if !known && self.topics.len() >= SUBSCRIPTIONS_PER_SESSION_MAX {
            return self.reject(session_seq, RejectReason::TooManySubscriptions);
        }
        self.topics.insert(subscribe.topic);
        self.requests.push(SessionRequest::Subscribe { session_seq, subscribe });
    }

    /// Answers a subscription.
    pub fn handle_subscribed(&mut self, session_seq: u64, topic: Topic, result: SubscribeResult) {
        let position = |stream_seq| StreamPosition { stream_seq };
        let answer = match result {
            SubscribeResult::Opened { next } => {
                ServerMessage::Subscribed(Subscribed { topic, next: position(next) })
            }
            SubscribeResult::Resync { oldest, next } => {
                self.topics.remove(&topic);
                ServerMessage::ResyncRequired(ResyncRequired {
                    topic,
                    oldest: position(oldest),
                    next: position(next),
                })
            }
            SubscribeResult::UnknownTopic => {
                self.topics.remove(&topic);
                return self.reject(session_seq, RejectReason::UnknownTopic);
            }
        };
        self.answer(session_seq, &answer);
    }

    fn handle_unsubscribe(&mut self, session_seq: u64, topic: Topic) {
        if self.topics.remove(&topic) {
            self.requests.push(SessionRequest::Unsubscribe(topic));
        } else {
            self.reject(session_seq, RejectReason::UnknownTopic);
        }
    }

    fn handle_query(&mut self, session_seq: u64, kind: QueryKind, directory: &Directory) {
        let State::LoggedOn { member, .. } = self.state else { return };
        match kind {
            QueryKind::Statement => self.query(member, session_seq, StateQuery::Statement),
            QueryKind::Book(capability) => {
                self.query(member, session_seq, StateQuery::Book(capability));
            }
            QueryKind::Capabilities(after) => match directory.page(after) {
                Some(page) => self.answer(session_seq, &ServerMessage::CapabilityList(page)),
                None => self.reject(session_seq, RejectReason::UnknownCapability),
            },
        }
    }

    fn query(&mut self, member: Member, session_seq: u64, kind: StateQuery) {
        let origin = Origin { connection: self.connection, session_seq, part: Part::WHOLE };
        let query = QueryRequest { origin, agent: member.agent, kind };
        self.requests.push(SessionRequest::Query(query));
    }

    /// Takes the edge's refusal of a part of a mass quote.
    pub fn handle_refused_part(
        &mut self,
        session_seq: u64,
        part: Part,
        lines: usize,
        reason: RejectReason,
    ) {
        let answer = ServerMessage::MassQuoteAnswer(MassQuoteAnswer {
            ts_event: TimestampNs::default(),
            first_line: part.first_line,
            results: vec![Some(reason); lines],
            last: part.last,
        });
        self.answer(session_seq, &answer);
    }

    /// Takes the edge's refusal of a submission or query.
    ///
    /// # Errors
    ///
    /// The reason to close the connection, if it was the logon that was refused.
    pub fn handle_refused(
        &mut self,
        session_seq: u64,
        reason: RejectReason,
    ) -> Result<(), CloseReason> {
        if matches!(self.state, State::LoggingOn { .. }) {
            return Err(CloseReason::Unavailable);
        }
        self.reject(session_seq, reason);
        Ok(())
    }

    /// Does what is due at `now`; `others_sent` says whether frames that this session did not write
    /// have left on its stream since the last call.
    ///
    /// # Errors
    ///
    /// The reason to close the connection.
    pub fn handle_timeout(
        &mut self,
        now: DurationNs,
        others_sent: bool,
    ) -> Result<(), CloseReason> {
        let (silent_since, silence_max, reason) = self.patience();
        if silent_since.plus(silence_max) <= now {
            return Err(reason);
        }
        if self.sent_at.plus(HEARTBEAT_INTERVAL) <= now {
            if !others_sent {
                self.answer(0, &ServerMessage::Heartbeat(Heartbeat {}));
            }
            self.sent_at = now;
        }
        Ok(())
    }

    /// Returns when [`Session::handle_timeout`] has something to do at the earliest.
    pub fn next_timeout(&self) -> DurationNs {
        let (silent_since, silence_max, _) = self.patience();
        silent_since.plus(silence_max).min(self.sent_at.plus(HEARTBEAT_INTERVAL))
    }

    /// Returns since when and how long the client may be silent, and what it is closed for then.
    fn patience(&self) -> (DurationNs, DurationNs, CloseReason) {
        match self.state {
            State::Challenged | State::LoggingOn { .. } => {
                (self.opened_at, LOGON_TIMEOUT, CloseReason::LogonTimeout)
            }
            State::LoggedOn { .. } => {
                (self.received_at, HEARTBEAT_TIMEOUT, CloseReason::HeartbeatMissed)
            }
        }
    }

    /// Returns the key that it has logged on with, once it has.
    pub fn key(&self) -> Option<VerifyingKey> {
        self.key
    }

    /// Returns the agent, once it is logged on.
    pub fn member(&self) -> Option<Member> {
        match self.state {
            State::Challenged | State::LoggingOn { .. } => None,
            State::LoggedOn { member, .. } => Some(member),
        }
    }

    /// Returns the frames for the session stream; whoever takes them empties it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Takes what is to be put into the inbox, leaving `into`'s memory for the next ones.
    pub fn drain_submissions(&mut self, into: &mut Vec<Submission>) {
        std::mem::swap(&mut self.submissions, into);
    }

    /// Takes what the edge is to do.
    pub fn drain_requests(&mut self) -> Vec<SessionRequest> {
        std::mem::take(&mut self.requests)
    }

    fn submit(&mut self, member: Member, session_seq: u64, sequenced: bool, command: Command) {
        self.submit_part(member, (session_seq, Part::WHOLE), sequenced, command);
    }

    fn submit_part(
        &mut self,
        member: Member,
        (session_seq, part): (u64, Part),
        sequenced: bool,
        command: Command,
    ) {
        self.submissions.push(Submission {
            origin: Some(Origin { connection: self.connection, session_seq, part }),
            sequenced_answer: sequenced,
            request: Request { agent: member.agent, command },
        });
    }

    fn reject(&mut self, session_seq: u64, reason: RejectReason) {
        self.answer(session_seq, &ServerMessage::Rejected(RejectedAnswer::of(reason)));
    }

    fn answer(&mut self, number: u64, message: &ServerMessage) {
        message.encode(self.codec, number, &mut self.output);
    }
}

/// Returns how many commands one counts as: as many as it has lines, or as its signature costs.
fn commands_in(command: &Command) -> usize {
    if let Command::MassQuote(quote) = command {
        return quote.lines.len().max(1);
    }
    if command.is_signed() { COMMANDS_PER_SIGNATURE } else { 1 }
}

#[cfg(test)]
mod tests;
