//! What the store keeps beside its sessions: the quarantine, the trash.

use crate::doctor::{Ailment, Found, Remedy, Symptom, counted};
use crate::store::Store;

pub(super) fn examine(store: &Store, found: &mut Found<'_>) {
    let layout = &store.inner().layout;
    // What stands in the place of a folder is told of elsewhere.
    let is_folder = |path: &std::path::Path| layout.check_folder(path).is_ok();
    let quarantined = store.quarantined().map(|kept| kept.iter().map(|kept| kept.bytes).collect::<Vec<_>>());
    let trash = store.trash().map(|kept| kept.iter().map(|kept| kept.bytes).collect::<Vec<_>>());
    for (ailment, command, folder, sizes) in [
        (Ailment::Quarantine, "sessctl quarantine list", layout.quarantine(), quarantined),
        (Ailment::Trash, "sessctl trash list", layout.trash(), trash),
    ] {
        match sizes {
            _ if !is_folder(&folder) => {}
            Ok(sizes) if sizes.is_empty() => {}
            Ok(sizes) => tell(ailment, command, &folder, &sizes, found),
            Err(error) => found.unreadable(&folder, &error),
        }
    }
}

fn tell(ailment: Ailment, command: &str, folder: &std::path::Path, sizes: &[u64], found: &mut Found<'_>) {
    let (count, bytes) = (crate::format::to_u64(sizes.len()), sizes.iter().copied().fold(0, u64::saturating_add));
    let detail = format!("{}, {}", counted(count, "file"), counted(bytes, "byte"));
    found.add(Symptom::new(ailment, Remedy::command(command)).at(folder).count(count).detail(detail));
}
