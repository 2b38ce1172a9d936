//! A progress bar on standard error, if that is a terminal.

use std::io::IsTerminal as _;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sesslog::Progress;

const TICK: Duration = Duration::from_millis(100);

/// Does some work and shows how far it is.
pub(crate) fn with_bar<T>(work: impl FnOnce(&Progress) -> T) -> T {
    let progress = Progress::default();
    if !std::io::stderr().is_terminal() {
        return work(&progress);
    }
    let (done, is_done) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        let progress = &progress;
        // Without a thread the work goes on without a bar.
        std::thread::Builder::new().spawn_scoped(scope, move || draw(progress, &is_done)).ok();
        let result = work(progress);
        drop(done);
        result
    })
}

fn draw(progress: &Progress, is_done: &mpsc::Receiver<()>) {
    let bar = ProgressBar::new(0);
    while is_done.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
        let bytes_total = progress.bytes_total.load(Ordering::Relaxed);
        // Where the sizes are not known beforehand the transcripts count.
        let (template, total, position) = if bytes_total > 0 {
            ("{wide_bar} {bytes}/{total_bytes} {eta}", bytes_total, progress.bytes.load(Ordering::Relaxed))
        } else {
            let sessions = progress.sessions.load(Ordering::Relaxed);
            ("{wide_bar} {pos}/{len} sessions {eta}", progress.sessions_total.load(Ordering::Relaxed), sessions)
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_length(total);
        bar.set_position(position);
    }
    bar.finish_and_clear();
}
