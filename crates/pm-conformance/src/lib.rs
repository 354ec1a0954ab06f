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
//! # What this crate leaves to others
//!
//! What only one backend has (pools, launchers, sockets) is tested there; speed in `benches`.

#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a check that cannot go on should panic")]

mod log;
mod messages;
mod outcomes;
mod results;
mod runs;
mod setup;
mod tasks;

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
            runs::c35_nothing_piles_up_over_runs(Nothing)
            runs::c36_lines_of_workers_are_neither_lost_nor_mixed(Processes)
            runs::c37_a_foreign_launcher_is_refused(Launcher)
            messages::c38_samples_divided_by_rank_are_all_covered(Nothing)
            messages::m1_different_collectives_fail_everywhere_and_the_group_goes_on(Nothing)
            messages::m2_a_member_that_leaves_wakes_the_others_and_is_named(Nothing)
            messages::m3_cancelling_wakes_those_who_wait(Nothing)
            messages::m4_an_operation_that_panics_is_an_error_elsewhere(Nothing)
            messages::m5_the_workers_of_a_run_are_a_group(Nothing)
            results::r1_streaming_gives_every_task_once(Nothing)
            results::r2_streaming_in_order_is_in_order(Nothing)
            results::r3_streaming_stops_at_the_first_error(Nothing)
            results::r4_workers_pause_when_the_caller_falls_behind(Nothing)
            results::r5_an_incomplete_run_lists_every_failure(Nothing)
            results::r6_plain_functions_run_as_tasks_do(Nothing)
            runs::r7_schedules_that_make_no_sense_are_refused(Nothing)
            runs::r8_all_workers_run_at_once(Nothing)
            runs::r9_the_first_failure_stops_the_run_if_so_asked(Nothing)
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
