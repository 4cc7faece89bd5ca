//! Header compression as far as a test needs it: written plainly, read in full (RFC 7541). An own reader and writer, so that what is
//! tested is not tested with itself.

/// Appendix A.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// How many bits the code of each symbol has (Appendix B), the end of the string last. Codes of one length count up with their symbols,
/// so that the lengths say all.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// A block of fields as literals that nobody has to remember.
pub fn encode(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(name.as_bytes(), &mut block);
        string(value, &mut block);
    }
    block
}

fn string(bytes: &[u8], block: &mut Vec<u8>) {
    if bytes.len() < 127 {
        block.push(bytes.len() as u8);
    } else {
        block.push(127);
        let mut rest = bytes.len() - 127;
        while rest >= 128 {
            block.push(rest as u8 | 128);
            rest >>= 7;
        }
        block.push(rest as u8);
    }
    block.extend_from_slice(bytes);
}

/// One direction's memory.
#[derive(Default)]
pub struct Decoder {
    /// Newest first.
    dynamic: Vec<(String, String)>,
}

impl Decoder {
    pub fn decode(&mut self, block: &[u8]) -> Vec<(String, String)> {
        let mut rest = Block { bytes: block, at: 0 };
        let mut fields = Vec::new();
        while rest.at < block.len() {
            let first = block[rest.at];
            match first {
                0x80.. => {
                    let index = rest.integer(7);
                    fields.push(self.entry(index));
                }
                0x40.. => {
                    let field = self.literal(&mut rest, 6);
                    self.dynamic.insert(0, field.clone());
                    fields.push(field);
                }
                0x20.. => {
                    let size = rest.integer(5);
                    if size == 0 {
                        self.dynamic.clear();
                    }
                }
                _ => {
                    let field = self.literal(&mut rest, 4);
                    fields.push(field);
                }
            }
            self.evict();
        }
        fields
    }

    fn literal(&self, rest: &mut Block<'_>, bits: u8) -> (String, String) {
        let name = match rest.integer(bits) {
            0 => rest.string(),
            index => self.entry(index).0,
        };
        (name, rest.string())
    }

    fn entry(&self, index: usize) -> (String, String) {
        match STATIC.get(index - 1) {
            Some((name, value)) => ((*name).to_owned(), (*value).to_owned()),
            None => self.dynamic[index - 1 - STATIC.len()].clone(),
        }
    }

    fn evict(&mut self) {
        let size = |entries: &[(String, String)]| entries.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>();
        while size(&self.dynamic) > 4096 {
            self.dynamic.pop();
        }
    }
}

struct Block<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Block<'_> {
    fn integer(&mut self, bits: u8) -> usize {
        let most = (1usize << bits) - 1;
        let mut number = self.bytes[self.at] as usize & most;
        self.at += 1;
        if number == most {
            let mut shift = 0;
            loop {
                let byte = self.bytes[self.at] as usize;
                self.at += 1;
                number += (byte & 127) << shift;
                shift += 7;
                if byte < 128 {
                    break;
                }
            }
        }
        number
    }

    fn string(&mut self) -> String {
        let coded = self.bytes[self.at] >= 128;
        let len = self.integer(7);
        let bytes = &self.bytes[self.at..self.at + len];
        self.at += len;
        let text = if coded { huffman(bytes) } else { bytes.to_vec() };
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn huffman(bytes: &[u8]) -> Vec<u8> {
    let mut order: Vec<usize> = (0..LENGTHS.len()).collect();
    order.sort_by_key(|symbol| (LENGTHS[*symbol], *symbol));
    let mut text = Vec::new();
    let (mut code, mut len) = (0u32, 0u8);
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)) {
        code = code << 1 | u32::from(bit);
        len += 1;
        let (mut next, mut previous) = (0u32, 0u8);
        for symbol in &order {
            next <<= LENGTHS[*symbol] - previous;
            previous = LENGTHS[*symbol];
            if previous > len {
                break;
            }
            if previous == len && next == code {
                text.push(*symbol as u8);
                (code, len) = (0, 0);
                break;
            }
            next += 1;
        }
    }
    text
}

#[test]
fn the_examples_of_the_document_are_read() {
    // RFC 7541 C.4.1 and C.4.2.
    let mut decoder = Decoder::default();
    let first = [0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
    assert_eq!(decoder.decode(&first)[3], (":authority".to_owned(), "www.example.com".to_owned()));
    let second = [0x82, 0x86, 0x84, 0xbe, 0x58, 0x86, 0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf];
    assert_eq!(
        decoder.decode(&second)[3..],
        [(":authority".to_owned(), "www.example.com".to_owned()), ("cache-control".to_owned(), "no-cache".to_owned())]
    );
}
