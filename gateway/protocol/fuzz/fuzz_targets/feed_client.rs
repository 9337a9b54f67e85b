//! Whatever a server sends, a frame a line: no panic, and the offset never falls within an epoch.
#![no_main]

use libfuzzer_sys::fuzz_target;
use usher_protocol::feed::{FeedClient, Incoming};

fuzz_target!(|text: &str| {
    let mut client = FeedClient::new();
    let mut last = None;
    for frame in text.lines() {
        if frame.is_empty() {
            drop(client.hello(None));
            continue;
        }
        match client.receive(frame) {
            Incoming::Apply(event) => {
                assert!(last.is_none_or(|last: u64| event.at == last + 1));
                last = Some(event.at);
            }
            Incoming::Snapshot { at, .. } => last = Some(at),
            _ => {}
        }
    }
});
