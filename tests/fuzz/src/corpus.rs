//! Inputs kept as text: one a line, in Rust's and Python's notation of byte strings; lines with `#` are comments.

/// The inputs of one file.
pub fn parse(text: &str) -> Vec<Vec<u8>> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(unescape).collect()
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = line.bytes();
    let mut input = Vec::new();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'\\' => match bytes.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'x') => {
                    let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
                    let (high, low) = (digit(), digit());
                    let value = high.zip(low).map(|(high, low)| high * 16 + low);
                    u8::try_from(value.expect("two hexadecimal digits after \\x")).expect("two digits")
                }
                Some(other) => other,
                None => panic!("a lone backslash ends the line {line:?}"),
            },
            other => other,
        };
        input.push(byte);
    }
    input
}
