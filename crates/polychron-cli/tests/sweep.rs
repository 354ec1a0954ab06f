//! `polychron sweep` from outside: the same results on every backend, failures as rows, hostile programs.

#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::sweep::{Place, alive};
use common::{expect, polychron};

/// Three parameters, of which the second makes it fail at some places.
const MODEL: &str = r#"
case "$2" in
3) echo "no result at 3" >&2; echo "second line" >&2; exit 4 ;;
5) kill -9 $$ ;;
7) echo "nothing of use" ;;
9) echo "{\"y\": NaN, \"a\": \"$3\"}"; exit 0 ;;
*) echo "working"; echo "{\"y\": $2$2.25, \"seed\": $4, \"a\": \"$3\"}" ;;
esac
"#;

const GRID: [&str; 6] = ["-P", "x=0:0.3:3", "-P", "n=int:2:9", "-P", "mode=fast,1"];

fn model(place: &Place) -> Vec<String> {
    let program = place.script("model", MODEL);
    ["--", &program, "{x}", "{n}", "{mode}", "{seed}"].map(str::to_owned).to_vec()
}

#[test]
fn results_are_the_same_bytes_on_every_backend_with_any_workers_and_in_any_jobs() {
    let place = Place::new();
    let command = model(&place);
    let run = |out: &str, code: i32, more: &[&str]| {
        let more = [&GRID[..], &["--seed", "5"], more].concat();
        place.sweep(code, out, &more, &command)
    };
    let (_, err) = run("first", 3, &["--backend", "serial"]);
    assert!(err.contains("row 2: exit 4: no result at 3"), "{err}");
    assert!(err.contains("done with gaps: 18 of 48 rows failed"), "{err}");
    let (csv, json) = (place.read("first/results.csv"), place.read("first/results.json"));
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 49);
    assert_eq!(lines[0], "index,x,n,mode,status,y,seed,a,error");
    assert!(lines[1].starts_with("0,0.0,2,fast,ok,22.25,"), "{csv}");
    assert!(
        lines[2].starts_with("1,0.0,2,\"1\",ok,22.25,") && lines[2].ends_with(",\"1\","),
        "{csv}"
    );
    assert_eq!(lines[3], "2,0.0,3,fast,exit 4,,,,no result at 3");
    assert_eq!(lines[7], "6,0.0,5,fast,signal 9,,,,");
    assert!(lines[11].starts_with("10,0.0,7,fast,output,,,,\"its last line is no JSON"), "{csv}");
    assert_eq!(lines[15], "14,0.0,9,fast,ok,NaN,,fast,");
    for backend in ["threads", "processes"] {
        for workers in ["1", "2", "3", "4"] {
            let out = format!("{backend}{workers}");
            run(&out, 3, &["--backend", backend, "--workers", workers]);
            assert_eq!(place.read(&format!("{out}/results.csv")), csv, "{out}");
            assert_eq!(place.read(&format!("{out}/results.json")), json, "{out}");
        }
    }
    for n in 1..=3 {
        let out = format!("jobs{n}");
        // The last one first.
        for i in (1..=n).rev() {
            let (said, _) = run(&out, 3, &["--job", &format!("{i}/{n}"), "--workers", "2"]);
            assert_eq!(said.contains("the job that does the last writes"), i > 1, "{said}");
        }
        assert_eq!(place.read(&format!("{out}/results.csv")), csv, "{out}");
        assert_eq!(place.read(&format!("{out}/results.json")), json, "{out}");
        let log = place.read(&format!("{out}/joblog.tsv"));
        assert_eq!(log.lines().count(), 49, "{log}");
        assert!(log.lines().skip(1).all(|line| line.split('\t').count() == 9), "{log}");
    }
}

#[test]
fn outputs_are_read_from_a_line_an_expression_a_file_or_not_at_all() {
    let place = Place::new();
    let cell = |out: &str, more: &[&str], body: &str| {
        let program = place.script(out, body);
        let command = ["--", &program, "{a}", "{{{index}}}"].map(str::to_owned);
        place.sweep(0, out, &[&["-P", "a=0.5,2.5"], more].concat(), &command);
        place.read(&format!("{out}/results.csv"))
    };
    let csv = cell("pairs", &[], "echo y=$1, z=$2");
    assert_eq!(csv, "index,a,status,y,z,error\n0,0.5,ok,0.5,{0},\n1,2.5,ok,2.5,{1},\n");
    let csv = cell("number", &[], "echo start; echo $1");
    assert_eq!(csv, "index,a,status,result,error\n0,0.5,ok,0.5,\n1,2.5,ok,2.5,\n");
    let csv = cell(
        "capture",
        &["--capture", r"took (?<s>\S+) s"],
        "echo took 9 s; echo took $1 s; echo end",
    );
    assert_eq!(csv, "index,a,status,s,error\n0,0.5,ok,0.5,\n1,2.5,ok,2.5,\n");
    let env =
        r#"echo "{\"a\": \"$POLYCHRON_PARAM_A\", \"i\": $POLYCHRON_INDEX}" > out.json; echo no"#;
    let dir = place.path("runs");
    let more = ["--workdir", &format!("{dir}/{{index}}"), "--result-file", "out.json"];
    let csv = cell("file", &more, env);
    assert_eq!(csv, "index,a,status,output.a,i,error\n0,0.5,ok,\"0.5\",0,\n1,2.5,ok,\"2.5\",1,\n");
    let file = place.path("row-{index}.csv");
    fs::write(place.path("row-0.csv"), "y\n99\n").expect("writes");
    let body = format!(
        "echo y,z > {0}/row-$POLYCHRON_INDEX.csv; echo $1,7 >> {0}/row-$POLYCHRON_INDEX.csv",
        place.path("")
    );
    let csv = cell("csv", &["--result-file", &file], &body);
    assert_eq!(csv, "index,a,status,y,z,error\n0,0.5,ok,0.5,7,\n1,2.5,ok,2.5,7,\n");
    let csv = cell("none", &["--no-result"], "echo {");
    assert_eq!(csv, "index,a,status,error\n0,0.5,ok,\n1,2.5,ok,\n");
    // What an earlier run left is no result.
    let program = place.script("idle", "true");
    let command = ["--", &program].map(str::to_owned);
    place.sweep(3, "stale", &["-P", "a=1", "--result-file", &file], &command);
    assert!(place.read("stale/results.csv").contains("0,1,output,it made no file "));
}

#[test]
fn programs_that_hang_shout_fork_or_fall_silent_are_rows_and_leave_nothing_behind() {
    let place = Place::new();
    let mark = format!("86{}", std::process::id());
    let body = format!(
        r#"
case $1 in
0) head -c 100000000 /dev/zero | tr '\0' x; echo; echo y=1 ;;
1) sleep {mark} ;;
2) trap '' TERM; while true; do sleep {mark}; done ;;
3) sleep {mark} & echo y=3 ;;
4) (trap '' TERM HUP; sleep {mark}) & exit 5 ;;
5) exec >&- 2>&-; sleep 0.2 ;;
6) kill -SEGV $$ ;;
7) head -c 100000000 /dev/zero | tr '\0' x >&2; echo y=7 ;;
8) yes >&2 & echo y=8 ;;
9) cat; echo y=9 ;;
esac
"#
    );
    let program = place.script("hostile", &body);
    let command = ["--", &program, "{n}"].map(str::to_owned);
    let expected = "index,n,status,y,error\n\
        0,0,ok,1,\n\
        1,1,timeout,,it took longer than 3 s\n\
        2,2,timeout,,it took longer than 3 s\n\
        3,3,ok,3,\n\
        4,4,exit 5,,\n\
        5,5,output,,it printed nothing\n\
        6,6,signal 11,,\n\
        7,7,ok,7,\n\
        8,8,ok,8,\n\
        9,9,ok,9,\n";
    for backend in ["serial", "threads", "processes"] {
        let started = Instant::now();
        let more = ["-P", "n=int:0:9", "--timeout", "3", "--backend", backend, "--workers", "4"];
        place.sweep(3, backend, &more, &command);
        assert!(started.elapsed() < Duration::from_secs(60), "{backend}");
        assert_eq!(place.read(&format!("{backend}/results.csv")), expected, "{backend}");
        assert_eq!(alive(&mark, Duration::from_secs(5)), 0, "{backend}");
    }
}

#[test]
fn failed_rows_are_tried_again_when_that_is_asked_for() {
    let place = Place::new();
    // Works the second time.
    let body = format!(
        "f={}/tried-$1; if [ -e $f ]; then echo y=$1; else touch $f; exit 1; fi",
        place.path("")
    );
    let program = place.script("flaky", &body);
    let command = ["--", &program, "{n}"].map(str::to_owned);
    place.sweep(0, "retries", &["-P", "n=1,2", "--retries", "1"], &command);
    let log = place.read("retries/joblog.tsv");
    assert!(log.lines().skip(1).all(|line| line.split('\t').nth(6) == Some("2")), "{log}");

    let sweep = ["-P", "n=3,4"];
    place.sweep(3, "again", &sweep, &command);
    place.sweep(3, "again", &[&sweep[..], &["--resume"]].concat(), &command);
    assert!(place.read("again/results.csv").contains("0,3,exit 1,"));
    place.sweep(0, "again", &[&sweep[..], &["--resume", "--retry-failed"]].concat(), &command);
    let csv = place.read("again/results.csv");
    assert_eq!(csv, "index,n,status,y,error\n0,3,ok,3,\n1,4,ok,4,\n");
    assert_eq!(place.read("again/joblog.tsv").lines().count(), 5, "every run is in the log");
}

#[test]
fn a_folder_holds_one_sweep() {
    let place = Place::new();
    let command = ["--", "echo", "{n}"].map(str::to_owned);
    let other = ["--", "echo", "-n", "{n}"].map(str::to_owned);
    let sweep = ["-P", "n=1,2"];
    let with = |more: &[&'static str]| [&sweep[..], more].concat();
    place.sweep(0, "out", &sweep, &command);
    let csv = place.read("out/results.csv");
    let (_, err) = place.sweep(1, "out", &sweep, &command);
    assert!(err.contains("has 2 of the 2 rows already: --resume"), "{err}");
    let (said, _) = place.sweep(0, "out", &with(&["--resume"]), &command);
    assert!(said.contains("2 rows were there already\n0 rows run"), "{said}");
    for (more, command, words) in [
        (&["-P", "n=1,3"][..], &command[..], "--param is n=list:1,2 there and n=list:1,3 here"),
        (&with(&["--seed", "1"])[..], &command[..], "--seed is 0 there and 1 here"),
        (&sweep[..], &other[..], "the command is echo {n} there and echo -n {n} here"),
        (&with(&["--no-result"])[..], &command[..], "the way to the results is last line there"),
        (&with(&["--workdir", "w"])[..], &command[..], "--workdir is not given there and w here"),
    ] {
        let (_, err) = place.sweep(1, "out", &[more, &["--resume"]].concat(), command);
        assert!(err.contains("belongs to another sweep") && err.contains(words), "{err}");
        assert_eq!(place.read("out/results.csv"), csv, "{words}");
    }
    place.sweep(0, "out", &["-P", "n=1,3", "--clobber"], &command);
    assert!(place.read("out/results.csv").contains("1,3,ok,3"));
    let (_, err) = place.sweep(2, "out", &with(&["--clobber", "--job", "1/2"]), &command);
    assert!(err.contains("would remove the rows of the other jobs"), "{err}");
    // Nobody's folder but a sweep's is cleared.
    fs::create_dir(place.path("foreign")).expect("makes");
    fs::write(place.path("foreign/run.json"), "{\"format\": \"polychron run\"}").expect("writes");
    let (_, err) = place.sweep(1, "foreign", &with(&["--clobber"]), &command);
    assert!(err.contains("is not the record of a sweep"), "{err}");
    assert_eq!(place.read("foreign/run.json"), "{\"format\": \"polychron run\"}");
}

#[test]
fn one_process_at_a_time_does_a_job() {
    let place = Place::new();
    let gate = place.path("gate");
    let program = place.script("wait", "while [ ! -e $1 ]; do sleep 0.02; done; echo y=1");
    let command = ["--", &program, &gate].map(str::to_owned);
    let args = place.args("out", &["-P", "n=1,2"], &command);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut first = polychron(&args).spawn().expect("starts");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !fs::exists(place.path("out/rows.1of1.jsonl")).expect("asks") {
        assert!(Instant::now() < deadline, "it does not begin");
        std::thread::sleep(Duration::from_millis(5));
    }
    // It may not have its lock yet, but the second one would wait for the gate, too.
    std::thread::sleep(Duration::from_millis(200));
    let (_, err) = expect(1, &args);
    assert!(err.contains("another process is at work on job 1/1"), "{err}");
    fs::write(&gate, "").expect("writes");
    assert!(first.wait().expect("ends").success());
}

#[test]
fn merge_makes_the_results_of_the_rows_that_are_there() {
    let place = Place::new();
    let command = ["--", "echo", "{n}"].map(str::to_owned);
    let out = place.path("out");
    place.sweep(0, "out", &["-P", "n=int:1:5", "--job", "1/2"], &command);
    assert!(!fs::exists(place.path("out/results.csv")).expect("asks"));
    let (_, err) = expect(1, &["merge", &out]);
    assert!(err.contains("2 of 5 rows are missing, the first is 1"), "{err}");
    assert_eq!(place.read("out/results.csv").lines().count(), 4);
    place.sweep(0, "out", &["-P", "n=int:1:5", "--job", "2/2"], &command);
    let csv = place.read("out/results.csv");
    fs::remove_file(place.path("out/results.csv")).expect("removes");
    let (said, _) = expect(0, &["merge", &out, "--json"]);
    assert!(said.contains("\"complete\":true") && said.contains("\"ok\":5"), "{said}");
    assert_eq!(place.read("out/results.csv"), csv);
}

#[test]
fn a_dry_run_prints_the_commands_and_writes_nothing() {
    let place = Place::new();
    let command = ["--", "no such program", "--a={a}", "x y", "{{}}"].map(str::to_owned);
    let (said, _) = place.sweep(0, "out", &["-P", "a=0:1:2", "--dry-run"], &command);
    let expected = "'no such program' --a=0.0 'x y' '{}'\n'no such program' --a=1.0 'x y' '{}'\n";
    assert_eq!(said, expected);
    let (said, _) =
        place.sweep(0, "out", &["-P", "a=0:1:3", "--dry-run", "--job", "2/2"], &command);
    assert_eq!(said.lines().count(), 1);
    assert!(!fs::exists(place.path("out")).expect("asks"));
}

#[test]
fn what_cannot_be_meant_is_refused_in_a_line() {
    let place = Place::new();
    let echo = ["--", "echo", "{a}"].map(str::to_owned);
    let a = ["-P", "a=1"];
    for (code, more, command, words) in [
        (2, &["-P", "a"][..], &echo[..], "'a' is no parameter: it has no '='"),
        (2, &["-P", "a=0:10"], &echo, "linear has 3 numbers, not 2"),
        (2, &["-P", "a=1", "-P", "a=2"], &echo, "parameter a is given twice"),
        (2, &["-P", "a=1", "-P", "A=2"], &echo, "both be POLYCHRON_PARAM_A"),
        (2, &["-P", "a=lhs:0:1"], &echo, "say how many samples"),
        (2, &["-P", "a=1,2", "--samples", "3"], &echo, "no parameter is sampled"),
        (2, &["-P", "b=1"], &echo, "a place for \"a\", but there are {b}, {index}, {seed}"),
        (2, &["-P", "a=1", "--capture", "y=(\\d+)"], &echo, "has no named group"),
        (2, &["-P", "a=1", "--capture", "("], &echo, "--capture: "),
        (2, &["-P", "a=1", "--result-file", "r.json"], &echo, "is the same for all runs"),
        (2, &["-P", "a=1", "--timeout", "0"], &echo, "a number of seconds above 0"),
        (2, &["-P", "a=1", "--retry-failed"], &echo, "--resume"),
        (2, &["-P", "a=1", "--backend", "cloud"], &echo, "serial, threads, processes"),
        (2, &["-P", "a=1", "--job", "3/2"], &echo, "there is no job 3/2"),
        (2, &["-P", "a=1", "--plot", "p.txt"], &echo, "p.txt is no picture"),
    ] {
        let (out, err) = place.sweep(code, "out", more, command);
        assert_eq!(out, "", "{more:?}");
        assert!(err.contains(words), "{more:?}: no '{words}' in {err}");
        assert!(!fs::exists(place.path("out/results.csv")).expect("asks"), "{more:?}");
    }
    let cube = ["-P", "a=1,2", "-P", "b=1,2", "-P", "c=1,2", "--plot", "p.png"];
    let (_, err) = place.sweep(2, "out", &cube, &echo);
    assert!(err.contains("this sweep has 3"), "{err}");
    let none = ["--", "polychron-no-such-program"].map(str::to_owned);
    let (_, err) = place.sweep(1, "out", &a, &none);
    assert!(err.contains("there is no program polychron-no-such-program"), "{err}");
    // It is there, but nothing that can be started.
    fs::write(place.path("text"), "no program").expect("writes");
    let text = ["--".to_owned(), place.path("text")];
    place.sweep(3, "out2", &a, &text);
    assert!(place.read("out2/results.csv").contains("0,1,exit 126,could not start "));
}

#[test]
fn pictures_show_one_or_two_parameters() {
    let place = Place::new();
    let command = ["--", "echo", "{n}"].map(str::to_owned);
    for (name, sweep) in [
        ("line.png", &["-P", "n=0:10:11"][..]),
        ("map.svg", &["-P", "n=log:1:100:5", "-P", "mode=a,b"]),
        ("text.png", &["-P", "mode=a,b", "-P", "c=7", "-P", "n=5"]),
        ("cloud.svg", &["-P", "n=lhs:0:1", "-P", "y=normal:0:1", "--samples", "20"]),
    ] {
        let file = place.path(name);
        let (said, _) =
            place.sweep(0, &format!("{name}.out"), &[sweep, &["--plot", &file]].concat(), &command);
        assert!(said.ends_with(&format!("{file}\n")), "{said}");
        let bytes = fs::read(&file).expect("is there");
        if name.ends_with("png") {
            assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 2000, "{name}");
        } else {
            let svg = String::from_utf8(bytes).expect("is text");
            assert!(svg.contains("result over n"), "{name}");
        }
    }
    let file = place.path("p.png");
    let more = ["-P", "n=1,2", "--plot", &file, "--plot-output", "y"];
    let (_, err) = place.sweep(1, "no", &more, &command);
    assert!(err.contains("--plot-output y: the outputs are result"), "{err}");
}

#[test]
fn a_worker_that_is_killed_costs_the_row_that_it_had() {
    let place = Place::new();
    // The parent of the program is the worker.
    let program =
        place.script("killer", "if [ $1 = 2 ]; then kill -9 $PPID; sleep 5; fi; echo y=$1");
    let command = ["--", &program, "{n}"].map(str::to_owned);
    let more = ["-P", "n=int:0:5", "--backend", "processes", "--workers", "2"];
    place.sweep(3, "out", &more, &command);
    let csv = place.read("out/results.csv");
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[3].starts_with("2,2,worker signal 9,,"), "{csv}");
    assert_eq!(lines.iter().filter(|line| line.contains(",ok,")).count(), 5, "{csv}");
}

#[test]
fn samples_are_the_same_in_any_job_and_for_any_backend() {
    let place = Place::new();
    let command = ["--", "echo", "x={x} y={y} s={seed}"].map(str::to_owned);
    let sweep = ["-P", "x=lhs:0:1", "-P", "y=normal:5:2", "--samples", "20", "--seed", "7"];
    place.sweep(0, "one", &sweep, &command);
    let csv = place.read("one/results.csv");
    for job in ["1/2", "2/2"] {
        let more = ["--job", job, "--backend", "processes"];
        place.sweep(0, "two", &[&sweep[..], &more].concat(), &command);
    }
    assert_eq!(place.read("two/results.csv"), csv);
    // What the program got is what stands in the parameters, to the last digit; a Latin hypercube has
    // one sample in each twentieth.
    let mut parts = Vec::new();
    for line in csv.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!((cells[1], cells[2]), (cells[4], cells[5]), "{line}");
        parts.push((cells[1].parse::<f64>().expect("is a number") * 20.0) as usize);
    }
    parts.sort_unstable();
    assert_eq!(parts, (0..20).collect::<Vec<_>>());
    assert_eq!(csv.lines().next(), Some("index,x,y,status,output.x,output.y,s,error"));
}

#[test]
fn where_the_time_went_is_saved() {
    let place = Place::new();
    let command = ["--", "echo", "{n}"].map(str::to_owned);
    let times = place.path("times.json");
    place.sweep(0, "out", &["-P", "n=1,2,3", "--times", &times], &command);
    let text = fs::read_to_string(times).expect("is there");
    for word in ["\"sweep\"", "\"plan\"", "\"rows\"", "\"results\""] {
        assert!(text.contains(word), "no {word} in {text}");
    }
}
