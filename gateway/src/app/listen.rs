//! Opening the addresses the program is reached at.

use std::io;
use std::net::{SocketAddr, TcpListener};

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};
use usher_config::Config;

/// Connections the kernel keeps while all workers are busy.
const BACKLOG: i32 = 1_024;

/// Where the program is reached.
pub(super) struct Listeners {
    pub(super) http: TcpListener,
    pub(super) metrics: Option<TcpListener>,
    /// For other nodes.
    pub(super) between: Option<TcpListener>,
}

impl Listeners {
    pub(super) fn bind(config: &Config) -> anyhow::Result<Self> {
        let metrics = config.metrics.bind.map(|bind| on("metrics.bind", bind));
        let between = config.cluster.between.as_ref();
        let between = between.map(|between| on("cluster.bind", between.bind)).transpose()?;
        let http = on("http.bind", config.http.bind)?;
        Ok(Self { http, metrics: metrics.transpose()?, between })
    }
}

/// Listens on an address; `setting` is named when it cannot be had.
pub(super) fn on(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    open(address).with_context(|| format!("cannot listen on {address} (`{setting}`)"))
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // After a restart the old connections may still linger.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_named_with_its_setting() {
        let first = on("http.bind", SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = first.local_addr().unwrap();
        let error = format!("{:#}", on("http.bind", address).unwrap_err());
        assert!(error.contains(&address.to_string()) && error.contains("http.bind"), "{error}");
        assert!(error.contains("in use"), "{error}");
    }
}
