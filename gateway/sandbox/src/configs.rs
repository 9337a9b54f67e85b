//! The provider's settings endpoints: webhook, templates, health.

use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::errors::{graph, respond};
use crate::gate;
use crate::numbers;
use crate::templates::Page;
use crate::world::Provider;

pub(crate) async fn show_webhook(request: HttpRequest, provider: Data<Provider>) -> HttpResponse {
    match gate::pass(&provider, &request, "config", None).await {
        Ok(number) => respond(200, &provider.world().numbers[number].show_webhook()),
        Err(answer) => answer,
    }
}

pub(crate) async fn set_webhook(
    request: HttpRequest,
    provider: Data<Provider>,
    bytes: Bytes,
) -> HttpResponse {
    let number = match gate::pass(&provider, &request, "config", None).await {
        Ok(number) => number,
        Err(answer) => return answer,
    };
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
        return graph(400, 100, "The request body is not valid JSON.");
    };
    match numbers::webhook(&body) {
        Ok(webhook) => {
            let mut world = provider.world();
            world.numbers[number].webhook = Some(webhook);
            respond(200, &world.numbers[number].show_webhook())
        }
        Err(why) => why.answer(),
    }
}

pub(crate) async fn health(request: HttpRequest, provider: Data<Provider>) -> HttpResponse {
    match gate::pass(&provider, &request, "health", None).await {
        Ok(number) => respond(200, &provider.world().numbers[number].show_health()),
        Err(answer) => answer,
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    limit: Option<usize>,
    offset: Option<usize>,
    sort: Option<String>,
    filters: Option<String>,
}

pub(crate) async fn templates(
    request: HttpRequest,
    provider: Data<Provider>,
    asked: Query<Asked>,
) -> HttpResponse {
    let number = match gate::pass(&provider, &request, "templates", None).await {
        Ok(number) => number,
        Err(answer) => return answer,
    };
    let asked = asked.into_inner();
    let filters = match asked.filters.as_deref().map(serde_json::from_str) {
        None => json!({}),
        Some(Ok(filters @ Value::Object(_))) => filters,
        Some(_) => return graph(400, 100, "filters is not a JSON object."),
    };
    let page = Page {
        limit: asked.limit.unwrap_or(100).clamp(1, 1000),
        offset: asked.offset.unwrap_or(0),
        sort: asked.sort,
        filters,
    };
    let mut world = provider.world();
    let waba = world.numbers[number].waba.clone();
    respond(200, &world.templates.page(&waba, &page))
}

pub(crate) async fn create_template(
    request: HttpRequest,
    provider: Data<Provider>,
    bytes: Bytes,
) -> HttpResponse {
    let number = match gate::pass(&provider, &request, "templates", None).await {
        Ok(number) => number,
        Err(answer) => return answer,
    };
    let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
        return graph(400, 100, "The request body is not valid JSON.");
    };
    let mut world = provider.world();
    let waba = world.numbers[number].waba.clone();
    match world.templates.create(&waba, &body) {
        Ok(template) => respond(201, &template),
        Err(why) => why.answer(),
    }
}

pub(crate) async fn delete_template(
    request: HttpRequest,
    provider: Data<Provider>,
    name: Path<String>,
) -> HttpResponse {
    let number = match gate::pass(&provider, &request, "templates", None).await {
        Ok(number) => number,
        Err(answer) => return answer,
    };
    let mut world = provider.world();
    let waba = world.numbers[number].waba.clone();
    if world.templates.delete(&waba, &name) {
        return respond(
            200,
            &json!({"meta": {"success": true, "http_code": 200,
            "developer_message": "template deleted"}}),
        );
    }
    graph(404, 100, "There is no such template.")
}
