//! The systems whose histories can be imported.

use crate::import::claude_code::ClaudeCode;
use crate::import::codex::Codex;
use crate::import::hermes::Hermes;
use crate::import::jsonl::Jsonl;
use crate::import::nanobot::Nanobot;
use crate::import::openclaw::Openclaw;
use crate::import::pi::Pi;
use crate::import::shape::Shape;

/// A system that writes histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum System {
    /// openclaw: a file a session, entries in a tree, and a registry; or a database.
    Openclaw,
    /// pi: a file a session, entries in a tree.
    Pi,
    /// codex: a rollout a thread, names of threads in an index.
    Codex,
    /// hermes-agent: a database, or a file a session, and a registry.
    Hermes,
    /// nanobot: a file a session, metadata and then messages.
    Nanobot,
    /// Claude Code: a file a session and one a subagent, entries in a tree.
    ClaudeCode,
    /// JSON lines of any kind, a file a session.
    Jsonl,
}

/// The text names no system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such system")]
pub struct SystemError;

impl System {
    /// All of them, in the order in which a file is tried to be understood: what any lines of JSON are comes last.
    pub const ALL: [Self; 7] =
        [Self::Openclaw, Self::Pi, Self::Codex, Self::Hermes, Self::Nanobot, Self::ClaudeCode, Self::Jsonl];

    /// Returns the name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pi => "pi",
            Self::Openclaw => "openclaw",
            Self::Codex => "codex",
            Self::Hermes => "hermes",
            Self::Nanobot => "nanobot",
            Self::ClaudeCode => "claude-code",
            Self::Jsonl => "jsonl",
        }
    }

    pub(crate) fn shape(self) -> Box<dyn Shape> {
        match self {
            Self::Pi => Box::new(Pi),
            Self::Openclaw => Box::new(Openclaw::default()),
            Self::Codex => Box::new(Codex::default()),
            Self::Hermes => Box::new(Hermes::default()),
            Self::Nanobot => Box::new(Nanobot),
            Self::ClaudeCode => Box::new(ClaudeCode),
            Self::Jsonl => Box::new(Jsonl),
        }
    }
}

impl std::fmt::Display for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for System {
    type Err = SystemError;

    fn from_str(text: &str) -> Result<Self, SystemError> {
        Self::ALL.into_iter().find(|system| system.name() == text).ok_or(SystemError)
    }
}
