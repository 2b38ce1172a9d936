//! What is appended: chat records, most of them short, some long, 1 KiB at the median.

use std::sync::LazyLock;

/// What a line of sesslog holds beside the body: its frame with a newline, for a seq of five digits.
const FRAME_BYTES: usize = 135;

/// One record, in the forms that the peers take.
pub(crate) struct Body {
    /// The body, as a gateway has it.
    pub(crate) json: String,
    /// A line as long as sesslog's line of the same body, so that a file written by hand grows as fast as a transcript.
    pub(crate) line: Vec<u8>,
}

impl Body {
    fn new(json: String) -> Self {
        let mut line = json.clone().into_bytes();
        line.resize(json.len() + FRAME_BYTES - 1, b' ');
        line.push(b'\n');
        Self { json, line }
    }
}

/// Bodies of 200 bytes to 16 KiB, the same as in the crate's own benchmark.
static BODIES: LazyLock<Vec<Body>> = LazyLock::new(|| {
    let lengths = [200, 350, 500, 700, 900, 1000, 1050, 1200, 1800, 3000, 6000, 16_000];
    let json = |(at, length): (usize, &usize)| {
        format!(r#"{{"role":"assistant","n":{at},"content":"{}"}}"#, "lorem ipsum ".repeat(length / 12))
    };
    lengths.iter().enumerate().map(json).map(Body::new).collect()
});

/// Returns the body of somebody's n-th record; neighbours in n differ in length.
pub(crate) fn body(n: usize) -> &'static Body {
    let bodies: &'static [Body] = &BODIES;
    // 5 is coprime to their number: all of them come up, short ones and long ones in turn.
    &bodies[n * 5 % bodies.len()]
}

/// Bytes of a body on average.
pub(crate) fn mean_bytes() -> usize {
    BODIES.iter().map(|body| body.json.len()).sum::<usize>() / BODIES.len()
}

/// The same without the two longest.
pub(crate) fn short_chat(n: usize) -> &'static Body {
    let bodies: &'static [Body] = &BODIES;
    &bodies[n * 3 % (bodies.len() - 2)]
}
