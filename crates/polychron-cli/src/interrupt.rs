//! Ctrl-C, and the signals by which batch systems end a program.

use anyhow::Context as _;
use polychron::pm::CancelToken;

/// A token that the first interrupt cancels; the second one ends the program at once. Files appear
/// by being renamed, so even then only whole ones are there.
pub(crate) fn token() -> anyhow::Result<CancelToken> {
    let token = CancelToken::new();
    let cancel = token.clone();
    ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            std::process::exit(130);
        }
        cancel.cancel();
    })
    .context("could not listen for interrupts")?;
    Ok(token)
}
