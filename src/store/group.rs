//! Appends that are committed together: what of them is still to be written, what their ids find, their receipts.

use std::collections::HashMap;

use crate::error::Error;
use crate::format::COMMIT_BYTES_MAX;
use crate::key::SessionKey;
use crate::record::{NewRecord, Receipt};
use crate::transcript::writer::{Writer, Written};

/// An append on its way through one or more commits.
pub(crate) struct Append {
    pub(crate) ticket: usize,
    records: Vec<NewRecord>,
    receipts: Vec<Receipt>,
    /// Of each record whether it is written already; empty where none has an id.
    twins: Vec<Option<Twin>>,
    refused: Option<Error>,
}

impl Append {
    pub(crate) fn new(ticket: usize, records: Vec<NewRecord>) -> Self {
        Self { ticket, records, receipts: Vec::new(), twins: Vec::new(), refused: None }
    }

    fn twin(&self, at: usize) -> Option<Twin> {
        self.twins.get(at).copied().flatten()
    }

    /// Returns the last of the records that are in the transcript, if they are the first ones of this append.
    pub(crate) fn last_written(&self) -> Option<Written> {
        let is_written = |twin: &&Option<Twin>| matches!(twin, Some(Twin::Written(_)));
        let first = self.twins.iter().take_while(is_written).count();
        let others = self.twins.iter().skip(first).any(Option::is_some);
        match self.twins.get(first.checked_sub(1)?)? {
            Some(Twin::Written(last)) if !others && self.refused.is_none() => Some(*last),
            _ => None,
        }
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.refused.is_some() || self.receipts.len() == self.records.len()
    }

    /// Returns the records that are to be written and were not.
    pub(crate) fn unwritten(&self) -> impl Iterator<Item = &NewRecord> {
        let records = self.records.iter().enumerate().skip(self.receipts.len()).filter(|_| self.refused.is_none());
        records.filter(|(at, _)| self.twin(*at).is_none()).map(|(_, record)| record)
    }

    pub(crate) fn answer(self, result: &Result<(), Error>) -> Result<Vec<Receipt>, Error> {
        let complete = self.is_answered();
        match (self.refused, result) {
            (Some(error), _) => Err(error),
            (None, Err(error)) if !complete && self.receipts.is_empty() => Err(error.clone()),
            (None, Err(error)) if !complete => {
                Err(Error::Partial { receipts: self.receipts, source: Box::new(error.clone()) })
            }
            _ => Ok(self.receipts),
        }
    }
}

/// Where the record stands that has the same id.
#[derive(Debug, Clone, Copy)]
enum Twin {
    /// In the transcript.
    Written(Written),
    /// Among those that are written now: that record of that append.
    Of(usize, usize),
}

/// Returns the next records to write, somewhat more than one commit takes.
pub(crate) fn waiting(appends: &[Append]) -> Vec<&NewRecord> {
    let mut bytes = 0_usize;
    let unwritten = appends.iter().flat_map(Append::unwritten);
    let fits = |record: &&NewRecord| {
        let begins_inside = bytes <= COMMIT_BYTES_MAX;
        bytes = bytes.saturating_add(record.size_hint());
        begins_inside
    };
    unwritten.take_while(fits).collect()
}

/// Looks for records with the same ids as those to be appended, in the transcript and among themselves. An append that uses
/// an id for another content is refused; the others go on.
pub(crate) fn find_twins(
    appends: &mut [Append],
    key: &SessionKey,
    mut writer: Option<&mut Writer>,
    unborn: u64,
) -> Result<(), Error> {
    if !appends.iter().flat_map(|append| &append.records).any(|record| record.id_json().is_some()) {
        return Ok(());
    }
    let (generation, mut last_seq) = writer.as_ref().map_or((unborn, 0), |writer| {
        let row = writer.row();
        (row.generation, row.last_seq)
    });
    // Of each id that is written now: by which record, and which number it will have.
    let mut new: HashMap<String, (usize, usize, u64)> = HashMap::new();
    for at in 0..appends.len() {
        let (before, rest) = appends.split_at_mut(at);
        let Some(append) = rest.first_mut().filter(|append| !append.is_answered()) else {
            continue;
        };
        append.twins.clear();
        let (mut own, mut next_seq) = (HashMap::new(), last_seq);
        for (number, record) in append.records.iter().enumerate() {
            let found = match (record.id_json(), writer.as_deref_mut()) {
                (Some(_), Some(writer)) => writer.find(record)?,
                _ => None,
            };
            let queued = record.id_json().and_then(|id| own.get(id).or_else(|| new.get(id)).copied());
            let is_same = |(by, number, _): (usize, usize, u64)| {
                let records = before.get(by).map_or(&append.records, |append| &append.records);
                records.get(number).is_some_and(|first| first.is_same(record))
            };
            let reused = found.filter(|found| !found.is_same).map(|found| found.written.seq);
            if let Some(seq) = reused.or_else(|| queued.filter(|first| !is_same(*first)).map(|(_, _, seq)| seq)) {
                append.refused = Some(Error::IdReused { key: key.clone(), generation, seq });
                break;
            }
            let twin = found.map(|found| Twin::Written(found.written));
            let twin = twin.or_else(|| queued.map(|(by, number, _)| Twin::Of(by, number)));
            if twin.is_none() {
                next_seq = next_seq.saturating_add(1);
                record.id_json().map(|id| own.insert(id.to_owned(), (at, number, next_seq)));
            }
            append.twins.push(twin);
        }
        if append.refused.is_none() {
            last_seq = next_seq;
            new.extend(own);
        }
    }
    Ok(())
}

/// Gives each written record's receipt to the append that it came from, in order.
pub(crate) fn hand_out(appends: &mut [Append], key: &SessionKey, writer: &Writer, written: &[Written], durable: bool) {
    let generation = writer.row().generation;
    let receipt = |Written { seq, crc, .. }, durable| Receipt { key: key.clone(), generation, seq, crc, durable };
    let mut written = written.iter();
    for at in 0..appends.len() {
        while let Some(append) = appends.get(at).filter(|append| !append.is_answered()) {
            let next = match append.twin(append.receipts.len()) {
                None => written.next().map(|new| receipt(*new, durable)),
                Some(Twin::Written(first)) => Some(receipt(first, first.seq <= writer.durable_seq())),
                Some(Twin::Of(by, number)) => appends.get(by).and_then(|append| append.receipts.get(number)).cloned(),
            };
            let Some(next) = next else { break };
            appends.get_mut(at).into_iter().for_each(|append| append.receipts.push(next.clone()));
        }
    }
}
