//! Passages, and questions with the passages that answer them.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::{Context, ensure};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Passage(Passage),
    Question(Question),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passage {
    pub id: String,
    pub text: String,
    pub heading: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    pub text: String,
    /// Ids of passages.
    pub relevant: HashSet<String>,
}

#[derive(Debug, Default)]
pub struct QuestionSet {
    pub passages: Vec<Passage>,
    pub questions: Vec<Question>,
}

impl QuestionSet {
    /// Reads a set and keeps `most` of its questions, evenly spread. Fails on a line that is neither, and on a question
    /// whose passages are not in the file.
    pub fn read(path: &Path, most: usize) -> anyhow::Result<Self> {
        let mut set = Self::default();
        for (number, line) in BufReader::new(File::open(path)?).lines().enumerate() {
            match serde_json::from_str(&line?).with_context(|| format!("line {}", number + 1))? {
                Line::Passage(passage) => set.passages.push(passage),
                Line::Question(question) => set.questions.push(question),
            }
        }
        let ids: HashSet<&str> = set.passages.iter().map(|passage| passage.id.as_str()).collect();
        ensure!(ids.len() == set.passages.len(), "two passages have the same id");
        for question in &set.questions {
            ensure!(!question.relevant.is_empty(), "no passage is relevant to {:?}", question.text);
            let missing = question.relevant.iter().find(|id| !ids.contains(id.as_str()));
            ensure!(missing.is_none(), "{:?} needs passage {missing:?}, which is missing", question.text);
        }
        let all = set.questions.len();
        let mut number = 0;
        set.questions.retain(|_| {
            number += 1;
            // Of every stretch of all/most questions, the last.
            all <= most || number * most / all > (number - 1) * most / all
        });
        Ok(set)
    }
}
