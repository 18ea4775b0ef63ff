//! What lies between an exchange and its server: cuts the connection where that hurts, and holds back what
//! others are to overtake.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
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

/// What is held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Hold {
    #[default]
    Nothing,
    /// Whatever is sent next.
    Next,
    /// Something that was sent.
    Request,
}

/// Passes everything on, until it is told to cut or to hold.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: PathBuf,
    cut: Mutex<Option<Cut>>,
    passing: Mutex<Passing>,
    passed: Condvar,
    connections: AtomicUsize,
    inserts: AtomicUsize,
}

/// What has passed, and what may not.
#[derive(Default)]
struct Passing {
    hold: Hold,
    requests: Vec<Vec<u8>>,
    answers: usize,
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
            passing: Mutex::default(),
            passed: Condvar::new(),
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

    /// Holds back what is sent next.
    pub fn hold(&self) {
        self.shared.passing.lock().unwrap().hold = Hold::Next;
    }

    /// Waits until something is held back.
    pub fn wait_until_held(&self) {
        drop(self.shared.wait_while(|passing| passing.hold != Hold::Request));
    }

    /// Passes on what is held back.
    pub fn release(&self) {
        self.shared.passing.lock().unwrap().hold = Hold::Nothing;
        self.shared.passed.notify_all();
    }

    /// Returns how many requests have been answered.
    pub fn answers(&self) -> usize {
        self.shared.passing.lock().unwrap().answers
    }

    /// Waits until so many requests have been answered.
    pub fn wait_for_answers(&self, answers: usize) {
        drop(self.shared.wait_while(|passing| passing.answers < answers));
    }

    /// Returns how many requests had these bytes.
    pub fn times_sent(&self, bytes: &[u8]) -> usize {
        let passing = self.shared.passing.lock().unwrap();
        let has_them = |request: &&Vec<u8>| request.windows(bytes.len()).any(|at| at == bytes);
        passing.requests.iter().filter(has_them).count()
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
        let (back, shared) = (way.clone(), self.clone());
        thread::spawn(move || back.answers(&shared));
        thread::spawn(move || self.requests(&way));
    }

    /// Passes on what is sent. One chunk is one request: they are small.
    fn requests(&self, way: &Way) {
        let mut bytes = vec![0; 65_536];
        while let Some(request) = next_of(&way.client, &mut bytes) {
            if request.windows(INSERT.len()).any(|window| window == INSERT) {
                self.inserts.fetch_add(1, Ordering::SeqCst);
            }
            self.pass(request);
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

impl Shared {
    fn wait_while(&self, waits: impl Fn(&Passing) -> bool) -> MutexGuard<'_, Passing> {
        let passing = self.passing.lock().unwrap();
        self.passed.wait_while(passing, |passing| waits(passing)).unwrap()
    }

    /// Notes a request, and waits while it is held back.
    fn pass(&self, request: &[u8]) {
        let mut passing = self.passing.lock().unwrap();
        passing.requests.push(request.to_vec());
        if passing.hold == Hold::Next {
            passing.hold = Hold::Request;
            self.passed.notify_all();
            drop(self.passed.wait_while(passing, |passing| passing.hold == Hold::Request).unwrap());
        }
    }

    fn answered(&self, answer: &[u8]) {
        if answer.ends_with(READY) {
            self.passing.lock().unwrap().answers += 1;
            self.passed.notify_all();
        }
    }
}

impl Way {
    /// Passes on what is answered.
    fn answers(&self, shared: &Shared) {
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
            } else {
                shared.answered(answer);
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
