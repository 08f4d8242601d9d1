//! Inputs that nobody wrote: what fuzzing found worth keeping, mutations of it, and streams from a grammar.
//!
//! The checks are those of tests/fuzz, where cargo-fuzz runs them without end (`make fuzz`). Here each run is the same
//! as the one before: the seed is fixed. Failing inputs are made small; keep one as a line of
//! tests/fuzz/regressions/.

#[path = "fuzz/src/lib.rs"]
mod fuzz;

use std::cell::Cell;
use std::io::Write;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Everything kept for a target: findings of before first.
fn kept(target: &str) -> Vec<Vec<u8>> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let read = |folder: &str| {
        let path = fuzz.join(folder).join(target).with_extension("txt");
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fuzz::corpus::parse(&text)
    };
    [read("regressions"), read("corpus")].concat()
}

/// The same inputs in each run.
fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        rng_seed: RngSeed::Fixed(9112),
        failure_persistence: None,
        ..Config::default()
    })
}

/// Said even where a test's output is not shown.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[derive(Debug, Clone)]
enum Mutation {
    Put(Index, u8),
    Insert(Index, Vec<u8>),
    Delete(Index, u8),
    /// The rest comes from another input.
    Cross(Index, Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let word = select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec());
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Put(at, byte)),
        (any::<Index>(), prop_oneof![word, vec(any::<u8>(), 1..4)])
            .prop_map(|(at, what)| Mutation::Insert(at, what)),
        (any::<Index>(), 1..20_u8).prop_map(|(at, count)| Mutation::Delete(at, count)),
        any::<(Index, Index, Index)>().prop_map(|(at, other, from)| Mutation::Cross(at, other, from)),
    ]
}

const WORDS: [&str; 12] = [
    "\r\n",
    "\r\n\r\n",
    " ",
    "\t",
    ":",
    "\0",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "0\r\n\r\n",
];

fn mutated(input: &mut Vec<u8>, mutation: &Mutation, kept: &[Vec<u8>]) {
    let place = |at: &Index, length: usize| at.index(length + 1);
    match mutation {
        Mutation::Put(at, byte) if !input.is_empty() => {
            let at = at.index(input.len());
            input[at] = *byte;
        }
        Mutation::Put(..) => {}
        Mutation::Insert(at, what) => {
            let at = place(at, input.len());
            input.splice(at..at, what.iter().copied());
        }
        Mutation::Delete(at, count) => {
            let at = place(at, input.len());
            input.drain(at..input.len().min(at + usize::from(*count)));
        }
        Mutation::Cross(at, other, from) => {
            let other = other.get(kept);
            input.truncate(place(at, input.len()));
            input.extend_from_slice(&other[place(from, other.len())..]);
        }
    }
}

/// All that is kept for a target, and so many mutations of it.
fn run(target: &str, mutations: u32, check: fn(&[u8]) -> usize) {
    let kept = kept(target);
    let good = Cell::new(kept.iter().map(|input| check(input)).sum::<usize>());
    let strategy = (any::<Index>(), vec(mutation(), 1..4)).prop_map(|(which, mutations)| {
        let mut input = which.get(&kept).clone();
        mutations.iter().for_each(|mutation| mutated(&mut input, mutation, &kept));
        input
    });
    let ran = runner(mutations).run(&strategy, |input| {
        good.set(good.get() + check(&input));
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("{target}: {failure}"));
    assert!(good.get() > kept.len(), "{target}: next to nothing was good: the inputs reach too little");
    say(&format!(
        "{target}: {} inputs kept, {mutations} mutations, {} good messages in them",
        kept.len(),
        good.get()
    ));
}

#[test]
fn requests_are_what_the_rfc_says_up_to_the_environ() {
    run("request", 6000, fuzz::request::check);
}

#[test]
fn connections_answer_what_the_rfc_says() {
    run("connection", 1000, fuzz::connection::check);
}

#[test]
fn replies_are_framed_and_honest_whatever_the_application_does() {
    run("reply", 1000, fuzz::reply::check);
}

#[test]
fn proxies_are_believed_as_far_as_they_are_trusted() {
    run("proxies", 4000, fuzz::proxies::check);
}

// ---- streams from a grammar

fn header() -> impl Strategy<Value = String> {
    prop_oneof![
        40 => "[A-Z][a-z_-]{0,8}: ?[a-z0-9 ,;\t]{0,12}\r\n",
        4 => select(&["Connection: close\r\n", "Connection: keep-alive\r\n", "Expect: 100-continue\r\n"][..])
            .prop_map(str::to_owned),
        1 => select(&["A : b\r\n", " A: b\r\n", "A: b\rc\r\n", "A\r\n", "Host: y\r\n", "A: b\n"][..])
            .prop_map(str::to_owned),
    ]
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..30), 1 => (0..250_000_usize).prop_map(|size| vec![b'b'; size])]
}

/// A body in chunks: where it is cut, what stands behind the sizes, and the end.
fn chunked() -> impl Strategy<Value = Vec<u8>> {
    let end = prop_oneof![
        20 => select(&["0\r\n\r\n", "000;x\r\n\r\n", "0\r\nT: v\r\n\r\n"][..]),
        1 => select(&["0\r\nHost: v\r\n\r\n", "0\r\n\n", "g\r\n"][..]),
    ];
    let extension = prop_oneof![
        40 => select(&["", ";a", ";a=\"\\\";\""][..]),
        1 => select(&[" ;a", ";\r"][..]),
    ];
    (body(), vec((any::<Index>(), extension), 0..5), end).prop_map(|(body, cuts, end)| {
        let mut bytes = Vec::new();
        let mut chunk = |chunk: &[u8], extension: &str| {
            if !chunk.is_empty() {
                bytes.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
        };
        let mut rest = &body[..];
        for (cut, extension) in cuts {
            let (next, more) = rest.split_at(cut.index(rest.len() + 1));
            chunk(next, extension);
            rest = more;
        }
        chunk(rest, "");
        bytes.extend_from_slice(end.as_bytes());
        bytes
    })
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = (
        select(&["", "", "", "\r\n"][..]),
        select(&["GET", "POST", "HEAD", "OPTIONS", "X-ODD"][..]),
        prop_oneof![
            20 => select(&["/", "/a?b", "/%00%fF#c", "http://x:80?\"<>"][..]),
            1 => select(&["*", "/ b", "a", ""][..]),
        ],
        prop_oneof![20 => Just("1.1"), 3 => Just("1.0"), 1 => Just("2.0")],
    );
    let head = (line, vec(header(), 0..4)).prop_map(|((blank, method, target, version), headers)| {
        format!("{blank}{method} {target} HTTP/{version}\r\nHost: x\r\n{}", headers.concat())
    });
    let framed = prop_oneof![
        Just(b"\r\n".to_vec()),
        body()
            .prop_map(|body| [format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat()),
        chunked().prop_map(|chunks| [b"Transfer-Encoding: chunked\r\n\r\n", &chunks[..]].concat()),
    ];
    (head, framed).prop_map(|(head, framed)| [head.as_bytes(), &framed].concat())
}

/// Some requests one behind the other, perhaps damaged or cut off, and where the stream is split.
fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<Index>)> {
    let damage = proptest::option::weighted(0.2, (any::<Index>(), any::<u8>()));
    let end = proptest::option::weighted(0.1, any::<Index>());
    let bytes = (vec(request(), 1..5), damage, end).prop_map(|(requests, damage, end)| {
        let mut stream = requests.concat();
        if let Some((at, byte)) = damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        if let Some(end) = end {
            stream.truncate(end.index(stream.len()));
        }
        stream
    });
    (bytes, vec(any::<Index>(), 0..20))
}

fn pieces<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    cuts.sort_unstable();
    let mut from = 0;
    let mut pieces = Vec::new();
    for cut in cuts.into_iter().chain([stream.len()]) {
        if cut > from {
            pieces.push(&stream[from..cut]);
            from = cut;
        }
    }
    pieces
}

#[test]
fn where_a_stream_is_split_into_reads_changes_no_answer() {
    const CASES: u32 = 600;
    let answers = Cell::new(0);
    let ran = runner(CASES).run(&(stream(), 1..5000_usize), |((stream, cuts), reads)| {
        answers.set(answers.get() + fuzz::connection::check_pieces(&stream, pieces(&stream, &cuts), reads));
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(answers.get() > usize::try_from(CASES).unwrap(), "next to nothing was answered");
    say(&format!("splits: {CASES} streams, each whole and in pieces, {} answers to each", answers.get()));
}
