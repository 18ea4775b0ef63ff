//! A client that speaks bytes: for everything that a proper client would never send.

use std::net::SocketAddr;
use std::sync::Arc;

use ed25519_dalek::Signer as _;
use gavel_client::SigningKey;
use gavel_protocol::{
    ClientMessage, CloseReason, Codec, Command, DurationNs, FRAME_HEADER_BYTES, Frames,
    LogonRequest, PublicKey, ServerMessage, SignatureBytes, logon_message,
};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

/// A connection whose session stream is written and read by hand.
pub struct Raw {
    /// The connection.
    pub connection: Connection,
    /// The client's side of the session stream.
    pub send: SendStream,
    receive: RecvStream,
    received: Vec<u8>,
    codec: Codec,
    /// The last number that was used.
    pub session_seq: u64,
}

impl Raw {
    /// Connects with an ALPN identifier.
    ///
    /// # Errors
    ///
    /// What the handshake says.
    pub async fn handshake(addr: SocketAddr, alpn: &[u8]) -> Result<Connection, ConnectionError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
        let verifier = Arc::new(AnyCertificate(provider));
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut tls = builder.with_no_client_auth();
        tls.alpn_protocols = vec![alpn.into()];
        let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        endpoint.connect_with(config, addr, "localhost").unwrap().await
    }

    /// Connects, and takes the session stream that the server opens.
    pub async fn connect(addr: SocketAddr, codec: Codec) -> Self {
        let connection = Self::handshake(addr, codec.alpn()).await.unwrap();
        let (send, receive) = connection.accept_bi().await.unwrap();
        Self { connection, send, receive, received: Vec::new(), codec, session_seq: 0 }
    }

    /// Connects and logs on.
    pub async fn log_on(addr: SocketAddr, codec: Codec, key: &SigningKey) -> Self {
        let mut raw = Self::connect(addr, codec).await;
        let request = raw.logon_request(key).await;
        raw.send_message(&ClientMessage::LogonRequest(request), 0).await;
        let (_, answer) = raw.message().await.unwrap();
        assert!(matches!(answer, ServerMessage::LogonAnswer(_)), "{answer:?}");
        raw
    }

    /// Takes the challenge, and signs it.
    pub async fn logon_request(&mut self, key: &SigningKey) -> LogonRequest {
        let (_, challenge) = self.message().await.unwrap();
        let ServerMessage::Challenge(challenge) = challenge else { panic!("{challenge:?}") };
        let public = PublicKey::new(key.verifying_key().to_bytes());
        let message = logon_message(&challenge.nonce, &public, &challenge.exchange);
        let signature = SignatureBytes::new(key.sign(&message).to_bytes());
        LogonRequest {
            key: public,
            signature,
            resume: None,
            cancel_on_disconnect: false,
            grace: DurationNs::ZERO,
            sequenced_answers: false,
        }
    }

    /// Sends a command under the next number, and returns the answer to it.
    pub async fn call(&mut self, command: &Command) -> ServerMessage {
        let frame = self.frame(command);
        self.send_bytes(&frame).await;
        self.answer().await
    }

    /// Returns the frame of a command under the next number.
    pub fn frame(&mut self, command: &Command) -> Vec<u8> {
        self.session_seq += 1;
        let mut frame = Vec::new();
        command.encode(self.codec, self.session_seq, &mut frame);
        frame
    }

    /// Returns a frame with any header and payload, under the next number.
    pub fn odd_frame(&mut self, template: u16, version: u16, payload: &[u8]) -> Vec<u8> {
        self.session_seq += 1;
        let length = u32::try_from(FRAME_HEADER_BYTES + payload.len()).unwrap();
        let mut frame = length.to_le_bytes().to_vec();
        frame.extend_from_slice(&template.to_le_bytes());
        frame.extend_from_slice(&version.to_le_bytes());
        frame.extend_from_slice(&self.session_seq.to_le_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    /// Sends a message.
    pub async fn send_message(&mut self, message: &ClientMessage, number: u64) {
        let mut frame = Vec::new();
        message.encode(self.codec, number, &mut frame);
        self.send_bytes(&frame).await;
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.send.write_all(bytes).await.unwrap();
    }

    /// Returns the answer to the last number.
    pub async fn answer(&mut self) -> ServerMessage {
        loop {
            let (number, message) = self.message().await.unwrap();
            if number == self.session_seq {
                return message;
            }
        }
    }

    /// Returns the next message and its number, or why there is none.
    ///
    /// # Errors
    ///
    /// What ended the connection.
    pub async fn message(&mut self) -> Result<(u64, ServerMessage), ConnectionError> {
        loop {
            let mut frames = Frames::new(&self.received);
            if let Some((header, payload)) = frames.next_frame().unwrap() {
                let message = ServerMessage::decode(self.codec, header.template, payload);
                let message = message.unwrap().unwrap();
                let consumed = frames.consumed();
                self.received.drain(..consumed);
                return Ok((header.number, message));
            }
            match self.receive.read_chunk(65_536, true).await {
                Ok(Some(chunk)) => self.received.extend_from_slice(&chunk.bytes),
                Ok(None) | Err(_) => return Err(self.connection.closed().await),
            }
        }
    }
}

/// Waits for the end of a connection, and returns the reason that the server gave.
pub async fn closed_with(connection: &Connection) -> CloseReason {
    match connection.closed().await {
        ConnectionError::ApplicationClosed(close) => {
            let code = close.error_code.into_inner();
            let all = CloseReason::ALL.iter();
            *all.into_iter().find(|reason| u64::from(reason.code()) == code).unwrap()
        }
        other => panic!("closed without a reason: {other}"),
    }
}

/// Accepts any certificate: who the server is does not matter to these tests.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
