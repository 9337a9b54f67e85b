//! The API's own description: OpenAPI 3.1 for programs, and a page of it for people.

use actix_web::HttpResponse;
use actix_web::web::Path;

use super::problem::Problem;

pub(super) const OPENAPI: &str = include_str!("docs/openapi.json");

pub(super) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(OPENAPI)
}

pub(super) async fn page() -> HttpResponse {
    text("text/html", include_str!("docs/index.html"))
}

pub(super) async fn file(name: Path<String>) -> Result<HttpResponse, Problem> {
    match name.as_str() {
        "page.js" => Ok(text("text/javascript", include_str!("docs/page.js"))),
        "page.css" => Ok(text("text/css", include_str!("docs/page.css"))),
        _ => Err(Problem::not_found()),
    }
}

fn text(mime: &str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type(format!("{mime}; charset=utf-8")).body(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use actix_web::test::TestRequest;
    use serde_json::{Value, json};
    use usher_protocol::command::Command;

    use super::super::command::command;
    use super::super::{ROUTES, enquiries, visitors};
    use super::*;

    fn document() -> Value {
        serde_json::from_str(OPENAPI).unwrap()
    }

    /// Method, path and operation.
    fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
        let paths = document["paths"].as_object().unwrap();
        paths
            .iter()
            .flat_map(|(path, item)| {
                let item = item.as_object().unwrap();
                item.iter().map(|(method, op)| (method.as_str(), path.as_str(), op))
            })
            .collect()
    }

    /// What is served, one entry for each command.
    fn served() -> BTreeSet<String> {
        let mut all = BTreeSet::from([
            "get /hooks/360dialog/{channel}".to_owned(),
            "post /hooks/360dialog/{channel}".to_owned(),
            "get /livez".to_owned(),
            "get /readyz".to_owned(),
            format!("get {}", crate::socket::PATH),
        ]);
        for (method, path) in ROUTES {
            let commands: &[&str] = match *path {
                "/enquiries/{enquiry}/{command}" => &enquiries::COMMANDS,
                "/visitors/{visitor}/{command}" => &visitors::COMMANDS,
                _ => &[""],
            };
            for command in commands {
                all.insert(format!("{method} /v1{}", path.replace("{command}", command)));
            }
        }
        all
    }

    #[test]
    fn it_describes_what_is_served_and_nothing_else() {
        let document = document();
        let described = operations(&document);
        let described: BTreeSet<String> =
            described.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
        assert_eq!(described, served());
    }

    #[test]
    fn its_examples_of_commands_are_understood() {
        let document = document();
        let mut read = BTreeSet::new();
        for (_, path, op) in operations(&document) {
            let name = op["operationId"].as_str().unwrap();
            if !Command::NAMES.contains(&name) {
                continue;
            }
            let example = &op["requestBody"]["content"]["application/json"]["example"];
            let body = if example.is_null() { String::new() } else { example.to_string() };
            let id = json!(if path.contains("{visitor}") {
                "vis_00000000000000000000000000000001"
            } else {
                "enq_00000000000000000000000000000001"
            });
            let about =
                ["enquiry", "visitor"].into_iter().find(|w| path.contains(&format!("{{{w}}}")));
            let about = about.map(|word| (word, &id as &dyn super::super::command::ErasedId));
            let request = TestRequest::default().to_http_request();
            let done = command(&request, name, body.as_bytes(), about);
            let done = done.unwrap_or_else(|problem| panic!("{path}: {problem}"));
            assert_eq!(done.name(), name);
            read.insert(name.to_owned());
        }
        let others = ["history", "unserved", "ack", "activity", "sign_out"];
        let wanted = Command::NAMES.iter().filter(|name| !others.contains(name));
        assert_eq!(read, wanted.map(|name| (*name).to_owned()).collect());
    }

    #[test]
    fn everything_it_refers_to_is_there() {
        let document = document();
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        let path = to.strip_prefix('#').unwrap();
                        assert!(document.pointer(path).is_some(), "{to}");
                    }
                    open.extend(map.values());
                }
                Value::Array(all) => open.extend(all),
                _ => {}
            }
        }
        for (method, path, op) in operations(&document) {
            let named = op["parameters"].as_array().cloned().unwrap_or_default();
            let named = named.iter().filter(|one| one["in"] == "path").count();
            assert_eq!(named, path.matches('{').count(), "{method} {path}");
        }
    }
}
