//! The sandbox over real HTTP, seen as the business's server and as the pretend phones.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod media;
#[cfg(test)]
mod messages;
