//! The client against a real local server.

#![expect(clippy::unwrap_used, reason = "a helper of tests that fails has failed the test")]

use std::time::Duration;

use bytes::Bytes;
use dialog360::client::{
    CallError, Client, Endpoint, Http, HttpOptions, SendOutcome, Sendability, TemplateState,
    WebhookConfig,
};
use dialog360::errors::Class;
use dialog360::media::{DigestCheck, Kind};
use dialog360::outbound::{Content, Message, Prepared, Recipient};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const KEY: &str = "secret-key-1";

/// What the server does with one request.
enum Reply {
    Answer(String),
    /// Reads the request and hangs up.
    HangUp,
    /// Reads the request and never answers.
    Silence,
}

fn answer(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Answer(format!(
        "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
    ))
}

fn ok(body: &str) -> Reply {
    answer("200 OK", "", body)
}

/// A server that gives these answers in turn, and hands out what it was asked.
struct Server {
    base: String,
    requests: mpsc::Receiver<String>,
}

impl Server {
    async fn start(replies: impl Fn(&str) -> Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let replies = replies(&base);
        let (sender, requests) = mpsc::channel(64);
        tokio::spawn(async move {
            let mut silent = Vec::new();
            for reply in replies {
                let (mut stream, _) = listener.accept().await.unwrap();
                sender.send(read_request(&mut stream).await).await.unwrap();
                match reply {
                    Reply::Answer(text) => stream.write_all(text.as_bytes()).await.unwrap(),
                    Reply::HangUp => {}
                    Reply::Silence => silent.push(stream),
                }
            }
            // Connections that are not answered stay open until the test ends.
            std::future::pending::<()>().await;
        });
        Self { base, requests }
    }

    fn client(&self) -> Client {
        client(Endpoint::new(&self.base).unwrap())
    }

    async fn asked(&mut self) -> String {
        self.requests.recv().await.unwrap()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let length = |head: &str| {
            let (_, rest) = head.split_once("content-length: ")?;
            rest.lines().next()?.parse::<usize>().ok()
        };
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            body.len() >= length(head).unwrap_or_default()
                && (!head.contains("chunked") || body.ends_with("0\r\n\r\n"))
        });
        if whole || count == 0 {
            return text;
        }
    }
}

fn http() -> Http {
    // Another test of this process may have been first.
    rustls::crypto::ring::default_provider().install_default().ok();
    let options = HttpOptions { timeout: Duration::from_millis(300), ..HttpOptions::default() };
    Http::new(&options).unwrap()
}

fn client(endpoint: Endpoint) -> Client {
    Client::new(&http(), endpoint, &SecretString::from(KEY)).unwrap()
}

fn hello() -> Prepared {
    let to = Recipient::Phone("+49 151 12345678".to_owned());
    let text = Content::Text { body: "Hello".to_owned(), preview_url: false };
    Message::new(to, text).with_callback_data("s1:m1").prepare().unwrap()
}

const ACCEPTED: &str = r#"{"messaging_product":"whatsapp",
    "contacts":[{"input":"+4915112345678","wa_id":"4915112345678","user_id":"DE.1"}],
    "messages":[{"id":"wamid.NEW","message_status":"accepted"}]}"#;

#[tokio::test]
async fn a_message_is_accepted() {
    let mut server = Server::start(|_| vec![answer("201 Created", "", ACCEPTED)]).await;
    let SendOutcome::Accepted(accepted) = server.client().send(&hello()).await else { panic!() };
    assert_eq!(accepted.message_id, "wamid.NEW");
    assert_eq!(accepted.wa_id.as_deref(), Some("4915112345678"));
    assert_eq!(accepted.user_id.as_deref(), Some("DE.1"));
    let asked = server.asked().await;
    assert!(asked.starts_with("POST /messages HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("d360-api-key: secret-key-1\r\n"), "{asked}");
    assert!(asked.contains("user-agent: usher/"), "{asked}");
    assert!(asked.contains(r#""biz_opaque_callback_data":"s1:m1""#), "{asked}");
    assert!(asked.contains(r#""to":"4915112345678""#), "{asked}");
}

#[tokio::test]
async fn the_sandbox_has_another_path() {
    let mut server = Server::start(|_| vec![ok(ACCEPTED)]).await;
    let endpoint = Endpoint::new(&server.base).unwrap().with_versioned_messages();
    assert!(matches!(client(endpoint).send(&hello()).await, SendOutcome::Accepted(_)));
    assert!(server.asked().await.starts_with("POST /v1/messages HTTP/1.1\r\n"));
}

#[tokio::test]
async fn refusals_say_what_to_do_and_when() {
    let body = r#"{"error":{"message":"(#130429) Rate limit hit","code":130429}}"#;
    let server =
        Server::start(|_| vec![answer("400 Bad Request", "retry-after: 7\r\n", body)]).await;
    let SendOutcome::Failed(failure) = server.client().send(&hello()).await else { panic!() };
    assert_eq!(failure.class, Class::RateLimitedNumber);
    assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
}

#[tokio::test]
async fn an_error_that_calls_itself_success_is_one_of_refusal() {
    let server = Server::start(|_| vec![ok(r#"{"error":{"code":131047}}"#)]).await;
    let SendOutcome::Failed(failure) = server.client().send(&hello()).await else { panic!() };
    assert_eq!(failure.class, Class::WindowLapsed);
}

#[tokio::test]
async fn what_leaves_the_outcome_open_is_ambiguous() {
    let gateway = || answer("502 Bad Gateway", "", "<html>");
    let cut = || Reply::Answer("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"mess".to_owned());
    let replies = || vec![Reply::HangUp, gateway(), cut(), ok("{}"), ok("fine"), Reply::Silence];
    let server = Server::start(|_| replies()).await;
    let client = server.client();
    for number in 0..replies().len() {
        let outcome = client.send(&hello()).await;
        assert!(matches!(outcome, SendOutcome::Ambiguous(_)), "{number}: {outcome:?}");
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let outcome = client(Endpoint::new(&base).unwrap()).send(&hello()).await;
    assert!(matches!(outcome, SendOutcome::NotSent(CallError::NotSent(_))), "{outcome:?}");
    let nowhere = Endpoint::new("http://no-such-host.invalid").unwrap();
    let outcome = client(nowhere).send(&hello()).await;
    assert!(matches!(outcome, SendOutcome::NotSent(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_message_is_marked_as_read_and_typing_is_shown() {
    let success = r#"{"success":true}"#;
    let mut server = Server::start(|_| vec![ok(success), ok(success)]).await;
    server.client().mark_read("wamid.IN").await.unwrap();
    server.client().show_typing("wamid.IN").await.unwrap();
    assert!(server.asked().await.contains(r#""status":"read""#));
    assert!(server.asked().await.contains(r#""typing_indicator":{"type":"text"}"#));
}

const PATH: &str = "/whatsapp_business/attachments/?mid=13%2F3&ext=17+1&hash=ARs_-=~";

fn info(size: &str) -> Reply {
    ok(&format!(
        r#"{{"url":"https:\/\/lookaside.fbsbx.com{PATH}","mime_type":"image/jpeg",
        "sha256":"ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=","file_size":{size},"id":"55"}}"#
    ))
}

#[tokio::test]
async fn media_come_from_our_base_byte_for_byte() {
    let mut server = Server::start(|_| vec![info("\"3\""), ok("abc")]).await;
    let file = server.client().fetch_media("55", 1_000).await.unwrap();
    assert_eq!((file.bytes.as_ref(), file.digest), (&b"abc"[..], DigestCheck::Matches));
    assert_eq!(file.mime_type.as_deref(), Some("image/jpeg"));
    assert!(server.asked().await.starts_with("GET /55 HTTP/1.1\r\n"));
    let asked = server.asked().await;
    assert!(asked.starts_with(&format!("GET {PATH} HTTP/1.1\r\n")), "{asked}");
    assert!(asked.contains("d360-api-key: secret-key-1\r\n"));
}

#[tokio::test]
async fn an_address_that_ran_out_is_asked_for_once_more() {
    let gone = || answer("404 Not Found", "", "");
    let server = Server::start(|_| vec![info("3"), gone(), info("3"), ok("abd")]).await;
    let file = server.client().fetch_media("55", 1_000).await.unwrap();
    assert_eq!(file.digest, DigestCheck::Differs);
    let mut server = Server::start(|_| vec![info("3"), gone(), info("3"), gone()]).await;
    let error = server.client().fetch_media("55", 1_000).await.unwrap_err();
    assert!(matches!(error, CallError::Refused(failure) if failure.http_status == 404));
    for _ in 0..4 {
        server.asked().await;
    }
    assert!(server.requests.try_recv().is_err(), "no fifth request");
}

#[tokio::test]
async fn files_have_a_limit_announced_or_not() {
    let server = Server::start(|_| vec![info("3")]).await;
    let error = server.client().fetch_media("55", 2).await.unwrap_err();
    assert!(matches!(error, CallError::TooLarge { limit: 2 }), "{error:?}");
    let unannounced = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let replies = || vec![ok("abc"), Reply::Answer(unannounced.to_owned())];
    let server = Server::start(|_| replies()).await;
    for _ in 0..2 {
        let error = server.client().download(PATH, 2, None).await.unwrap_err();
        assert!(matches!(error, CallError::TooLarge { limit: 2 }), "{error:?}");
    }
}

#[tokio::test]
async fn redirects_are_followed_only_to_our_base() {
    let found = |to: &str| answer("302 Found", &format!("location: {to}\r\n"), "");
    let mut server = Server::start(|base| {
        let elsewhere = format!("{base}/moved");
        vec![found(&elsewhere), ok("abc"), found("https://evil.example/x")]
    })
    .await;
    let client = server.client();
    assert_eq!(client.download(PATH, 9, None).await.unwrap().bytes.as_ref(), b"abc");
    server.asked().await;
    assert!(server.asked().await.starts_with("GET /moved "));
    let error = client.download(PATH, 9, None).await.unwrap_err();
    assert!(matches!(error, CallError::ForeignHost), "{error:?}");
    let error = client.download("https://evil.example/x", 9, None).await.unwrap_err();
    assert!(matches!(error, CallError::ForeignHost), "{error:?}");
}

#[tokio::test]
async fn files_are_uploaded_as_forms() {
    let mut server = Server::start(|_| vec![ok(r#"{"id":"4490709327384033"}"#)]).await;
    let file = Bytes::from_static(b"%PDF-");
    let client = server.client();
    let id = client.upload(Kind::Document, "application/pdf", "a.pdf", file.clone()).await;
    assert_eq!(id.unwrap(), "4490709327384033");
    let asked = server.asked().await;
    assert!(asked.starts_with("POST /media HTTP/1.1\r\n"));
    assert!(asked.contains("name=\"messaging_product\"\r\n\r\nwhatsapp\r\n"), "{asked}");
    assert!(asked.contains("name=\"file\"; filename=\"a.pdf\"\r\nContent-Type: application/pdf"));
    assert!(asked.contains("%PDF-"));
    let unfit = client.upload(Kind::Image, "application/pdf", "a.pdf", file).await;
    assert!(matches!(unfit, Err(CallError::Unfit(_))));
}

#[tokio::test]
async fn templates_are_read_page_after_page_in_both_shapes() {
    let ours = |offset: usize, name: &str| {
        ok(&format!(
            r#"{{"count":1,"limit":1,"offset":{offset},"total":2,"waba_templates":[{{"name":"{name}",
            "language":"en_US","category":"utility","status":"approved","rejected_reason":"NONE",
            "components":[{{"type":"BODY","text":"Hi"}}]}}]}}"#
        ))
    };
    let mut server = Server::start(|_| vec![ours(0, "one"), ours(1, "two")]).await;
    let all = server.client().templates().await.unwrap();
    let names: Vec<_> = all.iter().map(|template| template.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(all[0].state, TemplateState::Approved);
    assert_eq!(all[0].category.as_deref(), Some("UTILITY"));
    assert_eq!(all[0].components[0]["text"], "Hi");
    server.asked().await;
    assert!(server.asked().await.starts_with("GET /v1/configs/templates?offset=1&limit=100 "));
    let meta = |next: &str| {
        ok(&format!(
            r#"{{"data":[{{"id":"7","name":"x","language":"de","status":"PAUSED"}}],
            "paging":{{"cursors":{{"after":"a=b"}}{next}}}}}"#
        ))
    };
    let mut server = Server::start(|_| vec![meta(r#","next":"https://x""#), meta("")]).await;
    let all = server.client().templates().await.unwrap();
    assert_eq!((all.len(), &all[0].state), (2, &TemplateState::Paused));
    server.asked().await;
    assert!(server.asked().await.starts_with("GET /v1/configs/templates?after=a%3Db&limit=100 "));
}

#[tokio::test]
async fn the_webhook_is_set_and_read() {
    let body = r#"{"url":"https://hooks.example.com/wa/7","headers":{"Authorization":"Basic x"}}"#;
    let mut server = Server::start(|_| vec![ok(body), ok(body)]).await;
    let config = WebhookConfig {
        url: "https://hooks.example.com/wa/7".to_owned(),
        headers: [("Authorization".to_owned(), SecretString::from("Basic x"))].into(),
    };
    let set = server.client().set_webhook(&config).await.unwrap();
    assert_eq!(set.url, config.url);
    let asked = server.asked().await;
    assert!(asked.starts_with("POST /v1/configs/webhook "));
    assert!(asked.contains(r#""headers":{"Authorization":"Basic x"}"#), "{asked}");
    let read = server.client().webhook().await.unwrap();
    assert_eq!(read.headers["Authorization"].expose_secret(), "Basic x");
    assert!(!format!("{read:?}").contains("Basic x"));
}

#[tokio::test]
async fn health_is_that_of_the_worst_part() {
    let body = r#"{"health_status":{"can_send_message":"AVAILABLE","entities":[
        {"entity_type":"PHONE_NUMBER","id":"1","can_send_message":"AVAILABLE"},
        {"entity_type":"WABA","id":"2","can_send_message":"LIMITED","errors":[
        {"error_code":141006,"error_description":"No card","possible_solution":"Add one"}]}]}}"#;
    let server = Server::start(|_| vec![ok(body)]).await;
    let health = server.client().health().await.unwrap();
    assert_eq!(health.overall, Sendability::Limited);
    assert_eq!(health.entities[1].errors[0].code, Some(141_006));
}

#[tokio::test]
async fn the_key_shows_nowhere() {
    let server = Server::start(|_| vec![answer("401 Unauthorized", "", "")]).await;
    let client = server.client();
    let outcome = client.send(&hello()).await;
    let SendOutcome::Failed(failure) = &outcome else { panic!() };
    assert_eq!(failure.class, Class::StopChannel);
    for text in [format!("{client:?}"), format!("{:?}", http()), format!("{outcome:?}")] {
        assert!(!text.contains(KEY), "{text}");
    }
    let bad = Client::new(&http(), Endpoint::new("http://x").unwrap(), &"a\nb".into());
    assert!(bad.is_err());
    for base in ["ftp://x", "https://u:p@x", "https://x?y", "x", "https://x#y"] {
        assert!(Endpoint::new(base).is_err(), "{base}");
    }
}
