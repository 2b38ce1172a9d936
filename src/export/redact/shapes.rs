//! The shapes of secrets.
//!
//! A search for all of a shape's matches takes linear time only if no attempt reads far beyond the match that it ends with:
//! what may be long stops at what begins the next match.

/// A kind of secret: its name, its shape, and the group of the match that is the secret itself.
pub(super) type Shape = (&'static str, &'static str, usize);

pub(super) const ASSIGNED: &str = "assigned secret";
pub(super) const ATLASSIAN: &str = "Atlassian token";
pub(super) const BEARER: &str = "bearer token";
pub(super) const COOKIE: &str = "cookie";
pub(super) const HEADER: &str = "Authorization header";
pub(super) const IN_COMMAND: &str = "password of a command";
pub(super) const IN_ELEMENT: &str = "secret in an element";
pub(super) const IN_PAIR: &str = "named secret";
pub(super) const IN_URL: &str = "password in a URL";
pub(super) const MAILGUN: &str = "Mailgun key";
pub(super) const SIGNATURE: &str = "signature in a URL";
pub(super) const USER_IN_URL: &str = "token in a URL";

/// Shapes that tell by themselves, the most telling first: of matches that overlap the first in the list wins.
pub(super) const SHAPES: [Shape; 48] = [
    (
        "private key",
        // Inside of a key no two hyphens follow each other.
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----(?:(?:-?[A-Za-z0-9+/=\s\\:,.\x22']){40,}?-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|(?:\s|\\+[nr])*[A-Za-z0-9+/=]{40,}[A-Za-z0-9+/=\s\\]*)",
        0,
    ),
    ("JWT", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", 0),
    ("Anthropic key", r"\bsk-ant-[A-Za-z0-9_-]{16,}", 0),
    ("OpenRouter key", r"\bsk-or-[A-Za-z0-9_-]{16,}", 0),
    ("Stripe key", r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{16,}", 0),
    ("OpenAI key", r"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{20,}|[A-Za-z0-9]{20,})", 0),
    ("AWS key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b", 0),
    ("GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})", 0),
    ("GitLab token", r"\bgl(?:pat|ptt|dt|rt|cbt)-[A-Za-z0-9_-]{20,}", 0),
    ("Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bxapp-[A-Za-z0-9-]{20,}", 0),
    ("Slack webhook", r"hooks\.slack\.com/services/([A-Z0-9]+/[A-Z0-9]+/[A-Za-z0-9]{16,})", 1),
    (
        "Google key",
        r"\bAIza[A-Za-z0-9_-]{35}|\bya29\.[A-Za-z0-9_-]{20,}|\bGOCSPX-[A-Za-z0-9_-]{20,}|\b1//0[A-Za-z0-9_-]{30,}",
        0,
    ),
    // In a URL `bot` stands right before it.
    ("Telegram bot token", r"\b(?:bot)?([0-9]{8,12}:[A-Za-z0-9_-]{35})(?:[^A-Za-z0-9_-]|$)", 1),
    ("Discord bot token", r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}", 0),
    ("Discord webhook", r"discord(?:app)?\.com/api/webhooks/[0-9]+/([A-Za-z0-9_-]{40,})", 1),
    ("npm token", r"\bnpm_[A-Za-z0-9]{36}\b", 0),
    ("PyPI token", r"\bpypi-[A-Za-z0-9_-]{40,}", 0),
    ("crates.io token", r"\bcio[A-Za-z0-9]{32}\b", 0),
    ("Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}", 0),
    ("SendGrid key", r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", 0),
    ("Groq key", r"\bgsk_[A-Za-z0-9]{30,}", 0),
    ("xAI key", r"\bxai-[A-Za-z0-9]{40,}", 0),
    ("Perplexity key", r"\bpplx-[A-Za-z0-9]{30,}", 0),
    ("DigitalOcean token", r"\bdo[opr]_v1_[a-f0-9]{64}", 0),
    ("Vault token", r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}", 0),
    ("Notion token", r"\b(?:secret|ntn)_[A-Za-z0-9]{40,}", 0),
    ("Linear key", r"\blin_(?:api|oauth)_[A-Za-z0-9]{32,}", 0),
    ("Replicate token", r"\br8_[A-Za-z0-9]{30,}", 0),
    ("Shopify token", r"\bshp(?:at|ca|pa|ss)_[A-Za-z0-9]{32,}", 0),
    (ATLASSIAN, r"\bATATT[A-Za-z0-9_=-]{24,}", 0),
    ("Docker token", r"\bdckr_[po]at_[A-Za-z0-9_-]{20,}", 0),
    ("Netlify token", r"\bnfp_[A-Za-z0-9]{30,}", 0),
    ("Supabase key", r"\b(?:sbp_(?:v0_)?[A-Za-z0-9]{36,}|sb_secret_[A-Za-z0-9_-]{20,})", 0),
    ("Sentry token", r"\bsntry[su]_[A-Za-z0-9+/=_-]{40,}", 0),
    ("age key", r"\bAGE-SECRET-KEY-1[A-Za-z0-9]{40,}", 0),
    (MAILGUN, r"(?:^|[^A-Za-z0-9_-])(key-[A-Za-z0-9]{32})(?:[^A-Za-z0-9_]|$)", 1),
    (SIGNATURE, r"\bsig=([A-Za-z0-9%+/=_-]{30,})", 1),
    (USER_IN_URL, r"://([^\s/:@'\x22\\]{8,})(?::([^\s/@'\x22\\]*))?@", 1),
    (IN_URL, r"\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@'\x22\\]*:([^\s/@'\x22\\]+)@", 1),
    (IN_COMMAND, r"\bcurl\s(?:[^\n]*?\s)??(?:-u|--user)[\s=]*[\x22'\\]*[^\s:\x22'\\]*:([^\s\x22'\\]+)", 1),
    (BEARER, r"(?i)\bbearer\s+([A-Za-z0-9._~+/-]{16,}=*)", 1),
    (
        HEADER,
        r"(?i)\bauthorization[\x22'\\]*\s*[:=]\s*[\x22'\\]*((?:[A-Za-z][A-Za-z0-9-]*[\t ]+)?)([A-Za-z0-9._~+/:-]{8,}={0,2})",
        2,
    ),
    (COOKIE, r"(?i)\bcookie[\x22'\\]*\s*:\s*[\x22'\\]*([A-Za-z0-9_.-]+=[^\r\n\x22'\\]+)", 1),
    (COOKIE, r"\bcurl\s(?:[^\n]*?\s)??(?:-b|--cookie)[\s=]*[\x22'\\]*([A-Za-z0-9_.-]+=[^\r\n\x22'\\]+)", 1),
    // What it is called tells; whether the value is one is looked at afterwards.
    (
        IN_ELEMENT,
        r"(?i)<([A-Za-z0-9_.:-]{0,40}(?:secret|passw|passphrase|pwd|token|key|credential)[A-Za-z0-9_.-]{0,30})(?:\s[^<>]*)?>\s*([^<>\s][^<>]*)</",
        2,
    ),
    (
        IN_PAIR,
        r"(?i)\b(?:name|key)(?:\\*[\x22'])?\s*[:=]\s*(?:\\*[\x22'])?([A-Za-z0-9_.-]{3,64})(?:\\*[\x22'])?\s*,?\s*(?:\\*[\x22'])?value(?:\\*[\x22'])?\s*[:=]\s*(?:\\*[\x22'])?([^\s\x22'`\\,;&<>{}()\[\]|]{8,})",
        2,
    ),
    (
        ASSIGNED,
        r"(?i)([A-Za-z0-9_.-]{0,40}(?:secret|passw|passphrase|[_-]pass|pwd|token|key|credential)[A-Za-z0-9_.-]{0,30})(?:\\*[\x22'])?(?:\s*(?::=|=>|[:=])\s*|\s+)(?:\\*[\x22'`])?([^\s\x22'`\\,;&<>{}()\[\]|]{8,})",
        2,
    ),
    (
        ASSIGNED,
        r"(?i)(?:^|[\s\x22'{,;&?])(pass)(?:\\*[\x22']\s*:\s*\\*[\x22']|=[\x22']?)([^\s\x22'`\\,;&<>{}()\[\]|]{6,})",
        2,
    ),
];
