//! End to end: the real program, real HTTP and WebSockets, a pretend 360dialog, one process each.

mod agent;
mod house;
mod journal;
mod phone;
mod shop;
mod wait;

mod disk;
mod doors;
mod kill;
mod main_job;
mod reconnect;
mod restart;
