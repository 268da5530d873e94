// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.hpp"

namespace polyphase {
namespace {

// Which trained model a subcommand uses.
void add_phase(CLI::App& sub, ModelOptions& model) {
  sub.add_option("run", model.run, "Run folder")->required();
  sub.add_option("--phase", model.phase, "Phase whose model is used; default: the last one done");
  sub.add_option("--round", model.round, "Of a run with rounds; default: the best one")
      ->check(CLI::PositiveNumber);
}

// A subcommand that computes with it, on any ranks.
CLI::App* add_use(CLI::App& app, const char* name, const char* what, ModelOptions& model) {
  CLI::App* sub = app.add_subcommand(name, what);
  add_phase(*sub, model);
  sub->add_option("--tensor", model.tensor, "Tensor-parallel ranks; default: the recipe's")
      ->check(CLI::PositiveNumber);
  return sub;
}

// One that may do so with several models.
CLI::App* add_joint_use(CLI::App& app, const char* name, const char* what, ModelsOptions& models) {
  CLI::App* sub = add_use(app, name, what, models);
  sub->add_option(
      "more_runs", models.more_runs,
      "Folders of further runs, of other seeds perhaps: the mean of what all say counts "
      "(classification, several labels, regression)");
  return sub;
}

CLI::Option* add_threshold(CLI::App& sub, double& threshold) {
  return sub
      .add_option(
          "--no-answer-threshold", threshold,
          "Question answering: no answer is given where its score exceeds the best answer's "
          "by more than this (a difference of logits)")
      ->capture_default_str();
}

void describe_evaluate(CLI::App& app, CommandLine& line, const Communicator& world) {
  EvaluateOptions& options = line.evaluate;
  CLI::App* sub = add_joint_use(
      app, "evaluate",
      "Metrics of a trained phase on a part of its corpus. Of causal language models also "
      "bits a byte and word perplexity; words are what stands between white space, and of "
      "raw text its line ends too",
      options);
  CLI::Option* part = sub->add_option("--part", options.part, "Default: test, else valid")
                          ->check(CLI::IsMember({"train", "valid", "test"}));
  CLI::Option* input =
      sub->add_option("--input", options.input,
                      "Question answering: a SQuAD file (*.json) instead; exact match and F1 in "
                      "percent, as the official script has them")
          ->excludes(part);
  add_threshold(*sub, options.no_answer_threshold)->needs(input);
  sub->add_option("--format", options.format, "table or json")
      ->capture_default_str()
      ->check(CLI::IsMember({"table", "json"}));
  sub->callback([&line, &world] {
    line.command = [&line, &world] { return evaluate_command(line.evaluate, world); };
  });
}

void describe_predict(CLI::App& app, CommandLine& line, const Communicator& world) {
  PredictOptions& options = line.predict;
  CLI::App* sub = add_joint_use(
      app, "predict",
      "What a trained phase says of texts, a sample a line: a text; two texts with a tab "
      "between; the words of a sentence; question, tab, context",
      options);
  sub->add_option("--input", options.input,
                  "File of samples (question answering: or a SQuAD file, *.json); default: "
                  "standard input");
  sub->add_option("--output", options.output, "Default: standard output");
  add_threshold(*sub, options.no_answer_threshold);
  sub->add_option("--format", options.format, "text or jsonl")
      ->capture_default_str()
      ->check(CLI::IsMember({"text", "jsonl"}));
  sub->callback([&line, &world] {
    line.command = [&line, &world] { return predict_command(line.predict, world); };
  });
}

void describe_generate(CLI::App& app, CommandLine& line, const Communicator& world) {
  GenerateOptions& options = line.generate;
  CLI::App* sub = add_use(app, "generate", "Text from a trained language model", options);
  sub->add_option("--prompt", options.prompt, "Text to go on from; else one a line is read");
  sub->add_option("--input", options.input, "File with one text a line; default: standard input");
  sub->add_option("--references", options.references,
                  "File with the right text of every line: BLEU and chrF go to standard error");
  GenerationSettings& settings = options.settings;
  sub->add_option("--max-new-tokens", settings.max_new_tokens, "Longest text, in tokens")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  sub->add_option("--temperature", settings.temperature, "Of sampling; 0: the likeliest token")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  sub->add_option("--top-k", settings.top_k, "Sample among so many tokens; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  sub->add_option("--top-p", settings.top_p, "Sample among the likeliest of this probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  sub->add_option("--seed", settings.seed, "Of sampling")->capture_default_str();
  sub->add_option("--beams", settings.beams, "Beam search, when more than 1")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  sub->add_option("--length-penalty", settings.length_penalty,
                  "Power of its length that a beam's log-probability is divided by")
      ->capture_default_str();
  sub->callback([&line, &world] {
    line.command = [&line, &world] { return generate_command(line.generate, world); };
  });
}

void describe_export(CLI::App& app, CommandLine& line, const Communicator& world) {
  ExportOptions& options = line.exported;
  CLI::App* sub = app.add_subcommand(
      "export", "A trained phase's model as a folder that the transformers library opens");
  add_phase(*sub, options);
  sub->add_option("--output", options.output, "Folder; made, or empty")->required();
  sub->callback([&line, &world] {
    line.command = [&line, &world] {
      return on_rank_0(world, [&line] { return export_command(line.exported); });
    };
  });
}

}  // namespace

void describe_model_commands(CLI::App& app, CommandLine& line, const Communicator& world) {
  describe_evaluate(app, line, world);
  describe_predict(app, line, world);
  describe_generate(app, line, world);
  describe_export(app, line, world);
}

}  // namespace polyphase
