//! The page of a report in a real browser.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use polychron::gtimer_core::report::{HtmlLane, HtmlPage, html};
use polychron::gtimer_core::{
    ParallelGroup, StampTimes, Subdivisions, Times, TimesFormat, times_to_bytes,
};
use polychron_tests::{skip, temp_dir};
use serde_json::Value;

/// A browser that has not ended by then hangs.
const DEADLINE: Duration = Duration::from_secs(60);

struct Browser {
    program: &'static str,
    profile: tempfile::TempDir,
}

/// What a browser said and showed.
struct Seen {
    dom: String,
    log: String,
}

/// The browser, or nothing where there is none, which is told under the name of the test.
fn browser(test: &str) -> Option<Browser> {
    let is_there = |program: &&str| {
        let mut version = Command::new(program);
        version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    let program = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there);
    if program.is_none() {
        skip(test, "no chromium (cargo xtask setup installs it)");
    }
    program.map(|program| Browser { program, profile: temp_dir() })
}

impl Browser {
    fn look(&self, page: &Path, options: &[&str]) -> Seen {
        let out = self.profile.path().join("out");
        let err = self.profile.path().join("err");
        let create = |path: &Path| Stdio::from(fs::File::create(path).expect("writes"));
        let mut command = Command::new(self.program);
        command
            .args(["--headless", "--disable-gpu", "--no-first-run", "--hide-scrollbars"])
            // Root has no right to the sandbox; the page is our own.
            .args(["--no-sandbox", "--enable-logging=stderr", "--v=0"])
            .arg(format!("--user-data-dir={}", self.profile.path().join("profile").display()))
            .args(options)
            .arg(format!("file://{}", page.display()))
            .stdin(Stdio::null())
            .stdout(create(&out))
            .stderr(create(&err));
        let child = command.spawn().expect("starts");
        let log = || String::from_utf8_lossy(&fs::read(&err).expect("reads")).into_owned();
        assert!(ends(child), "the browser hangs: {}", log());
        let dom = String::from_utf8_lossy(&fs::read(&out).expect("reads")).into_owned();
        Seen { dom, log: log() }
    }

    /// The pixels of a picture of the page, as RGBA or RGB, and its bytes per pixel.
    fn picture(&self, page: &Path, options: &[&str]) -> (Vec<u8>, usize) {
        let path = self.profile.path().join("picture.png");
        let shot = format!("--screenshot={}", path.display());
        let seen = self.look(page, &[&["--window-size=1200,1400", &shot], options].concat());
        let file = fs::File::open(&path).unwrap_or_else(|e| panic!("{e}: {}", seen.log));
        let mut reader =
            png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("is a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("fits")];
        let info = reader.next_frame(&mut pixels).expect("is whole");
        (pixels, info.color_type.samples())
    }
}

fn ends(mut child: Child) -> bool {
    let start = Instant::now();
    while start.elapsed() < DEADLINE {
        if child.try_wait().expect("can be waited for").is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

fn stamp(name: &str, cum: f64, itr_num: u64) -> StampTimes {
    let mean = cum / itr_num as f64;
    StampTimes {
        name: name.to_owned(),
        cum,
        itr_num,
        itr_max: mean * 1.25,
        itr_min: mean * 0.75,
        itrs: None,
        in_loop: itr_num > 1,
    }
}

fn timer(name: &str, stamps: &[(&str, f64, u64)]) -> Times {
    let sum: f64 = stamps.iter().map(|(_, cum, _)| cum).sum();
    Times {
        name: name.to_owned(),
        total: sum * 1.0625,
        stamps_sum: sum,
        self_agg: 1e-6,
        stamps: stamps.iter().map(|&(name, cum, n)| stamp(name, cum, n)).collect(),
        ..Times::default()
    }
}

/// A run with workers beside one stage and a name that is markup if one lets it be.
fn run() -> Times {
    let worker = |n: u32| {
        let slow = f64::from(n) * 0.37;
        timer(&format!("worker {n}"), &[("read", 0.11 + slow, 20), ("kernel", 1.7 + slow, 20)])
    };
    let mut inner = timer("inner", &[("<b>bold</b> & \"sons\"", 0.033_333_333_333_333_33, 3)]);
    inner.position = Some("plan".to_owned());
    Times {
        subdivisions: vec![Subdivisions { position: "plan".to_owned(), timers: vec![inner] }],
        parallel: vec![ParallelGroup {
            position: "search".to_owned(),
            group: "workers".to_owned(),
            workers: (1..=3).map(worker).collect(),
        }],
        ..timer("run", &[("plan", 0.1, 1), ("search", 3.2, 1), ("write", 0.7, 12)])
    }
}

fn page(times: &Times) -> String {
    let facts = [("command".to_owned(), "polychron demo".to_owned())];
    let notes = ["pid 7: killed in (demo) / (search)".to_owned()];
    let lanes = [HtmlLane { label: "run", start: 0.0, times }];
    html(&HtmlPage { title: "A page", facts: &facts, notes: &notes, lanes: &lanes, tables: &[] })
}

/// The first full value in each row that has a path, as the browser has the document.
fn rows(dom: &str) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for row in dom.split("<tr data-path=\"").skip(1) {
        let (path, rest) = row.split_once('"').expect("the attribute ends");
        let value = rest.split("data-v=\"").nth(1).and_then(|rest| rest.split_once('"'));
        let value = value.and_then(|(value, _)| value.parse().ok()).expect("a row has a number");
        let path = path.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
        found.insert(path.replace("&amp;", "&"), value);
    }
    found
}

/// The same from the JSON of the same times: each timer and each stamp by its path.
fn numbers(times: &Value, path: &str, found: &mut BTreeMap<String, f64>) {
    let number = |value: &Value| value.as_f64().expect("is a number");
    let text = |value: &Value| value.as_str().expect("is a text").replace('/', "\\/");
    found.insert(path.to_owned(), number(&times["total"]));
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for stamp in list(&times["stamps"]) {
        found.insert(format!("{path}/{}", text(&stamp["name"])), number(&stamp["cum"]));
    }
    for at in list(&times["subdivisions"]) {
        for timer in list(&at["timers"]) {
            let path = format!("{path}/{}/({})", text(&at["position"]), text(&timer["name"]));
            numbers(&timer, &path, found);
        }
    }
}

fn saved(dir: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("page.html");
    fs::write(&path, text).expect("writes");
    path
}

#[test]
fn a_page_holds_the_numbers_of_the_json_and_the_browser_complains_of_nothing() {
    let Some(browser) = browser(
        "html_page::a_page_holds_the_numbers_of_the_json_and_the_browser_complains_of_nothing",
    ) else {
        return;
    };
    let dir = temp_dir();
    let times = run();
    let seen = browser.look(&saved(&dir, &page(&times)), &["--dump-dom"]);
    assert!(!seen.log.contains(":CONSOLE:"), "{}", seen.log);
    assert!(!seen.dom.contains("<b>bold"), "a name became markup");

    let json = times_to_bytes(&[times], TimesFormat::Json).expect("is finite");
    let json: Value = serde_json::from_slice(&json).expect("is JSON");
    let mut want = BTreeMap::new();
    numbers(&json["times"][0], "run", &mut want);
    assert_eq!(want.len(), 6, "{want:?}");
    let shown = rows(&seen.dom);
    for (path, value) in want {
        assert_eq!(shown.get(&path), Some(&value), "{path}: {shown:?}");
    }
    // Of workers the greatest has its rows; all are in the table over them.
    let worker = &json["times"][0]["parallel"][0]["workers"][2];
    let greatest = shown.get("run/search/[workers]/worker 3").copied();
    assert_eq!(greatest, worker["total"].as_f64(), "{shown:?}");
    assert!(!shown.contains_key("run/search/[workers]/worker 1"), "{shown:?}");

    // What is looked for in the log is what a browser says there.
    let loud = browser.look(&saved(&dir, "<script>console.error('no')</script>"), &["--dump-dom"]);
    assert!(loud.log.contains(":CONSOLE:"), "{}", loud.log);
}

#[test]
fn a_page_is_drawn_in_light_in_dark_and_on_paper() {
    let Some(browser) = browser("html_page::a_page_is_drawn_in_light_in_dark_and_on_paper") else {
        return;
    };
    let dir = temp_dir();
    let page = saved(&dir, &page(&run()));
    let mut brightness = Vec::new();
    for scheme in
        ["--blink-settings=preferredColorScheme=1", "--blink-settings=preferredColorScheme=0"]
    {
        let (pixels, samples) = browser.picture(&page, &[scheme]);
        let colours: std::collections::BTreeSet<&[u8]> =
            pixels.chunks(samples).map(|pixel| &pixel[..3]).collect();
        assert!(colours.len() > 50, "{scheme}: {} colours are a blank page", colours.len());
        let sum: u64 =
            pixels.chunks(samples).flat_map(|p| &p[..3]).map(|&value| u64::from(value)).sum();
        brightness.push(sum as f64 / (3 * pixels.len() / samples) as f64);
    }
    assert!(brightness[0] > 200.0 && brightness[1] < 80.0, "{brightness:?}");

    let pdf = dir.path().join("page.pdf");
    let print = format!("--print-to-pdf={}", pdf.display());
    let seen = browser.look(&page, &["--no-pdf-header-footer", &print]);
    let bytes = fs::read(&pdf).unwrap_or_else(|e| panic!("{e}: {}", seen.log));
    assert!(bytes.starts_with(b"%PDF-") && bytes.len() > 10_000, "{} bytes", bytes.len());
    let n_pages = bytes.windows(11).filter(|at| at == b"/Type /Page").count()
        - bytes.windows(12).filter(|at| at == b"/Type /Pages").count();
    assert!((1..10).contains(&n_pages), "{n_pages} pages");
}
