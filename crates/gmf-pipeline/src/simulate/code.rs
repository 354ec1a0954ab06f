//! Binary phase codes of pulses.

use std::fmt;
use std::str::FromStr;

use rand::{Rng as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The 128 codes of 64 bauds of the EISCAT experiment `leo_bpark`, 16 hexadecimal digits each, the
/// first baud in the highest bit, a set bit for +1. Source: the table that hardtarget 0.5.1
/// distributes as `radars/eiscat/leo_bpark_code.txt`. It is a strong alternating code (Lehtinen
/// and Häggström 1987), which a test below verifies, so that no digit can be wrong unnoticed.
const LEO_BPARK: &str = include_str!("leo_bpark.hex");
const LEO_BPARK_BAUDS: usize = 64;
/// Length of a baud where nothing else is asked for: that of `leo_bpark`.
const BAUD_US: f64 = 30.0;
/// The Barker codes, with the lengths that exist. Source: Barker 1953; Turyn and Storer 1961.
const BARKER: [(&str, &str); 7] = [
    ("barker2", "+-"),
    ("barker3", "++-"),
    ("barker4", "++-+"),
    ("barker5", "+++-+"),
    ("barker7", "+++--+-"),
    ("barker11", "+++---+--+-"),
    ("barker13", "+++++--++-+-+"),
];
const GOLAY: [(&str, usize); 6] = [
    ("golay4", 4),
    ("golay8", 8),
    ("golay16", 16),
    ("golay32", 32),
    ("golay64", 64),
    ("golay128", 128),
];
/// Codes and bauds of `random` and bauds of `uncoded`: as many as `leo_bpark` has.
const RANDOM: (usize, usize) = (128, 64);
/// Bauds of all codes together; a table beyond this is a mistake, not a radar.
const MAX_BAUDS: usize = 1 << 24;

/// Why there is no such code.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CodeError {
    /// No code has that name.
    #[error(
        "unknown code '{name}': there are {known}, and random:CODESxBAUDS",
        known = Code::names().collect::<Vec<_>>().join(", ")
    )]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// A table of codes has no bauds, codes of different lengths, or more bauds than make sense.
    #[error(
        "{n_codes} codes of {n_bauds} bauds make no table: both must be at least 1, and {MAX_BAUDS} \
         bauds together at most"
    )]
    Shape {
        /// Number of codes.
        n_codes: usize,
        /// Bauds of each.
        n_bauds: usize,
    },
    /// A baud is neither +1 nor -1.
    #[error("baud {baud} of code {code} is {value}, but must be 1 or -1")]
    Baud {
        /// Index of the code.
        code: usize,
        /// Index of the baud.
        baud: usize,
        /// Its value.
        value: i8,
    },
}

/// A set of binary phase codes, transmitted in turn: pulse `k` carries code `k mod n_codes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Code {
    name: String,
    n_bauds: usize,
    /// `[n_codes * n_bauds]`, +1 or -1.
    bauds: Vec<i8>,
    baud_us: f64,
}

impl Code {
    /// A table of codes of one's own.
    ///
    /// | argument  | shape                | unit                            |
    /// | --------- | -------------------- | ------------------------------- |
    /// | `bauds`   | `[n_codes][n_bauds]` | 1: every baud is +1 or -1       |
    /// | `baud_us` | scalar               | length of a baud, microseconds  |
    ///
    /// That `baud_us` fits the sample rate is checked by [`Simulation::check`](super::Simulation::check).
    ///
    /// # Errors
    ///
    /// [`CodeError::Shape`] and [`CodeError::Baud`].
    pub fn new(
        name: impl Into<String>,
        bauds: &[Vec<i8>],
        baud_us: f64,
    ) -> Result<Self, CodeError> {
        let n_bauds = bauds.first().map_or(0, Vec::len);
        check_shape(bauds.len(), n_bauds)?;
        for (code, row) in bauds.iter().enumerate() {
            if row.len() != n_bauds {
                return Err(CodeError::Shape { n_codes: bauds.len(), n_bauds: row.len() });
            }
            if let Some(baud) = row.iter().position(|baud| baud.abs() != 1) {
                return Err(CodeError::Baud { code, baud, value: row[baud] });
            }
        }
        Ok(Self { name: name.into(), n_bauds, bauds: bauds.concat(), baud_us })
    }

    /// The 128 codes of 64 bauds of 30 us of EISCAT's `leo_bpark` experiment.
    #[must_use]
    pub fn leo_bpark() -> Self {
        let mut bauds = Vec::with_capacity(128 * LEO_BPARK_BAUDS);
        for word in LEO_BPARK.split_ascii_whitespace() {
            for digit in word.chars().filter_map(|digit| digit.to_digit(16)) {
                bauds.extend((0..4).rev().map(|bit| sign(u64::from(digit >> bit))));
            }
        }
        Self { name: "leo_bpark".to_owned(), n_bauds: LEO_BPARK_BAUDS, bauds, baud_us: BAUD_US }
    }

    /// A pair of complementary codes, sent alternately: their autocorrelations add up to a single
    /// peak. `n_bauds` is a power of two. Source: Golay 1961, by appending.
    ///
    /// # Errors
    ///
    /// [`CodeError::Shape`] for another length.
    pub fn golay(n_bauds: usize) -> Result<Self, CodeError> {
        if !n_bauds.is_power_of_two() {
            return Err(CodeError::Shape { n_codes: 2, n_bauds });
        }
        check_shape(2, n_bauds)?;
        let (mut a, mut b) = (vec![1_i8], vec![1_i8]);
        while a.len() < n_bauds {
            let minus_b: Vec<i8> = b.iter().map(|baud| -baud).collect();
            (a, b) = ([&a[..], &b[..]].concat(), [&a[..], &minus_b[..]].concat());
        }
        let bauds = [a, b].concat();
        Ok(Self { name: format!("golay{n_bauds}"), n_bauds, bauds, baud_us: BAUD_US })
    }

    /// A pulse of `n_bauds` bauds without any change of phase.
    ///
    /// # Errors
    ///
    /// [`CodeError::Shape`].
    pub fn uncoded(n_bauds: usize) -> Result<Self, CodeError> {
        check_shape(1, n_bauds)?;
        let bauds = vec![1; n_bauds];
        Ok(Self { name: "uncoded".to_owned(), n_bauds, bauds, baud_us: BAUD_US })
    }

    /// Codes whose bauds are drawn at random; the same for the same `seed`.
    ///
    /// # Errors
    ///
    /// [`CodeError::Shape`].
    pub fn random(n_codes: usize, n_bauds: usize, seed: u64) -> Result<Self, CodeError> {
        check_shape(n_codes, n_bauds)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let bauds = (0..n_codes * n_bauds).map(|_| sign(rng.next_u64() >> 63)).collect();
        let name = format!("random:{n_codes}x{n_bauds}");
        Ok(Self { name, n_bauds, bauds, baud_us: BAUD_US })
    }

    /// The names that [`Code::by_name`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let golay = GOLAY.iter().map(|(name, _)| *name);
        let barker = BARKER.iter().map(|(name, _)| *name);
        ["leo_bpark"].into_iter().chain(barker).chain(golay).chain(["uncoded", "random"])
    }

    /// The code of that name, or `random:CODESxBAUDS`; bauds are 30 us long until
    /// [`Code::with_baud_us`] says otherwise. `seed` is that of random codes.
    ///
    /// # Errors
    ///
    /// [`CodeError::Unknown`], which lists the names, and [`CodeError::Shape`].
    pub fn by_name(name: &str, seed: u64) -> Result<Self, CodeError> {
        if let Some((name, signs)) = BARKER.iter().find(|(known, _)| *known == name) {
            let bauds: Vec<i8> = signs.bytes().map(|c| if c == b'+' { 1 } else { -1 }).collect();
            let n_bauds = bauds.len();
            return Ok(Self { name: (*name).to_owned(), n_bauds, bauds, baud_us: BAUD_US });
        }
        if let Some((_, n_bauds)) = GOLAY.iter().find(|(known, _)| *known == name) {
            return Self::golay(*n_bauds);
        }
        let shape = name.strip_prefix("random:").and_then(|shape| {
            let (n_codes, n_bauds) = shape.split_once('x')?;
            Some((n_codes.parse().ok()?, n_bauds.parse().ok()?))
        });
        match (name, shape) {
            ("leo_bpark", _) => Ok(Self::leo_bpark()),
            ("uncoded", _) => Self::uncoded(RANDOM.1),
            ("random", _) => Self::random(RANDOM.0, RANDOM.1, seed),
            (_, Some((n_codes, n_bauds))) => Self::random(n_codes, n_bauds, seed),
            _ => Err(CodeError::Unknown { name: name.to_owned() }),
        }
    }

    /// The same codes with bauds of another length, in microseconds.
    #[must_use]
    pub fn with_baud_us(self, baud_us: f64) -> Self {
        Self { baud_us, ..self }
    }

    /// The code's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of codes, which pulses carry in turn.
    #[must_use]
    pub fn n_codes(&self) -> usize {
        self.bauds.len() / self.n_bauds
    }

    /// Bauds of each code.
    #[must_use]
    pub fn n_bauds(&self) -> usize {
        self.n_bauds
    }

    /// Length of a baud, in microseconds.
    #[must_use]
    pub fn baud_us(&self) -> f64 {
        self.baud_us
    }

    /// Length of a pulse, in microseconds.
    #[must_use]
    pub fn pulse_us(&self) -> f64 {
        self.n_bauds as f64 * self.baud_us
    }

    /// The bauds of a pulse, `[n_bauds]`, each +1 or -1.
    #[must_use]
    pub fn bauds(&self, pulse_idx: u64) -> &[i8] {
        let code = (pulse_idx % self.n_codes() as u64) as usize;
        &self.bauds[code * self.n_bauds..][..self.n_bauds]
    }
}

impl Default for Code {
    fn default() -> Self {
        Self::leo_bpark()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n_codes, n_bauds) = (self.n_codes(), self.n_bauds);
        write!(f, "{} ({n_codes} x {n_bauds} bauds of {} us)", self.name, self.baud_us)
    }
}

/// As [`Code::by_name`] with the seed 0.
impl FromStr for Code {
    type Err = CodeError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::by_name(name, 0)
    }
}

fn sign(word: u64) -> i8 {
    if word & 1 == 1 { 1 } else { -1 }
}

fn check_shape(n_codes: usize, n_bauds: usize) -> Result<(), CodeError> {
    let fits = n_codes.checked_mul(n_bauds).is_some_and(|n| (1..=MAX_BAUDS).contains(&n));
    if fits { Ok(()) } else { Err(CodeError::Shape { n_codes, n_bauds }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn autocorrelation(bauds: &[i8], lag: usize) -> i64 {
        bauds.iter().zip(&bauds[lag..]).map(|(a, b)| i64::from(*a) * i64::from(*b)).sum()
    }

    /// The strong alternating condition: for every lag, lag products at different places are
    /// orthogonal over the codes. One wrong sign anywhere in the table would break it.
    #[test]
    fn leo_bpark_is_a_strong_alternating_code() {
        let code = Code::leo_bpark();
        assert_eq!((code.n_codes(), code.n_bauds(), code.pulse_us()), (128, 64, 1920.0));
        let rows: Vec<&[i8]> = (0..128).map(|k| code.bauds(k)).collect();
        for lag in 1..64 {
            for i in 0..64 - lag {
                for j in 0..i {
                    let products = rows.iter().map(|c| c[i] * c[i + lag] * c[j] * c[j + lag]);
                    let sum: i64 = products.map(i64::from).sum();
                    assert_eq!(sum, 0, "lag {lag}, bauds {i} and {j}");
                }
            }
        }
    }

    #[test]
    fn side_lobes_of_barker_codes_are_at_most_one() {
        for (name, _) in BARKER {
            let code = Code::by_name(name, 0).unwrap();
            let n = code.n_bauds();
            assert_eq!(name, format!("barker{n}"));
            for lag in 1..n {
                assert!(autocorrelation(code.bauds(0), lag).abs() <= 1, "{name}, lag {lag}");
            }
        }
    }

    #[test]
    fn autocorrelations_of_a_golay_pair_cancel() {
        for (name, n) in GOLAY {
            let code = Code::by_name(name, 0).unwrap();
            assert_eq!((code.n_codes(), code.n_bauds()), (2, n));
            for lag in 1..n {
                let (a, b) = (code.bauds(0), code.bauds(1));
                assert_eq!(autocorrelation(a, lag) + autocorrelation(b, lag), 0, "{name}, {lag}");
            }
        }
    }

    /// The number of +1 among `n` fair draws lies within six standard deviations of its mean.
    #[test]
    fn random_codes_are_fair_and_repeat_with_their_seed() {
        let code = Code::random(100, 50, 7).unwrap();
        let plus = code.bauds.iter().filter(|&&baud| baud == 1).count();
        assert!((plus as f64 - 2500.0).abs() < 6.0 * (5000.0_f64 / 4.0).sqrt(), "{plus}");
        assert_eq!(code, Code::by_name("random:100x50", 7).unwrap());
        assert_ne!(code.bauds, Code::random(100, 50, 8).unwrap().bauds);
    }

    #[test]
    fn every_name_in_the_list_is_known_and_codes_are_sent_in_turn() {
        for name in Code::names() {
            let code: Code = name.parse().unwrap();
            assert_eq!(code.bauds(3), code.bauds(3 + 5 * code.n_codes() as u64), "{name}");
        }
        let message = "barker6".parse::<Code>().unwrap_err().to_string();
        assert!(message.contains("'barker6'") && message.contains("barker13"), "{message}");
        for name in ["random:0x3", "random:3x0", "random:9999999x9999999"] {
            assert!(matches!(name.parse::<Code>(), Err(CodeError::Shape { .. })), "{name}");
        }
        assert!(matches!(Code::golay(12), Err(CodeError::Shape { .. })));
        let ragged = Code::new("mine", &[vec![1, -1], vec![1]], 1.0);
        assert_eq!(ragged, Err(CodeError::Shape { n_codes: 2, n_bauds: 1 }));
        let zero = Code::new("mine", &[vec![1, 0]], 1.0);
        assert_eq!(zero, Err(CodeError::Baud { code: 0, baud: 1, value: 0 }));
    }
}
