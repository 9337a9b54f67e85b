//! Whatever a client sends: no panic, and what is understood can be written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use usher_protocol::frame::parse_client;

fuzz_target!(|text: &str| {
    match parse_client(text) {
        Ok(frame) => drop(parse_client(&frame.encode()).expect("what was read can be written")),
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
});
