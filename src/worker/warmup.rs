//! A request of our own, through the application, before an interpreter takes any of others: `--warmup`.
//!
//! The interpreter's own thread runs it; the reactor reads the answer, as it would a client's.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

use crate::application::{Application, Line};
use crate::bell::Bell;
use crate::exchange::{
    Answer, Client, Connection, Exchange, Missing, Reply, Request, RequestBody, ResponseBody, Scheme,
};

/// What the application reads in HTTP_USER_AGENT.
const AGENT: HeaderValue = HeaderValue::from_static("chaussette-warmup");

/// The request, and where what becomes of it is told.
#[derive(Debug)]
pub struct WarmUp {
    exchange: Exchange,
    bell: Arc<Bell>,
    verdict: Receiver<Result<(), String>>,
}

impl WarmUp {
    /// A GET of `target`: a path, or an URL where the application cares for its host. Needs the reactor, which
    /// reads the answer.
    #[must_use]
    pub fn new(target: &Uri, bell: &Arc<Bell>) -> Self {
        let (reply, answer) = Reply::new(Arc::clone(bell));
        let (sender, verdict) = sync_channel(1);
        tokio::spawn(judge(target.clone(), answer, sender));
        Self {
            exchange: Exchange { request: Box::new(request(target)), reply },
            bell: Arc::clone(bell),
            verdict,
        }
    }

    /// Serves it on this thread. An error: the application is not fit to serve, and why.
    pub(super) fn run<A: Application>(self, application: &mut A) -> Result<(), String> {
        application.serve(self.exchange, &mut Alone(&self.bell));
        self.bell.ring();
        // Comes: the exchange has been answered or dropped by now, and the reactor lives until the process ends.
        self.verdict.recv().unwrap_or_else(|_| Err("the server is stopping".to_owned()))
    }
}

/// A line of one.
struct Alone<'a>(&'a Bell);

impl Line for Alone<'_> {
    fn next(&mut self) -> Option<Exchange> {
        None
    }

    fn was_interrupted(&mut self) -> bool {
        false
    }

    fn offered(&mut self) {
        self.0.ring();
    }

    fn give_back(&mut self, exchange: Exchange) {
        // Dropped, it is answered: this one was not fit to serve.
        drop(exchange);
    }
}

fn request(target: &Uri) -> Request {
    let scheme = if target.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
    let host = target.authority().map_or("localhost", |authority| authority.as_str());
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, AGENT);
    // Of an URL that was parsed.
    headers.insert(HOST, HeaderValue::from_str(host).unwrap_or(HeaderValue::from_static("localhost")));
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    Request {
        method: Method::GET,
        uri: path.parse().unwrap_or_default(),
        target: None,
        version: Version::HTTP_11,
        headers,
        body: RequestBody::Empty,
        connection: Arc::new(Connection {
            client: Client::Inet(IpAddr::V4(Ipv4Addr::LOCALHOST), None),
            server_name: target.host().unwrap_or("localhost").to_owned(),
            server_port: target.port_u16().unwrap_or(scheme.default_port()).to_string(),
            scheme,
            script_name: String::new(),
        }),
    }
}

async fn judge(target: Uri, answer: Answer, sender: SyncSender<Result<(), String>>) {
    let verdict = read(answer).await.map_err(|why| format!("--warmup {target}: {why}"));
    // The thread that asked waits for it, unless its load failed.
    let _ = sender.try_send(verdict);
}

/// Reads the whole answer, so that all of the application's work for it is done.
async fn read(answer: Answer) -> Result<(), String> {
    let response = answer.response(|| false, |_| {}).await.map_err(|missing| match missing {
        Missing::NeverTaken => "the application was not asked".to_owned(),
        Missing::Failed(fault) => fault.to_string(),
    })?;
    if let ResponseBody::Stream(mut chunks) = response.body {
        while let Some(chunk) = poll_fn(|context| chunks.poll_chunk(context)).await {
            chunk.map_err(|fault| fault.to_string())?;
        }
    }
    let status = response.head.status;
    if status >= StatusCode::INTERNAL_SERVER_ERROR {
        return Err(format!("the application answered {status}"));
    }
    Ok(())
}
