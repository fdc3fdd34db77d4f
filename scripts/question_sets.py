"""Turns public question sets into the lines of JSON that `metachat-worker eval-retrieval` reads.

    question_sets.py SOURCE OUT    SOURCE holds the files named below; OUT gets a .jsonl for each that is there

XQuAD and other sets in SQuAD's form (xquad.LANGUAGE.json, squad.NAME.json): each paragraph is a passage. COVID-QA (covidqa.json):
articles of 30 000 characters are cut into passages; those that an answer lies in are relevant. FAQs (faq.tsv, scraped from public
health sites): each answer is a passage, the questions with the same answer, or the same question's several answers, belong together.
Cranfield (cran.all.1400.xml, cran.qry.xml, cranqrel.trec.txt) and CISI (CISI.ALL, CISI.QRY, CISI.REL): each abstract is a passage.
"""

import csv
import json
import re
import sys
from pathlib import Path

PASSAGE_CHARACTERS = 900
SHORTEST_QUESTION, SHORTEST_ANSWER = 8, 30


def paragraphs(path):
    passages, questions = {}, []
    for article in json.loads(path.read_text())["data"]:
        for paragraph in article["paragraphs"]:
            number = passages.setdefault(paragraph["context"], len(passages))
            questions += [(qa["question"], [number]) for qa in paragraph["qas"]]
    return list(passages), questions


def articles(path):
    """Cuts at the ends of sentences, so that passages are about as long as a chunk."""
    passages, questions = [], []
    for article in json.loads(path.read_text())["data"]:
        for paragraph in article["paragraphs"]:
            text, pieces, start = paragraph["context"], [], 0
            while start < len(text):
                end = min(start + PASSAGE_CHARACTERS, len(text))
                stop = text.rfind(". ", start + PASSAGE_CHARACTERS // 2, end)
                end = stop + 2 if end < len(text) and stop > 0 else end
                pieces.append((start, end))
                start = end
            first = len(passages)
            passages += [text[start:end].strip() for start, end in pieces]
            for qa in paragraph["qas"]:
                at = [answer["answer_start"] for answer in qa["answers"]]
                relevant = [first + n for n, (start, end) in enumerate(pieces) if any(start <= place < end for place in at)]
                if relevant and qa["question"].strip():
                    questions.append((qa["question"].strip(), relevant))
    return passages, questions


def answers(path, language):
    passages, questions = {}, {}
    with path.open(newline="") as file:
        csv.field_size_limit(10**8)
        for row in csv.DictReader(file, delimiter="\t"):
            question = row["question"].strip()
            answer = one_line(re.sub(r"<[^>]+>", " ", row["answer"]))
            if row["language"] == language and len(question) >= SHORTEST_QUESTION and len(answer) >= SHORTEST_ANSWER:
                number = passages.setdefault(answer, len(passages))
                questions.setdefault(question, set()).add(number)
    return list(passages), [(question, sorted(relevant)) for question, relevant in questions.items()]


def one_line(text):
    return re.sub(r"\s+", " ", text).strip()


def cranfield(source):
    """A judgement names a question by its position in the file; what is judged 0 is of no interest to it."""
    texts = re.findall(r"<docno>(\d+)</docno>.*?<text>(.*?)</text>", (source / "cran.all.1400.xml").read_text(), re.DOTALL)
    numbers = {document: number for number, (document, _) in enumerate(texts)}
    questions = re.findall(r"<title>(.*?)</title>", (source / "cran.qry.xml").read_text(), re.DOTALL)
    relevant = {}
    for line in (source / "cranqrel.trec.txt").read_text().splitlines():
        question, _, document, judged = line.split()
        if int(judged) > 0 and document in numbers:
            relevant.setdefault(int(question), []).append(numbers[document])
    asked = [(one_line(text), relevant[n]) for n, text in enumerate(questions, 1) if n in relevant]
    return [one_line(text) for _, text in texts], asked


def cisi(source):
    def texts(path):
        """Title and text of each record, by its number."""
        for record in re.split(r"^\.I ", path.read_text(), flags=re.MULTILINE)[1:]:
            number, fields = record.split("\n", 1)
            parts = re.findall(r"^\.[TW]\s*\n(.*?)(?=^\.[A-Z]\s*$|\Z)", fields, re.DOTALL | re.MULTILINE)
            yield int(number), one_line(" ".join(parts))

    passages, questions, relevant = dict(texts(source / "CISI.ALL")), dict(texts(source / "CISI.QRY")), {}
    numbers = {document: number for number, document in enumerate(passages)}
    for line in (source / "CISI.REL").read_text().splitlines():
        question, document = line.split()[:2]
        relevant.setdefault(int(question), []).append(numbers[int(document)])
    return list(passages.values()), [(questions[n], relevant[n]) for n in questions if n in relevant]


def write(out, passages, questions):
    filled = {number for number, text in enumerate(passages) if text.strip()}
    with out.open("w") as file:
        for number in sorted(filled):
            print(json.dumps({"passage": {"id": str(number), "text": passages[number]}}, ensure_ascii=False), file=file)
        for text, relevant in questions:
            relevant = [str(number) for number in relevant if number in filled]
            if relevant:
                print(json.dumps({"question": {"text": text, "relevant": relevant}}, ensure_ascii=False), file=file)
    print(f"{out}: {len(filled)} passages, {len(questions)} questions")


def main(source, out):
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted([*source.glob("xquad.*.json"), *source.glob("squad.*.json")]):
        kind, name, _ = path.name.split(".")
        write(out / f"{kind}-{name}.jsonl", *paragraphs(path))
    if (source / "covidqa.json").exists():
        write(out / "covidqa-en.jsonl", *articles(source / "covidqa.json"))
    if (source / "cran.all.1400.xml").exists():
        write(out / "cranfield-en.jsonl", *cranfield(source))
    if (source / "CISI.ALL").exists():
        write(out / "cisi-en.jsonl", *cisi(source))
    if (source / "faq.tsv").exists():
        for language in ["en", "de", "pl", "sv"]:
            write(out / f"faq-{language}.jsonl", *answers(source / "faq.tsv", language))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
