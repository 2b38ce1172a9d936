//! What the store keeps beside its sessions: the quarantine, the trash.

use crate::doctor::{Ailment, Found, Remedy, Symptom, counted};
use crate::store::Store;

pub(super) fn examine(store: &Store, found: &mut Found<'_>) {
    let layout = &store.inner().layout;
    // What stands in the place of a folder is told of elsewhere.
    let is_folder = |path: &std::path::Path| layout.check_folder(path).is_ok();
    match store.quarantined() {
        _ if !is_folder(&layout.quarantine()) => {}
        Ok(kept) if kept.is_empty() => {}
        Ok(kept) => {
            let bytes = kept.iter().map(|kept| kept.bytes).fold(0, u64::saturating_add);
            tell(Ailment::Quarantine, "sessctl quarantine list", &layout.quarantine(), kept.len(), bytes, found);
        }
        Err(error) => found.unreadable(&layout.quarantine(), &error),
    }
    match store.trash() {
        _ if !is_folder(&layout.trash()) => {}
        Ok(kept) if kept.is_empty() => {}
        Ok(kept) => {
            let bytes = kept.iter().map(|kept| kept.bytes).fold(0, u64::saturating_add);
            tell(Ailment::Trash, "sessctl trash list", &layout.trash(), kept.len(), bytes, found);
        }
        Err(error) => found.unreadable(&layout.trash(), &error),
    }
}

fn tell(ailment: Ailment, command: &str, folder: &std::path::Path, files: usize, bytes: u64, found: &mut Found<'_>) {
    let count = crate::format::to_u64(files);
    let detail = format!("{}, {}", counted(count, "file"), counted(bytes, "byte"));
    found.add(Symptom::new(ailment, Remedy::command(command)).at(folder).count(count).detail(detail));
}
