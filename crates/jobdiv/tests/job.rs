//! A job and its forms: the 1-based text, the 0-based pair, and the serialised one.

use jobdiv::{Job, JobError};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The same cases in every run; a failing one is printed and needs no file to be seen again.
fn cases(n: u32) -> ProptestConfig {
    ProptestConfig {
        cases: n,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn a_job_is_made_exactly_when_its_index_is_below_the_number_of_jobs(
        idx in prop_oneof![0usize..10, any::<usize>()], n_jobs in prop_oneof![0usize..10, any::<usize>()],
    ) {
        match Job::new(idx, n_jobs) {
            Ok(job) => prop_assert!(idx < n_jobs && (job.idx(), job.n_jobs()) == (idx, n_jobs)),
            Err(JobError::NoJobs) => prop_assert_eq!(n_jobs, 0),
            Err(error) => {
                prop_assert!(idx >= n_jobs && n_jobs > 0);
                prop_assert_eq!(error, JobError::OutOfRange { idx, n_jobs });
            }
        }
    }

    #[test]
    fn text_is_one_based_and_reads_back(n_jobs in 1usize.., idx in any::<prop::sample::Index>()) {
        let job = Job::new(idx.index(n_jobs), n_jobs).unwrap();
        prop_assert_eq!(job.to_string(), format!("{}/{n_jobs}", job.idx() + 1));
        prop_assert_eq!(job.to_string().parse(), Ok(job));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[0-9/ +.-]{0,12}") {
        if let Ok(job) = text.parse::<Job>() {
            prop_assert!(job.idx() < job.n_jobs());
        }
    }
}

#[test]
fn the_last_of_all_possible_jobs_has_a_text() {
    let job = Job::new(usize::MAX - 1, usize::MAX).unwrap();
    assert_eq!(job.to_string().parse(), Ok(job));
}

#[test]
fn texts_that_are_not_jobs_say_why() {
    let error = |text: &str| text.parse::<Job>().unwrap_err();
    for text in ["", "/", "1", "1/", "/4", "1/4/2", "+1/4", "-1/4", "1 / 4", "1/4 ", "a/b", "1.0/4"]
    {
        assert_eq!(error(text), JobError::Malformed { text: text.to_owned() });
    }
    let beyond = "1/99999999999999999999999";
    assert_eq!(error(beyond), JobError::Malformed { text: beyond.to_owned() });
    assert_eq!(error("0/4"), JobError::NotOneOf { m: 0, n_jobs: 4 });
    assert_eq!(error("5/4").to_string(), "there is no job 5/4: jobs run from 1/4 to 4/4");
    assert_eq!(error("0/0"), JobError::NoJobs);
    assert_eq!(error("x").to_string(), "\"x\" is not a job of the form m/n, such as 1/4");
}

#[test]
fn logs_show_both_forms() {
    assert_eq!(Job::new(0, 4).unwrap().both_forms().to_string(), "1/4 (--idx 0 --jobs 4)");
}

#[test]
fn the_whole_run_is_one_job_and_the_default() {
    assert_eq!((Job::WHOLE.idx(), Job::WHOLE.n_jobs(), Job::default()), (0, 1, Job::WHOLE));
    assert!(Job::WHOLE.tasks(10).eq(0..10));
    assert_eq!(Job::WHOLE.block(usize::MAX), 0..usize::MAX);
}

#[cfg(feature = "serde")]
mod serialised {
    use super::Job;

    /// Files of one version are read by the next, so the form is fixed.
    #[test]
    fn a_job_is_written_as_its_zero_based_pair_and_reads_back() {
        for (idx, n_jobs) in [(0, 1), (2, 10), (usize::MAX - 1, usize::MAX)] {
            let job = Job::new(idx, n_jobs).unwrap();
            let json = serde_json::to_string(&job).unwrap();
            assert_eq!(json, format!(r#"{{"idx":{idx},"n_jobs":{n_jobs}}}"#));
            assert_eq!(serde_json::from_str::<Job>(&json).unwrap(), job);
        }
    }

    #[test]
    fn a_pair_that_is_no_job_is_not_read() {
        let error = |json| serde_json::from_str::<Job>(json).unwrap_err().to_string();
        assert!(error(r#"{"idx":4,"n_jobs":4}"#).contains("job index 4 is not below"));
        assert!(error(r#"{"idx":0,"n_jobs":0}"#).contains("among 0 jobs"));
        assert!(error(r#"{"idx":-1,"n_jobs":4}"#).contains("invalid value"));
        assert!(error(r#"{"idx":1}"#).contains("missing field `n_jobs`"));
        assert!(error(r#"{"idx":1,"n_jobs":4,"N":5}"#).contains("unknown field `N`"));
    }
}
