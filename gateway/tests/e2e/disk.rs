//! What the disk is asked for, and what happens when it does not do it.

use std::fs;
use std::process::{Child, Command, Stdio};

use usher_domain::record::Event;
use usher_engine::Clock;

use crate::house::{House, has, signal};
use crate::journal::{count, records};
use crate::shop::Shop;
use crate::wait::until;

/// Every system call of the program that makes something durable.
const SYNCS: &str = "fsync,fdatasync";

/// strace on the running program, until it is dropped.
struct Trace(Child);

impl Trace {
    async fn attach(house: &House, arguments: &[&str]) -> Self {
        assert!(has("strace"), "this test needs strace (apt-get install strace)");
        let pid = house.pid();
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-y", "-o"])
            .arg(house.path("trace"))
            .args(arguments)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("thread under trace", async || {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            let free = threads.filter_map(Result::ok).filter(|thread| {
                let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
                status.lines().any(|line| line == "TracerPid:\t0")
            });
            match free.count() {
                0 => Ok(()),
                free => Err(free),
            }
        })
        .await;
        Self(strace)
    }

    fn detach(mut self) {
        signal(self.0.id(), "INT");
        self.0.wait().unwrap();
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub(crate) fn webhook(house: &House, wamid: &str) -> String {
    let seconds = Clock::system().now().millis() / 1000;
    serde_json::json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{
        "field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "1", "phone_number_id": house.shop.phone_number_id()},
            "contacts": [{"profile": {"name": "Ada"}, "wa_id": "4915112345678"}],
            "messages": [{"from": "4915112345678", "id": wamid, "timestamp": seconds.to_string(),
                "type": "text", "text": {"body": wamid}}]}}]}]})
    .to_string()
}

async fn a_disk_that_fails(error: &str) {
    let mut shop = Shop::new("disk", &["anna"]);
    // Nothing but the webhooks writes.
    shop.welcome = false;
    let mut house = House::open(shop).await;
    let mut kept = Vec::new();
    for n in 0..5 {
        let wamid = format!("wamid.before-{n}");
        assert_eq!(house.post_webhook(webhook(&house, &wamid)).await.unwrap(), 200);
        kept.push(wamid);
    }
    let inject = format!("inject={SYNCS}:error={error}");
    let trace = Trace::attach(&house, &["-e", &format!("trace={SYNCS}"), "-e", &inject]).await;
    for n in 0..20 {
        let status =
            house.post_webhook(webhook(&house, &format!("wamid.during-{n}"))).await.unwrap();
        assert_eq!(status, 503, "post {n} while nothing can be made durable ({error})");
    }
    trace.detach();
    let failed = fs::read_to_string(house.path("trace")).unwrap();
    assert!(failed.contains("(INJECTED)"), "a sync did fail: {failed}");

    // The disk is back: so is the service, by itself.
    let mut n = 0;
    until("200 after the disk is back", async || {
        n += 1;
        let wamid = format!("wamid.after-{n}");
        match house.post_webhook(webhook(&house, &wamid)).await.unwrap() {
            status if status == 200 => {
                kept.push(wamid);
                Ok(())
            }
            status => Err(status),
        }
    })
    .await;
    house.kill();
    let records = records(&house.store());
    for wamid in &kept {
        let there = count(&records, |event| match event {
            Event::MessageReceived(message) => message.provider_id == *wamid,
            _ => false,
        });
        assert_eq!(there, 1, "{wamid} was answered 200");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_200_while_fdatasync_fails_with_eio() {
    a_disk_that_fails("EIO").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_200_while_fdatasync_fails_for_want_of_space() {
    a_disk_that_fails("ENOSPC").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_commit_of_the_journal_is_one_sync() {
    let mut shop = Shop::new("syncs", &["anna"]);
    shop.welcome = false;
    let house = House::open(shop).await;
    assert_eq!(house.post_webhook(webhook(&house, "wamid.first")).await.unwrap(), 200);
    let trace = Trace::attach(&house, &["-e", &format!("trace={SYNCS}")]).await;
    // Both counts are taken while every sync is seen.
    let before = house.metric("usher_journal_commit_seconds_count").await;
    for n in 0..50 {
        let wamid = format!("wamid.sync-{n}");
        assert_eq!(house.post_webhook(webhook(&house, &wamid)).await.unwrap(), 200);
    }
    let commits = house.metric("usher_journal_commit_seconds_count").await - before;
    trace.detach();
    let log = fs::read_to_string(house.path("trace")).unwrap();
    let of_journal = log.lines().filter(|line| line.contains("journal.db")).count();
    let syncs = f64::from(u32::try_from(of_journal).unwrap());
    println!("{commits} commits, {syncs} syncs of the journal: {:.2} each", syncs / commits);
    assert!(commits >= 50.0, "one after the other: each post waits for its own commit");
    assert!(syncs >= commits, "each commit is durable");
    assert!(syncs <= commits * 1.1 + 4.0, "and costs no more than one sync");
}
