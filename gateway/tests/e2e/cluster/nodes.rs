//! Two nodes of the same house, their Redis, and their database.

use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};

use reqwest::StatusCode;
use serde_json::Value;
use usher_tests::postgres;

use crate::house::{House, free_port, signal};
use crate::shop::{Shop, WEBHOOK_SECRET};
use crate::wait::until;

/// Short, so that the tests are, and long enough for a machine with much to do.
pub(super) const LEASE: &str = "3s";
/// What the nodes know each other by.
pub(super) const SECRET: &str = "a-secret-between-the-nodes";

pub(super) struct Nodes {
    pub(super) house: House,
    redis: Option<Child>,
    database: String,
    /// Before a service goes to a node that has come later.
    rebalance_after: &'static str,
    /// What else is set, for each of them.
    pub(super) also: [Vec<String>; 2],
    each: Vec<Node>,
}

pub(super) struct Node {
    pub(super) name: String,
    pub(super) port: u16,
    /// For the other node.
    between: u16,
    child: Option<Child>,
}

impl Nodes {
    /// Two that run; the first has the service.
    pub(super) async fn start(shop: Shop) -> Self {
        Self::start_on(shop, postgres::database()).await
    }

    /// On a database of one's own.
    pub(super) async fn start_on(shop: Shop, database: String) -> Self {
        let mut nodes = Self::first(&[shop], database, "1h").await;
        nodes.run(1);
        nodes.stands_by(1).await;
        nodes
    }

    /// The first of two, which has all services.
    pub(super) async fn first(
        shops: &[Shop],
        database: String,
        rebalance_after: &'static str,
    ) -> Self {
        let mut nodes = Self::to_be_run(shops, database, rebalance_after).await;
        nodes.run(0);
        nodes.has(0, shops.len()).await;
        nodes
    }

    /// None of them runs.
    pub(super) async fn to_be_run(
        shops: &[Shop],
        database: String,
        rebalance_after: &'static str,
    ) -> Self {
        let house = House::build(shops, |_| ());
        let each = ["one", "two"].map(Node::new).into();
        let also = Default::default();
        let mut nodes = Self { house, redis: None, database, rebalance_after, also, each };
        nodes.start_redis().await;
        nodes
    }

    /// With whatever the one before has written down.
    pub(super) async fn start_redis(&mut self) {
        let (dir, socket) = (self.house.path("redis"), self.house.path("redis.sock"));
        fs::create_dir_all(&dir).unwrap();
        let redis = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            .arg("--dir")
            .arg(dir)
            .arg("--unixsocket")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.redis = Some(redis);
        until("Redis", async || if socket.exists() { Ok(()) } else { Err("no socket") }).await;
    }

    pub(super) fn kill_redis(&mut self) {
        let mut redis = self.redis.take().expect("it runs");
        redis.kill().unwrap();
        redis.wait().unwrap();
        fs::remove_file(self.house.path("redis.sock")).unwrap();
    }

    /// All that a Redis that was killed would have come back with.
    pub(super) fn forget_redis(&self) {
        fs::remove_dir_all(self.house.path("redis")).unwrap();
    }

    pub(super) fn run(&mut self, at: usize) {
        let house = &self.house;
        let node = &mut self.each[at];
        assert!(node.child.is_none(), "it runs already");
        let log = fs::File::options().create(true).append(true).open(house.path(&node.name));
        let log = log.unwrap();
        // The second shows what the house looks at.
        let metrics = if at == 1 { format!("127.0.0.1:{}", house.metrics) } else { String::new() };
        let set = [
            format!("http.bind=127.0.0.1:{}", node.port),
            format!("metrics.bind={metrics}"),
            format!("data_dir={}", house.path(&format!("data-{}", node.name)).display()),
            format!("store.url={}", self.database),
            format!("cluster.redis=redis+unix://{}", house.path("redis.sock").display()),
            format!("cluster.node={}", node.name),
            format!("cluster.bind=127.0.0.1:{}", node.between),
            format!("cluster.lease={LEASE}"),
            format!("cluster.rebalance_after={}", self.rebalance_after),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
        command.arg("--config").arg(house.path("usher.toml"));
        for set in set.iter().chain(&self.also[at]) {
            command.arg("--set").arg(set);
        }
        command.env("USHER_CLUSTER_SECRET", SECRET);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        node.child = Some(command.spawn().unwrap());
    }

    pub(super) fn url(&self, at: usize, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.each[at].port)
    }

    /// At the listener between nodes.
    pub(super) fn between(&self, at: usize, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.each[at].between)
    }

    /// Whatever the house asks from now on, it asks this one.
    pub(super) fn go_through(&mut self, at: usize) {
        self.house.port = self.each[at].port;
    }

    async fn ready(&self, at: usize) -> Result<(StatusCode, Value), String> {
        let asked = self.house.http.get(self.url(at, "/readyz")).send().await;
        let answer = asked.map_err(|error| format!("{error:?}\n{}", self.log(at)))?;
        let status = answer.status();
        Ok((status, answer.json().await.unwrap_or_default()))
    }

    /// Which runs the service.
    pub(super) async fn is_ready(&self, at: usize) {
        self.has(at, 1).await;
    }

    /// So many services.
    pub(super) async fn has(&self, at: usize, services: usize) {
        self.says_of_itself(at, StatusCode::OK, |told| told["here"] == services).await;
    }

    /// How many services it runs.
    pub(super) async fn counted(&self, at: usize) -> Result<u64, String> {
        let (_, told) = self.ready(at).await?;
        told["here"].as_u64().ok_or_else(|| told.to_string())
    }

    /// It has nothing, and knows who has the service, who answers it.
    pub(super) async fn stands_by(&self, at: usize) {
        let other = format!("{}/", self.each[1 - at].name);
        self.says_of_itself(at, StatusCode::OK, |told| {
            let elsewhere = told["elsewhere"].as_object();
            told["here"] == 0
                && elsewhere.is_some_and(|all| {
                    all.iter().any(|(node, of)| node.starts_with(&other) && of["answers"] == true)
                })
                && told["inbox"] == true
        })
        .await;
    }

    /// Waits until a node says of itself what `fits`.
    pub(super) async fn says_of_itself(
        &self,
        at: usize,
        expected: StatusCode,
        fits: impl Fn(&Value) -> bool,
    ) {
        until("node that says what is expected", async || {
            let (status, told) = self.ready(at).await?;
            if status == expected && fits(&told) {
                return Ok(());
            }
            Err(format!("{status} {told}\n{}", self.log(at)))
        })
        .await;
    }

    /// A message as the provider would deliver it to one of them.
    pub(super) async fn deliver(
        &self,
        at: usize,
        wamid: &str,
    ) -> reqwest::Result<reqwest::Response> {
        self.post(at, crate::disk::webhook(&self.house, wamid)).await
    }

    pub(super) async fn post(&self, at: usize, body: String) -> reqwest::Result<reqwest::Response> {
        let hook = self.url(at, &format!("/hooks/360dialog/{}", self.house.shop.channel()));
        let request = self.house.http.post(hook).header("content-type", "application/json");
        request.header("x-usher-secret", WEBHOOK_SECRET).body(body).send().await
    }

    pub(super) async fn takes(&self, at: usize, wamid: &str) -> bool {
        self.deliver(at, wamid).await.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    /// Webhooks that come to the second node go to the owner by a standing connection.
    pub(super) async fn has_a_link(&self) {
        let mut tries = 0;
        until("standing connection to the owner", async || {
            tries += 1;
            assert!(self.takes(1, &format!("wamid.link-{tries}")).await);
            let links = self.house.metric("usher_relay_links").await;
            if links > 0.0 { Ok(()) } else { Err(self.log(1)) }
        })
        .await;
        let by_links =
            async || self.house.metric("usher_relay_seconds_count{by=\"connection\"}").await;
        let (mut posts, before) = (0, by_links().await);
        while posts < 8 {
            posts += 1;
            assert!(self.takes(1, &format!("wamid.by-link-{posts}")).await);
            assert_eq!(self.kept(&format!("wamid.by-link-{posts}")), 1);
        }
        assert!(by_links().await >= before + 8.0);
        assert!(self.house.metric("usher_relay_refused_total").await < 1.0);
    }

    /// How often a message stands in the journal.
    pub(super) fn kept(&self, wamid: &str) -> u32 {
        let sql = format!(
            "SELECT count(*) FROM usher.journal WHERE body LIKE '%message_received%' AND body LIKE '%\"{wamid}\"%'"
        );
        self.says(&sql).parse().unwrap()
    }

    pub(super) fn epoch(&self) -> u64 {
        self.says("SELECT max(epoch) FROM usher.heads").parse().unwrap()
    }

    /// For how many milliseconds nobody else may claim the services.
    pub(super) fn held_for(&self) -> u64 {
        let left = "extract(epoch FROM held_until - clock_timestamp()) * 1000";
        let sql = format!("SELECT coalesce(max(greatest(0, {left})), 0)::bigint FROM usher.heads");
        self.says(&sql).parse().unwrap()
    }

    /// As another node does that has the services now, behind Redis's back.
    pub(super) fn raise_epoch(&self) {
        self.says("UPDATE usher.heads SET epoch = epoch + 1");
    }

    /// As a number, without holding up what else the test does.
    pub(super) async fn counts(&self, what: &'static str) -> u32 {
        let name = postgres::name_of(&self.database).to_owned();
        let sql = format!("SELECT {what}");
        let said = tokio::task::spawn_blocking(move || postgres::shared().say(&name, &sql)).await;
        said.unwrap().parse().unwrap()
    }

    /// What the database says.
    pub(super) fn says(&self, sql: &str) -> String {
        let name = self.database.rsplit('/').next().unwrap();
        let name = name.split('?').next().unwrap();
        postgres::shared().say(name, sql)
    }

    pub(super) fn signal(&self, at: usize, name: &str) {
        signal(self.each[at].child.as_ref().expect("it runs").id(), name);
    }

    pub(super) fn kill(&mut self, at: usize) {
        let mut child = self.each[at].child.take().expect("it runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// It is killed while the others are asked: whoever does both has it in hand.
    pub(super) fn take_child(&mut self, at: usize) -> Child {
        self.each[at].child.take().expect("it runs")
    }

    pub(super) async fn terminate(&mut self, at: usize) -> ExitStatus {
        self.signal(at, "TERM");
        let mut child = self.each[at].child.take().expect("it runs");
        until("end after SIGTERM", async || match child.try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err(self.log(at)),
        })
        .await
    }

    pub(super) fn redis_says(&self, words: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        let said = command.arg("-s").arg(self.house.path("redis.sock")).args(words).output();
        let said = said.unwrap();
        assert!(said.status.success());
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }

    /// Who has the services, under its whole name.
    pub(super) fn holder(&self) -> String {
        let lease = self.redis_says(&["KEYS", "usher:*:lease"]);
        let held = self.redis_says(&["GET", &lease]);
        let holder = held.split_once(' ').map(|(_, holder)| holder.to_owned());
        holder.unwrap_or_else(|| panic!("nobody holds it: {held}"))
    }

    pub(super) fn log(&self, at: usize) -> String {
        fs::read_to_string(self.house.path(&self.each[at].name)).unwrap_or_default()
    }
}

impl Node {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), port: free_port(), between: free_port(), child: None }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        let nodes = self.each.iter_mut().filter_map(|node| node.child.as_mut());
        for child in nodes.chain(self.redis.as_mut()) {
            child.kill().ok();
            child.wait().ok();
        }
        if std::thread::panicking() {
            for at in 0..self.each.len() {
                eprintln!("--- {} ---\n{}", self.each[at].name, self.log(at));
            }
        }
    }
}
