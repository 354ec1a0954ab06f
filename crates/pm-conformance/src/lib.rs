//! What every parallel manager must pass, as one list: C01 to C38.
//!
//! A crate with a manager has a test file with one line; it becomes one test per item and size,
//! like `size_3::c15_results_equal_the_serial_map`:
//!
//! ```
//! mod conformance {
//!     use pm_conformance::{Capabilities, Setup};
//!
//!     fn setup() -> Setup {
//!         Setup::new("serial", Capabilities::default(), |_| Box::new(pm_api::SerialManager::new()))
//!     }
//!
//!     pm_conformance::conformance!(setup(); 1);
//! }
//! # fn main() {}
//! ```
//!
//! What an item asks of the manager beyond the contract is declared in [`Capabilities`]; an item
//! that does not apply says so, with the reason, and a test of yours states which these are
//! ([`not_applicable`]), so that none is left out unseen.
//!
//! Tasks here tell their tests what they did by their outputs and by files, never by memory, so the
//! same text runs where workers are other processes. The program of these begins with
//! [`install`] and [`pm_api::worker_entry`], and runs the list by [`run_all`].
//!
//! # The list
//!
//! | item | promise | tests, at each size |
//! | --- | --- | --- |
//! | C01 | ranks are 0 to size - 1, once each; rank 0 is the root | `c01_ranks_are_counted_and_rank_0_is_the_root` |
//! | C02 | nobody leaves barrier k before all came to it, 1000 in a row | `c02_nobody_leaves_a_barrier_before_all_came` |
//! | C03 | arrays of 0 to 10⁶ numbers are broadcast to the bit, from both ends | `c03_arrays_are_broadcast_to_the_bit` |
//! | C04 | a wrong length on one rank is an error on every rank; the group is of use | `c04_a_wrong_length_is_an_error_on_every_rank` |
//! | C05 | values of any shape and 5 MB are broadcast; what others hold is ignored | `c05_values_of_any_shape_are_broadcast` |
//! | C06 | values of unequal length are gathered in the order of ranks, everywhere | `c06_values_are_gathered_in_the_order_of_ranks` |
//! | C07 | arrays of uneven lengths, none on some ranks or on all; others' memory is not touched | `c07_arrays_of_uneven_lengths_are_gathered` |
//! | C08 | lengths that do not add up fail on the root and on its peers | `c08_lengths_that_do_not_add_up_fail_everywhere` |
//! | C09 | to gather what was scattered gives what was there | `c09_scatter_is_the_inverse_of_gather` |
//! | C10 | sums of 0 to 10⁶ numbers have the bits of the serial tree, however divided | `c10_sums_have_the_same_bits_for_every_division` |
//! | C11 | least, greatest (with NaN), products and bits are as documented | `c11_operations_are_as_documented` |
//! | C12 | operations that do not commute keep the order of ranks | `c12_operations_that_do_not_commute_keep_the_order` |
//! | C13 | the same input gives the same bits, in place or not | `c13_reductions_repeat_to_the_bit` |
//! | C14 | 64 MiB, and more than 2³¹ bytes, arrive whole | `c14_large_arrays_arrive_whole`, `c14_arrays_beyond_2_gib_arrive_whole` |
//! | C15 | results are those of the serial map, in its order, for every schedule | `c15_results_equal_the_serial_map`, `c15_results_keep_their_order_though_tasks_end_in_reverse` |
//! | C16 | without tasks nothing is built | `c16_without_parameters_nothing_is_built` |
//! | C17 | no worker is without a chunk | `c17_no_worker_is_without_a_chunk` |
//! | C18 | a model is built once per worker and kept; it need not be `Send` | `c18_a_model_is_built_once_per_worker_and_kept` |
//! | C19 | arguments and outputs of any shape, of no bytes, of 10 MiB | `c19_arguments_and_outputs_of_any_shape_arrive_whole` |
//! | C20 | a wrong count of outputs is a failure that names the tasks | `c20_a_wrong_count_of_outputs_is_a_failure` |
//! | C21 | an error names task, worker and cause; the rest is kept | `c21_an_error_names_its_task_worker_and_cause`, F02 |
//! | C22 | a panic as well, with its place; the manager is of use | `c22_a_panic_is_a_failure_with_its_place`, `c22_the_manager_is_of_use_after_failures` |
//! | C23 | building fails everywhere, on one worker, the second time | `c23_a_build_that_fails_everywhere_ends_the_run`, `c23_a_worker_that_cannot_build_leaves_its_tasks_to_others`, `c23_a_rebuild_that_fails_loses_only_the_tasks_of_the_panic` |
//! | C24 | a dead worker is reported with its signal or code; no zombie | `c24_a_worker_that_dies_is_reported_with_its_end`, F04, F05 |
//! | C25 | it dies while it builds, or before it is ready | `c25_workers_that_cannot_start_are_an_error`, `c25_a_worker_that_dies_while_it_builds_leaves_its_tasks_to_others` |
//! | C26 | what cannot be encoded or decoded is a failure, on both sides | `c26_what_cannot_travel_is_a_failure`, F07, F08 |
//! | C27 | nobody outlives a killed program; the end of a thread means nothing | `c27_workers_end_when_their_manager_is_killed`, F16 |
//! | C28 | a run that is dropped ends; what makes no sense does not compile | `c28_dropping_a_run_ends_it`, F13 to F15 |
//! | C29 | runs do not see each other | `c29_runs_do_not_see_each_other`, F12 |
//! | C30 | a run inside a task gives the serial values | `c30_a_run_inside_a_task_is_as_any_other`, F11 |
//! | C31 | limits of time and cancelling, polite and not | `c31_a_task_that_takes_too_long_hears_of_it`, `c31_a_task_that_hangs_is_given_up`, `c31_cancelling_keeps_what_is_there`, `c31_a_cancelled_run_starts_nothing` |
//! | C32 | retries are counted; a poisonous parameter is isolated | `c32_a_task_that_fails_once_succeeds_by_a_retry`, `c32_a_poisonous_parameter_is_isolated`, `c32_a_worker_that_dies_once_is_replaced` |
//! | C33 | progress grows to the end, once, one call at a time | `c33_progress_grows_to_the_end_once` |
//! | C34 | the same bytes in every run, by every schedule, as serially | `c34_results_are_the_same_bits_in_every_run`, `c34_every_way_to_run_gives_the_bytes_of_the_serial_one`, [`same_bytes`] |
//! | C35 | 50 runs leave the descriptors, threads, segments and children of one, also when they fail | `c35_nothing_piles_up_over_runs`, `c35_nothing_piles_up_over_runs_that_fail` |
//! | C36 | lines of workers are neither lost nor mixed | `c36_lines_of_workers_are_neither_lost_nor_mixed` |
//! | C37 | a foreign launcher is refused | `c37_a_foreign_launcher_is_refused` |
//! | C38 | samples divided by rank are all covered | `c38_samples_divided_by_rank_are_all_covered`, F19 |
//!
//! M1 to M5 are further ones of groups, R1 to R10 of runs.
//!
//! # The nineteen cases
//!
//! In these the parallel managers of a Python package were seen to hang (ten times), to lose results
//! without a word, or to leave processes behind. Each is done in a program of its own, on every
//! manager at every size: that ends, with nobody left and no zombie on the way, and says how soon
//! after the failure that was.
//!
//! | case | what happens | test |
//! | --- | --- | --- |
//! | F01 | nothing | `f01_a_run_without_a_fault` |
//! | F02 | `execute` fails or panics on one worker | `f02_execute_fails_on_one_worker` |
//! | F03 | `build` fails or panics everywhere | `f03_build_fails_everywhere` |
//! | F04 | a worker is killed; without processes, the program | `f04_a_worker_is_killed` |
//! | F05 | a worker exits; without processes, the program | `f05_a_worker_exits` |
//! | F06 | the functions are closures with something in them | `f06_build_and_execute_are_closures` |
//! | F07 | an argument cannot be encoded | `f07_arguments_that_cannot_be_encoded` |
//! | F08 | an output cannot be encoded | `f08_an_output_that_cannot_be_encoded` |
//! | F09 | there are no parameters | `f09_no_parameters` |
//! | F10 | 8 workers for 3 parameters | `f10_more_workers_than_parameters` |
//! | F11 | a manager inside a task | `f11_a_manager_inside_a_task` |
//! | F12 | two runs on one manager | `f12_two_runs_on_one_manager` |
//! | F13 | to gather twice | does not compile, see below; a stream that is at its end: `f13_results_are_taken_twice` |
//! | F14 | to gather before there was a scatter | does not compile, see below |
//! | F15 | the caller panics or exits between the two | `f15_the_caller_fails_between_scatter_and_gather` |
//! | F16 | the program is killed | `f16_the_caller_is_killed` |
//! | F17 | the sum of an array and an array | `f17_the_sum_of_arrays` |
//! | F18 | the sum of a number and an array of one | `f18_the_sum_of_a_number` |
//! | F19 | a recursive sweep runs one part of its samples | `f19_a_recursive_sweep_runs_all_its_samples` |
//!
//! F13, gathering twice, does not compile, since the first one has taken the run:
//!
//! ```compile_fail,E0382
//! # fn twice(pending: pm_api::Pending<f64>) {
//! let first = pending.gather();
//! let second = pending.gather();
//! # }
//! ```
//!
//! F14, gathering before the scatter, has nothing to be called on:
//!
//! ```compile_fail,E0599
//! # fn before(manager: &dyn pm_api::ParallelManager) {
//! use pm_api::Scatter as _;
//!
//! let results = manager.gather();
//! # }
//! ```
//!
//! # Over and over
//!
//! With `POLYCHRON_REPEAT=20` in the environment every item is checked that many times in a row, and
//! the first time that fails is told. It is meant for a machine that has something else to do, too:
//!
//! ```sh
//! for i in 1 2 3 4; do timeout 1h sh -c 'while :; do :; done' & done
//! POLYCHRON_REPEAT=20 cargo test -p pm-threads -p pm-proc -p pm-conformance
//! ```
//!
//! # What this crate leaves to others
//!
//! What only one backend has (pools, launchers, sockets) is tested there; speed in `benches`.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a check that cannot go on should panic")]

mod cases;
mod leaks;
mod log;
mod matrix;
mod members;
mod messages;
mod outcomes;
mod program;
mod reductions;
mod results;
mod runs;
mod setup;
mod shared;
mod tasks;

pub use matrix::{Matrix, same_bytes};
pub use setup::{
    Capabilities, Item, Make, MakeBroken, Need, Outcome, Setup, check, install, items,
    not_applicable, run_all,
};

/// Calls a macro with the names of all items and what they need.
#[doc(hidden)]
#[macro_export]
macro_rules! __items {
    ($($call:ident)::+ ! ($($more:tt)*)) => {
        $($call)::+! { ($($more)*)
            messages::c01_ranks_are_counted_and_rank_0_is_the_root(Nothing)
            messages::c02_nobody_leaves_a_barrier_before_all_came(Nothing)
            messages::c03_arrays_are_broadcast_to_the_bit(Nothing)
            messages::c04_a_wrong_length_is_an_error_on_every_rank(Nothing)
            messages::c05_values_of_any_shape_are_broadcast(Nothing)
            messages::c06_values_are_gathered_in_the_order_of_ranks(Nothing)
            messages::c07_arrays_of_uneven_lengths_are_gathered(Nothing)
            messages::c08_lengths_that_do_not_add_up_fail_everywhere(Nothing)
            messages::c09_scatter_is_the_inverse_of_gather(Nothing)
            messages::c10_sums_have_the_same_bits_for_every_division(Nothing)
            messages::c11_operations_are_as_documented(Nothing)
            messages::c12_operations_that_do_not_commute_keep_the_order(Nothing)
            messages::c13_reductions_repeat_to_the_bit(Nothing)
            messages::c14_large_arrays_arrive_whole(Nothing)
            messages::c14_arrays_beyond_2_gib_arrive_whole(Memory)
            results::c15_results_equal_the_serial_map(Nothing)
            results::c15_results_keep_their_order_though_tasks_end_in_reverse(Nothing)
            runs::c16_without_parameters_nothing_is_built(Nothing)
            runs::c17_no_worker_is_without_a_chunk(Nothing)
            runs::c18_a_model_is_built_once_per_worker_and_kept(Nothing)
            results::c19_arguments_and_outputs_of_any_shape_arrive_whole(Nothing)
            outcomes::c20_a_wrong_count_of_outputs_is_a_failure(Nothing)
            outcomes::c21_an_error_names_its_task_worker_and_cause(Nothing)
            outcomes::c22_a_panic_is_a_failure_with_its_place(Nothing)
            outcomes::c22_the_manager_is_of_use_after_failures(Nothing)
            outcomes::c23_a_build_that_fails_everywhere_ends_the_run(Nothing)
            outcomes::c23_a_worker_that_cannot_build_leaves_its_tasks_to_others(Nothing)
            outcomes::c23_a_rebuild_that_fails_loses_only_the_tasks_of_the_panic(Nothing)
            outcomes::c24_a_worker_that_dies_is_reported_with_its_end(Processes)
            outcomes::c25_workers_that_cannot_start_are_an_error(BrokenStart)
            outcomes::c25_a_worker_that_dies_while_it_builds_leaves_its_tasks_to_others(Processes)
            outcomes::c26_what_cannot_travel_is_a_failure(Bytes)
            runs::c27_workers_end_when_their_manager_is_killed(Processes)
            runs::c28_dropping_a_run_ends_it(Nothing)
            runs::c29_runs_do_not_see_each_other(Nothing)
            runs::c30_a_run_inside_a_task_is_as_any_other(Nothing)
            outcomes::c31_a_task_that_takes_too_long_hears_of_it(Nothing)
            outcomes::c31_a_task_that_hangs_is_given_up(EndsHanging)
            outcomes::c31_cancelling_keeps_what_is_there(Nothing)
            outcomes::c31_a_cancelled_run_starts_nothing(Nothing)
            outcomes::c32_a_task_that_fails_once_succeeds_by_a_retry(Nothing)
            outcomes::c32_a_poisonous_parameter_is_isolated(Nothing)
            outcomes::c32_a_worker_that_dies_once_is_replaced(Processes)
            results::c33_progress_grows_to_the_end_once(Nothing)
            results::c34_results_are_the_same_bits_in_every_run(Nothing)
            matrix::c34_every_way_to_run_gives_the_bytes_of_the_serial_one(Nothing)
            leaks::c35_nothing_piles_up_over_runs(Nothing)
            leaks::c35_nothing_piles_up_over_runs_that_fail(Nothing)
            runs::c36_lines_of_workers_are_neither_lost_nor_mixed(Processes)
            runs::c37_a_foreign_launcher_is_refused(Launcher)
            reductions::c38_samples_divided_by_rank_are_all_covered(Nothing)
            cases::f01_a_run_without_a_fault(Nothing)
            cases::f02_execute_fails_on_one_worker(Nothing)
            cases::f03_build_fails_everywhere(Nothing)
            cases::f04_a_worker_is_killed(Nothing)
            cases::f05_a_worker_exits(Nothing)
            cases::f06_build_and_execute_are_closures(Nothing)
            cases::f07_arguments_that_cannot_be_encoded(Nothing)
            cases::f08_an_output_that_cannot_be_encoded(Nothing)
            cases::f09_no_parameters(Nothing)
            cases::f10_more_workers_than_parameters(Nothing)
            cases::f11_a_manager_inside_a_task(Nothing)
            cases::f12_two_runs_on_one_manager(Nothing)
            cases::f13_results_are_taken_twice(Nothing)
            cases::f15_the_caller_fails_between_scatter_and_gather(Nothing)
            cases::f16_the_caller_is_killed(Nothing)
            cases::f17_the_sum_of_arrays(Nothing)
            cases::f18_the_sum_of_a_number(Nothing)
            cases::f19_a_recursive_sweep_runs_all_its_samples(Nothing)
            messages::m1_different_collectives_fail_everywhere_and_the_group_goes_on(Nothing)
            members::m2_a_member_that_leaves_wakes_the_others_and_is_named(Nothing)
            members::m3_cancelling_wakes_those_who_wait(Nothing)
            messages::m4_an_operation_that_panics_is_an_error_elsewhere(Nothing)
            members::m5_the_workers_of_a_run_are_a_group(Nothing)
            results::r1_streaming_gives_every_task_once(Nothing)
            results::r2_streaming_in_order_is_in_order(Nothing)
            results::r3_streaming_stops_at_the_first_error(Nothing)
            results::r4_workers_pause_when_the_caller_falls_behind(Nothing)
            results::r5_an_incomplete_run_lists_every_failure(Nothing)
            results::r6_plain_functions_run_as_tasks_do(Nothing)
            runs::r7_schedules_that_make_no_sense_are_refused(Nothing)
            runs::r8_all_workers_run_at_once(Nothing)
            runs::r9_the_first_failure_stops_the_run_if_so_asked(Nothing)
            shared::r10_a_shared_array_is_the_same_for_all_workers_and_runs(Nothing)
        }
    };
}

/// Makes one test per item for each of the given sizes, in modules `size_1`, `size_2`, ...
#[macro_export]
macro_rules! conformance {
    ($setup:expr; $($size:tt),* $(,)?) => {
        $( $crate::__size! { $size, $setup } )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __size {
    (1, $setup:expr) => {
        mod size_1 {
            use super::*;
            $crate::__items! { $crate::__tests!(1, $setup) }
        }
    };
    (2, $setup:expr) => {
        mod size_2 {
            use super::*;
            $crate::__items! { $crate::__tests!(2, $setup) }
        }
    };
    (3, $setup:expr) => {
        mod size_3 {
            use super::*;
            $crate::__items! { $crate::__tests!(3, $setup) }
        }
    };
    (4, $setup:expr) => {
        mod size_4 {
            use super::*;
            $crate::__items! { $crate::__tests!(4, $setup) }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    (($size:expr, $setup:expr) $($module:ident::$name:ident($need:ident))*) => { $(
        #[test]
        fn $name() {
            $crate::check(&$setup, stringify!($name), $size);
        }
    )* };
}
