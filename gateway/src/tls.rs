//! The server's identity: a certificate made at first start and kept, or one that the operator
//! brings. Clients pin its fingerprint.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use gavel_protocol::Codec;
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicServerConfig};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

const CERTIFICATE_FILE: &str = "certificate.pem";
const KEY_FILE: &str = "key.pem";

/// A certificate and its private key.
#[derive(Debug)]
pub struct Identity {
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Making a certificate.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
    /// Keeping a file.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Reading a file.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// Putting certificate and key together.
    #[error("the certificate and the key cannot be used")]
    Combine(#[source] rustls::Error),
    /// Finding a cipher suite for QUIC.
    #[error("the cryptography has no cipher suite for QUIC")]
    Quic(#[source] NoInitialCipherSuite),
}

impl Identity {
    /// Loads the identity that is kept in `directory`, or makes one and keeps it there. The key's
    /// file can be read by its owner only.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if the files cannot be read or written.
    pub fn load_or_make(directory: &Path) -> Result<Self, IdentityError> {
        let (certificate, key) = (directory.join(CERTIFICATE_FILE), directory.join(KEY_FILE));
        // The certificate is written last, so where it is, the key is too.
        if !certificate.exists() {
            let made = make()?;
            write(&key, &made.signing_key.serialize_pem(), 0o600)?;
            let unfinished = certificate.with_extension("new");
            write(&unfinished, &made.cert.pem(), 0o644)?;
            fs::rename(&unfinished, &certificate)
                .map_err(|source| IdentityError::Write { path: certificate.clone(), source })?;
        }
        Self::load(&certificate, &key)
    }

    /// Loads an identity from PEM files.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if the files cannot be read.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let read = |path: &Path| {
            let path = path.to_owned();
            |source| IdentityError::Read { path, source }
        };
        let certificates = CertificateDer::pem_file_iter(certificate)
            .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
            .map_err(read(certificate))?;
        if certificates.is_empty() {
            return Err(read(certificate)(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(read(key))?;
        Ok(Self { certificates, key })
    }

    /// Makes an identity that is kept nowhere.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Make`].
    pub fn ephemeral() -> Result<Self, IdentityError> {
        let CertifiedKey { cert, signing_key } = make()?;
        let key = signing_key.serialize_der();
        Ok(Self { certificates: vec![cert.der().clone()], key: PrivateKeyDer::Pkcs8(key.into()) })
    }

    /// Returns the certificate's fingerprint: SHA-256 over its DER form, in lower-case hexadecimal
    /// digits.
    pub fn fingerprint(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.certificate()))
    }

    /// Returns the server's own certificate, in DER form.
    pub(crate) fn certificate(&self) -> &[u8] {
        self.certificates.first().map_or(&[], |certificate| certificate)
    }

    /// Returns the configuration of TLS 1.3 for QUIC, with the ALPN identifiers of both codecs.
    pub(crate) fn quic_config(self) -> Result<QuicServerConfig, IdentityError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(IdentityError::Combine)?
            .with_no_client_auth()
            .with_single_cert(self.certificates, self.key)
            .map_err(IdentityError::Combine)?;
        config.alpn_protocols = Codec::ALL.map(|codec| codec.alpn().to_vec()).to_vec();
        QuicServerConfig::try_from(config).map_err(IdentityError::Quic)
    }
}

fn make() -> Result<CertifiedKey<rcgen::KeyPair>, IdentityError> {
    let names = ["localhost", "gavel"].map(String::from);
    generate_simple_self_signed(names).map_err(IdentityError::Make)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), IdentityError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .map_err(|source| IdentityError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_made_at_first_start_is_the_one_found_later() {
        let directory = tempfile::tempdir().unwrap();
        let made = Identity::load_or_make(directory.path()).unwrap();
        let found = Identity::load_or_make(directory.path()).unwrap();
        assert_eq!(made.fingerprint(), found.fingerprint());
        assert_eq!(made.fingerprint().len(), 64);
        assert!(found.quic_config().is_ok());
        let other = Identity::ephemeral().unwrap();
        assert_ne!(made.fingerprint(), other.fingerprint());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_but_its_owner_reads_the_key() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        Identity::load_or_make(directory.path()).unwrap();
        let key = fs::metadata(directory.path().join(KEY_FILE)).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_missing_key_is_an_error_and_not_a_new_identity() {
        let directory = tempfile::tempdir().unwrap();
        Identity::load_or_make(directory.path()).unwrap();
        fs::remove_file(directory.path().join(KEY_FILE)).unwrap();
        let error = Identity::load_or_make(directory.path()).unwrap_err();
        assert!(matches!(error, IdentityError::Read { .. }));
    }
}
