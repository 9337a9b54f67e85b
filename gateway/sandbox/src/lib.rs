//! A local 360dialog with pretend phones: it judges what the business sends as the real one would, and tells what happened.
//!
//! Real HTTP on loopback. It shares no type and no check with the client it judges, and lives on when that dies.
//!
//! # Provider side
//! `D360-API-KEY` selects the number. `POST /messages` (and `/v1/messages`), `POST /media`, `GET|DELETE /{media-id}`,
//! `GET /whatsapp_business/attachments/?…`, `GET|POST /v1/configs/webhook`, `GET|POST /v1/configs/templates`,
//! `DELETE /v1/configs/templates/{name}`, `GET /health_status`.
//!
//! Where the real provider's behaviour is not known, the sandbox takes the stricter reading: reactions do not open the
//! 24-hour window, and every unknown key is refused (error 100). A webhook address on this machine may be plain HTTP with a port.
//!
//! # Control side, JSON under `/sandbox/api`
//! `number` is a `phone_number_id`; it may be left out when there is only one. Errors: `{"error": text}` with 400, 404, 409 or 503.
//!
//! | call | body or query → answer |
//! |---|---|
//! | `GET numbers` | → `[{phone_number_id, display_phone_number, waba_id, webhook_url, signed, health, webhooks_pending}]` |
//! | `POST numbers` | [`NumberOptions`] → 201 the number; 409 when there already |
//! | `POST numbers/{id}` | `{health?, api_key?}` (a new key ends the old one) |
//! | `GET phones` | → the first 1000 phones |
//! | `POST phones/{wa_id}/messages` | a message, see below → `{id: wamid, delivery}` |
//! | `POST batch` | `[{from: wa_id, number?, …message}]`, at most 1000, in one webhook of several entries → `{ids, delivery}` |
//! | `POST raw` | `{number?, body: any JSON \| text: any text, once?: no redelivery}` → `{delivery}` |
//! | `GET phones/{wa_id}/thread` | `?number=&after=&wait_ms=` → `{cursor, entries, typing, window_open, phone}`: what changed after `after` (a `cursor`), waiting up to `wait_ms` (60 s at most) |
//! | `POST phones/{wa_id}/read` | `{number?, played?}` → `{ids}` now read (or played) |
//! | `POST phones/{wa_id}/state` | `{online?, blocked?}`; an offline phone gets `sent` only, and catches up when it is back |
//! | `POST statuses` | `{number?, wamid, status, code?}`: one receipt by hand, in any order → `{deliveries}` |
//! | `POST templates/{name}` | `{number?, status}`: the verdict on a template, told by webhook |
//! | `GET ledger` | `?after=&limit=&kind=` → `{next, last, dropped, entries}` |
//! | `GET stats` | counters, webhook latency median and the share over 1 s |
//! | `GET\|POST\|DELETE faults` | see below |
//!
//! **A message** has a `type` (default `text`) with its keys: `text {text}`; `image`, `video`, `audio`, `document`, `sticker`
//! `{data?: base64, mime?, caption?, filename?, voice?, animated?}`; `location {latitude, longitude, name?, address?, url?}`;
//! `contacts {contacts}`; `reaction {message_id, emoji?}` (no emoji = removed); `order {product_items, catalog_id?, text?}`;
//! `button {text, payload?}`; `button_reply {id, title}`; `list_reply {id, title, description?}`; `flow_reply {response_json}`;
//! `interactive {interactive}`; `edit {message_id, text | message}`; `revoke {message_id}`; `unsupported {unsupported_type?}`;
//! `request_welcome`; `number_change {new_wa_id}`; `user_id_change {new_user_id}`; `identity_change`; `system {system}`; any other
//! type with an object of its name. And for all: `profile {name?, username?}` (or `name`, `username`), `user_id`, `hide_phone`,
//! `timestamp` (seconds), `reply_to` (a wamid), `forwarded`, `context`, `referral`.
//!
//! **The ledger** is append-only and numbered from 1: `message` (accepted: `number, to, wamid, callback_data, type, fails_with, body`),
//! `refused` (`code, details, …`), `phone` (a phone sent: `from, wamid, type`), `webhook` (one attempt: `delivery, attempt, outcome,
//! delivered, latency_ms, messages, statuses`), `read`, `fault`.
//!
//! **Faults**: `{name: true | count | {count?, probability?, number?, to?, on?, …}}`, `on` being `messages` (default), `media`,
//! `templates`, `config`, `health` or `any`. Refusals: `html_502`, `meta_403`, `bad_key_401`, `rate_429 {retry_after?}`,
//! `drop_connection`, `media_404`; time: `slow_ms {ms}` or a number of milliseconds; after the message was accepted: `ambiguous_5xx`,
//! `accept_then_timeout`, `status_before_response`, `fail_with {code}`; webhooks: `duplicate_webhooks`, `shuffle_webhooks`,
//! `duplicate_statuses`, `ms_timestamps`, `bsuid_only`.
//!
//! `GET /sandbox` is a page to play a phone by hand.

#![expect(clippy::similar_names, reason = "wa_id and wamid are the provider's words")]

mod clock;
mod compose;
mod configs;
mod control;
mod delivery;
mod errors;
mod faults;
mod files;
mod gate;
mod ledger;
mod media;
mod messages;
mod numbers;
mod options;
mod phones;
mod receipts;
mod server;
mod templates;
mod validate;
mod world;

pub use options::{NumberOptions, ReceiptsOptions, SandboxOptions};
pub use server::{Sandbox, SandboxError, SandboxHandle};
