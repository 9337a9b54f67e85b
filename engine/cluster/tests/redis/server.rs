//! A Redis of our own: on a socket in a directory that goes with it, or on a free port.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use usher_cluster::{Leases, Nodes, Redis, RedisOptions};
use usher_domain::ownership::placement::NodeId;

pub(crate) const LEASE: Duration = Duration::from_secs(5);

pub(crate) struct Server {
    child: Option<Child>,
    pub(crate) dir: TempDir,
    arguments: Vec<String>,
    /// What a client says to reach it.
    pub(crate) address: String,
}

impl Server {
    /// On a socket of its own, and keeping nothing.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("redis.sock").display().to_string();
        let address = format!("redis+unix://{socket}");
        Self::run(dir, address, ["--port", "0", "--unixsocket", &socket].map(String::from)).await
    }

    /// On a port, which is free, with more settings.
    pub(crate) async fn on_port(port: u16, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = ["--bind", "127.0.0.1", "--port", &port.to_string()].map(String::from);
        let more = more.iter().map(|text| (*text).to_owned());
        let arguments = own.into_iter().chain(more);
        Self::run(dir, format!("redis://127.0.0.1:{port}"), arguments).await
    }

    async fn run(
        dir: TempDir,
        address: String,
        arguments: impl IntoIterator<Item = String>,
    ) -> Self {
        let place = dir.path().display().to_string();
        let quiet = ["--save", "", "--appendonly", "no", "--dir", &place].map(String::from);
        let arguments = quiet.into_iter().chain(arguments).collect();
        let mut server = Self { child: None, dir, arguments, address };
        server.again().await;
        server
    }

    /// Starts it; what was in memory is gone.
    pub(crate) async fn again(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let child = Command::new("redis-server")
            .args(&self.arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        for _ in 0..200 {
            if self.cli(&["PING"]).trim() == "PONG" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("redis-server does not answer");
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// What another client, which shares no code with us, is told.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        match self.address.split_once("unix://") {
            Some((_, socket)) => command.args(["-s", socket]),
            None => command.args(["-p", self.address.rsplit_once(':').unwrap().1]),
        };
        let output = command.args(words).stderr(Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn redis(&self) -> Redis {
        connect(&self.address)
    }

    pub(crate) fn leases(&self, node: &str) -> Leases {
        Leases::new(self.redis(), name(node), LEASE)
    }

    pub(crate) fn nodes(&self, node: &str) -> Nodes {
        Nodes::new(self.redis(), name(node), 1, LEASE)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn connect(address: &str) -> Redis {
    Redis::new(RedisOptions {
        address: address.parse().unwrap(),
        password: None,
        certificates: None,
        patience: Duration::from_secs(1),
    })
}

pub(crate) fn name(node: &str) -> NodeId {
    NodeId(node.into())
}

/// Asks again until it is answered; a server that has just come back is not known to everybody.
pub(crate) async fn eventually<T, E: std::fmt::Debug>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let mut last = None;
    for _ in 0..400 {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: {last:?}");
}
