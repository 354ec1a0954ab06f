//! The values and their order are numpy's, to the last digit.
//!
//! tests/data/numpy.json was written by tests/data/make_numpy.py under numpy 1.26.4.

use param_sweep::{Spec, Sweep, Value};
use serde_json::Value as Json;

fn recorded() -> Json {
    serde_json::from_str(include_str!("data/numpy.json")).expect("is JSON")
}

fn float(json: &Json) -> f64 {
    json.as_str().expect("is a text").parse().expect("is a number")
}

/// How many doubles lie between two, and none where both are one.
fn distance(a: f64, b: f64) -> u64 {
    let key = |x: f64| if x < 0.0 { -(x.abs().to_bits() as i64) } else { x.to_bits() as i64 };
    key(a).abs_diff(key(b))
}

#[test]
fn numbers_between_two_ends_are_those_of_numpy() {
    for space in recorded()["spaces"].as_array().unwrap() {
        let n = space["n"].as_u64().unwrap() as usize;
        let (from, to) = (space["from"].as_f64().unwrap(), space["to"].as_f64().unwrap());
        let kind = space["kind"].as_str().unwrap();
        let spec = match kind {
            "linear" => Spec::Linear { from, to, n },
            "geom" => Spec::Geometric { from, to, n },
            _ => Spec::ReverseGeometric { from, to, n },
        };
        let design = Sweep::new().parameter("x", spec).design().unwrap();
        // numpy's power is its own, correct to less than one unit in the last place, as is that of the C
        // library; so they differ by one at most. Differences from that are taken from the ends.
        for (i, expected) in space["values"].as_array().unwrap().iter().enumerate() {
            let (got, expected) = (design.point::<f64>(i).unwrap(), float(expected));
            let what = format!("{kind} {from} {to} {n}, {i}: {got:?} and {expected:?}");
            match kind {
                "linear" => assert_eq!(got.to_bits(), expected.to_bits(), "{what}"),
                "geom" => assert!(distance(got, expected) <= 1, "{what}"),
                _ => assert!((got - expected).abs() <= f64::EPSILON * (from + to).abs(), "{what}"),
            }
        }
        assert_eq!(design.len(), space["values"].as_array().unwrap().len());
    }
}

#[test]
fn combinations_come_in_the_order_of_meshgrid_ij() {
    let sweep = Sweep::new().linear("a", 0.0, 1.0, 2).log("b", 1.0, 100.0, 3).list("c", [5.0, 7.0]);
    let design = sweep.design().unwrap();
    let recorded = recorded();
    let grid = recorded["grid"].as_array().unwrap();
    assert_eq!(design.len(), grid.len());
    for (i, row) in grid.iter().enumerate() {
        let expected: Vec<f64> = row.as_array().unwrap().iter().map(float).collect();
        assert_eq!(design.point::<Vec<f64>>(i).unwrap(), expected, "row {i}");
    }
}

#[test]
fn a_thousand_million_combinations_cost_nothing() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let sweep = names.iter().fold(Sweep::new(), |sweep, name| sweep.integers(*name, 0, 9, 1));
    let design = sweep.design().unwrap();
    assert_eq!(design.len(), 1_000_000_000);
    let digits: Vec<i64> = design.point(123_456_789).unwrap();
    assert_eq!(digits, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(design.values(999_999_999).unwrap(), vec![Value::Int(9); 9]);
    assert!(design.values(1_000_000_000).is_none());
    let samples = Sweep::new().latin_hypercube("x", 0.0, 1.0).normal("y", 0.0, 1.0);
    let design = samples.samples(1_000_000_000).design().unwrap();
    let (x, _): (f64, f64) = design.point(999_999_999).unwrap();
    assert!((0.0..1.0).contains(&x));
}
