//! Keeps the audit log up with a journal, and signs heads of it.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use gavel_exchange::Exchange;
use gavel_protocol::{Event, Ranked, RfqClosed};

use super::store::{Entry, Store, Tree};
use super::{AuditError, AuditReader, Place, Rank, Secret, SignedHead};
use crate::curtain::{At, Passed, Receiver};
use crate::follower::{
    Cursor, Follower, Following, Parts, Product, Source, event_text, prove, ranked_text,
};
use crate::limits::{AUDIT_HEAD_EVERY, AUDIT_LEAVES_MAX, IDLE_WAKE_MAX};
use crate::publish::Unheard;
use crate::recovery::RecoveryError;
use crate::replica::Replica;
use crate::run::Status;

/// Why there is a store when something is kept.
const CONNECTED: &str = "it is connected before anything is kept";

/// What an audit log is kept with.
#[derive(Clone)]
pub struct AuditConfig {
    /// The store's file.
    pub path: PathBuf,
    /// Signs the heads.
    pub key: SigningKey,
    /// Event ids and salts are derived from it.
    pub secret: Secret,
}

/// What an audit log came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLog {
    /// The last command that is in it.
    pub seq: u64,
    /// The newest head, of all leaves; none if there are no leaves.
    pub head: Option<SignedHead>,
}

/// The newest head of a running exchange, for whoever publishes it.
#[derive(Clone, Debug, Default)]
pub struct LatestHead(Arc<Mutex<Option<Arc<str>>>>);

/// A notary on a thread of its own. Dropping it lets it go on; [`Notary::stop`] ends it.
pub struct Notary {
    following: Following,
    latest: LatestHead,
}

impl fmt::Debug for AuditConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditConfig").field("path", &self.path).finish_non_exhaustive()
    }
}

impl LatestHead {
    /// Returns the newest head as JSON, if one was signed.
    pub fn json(&self) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn publish(&self, head: &SignedHead) {
        let json = serde_json::to_string(head).expect("a head is a JSON value");
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(json.into());
    }
}

impl AuditLog {
    /// Brings an audit log up to the end of a journal, and signs a head if there is anything new. With
    /// `rebuild` the leaves are made anew, from the first command; heads that were signed stay.
    ///
    /// # Errors
    ///
    /// [`AuditError`]; what was committed stays.
    pub async fn catch_up(
        mut source: Source,
        config: AuditConfig,
        rebuild: bool,
    ) -> Result<Self, AuditError> {
        if rebuild {
            prove_leaves(&mut source, &config).await?;
        }
        let path = config.path.clone();
        let leaves = Leaves { rebuild, ..Leaves::new(config, LatestHead::default()) };
        let cursor = Follower::new(source, Arc::new(Unheard), leaves).catch_up().await?;
        let mut log = AuditReader::open(&path).await?;
        let head = log.latest_head().await?;
        log.close().await?;
        Ok(Self { seq: cursor.seq, head })
    }
}

/// Proves that all leaves can be made again, before any is given up, and that they are of this journal.
async fn prove_leaves(source: &mut Source, config: &AuditConfig) -> Result<(), AuditError> {
    let first = source.journal.read_after(0).await?;
    if let Some(why) = first.as_ref().and_then(RecoveryError::at_beginning) {
        return Err(why.into());
    }
    let mut store = match Store::open_to_read(&config.path).await {
        Ok(store) => store,
        Err(AuditError::NoLog { .. } | AuditError::OtherShape) => return Ok(()),
        Err(error) => return Err(error),
    };
    let cursor = store.cursor().await.map_err(AuditError::Store)?;
    store.close().await.map_err(AuditError::Store)?;
    let beginning = Replica::new(Arc::new(Unheard));
    prove::<Leaves>(&mut *source.journal, beginning, &cursor).await
}

impl Notary {
    /// Starts to follow the journal of a running exchange.
    ///
    /// # Errors
    ///
    /// If a thread cannot be started.
    pub fn start(
        source: Source,
        config: AuditConfig,
        status: Arc<Status>,
    ) -> Result<Self, AuditError> {
        let latest = LatestHead::default();
        let leaves = Leaves::new(config, latest.clone());
        let follower = Follower::new(source, Arc::new(Unheard), leaves);
        let following = Following::start("notary", follower, status);
        Ok(Self { following: following.map_err(AuditError::Spawning)?, latest })
    }

    /// Returns where the newest head can be found.
    pub fn latest_head(&self) -> LatestHead {
        self.latest.clone()
    }

    /// Lets it come to the end of the journal and sign that, unless its store is away, and ends it. To
    /// be called when nothing is appended any more. Waits.
    pub fn stop(self) {
        self.following.stop();
    }
}

/// The leaves of an audit log: those that are kept, and those that are still to be.
struct Leaves {
    config: AuditConfig,
    latest: LatestHead,
    /// Whether the leaves that are there are to be made anew.
    rebuild: bool,
    /// What was received and is not kept yet.
    received: Vec<Entry>,
    /// None while the store is away.
    kept: Option<Kept>,
    /// When this one has last signed.
    signed_at: Option<Instant>,
}

/// What is in the store.
struct Kept {
    store: Store,
    tree: Tree,
    /// How many leaves the newest head is of.
    signed_size: u64,
    /// The head that was the newest when the store was opened, until its root is found again.
    unchecked: Option<SignedHead>,
}

impl Kept {
    /// Checks that the leaves give the root that was signed, if there are as many of them; at the last
    /// time there must be.
    async fn check(&mut self, is_last: bool) -> Result<(), AuditError> {
        let Some(SignedHead { tree_size, root, .. }) = self.unchecked else { return Ok(()) };
        let is_there = tree_size <= self.tree.frontier.size();
        if !is_there && !is_last {
            return Ok(());
        }
        if !is_there || self.store.root(0..tree_size).await.map_err(AuditError::Store)? != root {
            return Err(AuditError::Damaged { tree_size });
        }
        self.unchecked = None;
        Ok(())
    }
}

impl Leaves {
    fn new(config: AuditConfig, latest: LatestHead) -> Self {
        Self { config, latest, rebuild: false, received: Vec::new(), kept: None, signed_at: None }
    }

    /// Makes the leaf of an event, or of an entry of its ranked list.
    fn leaf(&self, at: At, entry: usize, event: String) -> (Rank, Entry) {
        let position = at.position.cast_unsigned();
        let place = Place { position, entry: entry as u64 };
        let Parts { kind, rfq, .. } = Parts::of(&event);
        let (kind, rfq) = (String::from(kind), rfq.map(String::from));
        let (leaf, rank) = self.config.secret.leaf(place, at.ts_event, event);
        (rank, Entry { leaf, kind, rfq })
    }

    /// Adds leaves in an order that says nothing about the one they came in.
    fn add_shuffled(&mut self, mut group: Vec<(Rank, Entry)>) {
        group.sort_unstable_by_key(|(rank, _)| *rank);
        self.received.extend(group.into_iter().map(|(_, entry)| entry));
    }
}

impl Receiver for Leaves {
    const TAKES_STREAMS: bool = false;

    fn receive(&mut self, Passed { at, event, .. }: Passed, ranking: &[Ranked]) {
        let (_, entry) = self.leaf(at, 0, event_text(&event));
        self.received.push(entry);
        if let Event::RfqClosed(RfqClosed { rfq, .. }) = event {
            let entries = (1..).zip(ranking);
            let texts = entries.map(|(entry, ranked)| (entry, ranked_text(rfq, ranked)));
            let group = texts.map(|(entry, text)| self.leaf(at, entry, text)).collect();
            self.add_shuffled(group);
        }
    }

    fn receive_held(&mut self, held: Vec<Passed>) {
        let leaf = |Passed { at, event, .. }| self.leaf(at, 0, event_text(&event));
        let group = held.into_iter().map(leaf).collect();
        self.add_shuffled(group);
    }
}

impl Product for Leaves {
    type Error = AuditError;

    const STORE: &'static str = "the audit log's store";
    const OVER: &'static str = "nothing is added to the audit log any more";

    async fn connect(&mut self) -> Result<Option<Cursor>, AuditError> {
        if self.kept.is_some() {
            return Ok(None);
        }
        let mut store = Store::open(&self.config.path, self.rebuild).await?;
        let cursor = store.cursor().await.map_err(AuditError::Store)?;
        let tree = store.tree().await.map_err(AuditError::Store)?;
        let head = store.latest_head().await.map_err(AuditError::Store)?;
        if let Some(head) = &head {
            self.latest.publish(head);
        }
        let signed_size = head.as_ref().map_or(0, |head| head.tree_size);
        self.rebuild = false;
        self.kept = Some(Kept { store, tree, signed_size, unchecked: head });
        Ok(Some(cursor))
    }

    fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    fn is_full(&self) -> bool {
        self.received.len() >= AUDIT_LEAVES_MAX
    }

    fn forget(&mut self) {
        self.received.clear();
    }

    async fn keep(&mut self, from: &Cursor, to: &Cursor) -> Result<bool, AuditError> {
        let kept = self.kept.as_mut().expect(CONNECTED);
        let added = kept.store.add(&self.received, kept.tree.clone(), from, to).await;
        let Some(tree) = added.map_err(AuditError::Store)? else { return Ok(false) };
        kept.tree = tree;
        Ok(true)
    }

    /// Signs a head if there are new leaves, and the last one was not signed just now.
    async fn tend(&mut self, exchange: &Exchange, is_last: bool) -> Result<Duration, AuditError> {
        let kept = self.kept.as_mut().expect(CONNECTED);
        kept.check(is_last).await?;
        let Tree { frontier, ts_event } = &kept.tree;
        let Some(exchange) = exchange.name() else { return Ok(IDLE_WAKE_MAX) };
        if kept.unchecked.is_some() || frontier.size() == kept.signed_size {
            return Ok(IDLE_WAKE_MAX);
        }
        let since = self.signed_at.map_or(AUDIT_HEAD_EVERY, |at| at.elapsed());
        if !is_last && since < AUDIT_HEAD_EVERY {
            return Ok(AUDIT_HEAD_EVERY - since);
        }
        let (size, root) = (frontier.size(), frontier.root());
        let head = SignedHead::sign(&self.config.key, exchange, size, root, *ts_event);
        kept.store.add_head(&head).await.map_err(AuditError::Store)?;
        kept.signed_size = size;
        self.signed_at = Some(Instant::now());
        self.latest.publish(&head);
        Ok(IDLE_WAKE_MAX)
    }

    fn disconnect(&mut self) {
        self.kept = None;
    }

    async fn close(self) {
        // Everything that was committed is there all the same.
        if let Some(kept) = self.kept
            && let Err(error) = kept.store.close().await
        {
            tracing::debug!(%error, "cannot close the audit log");
        }
    }

    fn is_away(error: &AuditError) -> bool {
        matches!(error, AuditError::Store(_))
    }

    fn not_ours() -> AuditError {
        AuditError::NotOurs
    }
}
