//! Texts and tables of what was measured: gtimer's, and polychron's own.
//!
//! Nothing here prints: all is written into a `String`, or into what the caller gives.
//!
//! | of one run                | of several                            | for other programs         |
//! | ------------------------- | ------------------------------------- | -------------------------- |
//! | [`tree()`]                | [`rank_table`], [`group_tables`]      | [`write_csv`]              |
//! | [`gtimer_report`]         | [`gtimer_compare_workers`]            | [`write_trace`]            |
//! | [`gtimer_structure`]      | [`compare_runs`]: before and after    | [`write_folded`]           |
//! | [`html()`]                | [`html()`]                            |                            |
//!
//! JSON is written by [`times_to_bytes`](crate::times_to_bytes).

mod csv;
mod folded;
mod gtimer;
mod html;
mod outline;
mod python;
mod ranks;
mod runs;
mod text;
mod trace;
mod tree;

pub use csv::{CSV_COLUMNS, write_csv};
pub use folded::write_folded;
pub use gtimer::{
    GtimerFormat, gtimer_compare, gtimer_compare_workers, gtimer_report, gtimer_structure,
};
pub use html::{HtmlLane, HtmlPage, HtmlTable, html};
pub use outline::EntryKind;
pub use ranks::{RankRow, RankTable, Spread, group_tables, rank_table};
pub use runs::{Change, RunComparison, Threshold, Verdict, compare_runs};
pub use text::printable;
pub use trace::write_trace;
pub use tree::{Sort, TreeFormat, Workers, tree, write_tree};
