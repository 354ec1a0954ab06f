//! The worker processes of an analysis in its times, while it runs and afterwards.

#![cfg(all(feature = "shared-times", feature = "processes"))]

mod common;

use std::path::PathBuf;
use std::process::Stdio;

use common::place::{Place, assert_same, ends, program, texts, until, workers};
use common::{Product, utf8};
use gtimer_core::{Times, load_times};

/// An analysis of a second or more by two processes.
fn analysis(product: &Product, out: &str, times: &str) -> Vec<String> {
    product.configure(6900);
    let more = ["--backend", "processes", "--workers", "2", "--times", times, "-v"];
    product.analysis(out, &more)
}

#[test]
fn top_shows_the_worker_processes_and_the_report_equals_what_was_saved() {
    let place = Place::new();
    let product = Product::new(30, &[]);
    let (shared, saved) = (product.path("shared.json"), product.path("saved.times"));
    let analysis = analysis(&product, "gmf", &saved);
    let analysis: Vec<&str> = analysis.iter().map(String::as_str).collect();
    let args = [&["run", "--times", &shared, "--", program()], &analysis[..]].concat();
    let child = place.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let session = place.session();
    until("top shows both workers at work", || {
        let (text, _) = place.expect(0, &["top", utf8(session.dir()), "--once"]);
        let is_there = |n: usize| {
            let label = format!("worker {n} of 2 (pid ");
            text.lines().any(|line| line.contains(&label) && line.contains("running"))
        };
        (text.contains("(analyze)") && text.contains("kernel") && is_there(1) && is_there(2))
            .then_some(())
    });
    let output = ends(child);
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    // By `-v` of the analysis, and by the report of the session.
    let (verbose, report) = stderr.split_once("\n\n").unwrap_or((&stderr, ""));
    assert!(stderr.matches("worker 1").count() >= 2, "{verbose}\n{report}");
    assert!(stderr.contains("worker 2 of 2 (pid "), "{stderr}");
    assert_eq!(place.sessions(), Vec::<PathBuf>::new(), "nothing is left");

    let shared = load_times(&shared).unwrap();
    let saved = Times::load(&saved).unwrap();
    let mut saved_workers = workers(&saved);
    saved_workers.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<&str> = saved_workers.iter().map(|worker| worker.name.as_str()).collect();
    assert_eq!(names, ["worker 1", "worker 2"]);
    let n_kernel: u64 = saved_workers.iter().map(|worker| n_calls(worker, "kernel")).sum();
    assert_eq!(n_kernel, 30, "{saved:?}");
    assert_eq!(shared.len(), 3, "the master and its workers: {shared:#?}");
    let find = |name: &str| {
        let mut found = shared.iter().filter(|times| times.name.ends_with(name));
        found.next().unwrap_or_else(|| panic!("{name}: {shared:#?}"))
    };
    assert_same(find(", analyze"), &saved);
    for worker in saved_workers {
        assert_same(find(&format!(", {}", worker.name)), worker);
    }
}

fn n_calls(times: &Times, stamp: &str) -> u64 {
    let own = times.stamps.iter().filter(|own| own.name == stamp).map(|stamp| stamp.itr_num);
    own.sum::<u64>() + times.children().map(|child| n_calls(child, stamp)).sum::<u64>()
}

#[test]
fn each_worker_is_shown_without_a_session_and_none_is_left() {
    let place = Place::new();
    let product = Product::new(4, &[]);
    let times = product.path("run.times");
    let args = analysis(&product, "gmf", &times);
    let (_, said) = place.expect(0, &args.iter().map(String::as_str).collect::<Vec<_>>());
    for part in ["worker 1", "worker 2", "kernel", "integrate"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(workers(&Times::load(&times).unwrap()).len(), 2);
    assert_eq!(place.sessions(), Vec::<PathBuf>::new());
}
