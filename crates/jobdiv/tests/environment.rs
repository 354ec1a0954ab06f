//! Which job the environment names: every source, their order, and every way to be wrong.
//!
//! All of it goes through `from_lookup`, so that the process's own environment is never touched.

use std::error::Error;

use jobdiv::{EnvError, EnvJob, EnvOptions, Job, JobError, Source};

/// Reads `A=1 B=2` as the environment.
fn look(options: &EnvOptions, variables: &str) -> Result<EnvJob, EnvError> {
    let table: Vec<(&str, &str)> =
        variables.split_whitespace().map(|pair| pair.split_once('=').expect(pair)).collect();
    Job::from_lookup(options, |name| {
        table.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    })
}

const NOTHING: EnvOptions = EnvOptions { n_jobs: None, first_id: None, array_times_mpi: false };

fn job(idx: usize, n_jobs: usize) -> Job {
    Job::new(idx, n_jobs).expect("a job")
}

fn sources(found: &EnvJob) -> Vec<Source> {
    found.claims.iter().map(|claim| claim.origin).collect()
}

fn message(variables: &str) -> String {
    look(&NOTHING, variables).expect_err(variables).to_string()
}

/// One row of the table per source, each as its documentation shows it.
#[test]
fn every_source_is_understood() {
    use Source::*;
    let given = |n_jobs| EnvOptions { n_jobs: Some(n_jobs), ..NOTHING };
    let counted = |n_jobs, first| EnvOptions { first_id: Some(first), ..given(n_jobs) };
    let first = |first| EnvOptions { first_id: Some(first), ..NOTHING };
    let slurm = "SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=5 SLURM_ARRAY_TASK_MAX=9";
    let sge = "SGE_TASK_FIRST=2 SGE_TASK_LAST=12 SGE_TASK_STEPSIZE=4";
    let rows = [
        (Polychron, NOTHING, "POLYCHRON_JOB=3/4".to_owned(), job(2, 4)),
        (OpenMpi, NOTHING, "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=4".to_owned(), job(1, 4)),
        (Pmi, NOTHING, "PMI_RANK=3 PMI_SIZE=4".to_owned(), job(3, 4)),
        (Mvapich, NOTHING, "MV2_COMM_WORLD_RANK=0 MV2_COMM_WORLD_SIZE=2".to_owned(), job(0, 2)),
        (SlurmStep, NOTHING, "SLURM_STEP_ID=0 SLURM_PROCID=5 SLURM_NTASKS=8".to_owned(), job(5, 8)),
        (
            SlurmStep,
            NOTHING,
            "SLURM_STEP_ID=2 SLURM_PROCID=1 SLURM_NTASKS=8 SLURM_STEP_NUM_TASKS=4".to_owned(),
            job(1, 4),
        ),
        (
            SlurmArray,
            NOTHING,
            format!("SLURM_ARRAY_TASK_ID=9 SLURM_ARRAY_TASK_STEP=2 {slurm}"),
            job(2, 3),
        ),
        (Pbs, counted(4, 1), "PBS_ARRAY_INDEX=4".to_owned(), job(3, 4)),
        (Pbs, first(0), "PBS_ARRAY_INDEX=0 PBS_ARRAY_COUNT=4".to_owned(), job(0, 4)),
        (Torque, counted(10, 0), "PBS_ARRAYID=9".to_owned(), job(9, 10)),
        (Lsf, NOTHING, "LSB_JOBINDEX=1 LSB_JOBINDEX_END=4".to_owned(), job(0, 4)),
        (
            Lsf,
            NOTHING,
            "LSB_JOBINDEX=5 LSB_JOBINDEX_END=10 LSB_JOBINDEX_STEP=2".to_owned(),
            job(2, 5),
        ),
        (GridEngine, NOTHING, format!("SGE_TASK_ID=6 {sge}"), job(1, 3)),
        (Kubernetes, given(5), "JOB_COMPLETION_INDEX=0".to_owned(), job(0, 5)),
        (
            AwsBatch,
            NOTHING,
            "AWS_BATCH_JOB_ARRAY_INDEX=7 AWS_BATCH_JOB_ARRAY_SIZE=8".to_owned(),
            job(7, 8),
        ),
        (GnuParallel, given(3), "PARALLEL_SEQ=3 PARALLEL_JOBSLOT=1".to_owned(), job(2, 3)),
        (HyperQueue, counted(3, 1), "HQ_TASK_ID=1".to_owned(), job(0, 3)),
        (GitLab, NOTHING, "CI_NODE_INDEX=2 CI_NODE_TOTAL=5".to_owned(), job(1, 5)),
        (CircleCi, NOTHING, "CIRCLE_NODE_INDEX=2 CIRCLE_NODE_TOTAL=5".to_owned(), job(2, 5)),
        (
            Buildkite,
            NOTHING,
            "BUILDKITE_PARALLEL_JOB=0 BUILDKITE_PARALLEL_JOB_COUNT=2".to_owned(),
            job(0, 2),
        ),
        (Bazel, NOTHING, "TEST_SHARD_INDEX=1 TEST_TOTAL_SHARDS=2".to_owned(), job(1, 2)),
    ];
    assert!(Source::ALL.iter().all(|source| rows.iter().any(|row| row.0 == *source)));
    for (source, options, variables, expected) in rows {
        let found = look(&options, &variables).unwrap();
        assert_eq!((found.job, sources(&found)), (expected, vec![source]), "{variables}");
        for (name, value) in &found.claims[0].values {
            assert!(
                source.variables().contains(name) && variables.contains(&format!("{name}={value}"))
            );
        }
    }
}

#[test]
fn without_any_source_the_job_is_the_whole_run() {
    for variables in [
        "",
        "SLURM_PROCID=0 SLURM_NTASKS=8",
        "SLURM_PROCID=0 SLURM_NTASKS=8 SLURM_STEP_ID=4294967291",
        "SLURM_PROCID=0 SLURM_NTASKS=8 SLURM_STEP_ID=batch",
        "LSB_JOBINDEX=0 LSB_JOBINDEX_END=0",
        "SGE_TASK_ID=undefined SGE_TASK_FIRST=undefined SGE_TASK_LAST=undefined",
        "CI_NODE_TOTAL=1",
        "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1",
        "CIRCLE_NODE_INDEX=0 CIRCLE_NODE_TOTAL=1",
        "POLYCHRON_JOB=",
        "PARALLEL_JOBSLOT=2",
    ] {
        let found = look(&NOTHING, variables).unwrap();
        assert_eq!((found.job, found.claims), (Job::WHOLE, vec![]), "{variables}");
    }
}

const EXPLICIT: &str = "POLYCHRON_JOB=2/7";
const MPI: &str = "OMPI_COMM_WORLD_RANK=2 OMPI_COMM_WORLD_SIZE=4";
const STEP: &str = "SLURM_STEP_ID=0 SLURM_PROCID=1 SLURM_NTASKS=2";
const ARRAY: &str = "SLURM_ARRAY_TASK_ID=3 SLURM_ARRAY_TASK_COUNT=5 SLURM_ARRAY_TASK_MIN=1 \
                     SLURM_ARRAY_TASK_MAX=5 SLURM_ARRAY_TASK_STEP=1";

#[test]
fn what_is_named_first_goes_before_what_comes_after() {
    for (variables, expected) in [
        (format!("{ARRAY} {STEP} {MPI} {EXPLICIT}"), job(1, 7)),
        (format!("{ARRAY} {STEP} {MPI}"), job(2, 4)),
        (format!("{ARRAY} {STEP}"), job(1, 2)),
        (ARRAY.to_owned(), job(2, 5)),
        // The only rank of an MPI program, or of a step, in an array: the array counts.
        (format!("{ARRAY} PMI_RANK=0 PMI_SIZE=1"), job(2, 5)),
        (format!("{ARRAY} SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_NTASKS=1"), job(2, 5)),
        // Said to be the whole run in so many words: then it is.
        (format!("{ARRAY} POLYCHRON_JOB=1/1"), Job::WHOLE),
        // What is wrong further down does not matter.
        (format!("{MPI} SGE_TASK_ID=x JOB_COMPLETION_INDEX=3"), job(2, 4)),
    ] {
        assert_eq!(look(&NOTHING, &variables).unwrap().job, expected, "{variables}");
    }
}

#[test]
fn sources_that_agree_are_all_named() {
    let found = look(&NOTHING, &format!("{MPI} PMI_RANK=2 PMI_SIZE=4")).unwrap();
    assert_eq!((found.job, sources(&found)), (job(2, 4), vec![Source::OpenMpi, Source::Pmi]));
    assert_eq!(
        found.to_string(),
        "job 3/4 (--idx 2 --jobs 4), from Open MPI (OMPI_COMM_WORLD_RANK=2, OMPI_COMM_WORLD_SIZE=4) \
         and PMI (MPICH, Intel MPI, hydra) (PMI_RANK=2, PMI_SIZE=4)"
    );
    assert_eq!(look(&NOTHING, "").unwrap().to_string(), "job 1/1 (--idx 0 --jobs 1)");
}

#[test]
fn sources_of_one_standing_that_disagree_are_all_listed() {
    let Err(EnvError::Disagree { claims }) =
        look(&NOTHING, &format!("{MPI} PMI_RANK=1 PMI_SIZE=4"))
    else {
        panic!("both were believed")
    };
    assert_eq!(claims.iter().map(|claim| claim.job).collect::<Vec<_>>(), [job(2, 4), job(1, 4)]);
    assert_eq!(
        message("CI_NODE_INDEX=1 CI_NODE_TOTAL=2 TEST_SHARD_INDEX=1 TEST_TOTAL_SHARDS=2"),
        "the environment names different jobs: GitLab CI says 1/2 (CI_NODE_INDEX=1, \
         CI_NODE_TOTAL=2); Bazel shard says 2/2 (TEST_SHARD_INDEX=1, TEST_TOTAL_SHARDS=2)"
    );
}

#[test]
fn an_array_of_mpi_programs_is_counted_in_pairs_on_request() {
    let options = EnvOptions { array_times_mpi: true, ..NOTHING };
    let found = look(&options, &format!("{ARRAY} {MPI}")).unwrap();
    assert_eq!(
        (found.job, sources(&found)),
        (job(2 * 4 + 2, 20), vec![Source::SlurmArray, Source::OpenMpi])
    );
    assert_eq!(look(&options, &format!("{ARRAY} {STEP}")).unwrap().job, job(2 * 2 + 1, 10));
    assert_eq!(look(&options, ARRAY).unwrap().job, job(2, 5));
    assert_eq!(look(&options, MPI).unwrap().job, job(2, 4));
    // The number of jobs that is given is the array's.
    let options = EnvOptions { n_jobs: Some(6), ..options };
    let found = look(&options, &format!("{MPI} JOB_COMPLETION_INDEX=5")).unwrap();
    assert_eq!(found.job, job(5 * 4 + 2, 24));

    let options = EnvOptions { n_jobs: Some(usize::MAX), ..options };
    let error = look(&options, &format!("{MPI} JOB_COMPLETION_INDEX=5")).unwrap_err();
    assert!(matches!(error, EnvError::Combination { cause: JobError::TooMany { .. }, .. }));
    assert!(error.source().is_some());
}

#[test]
fn numbers_that_are_none_are_named_with_their_value() {
    for (variables, variable, value) in [
        ("OMPI_COMM_WORLD_RANK=one OMPI_COMM_WORLD_SIZE=4", "OMPI_COMM_WORLD_RANK", "one"),
        ("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=-4", "OMPI_COMM_WORLD_SIZE", "-4"),
        ("CI_NODE_INDEX=+1 CI_NODE_TOTAL=2", "CI_NODE_INDEX", "+1"),
        ("SLURM_STEP_ID=zero", "SLURM_STEP_ID", "zero"),
        ("SGE_TASK_ID=0x1", "SGE_TASK_ID", "0x1"),
        ("PMI_RANK=99999999999999999999999 PMI_SIZE=4", "PMI_RANK", "99999999999999999999999"),
        ("SGE_TASK_ID=1 SGE_TASK_FIRST=undefined", "SGE_TASK_FIRST", "undefined"),
    ] {
        let error = look(&NOTHING, variables).unwrap_err();
        assert_eq!(error, EnvError::NotANumber { variable, value: value.to_owned() });
        assert_eq!(error.to_string(), format!("{variable}={value:?} is not a whole number"));
    }
    let error = look(&NOTHING, "POLYCHRON_JOB=5/4").unwrap_err();
    assert_eq!(error.to_string(), "POLYCHRON_JOB=\"5/4\" does not name a job");
    assert!(error.source().unwrap().to_string().contains("no job 5/4"));
}

#[test]
fn what_is_missing_is_asked_for() {
    assert_eq!(message("PMI_RANK=1 PMI_SIZE="), message("PMI_RANK=1"));
    assert_eq!(
        message("SLURM_STEP_ID=0 SLURM_PROCID=0"),
        "Slurm step sets SLURM_STEP_ID=0, SLURM_PROCID=0, but not SLURM_NTASKS"
    );
    for variables in [
        "PBS_ARRAY_INDEX=3",
        "PBS_ARRAYID=3",
        "JOB_COMPLETION_INDEX=3",
        "PARALLEL_SEQ=3",
        "HQ_TASK_ID=3",
    ] {
        let error = look(&NOTHING, variables).unwrap_err();
        assert!(matches!(error, EnvError::UnknownCount { .. }), "{variables}: {error}");
        assert!(error.to_string().contains(&format!("({variables}) does not say how many jobs")));
    }
    for variables in ["PBS_ARRAY_INDEX=3", "PBS_ARRAYID=3", "HQ_TASK_ID=3"] {
        let error = look(&EnvOptions { n_jobs: Some(10), ..NOTHING }, variables).unwrap_err();
        assert!(matches!(error, EnvError::UnknownFirst { .. }), "{variables}: {error}");
        assert!(error.to_string().contains("--job"));
    }
}

#[test]
fn an_index_outside_the_count_is_refused() {
    assert_eq!(
        message("CI_NODE_INDEX=0 CI_NODE_TOTAL=2"),
        "GitLab CI (CI_NODE_INDEX=0, CI_NODE_TOTAL=2) says job 0, which is not one of 2 counted from 1"
    );
    for variables in [
        "OMPI_COMM_WORLD_RANK=4 OMPI_COMM_WORLD_SIZE=4",
        "OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=0",
        "LSB_JOBINDEX=5 LSB_JOBINDEX_END=4",
        "SGE_TASK_ID=1 SGE_TASK_FIRST=2 SGE_TASK_LAST=4 SGE_TASK_STEPSIZE=1",
    ] {
        let error = look(&NOTHING, variables).unwrap_err();
        assert!(matches!(error, EnvError::OutOfRange { .. }), "{variables}: {error}");
    }
}

#[test]
fn arrays_with_holes_ask_for_the_job_in_words() {
    let array = |id, count, min, max, step| {
        format!(
            "SLURM_ARRAY_TASK_ID={id} SLURM_ARRAY_TASK_COUNT={count} SLURM_ARRAY_TASK_MIN={min} \
             SLURM_ARRAY_TASK_MAX={max} SLURM_ARRAY_TASK_STEP={step}"
        )
    };
    assert_eq!(
        message(&array(7, 3, 5, 9, 1)),
        "the ids of the Slurm array (SLURM_ARRAY_TASK_ID=7, SLURM_ARRAY_TASK_COUNT=3, \
         SLURM_ARRAY_TASK_MIN=5, SLURM_ARRAY_TASK_MAX=9, SLURM_ARRAY_TASK_STEP=1) are not evenly \
         spaced, so they do not say which job this is; give it as m/n (--job or POLYCHRON_JOB)"
    );
    let max = usize::MAX;
    for variables in [
        array(6, 3, 5, 9, 2),     // between two ids
        array(5, 3, 5, 9, 0),     // no step
        array(5, 3, 9, 5, 2),     // backwards
        array(0, max, 0, max, 1), // one job more than can be counted
        "LSB_JOBINDEX=2 LSB_JOBINDEX_END=9 LSB_JOBINDEX_STEP=2".to_owned(),
    ] {
        let error = look(&NOTHING, &variables).unwrap_err();
        assert!(matches!(error, EnvError::Irregular { .. }), "{variables}: {error}");
    }
    // Where there is no step variable, the step must be 1.
    let old = "SLURM_ARRAY_TASK_ID=7 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=6 SLURM_ARRAY_TASK_MAX=8";
    assert_eq!(look(&NOTHING, old).unwrap().job, job(1, 3));
    assert_eq!(look(&NOTHING, &array(max - 1, max, 0, max - 1, 1)).unwrap().job, job(max - 1, max));
}

#[test]
fn a_given_number_of_jobs_must_be_the_one_that_is_found() {
    let options = EnvOptions { n_jobs: Some(5), ..NOTHING };
    assert_eq!(look(&options, ARRAY).unwrap().job, job(2, 5));
    let error = look(&options, MPI).unwrap_err();
    assert_eq!(
        error.to_string(),
        "5 jobs were asked for, but Open MPI says 3/4 (OMPI_COMM_WORLD_RANK=2, OMPI_COMM_WORLD_SIZE=4)"
    );
    assert_eq!(look(&options, "").unwrap_err(), EnvError::NoIndex { given: 5 });
    assert_eq!(look(&EnvOptions { n_jobs: Some(1), ..NOTHING }, "").unwrap().job, Job::WHOLE);
}

/// The one call that reads the process's own environment reads all of it.
#[test]
fn from_env_is_from_lookup_of_the_process() {
    let lookup = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    assert_eq!(Job::from_env(), Job::from_lookup(&NOTHING, lookup));
}
