//! Sweeps as a program uses them: what is refused, what comes out, and that it is always the same.

use jobdiv::Job;
use param_sweep::{Row, Spec, Sweep, SweepError, Table, Value, parse_parameter};
use pm_api::{ParallelManager, RunOptions, SerialManager, Task, TaskError, Worker, register_task};
use pm_threads::ThreadsManager;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Case {
    a: f64,
    n: i64,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Fast,
    Slow,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Found {
    y: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    only_fast: Option<f64>,
    n: i64,
}

/// Fails, panics and finds nothing at some points.
struct Model;

impl Task for Model {
    const NAME: &'static str = "tests::model";
    type Args = f64;
    type Model = f64;
    type Param = Case;
    type Output = Found;

    fn build(base: &f64, _: &Worker<'_>) -> Result<f64, TaskError> {
        Ok(*base)
    }

    fn execute(base: &mut f64, cases: &[Case], _: &Worker<'_>) -> Result<Vec<Found>, TaskError> {
        let one = |case: &Case| {
            assert!(case.n != 3, "three, \"of all\"");
            if case.n == 5 {
                return Err(TaskError::new(format!("no result for a = {}", case.a)));
            }
            let y = if case.n == 0 { f64::NAN } else { *base * case.a / case.n as f64 };
            Ok(Found { y, only_fast: (case.mode == Mode::Fast).then_some(-y), n: case.n })
        };
        cases.iter().map(one).collect()
    }
}

register_task!(Model);

fn sweep() -> Sweep {
    Sweep::new().linear("a", 0.0, 0.7, 5).integers("n", 0, 6, 1).list("mode", ["fast", "slow"])
}

#[test]
fn the_table_is_the_same_on_any_manager_with_any_workers_and_in_any_jobs() {
    let design = sweep().design().unwrap();
    let options = RunOptions::default();
    let serial = design.run::<Model>(&SerialManager::new(), 2.0, &options).unwrap();
    assert_eq!(serial.rows().len(), 70);
    assert_eq!(serial.failures().count(), 20);
    assert_eq!(serial.outputs(), ["y", "only_fast", "output.n"]);
    for n in 1..=4 {
        let threads = ThreadsManager::new(n).unwrap();
        let table = design.run::<Model>(&threads, 2.0, &options).unwrap();
        assert_eq!(table.to_csv(), serial.to_csv(), "{n} threads");
        assert_eq!(table.to_json(), serial.to_json(), "{n} threads");
        let parts = Job::all(n).unwrap().map(|job| {
            design.run_job::<Model>(job, &threads as &dyn ParallelManager, 2.0, &options).unwrap()
        });
        assert_eq!(Table::merge(parts).unwrap().to_csv(), serial.to_csv(), "{n} jobs");
    }
    let failure = serial.rows()[10].outcome.as_ref().unwrap_err();
    assert_eq!((&*failure.kind, &*failure.message), ("error", "no result for a = 0"));
    assert_eq!(failure.worker, Some(0));
    assert!(
        serial.to_csv().contains(",panic,,,,\"three, \"\"of all\"\"\"\n"),
        "{}",
        serial.to_csv()
    );
}

#[test]
fn files_give_back_the_same_table() {
    let dir = tempfile::tempdir().unwrap();
    let table = sweep()
        .design()
        .unwrap()
        .run::<Model>(&SerialManager::new(), 0.1 + 0.2, &RunOptions::default())
        .unwrap();
    let (csv, json) = (dir.path().join("t.csv"), dir.path().join("t.json"));
    table.save_csv(&csv).unwrap();
    table.save_json(&json).unwrap();
    for path in [&csv, &json] {
        let back = Table::load(path).unwrap();
        // Both texts hold every bit of every number, and NaN is not equal to itself.
        assert_eq!(back.to_csv(), table.to_csv(), "{}", path.display());
        assert_eq!(back.to_json(), table.to_json(), "{}", path.display());
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file is left");
    let error = table.save_csv(&dir.path().join("no/t.csv")).unwrap_err();
    assert!(error.to_string().starts_with("could not write "), "{error}");
}

#[test]
fn texts_that_are_no_table_are_refused_with_the_line() {
    let whole = "index,a,status,y,error\n0,1.0,ok,2.0,\n1,2.0,error,,\"a\nb\"\n";
    assert_eq!(Table::from_csv(whole).unwrap().to_csv(), whole);
    let cases = [
        ("", "line 1"),
        ("a,b\n1,2\n", "line 1"),
        ("index,a,status,y,error\n0,1.0,ok,2.0\n", "line 2"),
        ("index,a,status,y,error\nx,1.0,ok,2.0,\n", "line 2"),
        ("index,a,status,y,error\n0,,ok,2.0,\n", "line 2"),
        ("index,a,status,y,error\n0,1.0,ok,2.0,\n1,2.0,ok,3.", "line 3"),
        ("index,a,status,y,error\n0,1.0,ok,\"2.0,\n", "line 2"),
        ("index,a,status,y,error\n0,1.0,ok,2.0,\n0,1.0,ok,2.0,\n", "row 0 is there twice"),
    ];
    for (text, words) in cases {
        let error = Table::from_csv(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text:?}: {error}");
    }
    for cut in 0..whole.len() - 1 {
        // Whole lines are a table; anything else is refused.
        let is_whole = whole[..cut].ends_with('\n') && cut != whole.len() - 3;
        assert_eq!(Table::from_csv(&whole[..cut]).is_ok(), is_whole && cut > 0, "cut at {cut}");
    }
    for text in [
        "",
        "[]",
        "{}",
        "{\"format\":\"x\",\"version\":1,\"parameters\":[],\"outputs\":[],\"rows\":[]}",
    ] {
        assert!(Table::from_json(text).is_err(), "{text}");
    }
}

#[test]
fn reductions_pass_over_failures_and_nan() {
    let table = sweep().design().unwrap();
    let table = table.run::<Model>(&SerialManager::new(), 2.0, &RunOptions::default()).unwrap();
    // The greatest quotient is that of the last a and of n = 1, in the fast mode first.
    let best = table.max("y").unwrap();
    assert_eq!(best.parameters, [Value::Float(0.7), Value::Int(1), Value::from("fast")]);
    assert_eq!(best.output("y"), Some(&Value::Float(1.4)));
    assert_eq!(table.min("only_fast").unwrap().index, best.index);
    let rows = || table.rows().iter().filter_map(|row: &Row| row.output("y")?.as_f64());
    let finite: Vec<f64> = rows().filter(|y| !y.is_nan()).collect();
    let mean = finite.iter().sum::<f64>() / finite.len() as f64;
    assert_eq!(table.mean("y"), Some(mean));
    assert_eq!(table.mean("nothing"), None);
}

#[test]
fn samples_depend_on_seed_name_and_number_alone() {
    let sweep = |seed| Sweep::new().uniform("x", -1.0, 1.0).normal("y", 10.0, 2.0).seed(seed);
    let alone = sweep(3).samples(50).design().unwrap();
    let wider =
        sweep(3).list("c", [7]).latin_hypercube("z", 0.0, 1.0).samples(500).design().unwrap();
    for i in 0..50 {
        let (x, y): (f64, f64) = alone.point(i).unwrap();
        let (a, b, c, _): (f64, f64, i32, f64) = wider.point(i).unwrap();
        assert_eq!((x, y, 7), (a, b, c), "sample {i}");
        assert!((-1.0..1.0).contains(&x));
    }
    let other = sweep(4).samples(50).design().unwrap();
    assert_ne!(alone.values(0), other.values(0));
    // Recorded, so that what a seed gave once it always gives.
    let first: (f64, f64) = alone.point(0).unwrap();
    assert_eq!(format!("{first:?}"), RECORDED);
    for spec in [
        Spec::LogUniform { low: 1e-300, high: 1e300 },
        Spec::Triangular { low: 0.0, mode: 0.0, high: 1.0 },
        Spec::Triangular { low: 0.0, mode: 1.0, high: 1.0 },
        Spec::Uniform { low: -f64::MAX, high: f64::MAX },
        Spec::LatinHypercube { low: -f64::MAX, high: f64::MAX },
    ] {
        let design = Sweep::new().parameter("x", spec.clone()).samples(300).design().unwrap();
        let all: Vec<f64> = design.points(0..300).unwrap();
        assert!(all.iter().all(|x| x.is_finite()), "{spec}");
    }
}

const RECORDED: &str = "(-0.4429423836231072, 6.999404324090563)";

#[test]
fn a_parameter_that_is_wrong_is_refused_in_words() {
    let cases = [
        ("a", "it has no '='"),
        ("=1", "parameter name \"\""),
        ("1a=1", "parameter name \"1a\""),
        ("a b=1", "parameter name \"a b\""),
        ("index=1", "parameter name \"index\""),
        ("a=", "there are no values"),
        ("a=1,,2", "a value of the list is empty"),
        ("a=0:10", "linear has 3 numbers, not 2"),
        ("a=0:10:11:12", "linear has 3 numbers, not 4"),
        ("a=0:x:3", "'x' is no number"),
        ("a=0:10:2.5", "'2.5' is no number of values"),
        ("a=0:10:-1", "'-1' is no number of values"),
        ("a=0:10:0", "0 values are none"),
        ("a=0:10:1", "1 value cannot be both 0.0 and 10.0"),
        ("a=0:inf:3", "inf is not finite"),
        ("a=nan:1:3", "NaN is not finite"),
        ("a=-1e308:1e308:3", "inf is not finite"),
        ("a=log:0:1:3", "logarithms need ends above 0, not 0.0 and 1.0; it is log:FROM:TO:N"),
        ("a=log:-1:-10:3", "logarithms need ends above 0"),
        ("a=log:1:10", "log has 3 numbers, not 2"),
        ("a=geom:-1:10:3", "both ends must be above 0, or both below"),
        ("a=rgeom:0:10:3", "both ends must be above 0"),
        ("a=int:1", "int has 2 or 3 whole numbers; it is int:FROM:TO or FROM:TO:STEP"),
        ("a=int:1:2.5", "'2.5' is no whole number"),
        ("a=int:1:5:0", "the step is 0"),
        ("a=int:1:5:-1", "steps of -1 do not lead from 1 to 5"),
        ("a=uniform:1", "uniform has 2 numbers, not 1; it is uniform:LOW:HIGH"),
        ("a=uniform:1:1", "1.0 is not below 1.0"),
        ("a=normal:0:0", "the standard deviation 0.0 is not above 0"),
        ("a=triangular:0:5:1", "5.0 is not between 0.0 and 1.0"),
        ("a=loguniform:0:1", "0.0 is not above 0"),
        ("a=lhs:", "lhs has 2 numbers, not 0"),
        ("a=cube:0:1:3", "'cube' is neither a number nor one of linear, log, geom"),
    ];
    for (text, words) in cases {
        let error = parse_parameter(text).unwrap_err();
        assert!(matches!(error, SweepError::Syntax { .. }), "{text}");
        let error = error.to_string();
        assert!(error.starts_with(&format!("'{text}' is no parameter: ")), "{error}");
        assert!(error.contains(words), "{text}: no '{words}' in {error}");
    }
}

#[test]
fn the_text_of_a_parameter_is_read_back() {
    for text in [
        "a=0:10:11",
        "a=linear:-1:1:3",
        "a=log:1e-3:1e3:7",
        "a=geom:-1:-8:4",
        "a=rgeom:1:100:5",
        "a=int:5:1",
        "a=int:0:10:3",
        "a=5",
        "a=1,2,5",
        "a=1,2.5",
        "a=-1.5e3",
        "a=fast,slow",
        "a=list:x:y,z",
        "a=1,true",
        "a=true,false",
        "a=uniform:0:1",
        "a=loguniform:1:2",
        "a=normal:0:1",
        "a=triangular:0:1:2",
        "a=lhs:-1:1",
    ] {
        let (name, spec) = parse_parameter(text).unwrap();
        let again = parse_parameter(&format!("{name}={spec}")).unwrap();
        assert_eq!(again.1, spec, "{text}: {spec}");
    }
    let values = |text| parse_parameter(text).unwrap().1;
    assert_eq!(values("a=1,2,5"), Spec::List([1, 2, 5].map(Value::from).to_vec()));
    assert_eq!(values("a=1,2.5"), Spec::List([1.0, 2.5].map(Value::from).to_vec()));
    assert_eq!(values("a=1,x"), Spec::List(["1", "x"].map(Value::from).to_vec()));
    assert_eq!(values("a=int:5:1").n_values(), Some(5));
    assert_eq!(values("a=int:0:10:3").n_values(), Some(4));
}

#[test]
fn a_sweep_that_makes_no_sense_as_a_whole_is_refused() {
    let fails = |sweep: Sweep, words: &str| {
        let error = sweep.design().unwrap_err().to_string();
        assert!(error.contains(words), "no '{words}' in {error}");
    };
    let empty: [f64; 0] = [];
    fails(Sweep::new(), "at least one parameter");
    fails(Sweep::new().list("a", [1]).list("a", [2]), "a is given twice");
    fails(Sweep::new().list("a", empty), "parameter a: 0 values are none");
    fails(Sweep::new().list("a-b", [1]), "parameter name \"a-b\"");
    fails(Sweep::new().uniform("a", 0.0, 1.0), "say how many samples");
    fails(Sweep::new().uniform("a", 0.0, 1.0).samples(0), "at least 1");
    fails(Sweep::new().list("a", [1]).samples(3), "3 samples are asked for");
    let mixed = Sweep::new().list("b", [1, 2]).uniform("a", 0.0, 1.0).samples(3);
    fails(mixed, "parameter a is sampled, but b has 2 values");
    let many = (0..7).fold(Sweep::new(), |s, k| s.integers(format!("a{k}"), 0, 999, 1));
    fails(many, "more than 18446744073709551615 combinations");
}

#[test]
fn what_does_not_fit_the_task_is_told_with_the_point() {
    let run = |sweep: Sweep| {
        let design = sweep.design().unwrap();
        design.run::<Model>(&SerialManager::new(), 1.0, &RunOptions::default()).unwrap_err()
    };
    let error = run(Sweep::new().linear("a", 0.0, 1.0, 2)).to_string();
    assert_eq!(error, "point 0 does not fit the parameters of the task: missing field `n`");
    let error = run(Sweep::new().list("a", [1.0]).list("n", [1.5]).list("mode", ["fast"]));
    assert!(error.to_string().contains("invalid type: floating point"), "{error}");
    let error = run(Sweep::new().list("a", [1.0]).list("n", [1]).list("mode", ["no"]));
    assert!(error.to_string().contains("unknown variant `no`"), "{error}");
    let pair = Sweep::new().list("a", [1]).list("b", [1]).design().unwrap();
    assert!(pair.point::<f64>(0).unwrap_err().to_string().contains("there are 2 parameters"));
    assert!(pair.point::<(i32, i32, i32)>(0).is_err());
    assert!(pair.point::<[i32; 1]>(0).is_err());
    assert!(pair.point::<(i32, i32)>(1).unwrap_err().to_string().contains("there are 1 points"));
}
