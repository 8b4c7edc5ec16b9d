//! The accept loop: our own, since each connection needs a header timeout and their number a bound.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use strongroom_http_api::{Api, PeerAddress};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::config::ServerConfig;
use crate::open_connections::{OpenConnections, Place};

/// How long to wait when the system has no file or memory left for another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections that the system keeps until they are accepted: beyond it, a client tries again only after a second.
const BACKLOG: u32 = 4096;

/// Listens on an address.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that a restart need not wait for the connections of the process before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `shutdown` ends, then lets running requests finish for as long as the configuration allows.
pub(crate) async fn serve(listener: TcpListener, api: Api, config: &ServerConfig, shutdown: impl Future<Output = ()>) {
    let connections = OpenConnections::new(config.max_connections);
    tokio::select! {
        () = accept(&listener, &api, config, &connections) => {}
        () = shutdown => {}
    }
    drop(listener);
    if tokio::time::timeout(config.drain, connections.close()).await.is_err() {
        tracing::warn!("some requests were still running when the time to drain was over");
    }
}

async fn accept(listener: &TcpListener, api: &Api, config: &ServerConfig, connections: &OpenConnections) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(error = %error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Some(place) = connections.place().await else { return };
        tokio::spawn(serve_one(stream, peer, api.clone(), config.header_timeout, place));
    }
}

/// Serves one connection until it ends, or until it is told to leave: then at once where no request ever came, else
/// when the client has its answer.
async fn serve_one(stream: TcpStream, peer: SocketAddr, api: Api, header_timeout: Duration, place: Place) {
    let _ = stream.set_nodelay(true);
    let activity = &place.activity;
    let service = service_fn(|mut request: Request<Incoming>| {
        let running = activity.begin();
        request.extensions_mut().insert(PeerAddress(peer));
        let answered = api.answer(request.map(Body::new));
        async move {
            let answer = answered.await;
            drop(running);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = activity.told_to_leave() => {
            if !activity.has_asked() {
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // What goes wrong on one connection is its client's doing, or of no use to an operator.
    if let Err(error) = ended {
        tracing::trace!(error = %error, "a connection ended early");
    }
}
