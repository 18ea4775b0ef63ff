//! The client itself: a handle that is cheap to clone, over a session that survives connections.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use gavel_protocol::{
    Accepted, Book, CapabilityEntry, CapabilityId, ClientId, ClientMessage, Codec, Command,
    LogonAnswer, MassQuote, Query, QueryKind, RejectReason, ServerMessage, SetStandingQuote,
    Statement, TimestampNs, Topic,
};
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::config::Config;
use crate::connection::{Connector, Socket, drive};
use crate::error::{ClientError, CommandError};
use crate::feed::{EventStream, Feed};
use crate::limits::LOGOUT_WAIT_MAX;
use crate::pending::{Answer, Pending};
use crate::session::{Request, Session};
use crate::signing::Signer;

/// A logged-on agent. Clones share one session; it ends with [`Client::close`] or with its last
/// clone, subscription and pending answer.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Ends the connection's task when the last one who could use it is gone.
struct Handle {
    shared: Arc<Shared>,
    codec: Codec,
    signer: Signer,
    /// Whether whatever can be signed is.
    signs: bool,
    client_id_base: u128,
    client_ids: AtomicU64,
}

/// What clients and the connection's task share.
pub(crate) struct Shared {
    session: Mutex<Session>,
    /// There are frames to write.
    pub(crate) outgoing: Notify,
    /// There is room for further requests.
    pub(crate) room: Notify,
    /// Nobody needs the connection any more.
    pub(crate) stop: Notify,
    /// Whether there is a connection.
    pub(crate) link: watch::Sender<Link>,
}

/// Whether there is a connection.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// There is.
    Up(quinn::Connection),
    /// There will be.
    Down,
    /// There will be none any more.
    Ended(ClientError),
}

impl Client {
    /// Connects over a socket of its own and logs on.
    ///
    /// # Errors
    ///
    /// Why there is no session; nothing is tried twice before the first logon.
    pub async fn connect(config: Config) -> Result<Self, ClientError> {
        Self::connect_over(&Socket::open()?, config).await
    }

    /// Connects over a socket that clients share, and logs on: for many agents in one process.
    ///
    /// # Errors
    ///
    /// The same as [`Client::connect`].
    pub async fn connect_over(socket: &Socket, config: Config) -> Result<Self, ClientError> {
        let (codec, signs, key) = (config.codec, config.signs, config.key.clone());
        let connector = Connector::new(socket, config)?;
        let logon = connector.log_on(None).await?;
        let signer = Signer::new(&key, logon.exchange);
        let mut session = Session::new(codec, logon.identity.clone());
        session.connected(logon.identity.clone());
        let shared = Arc::new(Shared {
            session: Mutex::new(session),
            outgoing: Notify::new(),
            room: Notify::new(),
            stop: Notify::new(),
            link: watch::Sender::new(Link::Up(logon.connection.clone())),
        });
        tokio::spawn(drive(Arc::clone(&shared), connector, logon));
        let mut random: SmallRng = rand::make_rng();
        let client_id_base = u128::from(random.next_u64()) << 16;
        let client_ids = AtomicU64::new(0);
        let handle = Arc::new(Handle { shared, codec, signer, signs, client_id_base, client_ids });
        Ok(Self { handle })
    }

    /// Returns what the last logon said: agent, account, roles, session.
    pub fn identity(&self) -> LogonAnswer {
        self.session().identity().clone()
    }

    /// Returns how often a lost connection was replaced.
    pub fn reconnects(&self) -> u64 {
        self.session().reconnects()
    }

    /// Returns a new number for a command: the wall clock's milliseconds, a random number of this
    /// client, and a counter.
    pub fn next_client_id(&self) -> ClientId {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        let count = self.handle.client_ids.fetch_add(1, Ordering::Relaxed);
        let unique = self.handle.client_id_base.wrapping_add(u128::from(count));
        ClientId::from_parts(TimestampNs::from_nanos(nanos), unique)
    }

    /// Returns what signs for this agent: for commands that go through [`Client::send`], which
    /// sends them as they are.
    pub fn signer(&self) -> &Signer {
        &self.handle.signer
    }

    /// Returns whether whatever can be signed is: see `Config::signs`.
    pub(crate) fn signs(&self) -> bool {
        self.handle.signs
    }

    /// Sends a command now, or as soon as there is a connection; waits only while too many are
    /// unanswered.
    ///
    /// # Errors
    ///
    /// If the client has ended.
    pub async fn send(&self, command: Command) -> Result<Pending, ClientError> {
        self.ask(Request::Command(command)).await.map(Pending::new)
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    ///
    /// If it was rejected, or the client ended before the answer came.
    pub async fn call(&self, command: Command) -> Result<Accepted, CommandError> {
        self.send(command).await?.await
    }

    /// Asks for the agent's state.
    ///
    /// # Errors
    ///
    /// If it was rejected, or the client ended before the answer came.
    pub async fn statement(&self) -> Result<Statement, CommandError> {
        let answer = self.query(QueryKind::Statement).await?;
        if let ServerMessage::Statement(statement) = answer {
            return Ok(statement);
        }
        Err(CommandError::of(answer))
    }

    /// Asks for every listed capability, page after page.
    ///
    /// # Errors
    ///
    /// If it was rejected, or the client ended before the answer came.
    pub async fn capabilities(&self) -> Result<Vec<CapabilityEntry>, CommandError> {
        let mut capabilities: Vec<CapabilityEntry> = Vec::new();
        loop {
            let after = capabilities.last().map(|entry| entry.capability);
            let answer = self.query(QueryKind::Capabilities(after)).await?;
            let ServerMessage::CapabilityList(page) = answer else {
                return Err(CommandError::of(answer));
            };
            let more = page.more && !page.capabilities.is_empty();
            capabilities.extend(page.capabilities);
            if !more {
                return Ok(capabilities);
            }
        }
    }

    /// Asks for a capability's book: what its stream goes on from, at the number `next`.
    ///
    /// # Errors
    ///
    /// If it was rejected, or the client ended before the answer came.
    pub async fn book(&self, capability: CapabilityId) -> Result<Book, CommandError> {
        let answer = self.query(QueryKind::Book(capability)).await?;
        let ServerMessage::Book(book) = answer else { return Err(CommandError::of(answer)) };
        Ok(book)
    }

    /// Sets or replaces many standing quotes. Returns for each line why it was rejected, or nothing
    /// if it was accepted.
    ///
    /// # Errors
    ///
    /// If all of it was rejected unread, or the client ended before the answer came.
    pub async fn mass_quote(
        &self,
        lines: Vec<SetStandingQuote>,
    ) -> Result<Vec<Option<RejectReason>>, CommandError> {
        let command = Command::MassQuote(MassQuote { lines });
        let answer = self.ask(Request::Command(command)).await?.await?;
        let ServerMessage::MassQuoteAnswer(answer) = answer else {
            return Err(CommandError::of(answer));
        };
        Ok(answer.results)
    }

    /// Subscribes to a topic: from the number `from`, or from whatever comes next. Returns once the
    /// server has agreed.
    ///
    /// # Errors
    ///
    /// If it was rejected, there is a subscription to the topic already, or the client has ended.
    pub async fn subscribe(
        &self,
        topic: Topic,
        from: Option<u64>,
    ) -> Result<EventStream, CommandError> {
        let feed = Arc::new(Feed::new(topic, from));
        self.session().subscribe(Arc::clone(&feed))?;
        self.handle.shared.outgoing.notify_one();
        EventStream::open(self.clone(), feed).await
    }

    /// Logs out and closes the connection. Whatever is unanswered fails with
    /// [`ClientError::LoggedOut`], in every clone.
    pub async fn close(self) {
        let said = self.session().log_out();
        self.handle.shared.outgoing.notify_one();
        if !said || timeout(LOGOUT_WAIT_MAX, self.ended()).await.is_err() {
            self.handle.shared.stop.notify_one();
            self.ended().await;
        }
    }

    /// Waits until the client has ended for good, and returns why.
    pub async fn ended(&self) -> ClientError {
        let mut link = self.handle.shared.link.subscribe();
        match link.wait_for(|link| matches!(link, Link::Ended(_))).await.as_deref() {
            Ok(Link::Ended(error)) => error.clone(),
            Ok(Link::Up(_) | Link::Down) | Err(_) => ClientError::LoggedOut,
        }
    }

    pub(crate) fn codec(&self) -> Codec {
        self.handle.codec
    }

    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        self.handle.shared.session()
    }

    pub(crate) fn unsubscribe(&self, feed: &Arc<Feed>) {
        self.session().unsubscribe(feed);
        self.handle.shared.outgoing.notify_one();
    }

    /// Waits for a connection other than `lost`.
    pub(crate) async fn connection(
        &self,
        lost: Option<&quinn::Connection>,
    ) -> Result<quinn::Connection, ClientError> {
        let lost = lost.map(quinn::Connection::stable_id);
        let mut link = self.handle.shared.link.subscribe();
        let usable = |link: &Link| match link {
            Link::Up(connection) => Some(connection.stable_id()) != lost,
            Link::Down => false,
            Link::Ended(_) => true,
        };
        match link.wait_for(usable).await.as_deref() {
            Ok(Link::Up(connection)) => Ok(connection.clone()),
            Ok(Link::Ended(error)) => Err(error.clone()),
            Ok(Link::Down) | Err(_) => Err(ClientError::LoggedOut),
        }
    }

    async fn query(&self, kind: QueryKind) -> Result<ServerMessage, CommandError> {
        let query = Request::Message(ClientMessage::Query(Query { kind }));
        Ok(self.ask(query).await?.await?)
    }

    async fn ask(&self, request: Request) -> Result<Answer, ClientError> {
        let shared = &self.handle.shared;
        loop {
            // Made before the look, so that room made after it is not missed.
            let room = shared.room.notified();
            {
                let mut session = shared.session();
                if session.has_room()? {
                    let quiet = !session.has_outgoing();
                    let slot = session.ask(request);
                    drop(session);
                    if quiet {
                        shared.outgoing.notify_one();
                    }
                    return Ok(Answer::new(self.clone(), slot));
                }
            }
            room.await;
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.identity();
        f.debug_struct("Client")
            .field("agent", &identity.agent)
            .field("session", &identity.session)
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
    }
}

impl Shared {
    pub(crate) fn session(&self) -> MutexGuard<'_, Session> {
        // A panic under this lock is a broken invariant in the task that had it. The others go on
        // to find the same one rather than a poisoned lock.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
