//! Small Fourier transforms as straight-line WGSL: no loops, no tables, constants in the text.

use std::collections::HashMap;
use std::f64::consts::TAU;
use std::fmt::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The greatest number of points of a transform in registers: beyond it they spill.
pub(crate) const MAX_RADIX: usize = 25;

/// The greatest prime factor that is worth a codelet: the cost grows with its square.
const MAX_PRIME: usize = 13;

/// A complex value: the names or expressions of its two parts, or zero.
type Value = Option<(String, String)>;

/// Writes statements, counts their arithmetic.
#[derive(Debug, Default)]
pub(crate) struct Codelet {
    pub(crate) code: String,
    n_names: usize,
    /// Additions and multiplications.
    pub(crate) flops: usize,
}

/// Whether `n` points can be transformed by one codelet.
pub(crate) fn is_radix(n: usize) -> bool {
    (2..=MAX_RADIX).contains(&n) && largest_prime(n) <= MAX_PRIME
}

/// The largest prime factor of `n`; 1 for 1.
pub(crate) fn largest_prime(mut n: usize) -> usize {
    let (mut largest, mut p) = (1, 2);
    while p * p <= n {
        while n.is_multiple_of(p) {
            largest = p;
            n /= p;
        }
        p += 1;
    }
    if n > 1 { n } else { largest }
}

/// The arithmetic of a transform of `n` points of which the first `filled` are not zero.
pub(crate) fn flops(n: usize, filled: usize) -> usize {
    static KNOWN: OnceLock<Mutex<HashMap<(usize, usize), usize>>> = OnceLock::new();
    let mut known =
        KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    *known.entry((n, filled)).or_insert_with(|| {
        let mut codelet = Codelet::default();
        let inputs = (0..n).map(|i| (i < filled).then(|| (format!("r{i}"), format!("i{i}"))));
        codelet.dft(inputs.collect());
        codelet.flops
    })
}

/// A number as WGSL writes it, to the last bit of single precision.
pub(crate) fn literal(value: f64) -> String {
    format!("{:?}f", value as f32)
}

impl Codelet {
    fn bind(&mut self, expression: &str) -> String {
        let name = format!("t{}", self.n_names);
        self.n_names += 1;
        // Writing to a `String` does not fail.
        let _ = writeln!(self.code, "let {name} = {expression};");
        name
    }

    fn add(&mut self, a: &Value, b: &Value) -> Value {
        match (a, b) {
            (None, other) | (other, None) => other.clone(),
            (Some((ar, ai)), Some((br, bi))) => {
                self.flops += 2;
                Some((self.bind(&format!("{ar} + {br}")), self.bind(&format!("{ai} + {bi}"))))
            }
        }
    }

    fn sub(&mut self, a: &Value, b: &Value) -> Value {
        match (a, b) {
            (other, None) => other.clone(),
            (None, Some((br, bi))) => Some((format!("(-{br})"), format!("(-{bi})"))),
            (Some((ar, ai)), Some((br, bi))) => {
                self.flops += 2;
                Some((self.bind(&format!("{ar} - {br}")), self.bind(&format!("{ai} - {bi}"))))
            }
        }
    }

    /// Times `exp(-2 pi i numerator / denominator)`.
    fn turn(&mut self, a: &Value, numerator: usize, denominator: usize) -> Value {
        let Some((r, i)) = a else { return None };
        let k = numerator % denominator;
        if k == 0 {
            return a.clone();
        }
        if 4 * k == denominator {
            return Some((i.clone(), format!("(-{r})")));
        }
        if 2 * k == denominator {
            return Some((format!("(-{r})"), format!("(-{i})")));
        }
        if 4 * k == 3 * denominator {
            return Some((format!("(-{i})"), r.clone()));
        }
        let (sin, cos) = (-TAU * k as f64 / denominator as f64).sin_cos();
        let (s, c) = (literal(sin), literal(cos));
        self.flops += 6;
        let re = self.bind(&format!("{r} * {c} - {i} * {s}"));
        let im = self.bind(&format!("{r} * {s} + {i} * {c}"));
        Some((re, im))
    }

    /// The transform of `x`: `X[k] = sum over j of x[j] exp(-2 pi i j k / n)`.
    pub(crate) fn dft(&mut self, x: Vec<Value>) -> Vec<Value> {
        let n = x.len();
        match n {
            0 | 1 => x,
            2 => vec![self.add(&x[0], &x[1]), self.sub(&x[0], &x[1])],
            _ if largest_prime(n) == n => self.prime(&x),
            _ => {
                // Four first: its turns cost nothing.
                let p = if n.is_multiple_of(4) && n > 4 { 4 } else { largest_prime(n) };
                self.split(&x, p, n / p)
            }
        }
    }

    /// `n = p q`: `q` transforms of `p` points, turns, and `p` transforms of `q` points.
    fn split(&mut self, x: &[Value], p: usize, q: usize) -> Vec<Value> {
        let n = p * q;
        let mut columns = Vec::with_capacity(q);
        for t in 0..q {
            let column = (0..p).map(|j| x[t + q * j].clone()).collect();
            columns.push(self.dft(column));
        }
        let mut out = vec![None; n];
        for k in 0..p {
            let row = (0..q).map(|t| self.turn(&columns[t][k], t * k, n)).collect();
            for (m, value) in self.dft(row).into_iter().enumerate() {
                out[k + p * m] = value;
            }
        }
        out
    }

    /// A transform of an odd prime length, by sums and differences of opposite elements.
    fn prime(&mut self, x: &[Value]) -> Vec<Value> {
        let n = x.len();
        let half = n / 2;
        let mut pairs = Vec::with_capacity(half);
        for j in 1..=half {
            pairs.push((self.add(&x[j], &x[n - j]), self.sub(&x[j], &x[n - j])));
        }
        let mut out = vec![None; n];
        let mut total = x[0].clone();
        for (sum, _) in &pairs {
            total = self.add(&total, sum);
        }
        out[0] = total;
        for k in 1..=half {
            let terms: Vec<(usize, &(Value, Value))> = (1..).zip(&pairs).collect();
            let angle = |j: usize| (TAU * ((j * k) % n) as f64 / n as f64).sin_cos();
            let mut even = [String::new(), String::new()];
            let mut odd = [String::new(), String::new()];
            for (j, (sum, difference)) in terms {
                let (sin, cos) = angle(j);
                for (value, factor, out) in [(sum, cos, &mut even), (difference, sin, &mut odd)] {
                    let Some((r, i)) = value else { continue };
                    self.flops += 4;
                    for (part, out) in [r, i].into_iter().zip(out) {
                        let plus = if out.is_empty() { "" } else { " + " };
                        let _ = write!(out, "{plus}{part} * {}", literal(factor));
                    }
                }
            }
            let bind = |codelet: &mut Self, [r, i]: [String; 2]| -> Value {
                (!r.is_empty()).then(|| (codelet.bind(&r), codelet.bind(&i)))
            };
            let even = bind(self, even);
            let even = self.add(&x[0], &even);
            // -i times the odd part.
            let odd = bind(self, odd).map(|(r, i)| (i, format!("(-{r})")));
            out[k] = self.add(&even, &odd);
            out[n - k] = self.sub(&even, &odd);
        }
        out
    }
}

/// The statements that transform `v[0..n]`, of which the first `filled` are not zero, in place.
pub(crate) fn in_place(n: usize, filled: usize) -> String {
    let mut codelet = Codelet::default();
    let inputs = (0..n).map(|i| (i < filled).then(|| (format!("v[{i}].x"), format!("v[{i}].y"))));
    let outputs = codelet.dft(inputs.collect());
    let mut code = codelet.code;
    // All are named before the first is overwritten: an output may be an input as it was.
    let values: Vec<(String, String)> =
        outputs.into_iter().map(|v| v.unwrap_or_else(|| ("0f".into(), "0f".into()))).collect();
    for (i, (r, im)) in values.iter().enumerate() {
        let _ = writeln!(code, "let o{i} = vec2f({r}, {im});");
    }
    for i in 0..n {
        let _ = writeln!(code, "v[{i}] = o{i};");
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the statements of a codelet, which are sums of products of names and numbers.
    fn run(n: usize, filled: usize, input: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let mut codelet = Codelet::default();
        let inputs = (0..n).map(|i| (i < filled).then(|| (format!("r{i}"), format!("i{i}"))));
        let outputs = codelet.dft(inputs.collect());
        let mut names = HashMap::new();
        for (i, (re, im)) in input.iter().enumerate() {
            names.insert(format!("r{i}"), *re);
            names.insert(format!("i{i}"), *im);
        }
        for line in codelet.code.lines() {
            let (name, expression) =
                line.trim_start_matches("let ").trim_end_matches(';').split_once(" = ").unwrap();
            let value = evaluate(expression, &names);
            names.insert(name.to_owned(), value);
        }
        let get = |text: &str| evaluate(text, &names);
        outputs.iter().map(|v| v.as_ref().map_or((0.0, 0.0), |(r, i)| (get(r), get(i)))).collect()
    }

    fn evaluate(expression: &str, names: &HashMap<String, f64>) -> f64 {
        let mut sign = 1.0;
        let mut total = 0.0;
        let mut product = None;
        for word in expression.split(' ') {
            match word {
                "+" | "-" => {
                    total += sign * product.take().unwrap_or(0.0);
                    sign = if word == "+" { 1.0 } else { -1.0 };
                }
                "*" => {}
                _ => product = Some(product.unwrap_or(1.0) * atom(word, names)),
            }
        }
        total + sign * product.unwrap_or(0.0)
    }

    fn atom(word: &str, names: &HashMap<String, f64>) -> f64 {
        if let Some(inner) = word.strip_prefix("(-").and_then(|w| w.strip_suffix(')')) {
            return -atom(inner, names);
        }
        names.get(word).copied().unwrap_or_else(|| word.trim_end_matches('f').parse().unwrap())
    }

    /// Every radix, however many inputs are filled, is the sum that it stands for.
    #[test]
    fn codelets_are_fourier_transforms() {
        for n in (2..=MAX_RADIX).filter(|&n| is_radix(n)) {
            for filled in [1, n / 2, n - 1, n].into_iter().filter(|&f| f > 0) {
                let input: Vec<(f64, f64)> = (0..filled)
                    .map(|j| ((j as f64 * 1.7).sin() + 0.1, (j as f64 * 0.9 + 2.0).cos()))
                    .collect();
                let found = run(n, filled, &input);
                for (k, (re, im)) in found.into_iter().enumerate() {
                    let (mut er, mut ei) = (0.0, 0.0);
                    for (j, (r, i)) in input.iter().enumerate() {
                        let (s, c) = (-TAU * ((j * k) % n) as f64 / n as f64).sin_cos();
                        er += r * c - i * s;
                        ei += r * s + i * c;
                    }
                    // The constants are rounded to single precision.
                    let bound = 4.0 * n as f64 * f64::from(f32::EPSILON);
                    assert!(
                        (re - er).abs() < bound && (im - ei).abs() < bound,
                        "{n}, {filled}, {k}"
                    );
                }
            }
        }
    }

    #[test]
    fn zeros_cost_nothing() {
        assert!(flops(20, 8) < flops(20, 20));
        assert_eq!(flops(25, 1), 0);
        assert_eq!((largest_prime(2000), largest_prime(97), largest_prime(1)), (5, 97, 1));
        assert!(is_radix(25) && is_radix(22) && !is_radix(17) && !is_radix(1));
    }
}
