//! Who gets what, and who may do what.

use std::time::Duration;

use serde_json::json;

use super::{Shop, enquiry_of, stores};

#[actix::test]
async fn writing_to_a_missed_enquiry_takes_it_up() {
    tokio::time::pause();
    let mut shop = Shop::open().await;
    shop.write("wamid.1", "Anybody?").await.unwrap();
    tokio::time::sleep(Duration::from_hours(1)).await;
    let enquiry = shop.enquiries().await[0].clone();
    assert_eq!(enquiry.state, "missed");
    let enquiry = enquiry.enquiry;
    let _anna = shop.connect("Anna", 1).await;
    shop.does("Anna", json!({ "presence.set": { "presence": "busy" } })).await.unwrap();
    let send = json!({ "send": {
        "enquiry": enquiry, "key": "k1", "content": { "kind": "text", "body": "Here I am." } } });
    shop.does("Anna", send).await.unwrap();
    let row = shop.enquiries().await[0].clone();
    assert_eq!((row.state.as_str(), row.owner), ("followed_up", Some(shop.staff("Anna"))));
    let sent = shop.sent_by_now().await;
    assert!(sent.iter().any(|text| text.ends_with("Here I am.")), "{sent:?}");
}

#[actix::test]
async fn a_visitor_is_changed_only_by_who_serves_them() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    let _ben = shop.connect("Ben", 2).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let visitor = shop.enquiries().await[0].visitor;
    let opt_out = json!({ "opt_out": { "visitor": visitor, "on": true } });
    assert_eq!(shop.does("Ben", opt_out.clone()).await, Err("not_found".into()));
    shop.does("Anna", opt_out).await.unwrap();
}

#[actix::test]
async fn how_things_are_is_told_after_the_welcome() {
    tokio::time::pause();
    let shop = Shop::open().await;
    shop.write("wamid.1", "Anybody?").await.unwrap();
    let _ben = shop.connect("Ben", 2).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut anna = shop.connect("Anna", 1).await;
    let (mut presence, mut waiting) = (false, false);
    while !(presence && waiting) {
        let now = anna.frame().await.to_string();
        presence |= now.contains("Ben Moss") || now.contains("\"presence\"") && now.contains("Ben");
        waiting |= now.contains("\"waiting\":1");
    }
}

#[actix::test]
async fn a_former_owner_reads_what_was_said_until_then() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Before").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let _sam = shop.connect("Sam", 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.does("Sam", json!({ "take_over": { "enquiry": enquiry } })).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.write("wamid.2", "After").await.unwrap();
    let history = json!({ "history": { "enquiry": enquiry } });
    let sees = async |staff: &str| {
        let page = shop.does(staff, history.clone()).await.unwrap().to_string();
        (page.contains("Before"), page.contains("After"))
    };
    assert_eq!(sees("Sam").await, (true, true));
    assert_eq!(sees("Anna").await, (true, false));
    assert_eq!(shop.does("Ben", history.clone()).await, Err("not_found".into()));
    let nowhere = json!({ "history": { "enquiry": usher_domain::ids::EnquiryId::from_number(9) } });
    assert_eq!(shop.does("Ben", nowhere).await, Err("not_found".into()));
    // The same after a restart, and once it is closed.
    shop.breaks(super::Break::Router).await;
    shop.until_ready().await;
    assert_eq!(sees("Anna").await, (true, false), "after a restart");
    shop.does("Sam", json!({ "close": { "enquiry": enquiry } })).await.unwrap();
    assert_eq!(sees("Sam").await, (true, true));
    assert_eq!(sees("Anna").await, (true, false), "once it is closed");
    assert_eq!(shop.does("Ben", history.clone()).await, Err("not_found".into()));
}

#[actix::test]
async fn who_looks_on_is_seen_by_nobody() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    shop.does("Sam", json!({ "monitor": { "enquiry": enquiry } })).await.unwrap();
    shop.does("Anna", json!({ "label": { "enquiry": enquiry, "label": "vip" } })).await.unwrap();
    let updated = loop {
        let updated = anna.event("enquiry.updated").await;
        if updated.to_string().contains("vip") {
            break updated;
        }
    };
    assert!(!updated.to_string().contains("Sam"), "{updated}");
}

#[actix::test]
async fn signing_out_with_enquiries_needs_a_word_on_them() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    let mut ben = shop.connect("Ben", 2).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    ben.event("enquiry.withdrawn").await;
    let refused = shop.does("Anna", json!({ "sign_out": {} })).await;
    assert_eq!(refused, Err("holds_enquiries".into()));
    shop.does("Anna", json!({ "sign_out": { "held": "hand_over" } })).await.unwrap();
    assert_eq!(enquiry_of(&ben.event("enquiry.offered").await), enquiry);
}

#[actix::test]
async fn who_lets_two_offers_lapse_is_idle_until_they_say_otherwise() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    for number in 0..2 {
        let wa_id = format!("49151000000{number}");
        let update = super::from(&wa_id, &format!("wamid.{number}"), "Hello?");
        shop.deliver(vec![update]).await.unwrap();
    }
    while !anna.frame().await.to_string().contains("no_answer") {}
    let active = json!({ "presence.set": { "presence": "active" } });
    shop.does("Anna", active).await.unwrap();
    shop.write("wamid.9", "Now?").await.unwrap();
    anna.event("enquiry.offered").await;
}

#[actix::test]
async fn who_comes_back_is_told_what_they_missed_and_nothing_twice() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let (epoch, last) = anna.position().await;
    shop.engine.detach(shop.service(), shop.staff("Anna"), crate::ConnectionId(1));
    shop.write("wamid.2", "Still there?").await.unwrap();
    shop.write("wamid.3", "Well?").await.unwrap();
    let resume = serde_json::from_value(json!({ "epoch": epoch, "offset": last })).unwrap();
    let mut anna = shop.connect_at("Anna", 2, Some(resume)).await;
    let welcome = anna.frame().await;
    assert_eq!(welcome["welcome"]["recovered"], true, "{welcome}");
    let mut at = last;
    for text in ["Still there?", "Well?"] {
        loop {
            let frame = anna.frame().await;
            let Some(next) = frame["at"].as_u64() else { continue };
            assert_eq!(next, at + 1, "{frame}");
            at = next;
            if frame["event"] == "message.received" {
                assert_eq!(frame["data"]["message"]["content"]["body"], text);
                break;
            }
        }
    }
}

#[actix::test]
async fn what_waits_is_shown_to_all_of_its_group_as_it_happens() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut ben = shop.connect("Ben", 2).await;
    shop.does("Ben", json!({ "presence.set": { "presence": "busy" } })).await.unwrap();
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let waiting = ben.event("enquiry.updated").await;
    assert_eq!(
        (&waiting["enquiry"]["as"], &waiting["enquiry"]["state"]),
        (&json!("waiting"), &json!("open"))
    );
    assert_eq!(waiting["enquiry"]["first_message"], "Hello?");
    assert_eq!(waiting["enquiry"]["visitor"]["phone"], json!(null), "a head shows no number");
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    assert_eq!(enquiry_of(&waiting), enquiry);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let taken = ben.event("enquiry.picked_up").await;
    assert_eq!((enquiry_of(&taken), &taken["enquiry"]["as"]), (enquiry, &json!("gone")));
    // And once more for another one, with nobody free to be asked.
    shop.does("Anna", json!({ "presence.set": { "presence": "busy" } })).await.unwrap();
    shop.deliver(vec![super::from("4915100000001", "wamid.2", "Anybody?")]).await.unwrap();
    let waiting = ben.event("enquiry.updated").await;
    assert_eq!(waiting["enquiry"]["first_message"], "Anybody?");
    let told = anna.told_by_now().await;
    assert!(!told.iter().any(|name| name == "message.received"), "{told:?}");
}

#[actix::test]
async fn supervisors_change_visitors_of_their_groups_only() {
    tokio::time::pause();
    let mut settings = Shop::settings();
    let sales = settings.groups.values().find(|group| group.name == "Sales").unwrap().id;
    for person in settings.staff.values_mut().filter(|person| person.first_name == "Sam") {
        person.supervises = vec![sales];
    }
    let shop = Shop::set(stores::fresh(), 100, settings.clone()).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let visitor = shop.enquiries().await[0].visitor;
    for command in [
        json!({ "block": { "visitor": visitor } }),
        json!({ "opt_out": { "visitor": visitor, "on": true } }),
        json!({ "language": { "visitor": visitor, "language": "de" } }),
    ] {
        assert_eq!(shop.does("Sam", command.clone()).await, Err("not_found".into()), "{command}");
        shop.does("Ada", command).await.unwrap();
    }
    // The same person, set over the group that the enquiry went to.
    for person in settings.staff.values_mut().filter(|person| person.first_name == "Sam") {
        person.supervises = settings.groups.keys().copied().collect();
    }
    let shop = Shop::set(stores::fresh(), 100, settings).await;
    shop.write("wamid.1", "Hello?").await.unwrap();
    let visitor = shop.enquiries().await[0].visitor;
    shop.does("Sam", json!({ "block": { "visitor": visitor } })).await.unwrap();
}

#[actix::test]
async fn a_former_owner_sees_files_that_came_until_then() {
    tokio::time::pause();
    let shop = Shop::open().await;
    let mut anna = shop.connect("Anna", 1).await;
    shop.write("wamid.1", "Before").await.unwrap();
    let enquiry = enquiry_of(&anna.event("enquiry.offered").await);
    shop.does("Anna", json!({ "pick_up": { "enquiry": enquiry } })).await.unwrap();
    let _sam = shop.connect("Sam", 2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.does("Sam", json!({ "take_over": { "enquiry": enquiry } })).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    shop.write("wamid.2", "After").await.unwrap();
    shop.enquiries().await;
    let said: Vec<_> = shop.heard_in(enquiry).iter().map(|row| row.at).collect();
    let sight = async |staff| shop.engine.sight(shop.service(), shop.staff(staff), enquiry).await;
    let sees = async |staff| {
        let sight = sight(staff).await.unwrap();
        said.iter().map(|at| sight.shows(*at)).collect::<Vec<_>>()
    };
    assert_eq!(sees("Sam").await, [true, true]);
    assert_eq!(sees("Anna").await, [true, false]);
    assert_eq!(sees("Ben").await, [false, false]);
}
