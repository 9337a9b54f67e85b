//! Who is let in, who may see what, and what is refused at the doors.

use serde_json::{Value, json};
use usher_domain::ids::EnquiryId;
use usher_protocol::command::Command;
use usher_protocol::refusal::Code;

use crate::agent::Agent;
use crate::house::House;
use crate::journal::{count, records};
use crate::phone::Phone;
use crate::shop::{Shop, WEBHOOK_SECRET};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_needs_its_secret_and_a_bearable_size() {
    let house = House::open(Shop::new("doors", &["anna"])).await;
    let post = |secret: Option<&str>, body: String| {
        let request = house.http.post(house.hook()).header("content-type", "application/json");
        let request = match secret {
            Some(secret) => request.header("x-usher-secret", secret),
            None => request,
        };
        request.body(body).send()
    };
    let empty = json!({"object": "whatsapp_business_account", "entry": []}).to_string();
    for (secret, status) in [
        (Some(WEBHOOK_SECRET), 200),
        (Some("only-the-provider-knowS"), 401),
        (Some(""), 401),
        (None, 401),
    ] {
        assert_eq!(post(secret, empty.clone()).await.unwrap().status(), status, "{secret:?}");
    }
    let huge = post(Some(WEBHOOK_SECRET), " ".repeat(4 * 1024 * 1024 + 1)).await.unwrap();
    assert_eq!(huge.status(), 413);
    assert_eq!(house.http.get(house.hook()).send().await.unwrap().status(), 200);
    let unreadable = post(Some(WEBHOOK_SECRET), "not json".to_owned()).await.unwrap();
    assert!(!unreadable.status().is_server_error(), "{}", unreadable.status());
    let nowhere = house.url("/hooks/360dialog/chn_000000000000000000000000000000ff");
    let nowhere = house.http.post(nowhere).body(empty).send().await.unwrap();
    assert!(nowhere.status().is_client_error(), "{}", nowhere.status());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_service_never_sees_another() {
    let shops = [Shop::new("here", &["anna"]), Shop::new("there", &["zoe"])];
    let mut house = House::open_with(&shops).await;
    let mut anna = Agent::arrives(&house, "anna").await;
    Phone::new(&house, "4915112345678").writes("for here only").await;
    let enquiry = anna.picks_up().await;

    let path = format!("/v1/enquiries/{enquiry}");
    let nothing = format!("/v1/enquiries/{}", EnquiryId::from_number(1));
    for (name, status) in [("anna", 200), ("ada", 200), ("sam", 200)] {
        let token = house.sign_in(name).await;
        assert_eq!(house.get(&token, &path).await.status(), status, "{name}");
    }
    let token = house.sign_in_to(&shops[1], "zoe").await;
    let theirs = house.sign_in_to(&shops[1], "ada").await;
    for token in [&token, &theirs] {
        let there = house.get(token, &path).await;
        let nowhere = house.get(token, &nothing).await;
        assert_eq!(there.status(), 404);
        assert_eq!(there.text().await.unwrap(), nowhere.text().await.unwrap(), "no difference");
    }
    let mut zoe = Agent::with_token(&house, token).await;
    assert!(zoe.heads.is_empty());
    for command in [
        Command::PickUp { enquiry },
        Command::Join { enquiry },
        Command::Close { enquiry, silent: false, reason: None },
    ] {
        let refused = zoe.order(command.clone()).await.unwrap_err();
        assert!(
            matches!(refused.code, Code::NotFound | Code::Forbidden),
            "{command:?}: {refused:?}"
        );
    }
    let said = zoe.says(enquiry, "hello from over there").await.unwrap_err();
    assert_eq!(said.code, Code::NotFound);

    // A webhook on one channel's address that speaks of another's number changes nothing there.
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{
        "field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "1", "phone_number_id": shops[1].phone_number_id()},
            "contacts": [{"wa_id": "4915199999999"}],
            "messages": [{"from": "4915199999999", "id": "wamid.stray", "timestamp": "1795426200",
                "type": "text", "text": {"body": "astray"}}]}}]}]});
    assert_eq!(house.post_webhook(body.to_string()).await.unwrap(), 200);
    assert!(house.terminate().await.success());
    let records = records(&house.store());
    let opened =
        count(&records, |event| matches!(event, usher_domain::record::Event::EnquiryOpened { .. }));
    assert_eq!(opened, 1, "only the one here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_are_enforced_on_every_command() {
    let house = House::open(Shop::new("roles", &["anna", "ben"])).await;
    let mut anna = Agent::arrives(&house, "anna").await;
    let mut ben = Agent::arrives(&house, "ben").await;
    let mut sam = Agent::arrives(&house, "sam").await;
    Phone::new(&house, "4915112345678").writes("hello").await;
    let enquiry = anna.picks_up().await;
    let not_his = [
        Command::TakeOver { enquiry },
        Command::Monitor { enquiry },
        Command::Note { enquiry, text: "psst".to_owned() },
        Command::Close { enquiry, silent: true, reason: None },
    ];
    for command in not_his {
        assert!(ben.order(command.clone()).await.is_err(), "{command:?}");
    }
    sam.order(Command::Monitor { enquiry }).await.unwrap();
    sam.order(Command::TakeOver { enquiry }).await.unwrap();
    anna.says(enquiry, "still mine?").await.unwrap_err();

    let question = json!({"channel": house.shop.channel(), "presence": "everyone"});
    let path = "/v1/routing/explain";
    assert_eq!(house.post(&anna.token, path, &question).await.status(), 403);
    let explained: Value = house.post(&sam.token, path, &question).await.json().await.unwrap();
    assert!(!explained["steps"].as_array().unwrap().is_empty(), "{explained}");
    assert_eq!(house.post("nobody's token", path, &question).await.status(), 401);
}
