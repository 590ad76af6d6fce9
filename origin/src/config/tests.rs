//! What is read, refused and said.

use super::*;

fn load(toml: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), toml).expect("written");
    let environment = environment
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::load(
        Some(file.path()),
        environment.collect::<Vec<_>>().into_iter(),
    )
}

#[test]
fn environment_goes_over_file_and_file_over_defaults() {
    let toml = "[serve]\nlisten = \"127.0.0.1:7000\"\nadmin_listen = \"127.0.0.1:7001\"\n";
    let environment = [
        ("EDGEWISE_SERVE__LISTEN", "127.0.0.1:7100"),
        (
            "EDGEWISE_SERVE__ALLOW_ORIGINS",
            "https://a.example, https://b.example",
        ),
        ("EDGEWISE_LIMITS__RATE_PER_S", "2.5"),
        ("EDGEWISE_AUTH__PLAIN_USER", "deny"),
        ("EDGEWISE_AUTH__ADMIN_TOKEN", "000123"),
        ("EDGEWISE_WASM", "x.wasm"),
        ("EDGEWISE_SOURCE_MAIN__URL", "postgres://app:secret@db/shop"),
        ("EDGEWISE_STORE__CACHE_MB", "48"),
        ("HOME", "/nowhere"),
    ];
    let config = load(toml, &environment).expect("valid");
    assert_eq!(config.serve.listen.port(), 7100);
    assert_eq!(config.serve.admin_listen.port(), 7001);
    assert_eq!(
        config.serve.allow_origins,
        ["https://a.example", "https://b.example"]
    );
    assert!((config.limits.rate_per_s - 2.5).abs() < f64::EPSILON);
    assert_eq!(config.auth.plain_user, Some(PlainUser::Deny));
    assert_eq!(config.auth.admin_token.as_deref(), Some("000123"));
    assert_eq!(config.limits.drain_ms, 10_000);
    assert_eq!(config.store.cache_mb, 48);
    config.validate().expect("in range");
}

#[test]
fn unknown_keys_are_named() {
    let error = load("[serve]\nlistne = \"x\"\n", &[])
        .expect_err("refused")
        .to_string();
    assert!(error.contains("listne"), "{error}");
    let error = load("[sevre]\n", &[]).expect_err("refused").to_string();
    assert!(error.contains("sevre"), "{error}");
    let environment = [("EDGEWISE_LIMITS__RATE", "1")];
    let error = load("", &environment).expect_err("refused").to_string();
    assert!(error.contains("rate"), "{error}");
}

#[test]
fn numbers_out_of_range_are_named() {
    let config = load("[clock]\nspeed = -1\n", &[]).expect("the shape is right");
    let error = config.validate().expect_err("refused").to_string();
    assert!(
        error.contains("clock.speed") && error.contains("above 0"),
        "{error}"
    );
}

#[test]
fn texts_that_mean_nothing_are_named() {
    let validated = |toml: &str| load(toml, &[]).expect("the shape is right").validate();
    for level in ["inof", "", "info,warm", "edgewise_origin=loud"] {
        let error = validated(&format!("[log]\nlevel = \"{level}\"\n"));
        let error = error.expect_err(level).to_string();
        assert!(
            error.contains("log.level") && error.contains("trace"),
            "{error}"
        );
    }
    for level in ["info", "WARN", "off", "info,edgewise_origin=debug"] {
        validated(&format!("[log]\nlevel = \"{level}\"\n")).expect(level);
    }
    let origins = |origin: &str| format!("[serve]\nallow_origins = [\"{origin}\"]\n");
    for origin in [
        "app.example",
        "https://app.example/",
        "https://App.example",
        "https://",
        "https://a b",
        "https://a:99999",
        "null",
    ] {
        let error = validated(&origins(origin)).expect_err(origin).to_string();
        assert!(error.contains("serve.allow_origins"), "{error}");
    }
    for origin in [
        "*",
        "https://app.example",
        "http://[::1]:3000",
        "capacitor://localhost",
    ] {
        validated(&origins(origin)).expect(origin);
    }
}

#[test]
fn errors_say_the_cause_once_and_what_is_allowed() {
    let printed = |toml: &str| {
        let error = anyhow::Error::from(load(toml, &[]).expect_err("refused"));
        format!("{error:#}")
    };
    for (toml, given, allowed) in [
        ("[log]\nformat = \"xml\"\n", "xml", "text or json"),
        ("[auth]\nplain_user = \"maybe\"\n", "maybe", "allow or deny"),
        ("[serve]\nlistne = \"x\"\n", "listne", "admin_listen"),
        (
            "[serve]\nlisten = \"x\"\n",
            "serve.listen",
            "socket address",
        ),
    ] {
        let error = printed(toml);
        assert_eq!(error.matches(given).count(), 1, "{error}");
        assert!(error.contains(allowed), "{error}");
    }
}

#[test]
fn a_missing_named_file_is_an_error() {
    let error = Config::load(
        Some(Path::new("/nowhere/edgewise.toml")),
        std::iter::empty(),
    );
    assert!(
        error
            .expect_err("refused")
            .to_string()
            .contains("/nowhere/edgewise.toml")
    );
}
