//! End to end: the real program, real HTTP and WebSockets, a pretend 360dialog, one process each.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests fail by it, and say what they measured"
)]

mod agent;
mod cluster;
mod house;
mod journal;
mod phone;
mod shop;
mod wait;

mod disk;
mod doors;
mod kill;
mod main_job;
mod postgres;
mod reconnect;
mod restart;
