//! What lies between an exchange and its server, and cuts the connection where that hurts.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// Where the connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The server gets nothing of what is sent next.
    BeforeTheServer,
    /// The server gets half of what is sent next.
    Halfway,
    /// The server gets and does what is sent next; its answer is lost.
    BeforeTheAnswer,
}

/// Passes everything on, until it is told to cut.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: PathBuf,
    cut: Mutex<Option<Cut>>,
    connections: AtomicUsize,
    inserts: AtomicUsize,
}

/// One connection.
struct Way {
    client: TcpStream,
    server: UnixStream,
    answer_is_lost: AtomicBool,
}

/// A server's message that it waits for the next one, outside a transaction.
const READY: &[u8] = b"Z\0\0\0\x05I";

/// What the journal sends once per session that it appends by.
const INSERT: &[u8] = b"INSERT INTO gavel_journal.record";

impl Proxy {
    /// Starts to listen on any port of loopback.
    pub fn start(server: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            server: server.into(),
            cut: Mutex::new(None),
            connections: AtomicUsize::new(0),
            inserts: AtomicUsize::new(0),
        });
        let accepting = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                accepting.clone().connect(client.unwrap());
            }
        });
        Self { port, shared }
    }

    /// Returns where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the connection that is used next.
    pub fn cut(&self, cut: Cut) {
        *self.shared.cut.lock().unwrap() = Some(cut);
    }

    /// Returns how many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Returns by how many sessions the journal has sent records.
    pub fn appending_sessions(&self) -> usize {
        self.shared.inserts.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn connect(self: Arc<Self>, client: TcpStream) {
        self.connections.fetch_add(1, Ordering::SeqCst);
        let Ok(server) = UnixStream::connect(&self.server) else { return };
        let way = Arc::new(Way { client, server, answer_is_lost: AtomicBool::new(false) });
        let back = way.clone();
        thread::spawn(move || back.answers());
        thread::spawn(move || self.requests(&way));
    }

    /// Passes on what is sent. One chunk is one request: they are small.
    fn requests(&self, way: &Way) {
        let mut bytes = vec![0; 65_536];
        while let Some(request) = next_of(&way.client, &mut bytes) {
            if request.windows(INSERT.len()).any(|window| window == INSERT) {
                self.inserts.fetch_add(1, Ordering::SeqCst);
            }
            let sent = match self.cut.lock().unwrap().take() {
                None => request,
                Some(Cut::BeforeTheServer) => &[],
                Some(Cut::Halfway) => &request[..request.len() / 2],
                Some(Cut::BeforeTheAnswer) => {
                    way.answer_is_lost.store(true, Ordering::SeqCst);
                    request
                }
            };
            if (&way.server).write_all(sent).is_err() || sent.len() < request.len() {
                break;
            }
        }
        way.end();
    }
}

impl Way {
    /// Passes on what is answered.
    fn answers(&self) {
        let mut bytes = vec![0; 65_536];
        let mut lost = Vec::new();
        while let Some(answer) = next_of(&self.server, &mut bytes) {
            if self.answer_is_lost.load(Ordering::SeqCst) {
                lost.extend_from_slice(answer);
                // The server has done what it was asked.
                if lost.ends_with(READY) {
                    break;
                }
            } else if (&self.client).write_all(answer).is_err() {
                break;
            }
        }
        self.end();
    }

    fn end(&self) {
        // Either end may be gone.
        drop(self.client.shutdown(Shutdown::Both));
        drop(self.server.shutdown(Shutdown::Both));
    }
}

/// Returns what comes next; `None` at the end.
fn next_of(mut from: impl Read, bytes: &mut [u8]) -> Option<&[u8]> {
    match from.read(bytes) {
        Ok(0) | Err(_) => None,
        Ok(count) => Some(&bytes[..count]),
    }
}
