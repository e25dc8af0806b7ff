//! What a worker costs. Comes in: a decimal number as an operator writes it. Goes out: a whole number of millionths. The currency is deliberately
//! unknown: prices are only compared with each other.

use std::fmt;
use std::str::FromStr;

use crate::limits;

/// Millionths per hour, in whatever the operators count; 0: none was said, or it costs nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct HourlyPrice(pub u64);

const MILLION: u64 = 1_000_000;

/// Why a text is no price.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    #[error("'{0}' is no decimal number: write for example 0.35, without a currency")]
    NotDecimal(String),
    #[error("'{0}' has more than six decimals")]
    TooFine(String),
    #[error("'{0}' is over {max}", max = HourlyPrice(limits::PRICE_MICROS_MAX))]
    TooHigh(String),
}

impl FromStr for HourlyPrice {
    type Err = PriceError;

    fn from_str(text: &str) -> Result<Self, PriceError> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !are_digits(whole) || !are_digits(part) {
            return Err(PriceError::NotDecimal(text.to_owned()));
        }
        if part.len() > 6 {
            return Err(PriceError::TooFine(text.to_owned()));
        }
        let micros = whole.parse::<u64>().ok().zip(format!("{part:0<6}").parse::<u64>().ok());
        let micros = micros.and_then(|(whole, part)| whole.checked_mul(MILLION)?.checked_add(part));
        let micros = micros.filter(|micros| *micros <= limits::PRICE_MICROS_MAX);
        micros.map(HourlyPrice).ok_or_else(|| PriceError::TooHigh(text.to_owned()))
    }
}

/// `0.35`, `12`.
impl fmt::Display for HourlyPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / MILLION, self.0 % MILLION);
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_parse_and_print() {
        for (text, micros) in [("0.35", 350_000), ("12", 12_000_000), ("0", 0), ("0.000001", 1), ("007.50", 7_500_000)]
        {
            assert_eq!(text.parse(), Ok(HourlyPrice(micros)), "{text}");
        }
        for (micros, text) in [(350_000, "0.35"), (12_000_000, "12"), (0, "0"), (1, "0.000001"), (100_000_000, "100")] {
            assert_eq!(HourlyPrice(micros).to_string(), text);
        }
        let highest = HourlyPrice(limits::PRICE_MICROS_MAX).to_string();
        assert_eq!(highest.parse(), Ok(HourlyPrice(limits::PRICE_MICROS_MAX)));
    }

    #[test]
    fn what_is_no_price_says_why() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0,35", "0.35 EUR", "$1", "1.2.3"] {
            assert_eq!(text.parse::<HourlyPrice>(), Err(PriceError::NotDecimal(text.to_owned())));
        }
        assert_eq!("0.0000001".parse::<HourlyPrice>(), Err(PriceError::TooFine("0.0000001".to_owned())));
        for text in ["1000000.000001", "99999999999999999999"] {
            let error = text.parse::<HourlyPrice>().expect_err("it is too high");
            assert_eq!(error.to_string(), format!("'{text}' is over 1000000"));
        }
    }
}
