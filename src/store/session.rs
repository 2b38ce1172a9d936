//! A handle to one key: appends, reads, and what the caller gets back.

use std::sync::Arc;

use crate::atomic::Durability;
use crate::error::Error;
use crate::key::SessionKey;
use crate::record::{NewRecord, Receipt, Record, RecordError};
use crate::registry::Row;
use crate::store::Store;
use crate::store::job::{Done, Job, TurnId};
use crate::store::slot::Slot;
use crate::transcript::backward::Backward;
use crate::transcript::reader::{Item, Reader, Records};

/// What to read of a session; the whole of its newest generation by default.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ReadOptions {
    generation: Option<u64>,
    from_seq: u64,
    durable_only: bool,
}

impl ReadOptions {
    /// Returns the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the generation; the newest by default.
    pub fn generation(mut self, generation: u64) -> Self {
        self.generation = Some(generation);
        self
    }

    /// Sets the first record wanted. It is found by a binary search in the file.
    pub fn from_seq(mut self, seq: u64) -> Self {
        self.from_seq = seq;
        self
    }

    /// Leaves out records that are not known to be durable: those that a live writer has written and not yet synced. The last
    /// commit of a transcript whose writer died is among them until it is opened for writing or sealed.
    pub fn durable_only(mut self, durable_only: bool) -> Self {
        self.durable_only = durable_only;
        self
    }
}

/// A session of a store. Cheap to clone, `Send + Sync`.
///
/// All handles of one [`Store`] to one key share a writer, its lock and its fate: if it is poisoned it is so for all of them.
/// A handle keeps the store open; dropping it writes nothing.
#[derive(Clone)]
pub struct Session {
    pub(crate) store: Store,
    pub(crate) slot: Arc<Slot>,
}

/// Without the writer, whose buffer holds the last records.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("key", self.key()).field("store", &self.store).finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(store: Store, slot: Arc<Slot>) -> Self {
        Self { store, slot }
    }

    /// Returns the session's key.
    pub fn key(&self) -> &SessionKey {
        &self.slot.key
    }

    /// Appends one record with the store's durability. With [`Durability::Sync`] it is on stable storage when this returns.
    ///
    /// Costs one write and one fdatasync, shared with all appends to this session that wait at the same time; the first
    /// append also takes the session's lock and recovers or makes its transcript.
    ///
    /// # Errors
    ///
    /// - [`Error::Record`] when the record is too large, [`Error::Key`] when the key is the store's own: nothing was written.
    /// - [`Error::Busy`] when another process writes to the session.
    /// - [`Error::Damaged`], [`Error::UnsupportedFormat`], [`Error::Misfiled`]: the transcript is not written to.
    /// - [`Error::WriteFailed`] when nothing of it was kept (a full disk); it can be tried again.
    /// - [`Error::Poisoned`] when it is open what was kept; see [`reopen`](Self::reopen).
    pub fn append(&self, record: NewRecord) -> Result<Receipt, Error> {
        self.append_with(record, self.store.inner().options.durability)
    }

    /// [`append`](Self::append) with a durability of its own.
    ///
    /// # Errors
    ///
    /// Those of [`append`](Self::append).
    pub fn append_with(&self, record: NewRecord, durability: Durability) -> Result<Receipt, Error> {
        let mut receipts = self.append_batch_with(vec![record], durability)?;
        receipts.pop().ok_or(Error::Closed)
    }

    /// Appends records as one commit, in order and without others in between. After a crash the batch is a prefix of itself.
    ///
    /// A batch over 1 MiB is written as several commits, each of at most that size or one record, so that each proves the
    /// one before. No records: no commit. With marks among the records (see [`NewRecord::state`]) it is always durable.
    ///
    /// # Errors
    ///
    /// Those of [`append`](Self::append); [`Error::Partial`] when some of the commits of a large batch were kept;
    /// [`Error::BeyondHistory`] when a mark names a record that is not there, [`Error::Suspended`] when a session that is would be
    /// marked to be resumed.
    pub fn append_batch(&self, records: Vec<NewRecord>) -> Result<Vec<Receipt>, Error> {
        self.append_batch_with(records, self.store.inner().options.durability)
    }

    /// [`append_batch`](Self::append_batch) with a durability of its own.
    ///
    /// # Errors
    ///
    /// Those of [`append_batch`](Self::append_batch).
    pub fn append_batch_with(&self, records: Vec<NewRecord>, durability: Durability) -> Result<Vec<Receipt>, Error> {
        let has_marks = records.iter().any(NewRecord::is_mark);
        self.check_sizes(&records)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        if has_marks { self.append_states(records) } else { self.append_for(None, records, durability) }
    }

    /// Appends records that were checked, those of a turn only while it runs.
    pub(crate) fn append_for(
        &self,
        turn: Option<TurnId>,
        records: Vec<NewRecord>,
        durability: Durability,
    ) -> Result<Vec<Receipt>, Error> {
        self.slot.submit(self.store.inner(), Job::Append { records, durability, turn }).map(Done::receipts)
    }

    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        self.store.inner().check_writable()?;
        if self.key().is_reserved() { Err(crate::key::KeyError::Reserved.into()) } else { Ok(()) }
    }

    /// Refuses what is too large, and marks, where they have no meaning.
    pub(crate) fn check_records(&self, records: &[NewRecord]) -> Result<(), Error> {
        if records.iter().any(NewRecord::is_mark) {
            return Err(RecordError::ReservedKind.into());
        }
        self.check_sizes(records)
    }

    fn check_sizes(&self, records: &[NewRecord]) -> Result<(), Error> {
        self.check_writable()?;
        for record in records {
            record.check_size(self.store.inner().options.record_bytes_max)?;
        }
        Ok(())
    }

    /// Makes the session's buffered records durable with one fdatasync; with none, does nothing. Returns how many there were.
    ///
    /// # Errors
    ///
    /// [`Error::Poisoned`] when the sync fails.
    pub fn flush(&self) -> Result<u64, Error> {
        self.store.inner().check_writable()?;
        self.slot.flush(self.store.inner())
    }

    /// Lets go of a poisoned writer. The next append recovers the transcript: it starts from what is provably on disk, so
    /// records that were in doubt are there whole or not at all. Does nothing to a session that is not poisoned.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], [`Error::ReadOnly`].
    pub fn reopen(&self) -> Result<(), Error> {
        self.store.inner().check_writable()?;
        self.store.inner().forget_poisoned(&self.slot);
        Ok(())
    }

    /// Seals the session and lets go of its lock now instead of when it has been idle. The next append takes it again.
    ///
    /// # Errors
    ///
    /// [`Error::TurnRunning`]: a session is not let go of while its turn runs, and nothing was done. [`Error::Poisoned`] when
    /// buffered records can not be made durable; [`Error::WriteFailed`] when there was no room for the seal, which is no loss.
    pub fn release(&self) -> Result<(), Error> {
        if let Some(TurnId { seq: turn, .. }) = self.slot.turn() {
            return Err(Error::TurnRunning { key: self.key().clone(), turn });
        }
        self.slot.submit(self.store.inner(), Job::Release).map(drop)
    }

    /// Reads all records of the newest generation, first to last.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn records(&self) -> Result<Records, Error> {
        self.read(&ReadOptions::new())
    }

    /// Reads forward. Takes no lock and writes nothing; damage shows as [`Item::Gap`].
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::UnsupportedFormat`], [`Error::Misfiled`], [`Error::Io`].
    pub fn read(&self, options: &ReadOptions) -> Result<Records, Error> {
        // Before the file is looked at: what was durable then is in the file by now.
        let live_durable = self.slot.durable_seq();
        let (mut reader, row) = self.reader(options.generation)?;
        let last_seq = if options.durable_only {
            let generation = reader.header.as_ref().map(|header| header.body.generation);
            let live = live_durable.filter(|(live, _)| Some(*live) == generation).map_or(0, |(_, seq)| seq);
            let header_id = reader.header.as_ref().map(|header| header.body.id.as_str());
            let row_durable = row.filter(|row| Some(row.id.as_str()) == header_id).map_or(0, |row| row.durable_seq);
            reader.claimed_durable()?.max(live).max(row_durable)
        } else {
            u64::MAX
        };
        Ok(reader.forward(options.from_seq)?.until(last_seq))
    }

    /// Reads backward from the end of the newest generation.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn backward(&self) -> Result<Backward, Error> {
        Ok(self.reader(None)?.0.backward())
    }

    /// Returns the last `count` records of the caller, in order, with the gaps among them; the store's marks do not count and
    /// are left out. Costs the same whatever the transcript's length.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn last(&self, count: usize) -> Result<Vec<Item>, Error> {
        self.last_of(None, count)
    }

    /// [`last`](Self::last) of some generation.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn last_of(&self, generation: Option<u64>, count: usize) -> Result<Vec<Item>, Error> {
        let mut items = Vec::new();
        let mut records = 0;
        let backward = self.reader(generation)?.0.backward();
        if count == 0 {
            return Ok(items);
        }
        for item in backward {
            let item = item?;
            match &item {
                Item::Record(record) if record.is_mark() => continue,
                Item::Record(_) => records += 1,
                Item::Gap(_) => {}
            }
            items.push(item);
            if records == count {
                break;
            }
        }
        items.reverse();
        Ok(items)
    }

    /// Returns the newest generation's row, brought up to date with its transcript.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`]; what makes a transcript unreadable.
    pub fn row(&self) -> Result<Row, Error> {
        self.row_of(None)
    }

    /// [`row`](Self::row) of some generation.
    ///
    /// # Errors
    ///
    /// Those of [`row`](Self::row).
    pub fn row_of(&self, generation: Option<u64>) -> Result<Row, Error> {
        self.store.inner().current_row(self.key(), generation)
    }

    /// Returns the newest generation.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::Io`].
    pub fn generation(&self) -> Result<u64, Error> {
        self.store.inner().generation(self.key(), None)
    }

    /// Returns the transcript's path, of the newest generation if none is named.
    ///
    /// # Errors
    ///
    /// [`Error::SessionNotFound`], [`Error::Io`].
    pub fn path(&self, generation: Option<u64>) -> Result<std::path::PathBuf, Error> {
        let generation = self.store.inner().generation(self.key(), generation)?;
        Ok(self.store.inner().layout.transcript(self.key(), generation))
    }

    /// Returns the record with this seq.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn get(&self, seq: u64) -> Result<Option<Record>, Error> {
        for item in self.read(&ReadOptions::new().from_seq(seq))? {
            if let Item::Record(record) = item? {
                return Ok(Some(record).filter(|record| record.seq() == seq));
            }
        }
        Ok(None)
    }

    fn reader(&self, generation: Option<u64>) -> Result<(Reader, Option<Row>), Error> {
        let inner = self.store.inner();
        let generation = inner.generation(self.key(), generation)?;
        Ok((inner.reader(self.key(), generation)?, inner.row(self.key(), generation)?))
    }
}
