//! Everything that an examination can find: its stable name, how bad it is, and what it means.

use crate::damage::Defect;
use crate::finding::Severity;

/// One table, so that no name is without its meaning.
macro_rules! ailments {
    ($($variant:ident $name:literal $severity:ident $meaning:literal)*) => {
        /// What an examination can find.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Ailment {
            $(#[doc = $meaning] $variant,)*
        }

        impl Ailment {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the stable name that reports and JSON output use.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Returns how bad it is.
            pub fn severity(self) -> Severity {
                match self {
                    $(Self::$variant => Severity::$severity,)*
                }
            }

            /// Says in a sentence what it means.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
                }
            }
        }
    };
}

ailments! {
    FsNetwork "fs-network" Warning "A server has the files: whether a sync reaches its disk and a lock holds on other machines is up to it."
    FsUserSpace "fs-user-space" Warning "A program has the files (FUSE): many of them acknowledge a sync that they did not do, and know no locks."
    FsShared "fs-shared" Warning "The host of this machine has the files: whether a sync reaches its disk is a setting of the host's."
    FsOverlay "fs-overlay" Warning "The store is in a container's own layer: it goes with the container, and is not told of write errors below."
    FsVolatile "fs-volatile" Warning "The store is in memory: nothing of it survives a reboot."
    FsLimited "fs-limited" Warning "The file system has no modes, no links or no journal: files are not private, and a power cut may damage folders."
    FsNoBarriers "fs-no-barriers" Warning "The file system was told not to flush the disk's cache: a power cut loses what was acknowledged."
    FsyncFailed "fsync-failed" Failed "A sync in the store's folder fails: no append can be acknowledged."
    FsyncSlow "fsync-slow" Warning "A sync takes long, and with it every append."
    LocksBroken "locks-broken" Failed "Two descriptors got the same lock: nothing keeps two processes from writing to one session at once."
    SpaceLow "space-low" Warning "The disk is nearly full; appends will be refused."
    InodesLow "inodes-low" Warning "The file system can hardly have more files; new sessions will be refused."
    DescriptorsLow "descriptors-low" Warning "A process may open few files here: sessions are opened and closed all the time."
    StoreReadOnly "store-read-only" Info "Nothing can be written here, so syncs and locks were not tried."
    FolderMissing "folder-missing" Info "A folder of the store is missing, as after a restored backup; whoever opens the store for writing makes it."
    FolderReplaced "folder-replaced" Failed "Something else stands in the place of a folder of the store, which therefore can not be opened for writing."
    OwnerOther "owner-other" Warning "The store belongs to another user: files that this one makes the other may not read."
    OwnerMixed "owner-mixed" Warning "A file belongs to another user than the store: the gateway may not be able to read or write it."
    ModeOpen "mode-open" Warning "Others than the owner may read or write it."
    ModeClosed "mode-closed" Warning "Its owner may not read and write it."
    ClockBehind "clock-behind" Warning "A record is from the future: the clock was set back, or was wrong when it was appended. Ages are not believed, prune refuses."
    ClockJumped "clock-jumped" Info "The clock was set back between two starts or stops of a gateway: times of records do not show their order."
    ClockSkew "clock-skew" Warning "The file system's clock is not this machine's: ages of files are not believed."
    RegistryMissing "registry-missing" Heals "There is no registry; it is folded again from the transcripts."
    RegistryUnusable "registry-unusable" Heals "A line of the registry is no row; the registry is folded again from the transcripts."
    RegistryDuplicate "registry-duplicate" Heals "The registry has two rows for one session; it is folded again from the transcripts."
    RegistryUnsorted "registry-unsorted" Heals "The registry's rows are not in order; it is folded again from the transcripts."
    RegistryMisnumbered "registry-misnumbered" Heals "A row of the registry has the number of another line: some were lost or moved. It is folded again from the transcripts."
    RegistryLogBroken "registry-log-broken" Heals "The log beside the registry has a line that is none: nothing is believed by it, and lists are slow."
    RegistryBehind "registry-behind" Info "Transcripts went on behind their rows, as after a crash; the next save folds that in."
    RowStale "row-stale" Heals "A row of the registry is about another state of its transcript than the one that is there."
    RowWithoutFile "row-without-file" Damage "The registry knows a transcript whose file is gone, and nobody deleted it."
    FileWithoutRow "file-without-row" Info "Transcripts have no row in the registry; the next save folds them in."
    DamageChecksum "damage-checksum" Damage "A line does not hash to its checksum: promised bytes were changed."
    DamageMalformed "damage-malformed" Damage "A line is no record: promised bytes were changed, or somebody wrote to the file."
    DamageSeparator "damage-separator" Damage "The byte between two records is not a newline."
    DamageGap "damage-gap" Damage "Records are missing between two sound ones."
    DamageDuplicate "damage-duplicate" Damage "A record stands there twice."
    DamageFork "damage-fork" Damage "A record follows another one than that before it: two wrote to the session at once."
    DamageMisplaced "damage-misplaced" Damage "A record stands behind one that it preceded."
    DamageLost "damage-lost" Damage "The registry knows of durable records that the file does not hold: it was cut, or an older one was put in its place."
    DamageHeader "damage-header" Damage "The first line is no header: it was changed, or the file was emptied."
    Torn "torn" Heals "An append was cut off by a crash; its bytes were never promised, and the next writer sets them aside."
    Unterminated "unterminated" Heals "The last record lacks its newline, which the next writer adds."
    Misfiled "misfiled" Damage "The transcript's header names another session than its file: somebody renamed it. Nobody finds it under its key."
    UnsupportedFormat "unsupported-format" Failed "The transcript was written by a later version."
    Unreadable "unreadable" Failed "It can not be read, so nothing is known of it."
    GenerationHole "generation-hole" Damage "A generation between two others of its key is missing: a writer may go on behind the older ones, where nobody sees it."
    TempFile "temp-file" Warning "Left behind by a process that was killed; nothing in it was acknowledged."
    TempFileAcknowledged "temp-file-acknowledged" Damage "A temp file is a session that the registry knows: the disk has lost a name that it had promised."
    StaleLock "stale-lock" Info "Left behind by a writer that was killed. It keeps nobody out, and has the next one look twice."
    SessionBusy "session-busy" Warning "Somebody has been writing to the session for long, and keeps everybody else out."
    TurnInterrupted "turn-interrupted" Info "Turns began and did not end, and nobody runs them: the gateway was cut off."
    ResumePending "resume-pending" Info "Sessions are marked to be resumed."
    Suspended "suspended" Info "Sessions are suspended: no turn begins in them until somebody releases them."
    Stranger "stranger" Warning "Something in transcripts/ is no transcript; nobody looks at it."
    Quarantine "quarantine" Info "Bytes that were cut or replaced are kept until somebody drops them."
    Trash "trash" Info "Deleted sessions are kept until somebody empties the trash."
}

impl Ailment {
    /// Returns the one that has this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|ailment| ailment.name() == name)
    }

    /// Says whether [`Store::heal`](crate::Store::heal) settles it, in most cases. It changes nothing that anybody may want back.
    pub fn is_healed(self) -> bool {
        self.is_of_registry()
            || matches!(
                self,
                Self::FolderMissing
                    | Self::ModeOpen
                    | Self::ModeClosed
                    | Self::Torn
                    | Self::Unterminated
                    | Self::TempFile
                    | Self::StaleLock
            )
    }

    /// Says whether a fold of all transcripts settles it.
    pub(super) fn is_of_registry(self) -> bool {
        matches!(
            self,
            Self::RegistryMissing
                | Self::RegistryUnusable
                | Self::RegistryDuplicate
                | Self::RegistryUnsorted
                | Self::RegistryMisnumbered
                | Self::RegistryLogBroken
                | Self::RegistryBehind
                | Self::RowStale
                | Self::FileWithoutRow
        )
    }

    pub(super) fn of_defect(defect: Defect) -> Self {
        match defect {
            Defect::Checksum => Self::DamageChecksum,
            Defect::Malformed => Self::DamageMalformed,
            Defect::Separator => Self::DamageSeparator,
            Defect::Gap => Self::DamageGap,
            Defect::Duplicate => Self::DamageDuplicate,
            Defect::Fork => Self::DamageFork,
            Defect::Misplaced => Self::DamageMisplaced,
            Defect::Lost => Self::DamageLost,
            Defect::Header => Self::DamageHeader,
        }
    }
}
