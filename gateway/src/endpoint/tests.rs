//! The gateway over loopback, with a plain QUIC client on one side and hand-made batches instead of
//! a core on the other.

use ed25519_dalek::{Signer as _, SigningKey};
use gavel_protocol::{
    AgentId, BlobGet, BlobPut, BlobSource, CancelRfq, ClientId, ClientMessage, Codec, Command,
    Digest, DurationNs, Event, FrameHeader, Frames, LoggedOn, Logon, LogonAnswer, LogonRequest,
    Logout, Outcome, PrivateEvent, PublicKey, RejectReason, Reopened, Request, RfqTarget,
    ServerMessage, SessionId, SignatureBytes, Subscribe, Topic, logon_message,
};
use gavel_sequencer::{Consumer as _, Origin, Part, Submission};
use object_store::memory::InMemory;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, ConnectionError, RecvStream, SendStream};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::samples::{
    BUYER, Batches, CONTRACT, PARTIES, PROVIDER, RFQ, any_command, awarded, enrolled, founded,
    rfq_closed, rfq_opened,
};

fn signing_key(agent: AgentId) -> SigningKey {
    SigningKey::from_bytes(&[u8::try_from(agent.raw()).unwrap(); 32])
}

fn public_key(agent: AgentId) -> PublicKey {
    PublicKey::new(signing_key(agent).verifying_key().to_bytes())
}

/// A gateway, and the batches that stand for its core.
struct World {
    gateway: Gateway,
    inbox: Inbox,
    fan_out: Arc<FanOut>,
    batches: Batches,
    certificate: CertificateDer<'static>,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(configure: impl FnOnce(&mut GatewayConfig)) -> Self {
        let fan_out = FanOut::new();
        let mut batches = Batches::default();
        batches.events(&[
            Event::Founded(founded(public_key(AgentId::new(1)))),
            Event::AgentEnrolled(enrolled(BUYER, public_key(BUYER))),
            Event::AgentEnrolled(enrolled(PROVIDER, public_key(PROVIDER))),
        ]);
        fan_out.published(&batches.take());
        let identity = Identity::ephemeral().unwrap();
        let certificate = CertificateDer::from(identity.certificate().to_vec());
        let mut config = GatewayConfig::new(identity);
        configure(&mut config);
        let (inbox, blobs) = (Inbox::new(), Arc::new(InMemory::new()));
        let gateway =
            Gateway::start(config, inbox.clone(), Arc::clone(&fan_out), blobs).await.unwrap();
        Self { gateway, inbox, fan_out, batches, certificate }
    }

    async fn connect_with(&self, alpn: &[u8]) -> Result<quinn::Connection, ConnectionError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![alpn.to_vec()];
        let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).unwrap();
        endpoint.connect_with(config, self.gateway.quic_addr(), "localhost").unwrap().await
    }

    async fn connect(&self, codec: Codec) -> Client {
        let quic = self.connect_with(codec.alpn()).await.unwrap();
        let (send, recv) = quic.accept_bi().await.unwrap();
        Client { codec, quic, session: Stream::new(send, recv), session_seq: 0 }
    }

    /// Connects and logs on, playing the core's part. `connection` is the edge's number for it.
    async fn log_on(&mut self, agent: AgentId, codec: Codec, connection: u64) -> Client {
        let mut client = self.connect(codec).await;
        client.request_logon(agent).await;
        // No core drains the inbox here; the claim says that the logon is in it.
        let is_claimed =
            || self.fan_out.connections.find(connection).is_some_and(|c| c.claimed().is_some());
        while !is_claimed() {
            tokio::task::yield_now().await;
        }
        let session = SessionId::new(1_000 + agent.raw());
        let event = Event::LoggedOn(LoggedOn { agent, session, resumed: false });
        let logon = Command::Logon(Logon { resume: None, cancel_on_disconnect: false });
        self.batches.step(
            Some(Origin { connection, session_seq: 0, part: Part::WHOLE }),
            logon,
            &[event],
        );
        self.publish();
        let (0, ServerMessage::LogonAnswer(LogonAnswer { agent: told, session_seq_next, .. })) =
            client.answer().await
        else {
            panic!("a logon answer expected")
        };
        assert_eq!((told, session_seq_next), (agent, 1));
        client
    }

    fn publish(&mut self) {
        self.fan_out.published(&self.batches.take());
    }

    async fn http(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.gateway.http_addr()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

/// Both ends of a bidirectional stream, read frame by frame.
struct Stream {
    send: SendStream,
    recv: RecvStream,
    bytes: Vec<u8>,
}

impl Stream {
    fn new(send: SendStream, recv: RecvStream) -> Self {
        Self { send, recv, bytes: Vec::new() }
    }

    async fn frame(&mut self) -> (FrameHeader, Vec<u8>) {
        next_frame(&mut self.recv, &mut self.bytes).await
    }
}

async fn next_frame(recv: &mut RecvStream, bytes: &mut Vec<u8>) -> (FrameHeader, Vec<u8>) {
    loop {
        let mut frames = Frames::new(bytes);
        if let Some((header, payload)) = frames.next_frame().unwrap() {
            let payload = payload.to_vec();
            let consumed = frames.consumed();
            bytes.drain(..consumed);
            return (header, payload);
        }
        let chunk = recv.read_chunk(65_536, true).await.unwrap().expect("more frames");
        bytes.extend_from_slice(&chunk.bytes);
    }
}

struct Client {
    codec: Codec,
    quic: quinn::Connection,
    session: Stream,
    session_seq: u64,
}

impl Client {
    async fn request_logon(&mut self, agent: AgentId) {
        let (0, ServerMessage::Challenge(challenge)) = self.answer().await else {
            panic!("the challenge comes first")
        };
        let key = public_key(agent);
        let message = logon_message(&challenge.nonce, &key, &challenge.exchange);
        let request = LogonRequest {
            key,
            signature: SignatureBytes::new(signing_key(agent).sign(&message).to_bytes()),
            resume: None,
            cancel_on_disconnect: false,
            grace: DurationNs::ZERO,
            sequenced_answers: false,
        };
        self.send_numbered(0, &ClientMessage::LogonRequest(request)).await;
    }

    async fn send_numbered(&mut self, number: u64, message: &ClientMessage) {
        let mut frame = Vec::new();
        message.encode(self.codec, number, &mut frame);
        self.session.send.write_all(&frame).await.unwrap();
    }

    async fn send(&mut self, message: &ClientMessage) {
        self.session_seq += 1;
        self.send_numbered(self.session_seq, message).await;
    }

    async fn command(&mut self, command: &Command) {
        self.session_seq += 1;
        let mut frame = Vec::new();
        command.encode(self.codec, self.session_seq, &mut frame);
        self.session.send.write_all(&frame).await.unwrap();
    }

    async fn answer(&mut self) -> (u64, ServerMessage) {
        let (header, payload) = self.session.frame().await;
        let answer = ServerMessage::decode(self.codec, header.template, &payload);
        (header.number, answer.unwrap().unwrap())
    }

    /// Sends a message and then `blob` on a stream of its own. Returns the answer and what follows.
    async fn blob(&self, message: &ClientMessage, blob: &[u8]) -> (ServerMessage, Vec<u8>) {
        let (mut send, recv) = self.quic.open_bi().await.unwrap();
        let mut bytes = Vec::new();
        message.encode(self.codec, 0, &mut bytes);
        bytes.extend_from_slice(blob);
        send.write_all(&bytes).await.unwrap();
        send.finish().unwrap();
        let mut stream = Stream::new(send, recv);
        let (header, payload) = stream.frame().await;
        let answer = ServerMessage::decode(self.codec, header.template, &payload);
        let mut rest = stream.bytes;
        rest.extend(stream.recv.read_to_end(1 << 20).await.unwrap());
        (answer.unwrap().unwrap(), rest)
    }

    async fn put(&self, blob: &[u8]) -> Result<Digest, RejectReason> {
        let digest = Digest::new(*blake3::hash(blob).as_bytes());
        self.put_as(digest, blob.len() as u64, blob).await
    }

    async fn put_as(
        &self,
        digest: Digest,
        length: u64,
        blob: &[u8],
    ) -> Result<Digest, RejectReason> {
        let put = ClientMessage::BlobPut(BlobPut { digest, length });
        let answer = self.blob(&put, blob).await.0;
        if let ServerMessage::BlobStored(stored) = answer {
            return Ok(stored.digest);
        }
        Err(reason(answer))
    }

    async fn fetch(&self, source: BlobSource) -> Result<Vec<u8>, RejectReason> {
        let (answer, rest) = self.blob(&ClientMessage::BlobGet(BlobGet { source }), &[]).await;
        if let ServerMessage::BlobReady(ready) = answer {
            assert_eq!(ready.length, rest.len() as u64);
            return Ok(rest);
        }
        Err(reason(answer))
    }

    async fn closed(&self) -> CloseReason {
        let ConnectionError::ApplicationClosed(close) = self.quic.closed().await else {
            panic!("closed by the server expected")
        };
        let reason = CloseReason::ALL
            .iter()
            .find(|reason| u64::from(reason.code()) == close.error_code.into_inner());
        let reason = *reason.unwrap();
        assert_eq!(close.reason, reason.info().meaning.as_bytes());
        reason
    }
}

fn cancel() -> Command {
    let target = RfqTarget::Id(RFQ);
    Command::CancelRfq(CancelRfq { client_id: ClientId::new(1), target })
}

fn reason(answer: ServerMessage) -> RejectReason {
    let ServerMessage::Rejected(rejected) = answer else {
        panic!("a rejection expected: {answer:?}")
    };
    rejected.reason
}

#[tokio::test]
async fn a_client_logs_on_sends_a_command_listens_and_logs_out() {
    for codec in Codec::ALL {
        let mut world = World::new().await;
        let mut client = world.log_on(BUYER, codec, 1).await;
        let from = Some(gavel_protocol::StreamPosition { stream_seq: 1 });
        client.send(&ClientMessage::Subscribe(Subscribe { topic: Topic::Private, from })).await;
        let (1, ServerMessage::Subscribed(subscribed)) = client.answer().await else {
            panic!("a subscription expected")
        };
        assert_eq!((subscribed.topic, subscribed.next.stream_seq), (Topic::Private, 1));

        let command = cancel();
        client.command(&command).await;
        let origin = Some(Origin { connection: 1, session_seq: 2, part: Part::WHOLE });
        let event = Event::Awarded(awarded());
        world.batches.step(
            origin,
            command,
            &[Event::Reopened(Reopened { capability: None }), event],
        );
        world.publish();
        let (2, ServerMessage::Accepted(accepted)) = client.answer().await else {
            panic!("an answer expected")
        };
        assert_eq!(accepted.outcome, Outcome::Done);

        let mut recv = client.quic.accept_uni().await.unwrap();
        let mut bytes = Vec::new();
        let (opened, _) = next_frame(&mut recv, &mut bytes).await;
        assert_eq!(opened.template, 74, "StreamOpened");
        let (header, payload) = next_frame(&mut recv, &mut bytes).await;
        let event = PrivateEvent::decode(codec, header.template, &payload).unwrap().unwrap();
        assert_eq!((header.number, event), (1, PrivateEvent::Awarded(awarded())));

        client.send(&ClientMessage::Logout(Logout {})).await;
        assert_eq!(client.closed().await, CloseReason::Goodbye);
    }
}

#[tokio::test]
async fn a_full_lane_is_answered_busy_and_the_others_go_on() {
    let mut world = World::new().await;
    let request = Request { agent: BUYER, command: cancel() };
    let submission = Submission { origin: None, sequenced_answer: false, request };
    while world.inbox.submit(submission.clone()).is_ok() {}
    let mut client = world.log_on(BUYER, Codec::Json, 1).await;
    client.command(&cancel()).await;
    let (1, answer) = client.answer().await else { panic!("an answer to the first frame") };
    assert_eq!(reason(answer), RejectReason::Busy);
}

#[tokio::test]
async fn a_second_logon_of_the_same_agent_closes_the_first_connection() {
    let mut world = World::new().await;
    let first = world.log_on(BUYER, Codec::Rkyv, 1).await;
    let _second = world.log_on(BUYER, Codec::Json, 2).await;
    assert_eq!(first.closed().await, CloseReason::Superseded);
}

#[tokio::test]
async fn a_session_without_grace_is_lost_with_its_connection() {
    let mut world = World::new().await;
    let client = world.log_on(BUYER, Codec::Rkyv, 1).await;
    assert_eq!(world.fan_out.sessions.count(), 1);
    client.quic.close(VarInt::from_u32(0), b"");
    while world.fan_out.connections.find(1).is_some() {
        tokio::task::yield_now().await;
    }
    // Due until the core was asked to end it, and not due again after that.
    let end_of_time = DurationNs::from_nanos(u64::MAX);
    while world.fan_out.sessions.drain_lost(end_of_time, |_, _| false).is_some() {
        tokio::task::yield_now().await;
    }
    let agent = BUYER;
    let session = SessionId::new(1_000 + agent.raw());
    let ended = gavel_protocol::SessionEnded { agent, session, cancels_quotes: false };
    world.batches.step(None, any_command(), &[Event::SessionEnded(ended)]);
    world.publish();
    assert_eq!(world.fan_out.sessions.count(), 0);
}

#[tokio::test]
async fn a_wrong_signature_and_a_broken_frame_close_the_connection() {
    let world = World::new().await;
    let mut client = world.connect(Codec::Rkyv).await;
    client.request_logon(AgentId::new(99)).await;
    assert_eq!(client.closed().await, CloseReason::LogonRefused);
    let mut client = world.connect(Codec::Rkyv).await;
    client.session.send.write_all(&[255; 16]).await.unwrap();
    assert_eq!(client.closed().await, CloseReason::FrameLength);
}

#[tokio::test]
async fn only_the_two_codecs_are_spoken() {
    let world = World::new().await;
    assert!(world.connect_with(b"h3").await.is_err());
    assert!(world.connect_with(Codec::Json.alpn()).await.is_ok());
}

#[tokio::test]
async fn blobs_are_stored_once_and_read_by_those_who_may() {
    let mut world = World::new().await;
    let buyer = world.log_on(BUYER, Codec::Rkyv, 1).await;
    let provider = world.log_on(PROVIDER, Codec::Json, 2).await;
    let [spec, inputs] = [b"spec".as_slice(), b"inputs"];
    let spec_digest = buyer.put(spec).await.unwrap();
    assert_eq!(buyer.put(spec).await, Ok(spec_digest), "once more changes nothing");
    let inputs_digest = buyer.put(inputs).await.unwrap();
    assert_eq!(buyer.fetch(BlobSource::Own(spec_digest)).await.unwrap(), spec);
    let not_own = provider.fetch(BlobSource::Own(spec_digest)).await;
    assert_eq!(not_own, Err(RejectReason::UnknownBlob));

    let mut opened = rfq_opened();
    (opened.terms.spec, opened.terms.inputs) = (spec_digest, Some(inputs_digest));
    world.batches.events(&[Event::RfqOpened(opened)]);
    world.publish();
    assert_eq!(provider.fetch(BlobSource::RfqSpec(RFQ)).await.unwrap(), spec);
    let before = provider.fetch(BlobSource::ContractInputs(CONTRACT)).await;
    assert_eq!(before, Err(RejectReason::UnknownBlob));
    let events = [Event::Awarded(awarded()), Event::RfqClosed(rfq_closed(0))];
    world.batches.step(None, any_command(), &events);
    world.publish();
    assert_eq!(PARTIES, awarded().parties);
    assert_eq!(provider.fetch(BlobSource::ContractInputs(CONTRACT)).await.unwrap(), inputs);
}

#[tokio::test]
async fn a_blob_that_is_not_what_was_announced_is_not_stored() {
    let mut world = World::with(|config| config.blob_bytes_per_agent = 32_768).await;
    let client = world.connect(Codec::Rkyv).await;
    assert_eq!(client.put(b"early").await, Err(RejectReason::NotLoggedOn));
    let client = world.log_on(BUYER, Codec::Rkyv, 2).await;
    let digest = Digest::new(*blake3::hash(b"blob").as_bytes());
    for (length, blob, reason) in [
        (4, b"blub".as_slice(), RejectReason::DigestMismatch),
        (4, b"blo", RejectReason::DigestMismatch),
        (4, b"blob and more", RejectReason::DigestMismatch),
        (u64::MAX, b"blob", RejectReason::BlobTooLarge),
    ] {
        assert_eq!(client.put_as(digest, length, blob).await, Err(reason));
    }
    let fetched = client.fetch(BlobSource::Own(digest)).await;
    assert_eq!(fetched, Err(RejectReason::UnknownBlob));
    // A quota of 32 KiB, and what was refused above has cost nothing of it.
    assert!(client.put(&[1; 28_672]).await.is_ok());
    assert_eq!(client.put(&[2; 8_192]).await, Err(RejectReason::BlobQuota));
    assert_eq!(client.put(b"blob").await, Ok(digest), "the last 4 KiB");
    assert_eq!(client.put(b"").await, Err(RejectReason::BlobQuota));
    let misplaced = client.blob(&ClientMessage::Logout(Logout {}), &[]).await.0;
    assert_eq!(reason(misplaced), RejectReason::UnknownTemplate);
}

#[tokio::test]
async fn http_tells_how_the_exchange_is() {
    let mut world = World::new().await;
    let client = world.log_on(BUYER, Codec::Rkyv, 1).await;
    let health = world.http("/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with(r#"{"status":"ok"}"#));
    let metrics = world.http("/metrics").await;
    for line in ["gavel_sessions 1\n", "gavel_connections 1\n", "gavel_journal_failed 0\n"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let audit = world.http("/audit/head").await;
    assert!(audit.starts_with("HTTP/1.1 404") && audit.contains("gavel up --audit"), "{audit}");
    world.fan_out.journal_failed();
    assert!(world.http("/healthz").await.starts_with("HTTP/1.1 503"));
    assert_eq!(client.closed().await, CloseReason::Unavailable);
    let closed = r#"gavel_connections_closed_total{reason="Unavailable"} 1"#;
    let metrics = world.http("/metrics").await;
    assert!(metrics.contains(closed), "{metrics}");
}

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let world = World::with(|config| config.connections_max = 1).await;
    let first = world.connect(Codec::Rkyv).await;
    let second = world.connect_with(Codec::Rkyv.alpn()).await.unwrap();
    let ConnectionError::ApplicationClosed(close) = second.closed().await else {
        panic!("closed by the server expected")
    };
    let code = u64::from(CloseReason::TooManyConnections.code());
    assert_eq!(close.error_code.into_inner(), code);
    assert!(first.quic.close_reason().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_tells_every_client_and_frees_the_address() {
    let world = World::new().await;
    let client = world.connect(Codec::Rkyv).await;
    let addr = world.gateway.quic_addr();
    world.gateway.shutdown().await;
    UdpSocket::bind(addr).unwrap();
    assert_eq!(client.closed().await, CloseReason::ShuttingDown);
}
