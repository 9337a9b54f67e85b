//! The ceilings: the least that could do the same outward work, each a process of its own.

mod child;
mod http;
mod raw;
mod socket;

use std::net::TcpListener;

pub use child::Ceiling;
pub use raw::frame_bytes;

/// Which ceiling; it prints its port and runs until it is killed.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Kind {
    /// An actix handler that reads the body and answers 200.
    Http,
    /// WebSockets that echo, and carry what is posted.
    Socket,
    /// A frame made once, written to every connection.
    Raw,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    kind: Kind,
}

/// Runs a ceiling in this process.
pub fn run(args: Args) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?.port());
    match args.kind {
        Kind::Http => actix_rt::System::new().block_on(http::serve(listener)),
        Kind::Raw => raw::serve(&listener),
        Kind::Socket => actix_rt::System::new().block_on(socket::serve(listener)),
    }
}
