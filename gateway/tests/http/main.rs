//! The whole program over real HTTP, with the local 360dialog at the other end.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod media;
#[cfg(test)]
mod rest;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod stop;
#[cfg(test)]
mod webhook;
