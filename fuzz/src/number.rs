//! Lines as numbers: exact arithmetic against sums on paper, digit by digit.

use std::cmp::Ordering;

use millpond_core::number::{DIGITS, Number};
use serde_json::value::RawValue;

use crate::first_line;

/// The most numbers of one input.
const NUMBERS_MAX: usize = 40;
/// Places of a number on paper: room for a sum, then 28 before the point and 28 behind it.
const PLACES: usize = 4 + 2 * DIGITS;

/// A number on paper: the first digit is the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Paper {
    is_negative: bool,
    digits: [u8; PLACES],
}

/// The first line is a count to divide by, each of the others may be a number.
pub fn run(bytes: &[u8]) {
    let (count, lines) = first_line(bytes);
    let count: u64 = std::str::from_utf8(count).ok().and_then(|count| count.parse().ok()).unwrap_or(7);
    let (mut sum, mut paper_sum) = (Number::default(), Paper::zero());
    let mut before: Option<(Number, Paper)> = None;
    for line in lines.split(|byte| *byte == b'\n').take(NUMBERS_MAX) {
        let Ok(text) = std::str::from_utf8(line) else { continue };
        let (number, paper) = (Number::parse(text), Paper::parse(text));
        let (number, paper) = match (number, paper) {
            (Some(number), Some(paper)) => (number, paper),
            (None, None) => continue,
            (number, paper) => panic!("{text:?} is {number:?}, and {paper:?} on paper"),
        };
        same(number, &paper);
        (sum, paper_sum) = (sum.plus(number), paper_sum.plus(&paper));
        same(sum, &paper_sum);
        assert_eq!(number.plus(sum), sum.plus(number));
        same(number.divided_by(count), &paper.divided_by(count));
        same(sum.divided_by(count), &paper_sum.divided_by(count));
        if let Some((other, other_paper)) = before {
            assert_eq!(number.cmp(&other), paper.order(&other_paper), "{number} and {other}");
        }
        before = Some((number, paper));
    }
}

fn same(number: Number, paper: &Paper) {
    assert_eq!(number.to_string(), paper.shown());
    // A sum may have more digits than are read.
    assert!(Number::parse(&number.to_string()).is_none_or(|again| again == number));
}

impl Paper {
    fn zero() -> Self {
        Self { is_negative: false, digits: [0; PLACES] }
    }

    /// `None` if it is no JSON number, or has a digit beyond the 28th on either side.
    fn parse(text: &str) -> Option<Self> {
        let raw: &RawValue = serde_json::from_str(text).ok()?;
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        if raw.get() != text || !unsigned.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut paper = Self::zero();
        for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate().filter(|(_, digit)| *digit != b'0') {
            // An exponent that does not fit moves the point further than any digit is away from it.
            let exponent: i64 = exponent.parse::<i32>().ok()?.into();
            let place = (PLACES - DIGITS) as i64 - whole.len() as i64 + index as i64 - exponent;
            let place = usize::try_from(place).ok().filter(|place| (PLACES - 2 * DIGITS..PLACES).contains(place))?;
            paper.digits[place] = digit - b'0';
        }
        paper.is_negative = text.starts_with('-') && paper.digits != [0; PLACES];
        Some(paper)
    }

    fn plus(&self, other: &Self) -> Self {
        let (mut sum, mut carry) = (*self, 0i8);
        if self.is_negative == other.is_negative {
            for (digit, more) in sum.digits.iter_mut().zip(other.digits).rev() {
                let both = *digit as i8 + more as i8 + carry;
                (*digit, carry) = ((both % 10) as u8, both / 10);
            }
            assert_eq!(carry, 0, "there is room for every sum here");
            return sum;
        }
        let (mut large, small) = if self.digits >= other.digits { (*self, other) } else { (*other, self) };
        for (digit, less) in large.digits.iter_mut().zip(small.digits).rev() {
            let rest = *digit as i8 - less as i8 - carry;
            (*digit, carry) = (rest.rem_euclid(10) as u8, i8::from(rest < 0));
        }
        large.is_negative &= large.digits != [0; PLACES];
        large
    }

    /// Rounded half up in magnitude; nothing by nothing.
    fn divided_by(&self, count: u64) -> Self {
        let count = u128::from(count);
        let mut quotient = Self::zero();
        if count == 0 {
            return quotient;
        }
        let mut rest = 0u128;
        for (digit, out) in self.digits.iter().zip(&mut quotient.digits) {
            rest = rest * 10 + u128::from(*digit);
            (*out, rest) = ((rest / count) as u8, rest % count);
        }
        quotient.is_negative = self.is_negative && (quotient.digits != [0; PLACES] || rest * 2 >= count);
        if rest * 2 >= count {
            let mut last = Self { is_negative: quotient.is_negative, ..Self::zero() };
            last.digits[PLACES - 1] = 1;
            quotient = quotient.plus(&last);
        }
        quotient
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.digits.cmp(&other.digits),
            (true, true) => other.digits.cmp(&self.digits),
        }
    }

    fn shown(&self) -> String {
        let text = |digits: &[u8]| digits.iter().map(|digit| char::from(b'0' + digit)).collect::<String>();
        let (whole, fraction) = self.digits.split_at(PLACES - DIGITS);
        let (whole, fraction) = (text(whole), text(fraction));
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let sign = if self.is_negative { "-" } else { "" };
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{sign}{}{point}{fraction}", if whole.is_empty() { "0" } else { whole })
    }
}
