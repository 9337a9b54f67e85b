//! Records in PostgreSQL: moved there from files, and what happens while it is gone.

use std::process::Command;

use usher_domain::record::Event;
use usher_tests::postgres::{Server, database};

use crate::agent::{Agent, texts};
use crate::disk::webhook;
use crate::house::House;
use crate::journal::{count, records};
use crate::phone::Phone;
use crate::shop::Shop;
use crate::wait::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_files_is_moved_and_everything_goes_on() {
    let mut house = House::build(&[Shop::new("moved", &["anna"])], |_| ());
    house.is_kept_in(None);
    house.start().await;
    let mut anna = Agent::arrives(&house, "anna").await;
    Phone::new(&house, "4915112345678").writes("before").await;
    let enquiry = anna.picks_up().await;
    anna.says(enquiry, "one moment").await.unwrap();
    let url = database();
    let migrate = |from: &str, to: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
        command.args(["migrate", from, to]).output().unwrap()
    };
    let from = format!("sqlite://{}", house.data().display());
    let refused = migrate(&from, &url);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("in use by another process"), "{why}");
    assert!(house.terminate().await.success());
    let before = house.archive();

    let moved = migrate(&from, &url);
    assert!(moved.status.success(), "{}", String::from_utf8_lossy(&moved.stderr));
    let again = migrate(&from, &url);
    let why = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && why.contains("not empty"), "{why}");
    house.is_kept_in(Some(url));
    assert_eq!(house.archive(), before);

    house.start().await;
    anna.comes_back().await.unwrap();
    let said = texts(&anna.room(enquiry).await);
    assert!(said.iter().any(|(_, text)| text == "before"), "{said:?}");
    anna.says(enquiry, "after").await.unwrap();
    Phone::new(&house, "4915112345678").gets_text("*anna*\nafter").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_200_while_the_database_is_gone_and_nothing_is_lost() {
    let mut server = Server::start();
    let mut house = House::build(&[Shop::new("gone", &["anna"])], |_| ());
    house.is_kept_in(Some(server.database()));
    house.start().await;
    let mut kept = Vec::new();
    for n in 0..20 {
        kept.push(format!("wamid.before-{n}"));
        assert_eq!(house.post_webhook(webhook(&house, &kept[n])).await.unwrap(), 200);
    }
    server.kill();
    for n in 0..10 {
        let during = format!("wamid.during-{n}");
        let status = house.post_webhook(webhook(&house, &during)).await.unwrap();
        assert_eq!(status, 503, "post {n} while there is no database");
    }
    server.start_again();
    let mut n = 0;
    until("200 after the database is back", async || {
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
