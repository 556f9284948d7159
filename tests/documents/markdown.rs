//! Markdown as far as the tests care: links, anchors, words in code, and blocks of code.

use std::{collections::BTreeMap, fs, path::Path};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::at;

/// Folders that hold nothing of ours.
const FOREIGN: &[&str] = &["target", "node_modules"];

/// One document.
#[derive(Default)]
pub struct Document {
    /// Its path in the repository.
    pub path: String,
    /// As it is written.
    pub text: String,
    /// The anchors of its headings.
    pub anchors: Vec<String>,
    /// Where its links lead.
    pub links: Vec<String>,
    /// What stands in backticks within a sentence.
    pub spans: Vec<String>,
    /// What stands in blocks of code.
    pub blocks: Vec<Block>,
}

/// A block of code.
pub struct Block {
    /// As ``` says it; empty where it says none.
    pub language: String,
    /// The anchor of the heading above it.
    pub section: String,
    pub text: String,
}

impl Document {
    /// Reads the document at this path of the repository.
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(at(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut document = Self { path: path.to_owned(), ..Self::default() };
        let mut uses = BTreeMap::new();
        let (mut heading, mut block) = (None::<String>, None::<Block>);
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let anchor = anchor(&heading.take().unwrap_or_default());
                    let uses = uses.entry(anchor.clone()).or_insert(0);
                    let nth = if *uses == 0 { anchor } else { format!("{anchor}-{uses}") };
                    *uses += 1;
                    document.anchors.push(nth);
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    document.links.push(dest_url.into_string());
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(language) => language.into_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    let section = document.anchors.last().cloned().unwrap_or_default();
                    block = Some(Block { language, section, text: String::new() });
                }
                Event::End(TagEnd::CodeBlock) => document.blocks.extend(block.take()),
                Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                    document.spans.push(words.into_string());
                }
                Event::Text(words) => match (&mut block, &mut heading) {
                    (Some(block), _) => block.text.push_str(&words),
                    (None, Some(heading)) => heading.push_str(&words),
                    (None, None) => {}
                },
                _ => {}
            }
        }
        document.text = text;
        document
    }

    /// The path of something that is named relative to this document.
    pub fn beside(&self, path: &str) -> std::path::PathBuf {
        at(Path::new(&self.path).parent().unwrap_or(Path::new(""))).join(path)
    }
}

/// Every document of the repository.
pub fn documents() -> Vec<Document> {
    let (mut found, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(at(&folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
        for entry in entries {
            let entry = entry.expect("a folder can be read to its end");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            match entry.file_type().expect("files have a type").is_dir() {
                true if !name.starts_with('.') && !FOREIGN.contains(&&*name) => folders.push(path),
                false if name.ends_with(".md") => found.push(path),
                true | false => {}
            }
        }
    }
    found.sort();
    assert!(found.len() > 5, "looked in the wrong place: {found:?}");
    found.iter().map(|path| Document::read(path)).collect()
}

/// The anchor that GitHub gives a heading.
pub fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

#[test]
fn anchors_are_as_github_makes_them() {
    for (heading, expected) in [
        ("Try it", "try-it"),
        ("Beside a tRPC server and PostgreSQL itself", "beside-a-trpc-server-and-postgresql-itself"),
        ("What's new, 2.0", "whats-new-20"),
    ] {
        assert_eq!(anchor(heading), expected);
    }
}
