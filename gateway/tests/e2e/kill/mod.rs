//! SIGKILL at random moments under load, again and again; afterwards nothing is lost, nothing
//! happened twice, nothing came early, and the archive can be made anew from the journal.

mod judge;
mod staff;
mod visitors;

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use usher_sandbox::ReceiptsOptions;

use crate::house::House;
use crate::shop::Shop;
use crate::wait::until_within;
use judge::{Facts, Verdict};
use staff::Staff;
use visitors::Visitors;

const KILLS: u32 = 22;
const AGENTS: usize = 10;
const CHANNELS: u32 = 16;
/// Seconds: short, so that clocks run out between two kills.
const IDLE: u32 = 1;
const GRACE: u32 = 1;

fn shop() -> Shop {
    let names: Vec<String> = (0..AGENTS).map(|n| format!("agent{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut shop = Shop::new("kill", &names);
    shop.capacity = 200;
    // A number carries 80 messages a second, in and out together.
    shop.channels = CHANNELS;
    shop.auto_close = Some((IDLE, GRACE));
    shop
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_happens_twice() {
    let receipts = ReceiptsOptions { auto_delivered: false, auto_read: false, delay_ms: (5, 20) };
    let mut house = House::build(&[shop()], |options| options.receipts = receipts);
    house.start().await;
    visitors::introduce(&house).await;

    let (stop, stopped) = watch::channel(false);
    let visitors = Arc::new(Visitors::new(&house));
    let posting = visitors::start(&visitors, &stopped);
    let staff = Staff::start(&house, AGENTS, &stopped).await;

    let began = Instant::now();
    let mut up = Duration::ZERO;
    for kill in 0..KILLS {
        let life = Duration::from_millis(rand::random_range(900..2_600));
        sleep(life).await;
        up += life;
        house.kill();
        println!("kill {kill}: {} posts answered 200", visitors.acknowledged());
        house.start().await;
    }
    // Long enough for clocks that were set back by the last start.
    sleep(Duration::from_secs(4)).await;
    up += Duration::from_secs(4);
    println!(
        "{KILLS} kills in {:.0} s; while up: {:.0} webhooks/s answered 200 ({:.0}/s tried), {:.0} agent commands/s",
        began.elapsed().as_secs_f64(),
        per_second(visitors.acknowledged(), up),
        per_second(visitors.tried(), up),
        per_second(staff.commands(), up),
    );
    let posted = per_second(visitors.acknowledged(), up);
    let ordered = per_second(staff.commands(), up);

    stop.send(true).unwrap();
    for poster in posting {
        poster.await.unwrap();
    }
    let said = staff.finish().await;
    drained(&house).await;
    assert!(house.terminate().await.success());

    let facts = Facts::gather(&house, &visitors, said).await;
    let verdict = Verdict::of(&facts, IDLE, GRACE);
    println!("{verdict}");
    assert!(verdict.is_clean(), "{verdict:#?}\n{}", verdict.evidence(&facts));
    rebuilt(&house);
    // The load is printed, not asserted: how fast a machine is says nothing about what it keeps.
    println!("aimed at 500 webhooks/s and 50 commands/s; had {posted:.0} and {ordered:.0}");
    assert!(posted > 0.0 && ordered > 0.0, "nothing was under way");
}

fn per_second(count: u64, time: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / time.as_secs_f64()
}

/// Ambiguous sends wait a minute for a receipt.
async fn drained(house: &House) {
    until_within(Duration::from_mins(3), "empty outbox", async || {
        let pending = house.metric("usher_outbound_pending").await;
        if pending == 0.0 { Ok(()) } else { Err(pending) }
    })
    .await;
}

/// The archive thrown away, and made anew, says the same.
fn rebuilt(house: &House) {
    let before = house.archive();
    for file in fs::read_dir(house.data()).unwrap().filter_map(Result::ok) {
        if file.file_name().to_string_lossy().starts_with("archive") {
            fs::remove_file(file.path()).unwrap();
        }
    }
    assert!(house.command("rebuild").success());
    let after = house.archive();
    assert!(before.lines().count() > 1_000, "there is something to compare");
    let differs = before.lines().zip(after.lines()).find(|(old, new)| old != new);
    assert!(before == after, "rebuilt archive differs: {differs:?}");
    println!("rebuilt: {} rows, the same", after.lines().count());
}
