//! Finds the end of an object or array, 64 bytes at a time.
//!
//! A loop over single bytes mispredicts at the end of every string and costs 330 ns on an event of
//! 240 bytes, bit masks cost 35. As in "Parsing Gigabytes of JSON per Second" (Langdale and Lemire,
//! 2019), bit n of a mask stands for byte n of a block. The loops that make the masks are plain, for
//! the compiler to vectorise.

const BLOCK_BYTES: usize = 64;
type Block = [u8; BLOCK_BYTES];

/// An object or array whose first bracket has been read. Only brackets of its own kind count: in
/// valid JSON the others are balanced within, and in broken JSON its own end it soonest.
#[derive(Clone, Copy)]
pub(super) struct Nested {
    open: u8,
    close: u8,
    depth: u64,
    in_string: bool,
    /// A backslash came last.
    escaped: bool,
}

impl Nested {
    pub(super) fn opened(open: u8, close: u8) -> Self {
        Self { open, close, depth: 1, in_string: false, escaped: false }
    }

    /// How many of the next `bytes` belong to the value; `None` if it goes on after them.
    pub(super) fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        let (blocks, rest) = bytes.as_chunks::<BLOCK_BYTES>();
        for (index, block) in blocks.iter().enumerate() {
            if let Some(end) = self.end_in_block(block, BLOCK_BYTES) {
                return Some(index * BLOCK_BYTES + end);
            }
        }
        if rest.is_empty() {
            return None;
        }
        let mut last = [0; BLOCK_BYTES];
        last[..rest.len()].copy_from_slice(rest);
        let end = self.end_in_block(&last, rest.len())?;
        Some(blocks.len() * BLOCK_BYTES + end)
    }

    /// The same for one block, of which the first `length` bytes are input and the rest zeros.
    fn end_in_block(&mut self, block: &Block, length: usize) -> Option<usize> {
        let (open, close) = (self.open, self.close);
        let quotes = mask(block, |byte| byte == b'"') & !self.escapes(block, length);
        let strings = self.strings(quotes);
        let mut brackets = mask(block, |byte| byte == open || byte == close) & !strings;
        while brackets != 0 {
            let index = brackets.trailing_zeros() as usize;
            if block[index] == open {
                self.depth += 1;
            } else if self.depth == 1 {
                return Some(index + 1);
            } else {
                self.depth -= 1;
            }
            brackets &= brackets - 1;
        }
        None
    }

    /// Marks each byte that a backslash escapes.
    fn escapes(&mut self, block: &Block, length: usize) -> u64 {
        // Most blocks have no backslash; `contains` would stop early and not be vectorised.
        let any = block.iter().fold(false, |any, byte| any | (*byte == b'\\'));
        let mut escapes = u64::from(self.escaped);
        self.escaped = false;
        if any {
            let mut backslashes = mask(block, |byte| byte == b'\\') & !escapes;
            while backslashes != 0 {
                let index = backslashes.trailing_zeros();
                escapes |= 2 << index;
                backslashes &= !(3 << index);
                self.escaped = index as usize + 1 == length;
            }
        }
        escapes
    }

    /// Marks each byte from an opening quote up to its closing one: bit n is the parity of the quotes
    /// up to n.
    fn strings(&mut self, quotes: u64) -> u64 {
        let mut strings = quotes;
        for distance in [1, 2, 4, 8, 16, 32] {
            strings ^= strings << distance;
        }
        if self.in_string {
            strings = !strings;
        }
        self.in_string = strings >> (BLOCK_BYTES - 1) == 1;
        strings
    }
}

/// A bit for each byte of which `is` holds.
#[inline(always)]
fn mask(block: &Block, is: impl Fn(u8) -> bool) -> u64 {
    /// Multiplied with eight bytes that are 0 or 1, it gathers them as the bits of the top byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut flags = [0; BLOCK_BYTES];
    for (flag, byte) in flags.iter_mut().zip(block) {
        *flag = u8::from(is(*byte));
    }
    let mut mask = 0;
    for (index, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        mask |= (u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56) << (8 * index);
    }
    mask
}
