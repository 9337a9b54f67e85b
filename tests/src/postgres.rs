//! A real PostgreSQL that is there for as long as the tests run, reached by its socket alone unless a
//! test wants more.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::certificates::Issued;
use crate::ports;

/// Who runs it where the tests run as root, which it refuses to run as.
const USER: &str = "postgres";

/// A running server; it ends when this is dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct Server {
    dir: PathBuf,
    programs: PathBuf,
    /// Names its socket, too.
    port: u16,
    keeper: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// The one that all tests of this process share, each in a database of its own.
pub fn shared() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

/// The address of a new, empty database on the shared server.
pub fn database() -> String {
    shared().database()
}

/// As [`database`], where `USHER_TEST_STORE=postgres` asks for it.
pub fn wanted() -> Option<String> {
    let store = std::env::var_os("USHER_TEST_STORE")?;
    assert_eq!(store, "postgres", "USHER_TEST_STORE is postgres, or nothing");
    Some(database())
}

impl Server {
    /// Starts one and waits until it can be used.
    pub fn start() -> Self {
        let programs = programs();
        let dir = tempfile::Builder::new().prefix("usher-postgres-").tempdir();
        // The keeper removes it, also when this process is killed.
        let dir = dir.expect("a temporary directory").keep();
        let script = dir.join("keeper.sh");
        fs::write(&script, include_str!("postgres.sh")).expect("the keeper's script is written");
        let mut command = as_nobody_special(&dir);
        let mut keeper = command
            .arg("/bin/sh")
            .arg(&script)
            .args([&dir, &programs])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the keeper is started");
        let answers = BufReader::new(keeper.stdout.take().expect("it was asked for"));
        let orders = keeper.stdin.take();
        let mut server = Self { dir, programs, port: 5432, keeper, orders, answers };
        server.tell("start");
        server
    }

    /// The address of a new, empty database.
    pub fn database(&self) -> String {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        let name = format!("test{}", NAMES.fetch_add(1, Ordering::Relaxed));
        self.say("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// The address of a new database with all that is in that one now, as a crash would leave it.
    pub fn copy(&self, url: &str) -> String {
        let copy = self.database();
        let client = |program: &str, database: &str| {
            let mut command = Command::new(self.programs.join(program));
            command.args(["-U", "usher", "-p", &self.port.to_string(), "-d", database]);
            command.arg("-h").arg(&self.dir);
            command
        };
        let dumped = client("pg_dump", name_of(url)).output().expect("pg_dump is started");
        assert!(dumped.status.success(), "{}", String::from_utf8_lossy(&dumped.stderr));
        let mut restore = client("psql", name_of(&copy))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("psql is started");
        let mut input = restore.stdin.take().expect("it was asked for");
        input.write_all(&dumped.stdout).expect("psql reads");
        drop(input);
        assert!(restore.wait().expect("psql ends").success(), "the copy of {url} failed");
        copy
    }

    /// Runs SQL in a database of this server's, by PostgreSQL's own client; what it prints.
    pub fn say(&self, database: &str, sql: &str) -> String {
        let said = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "usher"])
            .arg("-h")
            .arg(&self.dir)
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .output()
            .expect("psql is started");
        let error = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.success(), "{sql}: {error}");
        String::from_utf8_lossy(&said.stdout).trim().to_owned()
    }

    fn url(&self, database: &str) -> String {
        let dir = self.dir.to_string_lossy().replace('/', "%2F");
        format!("postgres://usher@{dir}:{}/{database}", self.port)
    }

    /// SIGKILL: no last words, nothing written back.
    pub fn kill(&mut self) {
        self.tell("kill");
    }

    pub fn stop(&mut self) {
        self.tell("stop");
    }

    pub fn start_again(&mut self) {
        self.tell("start");
    }

    /// From now on it takes connections by TCP too, encrypted where they ask for it, as far as these
    /// lines of `pg_hba.conf` let them; the port.
    pub fn listen(&mut self, issued: &Issued, who: &str) -> u16 {
        self.stop();
        let data = self.dir.join("data");
        let port = ports::free();
        self.write("server.crt", &issued.certificate);
        self.write("server.key", &issued.key);
        self.write("pg_hba.conf", &format!("local all all trust\n{who}\n"));
        let settings = fs::read_to_string(data.join("postgresql.conf")).expect("initdb wrote it");
        let more = format!("listen_addresses = '127.0.0.1'\nssl = on\nport = {port}\n");
        self.write("postgresql.conf", &(settings + &more));
        self.port = port;
        self.start_again();
        port
    }

    /// A file of its own, which nobody else may read.
    fn write(&self, name: &str, text: &str) {
        let path = self.dir.join("data").join(name);
        fs::write(&path, text).expect("a file of the server's is written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("it is ours");
        if let Some((user, group)) = nobody_special() {
            chown(&path, Some(user), Some(group)).expect("root may give files away");
        }
    }

    /// Waits until it was done.
    fn tell(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("it takes orders until it is dropped");
        writeln!(orders, "{order}").expect("the keeper lives");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the keeper lives");
        assert_eq!(answer.trim(), "done", "PostgreSQL could not {order}; {}", self.dir.display());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.orders = None;
        // It was told to end; that it does is all that is wanted.
        self.keeper.wait().ok();
    }
}

/// The name of the database in an address.
pub fn name_of(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or(url)
}

/// Debian keeps them beside each other by version; the newest is taken.
fn programs() -> PathBuf {
    let versions =
        fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed: make tools");
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("bin/postgres").exists())
        .max_by_key(|path| number(path))
        .expect("PostgreSQL is installed: make tools");
    newest.join("bin")
}

/// A command that runs as somebody whom PostgreSQL accepts, who also gets the directory.
fn as_nobody_special(dir: &Path) -> Command {
    let Some((user, group)) = nobody_special() else { return Command::new("env") };
    chown(dir, Some(user), Some(group)).expect("root may give directories away");
    let mut command = Command::new("setpriv");
    command.args([
        format!("--reuid={user}"),
        format!("--regid={group}"),
        "--clear-groups".to_owned(),
    ]);
    command
}

/// User and group; `None`: as whom this runs.
fn nobody_special() -> Option<(u32, u32)> {
    (id("-u", None) == 0).then(|| (id("-u", Some(USER)), id("-g", Some(USER))))
}

fn id(which: &str, user: Option<&str>) -> u32 {
    let said = Command::new("id").arg(which).args(user).output().expect("id is there");
    String::from_utf8_lossy(&said.stdout).trim().parse().expect("id says a number")
}
