//! Appending only to the history that the caller has seen.

use std::sync::Arc;

use crate::error::Error;
use crate::key::SessionKey;
use crate::mark::Mark;
use crate::record::{Head, NewRecord, Receipt};
use crate::registry::Row;
use crate::store::Session;
use crate::store::inner::Inner;
use crate::store::job::{Again, Decide, TurnChange};
use crate::transcript::reader::Item;

impl Session {
    /// Returns the end of the session's history: what [`append_if`](Self::append_if) compares.
    ///
    /// # Errors
    ///
    /// Those of [`row`](Self::row).
    pub fn head(&self) -> Result<Head, Error> {
        self.row().map(|row| Head::of(&row))
    }

    /// Appends records as one commit if the session's history ends where the caller saw it end, `None` standing for no session;
    /// durable when this returns. What the store wrote for itself since (that a commit is proven, that a torn tail was cut)
    /// does not count; what was written by anybody else, marks included, does.
    ///
    /// Tried again after an error that leaves its outcome open, it gives the receipts of the first time if every record has an
    /// [id](NewRecord::id): of those that are there, the rest is appended if nothing else was meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::HeadMoved`] with the end as it is now: nothing was written. Those of [`append_batch`](Self::append_batch).
    pub fn append_if(&self, head: Option<Head>, records: Vec<NewRecord>) -> Result<Vec<Receipt>, Error> {
        self.check_records(&records)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let (inner, key) = (Arc::clone(self.store.inner()), self.key().clone());
        let again = records.iter().all(NewRecord::has_id).then(|| {
            let (inner, key) = (Arc::clone(&inner), key.clone());
            let ends_at = move |row: &Row, head| ends_at(&inner, &key, Some(row), Some(head));
            Again { records: records.clone(), ends_at: Box::new(ends_at) }
        });
        let decide = Decide::new(TurnChange::None, move |row, _| {
            if ends_at(&inner, &key, row, head)? {
                Ok(records.clone())
            } else {
                Err(Error::HeadMoved { key: key.clone(), current: row.map(Head::of) })
            }
        });
        self.slot.decide(self.store.inner(), decide.again(again))
    }
}

impl Head {
    pub(crate) fn of(row: &Row) -> Self {
        Self { generation: row.generation, seq: row.last_seq, crc: row.last_crc }
    }
}

/// Says whether a history ends at `head`, but for what the store wrote of its own.
fn ends_at(inner: &Inner, key: &SessionKey, row: Option<&Row>, head: Option<Head>) -> Result<bool, Error> {
    let (row, head) = match (row, head) {
        (Some(row), Some(head)) if row.generation == head.generation => (row, head),
        (row, head) => return Ok(row.is_none() && head.is_none()),
    };
    if row.last_seq <= head.seq {
        return Ok(Head::of(row) == head);
    }
    let reader = inner.reader(key, row.generation)?;
    let header_crc = reader.header.as_ref().map(|header| header.crc);
    for item in reader.backward() {
        match item? {
            Item::Record(record) if record.seq() <= head.seq => {
                return Ok((record.seq(), record.crc()) == (head.seq, head.crc));
            }
            Item::Record(record) if matches!(record.as_mark(), Some(Mark::Sealed | Mark::Recovered { .. })) => {}
            Item::Record(_) | Item::Gap(_) => return Ok(false),
        }
    }
    Ok(head.seq == 0 && header_crc == Some(head.crc))
}
