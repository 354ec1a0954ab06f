//! Numbers as Python writes them, which gtimer's texts need.

/// As `"%.4g" % value`: four significant digits, no trailing zeros, exponent form outside of
/// `1e-4 <= |value| < 1e4`.
pub(super) fn general(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value);
    }
    // Rounded first, since rounding may carry into a further digit.
    let scientific = format!("{value:.3e}");
    let (digits, exponent) = split(&scientific);
    if !(-4..4).contains(&exponent) {
        return with_exponent(strip_zeros(digits), exponent);
    }
    let decimals = usize::try_from(3 - exponent).unwrap_or(0);
    strip_zeros(&format!("{value:.decimals$}")).to_owned()
}

/// As `"%.2f" % value`. Ties, which only binary fractions have, go to the even digit in both.
pub(super) fn fixed(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}") } else { not_finite(value) }
}

/// As `repr(value)`: the shortest digits that give the same number back, with a fraction or an
/// exponent always; exponent form outside of `1e-4 <= |value| < 1e16`.
pub(super) fn repr(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value);
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = split(&scientific);
    if !(-4..16).contains(&exponent) {
        return with_exponent(digits, exponent);
    }
    let plain = format!("{value}");
    if plain.contains('.') { plain } else { plain + ".0" }
}

fn not_finite(value: f64) -> String {
    let text = if value.is_nan() {
        "nan"
    } else if value > 0.0 {
        "inf"
    } else {
        "-inf"
    };
    text.to_owned()
}

/// Digits and exponent of Rust's `1.5e-7`.
fn split(scientific: &str) -> (&str, i32) {
    let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    (digits, exponent.parse().unwrap_or(0))
}

fn strip_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

fn with_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python 3.11 gives for `"%.4g" % x`, `"%.2f" % x` and `repr(x)`.
    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let table: &[(f64, &str, &str, &str)] = &[
            (0.0, "0", "0.00", "0.0"),
            (-0.0, "-0", "-0.00", "-0.0"),
            (1.0, "1", "1.00", "1.0"),
            (10.0, "10", "10.00", "10.0"),
            (12.875, "12.88", "12.88", "12.875"),
            (0.125, "0.125", "0.12", "0.125"),
            (0.375, "0.375", "0.38", "0.375"),
            (0.625, "0.625", "0.62", "0.625"),
            (2.5, "2.5", "2.50", "2.5"),
            (0.005, "0.005", "0.01", "0.005"),
            (1.005, "1.005", "1.00", "1.005"),
            (1e-05, "1e-05", "0.00", "1e-05"),
            (9.9995e-05, "9.999e-05", "0.00", "9.9995e-05"),
            (0.0001, "0.0001", "0.00", "0.0001"),
            (0.00012345678, "0.0001235", "0.00", "0.00012345678"),
            (9999.0, "9999", "9999.00", "9999.0"),
            (9999.5, "1e+04", "9999.50", "9999.5"),
            (9998.5, "9998", "9998.50", "9998.5"),
            (10000.0, "1e+04", "10000.00", "10000.0"),
            (12345.5, "1.235e+04", "12345.50", "12345.5"),
            (100050.0, "1e+05", "100050.00", "100050.0"),
            (1000000000000000.0, "1e+15", "1000000000000000.00", "1000000000000000.0"),
            (9999999999999998.0, "1e+16", "9999999999999998.00", "9999999999999998.0"),
            (1e16, "1e+16", "10000000000000000.00", "1e+16"),
            (1.5e17, "1.5e+17", "150000000000000000.00", "1.5e+17"),
            (1e22, "1e+22", "10000000000000000000000.00", "1e+22"),
            (1e-10, "1e-10", "0.00", "1e-10"),
            (5e-324, "4.941e-324", "0.00", "5e-324"),
            (0.1, "0.1", "0.10", "0.1"),
            (0.3333333333333333, "0.3333", "0.33", "0.3333333333333333"),
            (0.6666666666666666, "0.6667", "0.67", "0.6666666666666666"),
            (0.2916666666666667, "0.2917", "0.29", "0.2916666666666667"),
            (-3.75, "-3.75", "-3.75", "-3.75"),
            (-0.001, "-0.001", "-0.00", "-0.001"),
            (9.999e-05, "9.999e-05", "0.00", "9.999e-05"),
            (999.95, "1000", "999.95", "999.95"),
            (99.995, "100", "100.00", "99.995"),
            (1000.5, "1000", "1000.50", "1000.5"),
            (1001.5, "1002", "1001.50", "1001.5"),
            (0.0625, "0.0625", "0.06", "0.0625"),
            (0.03125, "0.03125", "0.03", "0.03125"),
            (4.0625, "4.062", "4.06", "4.0625"),
            (1048576.0, "1.049e+06", "1048576.00", "1048576.0"),
            (1048576.5, "1.049e+06", "1048576.50", "1048576.5"),
            (123456789.125, "1.235e+08", "123456789.12", "123456789.125"),
            (1275.703125, "1276", "1275.70", "1275.703125"),
            (189.897705078125, "189.9", "189.90", "189.897705078125"),
            (6.361549377441406, "6.362", "6.36", "6.361549377441406"),
            (0.928192138671875, "0.9282", "0.93", "0.928192138671875"),
            (3178.328125, "3178", "3178.33", "3178.328125"),
            (170125.0, "1.701e+05", "170125.00", "170125.0"),
            (14760.359375, "1.476e+04", "14760.36", "14760.359375"),
            (28.98095703125, "28.98", "28.98", "28.98095703125"),
            (1921.30859375, "1921", "1921.31", "1921.30859375"),
            (24953.375, "2.495e+04", "24953.38", "24953.375"),
            (2350.86328125, "2351", "2350.86", "2350.86328125"),
            (107.4375, "107.4", "107.44", "107.4375"),
            (835.89453125, "835.9", "835.89", "835.89453125"),
            (23.3057861328125, "23.31", "23.31", "23.3057861328125"),
            (1.5960421235803824e-09, "1.596e-09", "0.00", "1.5960421235803824e-09"),
            (1387674183989031.8, "1.388e+15", "1387674183989031.75", "1387674183989031.8"),
            (1.266992325502697e-13, "1.267e-13", "0.00", "1.266992325502697e-13"),
            (9.723372896865364e-13, "9.723e-13", "0.00", "9.723372896865364e-13"),
            (2.094563824951179, "2.095", "2.09", "2.094563824951179"),
            (0.009601271002174996, "0.009601", "0.01", "0.009601271002174996"),
            (f64::INFINITY, "inf", "inf", "inf"),
            (f64::NEG_INFINITY, "-inf", "-inf", "-inf"),
            (f64::NAN, "nan", "nan", "nan"),
        ];
        for &(value, as_general, as_fixed, as_repr) in table {
            assert_eq!(general(value), as_general, "{value:e}");
            assert_eq!(fixed(value), as_fixed, "{value:e}");
            assert_eq!(repr(value), as_repr, "{value:e}");
        }
    }
}
