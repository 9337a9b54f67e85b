//! The document for writers of clients says what the code does.

use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::value::RawValue;
use usher_protocol::close::Close;
use usher_protocol::command::Command;
use usher_protocol::event::{Event, Now};
use usher_protocol::frame::{ClientFrame, ServerFrame, parse_client, parse_server};
use usher_protocol::refusal::Code;

const DOCUMENT: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/agent-protocol.md"));

/// The frames in all code blocks marked as `json client` or `json server`.
fn examples(marker: &str) -> Vec<&'static str> {
    let fence = format!("```json {marker}\n");
    let blocks = DOCUMENT.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(frames).collect()
}

fn frames(block: &'static str) -> impl Iterator<Item = &'static str> {
    serde_json::Deserializer::from_str(block)
        .into_iter::<&'static RawValue>()
        .map(move |frame| frame.expect(block).get())
}

#[test]
fn clients_examples_are_understood_and_complete() {
    let mut names = BTreeSet::new();
    let mut hellos = 0;
    for text in examples("client") {
        match parse_client(text).unwrap_or_else(|wrong| panic!("{text}\n{wrong}")) {
            ClientFrame::Hello(_) => hellos += 1,
            ClientFrame::Command { command, .. } => drop(names.insert(command.name())),
        }
    }
    assert!(hellos > 0);
    assert_eq!(names, BTreeSet::from(Command::NAMES));
}

#[test]
fn servers_examples_are_exactly_what_is_sent_and_complete() {
    let mut names = BTreeSet::new();
    let mut kinds = BTreeSet::new();
    for text in examples("server") {
        let written: Value = serde_json::from_str(text).unwrap();
        kinds.extend(written.as_object().unwrap().keys().cloned());
        let frame = parse_server(text).unwrap_or_else(|wrong| panic!("{text}\n{wrong}"));
        names.extend(name(&frame));
        let again: Value = serde_json::from_str(&retyped(frame)).unwrap();
        assert_eq!(again, written, "{text}");
    }
    let all: BTreeSet<String> =
        Event::NAMES.into_iter().chain(Now::NAMES).map(str::to_owned).collect();
    assert_eq!(names, all);
    for kind in ["welcome", "snapshot", "done", "at", "now", "bye", "error", "ok"] {
        assert!(kinds.contains(kind), "{kind}: {kinds:?}");
    }
}

fn name(frame: &ServerFrame) -> Option<String> {
    match frame {
        ServerFrame::Event(event) => Some(event.event.clone()),
        ServerFrame::Now(state) => Some(state.now.clone()),
        _ => None,
    }
}

/// The frame as the types write it: what they do not know is not there any more.
fn retyped(frame: ServerFrame) -> String {
    match frame {
        ServerFrame::Event(event) => {
            let typed = event.typed().unwrap_or_else(|| panic!("{event:?}"));
            usher_protocol::frame::splice(event.at, &typed.tail())
        }
        ServerFrame::Now(state) => {
            state.typed().unwrap_or_else(|| panic!("{state:?}")).encode().to_string()
        }
        ServerFrame::Unknown(what) => panic!("{what}"),
        known => known.encode(),
    }
}

#[test]
fn every_code_stands_in_its_table_with_its_text() {
    for &code in Code::ALL {
        let retry = if code.retry() { "yes" } else { "no" };
        let row = format!("| `{}` | {} | {retry} |", code.name(), code.text());
        assert!(DOCUMENT.contains(&row), "{row}");
    }
    for &close in Close::ALL {
        let row = format!("| {} | {} |", close.number(), close.text());
        assert!(DOCUMENT.contains(&row), "{row}");
    }
}

#[test]
fn limits_stand_in_the_document() {
    for said in
        ["65,536 bytes", "49,152 bytes", "every 25 seconds", "within 10 seconds", "8 levels"]
    {
        assert!(DOCUMENT.contains(said), "{said}");
    }
    let limits = (
        usher_protocol::FRAME_BYTES_MAX,
        usher_protocol::PART_BYTES_MAX,
        usher_protocol::HEARTBEAT_SECONDS,
        usher_protocol::HELLO_SECONDS,
        usher_protocol::DEPTH_MAX,
    );
    assert_eq!(limits, (65_536, 49_152, 25, 10, 8));
}
