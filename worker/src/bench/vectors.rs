//! Vectors and chunks as a knowledge base has them, the same in every run.

use jobs::ports::{Chunk, Embedding};
use rand::{Rng, SeedableRng, rngs::StdRng};

/// As many numbers as the default model's vectors have.
pub const DIMENSION: usize = 384;
/// Chunks about one subject, and subjects of one topic, on average.
const PER_SUBJECT: usize = 20;
const PER_TOPIC: usize = 25;
/// What topic, subject and the text itself weigh in a vector: two texts on a subject are about 0.65 similar, of a topic 0.35.
const WEIGHTS: [f32; 3] = [0.6, 0.55, 0.6];

/// A knowledge base of so many chunks.
pub struct Clusters {
    topics: Vec<Vec<f32>>,
    /// The topic of each subject, and its own direction.
    subjects: Vec<(usize, Vec<f32>)>,
    random: StdRng,
}

impl Clusters {
    pub fn of(chunks: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let subjects = (chunks / PER_SUBJECT).max(1);
        let topics: Vec<_> = (0..(subjects / PER_TOPIC).max(1)).map(|_| direction(&mut random)).collect();
        let subjects = (0..subjects).map(|_| (random.random_range(0..topics.len()), direction(&mut random))).collect();
        Self { topics, subjects, random }
    }

    /// A vector of any subject; queries are made as chunks are.
    pub fn vector(&mut self) -> Embedding {
        let subject = self.random.random_range(0..self.subjects.len());
        let own = direction(&mut self.random);
        let (topic, subject) = &self.subjects[subject];
        let parts = [&self.topics[*topic], subject, &own];
        let mut vector = vec![0.0; DIMENSION];
        for (part, weight) in parts.into_iter().zip(WEIGHTS) {
            vector.iter_mut().zip(part).for_each(|(sum, number)| *sum += weight * number);
        }
        normalised(vector).into()
    }

    pub fn chunk(&mut self, position: u32) -> Chunk {
        let text = super::texts::sentence(&mut self.random, 24);
        let vector = self.vector();
        Chunk { position, text, heading: None, page: None, tags: Vec::new(), language: None, vector }
    }

    /// A question of a few words.
    pub fn words(&mut self) -> String {
        super::texts::sentence(&mut self.random, 5)
    }
}

/// A vector of length 1 in any direction.
fn direction(random: &mut StdRng) -> Vec<f32> {
    // Sums of uniform numbers are close enough to normal ones.
    let normal = |random: &mut StdRng| (0..4).map(|_| random.random_range(-1.0_f32..1.0)).sum();
    normalised((0..DIMENSION).map(|_| normal(random)).collect())
}

fn normalised(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|number| *number /= length);
    vector
}
