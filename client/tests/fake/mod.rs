//! An exchange that does what the test says: the server's side of the wire, one step at a time.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use gavel_client::{CertificateDer, Client, ClientError, Config, Fingerprint, SigningKey, Trust};
use gavel_protocol::{
    Accepted, AccountId, AgentId, Challenge, ClientId, ClientMessage, CloseReason, Codec, Command,
    DurationNs, FrameHeader, Frames, Halt, LogonAnswer, LogonRequest, Nonce, Outcome, PrivateEvent,
    RULES_VERSION, Roles, ServerMessage, SessionId, StreamOpened, StreamPosition, TEMPLATE_VERSION,
    TimestampNs, Topic, logon_message,
};
use quinn::crypto::rustls::{HandshakeData, QuicServerConfig};
use quinn::{Connection, Endpoint, RecvStream, SendStream, VarInt};
use rustls::pki_types::PrivatePkcs8KeyDer;

/// What every stream speaks but the session stream of a client that chose another.
pub const CODEC: Codec = Codec::Rkyv;

/// What a client sent on its session stream.
#[derive(Debug)]
pub enum Sent {
    Command(Command),
    Message(ClientMessage),
}

/// A listening exchange.
pub struct FakeExchange {
    endpoint: Endpoint,
    certificate: CertificateDer<'static>,
}

/// A connection that has logged on.
pub struct FakeSession {
    pub connection: Connection,
    pub request: LogonRequest,
    codec: Codec,
    send: SendStream,
    frames: FakeFrames,
}

/// Frames as they come off a stream.
pub struct FakeFrames {
    recv: RecvStream,
    codec: Codec,
    bytes: Vec<u8>,
}

impl FakeExchange {
    pub fn listen() -> Self {
        let name = vec![String::from("localhost")];
        let certified = rcgen::generate_simple_self_signed(name).unwrap();
        let certificate = certified.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        tls.alpn_protocols = Codec::ALL.iter().map(|codec| codec.alpn().to_vec()).collect();
        let tls = QuicServerConfig::try_from(tls).unwrap();
        let config = quinn::ServerConfig::with_crypto(Arc::new(tls));
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self { endpoint: Endpoint::server(config, any_port).unwrap(), certificate }
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// Returns the configuration of a client of this exchange.
    pub fn config(&self) -> Config {
        let trust = Trust::Fingerprint(Fingerprint::of(&self.certificate));
        Config::new(self.endpoint.local_addr().unwrap(), trust, SigningKey::from_bytes(&[7; 32]))
    }

    /// Connects a client and accepts its logon.
    pub async fn connect(&self, config: Config) -> (Client, FakeSession) {
        let (client, session) = tokio::join!(Client::connect(config), self.accept(1));
        (client.unwrap(), session)
    }

    /// Waits for a client that does not like what it sees.
    pub async fn turn_away(&self) {
        self.endpoint.accept().await.unwrap().await.unwrap_err();
    }

    /// Turns the next client away, in answer to its logon.
    pub async fn refuse(&self, reason: CloseReason) {
        let session = self.challenge().await;
        session.close(reason);
        session.connection.closed().await;
    }

    /// Accepts the next logon; the client's next frame shall have the number `session_seq_next`.
    pub async fn accept(&self, session_seq_next: u64) -> FakeSession {
        let mut session = self.challenge().await;
        let answer = LogonAnswer {
            session: SessionId::new(99),
            resumed: session.request.resume.is_some(),
            agent: AgentId::new(5),
            account: AccountId::new(6),
            roles: Roles::TRADER,
            session_seq_next,
            ts_event: TimestampNs::from_nanos(1),
            heartbeat_timeout: DurationNs::from_secs(15),
        };
        session.answer(0, ServerMessage::LogonAnswer(answer)).await;
        session
    }

    async fn challenge(&self) -> FakeSession {
        let connection = self.endpoint.accept().await.unwrap().await.unwrap();
        let codec = codec_of(&connection);
        let (mut send, recv) = connection.open_bi().await.unwrap();
        let nonce = Nonce::new([3; 32]);
        let exchange = "test".parse().unwrap();
        let challenge = ServerMessage::Challenge(Challenge {
            nonce,
            exchange,
            template_version: TEMPLATE_VERSION,
            rules_version: RULES_VERSION,
            ts_event: TimestampNs::from_nanos(1),
        });
        write(&mut send, codec, 0, &challenge).await;
        let mut frames = FakeFrames::new(recv, codec);
        let (header, Sent::Message(ClientMessage::LogonRequest(request))) = frames.next().await
        else {
            panic!("the client did not begin with a logon request")
        };
        assert_eq!(header.number, 0);
        let signed = logon_message(&nonce, &request.key, &exchange);
        let signature = Signature::from_bytes(request.signature.as_bytes());
        let key = VerifyingKey::from_bytes(request.key.as_bytes()).unwrap();
        key.verify(&signed, &signature).unwrap();
        FakeSession { connection, request, codec, send, frames }
    }
}

impl FakeSession {
    /// Waits for the client's next frame that is not a heartbeat.
    pub async fn next(&mut self) -> (FrameHeader, Sent) {
        self.frames.next().await
    }

    /// Waits for a command, and returns its number and its client id.
    pub async fn next_command(&mut self) -> (u64, ClientId) {
        match self.next().await {
            (header, Sent::Command(command)) => (header.number, command.client_id().unwrap()),
            (_, Sent::Message(message)) => panic!("expected a command: {message:?}"),
        }
    }

    /// Waits for a message that is not a command, and returns its number and itself.
    pub async fn next_message(&mut self) -> (u64, ClientMessage) {
        match self.next().await {
            (header, Sent::Message(message)) => (header.number, message),
            (_, Sent::Command(command)) => panic!("expected a message: {command:?}"),
        }
    }

    pub async fn answer(&mut self, number: u64, message: ServerMessage) {
        write(&mut self.send, self.codec, number, &message).await;
    }

    /// Opens the stream of a topic whose first event will be `next`.
    pub async fn open_stream(&self, topic: Topic, next: u64) -> SendStream {
        let mut stream = self.connection.open_uni().await.unwrap();
        let next = StreamPosition { stream_seq: next };
        let opened = ServerMessage::StreamOpened(StreamOpened { topic, next });
        write(&mut stream, CODEC, 0, &opened).await;
        stream
    }

    pub fn close(&self, reason: CloseReason) {
        self.connection.close(VarInt::from_u32(u32::from(reason.code())), b"");
    }
}

impl FakeFrames {
    pub fn new(recv: RecvStream, codec: Codec) -> Self {
        Self { recv, codec, bytes: Vec::new() }
    }

    /// Waits for the next frame that is not a heartbeat.
    pub async fn next(&mut self) -> (FrameHeader, Sent) {
        loop {
            let mut frames = Frames::new(&self.bytes);
            if let Some((header, payload)) = frames.next_frame().unwrap() {
                let sent = match Command::decode(self.codec, header.template, payload) {
                    Some(command) => Sent::Command(command.unwrap()),
                    None => Sent::Message(
                        ClientMessage::decode(self.codec, header.template, payload)
                            .unwrap()
                            .unwrap(),
                    ),
                };
                let used = frames.consumed();
                self.bytes.drain(..used);
                if !matches!(sent, Sent::Message(ClientMessage::Heartbeat(_))) {
                    return (header, sent);
                }
                continue;
            }
            let chunk = self.recv.read_chunk(usize::MAX, true).await.unwrap();
            self.bytes.extend_from_slice(&chunk.expect("the client goes on").bytes);
        }
    }

    /// Waits for the end of the stream, and returns what follows the last frame.
    pub async fn rest(mut self) -> Vec<u8> {
        self.bytes.extend(self.recv.read_to_end(1 << 20).await.unwrap());
        self.bytes
    }
}

/// Returns the codec that a client chose.
fn codec_of(connection: &Connection) -> Codec {
    let data = connection.handshake_data().unwrap().downcast::<HandshakeData>().unwrap();
    Codec::from_alpn(&data.protocol.unwrap()).unwrap()
}

pub async fn write(stream: &mut SendStream, codec: Codec, number: u64, message: &ServerMessage) {
    let mut bytes = Vec::new();
    message.encode(codec, number, &mut bytes);
    stream.write_all(&bytes).await.unwrap();
}

pub async fn write_event(stream: &mut SendStream, number: u64, event: &PrivateEvent) {
    let mut bytes = Vec::new();
    event.encode(CODEC, number, &mut bytes);
    stream.write_all(&bytes).await.unwrap();
}

/// A command that says nothing but its client id.
pub fn halt(id: u128) -> Command {
    Command::Halt(Halt { client_id: ClientId::new(id), capability: None })
}

/// An acceptance that can be told from others by its time.
pub fn accepted(nanos: u64) -> ServerMessage {
    let ts_event = TimestampNs::from_nanos(nanos);
    ServerMessage::Accepted(Accepted { ts_event, repeated: false, outcome: Outcome::Done })
}

/// Asserts that `error` is the exchange's own reason for closing.
#[track_caller]
pub fn assert_closed(error: &ClientError, expected: CloseReason) {
    assert!(matches!(error, ClientError::Closed(reason) if *reason == expected), "{error:?}");
}
