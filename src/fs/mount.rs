//! What file system a folder is on, by its name, and what it is known for.

use std::path::Path;

/// The file system that a folder is on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// The name of its type as the system gives it: `ext4`, `nfs4`, `fuse.rclone`; empty where the system tells none.
    pub kind: String,
    /// Its options, joined by commas.
    pub options: String,
    /// Nothing can be written to it.
    pub read_only: bool,
    /// What it has room for, for whoever is not root.
    pub free_bytes: u64,
    /// How many more files it can have; `None` where there is no such limit.
    pub free_inodes: Option<u64>,
}

/// What a file system is known for, where a store is to be safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repute {
    /// Nothing bad is known of it.
    Plain,
    /// A server has the files.
    Network,
    /// A program has the files.
    UserSpace,
    /// The host of a virtual machine or a container has the files.
    Shared,
    /// A layer over others, which goes with its container.
    Overlay,
    /// Memory.
    Volatile,
    /// No links, no modes, or no journal.
    Limited,
}

const NETWORK: [&str; 11] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre", "beegfs", "davfs"];
const SHARED: [&str; 7] = ["9p", "virtiofs", "vboxsf", "prl_fs", "vmhgfs", "drvfs", "fuse.vmhgfs-fuse"];
const OVERLAY: [&str; 5] = ["overlay", "aufs", "unionfs", "fuse.fuse-overlayfs", "fuse.unionfs"];
const LIMITED: [&str; 8] = ["vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "fuse.ntfs-3g", "hfs"];

impl Mount {
    /// Returns what its type is known for.
    pub(crate) fn repute(&self) -> Repute {
        let kind = self.kind.as_str();
        let is_in = |names: &[&str]| names.contains(&kind);
        match kind {
            _ if is_in(&NETWORK) => Repute::Network,
            _ if is_in(&SHARED) => Repute::Shared,
            _ if is_in(&OVERLAY) => Repute::Overlay,
            _ if is_in(&LIMITED) => Repute::Limited,
            "tmpfs" | "ramfs" | "rootfs" => Repute::Volatile,
            _ if kind == "fuse" || kind.starts_with("fuse.") => Repute::UserSpace,
            _ => Repute::Plain,
        }
    }

    /// Says whether it was told not to have the disk flush its cache.
    pub(crate) fn has_no_barriers(&self) -> bool {
        self.options.split(',').any(|option| matches!(option, "nobarrier" | "barrier=0" | "barrier=none"))
    }
}

/// Finds type and options of what a path is on, in the text of `/proc/self/mountinfo`: of the mounts above the path the nearest,
/// and of several in one place the last.
pub(crate) fn find(mountinfo: &str, path: &Path) -> Option<(String, String)> {
    let mut found: Option<(usize, String, String)> = None;
    for line in mountinfo.lines() {
        // ID parent device root POINT OPTIONS [optional ...] - TYPE source OPTIONS
        let Some((before, behind)) = line.split_once(" - ") else { continue };
        let mut before = before.split(' ').skip(4);
        let mut behind = behind.split(' ');
        let (Some(point), Some(own), Some(kind)) = (before.next(), before.next(), behind.next()) else { continue };
        let point = unescaped(point);
        let depth = Path::new(&point).components().count();
        if path.starts_with(&point) && found.as_ref().is_none_or(|(nearest, ..)| depth >= *nearest) {
            let options = [own, behind.nth(1).unwrap_or_default()].join(",");
            found = Some((depth, kind.to_owned(), options));
        }
    }
    found.map(|(_, kind, options)| (kind, options))
}

/// Gives blanks, tabs, newlines and backslashes back, which stand there as `\040` and so on.
fn unescaped(point: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(point.to_owned(), |text, (octal, plain)| text.replace(octal, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,nobarrier
30 22 0:26 / /home rw - nfs4 server:/home rw,vers=4.2
31 30 0:27 / /home/with\\040blank rw,nosuid shared:7 master:2 - fuse.rclone remote: rw,user_id=1000
32 22 0:28 / /mnt rw - ext4 /dev/vdb rw
33 22 0:29 / /mnt rw - tmpfs none rw
34 22 0:30 / /proc rw - proc proc rw
no line at all
";

    #[test]
    fn the_nearest_mount_counts_and_of_two_in_one_place_the_last() {
        let kind = |path: &str| find(MOUNTS, Path::new(path)).unwrap().0;
        for (path, wanted) in [
            ("/var/lib", "ext4"),
            ("/home/me/store", "nfs4"),
            ("/home/with blank/store", "fuse.rclone"),
            ("/home/with", "nfs4"),
            ("/homework", "ext4"),
            ("/mnt/a", "tmpfs"),
        ] {
            assert_eq!(kind(path), wanted, "{path}");
        }
        assert_eq!(find("", Path::new("/")), None);
        let options = find(MOUNTS, Path::new("/var")).unwrap().1;
        assert!(Mount { options, ..Mount::default() }.has_no_barriers());
    }

    #[test]
    fn what_they_are_known_for() {
        for (kind, repute) in [
            ("ext4", Repute::Plain),
            ("", Repute::Plain),
            ("nfs", Repute::Network),
            ("fuse.rclone", Repute::UserSpace),
            ("9p", Repute::Shared),
            ("overlay", Repute::Overlay),
            ("tmpfs", Repute::Volatile),
            ("fuseblk", Repute::Limited),
        ] {
            assert_eq!(Mount { kind: kind.to_owned(), ..Mount::default() }.repute(), repute, "{kind}");
        }
    }
}
