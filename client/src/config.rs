//! Where a client connects to, whom it trusts, and how its session behaves.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use gavel_protocol::{Codec, DurationNs};
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};

/// Everything a [`crate::Client`] needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the exchange listens.
    pub address: SocketAddr,
    /// The name that the server's certificate must bear, unless it is pinned.
    pub server_name: String,
    /// How the server proves that it is the right one.
    pub trust: Trust,
    /// How payloads are written.
    pub codec: Codec,
    /// The key of the agent that logs on.
    pub key: SigningKey,
    /// Whether RFQs, and answers to RFQs that are signed, are signed with that key.
    pub signs: bool,
    /// Whether the end of the session takes the agent's quotes with it.
    pub cancel_on_disconnect: bool,
    /// How long the session may be without a connection before it is lost.
    pub grace: DurationNs,
    /// Whether commands are also answered `Sequenced`, before they are durable.
    pub sequenced_answers: bool,
    /// How long one attempt to connect and log on may take.
    pub connect_timeout: Duration,
    /// How long the server may be silent before the connection counts as lost.
    pub silence_max: Duration,
    /// How long to try to reconnect before everything unanswered fails.
    pub give_up_after: Duration,
}

impl Config {
    /// Returns the usual configuration: rkyv, signatures, a grace of 30 s, nothing canceled on
    /// disconnect, no early answers, and a minute of reconnecting.
    pub fn new(address: SocketAddr, trust: Trust, key: SigningKey) -> Self {
        Self {
            address,
            server_name: String::from("localhost"),
            trust,
            codec: Codec::Rkyv,
            key,
            signs: true,
            cancel_on_disconnect: false,
            grace: DurationNs::from_secs(30),
            sequenced_answers: false,
            connect_timeout: Duration::from_secs(10),
            silence_max: Duration::from_secs(6),
            give_up_after: Duration::from_secs(60),
        }
    }
}

/// How the server proves that it is the right one.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Its certificate is exactly this one, whoever signed it.
    Fingerprint(Fingerprint),
    /// Its certificate bears the server's name and chains to one of these roots.
    Roots(Vec<CertificateDer<'static>>),
}

/// The SHA-256 of a certificate's DER bytes. As text: 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Returns the fingerprint of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// A text that is not a [`Fingerprint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a fingerprint as 64 lower-case hexadecimal digits")]
pub struct ParseFingerprintError;

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, ParseFingerprintError> {
        let raw = HEXLOWER.decode(text.as_bytes()).map_err(|_| ParseFingerprintError)?;
        raw.try_into().map(Self).map_err(|_| ParseFingerprintError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_sha256_of_the_certificate() {
        // The digest of "abc" is the first example of FIPS 180-2.
        let fingerprint = Fingerprint::of(&CertificateDer::from(b"abc".to_vec()));
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(fingerprint.to_string(), text);
        assert_eq!(text.parse(), Ok(fingerprint));
        assert_eq!("ba78".parse::<Fingerprint>(), Err(ParseFingerprintError));
        assert_eq!(text.to_uppercase().parse::<Fingerprint>(), Err(ParseFingerprintError));
    }
}
