//! What is answered is what the API's own description says.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Answer, Bench, PASSWORD, SUPPORT};

/// Why a value is not of a schema; those parts of JSON Schema that the document uses.
fn misfit(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    if let Some(to) = schema["$ref"].as_str() {
        let schema = document.pointer(to.trim_start_matches('#')).unwrap();
        return misfit(document, schema, value, at);
    }
    if let Some(any) = schema["oneOf"].as_array() {
        let fits = |schema: &Value| misfit(document, schema, value, at).is_none();
        let count = any.iter().filter(|schema| fits(schema)).count();
        return (count != 1).then(|| format!("{at}: {value} fits {count} of several"));
    }
    let types = match &schema["type"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one.as_str()],
        _ => return None,
    };
    if !types.iter().any(|one| is_of(one, value)) {
        return Some(format!("{at}: {value} is none of {types:?}"));
    }
    if schema["enum"].as_array().is_some_and(|known| !known.contains(value)) {
        return Some(format!("{at}: {value} is not among {}", schema["enum"]));
    }
    match value {
        Value::Array(all) => {
            let mut each = all.iter().enumerate();
            each.find_map(|(n, one)| misfit(document, &schema["items"], one, &format!("{at}/{n}")))
        }
        Value::Object(_) => of_object(document, schema, value, at),
        _ => None,
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("a type {other}"),
    }
}

fn of_object(document: &Value, schema: &Value, value: &Value, at: &str) -> Option<String> {
    let needed = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = needed.into_iter().find(|key| value.get(key).is_none()) {
        return Some(format!("{at}: no {missing}"));
    }
    let others = &schema["additionalProperties"];
    let mut fields = value.as_object().into_iter().flatten();
    fields.find_map(|(key, inner)| {
        let at = format!("{at}/{key}");
        match schema["properties"].get(key) {
            Some(known) => misfit(document, known, inner, &at),
            None if *others == json!(false) => Some(format!("{at}: not described")),
            None if others.is_object() => misfit(document, others, inner, &at),
            None => None,
        }
    })
}

struct Api(Value);

impl Api {
    /// `path` as it stands in the document.
    #[track_caller]
    fn judge(&self, method: &str, path: &str, answer: &Answer) {
        let operation = &self.0["paths"][path][method];
        let described = &operation["responses"][answer.status.to_string()];
        assert!(described.is_object(), "{method} {path}: {answer:?}");
        let described = match described["$ref"].as_str() {
            Some(to) => self.0.pointer(to.trim_start_matches('#')).unwrap(),
            None => described,
        };
        let mime = answer.headers["content-type"].to_str().unwrap();
        let schema = &described["content"][mime.split(';').next().unwrap()]["schema"];
        assert!(!schema.is_null(), "{method} {path}: {mime}");
        if let Some(why) = misfit(&self.0, schema, &answer.body, "") {
            panic!("{method} {path}: {why}");
        }
    }
}

#[actix_web::test]
async fn answers_are_as_described() {
    let mut bench = Bench::demo();
    let described = bench.answer(bench.request(Method::GET, "/v1/openapi.json")).await;
    let api = Api(described.body.clone());
    api.judge("get", "/v1/openapi.json", &described);
    let signed = bench.sign_in("ada", PASSWORD).await;
    api.judge("post", "/v1/sessions", &signed);
    api.judge("post", "/v1/sessions", &bench.sign_in("ada", "wrong").await);
    let ada = signed.body["token"].as_str().unwrap().to_owned();
    bench
        .until(async || {
            let listed = bench.get(&ada, "/v1/templates").await.body;
            (listed["channels"].as_array()?.len() == 2).then_some(())
        })
        .await;

    bench.sandbox("faults", json!({"fail_with": {"code": 131_026, "count": 1}})).await;
    bench.phone_writes(json!({"number": SUPPORT, "text": "hello", "name": "Vera"})).await;
    let enquiry = bench.enquiry(&ada).await;
    let act = async |what: &str, body: Value| {
        let done = bench.post(&ada, &format!("/v1/enquiries/{enquiry}/{what}"), body).await;
        api.judge("post", &format!("/v1/enquiries/{{enquiry}}/{what}"), &done);
        done
    };
    act("take_over", json!({})).await;
    let text = json!({"key": "k", "content": {"kind": "text", "body": "Good day"}});
    assert_eq!(act("send", text.clone()).await.status, 200);
    let unknown =
        json!({"key": "t", "content": {"kind": "template", "name": "x", "language": "en"}});
    assert_eq!(act("send", unknown).await.status, 422);
    act("note", json!({"text": "a note"})).await;
    act("label", json!({"label": "parcel"})).await;

    let one = bench.get(&ada, &format!("/v1/enquiries/{enquiry}")).await;
    api.judge("get", "/v1/enquiries/{enquiry}", &one);
    let visitor = one.body["enquiry"]["visitor"]["id"].as_str().unwrap();
    let visitor = bench.get(&ada, &format!("/v1/visitors/{visitor}")).await;
    api.judge("get", "/v1/visitors/{visitor}", &visitor);
    assert_eq!(act("close", json!({"silent": true})).await.status, 200);
    assert_eq!(act("send", json!({"key": "l", "content": text["content"]})).await.status, 404);

    bench
        .until(async || {
            let listed = bench.get(&ada, "/v1/outbox?state=failed").await.body;
            listed["messages"].get(0).map(drop)
        })
        .await;
    for path in [
        "/v1/sessions/current",
        "/v1/enquiries",
        "/v1/outbox",
        "/v1/channels",
        "/v1/templates",
        "/v1/quarantine",
        "/v1/stats",
    ] {
        api.judge("get", path, &bench.get(&ada, path).await);
        api.judge("get", path, &bench.get("nobody", path).await);
    }
    let asked = json!({"channel": "Support", "presence": "everyone"});
    let explained = bench.post(&ada, "/v1/routing/explain", asked).await;
    api.judge("post", "/v1/routing/explain", &explained);
    let file = bench.request(Method::POST, "/v1/media?filename=note.txt").bearer_auth(&ada);
    let stored = bench.answer(file.header("content-type", "text/plain").body("hello")).await;
    api.judge("post", "/v1/media", &stored);
    for (path, mime) in
        [("", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")]
    {
        let page = bench.answer(bench.request(Method::GET, &format!("/v1/docs{path}"))).await;
        assert!(page.headers["content-type"].to_str().unwrap().starts_with(mime), "{page:?}");
    }
    bench.stop().await;
}
