//! What is asked of the kernel for every accepted connection.

use std::time::Duration;

use actix_rt::net::TcpStream;
use socket2::SockRef;

/// A peer that acknowledges nothing for this long is gone.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);
/// What the kernel buffers for a slow reader counts too (it doubles the number).
const SEND_BUFFER: usize = 16 * 1024;

/// A connection that cannot be tuned still works.
pub(super) fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let tuned = socket
        .set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
        .and_then(|()| socket.set_send_buffer_size(SEND_BUFFER))
        .and_then(|()| socket.set_tcp_nodelay(true));
    if let Err(error) = tuned {
        tracing::debug!(%error, "a connection could not be tuned");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn an_accepted_connection_is_bounded_and_timed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tune(&stream);
        let socket = SockRef::from(&stream);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED_MAX));
        assert_eq!(socket.send_buffer_size().unwrap(), 2 * SEND_BUFFER);
        assert!(socket.tcp_nodelay().unwrap());
    }
}
