//! Exact decimal numbers: what `sum`, `avg`, `min` and `max` compute with, so that no order of
//! events changes a digit.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Digits kept on each side of the decimal point. 28 + 28 digits hold every amount, timestamp and
/// measurement we know of, and leave 10^10 additions of the largest before an `i128` is full.
pub const DIGITS: usize = 28;

const ONE: u128 = 10u128.pow(DIGITS as u32);

/// A decimal with up to 28 digits on each side of the point: `whole + fraction / 10^28`.
///
/// `whole` is rounded towards minus infinity, so each value has one form and the derived order is
/// the numeric one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Number {
    whole: i128,
    fraction: u128,
}

/// A number as bytes have it, whatever they say.
#[derive(Deserialize)]
struct Stored {
    whole: i128,
    fraction: u128,
}

impl TryFrom<Stored> for Number {
    type Error = &'static str;

    fn try_from(Stored { whole, fraction }: Stored) -> Result<Self, Self::Error> {
        // The least whole number has no negative.
        let is_sound = fraction < ONE && whole > i128::MIN;
        if is_sound { Ok(Self { whole, fraction }) } else { Err("its fraction is none") }
    }
}

impl Number {
    /// Reads the text of a JSON number.
    ///
    /// `None` if it is no JSON number, or has more than [`DIGITS`] significant digits on one side
    /// of the point: such a value cannot be summed exactly.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(small) = parse_small_integer(text) {
            return Some(Self::from(small));
        }
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = split_exponent(text)?;
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        if whole.is_empty() || has_leading_zero(whole) || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let point = whole.len() as i64 + exponent;
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|b| b - b'0').collect();
        Self::from_digits(negative, &digits, point)
    }

    /// `digits` with the point before `digits[point]`.
    fn from_digits(negative: bool, digits: &[u8], point: i64) -> Option<Self> {
        let (mut whole, mut fraction) = (0i128, 0u128);
        for (index, &digit) in digits.iter().enumerate().filter(|(_, d)| **d != 0) {
            let place = point - 1 - index as i64; // 0 = ones, -1 = tenths
            if place >= DIGITS as i64 || place < -(DIGITS as i64) {
                return None;
            }
            if place >= 0 {
                whole += i128::from(digit) * 10i128.pow(place as u32);
            } else {
                fraction += u128::from(digit) * 10u128.pow((DIGITS as i64 + place) as u32);
            }
        }
        let number = Self { whole, fraction };
        Some(if negative { number.negated() } else { number })
    }

    fn negated(self) -> Self {
        if self.fraction == 0 {
            Self { whole: -self.whole, fraction: 0 }
        } else {
            Self { whole: -self.whole - 1, fraction: ONE - self.fraction }
        }
    }

    /// The exact sum. Saturates only past 10^10 additions of the largest number, which no key has.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let fraction = self.fraction + other.fraction; // < 2 * 10^28: fits
        let carry = i128::from(fraction >= ONE);
        Self {
            whole: self.whole.saturating_add(other.whole).saturating_add(carry).max(-i128::MAX),
            fraction: if carry == 1 { fraction - ONE } else { fraction },
        }
    }

    /// The quotient by a count, rounded half up in magnitude at the 28th digit after the point.
    #[must_use]
    pub fn divided_by(self, count: u64) -> Self {
        let Some(divisor) = (count > 0).then_some(u128::from(count)) else {
            return Self::default();
        };
        let negative = self.whole < 0;
        let magnitude = if negative { self.negated() } else { self };
        let unsigned = magnitude.whole.unsigned_abs();
        let mut whole = unsigned / divisor;
        let mut rest = unsigned % divisor;
        let mut fraction = 0u128;
        let mut place = ONE;
        for _ in 0..DIGITS {
            place /= 10;
            rest = rest * 10 + magnitude.fraction / place % 10; // rest < 2^64: fits
            fraction = fraction * 10 + rest / divisor;
            rest %= divisor;
        }
        if rest * 2 >= divisor {
            fraction += 1;
        }
        if fraction == ONE {
            whole += 1;
            fraction = 0;
        }
        let quotient = Self { whole: whole as i128, fraction };
        if negative { quotient.negated() } else { quotient }
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self { whole: i128::from(value), fraction: 0 }
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self { whole: i128::from(value), fraction: 0 }
    }
}

/// The shortest plain JSON form: no exponent, no trailing zeros, no `-0`.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = if self.whole < 0 { self.negated() } else { *self };
        if self.whole < 0 {
            f.write_str("-")?;
        }
        write!(f, "{}", magnitude.whole)?;
        if magnitude.fraction > 0 {
            let digits = format!("{:0width$}", magnitude.fraction, width = DIGITS);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

fn parse_small_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.len() <= 18 && all_digits(digits) && !has_leading_zero(digits);
    plain.then(|| text.parse().ok()).flatten()
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// JSON has no such numbers.
fn has_leading_zero(digits: &str) -> bool {
    digits.len() > 1 && digits.starts_with('0')
}

/// `1.5e3` into (`1.5`, 3).
fn split_exponent(text: &str) -> Option<(&str, i64)> {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return Some((text, 0)) };
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || !all_digits(digits) {
        return None;
    }
    // One too long for an i32 moves every digit out of range, and 0 nowhere: so does the largest.
    let places = i64::from(digits.parse::<i32>().unwrap_or(i32::MAX));
    Some((mantissa, if exponent.starts_with('-') { -places } else { places }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        Number::parse(text).map_or("none".into(), |n| n.to_string())
    }

    /// A mean whose last digit is rounded up over all nines is the next whole number.
    #[test]
    fn a_quotient_is_rounded_up_to_a_whole_number() {
        let sum = Number::parse(&format!("5.{}", "9".repeat(DIGITS))).unwrap();
        assert_eq!(sum.divided_by(3).to_string(), "2");
        assert_eq!(sum.negated().divided_by(3).to_string(), "-2");
    }

    #[test]
    fn each_value_has_one_form() {
        for (text, form) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("1.50", "1.5"),
            ("-1.5", "-1.5"),
            ("1e3", "1000"),
            ("15e-1", "1.5"),
            ("-0.25", "-0.25"),
            ("1E+2", "100"),
            ("123456789012345678901234567.5", "123456789012345678901234567.5"),
            ("0.0000000000000000000000000001", "0.0000000000000000000000000001"),
            ("1e28", "none"),
            ("1e-29", "none"),
            ("0e999999", "0"),
            ("9999999999999999999999999999", "9999999999999999999999999999"),
            ("abc", "none"),
            ("", "none"),
            ("1.2.3", "none"),
        ] {
            assert_eq!(shown(text), form, "{text}");
        }
    }

    /// A fuzzer found that 0e99999999999 was no number, so that it and 0, which are equal, had two
    /// canonical forms: the second delivery of an event was a conflict, and a set held 0 twice.
    #[test]
    fn zero_is_zero_whatever_its_exponent() {
        for text in ["0e99999999999", "-0.00E+99999999999999999999", "0e-99999999999"] {
            assert_eq!(shown(text), "0", "{text}");
        }
        for text in ["1e99999999999", "0.1e-99999999999", "0e", "0e+", "0e+-1", "0e1e1", "0ex"] {
            assert_eq!(shown(text), "none", "{text}");
        }
    }

    /// A fuzzer found that these were read, though JSON has no such numbers.
    #[test]
    fn what_json_has_not_is_no_number() {
        for text in ["007", "-00", "00.5", "5.", "-5.e3", "01e1", "00", "+5", "1_0", "0x5"] {
            assert_eq!(shown(text), "none", "{text}");
        }
    }

    /// A fuzzer changed bytes of a stored state until a fraction was larger than one: reading took it,
    /// and showing it overflowed, which is a panic or a wrong document, and not damage.
    #[test]
    fn damaged_numbers_are_not_read() {
        let bytes = |whole: i128, fraction: u128| postcard::to_stdvec(&(whole, fraction)).unwrap();
        for (whole, fraction) in [(0, ONE), (-1, u128::MAX), (i128::MIN, 0)] {
            assert!(postcard::from_bytes::<Number>(&bytes(whole, fraction)).is_err(), "{whole} {fraction}");
        }
        for text in ["0", "-0.25", "9999999999999999999999999999.9999999999999999999999999999"] {
            let number = Number::parse(text).unwrap();
            assert_eq!(postcard::from_bytes(&bytes(number.whole, number.fraction)), Ok(number));
        }
        let least = Number { whole: i128::MIN + 2, fraction: 0 };
        assert_eq!(least.plus(least).to_string(), format!("-{}", i128::MAX));
    }

    #[test]
    fn a_tenth_ten_times_is_one() {
        let tenth = Number::parse("0.1").unwrap();
        let sum = (0..10).fold(Number::default(), |sum, _| sum.plus(tenth));
        assert_eq!(sum.to_string(), "1");
    }

    #[test]
    fn quotients_round_at_the_last_digit() {
        let shown = |text: &str, by| Number::parse(text).unwrap().divided_by(by).to_string();
        assert_eq!(shown("10", 4), "2.5");
        assert_eq!(shown("-10", 4), "-2.5");
        assert_eq!(shown("2", 3), "0.6666666666666666666666666667");
        assert_eq!(shown("-1", 3), "-0.3333333333333333333333333333");
        assert_eq!(shown("0.3", 3), "0.1");
        assert_eq!(shown("1", 0), "0");
    }

    proptest! {
        #[test]
        fn order_and_sums_agree_with_integers(a in -1_000_000_000i64..1_000_000_000, b in -1_000_000_000i64..1_000_000_000) {
            let decimal = |n: i64| Number::parse(&format!("{n}e-4")).unwrap();
            prop_assert_eq!(decimal(a).cmp(&decimal(b)), a.cmp(&b));
            prop_assert_eq!(decimal(a).plus(decimal(b)), decimal(a + b));
            prop_assert_eq!(Number::parse(&decimal(a).to_string()), Some(decimal(a)));
        }
    }
}
