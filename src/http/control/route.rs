//! What is answered to what, on the control socket.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Request, StatusCode, Uri};
use serde_json::json;
use tokio::time::timeout;

use super::{Clients, Overseen, Room, guard};
use crate::census::metrics::{self, metrics};
use crate::census::status::Status;
use crate::census::{Census, Command, Outcome, Pool, Stage, resident};
use crate::http::refusal::Refusal;

type Response = hyper::Response<Full<Bytes>>;

/// Interpreters that can be asked for. As many as the command line takes.
const MOST: usize = 1024;

/// Bytes of a request's body, which has no meaning here.
const BODY: usize = 4096;

/// What the supervisor may take to say what becomes of a command. It has nothing else to do; 5 s: half of what a
/// connection has.
const REPLY: Duration = Duration::from_secs(5);

/// What the reactor may take for a turn. 2 s: it never waits for anything longer than a tenth of it, but for hooks.
const TURN: Duration = Duration::from_secs(2);

const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";

/// What can be read.
#[derive(Debug, Clone, Copy)]
enum Page {
    Status,
    Metrics,
    Alive,
    Ready,
}

impl Page {
    /// Whether there is nothing in it but numbers and words of ours.
    fn is_for_anybody(self) -> bool {
        !matches!(self, Self::Status)
    }
}

/// What a path stands for.
#[derive(Debug, Clone, Copy)]
enum Route {
    Get(Page),
    Post(fn(&Uri) -> Result<Command, Refusal>),
}

static ROUTES: [(&str, Route); 8] = [
    ("/status", Route::Get(Page::Status)),
    ("/metrics", Route::Get(Page::Metrics)),
    ("/healthz", Route::Get(Page::Alive)),
    ("/readyz", Route::Get(Page::Ready)),
    ("/reload", Route::Post(|uri| plainly(uri, Command::Reload))),
    ("/interpreters", Route::Post(|uri| scale(uri, Pool::Interpreters, MANY_INTERPRETERS))),
    ("/processes", Route::Post(|uri| scale(uri, Pool::Process, MANY_PROCESSES))),
    ("/stop", Route::Post(|uri| plainly(uri, Command::Stop))),
];

impl Route {
    fn is_for(self, clients: Clients) -> bool {
        clients == Clients::Trusted || matches!(self, Self::Get(page) if page.is_for_anybody())
    }
}

pub(super) async fn answer<O: Overseen>(
    request: Request<Incoming>,
    room: &Room<O>,
) -> Result<Response, Infallible> {
    let (parts, body) = request.into_parts();
    // Read to its end, or closing the connection would reset it before the client has the answer.
    let body = Limited::new(body, BODY).collect().await;
    if let Err(refusal) = guard::check(&parts, room.clients, room.kind) {
        return Ok(refuse(refusal));
    }
    if body.is_err() {
        let why = "the body is longer than this server reads, or broken off";
        return Ok(refuse(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why)));
    }
    let path = parts.uri.path();
    let Some((_, route)) = routes(room.clients).find(|(known, _)| *known == path) else {
        return Ok(response(StatusCode::NOT_FOUND, PLAIN, directory(room.clients)));
    };
    Ok(match (route, &parts.method) {
        (Route::Get(page), &Method::GET | &Method::HEAD) => read(*page, &parts.uri, room).await,
        (Route::Post(command), &Method::POST) => match command(&parts.uri) {
            Ok(command) => obey(command, room).await,
            Err(refusal) => refuse(refusal),
        },
        (Route::Get(_), _) => not_allowed("GET, HEAD"),
        (Route::Post(_), _) => not_allowed("POST"),
    })
}

async fn read<O: Overseen>(page: Page, uri: &Uri, room: &Room<O>) -> Response {
    match page {
        Page::Status => {
            let status = Status::new(&room.overseen.census(), resident());
            match serde_json::to_string(&status) {
                Ok(text) => response(StatusCode::OK, JSON, text + "\n"),
                Err(error) => response(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n")),
            }
        }
        Page::Metrics => {
            response(StatusCode::OK, metrics::CONTENT_TYPE, metrics(&room.overseen.census(), resident()))
        }
        Page::Alive => match patience(uri) {
            Ok(patience) => alive(patience, room).await,
            Err(refusal) => refuse(refusal),
        },
        Page::Ready => {
            let census = room.overseen.census();
            let unready = |why| response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, why);
            if census.stopping {
                unready("stopping\n")
            } else if !census.is_ready() {
                unready(nobody(&census))
            } else if turns(room).await == Turns::No {
                // Interpreters that serve are fed by it.
                unready(STILL)
            } else {
                response(StatusCode::OK, PLAIN, "ready\n")
            }
        }
    }
}

/// Where nobody serves.
fn nobody(census: &Census) -> &'static str {
    let still = |pool: &Census| pool.count(Stage::Serving) == 0;
    match census.pools().find(|(_, pool)| still(pool)) {
        Some((Some(Pool::Process), _)) => "no process of --process-for serves\n",
        _ => "no interpreter serves\n",
    }
}

const STILL: &str = "the reactor does not turn\n";

/// Whether a restart would mend it: no request can be served, or with `patience` none is.
async fn alive<O: Overseen>(patience: Option<Duration>, room: &Room<O>) -> Response {
    let dead = |why| response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, why);
    match patience {
        _ if turns(room).await == Turns::No => dead(STILL.to_owned()),
        Some(patience) if room.overseen.census().is_wedged(patience) => {
            dead(format!("every thread has been at its request for longer than {} s\n", patience.as_secs()))
        }
        _ => response(StatusCode::OK, PLAIN, "alive\n"),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turns {
    Yes,
    No,
}

/// Whether the reactor that serves requests does: an empty task needs a turn of it.
async fn turns<O>(room: &Room<O>) -> Turns {
    match timeout(TURN, room.reactor.spawn(async {})).await {
        Ok(Ok(())) => Turns::Yes,
        _ => Turns::No,
    }
}

async fn obey<O: Overseen>(command: Command, room: &Room<O>) -> Response {
    let (status, word, message) = match timeout(REPLY, room.overseen.ask(command)).await {
        Ok(Outcome::Accepted(message)) => (StatusCode::ACCEPTED, "accepted", message),
        Ok(Outcome::Unchanged(message)) => (StatusCode::OK, "unchanged", message),
        Ok(Outcome::Refused(message)) => (StatusCode::CONFLICT, "refused", message),
        Err(_) => {
            let message = format!("the supervisor has not answered within {} s", REPLY.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, "unanswered", message)
        }
    };
    tracing::info!("control socket: {command:?}: {word}: {message}");
    let text = json!({ "outcome": word, "message": message }).to_string() + "\n";
    response(status, JSON, text)
}

/// A command without parameters.
fn plainly(uri: &Uri, command: Command) -> Result<Command, Refusal> {
    match uri.query() {
        None | Some("") => Ok(command),
        Some(_) => Err(Refusal::bad_request("this command has no parameters")),
    }
}

const MANY_INTERPRETERS: Refusal =
    Refusal::bad_request("say how many: POST /interpreters?n=N with a number from 1 to 1024");
const MANY_PROCESSES: Refusal =
    Refusal::bad_request("say how many: POST /processes?n=N with a number from 1 to 1024");

fn scale(uri: &Uri, pool: Pool, refusal: Refusal) -> Result<Command, Refusal> {
    let number = uri.query().and_then(|query| query.strip_prefix("n="));
    let digits = number.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse().ok()).filter(|n| (1..=MOST).contains(n));
    number.map(|number| Command::Scale(pool, number)).ok_or(refusal)
}

/// `patience=SECONDS`, a whole number above 0.
fn patience(uri: &Uri) -> Result<Option<Duration>, Refusal> {
    let Some(query) = uri.query().filter(|query| !query.is_empty()) else { return Ok(None) };
    let seconds =
        query.strip_prefix("patience=").filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = seconds.and_then(|text| text.parse::<u32>().ok()).filter(|&seconds| seconds > 0);
    seconds
        .map(|seconds| Some(Duration::from_secs(seconds.into())))
        .ok_or(Refusal::bad_request("its one parameter is patience=SECONDS, a whole number above 0"))
}

fn routes(clients: Clients) -> impl Iterator<Item = &'static (&'static str, Route)> {
    ROUTES.iter().filter(move |(_, route)| route.is_for(clients))
}

/// Which paths there are.
fn directory(clients: Clients) -> String {
    let line = |(path, route): &(&str, Route)| match route {
        Route::Get(_) => format!("GET {path}\n"),
        Route::Post(_) => format!("POST {path}\n"),
    };
    "404 Not Found: there are\n".to_owned() + &routes(clients).map(line).collect::<String>()
}

fn not_allowed(methods: &'static str) -> Response {
    let text = format!("405 Method Not Allowed: use {methods}.\n");
    let mut response = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn refuse(refusal: Refusal) -> Response {
    response(refusal.status, PLAIN, format!("{}: {}.\n", refusal.status, refusal.why))
}

fn response(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Response {
    let mut response = hyper::Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // What is told is of this moment.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
