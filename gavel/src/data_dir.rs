//! The data directory: the journal, its snapshots, the audit log, the blobs, the server's identity, keys,
//! and where the exchange can be found.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use gavel_client::{Client, Config, Fingerprint, Trust};
use gavel_protocol::{AgentId, PublicKey};
use gavel_sequencer::audit::{AuditConfig, Secret};
use gavel_sequencer::{Note, Snapshots};
use rand::TryRng as _;
use serde::{Deserialize, Serialize};

/// The agent that runs the exchange: its key is made at first start.
pub const OPERATOR: &str = "operator";

/// What the audit log's heads are signed with, and what its leaves are hidden by.
pub const AUDIT_KEY: &str = "audit.key";
/// See [`AUDIT_KEY`].
pub const AUDIT_SECRET: &str = "leaves.secret";

/// A data directory.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

/// Where an exchange can be found, and how to know that it is the right one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Whereabouts {
    /// Where it listens for QUIC.
    pub quic: SocketAddr,
    /// Where it listens for HTTP.
    pub http: SocketAddr,
    /// The SHA-256 of its certificate.
    pub fingerprint: String,
}

impl DataDir {
    /// Names a data directory; it need not exist.
    pub fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// Returns the directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the directory, for its owner only: the journal holds what is sealed.
    pub fn make(&self) -> anyhow::Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.root);
        made.with_context(|| format!("cannot make {}", self.root.display()))
    }

    /// Returns the journal's folder.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// Returns the folder of snapshots.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots::new(&self.snapshots_folder())
    }

    /// Returns where the snapshots are.
    pub fn snapshots_folder(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// Returns the file that says when the exchange was last alive.
    pub fn alive(&self) -> PathBuf {
        self.root.join("alive")
    }

    /// Returns what the note says that the exchange was alive.
    pub fn last_note(&self) -> anyhow::Result<Note> {
        let path = self.alive();
        let note = gavel_sequencer::last_note(&path);
        note.with_context(|| format!("cannot read the note {}", path.display()))
    }

    /// Returns the file of requests that broke the exchange.
    pub fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// Returns the blobs' folder, and makes it.
    pub fn blobs(&self) -> anyhow::Result<PathBuf> {
        self.folder("blobs")
    }

    /// Returns the folder of the server's identity, and makes it.
    pub fn tls(&self) -> anyhow::Result<PathBuf> {
        self.folder("tls")
    }

    /// Notes where the exchange can be found.
    pub fn note_whereabouts(&self, whereabouts: &Whereabouts) -> anyhow::Result<()> {
        let path = self.whereabouts_file();
        let json = serde_json::to_string_pretty(whereabouts).context("cannot write JSON")?;
        fs::write(&path, json).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Returns where the exchange can be found.
    pub fn whereabouts(&self) -> anyhow::Result<Whereabouts> {
        let path = self.whereabouts_file();
        let json = fs::read_to_string(&path).with_context(|| {
            let data = self.root.display();
            format!("no exchange has run in {data}; start one with `gavel up --data {data}`")
        })?;
        serde_json::from_str(&json).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Returns the key of a name, and makes one if there is none.
    pub fn key_or_new(&self, name: &str) -> anyhow::Result<SigningKey> {
        if self.has_key(name)? { self.key(name) } else { self.new_key(name) }
    }

    /// Returns the key of a name.
    pub fn key(&self, name: &str) -> anyhow::Result<SigningKey> {
        let path = self.key_file(name)?;
        if !path.exists() {
            let data = self.root.display();
            bail!("no key of {name} in {data}; enrol it with `gavel enrol {name} --data {data}`");
        }
        Ok(SigningKey::from_bytes(&read_secret(&path)?))
    }

    /// Returns the public keys of all names, by name.
    pub fn public_keys(&self) -> anyhow::Result<Vec<(String, PublicKey)>> {
        let folder = self.folder("keys")?;
        let entries = fs::read_dir(&folder);
        let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
        let mut keys = Vec::new();
        for entry in entries {
            let file = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            let file = file.file_name();
            let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".key")) else {
                continue;
            };
            let key = self.key(name)?.verifying_key();
            keys.push((name.to_owned(), PublicKey::new(key.to_bytes())));
        }
        keys.sort_unstable();
        Ok(keys)
    }

    /// Makes the key of a name; readable by its owner only.
    pub fn new_key(&self, name: &str) -> anyhow::Result<SigningKey> {
        let path = self.key_file(name)?;
        self.folder("keys")?;
        Ok(SigningKey::from_bytes(&new_secret(&path)?))
    }

    /// Returns whether there is a key of a name.
    pub fn has_key(&self, name: &str) -> anyhow::Result<bool> {
        Ok(self.key_file(name)?.exists())
    }

    /// Returns what the audit log is kept with. Its key and its secret are made if there is no log yet: files
    /// of their own, readable by their owner only.
    pub fn audit(&self) -> anyhow::Result<AuditConfig> {
        let folder = self.folder("audit")?;
        let has_log = self.has_audit();
        let secret = |file| {
            let path = folder.join(file);
            if has_log && !path.exists() {
                bail!(
                    "{} is gone: without it the audit log cannot be gone on with. Restore it from a \
                     backup; or move {} away to begin another log, with another key",
                    path.display(),
                    folder.display()
                );
            }
            secret_or_new(&path)
        };
        Ok(AuditConfig {
            path: self.audit_store(),
            key: SigningKey::from_bytes(&secret(AUDIT_KEY)?),
            secret: Secret::new(secret(AUDIT_SECRET)?),
        })
    }

    /// Returns whether an audit log was kept here.
    pub fn has_audit(&self) -> bool {
        self.audit_store().exists()
    }

    /// Notes that a projection is kept, and that it has everything up to the command `seq`.
    pub fn note_projected(&self, seq: u64) -> anyhow::Result<()> {
        let path = self.projected_file();
        // Whole or not at all.
        let unfinished = path.with_extension("unfinished");
        let written = fs::write(&unfinished, format!("{seq}\n"));
        let written = written.and_then(|()| fs::rename(&unfinished, &path));
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// Returns up to which command a projection has everything, as it was noted last; none if none is kept.
    pub fn projected(&self) -> anyhow::Result<Option<u64>> {
        let path = self.projected_file();
        let reading = || format!("cannot read {}", path.display());
        let noted = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            noted => noted.with_context(reading)?,
        };
        noted.trim().parse().map(Some).with_context(reading)
    }

    /// Returns the note's file. Without it nothing is kept for a projection.
    pub fn projected_file(&self) -> PathBuf {
        self.root.join("projected")
    }

    /// Returns the audit log's store.
    pub fn audit_store(&self) -> PathBuf {
        self.audit_folder().join("audit.sqlite")
    }

    /// Returns the folder of the audit log.
    pub fn audit_folder(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// Notes under which id a name is enrolled.
    pub fn note_agent(&self, name: &str, agent: AgentId) -> anyhow::Result<()> {
        let path = self.agent_file(name)?;
        fs::write(&path, format!("{agent}\n"))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Returns the agent that is meant by an id, or by a name that was enrolled here.
    pub fn agent(&self, text: &str) -> anyhow::Result<AgentId> {
        if let Ok(agent) = text.parse() {
            return Ok(agent);
        }
        let path = self.agent_file(text)?;
        let id = fs::read_to_string(&path).with_context(|| {
            let data = self.root.display();
            format!("no agent {text} was enrolled from {data}; name it by its id, agent_…")
        })?;
        id.trim().parse().with_context(|| format!("{} is damaged", path.display()))
    }

    /// Logs on to the exchange of this directory.
    pub async fn connect(&self, name: &str) -> anyhow::Result<Client> {
        let key = self.key(name)?;
        let (address, trust) = self.address()?;
        let client = Client::connect(Config::new(address, trust, key)).await;
        client.with_context(|| format!("cannot log on to {address} as {name}"))
    }

    /// Returns where the exchange listens and how to trust it.
    pub fn address(&self) -> anyhow::Result<(SocketAddr, Trust)> {
        let Whereabouts { quic, fingerprint, .. } = self.whereabouts()?;
        let fingerprint: Fingerprint = fingerprint.parse()?;
        Ok((quic, Trust::Fingerprint(fingerprint)))
    }

    fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    fn key_file(&self, name: &str) -> anyhow::Result<PathBuf> {
        self.file_of(name, "key")
    }

    fn agent_file(&self, name: &str) -> anyhow::Result<PathBuf> {
        self.file_of(name, "agent")
    }

    fn file_of(&self, name: &str, what: &str) -> anyhow::Result<PathBuf> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(allowed) {
            bail!("`{name}` is no name for a key: use letters, digits, `-` and `_`");
        }
        Ok(self.root.join("keys").join(format!("{name}.{what}")))
    }

    /// Returns the file that says where the exchange can be found.
    pub fn whereabouts_file(&self) -> PathBuf {
        self.root.join("exchange.json")
    }
}

/// Returns a secret that is kept in a file, and makes one if there is none.
fn secret_or_new(path: &Path) -> anyhow::Result<[u8; 32]> {
    if path.exists() { read_secret(path) } else { new_secret(path) }
}

fn read_secret(path: &Path) -> anyhow::Result<[u8; 32]> {
    let text = fs::read_to_string(path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let seed = HEXLOWER.decode(text.trim().as_bytes()).ok();
    let seed = seed.and_then(|seed| <[u8; 32]>::try_from(seed).ok());
    seed.with_context(|| format!("{} is no key", path.display()))
}

/// Makes a secret in a file that is not there yet; readable by its owner only.
fn new_secret(path: &Path) -> anyhow::Result<[u8; 32]> {
    let seed = random_bytes()?;
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("cannot make {}", path.display()))?;
    writeln!(file, "{}", HEXLOWER.encode(&seed))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(seed)
}

/// Returns 32 bytes from the system's source of randomness.
pub fn random_bytes() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut bytes).context("the system gives no randomness")?;
    Ok(bytes)
}
