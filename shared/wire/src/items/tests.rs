use alloc::format;
use alloc::string::{String, ToString};

use super::*;

fn item() -> Item {
    Item {
        id: "i".to_string(),
        author: "a".to_string(),
        created_at_ms: 1_700_000_000_000,
        kind: Some("video".to_string()),
        title: "a title".to_string(),
        thumbnail: Some("data:image/svg+xml,<svg/>".to_string()),
        link: Some("https://example.org/a?b#c".to_string()),
        ..Item::default()
    }
}

#[track_caller]
fn refused(item: Item, field: &str) {
    assert_eq!(check(&item).unwrap_err().field, field);
}

#[test]
fn each_field_has_its_rule() {
    let text = |len: usize| "x".repeat(len);
    assert_eq!(check(&item()), Ok(()));
    refused(
        Item {
            id: String::new(),
            ..item()
        },
        "id",
    );
    refused(
        Item {
            author: text(65),
            ..item()
        },
        "author",
    );
    refused(
        Item {
            created_at_ms: -1,
            ..item()
        },
        "created_at",
    );
    refused(
        Item {
            created_at_ms: 9_000_000_000_000_001,
            ..item()
        },
        "created_at",
    );
    refused(
        Item {
            kind: Some("Video".to_string()),
            ..item()
        },
        "kind",
    );
    refused(
        Item {
            tags: alloc::vec![text(1); 17],
            ..item()
        },
        "tags",
    );
    refused(
        Item {
            tags: alloc::vec![text(65)],
            ..item()
        },
        "tags",
    );
    refused(
        Item {
            tags: alloc::vec![String::new()],
            ..item()
        },
        "tags",
    );
    refused(
        Item {
            region: Some("\n".to_string()),
            ..item()
        },
        "region",
    );
    refused(
        Item {
            language: Some(String::new()),
            ..item()
        },
        "language",
    );
    refused(
        Item {
            title: text(301),
            ..item()
        },
        "title",
    );
    refused(
        Item {
            thumbnail: Some(text(4_097)),
            ..item()
        },
        "thumbnail",
    );
    refused(
        Item {
            link: Some(text(2_049)),
            ..item()
        },
        "link",
    );
    let error = check(&Item {
        title: text(301),
        ..item()
    })
    .unwrap_err();
    assert_eq!(error.to_string(), "title must be at most 300 bytes");
}

#[test]
fn links_lead_to_the_web_only() {
    let link = |uri: &str| {
        check(&Item {
            link: Some(uri.to_string()),
            ..item()
        })
        .is_ok()
    };
    let thumbnail = |uri: &str| {
        check(&Item {
            thumbnail: Some(uri.to_string()),
            ..item()
        })
        .is_ok()
    };
    let web = [
        "http://a",
        "HTTPS://a",
        "/a:b",
        "a/b",
        "?a:b",
        "#a:b",
        "//host/x",
        "./a",
        "a",
    ];
    for uri in web {
        assert!(link(uri) && thumbnail(uri), "{uri}");
    }
    let other = [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\tscript:alert(1)",
        "\u{1}javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "x-y:z",
        ":a",
        "",
    ];
    for uri in other {
        assert!(!link(uri) && !thumbnail(uri), "{uri}");
    }
    assert!(thumbnail("DATA:image/png;base64,AA==") && !link("data:image/png;base64,AA=="));
    assert!(!thumbnail("data:imagex"));
}

#[test]
fn the_valid_half_of_an_upsert_is_read() {
    let right = r#"{"id":"i","author":"a","created_at":5,"tags":["x"]}"#;
    let body = format!(r#"{{"items":[{right},{{"id":"i"}},{right}]}}"#);
    let batch = parse(body.as_bytes()).unwrap();
    assert_eq!(batch.items.len(), 2);
    assert_eq!(batch.items[1].0, 2);
    assert_eq!(batch.rejected[0].index, 1);
    assert!(
        batch.rejected[0].reason.contains("author"),
        "{:?}",
        batch.rejected
    );
    let numbers = right.replace("5", "1.5");
    assert_eq!(
        parse(format!("[{numbers}]").as_bytes())
            .unwrap()
            .items
            .len(),
        0
    );
    assert_eq!(parse(b"").unwrap_err().status, 400);
    assert_eq!(parse(b"{}").unwrap_err().field.as_deref(), Some("items"));
    let many = format!("[{}]", alloc::vec![right; 501].join(","));
    assert_eq!(parse(many.as_bytes()).unwrap_err().status, 413);
}
