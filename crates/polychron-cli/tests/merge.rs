//! One folder, one run: what is refused, what takes its place, and the proof that all is there.

mod common;

use std::fs;

use common::{Product, expect};

#[test]
fn a_folder_of_another_run_is_refused_with_the_parameter_and_the_way_out() {
    let product = Product::new(3, &[]);
    product.analyze(0, "out", &[]);
    let before = product.contents("out");
    product.configure(6665);
    let (out, err) = product.analyze(1, "out", &[]);
    assert_eq!((out.as_str(), err.lines().count()), ("", 1), "{err}");
    for words in [
        "processing.max_range_gate is 6660 there and 6665 here",
        "another folder with -o",
        "--clobber",
        &product.path("out"),
    ] {
        assert!(err.contains(words), "no '{words}' in {err}");
    }
    assert!(product.contents("out") == before);
    product.configure(6660);
    let (_, err) = product.analyze(1, "out", &["-m", "fdpt"]);
    assert!(err.contains("method is \"fgmf\" there and \"fdpt\" here"), "{err}");
    let (_, err) = product.analyze(1, "out", &["--relative_time", "-e", "0.4"]);
    assert!(err.contains("layout.n_integrations is 3 there and 2 here"), "{err}");
    // The same, said otherwise, and by other means, is no other run.
    let (out, _) = product.analyze(0, "out", &["-i", "c", "--backend", "serial", "--job", "1/2"]);
    assert!(out.contains("2 files were there already"), "{out}");

    product.analyze(0, "out", &["--relative_time", "-s", "0.2", "--clobber"]);
    assert_eq!(product.files("out").len(), 2, "a file of the old run is left");
    expect(0, &["merge", &product.path("out")]);
}

#[test]
fn merge_proves_that_all_is_there_or_names_what_is_not() {
    let product = Product::new(6, &[]);
    let dir = product.path("out");
    let (_, err) = expect(1, &["merge", &product.path("nowhere")]);
    assert!(err.contains("nowhere"), "{err}");
    fs::create_dir(&dir).unwrap();
    let (_, err) = expect(1, &["merge", &dir]);
    assert!(err.contains("no run.json"), "{err}");

    product.analyze(0, "out", &["--job", "1/3"]);
    product.analyze(0, "out", &["--job", "3/3"]);
    let (out, err) = expect(1, &["merge", &dir]);
    assert!(out.contains("4 of 6 files whole"), "{out}");
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 3, "{err}");
    assert!(lines[0].starts_with("missing: 2021-04-12T12-00-00/gmf-1618229740200000.h5"), "{err}");
    assert!(lines[1].starts_with("missing: 2021-04-12T12-00-00/gmf-1618229740800000.h5"), "{err}");
    assert!(lines[2].contains("is not complete: 2 files missing; the same analysis"), "{err}");

    product.analyze(0, "out", &["--job", "2/2"]);
    product.analyze(0, "out", &["--job", "2/3"]);
    let (out, err) = expect(0, &["merge", &dir]);
    assert!(out.contains("6 of 6 files whole") && err.is_empty(), "{out}{err}");

    let first = product.files("out").into_values().next().unwrap();
    fs::write(&first, "damaged").unwrap();
    fs::write(first.with_file_name("gmf-1234567890123456.h5"), "").unwrap();
    let (out, err) = expect(1, &["merge", &dir, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["complete"], false);
    assert_eq!(report["damaged"][0], "2021-04-12T12-00-00/gmf-1618229740000000.h5");
    assert_eq!(report["foreign"][0], "2021-04-12T12-00-00/gmf-1234567890123456.h5");
    assert_eq!((&report["n_files"], &report["n_whole"]), (&6.into(), &5.into()));
    assert!(err.contains("1 files damaged, 1 files of no run"), "{err}");
}

#[test]
fn one_run_is_refined_as_a_whole_or_not_at_all() {
    let product = Product::new(4, &[]);
    let dir = product.path("out");
    product.analyze(0, "out", &[]);
    product.analyze(0, "out", &["--optimize", "grid", "--job", "1/2"]);
    let (_, err) = expect(1, &["merge", &dir]);
    assert!(err.contains("peaks refined in different ways (2 grid, 2 none)"), "{err}");
    product.analyze(0, "out", &["--optimize", "grid"]);
    expect(0, &["merge", &dir]);
}
