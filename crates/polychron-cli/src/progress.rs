//! Progress bars: on stderr, and only if that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar for `total` of something, or nothing to see if it is not `wanted`.
pub(crate) fn bar(wanted: bool, total: u64, what: &'static str) -> ProgressBar {
    let target = if wanted { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(
        "{msg} {wide_bar} {pos}/{len} [{elapsed} of about {duration}, {per_sec}]",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(total), target).with_style(style).with_message(what)
}
