//! The whole program over real HTTP, with the local 360dialog at the other end.

#[cfg(test)]
mod api;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod media;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod socket;
#[cfg(test)]
mod stats;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod templates;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod webhook;
