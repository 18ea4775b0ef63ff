//! A simulated agent: speaks the session protocol over a connection that breaks, sends again what was
//! not answered, and checks what it is told against what it was told before.

use ed25519_dalek::{Signer as _, SigningKey};
use gavel_gateway::Pipe;
use gavel_protocol::limits::HEARTBEAT_TIMEOUT;
use gavel_protocol::{
    Accepted, AgentId, Challenge, ClientId, ClientMessage, Codec, Command, DurationNs, FrameHeader,
    Frames, Heartbeat, LogonAnswer, LogonRequest, Name, PrivateEvent, PublicEvent, PublicKey,
    RejectedAnswer, ServerMessage, SessionId, SignatureBytes, StreamPosition, Subscribe, Topic,
    logon_message,
};
use rand::{Rng, RngExt as _};

use super::market::Knowledge;
use super::network::Link;
use super::plan::{Plan, comes, pick};
use super::report::{Checked, Tally};

/// Commands that wait for their answers at one time.
const ASKED_MAX: usize = 32;
/// Answers that are remembered, to be asked for again.
const ANSWERED_MAX: usize = 64;
/// Events of a stream that are remembered, to be compared when they come again.
const COMPARED_MAX: usize = 512;
/// Events that it asks for once more, at the most, when it continues a stream.
const OVERLAP_MAX: u64 = 7;
/// How long a session outlives its connection.
const GRACE: DurationNs = DurationNs::from_secs(2);

/// See the module.
pub(super) struct Agent {
    pub agent: AgentId,
    pub knows: Knowledge,
    key: SigningKey,
    exchange: Name,
    codec: Codec,
    cancels_on_disconnect: bool,
    session: Option<SessionId>,
    connection: Option<Connection>,
    /// Not answered yet, in the order in which it was asked.
    asked: Vec<Asked>,
    answered: Vec<(Command, Accepted)>,
    streams: Vec<Stream>,
    /// What it writes next.
    output: Vec<u8>,
}

/// A connection and what travels on it.
pub(super) struct Connection {
    pub pipe: Pipe,
    pub link: Link,
    /// Whether it takes what is written for it.
    pub reads: bool,
    /// The number of the next frame, once it is logged on.
    next: Option<u64>,
    /// Beginnings of frames, by stream.
    partial: Vec<(Option<Topic>, Vec<u8>)>,
    sent_at: DurationNs,
}

struct Asked {
    command: Command,
    number: Option<u64>,
}

/// What is known of a stream of events.
struct Stream {
    topic: Topic,
    /// The number of the next event on the connection's own stream.
    position: Option<u64>,
    /// The number after the last event that ever came.
    next: u64,
    /// Hashes of the last of these.
    hashes: Vec<u64>,
}

impl Agent {
    pub fn new(
        (agent, exchange): (AgentId, Name),
        key: SigningKey,
        codec: Codec,
        cancels_on_disconnect: bool,
    ) -> Self {
        Self {
            agent,
            knows: Knowledge::default(),
            key,
            exchange,
            codec,
            cancels_on_disconnect,
            session: None,
            connection: None,
            asked: Vec::new(),
            answered: Vec::new(),
            streams: Vec::new(),
            output: Vec::new(),
        }
    }

    /// Subscribes to these, as soon as there is a session.
    pub fn follow(&mut self, topics: impl Iterator<Item = Topic>) {
        let stream = |topic| Stream { topic, position: None, next: 1, hashes: Vec::new() };
        self.streams.extend(topics.map(stream));
    }

    pub fn codec(&self) -> Codec {
        self.codec
    }

    pub fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }

    pub fn is_logged_on(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.next.is_some())
    }

    /// Returns whether nothing it has asked for is unanswered.
    pub fn is_answered(&self) -> bool {
        self.asked.is_empty()
    }

    /// Takes a new connection.
    pub fn connect(&mut self, pipe: Pipe, reads: bool, now: DurationNs) {
        let (link, partial) = (Link::default(), Vec::new());
        self.connection = Some(Connection { pipe, link, reads, next: None, partial, sent_at: now });
        self.output.clear();
        for stream in &mut self.streams {
            stream.position = None;
        }
    }

    /// Loses its connection, and returns the exchange's end of it.
    pub fn disconnect(&mut self) -> Option<Pipe> {
        for asked in &mut self.asked {
            asked.number = None;
        }
        self.connection.take().map(|connection| connection.pipe)
    }

    /// Asks for something new, or once more for something that was answered.
    pub fn act(&mut self, rng: &mut impl Rng, plan: &Plan, now: gavel_protocol::TimestampNs) {
        if !self.is_logged_on() || self.asked.len() >= ASKED_MAX {
            return;
        }
        if comes(rng, plan.hostile) && rng.random_range(0..20) == 0 {
            // No frame of any kind: the connection will not survive it.
            self.output.extend((0..rng.random_range(1..100)).map(|_| rng.random::<u8>()));
            return;
        }
        let command = match comes(rng, plan.repeats) && !self.answered.is_empty() {
            true => pick(rng, &self.answered).0.clone(),
            false => self.knows.draw(rng, plan, now),
        };
        self.ask(command);
    }

    /// Asks for something.
    pub fn ask(&mut self, command: Command) {
        self.asked.push(Asked { command, number: None });
        self.transmit();
    }

    /// Writes under the connection's next numbers whatever has none yet.
    fn transmit(&mut self) {
        let Some(Connection { next: Some(next), .. }) = &mut self.connection else { return };
        for asked in self.asked.iter_mut().filter(|asked| asked.number.is_none()) {
            asked.command.encode(self.codec, *next, &mut self.output);
            asked.number = Some(*next);
            *next += 1;
        }
    }

    /// Takes what it writes at `now`.
    pub fn written(&mut self, now: DurationNs) -> Option<Vec<u8>> {
        let connection = self.connection.as_mut()?;
        let silent = connection.sent_at.plus(DurationNs::from_nanos(HEARTBEAT_TIMEOUT.nanos() / 4));
        if self.output.is_empty() && silent <= now {
            ClientMessage::Heartbeat(Heartbeat {}).encode(self.codec, 0, &mut self.output);
        }
        if self.output.is_empty() {
            return None;
        }
        connection.sent_at = now;
        Some(std::mem::take(&mut self.output))
    }

    /// Reads what has come on one of its streams.
    pub fn read(&mut self, topic: Option<Topic>, bytes: &[u8], tally: &mut Tally) -> Checked {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let known = connection.partial.iter().position(|(other, _)| *other == topic);
        let mut buffer = known.map(|place| connection.partial.swap_remove(place).1);
        let buffer = buffer.get_or_insert_default();
        buffer.extend_from_slice(bytes);
        let mut frames = Frames::new(buffer);
        while let Some((header, payload)) = frames.next_frame().map_err(|e| e.to_string())? {
            match topic {
                None => self.handle(header, payload, tally)?,
                Some(topic) => self.handle_event(topic, header, payload, tally)?,
            }
        }
        let rest = buffer[frames.consumed()..].to_vec();
        if let Some(connection) = &mut self.connection {
            connection.partial.push((topic, rest));
        }
        Ok(())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the others say nothing that is checked")]
    fn handle(&mut self, header: FrameHeader, payload: &[u8], tally: &mut Tally) -> Checked {
        match decoded(ServerMessage::decode(self.codec, header.template, payload))? {
            ServerMessage::Challenge(challenge) => self.log_on(&challenge),
            ServerMessage::LogonAnswer(answer) => self.logged_on(&answer),
            ServerMessage::Accepted(accepted) => self.accepted(header.number, accepted, tally)?,
            ServerMessage::Rejected(rejected) => self.rejected(header.number, &rejected, tally)?,
            ServerMessage::ResyncRequired(resync) => {
                let (oldest, next) = (resync.oldest.stream_seq, resync.next.stream_seq);
                self.resync(resync.topic, oldest, next)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn log_on(&mut self, challenge: &Challenge) {
        let key = PublicKey::new(self.key.verifying_key().to_bytes());
        let message = logon_message(&challenge.nonce, &key, &self.exchange);
        let request = ClientMessage::LogonRequest(LogonRequest {
            key,
            signature: SignatureBytes::new(self.key.sign(&message).to_bytes()),
            resume: self.session,
            cancel_on_disconnect: self.cancels_on_disconnect,
            grace: GRACE,
            sequenced_answers: false,
        });
        request.encode(self.codec, 0, &mut self.output);
    }

    fn logged_on(&mut self, answer: &LogonAnswer) {
        let Some(connection) = &mut self.connection else { return };
        connection.next = Some(answer.session_seq_next);
        self.session = Some(answer.session);
        for place in 0..self.streams.len() {
            // From what is known already, now and then: it must be the same.
            let stream = &self.streams[place];
            let again = (stream.next / 3) % (OVERLAP_MAX + 1);
            let from = stream.next.saturating_sub(again).max(self.oldest_known(place)).max(1);
            self.subscribe(place, from);
        }
        self.transmit();
    }

    fn oldest_known(&self, place: usize) -> u64 {
        self.streams[place].next - self.streams[place].hashes.len() as u64
    }

    fn subscribe(&mut self, place: usize, from: u64) {
        let Some(Connection { next: Some(next), .. }) = &mut self.connection else { return };
        let topic = self.streams[place].topic;
        let from = Some(StreamPosition { stream_seq: from });
        let message = ClientMessage::Subscribe(Subscribe { topic, from });
        message.encode(self.codec, *next, &mut self.output);
        *next += 1;
    }

    fn resync(&mut self, topic: Topic, oldest: u64, next: u64) -> Checked {
        let Some(place) = self.streams.iter().position(|stream| stream.topic == topic) else {
            return Err(format!("a stream that was not asked for: {topic:?}"));
        };
        let stream = &mut self.streams[place];
        if next < stream.next {
            return Err(format!(
                "{topic:?} ends with event {next}, of which {} was published",
                stream.next
            ));
        }
        if oldest + OVERLAP_MAX < stream.next {
            return Err(format!("{topic:?} is kept from {oldest}, but not given from there"));
        }
        (stream.next, stream.hashes) = (next, Vec::new());
        self.subscribe(place, next);
        Ok(())
    }

    fn take_asked(&mut self, number: u64) -> Option<Command> {
        let place = self.asked.iter().position(|asked| asked.number == Some(number))?;
        Some(self.asked.remove(place).command)
    }

    fn accepted(&mut self, number: u64, accepted: Accepted, tally: &mut Tally) -> Checked {
        let Some(command) = self.take_asked(number) else { return Ok(()) };
        tally.acknowledged += 1;
        let Some(client_id) = command.client_id() else { return Ok(()) };
        match self.answer_of(client_id) {
            Some((before, first)) if *before == command => {
                let same = accepted.repeated
                    && (first.outcome, first.ts_event) == (accepted.outcome, accepted.ts_event);
                if !same {
                    return Err(format!(
                        "{command:?} was answered {first:?} and later {accepted:?}"
                    ));
                }
                tally.repeated += 1;
            }
            Some((before, _)) => {
                return Err(format!("{command:?} has the client id of {before:?}"));
            }
            None => {
                self.knows.learn_outcome(&accepted.outcome);
                if self.answered.len() == ANSWERED_MAX {
                    self.answered.remove(0);
                }
                self.answered.push((command, accepted));
            }
        }
        Ok(())
    }

    fn answer_of(&self, client_id: ClientId) -> Option<&(Command, Accepted)> {
        self.answered.iter().find(|(command, _)| command.client_id() == Some(client_id))
    }

    fn rejected(&mut self, number: u64, rejected: &RejectedAnswer, tally: &mut Tally) -> Checked {
        let Some(command) = self.take_asked(number) else { return Ok(()) };
        tally.rejected += 1;
        let known = command.client_id().and_then(|client_id| self.answer_of(client_id));
        match known {
            Some((before, first)) if *before == command && !rejected.reason.is_transient() => {
                Err(format!("{command:?} was answered {first:?} and then {rejected:?}"))
            }
            _ => Ok(()),
        }
    }

    fn handle_event(
        &mut self,
        topic: Topic,
        header: FrameHeader,
        payload: &[u8],
        tally: &mut Tally,
    ) -> Checked {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.topic == topic) else {
            return Err(format!("a stream that was not asked for: {topic:?}"));
        };
        let message = ServerMessage::decode(self.codec, header.template, payload).transpose();
        let message = message.map_err(|error| error.to_string())?;
        if let Some(ServerMessage::StreamOpened(opened)) = message {
            stream.position = Some(opened.next.stream_seq);
            return Ok(());
        }
        let Some(position) = stream.position else {
            return Err(format!("{topic:?} does not begin with its opening"));
        };
        if let Some(ServerMessage::Heartbeat(_)) = message {
            return match header.number + 1 == position {
                true => Ok(()),
                false => Err(format!("{topic:?} has {} events, {position} next", header.number)),
            };
        }
        if header.number != position {
            return Err(format!("{topic:?}: event {} follows {}", header.number, position - 1));
        }
        stream.position = Some(position + 1);
        tally.events += 1;
        if !stream.compare(position, hash(header.template, payload))? {
            return Ok(());
        }
        match PrivateEvent::decode(self.codec, header.template, payload) {
            Some(event) => self.knows.learn_private(self.agent, &decoded(Some(event))?),
            None => self.knows.learn_public(&decoded(PublicEvent::decode(
                self.codec,
                header.template,
                payload,
            ))?),
        }
        Ok(())
    }
}

impl Stream {
    /// Compares an event with the one of its number that came before. Returns whether it is new.
    fn compare(&mut self, number: u64, hash: u64) -> Result<bool, String> {
        if number >= self.next {
            if number > self.next {
                return Err(format!("{:?}: {} was missed", self.topic, self.next));
            }
            self.next += 1;
            if self.hashes.len() == COMPARED_MAX {
                self.hashes.remove(0);
            }
            self.hashes.push(hash);
            return Ok(true);
        }
        let back = usize::try_from(self.next - number).unwrap_or(usize::MAX);
        match self.hashes.len().checked_sub(back).map(|place| self.hashes[place]) {
            Some(before) if before != hash => {
                Err(format!("{:?}: event {number} is another one than before", self.topic))
            }
            _ => Ok(false),
        }
    }
}

/// Returns the agents' keys: the same in every world, so that making them costs nothing.
pub(super) fn key(number: usize) -> SigningKey {
    let mut seed = [7; 32];
    seed[0] = u8::try_from(number % 256).unwrap_or_default();
    SigningKey::from_bytes(&seed)
}

fn decoded<T, E: std::fmt::Display>(message: Option<Result<T, E>>) -> Result<T, String> {
    let message = message.ok_or_else(|| "an unknown template".to_owned())?;
    message.map_err(|error| error.to_string())
}

fn hash(template: u16, payload: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&template.to_le_bytes());
    hasher.update(payload);
    let hash = hasher.finalize();
    let (first, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*first)
}
