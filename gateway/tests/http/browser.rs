//! The page with the pretend phones, in a real browser, through to an answer.

use std::io::{BufRead as _, BufReader};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use futures_util::FutureExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::bench::Bench;

const PATIENCE: Duration = Duration::from_secs(30);

/// Debian's `chromedriver`, on a port of its own choosing; ended with this, and what it and its
/// browser wrote goes. The browser is its own to end: it has to be closed.
struct Driver {
    child: Child,
    url: String,
    _files: TempDir,
}

impl Driver {
    fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let mut child = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", files.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("chromedriver is needed: `make tools` installs it");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            let port = line.split("started successfully on port ").nth(1)?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let url = format!("http://127.0.0.1:{}", port.expect("it says its port"));
        Self { child, url, _files: files }
    }

    async fn browser(&self) -> Client {
        let flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
        ];
        let wanted = json!({"goog:chromeOptions": {"args": flags}});
        let Value::Object(wanted) = wanted else { unreachable!("an object, as it stands there") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(wanted.into_iter().collect::<Map<_, _>>());
        builder.connect(&self.url).await.unwrap()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Waits for a message on the phone that says something.
async fn said(browser: &Client, side: &str, words: &str) -> Element {
    let path = format!(
        "//div[@id='thread']/div[@data-from='{side}'][.//div[@class='words'][contains(., '{words}')]]"
    );
    let shown = browser.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await;
    shown.unwrap_or_else(|error| panic!("never on the phone: {words}: {error}"))
}

#[actix_web::test]
async fn who_writes_on_the_page_reads_the_answer_there() {
    let mut bench = Bench::demo();
    let driver = Driver::start();
    let browser = driver.browser().await;
    let seen = AssertUnwindSafe(a_conversation(&bench, &browser)).catch_unwind().await;
    browser.close().await.unwrap();
    drop(driver);
    bench.stop().await;
    if let Err(panic) = seen {
        resume_unwind(panic);
    }
}

async fn a_conversation(bench: &Bench, browser: &Client) {
    let ada = bench.token("ada").await;
    browser.goto(&format!("{}#4915550001111", bench.sandbox_page())).await.unwrap();
    // The page is whole once it knows the business's numbers.
    let numbers = Locator::Css("#number option");
    browser.wait().at_most(PATIENCE).for_element(numbers).await.unwrap();

    let text = browser.find(Locator::Id("text")).await.unwrap();
    text.send_keys("Where is my parcel?").await.unwrap();
    browser.find(Locator::Css("#write > button")).await.unwrap().click().await.unwrap();
    said(browser, "phone", "Where is my parcel?").await;
    // The welcome.
    said(browser, "business", "").await;

    let enquiry = bench.enquiry(&ada).await;
    let act = async |what: &str, body: Value| {
        let done = bench.post(&ada, &format!("/v1/enquiries/{enquiry}/{what}"), body).await;
        assert_eq!(done.status, 200, "{what}: {done:?}");
    };
    act("take_over", json!({})).await;
    act("send", json!({"key": "1", "content": {"kind": "text", "body": "On its way"}})).await;
    said(browser, "business", "On its way").await;
    let template =
        json!({"kind": "template", "name": "follow_up", "language": "en_US", "body": ["Vera"]});
    act("send", json!({"key": "2", "content": template})).await;
    let asked = said(browser, "business", "Hello Vera, we have an answer").await;

    // A tap on its button comes back as a choice; the receipts that came meanwhile left it be.
    let button = asked.find(Locator::XPath(".//button[.='Go on']")).await.unwrap();
    let read = "#thread > div[data-from=business]:last-child[data-status=read]";
    browser.wait().at_most(PATIENCE).for_element(Locator::Css(read)).await.unwrap();
    button.click().await.unwrap();
    said(browser, "phone", "Go on").await;
    let room = bench
        .until(async || {
            let room = bench.get(&ada, &format!("/v1/enquiries/{enquiry}")).await.body;
            let last = room["room"]["entries"][0].clone();
            (last["content"]["kind"] == "choice").then_some(last)
        })
        .await;
    assert_eq!(room["content"]["title"], "Go on");

    // What goes wrong is chosen on the page, too.
    let fault = browser.find(Locator::Css("select[data-fault=fail_with]")).await.unwrap();
    fault.select_by_value("1").await.unwrap();
    browser.wait().at_most(PATIENCE).for_element(Locator::Css("#faults label.on")).await.unwrap();
    act("send", json!({"key": "3", "content": {"kind": "text", "body": "In vain"}})).await;
    let failed = said(browser, "business", "In vain").await;
    let mark = "#thread > div[data-status=failed]";
    browser.wait().at_most(PATIENCE).for_element(Locator::Css(mark)).await.unwrap();
    assert!(failed.text().await.unwrap().contains("131026"));
}
