//! A private PostgreSQL server: made in a temporary directory, reached by a socket there, gone with
//! its owner.
//!
//! It depends on nothing else here, so that the tests of other crates can take it in by its path.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tempfile::TempDir;

/// A private server. Dropping it stops it.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    databases: AtomicU32,
}

/// A fresh database of a server.
#[derive(Debug)]
pub struct Database {
    /// Its server.
    pub cluster: Arc<Cluster>,
    name: String,
}

/// The server that the tests of one process share while they run.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// Where Debian puts the programs, by version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Who runs it, if root asks for it: the server refuses to run as root.
const USER: &str = "postgres";

impl Cluster {
    /// Makes a server and starts it.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is not installed, or does not start.
    pub fn start() -> Arc<Self> {
        let programs = programs().expect("install PostgreSQL: `cargo xtask test` does on Debian");
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            run(Command::new("chown").arg(USER).arg(folder.path()));
        }
        let cluster = Self { folder, programs, databases: AtomicU32::new(0) };
        let make = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale"];
        run(cluster.command("initdb").args(make).arg("--username").arg(USER));
        cluster.control("start");
        Arc::new(cluster)
    }

    /// Returns the server that the tests of this process share, and starts it if there is none.
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Self::start();
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    /// Makes a database.
    pub fn database(self: &Arc<Self>) -> Database {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let database = Database { cluster: self.clone(), name };
        self.query("postgres", &format!("CREATE DATABASE {}", database.name));
        database
    }

    /// Stops the server as a crash would, and starts it again.
    pub fn crash_and_restart(&self) {
        self.control("restart");
    }

    /// Stops the server as a crash would.
    pub fn crash(&self) {
        self.control("stop");
    }

    /// Starts the server after a crash.
    pub fn start_again(&self) {
        self.control("start");
    }

    /// Returns the socket's path.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    /// Returns the folder of the socket, and what identifies a database in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs statements in a database, and returns what they return.
    pub fn query(&self, database: &str, statements: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.arg("--host").arg(self.folder.path()).args(["--username", USER]);
        psql.args(["--dbname", database, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        run(psql.args(["--set", "ON_ERROR_STOP=1", "--command", statements]))
    }

    fn control(&self, what: &str) {
        let mut control = self.command("pg_ctl");
        control.args(["--wait", "--silent", "--mode=immediate"]);
        let folder = self.folder.path();
        control.arg("--log").arg(folder.join("log"));
        let socket = format!("-c listen_addresses= -k {}", folder.display());
        control.args(["--options", &socket]);
        // Whoever reads this process's output is not to wait for the server's.
        run(control.arg(what).stdout(Stdio::null()).stderr(Stdio::null()));
    }

    /// Returns a command over the server's data, run by whoever may.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["--user", USER, "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.arg("--pgdata").arg(self.folder.path().join("data"));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        stop.args(["--wait", "--silent", "--mode=immediate", "stop"]);
        // It may have been stopped before.
        drop(stop.stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}

impl Database {
    /// Makes a database of the server that the tests of this process share.
    pub fn shared() -> Self {
        Cluster::shared().database()
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        let folder = self.cluster.folder().display();
        format!("postgres:///{}?host={folder}&user={USER}", self.name)
    }

    /// Returns its address by way of a port on loopback.
    pub fn url_by(&self, port: u16) -> String {
        format!("postgres://{USER}@127.0.0.1:{port}/{}", self.name)
    }

    /// Runs statements, and returns what they return.
    pub fn query(&self, statements: &str) -> String {
        self.cluster.query(&self.name, statements)
    }

    /// Ends all sessions with it but those of this kind.
    pub fn end_sessions(&self) {
        let ended = self.query(
            "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name <> 'psql'",
        );
        assert!(ended.parse::<u32>().is_ok(), "{ended}");
    }
}

/// Returns whether there is a server that could be started.
pub fn is_installed() -> bool {
    programs().is_some()
}

/// Returns the folder of the server's programs.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).ok();
    let versions = versions.into_iter().flatten().flatten();
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, folder)| folder.join("initdb").exists())
        .collect();
    folders.sort();
    let newest = folders.pop().map(|(_, folder)| folder);
    newest.or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|folder| folder.join("initdb").exists())
    })
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Runs a command that must succeed, and returns what it prints.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
