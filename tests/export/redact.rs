//! What looks like a secret is replaced in every format, and what does not stays.

use serde_json::{Value, json};
use sesslog::export::{ExportOptions, Format};

use super::{Bench, user};

fn redacted(body: &Value) -> (Value, Vec<(&'static str, u64)>) {
    let bench = Bench::with(std::slice::from_ref(body));
    let (line, exported) = bench.export_with(Format::Jsonl, &ExportOptions::new().redact(true));
    (serde_json::from_str(&line).unwrap(), exported.redacted.into_iter().collect())
}

/// Made up here, in pieces: nobody who looks for secrets shall find one in this file.
fn secret(prefix: &str, length: usize) -> String {
    let letters = "q7Rk2ZpX9vBn4LsW8yTd3HfJ6mCgQ5xV1aEuKoP0iYbNzMrSwDtFhGjUlAcIeO";
    prefix.to_owned() + &letters.repeat(2)[..length]
}

#[test]
fn what_looks_like_a_secret_is_replaced() {
    let jwt = format!("{}.{}.{}", secret("eyJ", 20), secret("eyJ", 30), secret("", 40));
    let key = format!("-----BEGIN RSA {0}-----\n{1}\n{1}\n-----END RSA {0}-----", "PRIVATE KEY", secret("", 62));
    let cases = [
        ("OpenAI key", secret("sk-", 48)),
        ("OpenAI key", secret("sk-proj-", 60)),
        ("Anthropic key", secret("sk-ant-api03-", 60)),
        ("AWS key", format!("AK{}", "IAQ7RK2ZPX9VBN4LSW")),
        ("GitHub token", secret("ghp_", 36)),
        ("GitHub token", secret("github_pat_", 60)),
        ("GitLab token", secret("glpat-", 20)),
        ("Slack token", secret("xoxb-", 40)),
        ("Google key", secret("AIza", 35)),
        ("Stripe key", secret("sk_live_", 24)),
        ("Telegram bot token", secret("1234567890:", 35)),
        ("Telegram bot token", format!("https://api.telegram.org/{}/getMe", secret("bot123456789:", 35))),
        ("Telegram bot token", format!("https://api.telegram.org/{}-/getMe", secret("bot123456789:", 34))),
        ("Vault token", secret("hvs.", 24)),
        ("Notion token", secret("secret_", 43)),
        ("Notion token", secret("ntn_", 46)),
        ("Linear key", secret("lin_api_", 40)),
        ("Replicate token", secret("r8_", 37)),
        ("Shopify token", secret("shpat_", 32)),
        ("Atlassian token", secret("ATATT3xFfGF0", 60)),
        ("Docker token", secret("dckr_pat_", 27)),
        ("Netlify token", secret("nfp_", 36)),
        ("Supabase key", secret("sbp_", 40)),
        ("Sentry token", secret("sntrys_", 64)),
        ("age key", secret("AGE-SECRET-KEY-1", 58)),
        ("Google key", secret("1//0", 60)),
        ("Mailgun key", secret("key-", 32)),
        ("signature in a URL", format!("https://x.example.invalid/b?sv=2024&{}%3D&se=2027", secret("sig=", 43))),
        ("token in a URL", format!("{}:x-oauth-basic@github.example.invalid/x.git", secret("https://", 20))),
        ("token in a URL", format!("{}@github.example.invalid/x.git", secret("https://", 40))),
        ("password of a command", "curl -s -u user:pw https://example.invalid".to_owned()),
        ("password of a command", "curl --user 'user:pw' https://example.invalid".to_owned()),
        ("Authorization header", secret("Authorization: token ", 40)),
        ("Authorization header", secret("Authorization: ", 32)),
        ("cookie", secret("Cookie: theme=dark; session=", 20)),
        ("cookie", format!("Set-Cookie: {}; Path=/; HttpOnly", secret("session=", 20))),
        ("cookie", secret("curl -b session=", 20)),
        ("secret in an element", "<password>hunter2</password>".to_owned()),
        ("secret in an element", format!("<app:apiKey kind='x'>{}</app:apiKey>", secret("", 32))),
        ("named secret", format!("- name: API_KEY\n  value: {}", secret("", 32))),
        ("npm token", secret("npm_", 36)),
        ("Hugging Face token", secret("hf_", 34)),
        ("JWT", jwt),
        ("private key", key),
        ("bearer token", secret("Authorization: Bearer ", 40)),
        ("Authorization header", "Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l".to_owned()),
        ("private key", format!("-----BEGIN {}-----\n{}", "PRIVATE KEY", secret("", 62))),
        ("password in a URL", "postgres://admin:hunter2@db.example.invalid/x".to_owned()),
        ("assigned secret", secret("SECRET=", 24)),
        ("assigned secret", secret("export DB_PASSWORD='", 12)),
        ("assigned secret", secret("api_key: ", 32)),
        ("assigned secret", secret("tool --token ", 32)),
        ("assigned secret", secret("{\"clientSecret\": \"", 32)),
    ];
    for (kind, text) in cases {
        // Bare, in a sentence, and in JSON that is a string of JSON.
        let texts = [text.clone(), format!("use {text} please"), json!({"arguments": format!("x {text}")}).to_string()];
        let (body, kinds) = redacted(&json!({"role": "user", "content": texts}));
        assert_eq!(kinds, [(kind, 3)], "{text}: {body}");
        for new in body["content"].as_array().unwrap() {
            let new = new.as_str().unwrap();
            assert!(new.contains(&format!("[redacted: {kind}]")) && !new.contains(&secret("", 12)), "{body}");
        }
    }
    let (body, kinds) =
        redacted(&json!({"role": "tool", "env": {"OPENAI_API_KEY": secret("", 40), "HOME": "/home/user"}}));
    assert_eq!(body["env"], json!({"OPENAI_API_KEY": "[redacted: assigned secret]", "HOME": "/home/user"}));
    assert_eq!(kinds, [("assigned secret", 1)]);
}

#[test]
fn what_is_named_a_secret_around_it_is_replaced() {
    let it = secret("", 32);
    let assigned = "[redacted: assigned secret]";
    let cases = [
        (json!({"headers": {"Authorization": it}}), "Authorization header", "[redacted: Authorization header]"),
        (
            json!({"headers": {"authorization": format!("token {it}")}}),
            "Authorization header",
            "token [redacted: Authorization header]",
        ),
        (
            json!({"headers": {"Authorization": ["Basic YWxhZGRpbjpvcGVuc2VzYW1l"]}}),
            "Authorization header",
            "Basic [redacted: Authorization header]",
        ),
        (
            json!({"headers": {"Authorization": format!("Bearer {it}")}}),
            "bearer token",
            "Bearer [redacted: bearer token]",
        ),
        (json!({"headers": {"Cookie": format!("a=b; session={it}")}}), "cookie", "[redacted: cookie]"),
        (json!([{"name": "API_KEY", "value": it}]), "assigned secret", assigned),
        (json!([{"value": it, "key": "API_KEY"}]), "assigned secret", assigned),
        (json!({"secrets": [it]}), "assigned secret", assigned),
        (json!({"token": {"access": it}}), "assigned secret", assigned),
        (json!({"pass": "hunter2"}), "assigned secret", assigned),
        (json!({"password": "correct horse battery staple"}), "assigned secret", assigned),
    ];
    for (value, kind, expected) in cases {
        // In the body, and in arguments, which are JSON in a string.
        let in_string = json!({"role": "assistant", "tool_calls": [{"function": {"arguments": value.to_string()}}]});
        for body in [json!({"role": "tool", "x": value}), in_string] {
            let (new, kinds) = redacted(&body);
            assert_eq!(kinds, [(kind, 1)], "{body}: {new}");
            let arguments = new
                .pointer("/tool_calls/0/function/arguments")
                .map(|it| serde_json::from_str(it.as_str().unwrap()).unwrap());
            let new: Value = arguments.unwrap_or_else(|| new["x"].clone());
            assert!(new.to_string().contains(&format!("\"{expected}\"")), "{new}");
        }
    }
}

#[test]
fn a_picture_is_left_alone_and_what_follows_is_not() {
    let picture = format!("data:image/png;base64,{}", secret("iVBORw0KGgo", 100).repeat(4));
    let text = format!("{picture} and {}", secret("ghp_", 36));
    let (body, kinds) = redacted(&user(&text));
    assert_eq!(kinds, [("GitHub token", 1)]);
    assert_eq!(body["content"], format!("{picture} and [redacted: GitHub token]"));
    let (_, kinds) = redacted(&user(&format!("data:image/svg+xml,<svg>{}</svg>", secret("ghp_", 36))));
    assert_eq!(kinds, [("GitHub token", 1)]);
}

#[test]
fn what_is_no_secret_stays() {
    let picture = secret("iVBORw0KGgo", 100).repeat(40);
    for text in [
        "commit 3f786850e387550fdab836ed7e6dc881de23001b, sha256 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        "id 123e4567-e89b-12d3-a456-426614174000, token: 123e4567-e89b-12d3-a456-426614174000",
        "the tokenizer of cl100k_base has 100256 tokens; max_tokens=4096, total_tokens: 1500000000000000",
        "password: please ask me; PASSWORD=${DB_PASSWORD}; token = os.environ.get(name)",
        "api_key=settings.openai_api_key and secret = self.config.secret_name",
        "key: value, primary_key: a1b2c3d4e5f6g7h8, keyboard=q1w2e3r4t5y6u7i8",
        "https://example.invalid/a:b@c http://localhost:8080/x?y=z user@example.invalid",
        "secret/path/to/file123456789 is at /run/secrets/db_password_file_1",
        "task-1234567890abcdefghijklmnop sk-learn risk-assessment-of-the-quarter",
        "a basic understanding of the bearer authentication-scheme, Basic Configuration",
        "postgres://user:${PASSWORD}@db.example.invalid https://user:<password>@example.invalid",
        "if line == \"-----BEGIN PRIVATE KEY-----\" then the key begins and -----END PRIVATE KEY----- ends it",
        "SECRET=xxxxxxxxxxxxxxxx1234 TOKEN=<your-token-here-123456>",
        "PASS: tests/test_1.rs first pass: 12 of 34, 2 bypass=true, compass=north123",
        "ATATTACGATTACAGATTACAGATTACAGATTACA secret_name ntn_short key-value sig=ok r8_g8_b8",
        "Authorization: required, Cookie: none, curl -u user:$PASSWORD https://example.invalid",
        "<password>${PASSWORD}</password> <token>string</token> <input type=password> name: key, value: 12",
        "ssh://git@example.invalid/x https://someone@example.invalid",
        "{\"password\": \"Enter your password\", \"token\": {\"type\": \"string\"}}",
        &picture,
        &format!("data:image/png;base64,{picture}"),
    ] {
        let (body, kinds) = redacted(&user(text));
        assert_eq!((body["content"].as_str().unwrap(), kinds), (text, vec![]));
    }
    // What this crate and others write themselves.
    for body in [
        json!({"usage": {"input_tokens": 10, "token_count": "1234567890123456"}, "sessionKey": "agent:main:telegram:dm:123456789"}),
        json!({"id": "msg_01XFDUDYJgAACzvnptvVoYEL", "signature": picture, "encrypted_content": picture}),
        json!({"key": "telegram:8281248569", "cursor": "eyJhIjoxfQ"}),
        json!({"secretKeyRef": {"name": "db-secret-2024-a1b2c3", "key": "password"}}),
        json!({"name": "color", "value": "a1b2c3d4e5f6g7h8i9j0"}),
        json!({"password": {"type": "string", "description": "The password, 8 characters or more"}}),
        json!({"authorization_endpoint": "https://example.invalid/oauth2/v1/authorize"}),
    ] {
        assert_eq!(redacted(&body), (body, vec![]));
    }
}

#[test]
fn every_format_is_redacted_titles_and_reasons_too() {
    let secret = secret("ghp_", 36);
    for format in [Format::Jsonl, Format::Markdown, Format::Html, Format::OpenAi, Format::Pi] {
        let bench = Bench::with(&[
            user(&secret),
            json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "c1", "function": {"name": "exec", "arguments": json!({"command": secret}).to_string()}}]}),
        ]);
        bench.session.set_title(&secret).unwrap();
        bench.session.mark_resume_pending(&secret).unwrap();
        bench.session.compact(&secret, 1).unwrap();
        assert!(bench.export(format).contains(&secret), "{format:?}");
        let (text, exported) = bench.export_with(format, &ExportOptions::new().redact(true));
        assert!(!text.contains(&secret), "{format:?}");
        assert!(exported.redacted["GitHub token"] >= 2, "{format:?}");
    }
}
