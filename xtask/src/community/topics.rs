//! What the community talks about: twelve topics, each with tags, titles and colours.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use super::rng::Rng;

/// One topic, read from `topics.json`.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    /// The topic's own tag.
    pub(crate) slug: String,
    /// Tags within it.
    pub(crate) tags: Vec<String>,
    /// Second halves of its authors' handles.
    pub(crate) handles: Vec<String>,
    /// Hues of its pictures, degrees.
    pub(crate) hues: Vec<f64>,
    /// Which drawing its pictures show.
    pub(crate) scene: String,
    /// English templates with `{list}` slots; `{list2}` is a second, different draw.
    titles: Vec<String>,
    lists: BTreeMap<String, Vec<String>>,
    /// By language: subjects with their article, for the templates of that language.
    subjects: BTreeMap<String, Vec<String>>,
}

/// Templates that fit any subject, so that a German video has a German title.
const TEMPLATES: [(&str, &[&str]); 3] = [
    (
        "de",
        &[
            "{s}: was ich gelernt habe",
            "{s} – ganz in Ruhe",
            "{s}: drei häufige Fehler",
            "{s} in zehn Minuten erklärt",
            "{s}, Teil {n}",
            "Endlich: {s}!",
            "{s} – mein erster Versuch",
            "{s}, ohne viele Worte",
        ],
    ),
    (
        "fr",
        &[
            "{s} : ce que j'ai appris",
            "{s}, pas à pas",
            "{s} : trois erreurs à éviter",
            "{s} en dix minutes",
            "{s}, épisode {n}",
            "Enfin : {s} !",
            "{s}, sans un mot",
            "{s} : premier essai",
        ],
    ),
    (
        "es",
        &[
            "{s}: lo que aprendí",
            "{s}, paso a paso",
            "{s}: tres errores comunes",
            "{s} en diez minutos",
            "{s}, capítulo {n}",
            "Por fin: {s}",
            "{s}, sin palabras",
            "{s}: mi primer intento",
        ],
    ),
];

/// All topics.
///
/// # Errors
///
/// Where `topics.json` does not have the shape that [`Topic`] describes.
pub(crate) fn all() -> Result<Vec<Topic>> {
    let value: Value = serde_json::from_str(include_str!("topics.json")).context("topics.json")?;
    let topics = value.as_array().context("topics.json is not an array")?;
    topics.iter().map(topic).collect()
}

fn topic(value: &Value) -> Result<Topic> {
    let text = |name: &str| -> Result<String> {
        let text = value[name]
            .as_str()
            .with_context(|| format!("topics.json: no {name}"))?;
        Ok(text.to_owned())
    };
    let hues = value["hues"].as_array().context("topics.json: no hues")?;
    Ok(Topic {
        slug: text("slug")?,
        scene: text("scene")?,
        hues: hues.iter().filter_map(Value::as_f64).collect(),
        tags: texts(&value["tags"])?,
        handles: texts(&value["handles"])?,
        titles: texts(&value["titles"])?,
        lists: lists(&value["lists"])?,
        subjects: lists(&value["subjects"])?,
    })
}

fn texts(value: &Value) -> Result<Vec<String>> {
    let texts = value.as_array().context("topics.json: a list is missing")?;
    let texts: Vec<String> = texts
        .iter()
        .filter_map(|t| Some(t.as_str()?.to_owned()))
        .collect();
    anyhow::ensure!(!texts.is_empty(), "topics.json: a list is empty");
    Ok(texts)
}

fn lists(value: &Value) -> Result<BTreeMap<String, Vec<String>>> {
    let lists = value
        .as_object()
        .context("topics.json: a table is missing")?;
    lists
        .iter()
        .map(|(name, list)| Ok((name.clone(), texts(list)?)))
        .collect()
}

impl Topic {
    /// A title in `language`; English where the topic has no words in it.
    pub(crate) fn title(&self, language: &str, rng: &mut Rng) -> String {
        let templates = TEMPLATES.iter().find(|(name, _)| *name == language);
        let title = match (templates, self.subjects.get(language)) {
            (Some((_, templates)), Some(subjects)) => {
                let part = (2 + rng.below(9)).to_string();
                let (template, subject): (&&str, &String) =
                    (rng.pick(templates), rng.pick(subjects));
                template.replace("{s}", subject).replace("{n}", &part)
            }
            _ => self.english_title(rng),
        };
        capitalise(&title)
    }

    fn english_title(&self, rng: &mut Rng) -> String {
        let mut title = rng.pick(&self.titles).clone();
        for (name, list) in &self.lists {
            let first = rng.below(list.len());
            let second = (first + 1 + rng.below(list.len().saturating_sub(1))) % list.len();
            title = title.replace(&format!("{{{name}}}"), &list[first]);
            title = title.replace(&format!("{{{name}2}}"), &list[second]);
        }
        title
    }
}

fn capitalise(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_title_is_filled_in() {
        let mut rng = Rng::new(3);
        for topic in all().expect("topics.json is valid") {
            for language in ["en", "de", "fr", "es"] {
                for _ in 0..200 {
                    let title = topic.title(language, &mut rng);
                    assert!(!title.contains('{') && !title.contains('}'), "{title}");
                    assert!(title.len() <= 120 && !title.is_empty(), "{title}");
                    assert!(
                        title.chars().next().is_some_and(|c| !c.is_lowercase()),
                        "{title}"
                    );
                }
            }
        }
    }

    #[test]
    fn tags_are_unique_enough_and_short() {
        for topic in all().expect("topics.json is valid") {
            assert!(topic.tags.len() >= 6, "{}", topic.slug);
            assert!(
                topic
                    .tags
                    .iter()
                    .all(|tag| tag.len() <= 64 && *tag != topic.slug)
            );
        }
    }
}
