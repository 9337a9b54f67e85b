//! Ports that are free for servers of tests.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Tests of one process begin to look at different ports.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// Below the range that the kernel gives to outgoing connections, and with the port of a Redis Cluster's bus.
pub fn free() -> u16 {
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let own = u16::try_from(std::process::id() % 9_000).expect("a small number");
    let begin = 10_000 + own + NEXT.fetch_add(7, Ordering::Relaxed);
    (begin..20_000).find(|port| free(port) && free(&(port + 10_000))).expect("a free port")
}
