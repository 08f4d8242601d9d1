//! The application of a [`Talk`](super::Talk): does what its turns say, one step at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::sync::LazyLock;

use bytes::Bytes;
use chaussette::exchange::{
    self, BodyError, BodyReader, Exchange, FileRange, Reply, ReplyBody, RequestBody, Unsent,
};

use super::super::site::Application;
use super::{Body, End, Fault, Pace, Reads, Turn, pattern};

/// Bytes of the file that `Body::File` is about.
pub const FILE: usize = 400_000;

static SHARED: LazyLock<File> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("chaussette-fuzz-{}", std::process::id()));
    let mut file = File::create_new(&path).expect("a temporary file");
    file.write_all(&CONTENT).expect("room for a temporary file");
    let file = File::open(&path).expect("a temporary file");
    std::fs::remove_file(&path).expect("our temporary file");
    file
});

/// What is in that file.
pub static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| pattern(200, FILE));

pub struct Scripted<'a> {
    turns: &'a [Turn],
    /// Turns before this one are begun.
    next: usize,
    open: Vec<Open<'a>>,
}

struct Open<'a> {
    turn: &'a Turn,
    index: usize,
    stage: Stage,
}

enum Stage {
    Reading { reader: BodyReader, body: Vec<u8>, reply: Reply },
    Sending { body: ReplyBody, chunks: VecDeque<Bytes> },
    Done,
}

impl<'a> Scripted<'a> {
    pub fn new(turns: &'a [Turn]) -> Self {
        Self { turns, next: 0, open: Vec::new() }
    }
}

impl Application for Scripted<'_> {
    fn take(&mut self, exchange: Exchange) {
        let Exchange { request, reply } = exchange;
        let index: usize = request.uri.path()[1..].parse().expect("the number of a turn");
        assert_eq!(index, self.next, "a request out of its turn");
        self.next += 1;
        let turn = &self.turns[index];
        let stage = match (request.body, turn.answer.reads) {
            (RequestBody::Stream(reader), Reads::All) => Stage::Reading { reader, body: Vec::new(), reply },
            (RequestBody::Whole(body), _) => {
                assert!(body == turn.ask.body(index), "turn {index} got another body");
                begin(turn, index, reply)
            }
            (RequestBody::Empty, _) => {
                assert!(turn.ask.body(index).is_empty(), "turn {index} got no body");
                begin(turn, index, reply)
            }
            (RequestBody::Stream(_), Reads::Nothing) => begin(turn, index, reply),
        };
        self.open.push(Open { turn, index, stage });
    }

    fn turn(&mut self) -> bool {
        let mut has_news = false;
        for open in &mut self.open {
            has_news |= open.step();
        }
        self.open.retain(|open| !matches!(open.stage, Stage::Done));
        has_news
    }
}

impl Open<'_> {
    fn step(&mut self) -> bool {
        let stage = std::mem::replace(&mut self.stage, Stage::Done);
        let (stage, has_news) = match stage {
            Stage::Reading { mut reader, mut body, reply } => match reader.try_read() {
                None => (Stage::Reading { reader, body, reply }, false),
                Some(Ok(Some(chunk))) => {
                    body.extend_from_slice(&chunk);
                    (Stage::Reading { reader, body, reply }, true)
                }
                Some(Ok(None)) => {
                    assert!(body == self.turn.ask.body(self.index), "turn {} got another body", self.index);
                    (begin(self.turn, self.index, reply), true)
                }
                Some(Err(error)) => panic!("turn {}: {error}", self.index),
            },
            Stage::Sending { body, chunks } => send(self.turn, body, chunks),
            Stage::Done => (Stage::Done, false),
        };
        self.stage = stage;
        has_news
    }
}

/// The head, and the body if it is there at once.
fn begin(turn: &Turn, index: usize, reply: Reply) -> Stage {
    let answer = &turn.answer;
    for hint in &answer.hints {
        reply.hint(super::hint(hint));
    }
    match &answer.body {
        Body::Whole(size) => {
            let body = pattern(index, size.bytes());
            reply.respond(answer.head(body.len()), body.into());
        }
        Body::Chunks { sizes, pace, .. } => {
            let chunks = chunks(sizes, index);
            let mut body = reply.start(answer.head(chunks.iter().map(Bytes::len).sum()));
            let mut chunks = VecDeque::from(chunks);
            if *pace == Pace::AtOnce {
                while let Some(chunk) = chunks.pop_front() {
                    if let Err(Unsent::Full(chunk)) = body.try_send(chunk) {
                        chunks.push_front(chunk);
                        break;
                    }
                }
                if chunks.is_empty() {
                    end(turn, body);
                    return Stage::Done;
                }
            }
            return Stage::Sending { body, chunks };
        }
        Body::File { offset, length } => {
            let file = SHARED.try_clone().expect("a descriptor");
            let (offset, length) = (offset.bytes() as u64, length.bytes() as u64);
            let produced = usize::try_from(length).expect("a size");
            reply.respond_file(answer.head(produced), FileRange { file, offset, length });
        }
        Body::Fault(fault) => reply.fail(match fault {
            Fault::Application => exchange::Fault::Application("as the script says"),
            Fault::Server => exchange::Fault::Server("as the script says"),
            Fault::TooLarge => BodyError::TooLarge { limit: 1 }.into(),
            Fault::Timeout => BodyError::Timeout { seconds: 1 }.into(),
            Fault::Malformed => BodyError::Malformed.into(),
        }),
        Body::Silence => drop(reply),
    }
    Stage::Done
}

fn send(turn: &Turn, mut body: ReplyBody, mut chunks: VecDeque<Bytes>) -> (Stage, bool) {
    let Some(chunk) = chunks.pop_front() else {
        end(turn, body);
        return (Stage::Done, true);
    };
    match body.try_send(chunk) {
        Ok(()) => (Stage::Sending { body, chunks }, true),
        Err(Unsent::Full(chunk)) => {
            chunks.push_front(chunk);
            (Stage::Sending { body, chunks }, false)
        }
        Err(Unsent::NoReader(_)) => (Stage::Done, true),
    }
}

fn end(turn: &Turn, body: ReplyBody) {
    match &turn.answer.body {
        Body::Chunks { end: End::Finish, .. } => body.finish(),
        Body::Chunks { end: End::Fail, .. } => body.fail(exchange::Fault::Application("as the script says")),
        _ => drop(body),
    }
}

/// A body in chunks. Empty ones are for nobody.
pub fn chunks(sizes: &[super::Size], index: usize) -> Vec<Bytes> {
    let sizes: Vec<_> = sizes.iter().take(8).map(|size| size.bytes()).collect();
    let mut whole = Bytes::from(pattern(index, sizes.iter().sum()));
    sizes.into_iter().map(|size| whole.split_to(size)).collect()
}
