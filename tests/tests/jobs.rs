//! How a run is divided cannot be seen in what it writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use polychron::Kernels;
use polychron::create_parallel_manager;
use polychron::gmf::Method;
use polychron::gmf_pipeline::{
    Analysis, AnalysisError, AnalysisPlan, Event, FolderSink, GmfFile, Inventory, KernelChoice,
    RunControl, RunReport, Sink,
};
use polychron::jobdiv::Job;
use polychron::pm::CancelToken;
use polychron_tests::{golden_cases, temp_dir};

/// The case of five integrations in three files, over Digital RF files that end within them.
fn plan(method: Method, threads: usize) -> AnalysisPlan {
    let case = &golden_cases()[0];
    let config = case.config("c-fgmf");
    let mut analysis = Analysis::of_product(&case.drf(), "rx", Some(&config)).expect("is sound");
    analysis.options.method = method;
    analysis.kernel = Some(KernelChoice::new("cpu").threads(threads));
    let plan = analysis.plan().expect("fits together");
    assert_eq!((plan.n_integrations(), plan.n_files()), (5, 3));
    plan
}

/// Every GMF file below a folder, by its path there. Whatever else is in the folder is a record, a
/// lock or a manifest; nothing temporary is left.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("lists") {
            let path = entry.expect("lists").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.parent() == Some(dir) {
                let name = path.file_name().expect("has one").to_string_lossy().into_owned();
                let known = ["run.json", "run.lock"].contains(&name.as_str());
                assert!(known || name.starts_with("manifest."), "{name}");
            } else {
                assert!(path.extension().is_some_and(|e| e == "h5"), "{}", path.display());
                let bytes = fs::read(&path).expect("reads");
                found.insert(path.strip_prefix(dir).expect("is below").to_owned(), bytes);
            }
        }
    }
    found
}

#[test]
fn any_split_and_any_workers_write_the_same_bytes() {
    for method in [Method::Fgmf, Method::Fdpt] {
        let reference = temp_dir();
        let manager = create_parallel_manager("serial", None).unwrap();
        let mut sink = FolderSink::new(reference.path(), false);
        plan(method, 1).run::<Kernels>(&*manager, &mut sink, RunControl::default()).unwrap();
        let expected = files(reference.path());
        assert_eq!(expected.len(), 3);
        for (backend, workers, threads) in [
            ("serial", 1, 3),
            ("threads", 1, 1),
            ("threads", 2, 1),
            ("threads", 3, 1),
            ("threads", 8, 1),
            ("threads", 2, 2),
        ] {
            for n_jobs in [1, 2, 3, 7] {
                let dir = temp_dir();
                let mut n_files = 0;
                for job in Job::all(n_jobs).unwrap().rev() {
                    let manager = create_parallel_manager(backend, Some(workers)).unwrap();
                    let mut sink = FolderSink::new(dir.path(), false);
                    let control = RunControl::default().job(job);
                    // More jobs than files: the idle ones succeed.
                    let report = plan(method, threads)
                        .run::<Kernels>(&*manager, &mut sink, control)
                        .unwrap();
                    n_files += report.files.len();
                }
                assert_eq!(n_files, 3);
                let inventory = Inventory::take(dir.path()).unwrap();
                assert!(inventory.is_complete() && !inventory.has_gaps(), "{inventory:?}");
                assert!(
                    files(dir.path()) == expected,
                    "{method}, {workers} {backend}, {threads} threads each, {n_jobs} jobs"
                );
            }
        }
    }
}

#[test]
fn complete_files_are_kept_unless_they_are_to_be_replaced() {
    let dir = temp_dir();
    let manager = create_parallel_manager("threads", Some(2)).unwrap();
    let plan = plan(Method::Fgmf, 1);
    let run = |replace| {
        let mut sink = FolderSink::new(dir.path(), replace);
        plan.run::<Kernels>(&*manager, &mut sink, RunControl::default()).unwrap()
    };
    assert_eq!((run(false).files.len(), run(false).n_skipped), (3, 3));
    let before = files(dir.path());
    let (lost, bytes) = before.iter().next().unwrap();
    fs::remove_file(dir.path().join(lost)).unwrap();
    let report = run(false);
    assert_eq!((report.files, report.n_skipped), (vec![lost.clone()], 2));
    assert_eq!(&files(dir.path())[lost], bytes);
    assert_eq!(run(true).files.len(), 3);
    assert!(files(dir.path()) == before);
}

/// Cancels when the first file is complete.
struct CancelAfterOne {
    folder: FolderSink,
    cancel: CancelToken,
}

impl Sink for CancelAfterOne {
    fn begin(
        &mut self,
        plan: &AnalysisPlan,
        kernel: &KernelChoice,
        job: Job,
    ) -> Result<(), AnalysisError> {
        self.folder.begin(plan, kernel, job)
    }

    fn wants(&mut self, file: &polychron::gmf_pipeline::FileTask) -> bool {
        self.folder.wants(file)
    }

    fn put(&mut self, file: GmfFile) -> Result<bool, AnalysisError> {
        self.cancel.cancel();
        self.folder.put(file)
    }
}

#[test]
fn a_cancelled_run_leaves_whole_files_and_the_next_one_does_the_rest() {
    for backend in ["serial", "threads"] {
        let (dir, whole) = (temp_dir(), temp_dir());
        let manager = create_parallel_manager(backend, Some(2)).unwrap();
        let plan = plan(Method::Fgmf, 1);
        let cancel = CancelToken::new();
        let folder = FolderSink::new(dir.path(), false);
        let mut sink = CancelAfterOne { folder: folder.clone(), cancel: cancel.clone() };
        let control = RunControl::default().cancel(&cancel);
        let error = plan.run::<Kernels>(&*manager, &mut sink, control).unwrap_err();
        assert!(matches!(error, AnalysisError::Cancelled { n_files: 1.., .. }), "{error}");
        let after = files(dir.path());
        // What was computed before the workers saw it is written, perhaps all.
        assert!((1..=3).contains(&after.len()), "{backend}: {} files", after.len());

        let mut first = folder;
        let report = plan.run::<Kernels>(&*manager, &mut first, RunControl::default()).unwrap();
        assert_eq!(report.files.len() + after.len(), 3);
        let mut all = FolderSink::new(whole.path(), false);
        plan.run::<Kernels>(&*manager, &mut all, RunControl::default()).unwrap();
        assert!(files(dir.path()) == files(whole.path()), "{backend}");
    }
}

#[test]
fn a_run_tells_what_it_does() {
    let manager = create_parallel_manager("threads", Some(2)).unwrap();
    let plan = plan(Method::Fdpt, 1);
    let (mut started, mut done, mut complete) = (None, Vec::new(), Vec::new());
    let mut observe = |event: Event<'_>| match event {
        Event::Started { n_integrations, n_files, n_skipped } => {
            started = Some((n_integrations, n_files, n_skipped));
        }
        Event::Computed { n_done } => done.push(n_done),
        Event::File(file) => complete.push(file.relative_path().to_owned()),
        other => panic!("{other:?}"),
    };
    let mut in_memory: Vec<GmfFile> = Vec::new();
    let control = RunControl::default().observer(&mut observe);
    let report = plan.run::<Kernels>(&*manager, &mut in_memory, control).unwrap();
    assert_eq!(started, Some((5, 3, 0)));
    assert!(done.is_sorted() && done.last() == Some(&5), "{done:?}");
    assert_eq!(complete, report.files);
    assert_eq!(in_memory.iter().map(|file| file.rows().len()).sum::<usize>(), 5);
}

/// Runs with a folder's sink, on two threads.
fn run_into(plan: &AnalysisPlan, sink: FolderSink, job: Job) -> Result<RunReport, AnalysisError> {
    let mut sink = sink;
    let manager = create_parallel_manager("threads", Some(2)).expect("is in the build");
    plan.run::<Kernels>(&*manager, &mut sink, RunControl::default().job(job))
}

/// The parsed lines of all manifests of a folder.
fn manifest_lines(dir: &Path) -> Vec<serde_json::Value> {
    let names = fs::read_dir(dir).expect("lists").map(|entry| entry.expect("lists").path());
    let manifests = names.filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
    let texts = manifests.map(|path| fs::read_to_string(path).expect("reads"));
    texts
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| serde_json::from_str(&line).ok())
        .collect()
}

#[test]
fn what_is_done_is_known_by_manifest_and_checksum_not_by_existence() {
    let dir = temp_dir();
    let plan = plan(Method::Fdpt, 1);
    let run = || run_into(&plan, FolderSink::new(dir.path(), false), Job::WHOLE).unwrap();
    run();
    let whole = files(dir.path());
    let names: Vec<&PathBuf> = whole.keys().collect();
    let inventory = || Inventory::take(dir.path()).unwrap();
    assert!(inventory().is_complete());

    // One byte of one file is wrong, another is cut, nobody touched the third.
    let mut bytes = whole[names[0]].clone();
    bytes[5000] ^= 1;
    fs::write(dir.path().join(names[0]), bytes).unwrap();
    fs::write(dir.path().join(names[1]), &whole[names[1]][..9000]).unwrap();
    assert_eq!(inventory().damaged, [names[0].clone(), names[1].clone()]);
    let report = run();
    assert_eq!((report.files.len(), report.n_skipped), (2, 1));
    assert!(files(dir.path()) == whole && inventory().is_complete());

    // Without any manifest everything is computed, found equal, and left alone.
    let manifest = dir.path().join("manifest.1of1.jsonl");
    fs::remove_file(&manifest).unwrap();
    assert_eq!(inventory().unlisted.len(), 3);
    let modified =
        |name: &PathBuf| fs::metadata(dir.path().join(name)).unwrap().modified().unwrap();
    let times: Vec<_> = names.iter().map(|name| modified(name)).collect();
    let report = run();
    assert_eq!((report.n_integrations, report.files.len(), report.n_skipped), (5, 0, 3));
    assert_eq!(times, names.iter().map(|name| modified(name)).collect::<Vec<_>>());
    assert!(inventory().is_complete());

    // Killed while noting: the line that was cut off is as if it had never been begun.
    let lines = fs::read_to_string(&manifest).unwrap();
    let last = lines.trim_end().rfind('\n').unwrap() + 1;
    let cut: serde_json::Value = serde_json::from_str(&lines[last..]).unwrap();
    fs::write(&manifest, &lines[..last + 40]).unwrap();
    assert_eq!(inventory().unlisted, [PathBuf::from(cut["path"].as_str().unwrap())]);
    let report = run();
    assert_eq!((report.files.len(), report.n_skipped), (0, 3));
    assert_eq!(manifest_lines(dir.path()).len(), 3);
    assert!(files(dir.path()) == whole && inventory().is_complete());
}

#[test]
fn processes_that_do_the_same_job_at_once_do_no_damage() {
    let whole = temp_dir();
    let plan = plan(Method::Fdpt, 1);
    run_into(&plan, FolderSink::new(whole.path(), false), Job::WHOLE).unwrap();
    for replace in [false, true] {
        let dir = temp_dir();
        let sink = FolderSink::new(dir.path(), replace);
        // Two times the whole, and two times a third of it.
        let jobs = [Job::WHOLE, Job::WHOLE, Job::new(1, 3).unwrap(), Job::new(1, 3).unwrap()];
        std::thread::scope(|scope| {
            let runs = jobs.map(|job| {
                let (plan, sink) = (&plan, sink.clone());
                scope.spawn(move || run_into(plan, sink, job).unwrap())
            });
            let reports = runs.map(|run| run.join().unwrap());
            let n_won: usize = reports.iter().map(|report| report.files.len()).sum();
            assert!(replace || n_won == 3, "exactly one wins each file: {reports:?}");
        });
        assert!(files(dir.path()) == files(whole.path()));
        let inventory = Inventory::take(dir.path()).unwrap();
        assert!(inventory.is_complete(), "{inventory:?}");
    }
}

#[test]
fn the_manifest_says_what_was_written() {
    let dir = temp_dir();
    let plan = plan(Method::Fgmf, 1);
    for job in Job::all(2).unwrap() {
        run_into(&plan, FolderSink::new(dir.path(), false), job).unwrap();
    }
    let written = files(dir.path());
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path().join("run.json")).unwrap()).unwrap();
    let mut lines = manifest_lines(dir.path());
    lines.sort_by_key(|line| line["file"].as_u64());
    assert_eq!(lines.len(), 3);
    for (file_idx, line) in lines.iter().enumerate() {
        let task = plan.file(file_idx);
        assert_eq!(line["path"], task.relative_path.to_str().unwrap());
        assert_eq!(line["bytes"], written[&task.relative_path].len());
        assert_eq!(line["integrations"]["start"], task.integrations.start);
        assert_eq!(line["integrations"]["end"], task.integrations.end);
        assert_eq!(line["xxh3"].as_str().unwrap().len(), 32);
        assert_eq!(line["gaps"], serde_json::json!([]));
        assert_eq!(line["run"], record["hash"]);
        assert!(line["seconds"].as_f64().unwrap() > 0.0);
    }
    for manifest in ["manifest.1of2.jsonl", "manifest.2of2.jsonl"] {
        assert!(dir.path().join(manifest).is_file());
    }
}

/// The same case with other gates, and files of other sizes, so that their names differ too.
fn other_plan() -> AnalysisPlan {
    let mut analysis = plan(Method::Fgmf, 1).analysis().clone();
    analysis.processing.num_cohints_per_file = 1;
    analysis.processing.clutter_length = 77;
    analysis.plan().expect("fits together")
}

#[test]
fn a_folder_holds_one_run_and_another_is_refused_or_takes_its_place() {
    let (dir, alone) = (temp_dir(), temp_dir());
    let (old, new) = (plan(Method::Fgmf, 1), other_plan());
    run_into(&old, FolderSink::new(dir.path(), false), Job::WHOLE).unwrap();
    run_into(&new, FolderSink::new(alone.path(), false), Job::WHOLE).unwrap();
    let before = (files(dir.path()), manifest_lines(dir.path()));

    let error = run_into(&new, FolderSink::new(dir.path(), false), Job::WHOLE).unwrap_err();
    assert!(matches!(error, AnalysisError::OtherRun { .. }), "{error}");
    let message = error.to_string();
    for words in ["processing.clutter_length is 0 there and 77 here", "-o", "--clobber"] {
        assert!(message.contains(words), "no '{words}' in {message}");
    }
    assert!((files(dir.path()), manifest_lines(dir.path())) == before, "something was written");
    // A kernel, a method, a part of the recording: each is another run.
    let mut analysis = old.analysis().clone();
    analysis.options.method = Method::Fdpt;
    let fdpt = analysis.plan().unwrap();
    let error = run_into(&fdpt, FolderSink::new(dir.path(), false), Job::WHOLE).unwrap_err();
    assert!(error.to_string().contains("method is \"fgmf\" there and \"fdpt\" here"), "{error}");

    // Several jobs at once take the place of the old run, and no file of it is left.
    std::thread::scope(|scope| {
        let runs: Vec<_> = Job::all(3)
            .unwrap()
            .map(|job| {
                let (sink, new) = (FolderSink::new(dir.path(), true), &new);
                scope.spawn(move || run_into(new, sink, job).unwrap())
            })
            .collect();
        runs.into_iter().for_each(|run| drop(run.join().unwrap()));
    });
    assert!(files(dir.path()) == files(alone.path()));
    let inventory = Inventory::take(dir.path()).unwrap();
    assert!(inventory.is_complete(), "{inventory:?}");
    // And back, one job after the other: the files of the job that has not begun are not of the run.
    for job in Job::all(2).unwrap() {
        let replace = job.idx() == 0;
        run_into(&old, FolderSink::new(dir.path(), replace), job).unwrap();
        let complete = Inventory::take(dir.path()).unwrap().is_complete();
        assert_eq!(complete, job.idx() == 1);
    }
    assert!(files(dir.path()) == before.0);
}

#[test]
fn a_folder_is_not_replaced_under_a_run_that_is_at_work() {
    let dir = temp_dir();
    let (old, new) = (plan(Method::Fgmf, 1), other_plan());
    let mut at_work = FolderSink::new(dir.path(), false);
    at_work.begin(&old, &KernelChoice::new("cpu"), Job::WHOLE).unwrap();
    let error = run_into(&new, FolderSink::new(dir.path(), true), Job::WHOLE).unwrap_err();
    assert!(matches!(error, AnalysisError::Busy { .. }), "{error}");
    assert!(files(dir.path()).is_empty());
    drop(at_work);
    run_into(&new, FolderSink::new(dir.path(), true), Job::WHOLE).unwrap();
}

#[test]
fn files_of_no_recorded_run_are_neither_mixed_nor_removed() {
    let case = &golden_cases()[0];
    let plan = plan(Method::Fgmf, 1);
    let theirs = case.expected_files("c-fgmf");
    let copy = |dir: &Path, hour: &str| {
        let hour = dir.join(hour);
        fs::create_dir_all(&hour).expect("makes");
        for file in &theirs {
            fs::copy(file, hour.join(file.file_name().expect("has one"))).expect("copies");
        }
    };
    let run = |dir: &Path, replace| run_into(&plan, FolderSink::new(dir, replace), Job::WHOLE);
    // hardtarget's own results of the same recording: replaced if asked.
    let dir = temp_dir();
    copy(dir.path(), "2021-04-12T12-00-00");
    let before = files(dir.path());
    let message = run(dir.path(), false).unwrap_err().to_string();
    assert!(message.contains("of no recorded run") && message.contains("--clobber"), "{message}");
    assert!(files(dir.path()) == before && !dir.path().join("run.lock").exists());
    run(dir.path(), true).unwrap();
    assert!(Inventory::take(dir.path()).unwrap().is_complete());

    // Of another: never.
    let dir = temp_dir();
    copy(dir.path(), "2021-04-12T13-00-00");
    let before = files(dir.path());
    for replace in [false, true] {
        let message = run(dir.path(), replace).unwrap_err().to_string();
        assert!(message.contains("move them away"), "{message}");
        assert!(files(dir.path()) == before);
    }
}

#[test]
fn an_inventory_names_what_is_missing_double_damaged_or_foreign() {
    let dir = temp_dir();
    let plan = plan(Method::Fgmf, 1);
    let error = Inventory::take(dir.path()).unwrap_err();
    assert!(matches!(error, AnalysisError::NoRun { .. }), "{error}");
    run_into(&plan, FolderSink::new(dir.path(), false), Job::new(0, 2).unwrap()).unwrap();
    let path = |k: usize| plan.file(k).relative_path;
    let inventory = Inventory::take(dir.path()).unwrap();
    assert_eq!((inventory.n_files, inventory.n_whole), (3, 2));
    assert_eq!(inventory.missing, [path(1)]);

    // Another job claims to have written the first with other bytes.
    let mut lines = manifest_lines(dir.path());
    lines.retain(|line| line["path"] == path(0).to_str().unwrap());
    let mut entry = lines.remove(0);
    entry["xxh3"] = "0123456789abcdef0123456789abcdef".into();
    fs::write(dir.path().join("manifest.1of1.jsonl"), format!("{entry}\n")).unwrap();
    fs::write(dir.path().join(path(2)), "damaged").unwrap();
    fs::copy(dir.path().join(path(0)), dir.path().join(path(1))).unwrap();
    let foreign = path(0).with_file_name("gmf-1618229740000001.h5");
    fs::write(dir.path().join(&foreign), "").unwrap();
    let inventory = Inventory::take(dir.path()).unwrap();
    assert_eq!(inventory.n_whole, 0);
    assert_eq!(inventory.double.len(), 1);
    assert_eq!((&inventory.double[0].path, inventory.double[0].checksums.len()), (&path(0), 2));
    assert_eq!(inventory.damaged, [path(2)]);
    assert_eq!(inventory.unlisted, [path(1)]);
    assert!(inventory.foreign.iter().eq([&foreign]), "{inventory:?}");

    // A run settles all but the foreign file.
    run_into(&plan, FolderSink::new(dir.path(), false), Job::WHOLE).unwrap();
    let inventory = Inventory::take(dir.path()).unwrap();
    assert_eq!((inventory.n_whole, inventory.foreign.len()), (3, 1));
    fs::remove_file(dir.path().join(foreign)).unwrap();
    assert!(Inventory::take(dir.path()).unwrap().is_complete());
}

#[test]
fn a_record_that_was_changed_by_hand_is_refused() {
    let dir = temp_dir();
    let plan = plan(Method::Fgmf, 1);
    run_into(&plan, FolderSink::new(dir.path(), false), Job::WHOLE).unwrap();
    let path = dir.path().join("run.json");
    let text = fs::read_to_string(&path).unwrap();
    let version = text.replace("\"format_version\": 1", "\"format_version\": 9");
    let changed = text.replace("\"clutter_length\": 0", "\"clutter_length\": 1");
    for damaged in [&text[..300], "", "[]", &version, &changed] {
        fs::write(&path, damaged).unwrap();
        for error in [
            run_into(&plan, FolderSink::new(dir.path(), false), Job::WHOLE).unwrap_err(),
            Inventory::take(dir.path()).unwrap_err(),
        ] {
            assert!(matches!(error, AnalysisError::Record { .. }), "{error}");
            assert!(error.to_string().contains("run.json"), "{error}");
        }
    }
    run_into(&plan, FolderSink::new(dir.path(), true), Job::WHOLE).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}
