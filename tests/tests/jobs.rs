//! How a run is divided cannot be seen in what it writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use polychron::Kernels;
use polychron::create_parallel_manager;
use polychron::gmf::Method;
use polychron::gmf_pipeline::{
    Analysis, AnalysisError, AnalysisPlan, Event, FolderSink, GmfFile, KernelChoice, RunControl,
    Sink,
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

/// Every file below a folder, by its path there.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("lists") {
            let path = entry.expect("lists").path();
            if path.is_dir() {
                folders.push(path);
            } else {
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
        assert!(matches!(error, AnalysisError::Cancelled { n_files: 1.. }), "{error}");
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
