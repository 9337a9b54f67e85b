//! `cargo +nightly fuzz run parse ../tests/fixtures`: the parser answers every body, always alike.

#![no_main]

use dialog360::inbound;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    assert_eq!(inbound::parse(body), inbound::parse(body));
    assert_eq!(inbound::parse_sandbox(body), inbound::parse_sandbox(body));
});
