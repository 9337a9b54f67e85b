//! Stopping on purpose, and going on afterwards.

use std::time::Instant;

use usher_protocol::feed::Next;

use crate::agent::{Agent, texts};
use crate::house::House;
use crate::phone::Phone;
use crate::shop::Shop;
use crate::wait::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_it_within_five_seconds_and_everything_goes_on() {
    let mut house = House::open(Shop::new("restart", &["anna"])).await;
    let mut anna = Agent::arrives(&house, "anna").await;
    Phone::new(&house, "4915112345678").writes("before").await;
    let enquiry = anna.picks_up().await;
    anna.says(enquiry, "one moment").await.unwrap();

    #[expect(clippy::disallowed_methods, reason = "the time of another process is measured")]
    let told = Instant::now();
    let status = house.terminate().await;
    let took = told.elapsed();
    assert!(status.success(), "{status}");
    assert!(took.as_secs() < 5, "{took:?}");
    let gone = loop {
        if let Err(gone) = anna.hear().await {
            break gone;
        }
    };
    assert_eq!(gone.code, Some(4100), "told to come back");
    assert!(matches!(gone.next, Next::ReconnectLater(_)), "{gone:?}");

    // While it is down the provider tries, and tries again.
    let mut ada = Phone::new(&house, "4915112345678");
    ada.writes("meanwhile").await;
    house.start().await;
    anna.comes_back().await.unwrap();
    assert!(!anna.welcome.as_ref().unwrap().recovered, "a new epoch");
    assert!(anna.heads.iter().any(|head| head.id == enquiry), "still hers");
    // It may come before her or after: the room has it in the end.
    until("message of the meantime", async || {
        let said = texts(&anna.room(enquiry).await);
        let there = said.iter().any(|(_, text)| text == "meanwhile");
        if there { Ok(()) } else { Err(said) }
    })
    .await;
    anna.says(enquiry, "after").await.unwrap();
    ada.gets_text("*anna*\nafter").await;
    let welcomes = ada.texts().into_iter().filter(|text| text.starts_with("Welcome")).count();
    assert_eq!(welcomes, 1, "nothing was said twice");
}
