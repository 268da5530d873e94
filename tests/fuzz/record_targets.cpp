// SPDX-License-Identifier: Apache-2.0
// JSON files of a run and of prepared corpora, as their readers and those who show them take them.
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "control/journal.hpp"
#include "control/slurm_jobs.hpp"
#include "corpus/prepare_scan.hpp"
#include "corpus/prepare_tokenizer.hpp"
#include "io/file.hpp"
#include "io/made_corpus.hpp"
#include "io/metrics.hpp"
#include "io/sealed_json.hpp"
#include "io/shard.hpp"
#include "report/history.hpp"
#include "report/html.hpp"
#include "report/run_state.hpp"
#include "report/starts.hpp"
#include "report/status_text.hpp"
#include "tests/fuzz/targets.hpp"
#include "text/tokenizer.hpp"

namespace polyphase::fuzz {
namespace {

void read_status(std::string_view bytes) {
  put("run/status.json", bytes);
  may_refuse<DataError>([] {
    report::read_run_state(scratch() / "run");
    report::status_text(scratch() / "run", 80);
    report::tables_text(scratch() / "run", 80);
    report::report_html(scratch() / "run");
  });
}

void read_decisions(std::string_view bytes) {
  const std::filesystem::path file = put("decisions.json", bytes);
  may_refuse<DataError>([&] {
    const nlohmann::json once = read_journal(file);
    POLYPHASE_PROMISE(nlohmann::json(once.get<Journal>()) == once, "another journal: {}",
                      once.dump());
  });
}

void read_metrics_lines(std::string_view bytes) {
  const std::filesystem::path file = put("metrics.jsonl", bytes);
  report::read_history(file);
  may_refuse<DataError>([&] {
    read_metrics(file);
    MetricsWriter(file).truncate_after(3);
  });
}

void read_starts(std::string_view bytes) {
  put("starts/starts.json", bytes);
  const auto starts = report::read_starts(scratch() / "starts");
  report::goodput_of(starts, {}, scratch() / "starts", 2000000000);
}

void read_jobs(std::string_view bytes) {
  put("jobs/slurm/jobs.json", bytes);
  may_refuse<DataError>([] { read_slurm_jobs(scratch() / "jobs"); });
}

void read_made(std::string_view bytes) {
  put("made/made.json", bytes);
  may_refuse<DataError>([] {
    if (const auto record = read_made_record(scratch() / "made")) nlohmann::json(*record).dump();
  });
}

void read_pairs(std::string_view bytes) {
  const std::filesystem::path file = put("pairs.jsonl", bytes);
  int left = 3;
  leading_pairs(file, [&left](std::string& text) {
    text = "a dog";
    return left-- > 0;
  });
  may_refuse<DataError>([&] { sum_up_pairs(file); });
}

void read_corpus_json(std::string_view bytes) {
  const std::filesystem::path file = put("corpus/corpus.json", sealed_text(std::string(bytes)));
  may_refuse<DataError>([&] {
    read_corpus_index(file);
    verify_corpus(scratch() / "corpus");
  });
}

void read_scan(std::string_view bytes) {
  may_refuse<DataError>([&] { prepare::scan_from_json(std::string(bytes), "scan"); });
}

void read_tokenizer_json(std::string_view bytes) {
  static const std::string model =
      text::Tokenizer::train({.kind = "char", .vocab_size = 30, .keep_white_space = true},
                             [left = 9](std::string& sentence) mutable {
                               sentence = "a dog";
                               return left-- > 0;
                             })
          .model_bytes();
  put("data/tokenizer.model", model);
  put("data/tokenizer.json", bytes);
  may_refuse<DataError>([] { prepare::load_tokenizer(scratch() / "data"); });
}

std::vector<std::string> statuses() {
  return {
      R"({"name": "demo", "recipe_hash": "0123", "version": "0.1.0", "phases": [)"
      R"({"name": "pretrain", "state": "done", "round": 1, "folder": "round-1/01-pretrain", "from": "",)"
      R"( "task": "mlm + nsp", "step": 100, "total_steps": 100, "samples": 6400, "tokens": 409600,)"
      R"( "seconds": 12.5, "share": 0.5, "metrics": {"valid.loss": 2.5, "valid.accuracy": "nan"},)"
      R"( "others": [{"run": "r", "phase": "p", "lineage": {"run": "r", "phase": "p"}}],)"
      R"( "handover": {"carried": ["a"], "copied": [], "new": ["b"], "left": [], "state": []}, "reason": ""},)"
      R"({"name": "topic", "state": "interrupted", "folder": "round-1/02-topic", "from": "pretrain",)"
      R"( "from_folder": "round-1/01-pretrain", "reason": "a signal"}],)"
      R"( "iterate": {"phase": "topic", "metric": "valid.accuracy", "target": "at least 0.9", "ended": "",)"
      R"( "considered": ["longer: holds"], "best": 1, "rounds": [{"round": 1, "parent": 0, "state": "kept",)"
      R"( "adds": "the recipe as it is", "changes": ["a: 1 → 2"], "considered": [], "score": 0.5,)"
      R"( "reason": "the first", "folders": {"topic": "round-1/02-topic"}}]}})",
      "{}", "[]"};
}

std::vector<std::string> journals() {
  return {
      R"({"rounds": [{"round": 1, "parent": 0, "adds": "", "margin": 0, "strategies": [], "gates": [],)"
      R"( "changes": [], "considered": [], "phases": [{"name": "topic", "number": 2, "round": 1, "folder": "round-1/03-topic"}],)"
      R"( "verdict": {"kept": true, "score": "nan", "gain": 0.1, "margin": 0, "confidence": 0.9, "reason": "first",)"
      R"( "test": {"samples": 10, "resamples": 1000, "share_better": 0.75}}}],)"
      R"( "ended": "", "considered": [{"strategy": "longer", "condition": "underfitting", "holds": true,)"
      R"( "numbers": {"valid.gap": "-inf"}, "note": ""}]})"};
}

std::vector<std::string> metrics() {
  return {
      R"({"kind": "lineage", "step": 0, "lineage": {"run": "r", "phase": "p", "from": {"run": "q"}}})"
      "\n"
      R"({"kind": "step", "step": 1, "loss": 2.5, "mlm_loss": "nan", "learning_rate": 0.001, "tokens_per_second": 10, "seconds": 0.1})"
      "\n"
      R"({"kind": "evaluation", "step": 1, "part": "valid", "loss": 2.25, "accuracy": 0.5})"
      "\n"
      R"({"kind": "save", "step": 2, "time": 1700000000.5, "stall_seconds": 0.01})"
      "\n"
      R"({"kind": "event", "step": 2, "what": "stopped", "detail": "a signal"})"
      "\n"
      R"({"kind": "step", "step": 3, "lo)"};
}

std::vector<std::string> starts() {
  return {
      R"([{"job": "12", "array_job": "12_0", "cluster": "c", "restart": 1, "begun": 1700000000, "ended": 1700000100,)"
      R"( "progress": 3, "exit_code": 75, "reason": "signal 10"},)"
      R"( {"job": "", "array_job": "", "restart": 0, "begun": 1700000200, "ended": 0, "progress": 4, "exit_code": null, "reason": ""}])"};
}

std::vector<std::string> jobs() {
  return {
      R"({"runs": ["seed-1"], "jobs": [{"what": "phase topic", "id": "12_0", "script": "a", "after": "", "time": "2024-01-01T00:00:00Z", "cluster": "c"}]})"};
}

std::vector<std::string> records() {
  return {
      R"({"run": "small", "round": 2, "phase": "topic", "step": 12, "digest": "d", "seed": 9, "versions": ["0.1.0"],)"
      R"( "changes": ["a: 1"], "data": {"tokenizer": "t", "corpora": {"topics": "c"}, "made": {"topics": {"phase": "m"}}},)"
      R"( "from": {"run": "inf"}, "teacher": {"round": 3}, "generation": {"beams": 4}})"};
}

std::vector<std::string> pairs() {
  return {to_line({"ein Hund", "a dog"}) + to_line({" ", "a dog"}) + "{\"source\": \"torn"};
}

std::vector<std::string> corpora() {
  CorpusIndex index;
  index.name = "glosses";
  index.kind = "text";
  index.vocab_size = 8192;
  index.source_digests = {{"glosses.txt", "89ab"}};
  index.label_names = {"noun.act"};
  index.splits["train"] = {{.file = "s.h5", .num_documents = 1, .digests = {{"tokens", "0"}}}};
  index.skipped["train"] = {.count = 12, .first = {"glosses.txt:3: no label"}};
  const std::filesystem::path file = scratch() / "sound-corpus.json";
  write_corpus_index(file, index);
  const std::string text = read_file(file);
  return {text.substr(0, text.rfind(",\n \"digest\": "))};
}

std::vector<std::string> scans() {
  prepare::FileScan scan;
  scan.files = {{"d", 12, 34}};
  scan.shape.header = {"text"};
  scan.cuts = {{{0}, 1, "train"}};
  scan.labels = {{"x", 1}};
  return {prepare::scan_to_json(scan)};
}

std::vector<std::string> tokenizer_settings() {
  return {R"({"key": "k", "digest": "d", "kind": "char", "vocab_size": 30, "lowercase": false})"};
}

}  // namespace

std::vector<Target> record_targets() {
  return {{"status", read_status, statuses, true},
          {"decisions", read_decisions, journals, true},
          {"metrics", read_metrics_lines, metrics, true},
          {"starts", read_starts, starts, true},
          {"jobs", read_jobs, jobs, true},
          {"made", read_made, records, true},
          {"pairs", read_pairs, pairs, true},
          {"corpus_index", read_corpus_json, corpora, true},
          {"scan", read_scan, scans, true},
          {"tokenizer_settings", read_tokenizer_json, tokenizer_settings, true}};
}

}  // namespace polyphase::fuzz
