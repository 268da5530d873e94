// SPDX-License-Identifier: Apache-2.0
// Every format of text, read as every kind of corpus that may have it.
#include "base/corpus_source.hpp"
#include "tests/fuzz/targets.hpp"
#include "text/source.hpp"
#include "text/tokenizer.hpp"

namespace polyphase::fuzz {
namespace {

using text::FilePart;

// All ways to read a format.
std::vector<text::SourceSettings> ways_to_read(CorpusFormat format) {
  std::vector<text::SourceSettings> ways;
  for (const CorpusKindRow& row : corpus_kinds()) {
    if (!has_format(row.kind, format)) continue;
    text::SourceSettings settings;
    settings.kind = row.kind;
    settings.format = format;
    ways.push_back(settings);
    if (format == CorpusFormat::kText) {
      settings.layout = TextLayout::kRaw;
      ways.push_back(settings);
    }
    if (format == CorpusFormat::kTsv || format == CorpusFormat::kCsv) {
      settings.header = true;
      settings.columns = {.text = "text", .label = "label"};
      if (row.kind == CorpusKind::kTagging) settings.columns = {.token = "text", .tag = "label"};
      if (row.kind == CorpusKind::kGeneration)
        settings.columns = {.source = "text", .target = "label"};
      ways.push_back(settings);
    }
  }
  return ways;
}

// One way, which the number of bytes chooses: a reader takes some memory to begin with, so that all
// of them for every input would be slow. Bad lines are thrown at the first one, or collected.
void read_format(CorpusFormat format, const std::vector<FilePart>& parts, std::size_t num_bytes) {
  const auto ways = ways_to_read(format);
  const std::size_t way = num_bytes % (2 * ways.size());
  text::BadLineList bad_lines;
  may_refuse<DataError>([&] {
    const auto reader =
        text::open_source(ways[way / 2], {parts, {}, {}, way % 2 == 0 ? nullptr : &bad_lines});
    for (text::SourceSample sample; reader->next(sample);)
      POLYPHASE_PROMISE(reader->end_offset(0) >= 0 && reader->end_line() >= 0, "no place in it");
  });
}

template <CorpusFormat kFormat>
void read_file_of(std::string_view bytes) {
  read_format(kFormat, {{.path = put("text", bytes)}}, bytes.size());
}

// Two files, apart by a form feed.
void read_parallel(std::string_view bytes) {
  const std::size_t end = std::min(bytes.find('\f'), bytes.size());
  const std::string_view rest = bytes.substr(std::min(end + 1, bytes.size()));
  read_format(CorpusFormat::kParallel,
              {{.path = put("source", bytes.substr(0, end))}, {.path = put("target", rest)}},
              bytes.size());
}

void read_tokenizer(std::string_view bytes) {
  may_refuse<DataError>([&] {
    const auto tokenizer = text::Tokenizer::from_bytes(std::string(bytes), "model");
    for (const char* words : {"", "The dog's day,\n\t two.", "\xC3\xA9\xEF\xBC\xA1 \xE2\x96\x81",
                              "\xF0\x9F\x98\x80\xFF\xC3"}) {
      tokenizer.decode(tokenizer.encode(words));
      tokenizer.encode_with_places(words);
      tokenizer.encode_words({words, "x"});
    }
    for (std::int64_t id = 0; id < std::min<std::int64_t>(tokenizer.vocab_size(), 300); ++id)
      tokenizer.piece(id);
  });
}

std::vector<std::string> texts() {
  return {"One.\nTwo, three.\n\nAnother document.\r\n", "\xEF\xBB\xBF caf\xC3\xA9\n\n\n x",
          std::string("a\0b\n\xFF\n", 6)};
}

std::vector<std::string> tsv() {
  return {"a dog\tx\nanother dog\ty\n", "text\tlabel\nIt is.\t4.5\n",
          "first\tsecond\t0.5\nthird\tfourth\t1\n", "a b\tx,y,z\nc\t\n"};
}

std::vector<std::string> csv() {
  return {"\xEF\xBB\xBFplain text,good\r\n\"a, b\r\nand \"\"c\"\"\",\"bad\"\r\n\"\"\"\",x",
          "text,label\n\"one\r\n\n two, three\",1\nfour,2\n", "a,x\n\"b\nc,y\n"};
}

std::vector<std::string> json_lines() {
  return {
      R"({"text": "a \"day\"", "label": 3})"
      "\n"
      R"({"label": "x", "text": "caf\u00e9"})",
      R"({"text": "a", "label": ["x, z", "y", "y"]})",
      R"({"text": "a", "label": 4.5})",
      R"({"tokens": ["New", "York"], "tags": ["B-LOC", "I-LOC"]})",
      R"({"prompt": "2 + 2?", "answer": "4"})",
      R"({"source": "a dog", "target": "ein Hund"})",
      R"({"question": "Who?", "context": "Ada did.", "answers": {"text": ["Ada"], "answer_start": [0]}})",
      R"({"text": "One.\n\n Two.\r\nThree."})"};
}

std::vector<std::string> conll() {
  return {"-DOCSTART- -X- O O\n\nEU NNP B-ORG\nrejects VBZ O\n\nPeter NNP B-PER\n",
          "# id 1\na\tO\nb\tI-X\n\nc\tB-X\n"};
}

std::vector<std::string> conllu() {
  return {"# newdoc id = a\n# text = It's a cat.\n1\tIt's\t_\tX\t_\t_\t0\troot\t_\t_\n\n",
          "1\tWe\t_\tX\t_\t_\t0\troot\t_\t_\n2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n"
          "2\tdo\t_\tX\t_\t_\t0\troot\t_\t_\n3\tn't\t_\tX\t_\t_\t0\troot\t_\t_\n"
          "3.1\tthink\t_\tX\t_\t_\t0\troot\t_\t_\n"};
}

std::vector<std::string> squad() {
  return {
      R"({"version": "2.0", "data": [{"title": "T", "paragraphs": [{"context": "Caf\u00e9 Ada wrote it.", "qas": [)"
      R"({"id": "1", "question": "Who?", "answers": [{"text": "Ada", "answer_start": 5}], "is_impossible": false},)"
      R"({"id": "2", "question": "Why?", "answers": [], "is_impossible": true}]}]}]})"};
}

std::vector<std::string> parallel() {
  return {"a dog\na cat\n\fein Hund\neine Katze\n", "a\n\f\n"};
}

std::vector<std::string> models() {
  std::vector<std::string> all;
  for (const char* kind : {"unigram", "bpe", "char", "word"}) {
    int left = 40;
    all.push_back(
        text::Tokenizer::train({.kind = kind, .vocab_size = 60}, [&](std::string& sentence) {
          sentence = left % 2 == 0 ? "the dog and the cat" : "a cat, another dog";
          return left-- > 0;
        }).model_bytes());
  }
  return all;
}

}  // namespace

std::vector<Target> text_targets() {
  return {{"text", read_file_of<CorpusFormat::kText>, texts},
          {"tsv", read_file_of<CorpusFormat::kTsv>, tsv},
          {"csv", read_file_of<CorpusFormat::kCsv>, csv},
          {"jsonl", read_file_of<CorpusFormat::kJsonl>, json_lines, true},
          {"conll", read_file_of<CorpusFormat::kConll>, conll},
          {"conllu", read_file_of<CorpusFormat::kConllu>, conllu},
          {"squad", read_file_of<CorpusFormat::kSquad>, squad, true},
          {"parallel", read_parallel, parallel},
          {"tokenizer", read_tokenizer, models}};
}

}  // namespace polyphase::fuzz
