//! Files as bodies: whole and in order, whatever the socket and the client's speed.

mod support;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use chaussette::config::Address;
use chaussette::exchange::{Exchange, FileRange};
use support::{PATIENCE, Site, head, hello};

/// Larger than what the kernel takes in for one connection.
const SIZE: u64 = 24 * 1024 * 1024;

/// A path that this test run alone uses.
fn path(kind: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("chaussette-{kind}-{}-{number}", std::process::id()))
}

/// A file without a name, of `SIZE` bytes that tell where they are.
fn content() -> File {
    let path = path("file");
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.write_all(&CONTENT).unwrap();
    file
}

/// Made once, and compared as a whole: byte by byte a busy machine takes longer than a connection is kept.
static CONTENT: LazyLock<Vec<u8>> = LazyLock::new(|| (0..SIZE).map(byte_at).collect());

fn byte_at(at: u64) -> u8 {
    u8::try_from((at ^ (at >> 9) ^ (at >> 18)) & 0xff).unwrap()
}

fn is_from(offset: u64, bytes: &[u8]) -> bool {
    let from = usize::try_from(offset).unwrap();
    CONTENT.get(from..from + bytes.len()) == Some(bytes)
}

/// Answers with the range that the query names: offset,length.
fn serving(file: File) -> impl Fn(Exchange) + Send + Sync + 'static {
    move |exchange: Exchange| {
        let query = exchange.request.uri.query().unwrap_or_default().to_owned();
        let Some((offset, length)) = query.split_once(',') else { return hello(exchange) };
        let range = FileRange {
            file: file.try_clone().unwrap(),
            offset: offset.parse().unwrap(),
            length: length.parse().unwrap(),
        };
        exchange.reply.respond_file(head(200, &[]), range);
    }
}

fn ask(offset: u64, length: u64) -> String {
    format!("GET /?{offset},{length} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[test]
fn any_range_of_a_large_file_arrives_as_it_is_and_the_next_answer_follows() {
    let site = Site::new(serving(content()));
    let mut client = site.connect();
    let ranges = [
        (0, SIZE),
        (1, 65_536),
        (1, 65_537),
        (4095, 262_144),
        (4095, 262_145),
        (777, 1_000_001),
        (SIZE - 7, 7),
    ];
    for (offset, length) in ranges {
        client.send(ask(offset, length));
        let answer = client.answer();
        assert_eq!((offset, answer.body.len() as u64), (offset, length));
        assert!(is_from(offset, &answer.body), "{offset} {length}");
    }
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.answer().text(), "Hello, World!");
}

#[test]
fn pipelined_files_do_not_mix() {
    let site = Site::new(serving(content()));
    let mut client = site.connect();
    client.send([ask(0, 700_000), ask(700_000, 90_000), ask(1_000_000, 400_000)].concat());
    for (offset, length) in [(0, 700_000), (700_000, 90_000), (1_000_000, 400_000)] {
        let answer = client.answer();
        assert_eq!(answer.body.len(), length);
        assert!(is_from(offset, &answer.body), "{offset}");
    }
}

#[test]
fn many_slow_readers_get_the_whole_file_each() {
    let site = Site::new(serving(content()));
    std::thread::scope(|scope| {
        for reader in 0..8_u64 {
            let mut client = site.connect();
            scope.spawn(move || {
                let (offset, length) = (reader * 1000, SIZE / 4);
                client.send(ask(offset, length));
                client.read_head().unwrap();
                for at in (0..length).step_by(10_007) {
                    let piece = client.take(usize::try_from((length - at).min(10_007)).unwrap()).unwrap();
                    assert!(is_from(offset + at, &piece), "{offset} {at}");
                }
            });
        }
    });
}

#[test]
fn a_file_goes_over_a_unix_socket_and_to_a_client_of_http_1_0() {
    let socket = path("socket");
    let site = Site::on(&Address::Unix(socket.clone()), serving(content()));
    let mut client = UnixStream::connect(&socket).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(format!("GET /?5,{} HTTP/1.0\r\n\r\n", SIZE - 5).as_bytes()).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert_eq!((answer.len() - body) as u64, SIZE - 5);
    assert!(is_from(5, &answer[body..]));
    drop(site);
}

#[test]
fn a_file_that_shrinks_under_way_breaks_the_connection_off() {
    let file = content();
    let mut same = file.try_clone().unwrap();
    let site = Site::new(serving(file));
    let mut client = site.connect();
    client.send(ask(0, SIZE));
    client.read_head().unwrap();
    same.set_len(1_000_000).unwrap();
    same.seek(SeekFrom::Start(0)).unwrap();
    let got = client.rest();
    assert!((got.len() as u64) < SIZE, "{}", got.len());
    assert_eq!(site.get("/").status, 200);
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_no_descriptor_behind() {
    let file = content();
    let links =
        || std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|one| one.unwrap().path().read_link().ok());
    // Of this file: other tests open theirs meanwhile.
    let name = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())).read_link().unwrap();
    let open = || links().filter(|link| *link == name).count();
    let site = Site::new(serving(file));
    assert_eq!(site.get("/").status, 200);
    let before = open();
    for _ in 0..20 {
        let mut client = site.connect();
        client.send(ask(0, SIZE));
        client.read_head().unwrap();
    }
    support::soon("their files are closed", || open() <= before);
}
