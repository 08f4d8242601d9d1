//! Generated requests: the same in each run, in more shapes than anybody would write down.

mod support;

use support::{Client, Site, echo};

/// xorshift64: a small generator with a fixed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1);
        (0..length).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }
}

/// A valid request and the body that is to come back.
fn request(random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let most = [0, 10, 1000, 100_000][random.below(4)];
    let body = random.bytes(most);
    let mut bytes = Vec::new();
    bytes.extend_from_slice(random.one_of(&["", "", "\r\n"]).as_bytes());
    bytes.extend_from_slice(random.one_of(&["POST", "GET", "PUT", "X-ODD"]).as_bytes());
    bytes.extend_from_slice(random.one_of(&[" / ", " /a?b ", " http://x/a ", " /%00%ff;a=b "]).as_bytes());
    bytes.extend_from_slice(b"HTTP/1.1\r\nHost: x\r\n");
    for _ in 0..random.below(5) {
        bytes.extend_from_slice(
            random.one_of(&["A: b\r\n", "Empty:\r\n", "Tab:\t\tx y\t\r\n", "X_Y: z\r\n"]).as_bytes(),
        );
    }
    if random.below(2) == 0 {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(&body);
        return (bytes, body);
    }
    bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    let mut rest = &body[..];
    while !rest.is_empty() {
        let (chunk, more) = rest.split_at(1 + random.below(rest.len()));
        let size =
            if random.below(2) == 0 { format!("{:x}", chunk.len()) } else { format!("00{:X}", chunk.len()) };
        let extension = random.one_of(&["", "", ";a", ";a=b", ";a=\"\\\";\""]);
        bytes.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
        rest = more;
    }
    bytes.extend_from_slice(
        random.one_of(&["0\r\n\r\n", "000;x\r\n\r\n", "0\r\nT: v\r\nU:\r\n\r\n"]).as_bytes(),
    );
    (bytes, body)
}

#[test]
fn pipelines_in_random_pieces_come_back_as_they_were_sent() {
    let site = Site::new(echo);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..60 {
        let (stream, bodies): (Vec<_>, Vec<_>) =
            (0..1 + random.below(6)).map(|_| request(&mut random)).unzip();
        let mut client = site.connect();
        let sender = client.stream.try_clone().unwrap();
        let mut sender = Client::new(sender).unwrap();
        let mut rest = &stream.concat()[..];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !rest.is_empty() {
                    let most = [1, 10, 100, 100_000][random.below(4)];
                    let (piece, more) = rest.split_at(rest.len().min(1 + random.below(most)));
                    sender.send(piece);
                    rest = more;
                }
            });
            for body in &bodies {
                let answer = client.answer();
                assert_eq!(answer.status, 200);
                assert!(answer.body == *body, "{} bytes for {}", answer.body.len(), body.len());
            }
        });
    }
}

#[test]
fn damaged_pipelines_get_well_formed_answers_or_none() {
    let site = Site::new(echo);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..400 {
        let (mut stream, _) = request(&mut random);
        stream.truncate(3000);
        stream.extend(request(&mut random).0.into_iter().take(3000));
        for _ in 0..1 + random.below(3) {
            let at = random.below(stream.len().min(300));
            stream[at] = random.one_of(&["\r", "\n", "\0", " ", ":", "9", "\u{7f}", ";"]).as_bytes()[0];
        }
        let mut client = site.connect();
        client.send(&stream);
        client.leave();
        while let Some(answer) = client.try_answer() {
            assert!(
                [200, 400, 408, 411, 413, 414, 417, 431, 501, 505].contains(&answer.status),
                "{answer:?}"
            );
        }
    }
    assert_eq!(site.get("/").status, 200);
}
