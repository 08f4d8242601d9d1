//! The yardstick of the hello cases: hyper's own reply, from the reactor's one thread, with no Python anywhere.
//!
//! Owns one listening socket on 127.0.0.1. Usage: static PORT. Ends by a signal only. hyper, tokio and their settings are
//! those of the server's front end, so what a hello costs above this is what the rest of the server costs.

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

const GREETING: &[u8] = b"Hello, World!";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).ok_or("usage: static PORT")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream));
    }
}

/// Answers until the client leaves.
async fn serve(stream: TcpStream) {
    let mut protocol = http1::Builder::new();
    protocol.header_read_timeout(None).title_case_headers(true);
    if let Err(error) = protocol.serve_connection(TokioIo::new(stream), service_fn(answer)).await {
        eprintln!("a connection broke: {error}");
    }
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(GREETING)));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
    Ok(response)
}
