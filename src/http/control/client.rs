//! Asks another process's control socket for its status: what `--census` does.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::census::status::Status;
use crate::config::ControlAddress;

/// From connecting to the answer's last byte. 10 s: what the other side gives a connection.
const WHOLE: Duration = Duration::from_secs(10);

/// Bytes of a status: 1024 interpreters with ten threads each, and a long target in each of these.
const LARGEST: usize = 32 << 20;

/// A status as it came, and as it was read.
#[derive(Debug)]
pub struct Told {
    pub text: String,
    pub status: Status,
}

/// Why there is no status: one whole line, with the cure.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody is there to ask.
    #[error(
        "nobody listens on {address}: {why}; the server's own line `Control socket on …` names the address"
    )]
    Nobody { address: ControlAddress, why: io::Error },
    /// Its owner alone may.
    #[error("{address} may not be asked: {why}; be the user that the server runs as, or root")]
    Denied { address: ControlAddress, why: io::Error },
    /// Somebody else, or a server that does not answer.
    #[error("{address} does not answer as a control socket of this release does: {why}")]
    Strange { address: ControlAddress, why: String },
}

/// Asks, and waits for the answer.
pub fn status(address: &ControlAddress) -> Result<Told, AskError> {
    let strange = |why: String| AskError::Strange { address: address.clone(), why };
    let runtime =
        Builder::new_current_thread().enable_all().build().map_err(|why| strange(why.to_string()))?;
    let asked = runtime.block_on(async { timeout(WHOLE, ask(address)).await });
    asked.unwrap_or_else(|_| Err(strange(format!("no answer within {} s", WHOLE.as_secs()))))
}

async fn ask(address: &ControlAddress) -> Result<Told, AskError> {
    let failed = |why: io::Error| match why.kind() {
        io::ErrorKind::PermissionDenied => AskError::Denied { address: address.clone(), why },
        _ => AskError::Nobody { address: address.clone(), why },
    };
    let strange = |why: String| AskError::Strange { address: address.clone(), why };
    let text = match address {
        ControlAddress::Unix(path) => {
            get("localhost".to_owned(), UnixStream::connect(path).await.map_err(failed)?).await
        }
        ControlAddress::Loopback(there) => {
            get(there.to_string(), TcpStream::connect(there).await.map_err(failed)?).await
        }
    };
    let text = text.map_err(strange)?;
    match serde_json::from_str(&text) {
        Ok(status) => Ok(Told { text, status }),
        Err(error) => Err(strange(error.to_string())),
    }
}

/// The body of `/status`.
async fn get(
    host: String,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<String, String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends with the runtime, if not before.
    tokio::spawn(connection);
    let request = Request::get("/status").header(HOST, host).body(Empty::<Bytes>::new());
    let request = request.map_err(|error| error.to_string())?;
    let (head, body) = sender.send_request(request).await.map_err(|error| error.to_string())?.into_parts();
    let body = Limited::new(body, LARGEST).collect().await.map_err(|error| error.to_string())?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    match head.status {
        StatusCode::OK => Ok(text),
        status => Err(format!("{status}: {}", text.lines().next().unwrap_or_default().escape_debug())),
    }
}
