//! One answer of a model from the several records that some systems write for it.

use crate::export::message::Message;

/// Holds the last message until it is known that the next one is not part of it.
#[derive(Debug, Default)]
pub(crate) struct Merge {
    held: Option<Message>,
}

impl Merge {
    /// Takes the next message, and returns the one before it once that is whole.
    pub(crate) fn push(&mut self, message: Message) -> Option<Message> {
        if let Some(held) = self.held.as_mut().filter(|held| held.group.is_some() && held.group == message.group) {
            held.parts.extend(message.parts);
            held.usage = message.usage.or(held.usage);
            return None;
        }
        self.held.replace(message)
    }

    /// Returns the last message.
    pub(crate) fn flush(&mut self) -> Option<Message> {
        self.held.take()
    }
}
